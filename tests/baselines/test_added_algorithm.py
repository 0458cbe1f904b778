"""A new value-based algorithm needs a mixer and one line of registry: command line and workflow then know it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.store import directory
from analysis.study_files import load_study
from baselines import registry
from baselines.__main__ import run
from baselines.value_based.config import ValueConfig
from baselines.value_based.mixers import JointChoice, Mixer
from tests.analysis.synthetic import study_document, write_study
from training.cli import main
from training.metrics import read_records

ROOT = Path(__file__).resolve().parents[2]


# Snakemake in a process whose registry has one line more.
PLANNER = """
import sys
from snakemake.cli import main
from baselines import registry
from tests.baselines.test_added_algorithm import added
registry.ALGORITHMS["average"] = added()
main(sys.argv[1:])
"""


class Average(Mixer):
    """Q_tot = mean_i Q_i."""

    def forward(self, choice: JointChoice):
        return choice.chosen.mean(-1, keepdim=True)


def added():
    return registry._value_based(ValueConfig, lambda config, info: Average())


@pytest.fixture
def average(monkeypatch):
    monkeypatch.setitem(registry.ALGORITHMS, "average", added())


def toy_study(directory: Path) -> None:
    document = study_document()
    document["algorithms"] = {"average": {"program": "baselines", "algorithm": "average", "label": "Average"}}
    document["groups"] = {"matrix": {**document["groups"]["matrix"], "maps": ["matrix_1"], "env_steps": 600}}
    document["groups"]["matrix"]["presets"] = {"average": "matrix"}
    del document["groups"]["matrix"]["overrides"]
    document["seeds"] = [0]
    write_study(directory, document)


def test_an_added_algorithm_is_planned_by_the_workflow_and_trained_by_its_command(average, tmp_path, capsys):
    toy_study(tmp_path)
    study = load_study(tmp_path / "toy.yaml")
    done = f"results/{directory(study, next(study.runs()))}/done.json"
    snakemake = [sys.executable, "-c", PLANNER, "--snakefile", str(ROOT / "Snakefile")]
    plan = subprocess.run(
        [*snakemake, "--cores", "1", "-n", "-p", done, "--config", f"studies={tmp_path}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    printed = plan.stdout + plan.stderr
    assert plan.returncode == 0, printed
    (command,) = [line for line in printed.splitlines() if "-m baselines train" in line]
    arguments = shlex.split(command.partition("-m baselines ")[2].partition(" $TENSORBOARD")[0])
    assert arguments[:3] == ["train", "--algorithm", "average"]
    out = tmp_path / done
    arguments[arguments.index("--out") + 1] = str(out.parent)

    assert main(run, arguments) == 0, capsys.readouterr().err
    assert json.loads(out.read_text())["env_steps"] == 600
    last = list(read_records(out.parent / "metrics.jsonl", "train"))[-1]
    assert last["updates"] == 2 * (60 - 31) and last["loss"] > 0
    assert main(run, ["evaluate", "--run", str(out.parent), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["algorithm"] == "average"


def test_unknown_algorithms_are_named_with_the_nearest_known_one(average, tmp_path, capsys):
    command = ["train", "--algorithm", "averag", "--map", "matrix_1", "--seed", "0", "--out", str(tmp_path / "x")]
    assert main(run, command) == 2
    assert "did you mean 'average'?" in capsys.readouterr().err
