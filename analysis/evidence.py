"""Where the numbers of a study come from: commits, machines, versions and cost, summed up from the run directories."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.collect import SUPERSEDED, read_json
from analysis.study import Study


@dataclass(frozen=True)
class Evidence:
    """The records of all runs, most common first."""

    commits: tuple[str, ...]
    unit_data: tuple[str, ...]  # of the runs of the simulator
    machines: tuple[str, ...]
    versions: tuple[str, ...]
    threads: tuple[str, ...]
    runs: int
    wall_hours: float  # summed over runs
    longest_minutes: float
    env_steps: int
    commands: dict[str, str]  # algorithm key -> command of its first run

    def lines(self) -> list[str]:
        """Markdown list items."""
        return [
            f"- commit: {', '.join(self.commits)}",
            f"- machine: {'; '.join(self.machines)}",
            f"- threads per run: {', '.join(self.threads)}",
            f"- versions: {'; '.join(self.versions)}",
            *([f"- unit data of the simulator: {', '.join(self.unit_data)}"] if self.unit_data else []),
            f"- cost: {self.runs} runs, {self.wall_hours:.2f} hours of run time in all, longest run "
            f"{self.longest_minutes:.1f} minutes, {self.env_steps:,} environment steps",
        ]


def gather(study: Study, root: Path) -> Evidence:
    """Read provenance.json and done.json of every run.

    Raises: StudyError naming a file that is missing or unreadable.
    """
    commits: Counter[str] = Counter()
    units: Counter[str] = Counter()
    machines: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    commands: dict[str, str] = {}
    seconds: list[float] = []
    steps = 0
    for run in study.runs():
        record = read_json(root / run.path / "provenance.json")
        done = read_json(root / run.path / "done.json")
        dirty = " with uncommitted changes" if record.get("git_dirty") else ""
        commits[f"{record.get('git_commit') or 'unknown'}{dirty}"] += 1
        if run.backend == "skirmish":
            units[record.get("unit_data") or SUPERSEDED] += 1
        machines[_machine(record)] += 1
        threads[str(record.get("threads", "unknown"))] += 1
        packages = {"python": record.get("python", "unknown"), **record.get("versions", {})}
        versions[", ".join(f"{name} {version}" for name, version in packages.items())] += 1
        command = record.get("command", "unknown")
        commands.setdefault(run.algorithm, " ".join(command) if isinstance(command, list) else str(command))
        seconds.append(float(done["wall_seconds"]))
        steps += int(done["env_steps"])
    return Evidence(
        commits=_by_count(commits),
        unit_data=_by_count(units),
        machines=_by_count(machines),
        versions=_by_count(versions),
        threads=_by_count(threads),
        runs=len(seconds),
        wall_hours=sum(seconds) / 3600,
        longest_minutes=max(seconds) / 60,
        env_steps=steps,
        commands=commands,
    )


def _machine(record: dict[str, Any]) -> str:
    parts = [f"{record.get('cpu', 'unknown CPU')}, {record.get('cpu_count', '?')} CPUs"]
    if record.get("gpu"):
        parts.append(str(record["gpu"]))
    parts.append(str(record.get("platform", "unknown platform")))
    return ", ".join(parts)


def _by_count(counter: Counter[str]) -> tuple[str, ...]:
    """Most common first; with its number of runs where not all agree."""
    if len(counter) == 1:
        return tuple(counter)
    return tuple(f"{name} ({count} runs)" for name, count in counter.most_common())
