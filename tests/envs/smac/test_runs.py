"""Whole runs with `--backend smac`: games of the simulator behind SMAC's method names, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import baselines.__main__
import mazero.cli
from tests.envs.smac.left import children
from training.errors import UserError
from training.metrics import read_records

FACTORY = "skirmish.env:StarCraft2Env"
COMMON = [
    "train",
    "--map",
    "3m",
    "--seed",
    "0",
    "--backend",
    "smac",
    "--env",
    f"factory={FACTORY}",
    "--progress",
    "none",
]
BUDGET = ["--env-steps", "200", "--eval-every", "100", "--eval-episodes", "2"]
SMALL = ["--set", "replay.start=100", "search.num_simulations=4", "search.num_sampled_actions=3"]
SMALL += ["network.hidden_size=32", "network.mlp_sizes=[32]", "optimiser.batch_size=8"]
FEW = ["--set", "rollout.num_envs=2", "learning.start_episodes=2", "learning.batch_episodes=2"]
PROGRAMS = {
    "mazero": (mazero.cli.run, [*SMALL, "self_play.num_envs=2"]),
    "qmix": (baselines.__main__.run, ["--algorithm", "qmix", *FEW]),
}


@pytest.mark.parametrize("program", ["mazero", "qmix"])
def test_a_run_goes_from_training_to_its_files(program: str, tmp_path: Path) -> None:
    run, flags = PROGRAMS[program]
    before = children()
    assert run([*COMMON, *flags, *BUDGET, "--out", str(tmp_path / "run")]) == 0
    done = json.loads((tmp_path / "run" / "done.json").read_text())
    assert done["env_steps"] == 200 and done["updates"] > 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["backend"] == "smac" and config["unit_data"] == f"no StarCraft II (factory {FACTORY})"
    (session,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"]
    assert session["starcraft"] == {"game": f"no StarCraft II (factory {FACTORY})"}
    evaluations = read_records(tmp_path / "run" / "metrics.jsonl", "eval")
    assert [record["mark"] for record in evaluations] == [0, 100, 200]
    assert all((record["game_faults"], record["episodes_lost"]) == (0, 0) for record in [*evaluations, done])
    assert children() == before


def test_games_are_closed_when_a_run_fails(tmp_path: Path) -> None:
    run, flags = PROGRAMS["qmix"]
    before = children()
    command = [*COMMON, *flags, *BUDGET, "--out", str(tmp_path / "run")]
    assert run([*command, "--stop-at", "0"]) == 0
    (tmp_path / "run" / "checkpoint.pt").write_text("damaged")
    with pytest.raises(UserError):
        run(command)
    assert children() == before


def test_a_stopped_run_goes_on_with_new_games_and_says_so(tmp_path: Path, caplog) -> None:
    run, flags = PROGRAMS["qmix"]
    command = [*COMMON, *flags, *BUDGET, "--out", str(tmp_path / "run")]
    assert run([*command, "--stop-at", "110"]) == 0
    assert "cannot be restored" not in caplog.text
    assert run(command) == 0
    assert "3m: games of StarCraft II cannot be restored: the 2 episodes under way are discarded" in caplog.text
    assert json.loads((tmp_path / "run" / "done.json").read_text())["env_steps"] == 200
    assert len(json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"]) == 2
