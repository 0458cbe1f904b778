"""Where the numbers of a study come from: commits, machines, versions and cost, summed up from the run directories."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import store
from analysis.collect import SUPERSEDED, read_json
from analysis.study import Study, StudyError


@dataclass(frozen=True)
class Evidence:
    """The records of all runs, most common first."""

    commits: tuple[str, ...]  # of a run that was continued under another one: both
    sources: tuple[str, ...]  # digests of the code, presets and data that ran
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
            f"- sources (SHA-256 of code, presets and data): {', '.join(self.sources)}",
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
    sources: Counter[str] = Counter()
    machines: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    commands: dict[str, str] = {}
    seconds: list[float] = []
    steps = 0
    for run in study.runs():
        directory = store.place(study, run, root)
        sessions = _sessions(directory / "provenance.json")
        record, done = sessions[0], read_json(directory / "done.json")
        if run.backend == "skirmish":
            units[record.get("unit_data") or SUPERSEDED] += 1
        for counter, tell in (
            (commits, _commit),
            (sources, lambda session: str(session.get("sources_sha256", "unknown"))[:16]),
            (machines, _machine),
            (threads, lambda session: str(session.get("threads", "unknown"))),
            (versions, _versions),
        ):
            counter[", then ".join(dict.fromkeys(tell(session) for session in sessions))] += 1
        command = record.get("command", "unknown")
        commands.setdefault(run.algorithm, " ".join(command) if isinstance(command, list) else str(command))
        seconds.append(float(done["wall_seconds"]))
        steps += int(done["env_steps"])
    return Evidence(
        commits=_by_count(commits),
        sources=_by_count(sources),
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


def _sessions(path: Path) -> list[dict[str, Any]]:
    """The sessions of a run, in order. Raises: StudyError if there is none."""
    sessions = read_json(path).get("sessions")
    if not isinstance(sessions, list) or not sessions or not all(isinstance(session, dict) for session in sessions):
        raise StudyError(f"{path}: expected a list of sessions, got {sessions!r}; make the run again")
    return sessions


def _commit(session: dict[str, Any]) -> str:
    dirty = " with uncommitted changes" if session.get("git_dirty") else ""
    return f"{session.get('git_commit') or 'unknown'}{dirty}"


def _versions(session: dict[str, Any]) -> str:
    packages = {"python": session.get("python", "unknown"), **session.get("versions", {})}
    return ", ".join(f"{name} {version}" for name, version in packages.items())


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
