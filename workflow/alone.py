"""Who else is at work in this folder? Two Snakemakes at once would start every run twice.

Snakemake's own lock outlives a kill, and would stand in the way of the same command again; a look at the processes does
not. The profile turns the lock off (`nolock`), and the workflow looks before it starts a job.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def others(folder: Path) -> list[psutil.Process]:
    """Snakemake processes started in `folder` before this one, its ancestors and those of dry runs left out."""
    own = psutil.Process()
    family = {own.pid, *(process.pid for process in own.parents())}
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            names = [Path(word).name for word in words[:3]]
            older = (process.create_time(), process.pid) < (own.create_time(), own.pid)
            if process.pid in family or "snakemake" not in names or not older or {*words} & {"-n", "--dry-run"}:
                continue
            if Path(process.cwd()) == folder:
                found.append(process)
        except (psutil.Error, OSError):  # gone meanwhile, or somebody else's
            continue
    return found


def complaint() -> str | None:
    """One line that says who is at work in the current folder, or None if nobody is."""
    folder = Path(os.getcwd()).resolve()
    if not (found := others(folder)):
        return None
    pids = ", ".join(str(process.pid) for process in found)
    return f"error: Snakemake is at work in {folder} already (process {pids}): wait, or end it by `kill {pids}`"
