"""What a person sees, and what happens when nobody looks any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ["-m", "mazero", "train", "--map", "matrix_1", "--seed", "0", "--preset", "matrix", "--env-steps", "48"]
TINY = ["--eval-every", "12", "--eval-episodes", "2", "--set", "replay.start=12", "search.num_simulations=4"]


@pytest.mark.parametrize("mode", ["lines", "bar"])
def test_a_run_survives_the_end_of_whoever_reads_its_output(tmp_path, mode):
    read, write = os.pipe()
    command = [sys.executable, *TRAIN, *TINY, "--out", str(tmp_path / "run"), "--progress", mode]
    process = subprocess.Popen(command, cwd=ROOT, stdout=write, stderr=write)
    os.close(write)
    os.close(read)
    assert process.wait(120) == 0
    assert (tmp_path / "run" / "done.json").is_file()
