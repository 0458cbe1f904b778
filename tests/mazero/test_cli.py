"""Command line: bad input is one line, exit code 2, and nothing is written; a run leaves its files."""

import json

import pytest

from mazero.cli import run
from tests.mazero.tiny import TINY
from training.cli import main


def train(tmp_path, *flags):
    return main(run, ["train", "--map", "matrix_1", "--seed", "0", "--out", str(tmp_path / "run"), *flags])


SMALL = ["--preset", "matrix", "--env-steps", "80", "--eval-every", "40", "--eval-episodes", "2", "--set", *TINY]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--map", "3mm"], "3m"),
        (["--backend", "skirmisch"], "skirmish"),
        (["--preset", "labtop"], "laptop"),
        (["--set", "search.rho=1.0"], "rho must lie in [0, 1), got 1.0"),
        (["--set", "search.num_sampled_actions=0"], "num_sampled_actions must be"),
        (["--set", "search.nmu_simulations=3"], "did you mean 'num_simulations'"),
        (["--env-steps", "0"], "env_steps must be at least 1"),
        (["--env-steps", "100", "--eval-every", "101"], "eval_every must lie in 1..env_steps"),
        (["--threads", "0"], "threads must lie in 1.."),
        (["--seed", "-1"], "seed must be"),
        (["--device", "cuda:7"], "use --device cpu"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, flags, message):
    assert train(tmp_path, *flags) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_its_files_and_can_be_evaluated(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--progress", "lines") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "win" in line]) == 3
    out = tmp_path / "run"
    names = {p.name for p in out.iterdir()}
    assert names >= {"config.json", "provenance.json", "metrics.jsonl", "checkpoint.pt", "done.json"}
    assert json.loads((out / "provenance.json").read_text())["backend"] == "matrix"
    assert main(run, ["evaluate", "--run", str(out), "--episodes", "3", "--seed", "4"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["num_episodes"] == 3 and answer["map"] == "matrix_1" and answer["search"] is True


def test_another_config_is_refused_and_nothing_is_overwritten(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--stop-at", "40", "--progress", "none") == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert train(tmp_path, *SMALL, "loss.awpo=false") == 2
    assert "config.loss.awpo: True there, False here" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_corrupt_checkpoint_is_refused_and_nothing_is_overwritten(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--stop-at", "40", "--progress", "none") == 0
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"garbage")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    assert train(tmp_path, *SMALL) == 2
    assert "corrupt" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_an_unwritable_output_directory_is_refused(tmp_path, capsys):
    (tmp_path / "run").write_text("a file, not a directory")
    assert train(tmp_path, *SMALL) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "run").read_text() == "a file, not a directory"


def test_tensorboard_events_are_written_on_request(tmp_path):
    assert train(tmp_path, *SMALL, "--progress", "none", "--tensorboard") == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
