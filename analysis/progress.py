"""What a person asks while a study runs: which runs are finished, how far are the others, is one of them stuck?

Reads run directories that are being written: a half-written last line is skipped here, where `collect` would refuse
it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import store
from analysis.study import Run, Study

STALE_AFTER = 900.0  # seconds without a write; a run writes its metrics or its checkpoint about every minute

FINISHED, RUNNING, STALE, WAITING = "finished", "running", "stale", "waiting"


@dataclass(frozen=True)
class RunProgress:
    """How far one run is."""

    run: Run
    state: str  # finished | running | stale | waiting
    env_steps: int
    budget: int  # environment steps
    win_rate: float | None  # last evaluation
    wall_seconds: float


def progress(study: Study, root: Path, *, now: float | None = None) -> list[RunProgress]:
    """The state of every run of `study`, whose own folder is `root`, in the order of the study.

    Args:
      now: seconds since the epoch; the clock if left out.
    """
    now = time.time() if now is None else now
    return [
        _run_progress(run, store.place(study, run, root), budget=study.groups[run.group].env_steps, now=now)
        for run in study.runs()
    ]


def render(rows: list[RunProgress], study: Study) -> str:
    """A table for the terminal, one line per run, and one line that sums it up."""
    head = ("map", "algorithm", "seed", "env steps", "win rate", "wall time", "state")
    lines = [head]
    for row in rows:
        win_rate = "-" if row.win_rate is None else f"{row.win_rate:.2f}"
        steps = f"{row.env_steps:,}/{row.budget:,}"
        label = study.algorithms[row.run.algorithm].label
        lines.append((row.run.map, label, str(row.run.seed), steps, win_rate, _duration(row.wall_seconds), row.state))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = {2, 3, 4, 5}
    text = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        )
        for line in lines
    ]
    counts = {state: sum(row.state == state for row in rows) for state in (FINISHED, RUNNING, STALE, WAITING)}
    share = sum(min(row.env_steps, row.budget) for row in rows) / sum(row.budget for row in rows)
    total = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    text.append(f"{study.name}: {len(rows)} runs, {total}; {share:.0%} of all environment steps")
    return "\n".join(line.rstrip() for line in text) + "\n"


def _run_progress(run: Run, directory: Path, *, budget: int, now: float) -> RunProgress:
    done = read_json(directory / "done.json")
    if done is not None:
        final = done.get("final") or {}
        return RunProgress(
            run, FINISHED, int(done["env_steps"]), budget, final.get("win_rate"), float(done["wall_seconds"])
        )
    steps, seconds, win_rate = 0, 0.0, None
    for record in read_records(directory / "metrics.jsonl"):
        steps, seconds = int(record.get("env_steps", steps)), float(record.get("wall_seconds", seconds))
        if record.get("kind") == "eval":
            win_rate = record.get("win_rate")
    written = [
        file.stat().st_mtime
        for name in ("config.json", "metrics.jsonl", "checkpoint.pt")
        if (file := directory / name).is_file()
    ]
    state = WAITING if not written else RUNNING if now - max(written) < STALE_AFTER else STALE
    return RunProgress(run, state, steps, budget, win_rate, seconds)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is none to read (yet)."""
    try:
        document = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def read_records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a line that is being written is left out."""
    records = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
