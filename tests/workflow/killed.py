"""A small study of real runs, of which a test kills one in the middle, and what it says when it has ended."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from analysis.store import directory
from analysis.study import Study
from analysis.study_files import load_study
from tests.analysis.synthetic import write_study

ROOT = Path(__file__).resolve().parents[2]
MARKS = range(0, 1001, 100)
KILL_AT = 600  # mark: in the middle; learning starts at 500, steps are slow from there on
DEADLINE = 900  # seconds for whatever is waited for; a busy machine may need minutes
TIMES = r"^(?:wall_|job_)|_hours$"  # columns that no two runs share
STUDY: dict[str, Any] = {
    "name": "killed",
    "description": "MAZero, QMIX and VDN on a matrix game.",
    "seeds": [0],
    "algorithms": {
        "mazero": {"program": "mazero", "label": "MAZero"},
        "qmix": {"program": "baselines", "algorithm": "qmix", "label": "QMIX"},
        "vdn": {"program": "baselines", "algorithm": "vdn", "label": "VDN"},
    },
    "groups": {
        "matrix": {
            "title": "A matrix game",
            "backend": "matrix",
            "maps": ["matrix_1"],
            "env_steps": MARKS[-1],
            "eval_every": MARKS.step,
            "eval_episodes": 8,
            "presets": {"mazero": "matrix", "qmix": "matrix", "vdn": "matrix"},
        }
    },
}


class Folder:
    """A working directory with the study, whose runs save a checkpoint each second instead of each minute."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "studies").mkdir()
        self.study: Study = load_study(write_study(path / "studies", STUDY))
        python = path / "python"
        python.write_text(
            f'#!/bin/sh\n[ "$3" != train ] || set -- "$@" --checkpoint-every 1\nexec {sys.executable} "$@"\n',
            encoding="utf-8",
        )
        python.chmod(0o755)

    def command(self, results: str, *options: str) -> list[str]:
        """Snakemake on the study, with its results in a folder of that name; `options` of the command line."""
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        settings = [f"studies={self.path / 'studies'}", f"python={self.path / 'python'}", f"results={results}"]
        return [*snakemake, "killed", *options, "--config", *settings]

    def place(self, algorithm: str, results: str) -> Path:
        """Directory of a run."""
        run = next(run for run in self.study.runs() if run.algorithm == algorithm)
        return self.path / results / directory(self.study, run)

    def outcome(self, results: str) -> dict[str, pd.DataFrame]:
        """Everything the study says in numbers but times: its collected table and those of its report, by file name."""
        root = self.path / results / "killed"
        files = [root / "evaluations.csv", *sorted((root / "tables").glob("*.csv"))]
        frames = {file.name: pd.read_csv(file) for file in files if file.stat().st_size > 1}
        assert len(frames["evaluations.csv"]) == 3 * len(MARKS) and len(frames) > 3
        return {name: frame.loc[:, ~frame.columns.str.contains(TIMES)] for name, frame in frames.items()}


def wait_for(happens: Callable[[], bool], workflow: subprocess.Popen[bytes], what: str) -> None:
    """Until it happens, while the workflow is at work."""
    deadline = time.monotonic() + DEADLINE
    while not happens():
        assert workflow.poll() is None, f"the workflow ended before {what}"
        assert time.monotonic() < deadline, f"waited {DEADLINE} s for {what}"
        time.sleep(0.05)


def in_the_middle(place: Path) -> bool:
    """Whether a run is beyond the mark at which it is to be killed, and has a checkpoint to go on from."""
    metrics = place / "metrics.jsonl"
    return (place / "checkpoint.pt").exists() and f'"mark": {KILL_AT}' in metrics.read_text(encoding="utf-8")


def resumed_at(place: Path) -> int:
    """Environment steps at which a run went on, by its log. Fails if it did not, or more than once."""
    (steps,) = re.findall(r"^resuming \S+ at (\d+) environment steps$", Path(f"{place}.log").read_text("utf-8"), re.M)
    return int(steps)


def trainer(folder: Path, place: Path) -> psutil.Process:
    """The process that trains the run in `place`, started in `folder`."""
    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        words = process.info["cmdline"] or []
        if "train" in words and "--out" in words and words[1:2] == ["-m"]:
            if folder / words[words.index("--out") + 1] == place and process.cwd() == str(folder):
                found.append(process)
    (process,) = found
    return process


def assert_same(left: dict[str, pd.DataFrame], right: dict[str, pd.DataFrame]) -> None:
    """Every number of two outcomes, exactly."""
    assert left.keys() == right.keys()
    for name in left:
        pd.testing.assert_frame_equal(left[name], right[name], check_exact=True, obj=name)
