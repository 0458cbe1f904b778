"""`evaluate --best` plays the policy of the best evaluation, without it the latest one."""

import json

import pytest
import torch

from baselines.__main__ import run as baselines
from mazero.cli import run as mazero
from training import checkpoint
from training.cli import main

QMIX = ["--algorithm", "qmix", "--env-steps", "400"]
MAZERO = ["--env-steps", "240", "--set", "replay.start=100", "search.num_simulations=5", "optimiser.batch_size=8"]


@pytest.mark.parametrize(
    ("program", "flags", "play", "part", "head"),
    [(baselines, QMIX, [], "live", "agent.head.bias"), (mazero, MAZERO, ["--no-search"], "network", "policy.1.bias")],
)
def test_evaluate_plays_the_policy_it_was_asked_for(tmp_path, capsys, program, flags, play, part, head):
    out = str(tmp_path / "run")
    command = [*"train --map matrix_1 --preset matrix --seed 0 --progress none --out".split(), out, *flags]
    assert main(program, [*command, "--eval-every", "100", "--eval-episodes", "2"]) == 0
    saved = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    for policy, action in ((saved["learner"], 0), (saved["progress"]["best"]["policy"], 2)):
        policy[part][head] = 1e3 * torch.eye(policy[part][head].numel())[action]  # every agent does this
    checkpoint.save(tmp_path / "run" / "checkpoint.pt", saved)
    returns = []
    for more in ([], ["--best"]):
        capsys.readouterr()
        assert main(program, ["evaluate", "--run", out, "--episodes", "1", *play, *more]) == 0
        returns.append(json.loads(capsys.readouterr().out)["return_mean"])
    assert returns == [80.0, 0.0]  # ten steps of 8 each, or of 0
