"""A job that is killed in the middle is tried again by the same Snakemake, and leaves no trace in the results."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.workflow.killed import (
    DEADLINE,
    KILL_AT,
    MARKS,
    Folder,
    assert_same,
    in_the_middle,
    resumed_at,
    trainer,
    wait_for,
)


@pytest.mark.slow
def test_a_killed_job_leaves_the_tables_of_one_never_killed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    place = folder.place("mazero", "results")
    with subprocess.Popen(folder.command("results"), cwd=tmp_path, stderr=subprocess.PIPE) as workflow:
        try:
            wait_for(lambda: in_the_middle(place), workflow, f"mark {KILL_AT}")
            trainer(tmp_path, place).send_signal(signal.SIGKILL)
            _, told = workflow.communicate(timeout=DEADLINE)
        finally:
            workflow.terminate()
    assert workflow.returncode == 0, told.decode()
    assert b"Trying to restart job" in told
    assert resumed_at(place) < MARKS[-1]
    subprocess.run(folder.command("unkilled"), cwd=tmp_path, check=True, capture_output=True)
    assert_same(folder.outcome("results"), folder.outcome("unkilled"))
