"""Where the numbers of a study come from: commits, machines, versions and cost, summed up from the run directories.

It is gathered once, when the runs are collected, and kept beside the table (evidence.json): reports are made of these
two, wherever they are copied to.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analysis import store
from analysis.collect import SUPERSEDED, read_json
from analysis.study import Study, StudyError
from training.files import write_json

NAME = "evidence.json"
PUBLISHED = "COMMAND.md"  # what `report.publish` writes, with `Evidence.lines` in it
COST = re.compile(
    r"(?P<runs>\d+) runs, (?P<wall_hours>[\d.]+) hours of run time in all, "
    r"longest run (?P<longest_minutes>[\d.]+) minutes, (?P<env_steps>[\d,]+) environment steps"
)
LISTED = {
    "commit": "commits",
    "sources (SHA-256 of code, presets and data)": "sources",
    "machine": "machines",
    "threads per run": "threads",
    "versions": "versions",
    "unit data of the simulator": "unit_data",
}


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
    memory_mb: dict[str, float] = field(default_factory=dict)  # algorithm key -> most that a run of it held at once
    identities: tuple[tuple[str, str, str, str], ...] = ()  # group, map, algorithm key, identity of its runs

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
    memory: dict[str, float] = {}
    identities: dict[tuple[str, str, str, str], None] = {}  # in order, each once
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
        identities[run.group, run.map, run.algorithm, directory.parent.name.rpartition("-")[2]] = None
        if (peak := _peak_memory(directory.with_name(f"{directory.name}.tsv"))) is not None:
            memory[run.algorithm] = max(peak, memory.get(run.algorithm, 0.0))
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
        memory_mb=memory,
        identities=tuple(identities),
    )


def write(evidence: Evidence, root: Path) -> Path:
    """Keep it beside the table, in the folder of the study. Returns: the file."""
    write_json(root / NAME, asdict(evidence))
    return root / NAME


def read(root: Path) -> Evidence:
    """What `write` kept; of a published study that is older than that, what its COMMAND.md says.

    Raises: StudyError if there is neither, or if it is something else.
    """
    if not (root / NAME).is_file():
        return _published(root / PUBLISHED)
    document = read_json(root / NAME)
    try:
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
        }
        return Evidence(**{**plain, "identities": tuple(tuple(row) for row in document["identities"])})
    except (TypeError, KeyError) as error:
        raise StudyError(f"{root / NAME}: not the evidence of a study ({error}); collect the runs again") from error


def _published(path: Path) -> Evidence:
    """The items of a list made by `Evidence.lines`, each as it stands there, and the last block of commands."""
    if not path.is_file():
        raise StudyError(
            f"{path.parent}: neither {NAME} nor {PUBLISHED} beside the table, so nobody knows what ran; collect again"
        )
    text = path.read_text(encoding="utf-8")
    items = dict(line[2:].split(": ", 1) for line in text.splitlines() if line.startswith("- ") and ": " in line)
    cost = COST.fullmatch(items.get("cost", ""))
    if cost is None:
        raise StudyError(f"{path}: its list lacks the cost of the runs; collect and publish the study again")
    listed: dict[str, Any] = {name: (items[item],) if item in items else () for item, name in LISTED.items()}
    commands = text.split("```")[-2].strip().splitlines()
    return Evidence(
        **listed,
        runs=int(cost["runs"]),
        wall_hours=float(cost["wall_hours"]),
        longest_minutes=float(cost["longest_minutes"]),
        env_steps=int(cost["env_steps"].replace(",", "")),
        commands={str(number): command for number, command in enumerate(commands)},
    )


def _peak_memory(path: Path) -> float | None:
    """Largest resident memory in MB of all attempts, of Snakemake's benchmark file; None where it was not measured."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            texts = [row.get("max_rss") or "-" for row in csv.DictReader(file, delimiter="\t")]
    except FileNotFoundError:
        return None
    return max((float(text) for text in texts if text not in ("-", "NA")), default=None)


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
