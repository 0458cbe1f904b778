"""Returns, divergences and PPO's loss, by numbers a reader can check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.mamba.losses import balanced_divergence, lambda_returns, policy_loss, standardized


@pytest.mark.parametrize(("discount", "expected"), [((1.0, 1.0), (3.892285, 2.97)), ((1.0, 0.0), (1.099, 0.0))])
def test_lambda_returns_by_hand(discount, expected):
    """r = (1, 0), V_1 = 2, V_2 = 3, gamma 0.99, lambda 0.95."""
    value = torch.tensor([7.0, 2.0, 3.0])  # that of the first state does not matter
    returns = lambda_returns(torch.tensor([1.0, 0.0]), value, torch.tensor(discount), gamma=0.99, lam=0.95)
    assert returns.tolist() == pytest.approx(expected, abs=1e-6)


def test_lambda_returns_are_mixtures_of_n_step_returns():
    rng = np.random.default_rng(0)
    reward, value, discount = rng.random(6), rng.random(7), rng.random(6)
    gamma, lam = 0.9, 0.7

    def n_step(k, n):
        total, factor = 0.0, 1.0
        for i in range(k, k + n):
            total, factor = total + factor * reward[i], factor * gamma * discount[i]
        return total + factor * value[k + n]

    for k in range(6):
        left = 6 - k
        expected = sum((1 - lam) * lam ** (n - 1) * n_step(k, n) for n in range(1, left))
        expected += lam ** (left - 1) * n_step(k, left)
        found = lambda_returns(*(torch.tensor(x) for x in (reward, value, discount)), gamma=gamma, lam=lam)[k]
        assert found.item() == pytest.approx(expected)


def test_lambda_returns_refuse_values_that_do_not_fit():
    with pytest.raises(ValueError, match="value must be one longer than reward and discount, got 2, 2, 2"):
        lambda_returns(torch.zeros(2), torch.zeros(2), torch.zeros(2), gamma=1.0, lam=1.0)


def test_gradients_of_the_divergence_are_shared_out():
    logits = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))

    def gradients(balance):
        post, prior = (part.clone().requires_grad_() for part in logits)
        value = balanced_divergence(post.softmax(-1), prior.softmax(-1), balance=balance)
        value.backward()
        return value.item(), post.grad, prior.grad

    value, post, prior = gradients(0.2)
    whole, post_only, _ = gradients(1.0)
    _, nothing, prior_only = gradients(0.0)
    torch.testing.assert_close(post, 0.2 * post_only)
    torch.testing.assert_close(prior, 0.8 * prior_only)
    assert not nothing.any()
    p, q = logits.softmax(-1)
    assert value == pytest.approx(whole) == pytest.approx((p * (p / q).log()).sum(-1).mean().item(), abs=1e-5)


def test_nothing_diverges_from_itself():
    p = torch.rand(4, 2, 3).softmax(-1)
    assert balanced_divergence(p, p.clone(), balance=0.2).item() == 0.0


def test_advantages_have_an_unbiased_deviation():
    assert standardized(torch.tensor([1.0, 3.0])).tolist() == pytest.approx([-1 / (2**0.5 + 1e-4), 1 / (2**0.5 + 1e-4)])
    assert standardized(torch.tensor([[5.0]])).tolist() == [[0.0]]


def test_policy_loss_by_hand():
    """Ratios 2 and 0.5 with advantages 1 and -1 under clip 0.2: min(2, 1.2) and min(-0.5, -0.8)."""
    log_probs = torch.tensor([[0.5, 0.5], [0.25, 0.75]]).log()
    old = torch.tensor([0.25, 0.5]).log()
    action, advantage = torch.tensor([0, 0]), torch.tensor([1.0, -1.0])
    loss, log = policy_loss(log_probs, action, old, advantage, clip=0.2, entropy_weight=0.0)
    assert loss.item() == pytest.approx(-(1.2 - 0.8) / 2)
    entropy = -np.mean([np.log(0.5), 0.25 * np.log(0.25) + 0.75 * np.log(0.75)])
    assert log["entropy"].item() == pytest.approx(entropy) and log["clip_fraction"].item() == 1.0
    assert log["ratio_mean"].item() == pytest.approx(1.25)
    with_bonus, _ = policy_loss(log_probs, action, old, advantage, clip=0.2, entropy_weight=0.1)
    assert with_bonus.item() == pytest.approx(loss.item() - 0.1 * entropy)
