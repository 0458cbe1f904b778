"""The mutation score of the default tests: `python -m tests.mutants.score --sample 600 --seed 0 --json score.json`.

mutmut makes every mutant of the functions of mazero, baselines, training and analysis that `[tool.mutmut]` in
pyproject.toml does not leave out, and finds out which tests run which function. A random sample of the mutants is then
tried: a mutant counts as killed if a test of its function fails, or does not end. All of them would take days. An
interrupted run goes on where it was; `mutants/` holds its state, delete it to start anew.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training.errors import UserError
from training.files import write_json

STATE = Path("mutants")
FIRST = "training.errors*"  # a handful of mutants: to try them, all are made and the tests are timed
KILLED = ("killed", "timeout", "segfault")
CONFIDENCE = 1.96  # standard deviations of a 95 % interval


def mutmut(*arguments: str) -> str:
    """What a mutmut command prints. Raises: UserError if it fails."""
    command = [str(Path(sys.executable).parent / "mutmut"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode != 0:
        raise UserError(f"mutmut {' '.join(arguments[:2])} failed: {done.stdout[-2000:]}")
    return done.stdout


def exit_codes() -> dict[str, int | None]:
    """Every mutant, and what came of it; None for those not tried."""
    found: dict[str, int | None] = {}
    for path in STATE.rglob("*.py.meta"):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return dict(sorted(found.items()))


def interval(killed: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, z = killed / total, CONFIDENCE
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return middle - half, middle + half


def summary(outcomes: dict[str, str], *, mutants: int, seed: int) -> dict[str, Any]:
    """Score by package and over all. outcomes: mutant -> status."""
    tried: Counter[str] = Counter(name.partition(".")[0] for name in outcomes)
    killed = Counter(name.partition(".")[0] for name, status in outcomes.items() if status in KILLED)
    low, high = interval(killed.total(), tried.total())
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    return {
        "command": f"python -m tests.mutants.score --sample {len(outcomes)} --seed {seed}",
        "commit": commit or None,
        "mutmut": version("mutmut"),
        "mutants": mutants,
        "sample": len(outcomes),
        "seed": seed,
        "score": round(killed.total() / tried.total(), 4),
        "score_interval_95": [round(low, 4), round(high, 4)],
        "by_package": {name: {"killed": killed[name], "tried": tried[name]} for name in sorted(tried)},
        "by_status": dict(Counter(outcomes.values())),
    }


def difference(name: str) -> str:
    """The lines that a mutant changes."""
    lines = mutmut("show", name).splitlines()
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def main() -> int:
    """Print, and with --json write, the score and the survivors. Returns: 1 if the score is below --least."""
    parser = argparse.ArgumentParser(description="mutation score of the default tests")
    parser.add_argument("--sample", type=int, default=600, help="mutants to try (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="tried side by side (default: %(default)s)")
    parser.add_argument("--least", type=float, default=0.9, help="score to reach (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    from mutmut.stats import status_by_exit_code  # only `make test-mutants` installs it

    jobs = ("--max-children", str(arguments.jobs))
    mutmut("run", *jobs, FIRST)
    names = list(exit_codes())
    sample = sorted(random.Random(arguments.seed).sample(names, min(arguments.sample, len(names))))
    before = exit_codes()
    left = [name for name in sample if before[name] is None]
    print(f"{len(names)} mutants, {len(sample)} drawn, {len(left)} to try", flush=True)
    if left:
        mutmut("run", *jobs, *left)
    codes = exit_codes()
    outcomes = {name: status_by_exit_code[codes[name]] for name in sample}
    record = summary(outcomes, mutants=len(names), seed=arguments.seed)
    print(json.dumps(record, indent=1))
    record["survivors"] = {
        name: {"status": status, "change": difference(name)}
        for name, status in outcomes.items()
        if status not in KILLED
    }
    if arguments.json:
        write_json(arguments.json, record)
    return int(record["score"] < arguments.least)


if __name__ == "__main__":
    sys.exit(main())
