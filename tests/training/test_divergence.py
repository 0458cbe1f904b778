"""Learners whose numbers grow beyond all bounds stop with one line; a policy that knows nothing scores nothing."""

import pytest

from baselines.__main__ import run as run_baselines
from mazero.cli import run as run_mazero
from training import cli
from training.loop import EXIT_DIVERGED
from training.metrics import read_records

TINY = ["--map", "matrix_1", "--seed", "0", "--env-steps", "2000", "--eval-every", "500", "--eval-episodes", "16"]
HUGE = {
    "mazero": ("matrix", ["optimiser.learning_rate=1e36", "replay.start=64", "search.num_simulations=5"]),
    "qmix": ("matrix", ["learning.learning_rate=1e36"]),
    "iql": ("matrix", ["learning.learning_rate=1e36"]),
    "mappo": ("matrix", ["learning.actor_learning_rate=1e36"]),
    "mamba": ("matrix", ["model_learning.learning_rate=1e36", "model_learning.start_steps=40"]),
    "ippo": ("matrix", ["learning.critic_learning_rate=1e36"]),
}


@pytest.mark.parametrize("algorithm", HUGE)
def test_an_absurd_learning_rate_ends_in_one_line_and_no_score(tmp_path, caplog, algorithm):
    preset, settings = HUGE[algorithm]
    program = run_mazero if algorithm == "mazero" else run_baselines
    command = ["train", *([] if algorithm == "mazero" else ["--algorithm", algorithm]), *TINY, "--preset", preset]
    command += ["--out", str(tmp_path / "run"), "--progress", "none", "--set", *settings]
    for _ in range(2):
        caplog.clear()
        assert cli.main(program, command) == EXIT_DIVERGED
        (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
        assert "diverged after" in line and "\n" not in line
    assert not (tmp_path / "run" / "done.json").exists()
    evaluations = list(read_records(tmp_path / "run" / "metrics.jsonl", "eval"))
    assert all(record["win_rate"] < 0.5 for record in evaluations)  # action 0 everywhere would be the optimum
