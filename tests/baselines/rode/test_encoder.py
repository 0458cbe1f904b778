"""The forward model against plain loops."""

from __future__ import annotations

import copy

import pytest
import torch

from baselines.rode.config import EncoderConfig
from baselines.rode.encoder import ActionEncoder, encoder_loss
from envs.interface import EnvInfo

N, A, OBS, M = 3, 4, 5, 6


def info(n: int = N) -> EnvInfo:
    return EnvInfo("toy", "test", "smac", n, 1, A, OBS, 7, 6, False)


def make(n: int = N) -> ActionEncoder:
    torch.manual_seed(0)
    return ActionEncoder(info(n), EncoderConfig(action_size=3, state_size=4))


def data(n: int = N):
    generator = torch.Generator().manual_seed(1)
    obs, after = torch.rand(M, n, OBS, generator=generator), torch.rand(M, n, OBS, generator=generator)
    return obs, torch.randint(A, (M, n), generator=generator), after, torch.rand(M, generator=generator)


def plain_loss(encoder: ActionEncoder, obs, actions, after, reward, weight: float) -> torch.Tensor:
    """One step, one agent at a time, with one-hots."""
    one_hot, n = torch.eye(A), obs.shape[1]
    distances, squares = [], []
    for m in range(len(obs)):
        for i in range(n):
            others = [one_hot[actions[m, j]] for j in range(n) if j != i]
            context = encoder.context_out(torch.relu(encoder.context(torch.cat([obs[m, i], *others]))))
            together = torch.cat([context, encoder.action(one_hot[actions[m, i]])])
            distances.append((encoder.next_obs(together) - after[m, i]).square().sum().sqrt())
            squares.append((encoder.reward(together)[0] - reward[m]) ** 2)
    return sum(distances) / len(distances) + weight * sum(squares) / len(squares)


@pytest.mark.parametrize("n", [1, 2, N])
def test_loss_and_gradients_are_those_of_the_loops(n):
    encoder = make(n)
    other = copy.deepcopy(encoder)
    loss, log = encoder_loss(encoder, *data(n), reward_weight=10.0)
    expected = plain_loss(other, *data(n), 10.0)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(log["encoder_obs_error"] + 10.0 * log["encoder_reward_error"], expected.detach())
    loss.backward(), expected.backward()
    for got, want in zip(encoder.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(got.grad, want.grad)


def test_sizes_are_the_authors():
    encoder = ActionEncoder(EnvInfo("3m", "skirmish", "smac", 3, 3, 9, 30, 48, 60, False), EncoderConfig())
    shapes = {name: tuple(p.shape) for name, p in encoder.named_parameters() if name.endswith("weight")}
    assert shapes == {
        "context.weight": (64, 30 + 2 * 9),
        "context_out.weight": (32, 64),
        "next_obs.0.weight": (32, 52),
        "next_obs.2.weight": (30, 32),
        "action.0.weight": (64, 9),
        "action.2.weight": (20, 64),
        "reward.0.weight": (32, 52),
        "reward.2.weight": (1, 32),
    }
    assert encoder.representations().shape == (9, 20)


def test_a_perfect_prediction_has_a_gradient():
    """The norm has none at zero; zero is taken."""
    encoder = make()
    obs, actions, _, _ = data()
    with torch.no_grad():
        after, reward = encoder(obs, actions)
    reward = reward.mean(1)
    loss, _ = encoder_loss(encoder, obs, actions, after, reward, reward_weight=0.0)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())
