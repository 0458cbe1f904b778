"""Which unit data the simulator fought with: recorded, part of a run's identity, named where they change."""

import json
import logging
from argparse import Namespace
from types import SimpleNamespace

import pytest

from baselines.__main__ import run
from training import cli

TRAIN = ["train", "--algorithm", "qmix", "--map", "3m", "--preset", "low_data", "--seed", "0", "--progress", "none"]
TRAIN += ["--env-steps", "40", "--eval-every", "40", "--eval-episodes", "2"]


@pytest.fixture
def use(monkeypatch):
    """Makes the environments fight with other unit data, as far as the suite can see."""
    return lambda data: monkeypatch.setattr(cli, "unit_data", lambda info: data)


def test_backends_that_say_nothing_have_none():
    assert cli.unit_data(SimpleNamespace()) == ""
    assert cli.unit_data(SimpleNamespace(unit_data="4.10")) == "4.10"


def test_a_run_records_them_and_is_not_continued_with_others(tmp_path, capsys, use):
    command = [*TRAIN, "--out", str(tmp_path / "run")]
    use("4.10")
    assert cli.main(run, command) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["unit_data"] == "4.10"
    (session,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"]
    assert session["unit_data"] == "4.10"
    capsys.readouterr()
    use("4.6.2")
    assert cli.main(run, command) == 2
    assert "another config (unit_data: '4.10' there, '4.6.2' here)" in capsys.readouterr().err


def test_runs_of_other_backends_stay_as_they_were(tmp_path, use):
    use("")
    assert cli.main(run, [*TRAIN, "--out", str(tmp_path / "run")]) == 0
    assert "unit_data" not in json.loads((tmp_path / "run" / "config.json").read_text())
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"][0]["unit_data"] is None


def test_evaluation_names_them_and_warns_where_they_changed(tmp_path, capsys, caplog, use):
    use("4.10")
    assert cli.main(run, [*TRAIN, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    with caplog.at_level(logging.WARNING):
        assert cli.main(run, ["evaluate", "--run", str(tmp_path / "run"), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["unit_data"] == "4.10" and not caplog.records
    use("4.6.2")
    assert cli.main(run, ["evaluate", "--run", str(tmp_path / "run"), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["unit_data"] == "4.6.2"
    assert "trained with unit data 4.10, played with 4.6.2" in caplog.text


@pytest.mark.parametrize(("written", "read"), [("4.10", "4.10"), ('"4.10"', "4.10"), ("4.6.2", "4.6.2"), ("5", "5")])
def test_a_game_version_stays_a_text(written, read):
    arguments = Namespace(env=[[f"game_version={written}", "obs_noise=0.10"]])
    assert cli.env_options(arguments) == {"game_version": read, "obs_noise": 0.1}
