"""Films of trained policies, through the command lines of both programs."""

import imageio.v3 as iio
import pytest

import baselines.__main__
import mazero.cli
from tests.mazero.tiny import TINY
from training.cli import main

SHORT = ["--progress", "none", "--seed", "0", "--eval-episodes", "1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A short run of each program on 3m."""
    root = tmp_path_factory.mktemp("runs")
    tiny = [*SHORT, "--map", "3m", "--preset", "laptop", "--env-steps", "60", "--set", *TINY]
    assert main(mazero.cli.run, ["train", *tiny, "--out", str(root / "mazero")]) == 0
    small = ["rollout.num_envs=4", "agent.hidden_size=8", "learning.batch_episodes=4", "learning.start_episodes=4"]
    flags = [*SHORT, "--map", "3m", "--algorithm", "qmix", "--env-steps", "60", "--set", *small]
    assert main(baselines.__main__.run, ["train", *flags, "--out", str(root / "baselines")]) == 0
    return {"mazero": (mazero.cli.run, root / "mazero"), "baselines": (baselines.__main__.run, root / "baselines")}


@pytest.mark.parametrize(("program", "flags"), [("mazero", []), ("mazero", ["--no-search"]), ("baselines", [])])
def test_a_trained_run_can_be_filmed(runs, tmp_path, capsys, program, flags):
    run, directory = runs[program]
    capsys.readouterr()
    out = tmp_path / "film.gif"
    size = ["--size", "160", "--loops-per-frame", "8", "--agent", "2"]
    assert main(run, ["watch", "--run", str(directory), "--out", str(out), *size, *flags]) == 0
    answer = capsys.readouterr().out
    frames = len(iio.imread(out))
    assert answer.startswith(f"{out}: {frames} frames of 160 x ") and f"after {frames - 2} steps" in answer


@pytest.mark.parametrize("program", ["mazero", "baselines"])
def test_bad_input_is_one_line_before_anything_is_loaded(runs, tmp_path, capsys, program):
    run, directory = runs[program]
    other = {"mazero": "baselines", "baselines": "mazero"}[program]
    for flags, message in (
        (["--run", str(tmp_path / "none"), "--out", "film.gif"], "is not a run directory"),
        (["--run", str(runs[other][1]), "--out", "film.gif"], f"use python -m {other} watch"),
        (["--run", str(directory), "--out", "film.avi"], "ends in .gif or .mp4"),
        (["--run", str(directory), "--out", "film.gif", "--agent", "3"], "agent must lie in 0..2"),
    ):
        capsys.readouterr()
        assert main(run, ["watch", *flags]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_a_battle_is_looked_for_by_how_it_ends(runs, tmp_path, capsys):
    """A run of 60 steps loses: its first battle is the first one lost, and none is won."""
    run, directory = runs["mazero"]
    capsys.readouterr()
    film = ["watch", "--run", str(directory), "--out", str(tmp_path / "film.gif"), "--size", "160", "--no-search"]
    film += ["--loops-per-frame", "8", "--seed", "3"]
    assert main(run, [*film, "--outcome", "lost"]) == 0
    answer = capsys.readouterr().out
    assert answer.startswith("lost: episode seed 3\n") and "win after" not in answer
    assert main(run, [*film, "--force", "--outcome", "won", "--tries", "2"]) == 2
    assert "none of 2 battles from seed 3 on is won: give more --tries" in capsys.readouterr().err
    assert main(run, [*film, "--force", "--outcome", "won", "--tries", "0"]) == 2
    assert "tries must be at least 1, got 0" in capsys.readouterr().err


def test_matrix_games_cannot_be_filmed(tmp_path, capsys):
    flags = [*SHORT, "--map", "matrix_1", "--preset", "matrix", "--env-steps", "40", "--set", *TINY]
    assert main(mazero.cli.run, ["train", *flags, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(mazero.cli.run, ["watch", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "film.gif")]) == 2
    assert "only runs of the backend skirmish can be filmed, got one of matrix" in capsys.readouterr().err
