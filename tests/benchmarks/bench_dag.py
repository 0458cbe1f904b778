"""How long Snakemake thinks before it starts: a dry run of a study of thousands of runs, in time and memory.

    python -m tests.benchmarks.bench_dag --runs 20000 --json FILE

The study has all 23 maps, MAZero, its ablations and the baselines, and as many seeds as it takes. None of its runs has
been made, so that every one of them is a job.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from skirmish.data.maps import map_names
from training import provenance

ABLATIONS = {
    "mazero": {},
    "no_os_lambda": {"search.os_lambda": False},
    "no_awpo": {"loss.awpo": False},
    "neither": {"search.os_lambda": False, "loss.awpo": False},
}
BASELINES = ("qmix", "vdn", "qplex", "iql", "mappo", "ippo")
NAME = "wide"
JOBS = re.compile(r"^(\w+) +(\d+)$", re.MULTILINE)


def study(runs: int) -> dict[str, object]:
    """A study file of at least that many runs."""
    algorithms: dict[str, dict[str, object]] = {
        key: {"program": "mazero", "label": key, **({"overrides": changed} if changed else {})}
        for key, changed in ABLATIONS.items()
    }
    algorithms |= {key: {"program": "baselines", "algorithm": key, "label": key} for key in BASELINES}
    names = sorted(map_names())
    group = {
        "title": "All maps",
        "backend": "skirmish",
        "maps": names,
        "env_steps": 50_000,
        "eval_every": 5_000,
        "eval_episodes": 32,
        "presets": {"mazero": "laptop", **dict.fromkeys(BASELINES, "published")},
    }
    return {
        "name": NAME,
        "description": "As many runs as a workflow may have to think about.",
        "seeds": list(range(-(-runs // (len(names) * len(algorithms))))),
        "algorithms": algorithms,
        "groups": {"all": group},
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{NAME}.yaml").write_text(yaml.safe_dump(study(arguments.runs), sort_keys=False))
        command = [sys.executable, "-m", "snakemake", NAME, "--cores", "2", "-n", "--quiet", "rules"]
        command += ["--config", f"studies={folder}", f"results={folder}/results"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = {name: int(count) for name, count in JOBS.findall(done.stdout + done.stderr)}
    record = {
        "runs": jobs["train"],
        "jobs": jobs["total"],
        "wall_seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "memory_mb": used.ru_maxrss // 1024,
        "provenance": provenance.collect(
            backend="skirmish",
            threads=1,
            device="cpu",
            command=provenance.command_line("tests.benchmarks.bench_dag"),
        ),
    }
    arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    print({key: record[key] for key in ("runs", "jobs", "wall_seconds", "cpu_seconds", "memory_mb")})


if __name__ == "__main__":
    main()
