"""The intrinsic reward's parts by hand and by plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines.cds.rewards import annealed, log_density, policy_divergence


@pytest.mark.parametrize(
    ("q", "beta1", "expected"),
    [
        (((0, 1), (1, 0)), 1.0, 0.110944),  # sigmoid(1) ln(2 sigmoid(1)) + sigmoid(-1) ln(2 sigmoid(-1))
        (((0, 1), (0, 1)), 1.0, 0.0),
        (((0, 1), (0, 1)), 0.5, 0.027955),  # the same agents twice, but the mean has another temperature
    ],
)
def test_divergence_of_two_agents_by_hand(q, beta1, expected):
    found = policy_divergence(torch.tensor(q).double(), beta1)
    torch.testing.assert_close(found, torch.full((2,), expected).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta1", [0.5, 1.0, 2.0])
def test_divergence_by_plain_loops(beta1):
    rng = np.random.default_rng(0)
    q = rng.normal(size=(5, 3, 4)) * 3
    found = policy_divergence(torch.from_numpy(q), beta1).numpy()
    for step, agents in enumerate(q):
        policies = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in agents]
        mean = [sum(column) / 3 for column in zip(*policies)]
        for i, row in enumerate(agents):
            own = [math.exp(beta1 * v) / sum(math.exp(beta1 * w) for w in row) for v in row]
            assert found[step, i] == pytest.approx(sum(a * math.log(a / b) for a, b in zip(own, mean)), abs=1e-12)


def test_divergence_is_not_negative_and_finite_where_probabilities_vanish():
    torch.manual_seed(0)
    assert (policy_divergence(torch.randn(500, 4, 6) * 5, 0.7) > -1e-6).all()
    far = policy_divergence(torch.tensor([[0.0, 1000.0], [1000.0, 0.0]]), 2.0)
    torch.testing.assert_close(far, torch.full((2,), math.log(2.0)))  # each is sure, the mean is half and half


def test_log_density_is_minus_the_squared_distance():
    assert log_density(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 0.0, 0.5])).item() == -10.25


@pytest.mark.parametrize(
    ("env_steps", "left"),
    [(0, 1.0), (1_000_000, 1.0), (1_100_000, 0.5), (1_200_000, 0.0), (9_000_000, 0.0)],
)
def test_the_reward_of_corridor_is_gone_after_200_000_more_steps(env_steps, left):
    assert annealed(env_steps, rate=5.0, after=1_000_000) == pytest.approx(left)
    assert annealed(env_steps, rate=0.0, after=1_000_000) == 1.0
