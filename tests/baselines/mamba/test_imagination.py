"""Imagination against a world that is known, and the model's loss against the long way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from baselines.mamba.codes import one_hot
from baselines.mamba.imagination import imagine
from baselines.mamba.model_loss import model_loss, observe_batch
from baselines.mamba.world_model import State


class Countdown:
    """Each agent's h counts down by 1 (action 0) or 2 (action 1); z is the parity of h. Action 1 is illegal below 2.

    The reward is h after the transition plus z before it; the episode ends at 0 or below.
    """

    n_agents, n_actions, categoricals, classes = 2, 2, 1, 2

    def tables(self):
        return None

    def legality(self, state):
        return torch.cat([torch.full_like(state.deter, 100.0), (state.deter - 1.5) * 1000], -1)

    def advance(self, tables, state, action):
        return state.deter - 1.0 - action.unsqueeze(-1)

    def prior_probs(self, deter):
        return F.one_hot((deter[:, 0].long() % 2), 2).float()

    def reward(self, state):
        return state.deter + state.codes

    def continuation(self, state):
        return (state.deter - 0.5) * 1000


def test_a_known_world_is_played_as_it_is():
    start = torch.tensor([[5.0], [4.0], [2.0], [7.0]])  # two teams of two
    codes = (start.long() % 2).int()
    model, gamma, lam = Countdown(), 0.9, 0.8
    actor = lambda state: torch.tensor([[0.0, 50.0]]).expand(len(state.codes), -1)  # noqa: E731
    critic = lambda state: 10.0 * state.deter[:, 0] + state.codes[:, 0]  # noqa: E731
    found = imagine(
        model, actor, critic, State(codes, start), np.random.default_rng(0), horizon=4, gamma=gamma, lam=lam
    )
    h = start.view(2, 2).numpy()
    heights, actions, rewards = [h], [], []
    for _ in range(3):
        action = (h >= 2).astype(int)
        after = h - 1 - action
        rewards.append((after + h % 2).mean(-1, keepdims=True).repeat(2, -1))
        heights.append(after)
        actions.append(action)
        h = after
    value = [10 * x + x % 2 for x in heights]
    returns, running = [], value[3]
    for k in (2, 1, 0):
        running = rewards[k] + gamma * (heights[k + 1] > 0.5) * ((1 - lam) * value[k + 1] + lam * running)
        returns.insert(0, running)
    np.testing.assert_array_equal(found.action, np.concatenate(actions))
    np.testing.assert_array_equal(found.deter[..., 0], np.concatenate(heights[:3]))
    np.testing.assert_allclose(found.returns, np.concatenate(returns), rtol=1e-5)
    advantage = np.concatenate([r - v for r, v in zip(returns, value)])
    expected = (advantage - advantage.mean()) / (advantage.std(ddof=1) + 1e-4)
    np.testing.assert_allclose(found.advantage, expected, rtol=1e-4, atol=1e-6)
    assert found.facts["nothing_legal_fraction"] == 0


def test_an_exact_mask_is_obeyed_and_none_at_all_is_survived(config, make):
    learner = make(config())
    model, rows = learner._model, 400
    start = State(torch.zeros(rows, 3, dtype=torch.int32), torch.zeros(rows, 8))
    settings = {"horizon": 5, "gamma": 0.99, "lam": 0.95}
    for bias, legal in ((torch.tensor([-100.0, 100.0, -100.0, 100.0]), {1, 3}), (torch.full((4,), -100.0), set())):
        with torch.no_grad():
            for parameter in model.legality.parameters():
                parameter.zero_()
            model.legality.rest[-1].bias.copy_(bias)
        found = imagine(model, learner._actor, learner._critic, start, np.random.default_rng(0), **settings)
        assert set(found.action.unique().tolist()) == (legal or {0, 1, 2, 3})
        assert found.facts["nothing_legal_fraction"].item() == (not legal)
        expected = -np.log(4) if not legal else None
        assert expected is None or found.old_log_prob.unique().tolist() == pytest.approx([expected])


def test_the_models_loss_is_that_of_a_plain_loop(config, make):
    learner = make(config("model.dropout=0.3", "model_learning.kl_balance=0.3"))
    while len(learner._store) < 50:
        learner.advance()
    model = learner._model
    batch = learner._store.sample(np.random.default_rng(0), 9, 6, reset_action=True, device="cpu")
    assert batch.last[:-1].any() and batch.fake.any() and (batch.last_action < 0).any()
    observed = observe_batch(model, batch, np.random.default_rng(1), dropout=True)
    loss, terms = model_loss(model, batch, observed, balance=0.3)
    sums = dict.fromkeys(("reconstruction", "reward", "continuation", "legality", "information", "kl"), 0.0)
    steps, size, n = 5, 9, 2
    with torch.no_grad():
        for t in range(steps - 1):
            for row in range(size * n):
                b, i = divmod(row, n)
                codes, real = observed.codes[t, row : row + 1], 1 - batch.fake[t, b].item()
                now = State(codes, observed.deter[t, row : row + 1])
                then = State(codes, observed.deter[t + 1, row : row + 1])
                x, d = model.reconstruct(now)
                error = (x[0] - batch.obs[t, b, i]).abs()
                sums["reconstruction"] += real * torch.where(error < 1, error**2 / 2, error - 0.5).sum().item()
                error = (model.reward(then) - batch.reward[t + 1, b]).abs().item()
                sums["reward"] += error**2 / 2 if error < 1 else error - 0.5
                p = model.continuation(then).sigmoid().item()
                sums["continuation"] -= np.log(1 - p if batch.done[t + 1, b] else p)
                p = model.legality(now).sigmoid()[0]
                sums["legality"] -= torch.where(batch.avail[t, b, i] > 0.5, p, 1 - p).log().sum().item()
                action = batch.last_action[t, b, i].item()
                if t > 0 and action >= 0:
                    sums["information"] -= real * model.information(d).log_softmax(-1)[0, action].item()
                post, prior = observed.probs[t, row], model.prior_probs(now.deter)[0]
                kl = (post * ((post + 1e-7).log() - (prior + 1e-7).log())).view(3, 4).sum(-1).mean().item()
                sums["kl"] += kl
    rows = (steps - 1) * size * n
    means = {name: value / rows for name, value in sums.items()}
    means["information"] *= (steps - 1) / (steps - 2)
    for name, value in means.items():
        assert terms["kl" if name == "kl" else f"{name}_loss"].item() == pytest.approx(value, rel=1e-4, abs=1e-6)
    assert loss.item() == pytest.approx(sum(means.values()), rel=1e-4)


def test_latents_drawn_in_training_are_likely_ones(config, make):
    learner = make(config())
    while len(learner._store) < 50:
        learner.advance()
    batch = learner._store.sample(np.random.default_rng(0), 200, 6, reset_action=True, device="cpu")
    with torch.no_grad():
        observed = observe_batch(learner._model, batch, np.random.default_rng(1), dropout=False)
    drawn = one_hot(observed.codes, 12).mean((0, 1))
    torch.testing.assert_close(drawn, observed.probs.mean((0, 1)), atol=0.06, rtol=0)
