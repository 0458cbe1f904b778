"""A study through `profiles/slurm` on a real Slurm: a cancelled job goes on, small ones share one.  `make test-slurm`

What happened is written to results/slurm/transcript.txt, without names of this machine.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.killed import (
    DEADLINE,
    KILL_AT,
    MARKS,
    ROOT,
    Folder,
    assert_same,
    in_the_middle,
    resumed_at,
    wait_for,
)

TRANSCRIPT = ROOT / "results" / "slurm" / "transcript.txt"
SHORT_RUNS = 18  # seconds: QMIX and VDN are estimated to take 12, MAZero 23


class Transcript:
    """What was done and said, as it may be published."""

    def __init__(self, folder: Path) -> None:
        self._lines: list[str] = []
        self._names = {str(folder): ".", str(ROOT): "REPOSITORY", sys.executable: "python"}
        self._host = re.compile(rf"\b{re.escape(socket.gethostname().partition('.')[0])}\b")

    def tell(self, text: str) -> None:
        """Add a paragraph."""
        for name, word in self._names.items():
            text = text.replace(name, word)
        self._lines += [*self._host.sub("node", text).rstrip().splitlines(), ""]

    def write(self) -> None:
        """Put it where it is copied from."""
        TRANSCRIPT.parent.mkdir(parents=True, exist_ok=True)
        TRANSCRIPT.write_text("\n".join(self._lines), encoding="utf-8")


def jobs(layout: str, *, states: str) -> list[str]:
    """What squeue lists of jobs in these states, a line each."""
    command = ["squeue", "--noheader", f"--format={layout}", f"--states={states}", "--sort=i"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def job_of(place: Path) -> str:
    """Number of the running Slurm job that makes a run: its comment names variant and seed."""
    name = f"{place.parent.name}_{place.name.removeprefix('seed=')}"
    (found,) = [line.split()[0] for line in jobs("%i %k", states="running") if line.rstrip().endswith(name)]
    return found


@pytest.mark.slurm
def test_a_cancelled_job_goes_on_and_ends_as_if_left_alone(tmp_path: Path) -> None:
    folder, transcript = Folder(tmp_path), Transcript(tmp_path)
    # Of this Slurm: no accounting to ask, and answers at once.
    here = ["--slurm-no-account", "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2"]
    here += ["--seconds-between-status-checks", "2"]
    command = folder.command("results", "--profile", str(ROOT / "profiles" / "slurm"), *here)
    command.append(f"short_runs={SHORT_RUNS}")
    transcript.tell(f"$ {shlex.join(command)}")
    log, place = tmp_path / "log", folder.place("mazero", "results")
    with log.open("wb") as file, subprocess.Popen(command, cwd=tmp_path, stderr=file, stdout=file) as workflow:
        try:
            wait_for(lambda: in_the_middle(place), workflow, f"mark {KILL_AT}")
            number = job_of(place)
            subprocess.run(["scancel", number], check=True)
            transcript.tell(f"$ scancel {number}    # MAZero, beyond {KILL_AT} of {MARKS[-1]} steps")
            assert workflow.wait(DEADLINE) == 0, log.read_text(encoding="utf-8")
        finally:
            workflow.terminate()
    transcript.tell(log.read_text(encoding="utf-8"))
    listed = jobs("%.4i %.10T %.4C %.7m %.10l  %k", states="all")
    transcript.tell("\n".join(["$ squeue --states=all --format='%.4i %.10T %.4C %.7m %.10l  %k'", *listed]))
    transcript.tell(f"$ cat {place}.log\n{Path(f'{place}.log').read_text(encoding='utf-8')}")
    transcript.write()
    assert KILL_AT <= resumed_at(place) < MARKS[-1]  # a cancelled run saves where it is
    names = [line.split()[-1] for line in listed]
    assert names.count("rule_short_train") == 1  # QMIX and VDN
    assert sum("mazero" in name for name in names) == 2  # cancelled, and again
    assert sum("analysis" in name for name in names) == 1  # collect, tables, figures, report, export

    local = folder.command("left_alone")
    transcript.tell(f"$ {shlex.join(local)}    # without Slurm")
    subprocess.run(local, cwd=tmp_path, check=True, capture_output=True)
    outcome = folder.outcome("results")
    assert_same(outcome, folder.outcome("left_alone"))
    transcript.tell(f"Equal in both, but for times: {', '.join(outcome)}")
    transcript.write()
