"""What studies are going to take, before they start: core hours, memory and disk.

    python -m analysis.estimate fig3 fig5 --scale laptop --cores 2

Time is that of finished runs (`data/costs.csv`) times how much slower this machine does a fixed piece of work. Where a
map was not run, it is that of the maps that were, by the number of agents; where a preset was not, that of its nearest
relative. So it is right to a factor of two, not more; the more is run, the better it gets.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import store
from analysis.costs import DATA
from analysis.memory import memory_mb
from analysis.study import Run, Study, StudyError
from analysis.study_files import STUDIES, load_studies
from analysis.variants import add_flags, options, variants

SIZES = DATA.with_name("map_sizes.csv")
FIXED_WORK_SECONDS = 0.11  # CPU seconds of `fixed_work` on the machine that data/costs.csv is of
START_SECONDS = 10.0  # of a run: imports, the evaluation before the first step, the absolute metric
DISK_MB = 6  # of a finished run: the mean of the 427 of a whole reproduction at the scale `tiny`
# Networks that learn more slowly than the standard one, in plain torch (mazero/README.md: 53 ms a step instead of 26).
SLOWER: dict[tuple[str, object], float] = {("network.sharing", "none"): 2.0, ("network.sharing", "type"): 2.0}


@dataclass(frozen=True)
class Line:
    """One study in the plan."""

    study: str
    runs: int
    finished: int
    seconds: float  # of the runs that are left
    longest: float
    memory_mb: int  # of the run that takes most, of those that are left


def plan(runs: Iterable[tuple[Study, Run]], results: Path, *, slowness: float) -> list[Line]:
    """One line a study, in the order they come in; a run that two need counts with the first.

    Args:
      results: folder of all results.    slowness: of this machine, 1 is that of `data/costs.csv`.
    """
    seen: set[Path] = set()
    seconds: dict[str, list[float]] = {}
    finished: dict[str, int] = {}
    most: dict[str, int] = {}
    for study, run in runs:
        directory = store.directory(study, run)
        if directory in seen:
            continue
        seen.add(directory)
        if (results / directory / "done.json").is_file():
            finished[study.name] = finished.get(study.name, 0) + 1
            seconds.setdefault(study.name, [])
        else:
            seconds.setdefault(study.name, []).append(slowness * run_seconds(study, run))
            most[study.name] = max(most.get(study.name, 0), memory_mb(study, run))
    return [
        Line(name, len(left) + done, done, sum(left), max(left, default=0.0), most.get(name, 0))
        for name, left in seconds.items()
        for done in [finished.get(name, 0)]
    ]


def render(lines: list[Line], *, cores: int, slowness: float) -> str:
    """The plan for the terminal: a line a study, their sum, what it comes to on `cores` cores, what that rests on."""
    head = f"{'study':<24}{'runs':>6}{'finished':>10}{'core hours':>12}{'longest run':>13}"
    rows = [
        f"{line.study:<24}{line.runs:>6}{line.finished:>10}{line.seconds / 3600:>12.1f}{_duration(line.longest):>13}"
        for line in lines
    ]
    runs, finished = sum(line.runs for line in lines), sum(line.finished for line in lines)
    hours, longest = sum(line.seconds for line in lines) / 3600, max((line.longest for line in lines), default=0.0)
    rows.append(f"{'in all':<24}{runs:>6}{finished:>10}{hours:>12.1f}{_duration(longest):>13}")
    left, side = runs - finished, min(cores, runs - finished)
    most = max((line.memory_mb for line in lines), default=0)
    wall = max(hours / max(1, cores), longest / 3600)
    return "\n".join(
        [
            head,
            *rows,
            f"{cores} cores: about {wall:.1f} hours, up to {side * most / 1000:.0f} GB of memory"
            f" (the largest run {most:,} MB; --resources mem_mb=MB sets a limit to all at once), about"
            f" {left * DISK_MB / 1000:.1f} GB of disk, and while runs go on up to as much as their memory.",
            f"From finished runs (analysis/data/costs.csv), maps without one by their number of agents; fixed work"
            f" takes {slowness:.2f} times as long here as where those were made.\n",
        ]
    )


def run_seconds(study: Study, run: Run) -> float:
    """Seconds that a run is likely to take on the machine of `data/costs.csv`."""
    steps, family = study.groups[run.group].env_steps, study.algorithms[run.algorithm].family
    slower = math.prod(SLOWER.get(setting, 1.0) for setting in study.overrides(run).items())
    return START_SECONDS + slower * steps / 1000 * _seconds_per_1000(family, study.preset(run), run.map)


def fixed_work() -> float:
    """CPU seconds of this thread for sorting and exponentials of a fixed array, the best of five."""
    numbers, seconds = np.random.default_rng(0).normal(size=200_000), []
    for _ in range(5):
        began = time.thread_time()
        for _ in range(10):
            np.exp(np.sort(numbers))
        seconds.append(time.thread_time() - began)
    return min(seconds)


def slowness(cores: int) -> float:
    """How much longer fixed work takes on `cores` cores at once than it took beside the runs of `data/costs.csv`.

    At once, because cores that share a unit slow each other down, and so will the runs.
    """
    with ThreadPoolExecutor(cores) as threads:
        seconds = list(threads.map(lambda _: fixed_work(), range(cores)))
    return sum(seconds) / cores / FIXED_WORK_SECONDS


@cache
def _seconds_per_1000(family: str, preset: str, name: str) -> float:
    """Of the nearest relative that was run: method and preset, method, preset, anything; there by number of agents."""
    costs = pd.read_csv(DATA)
    same_kind = costs["map"].str.startswith("matrix_") == name.startswith("matrix_")
    for relatives in (
        (costs["family"] == family) & (costs["preset"] == preset),
        costs["family"] == family,
        (costs["family"] != "mazero") & (costs["preset"] == preset),
        costs["family"] != "mazero",
    ):
        rows = costs[relatives & same_kind]
        if (rows["map"] == name).any():
            return float(rows.loc[rows["map"] == name, "seconds_per_1000_steps"].mean())
        if len(rows):
            scale = _by_agents(name) / rows["map"].map(_by_agents)
            return float((rows["seconds_per_1000_steps"] * scale).mean())
    raise StudyError(f"{DATA}: no run that {family} on {name} could be compared with")


def _by_agents(name: str) -> float:
    """Cost of a map relative to others: two parts that every step has, and one an agent."""
    sizes = pd.read_csv(SIZES).set_index("map")["agents"]
    return float(2 + sizes.get(name, sizes.max()))


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.estimate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="studies (default: those that reproduce the paper)")
    parser.add_argument("--studies", type=Path, default=STUDIES, help="folder of study files")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all results")
    parser.add_argument("--cores", type=int, default=1)
    add_flags(parser)
    arguments = parser.parse_args(argv)
    try:
        studies, _ = load_studies(arguments.studies)
        unknown = [name for name in arguments.names if name not in studies]
        if unknown:
            raise StudyError(f"no study {', '.join(unknown)}; there are: {', '.join(studies)}")
        made, faults = variants(studies, **options(arguments))
        for name in arguments.names:
            if name in faults:
                raise faults[name]
        chosen = [study for stem, study in made.items() if stem in arguments.names]
        chosen = chosen or [study for study in made.values() if study.reproduces]
        if not chosen:
            raise StudyError(f"no study is left of those that reproduce the paper: {next(iter(faults.values()))}")
        machine = slowness(max(1, min(arguments.cores, os.cpu_count() or 1)))
        lines = plan(((s, run) for s in chosen for run in s.runs()), arguments.results, slowness=machine)
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(render(lines, cores=arguments.cores, slowness=machine))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
