from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.mappo.losses import gae_returns, huber, policy_loss, standardized, value_loss
from baselines.mappo.networks import log_policy
from baselines.mappo.normalization import NoNorm, PopArt, ValueNorm

REWARD, VALUE = np.array([1.0, 0.0, 2.0]), np.array([0.5, 0.4, 0.3, 0.2])
END = np.array([1.0, 1.0, 0.0, 1.0])  # after the second step


def gae(mask=None, bad=None):
    mask = np.ones(4) if mask is None else mask
    return gae_returns(REWARD, VALUE, mask, gamma=0.99, lam=0.95, bad=bad)


def test_returns_without_ends():
    returns, advantage = gae()
    np.testing.assert_allclose(returns, [2.977986, 2.082069, 2.198], atol=1e-6)
    np.testing.assert_allclose(advantage, returns - VALUE[:-1], atol=1e-12)


def test_returns_with_an_end_inside():
    returns, advantage = gae(END)
    np.testing.assert_allclose(returns, [1.0198, 0.0, 2.198], atol=1e-6)
    np.testing.assert_allclose(advantage, [0.5198, -0.4, 1.898], atol=1e-6)


def test_returns_with_a_time_out_under_proper_time_limits():
    returns, _ = gae(END, bad=END)
    np.testing.assert_allclose(returns, [1.396, 0.4, 2.198], atol=1e-6)


def test_returns_equal_a_plain_sum_and_lambda_one_is_the_discounted_return():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(20, 3)), rng.normal(size=(21, 3))
    mask = (rng.random((21, 3)) > 0.2).astype(float)
    returns, _ = gae_returns(reward, value, mask, gamma=0.9, lam=1.0)
    for series in range(3):
        for t in range(20):
            total, weight = 0.0, 1.0
            for k in range(t, 20):
                total += weight * reward[k, series]
                weight *= 0.9 * mask[k + 1, series]
            total += weight * value[20, series]
            assert returns[t, series] == pytest.approx(total)
    with pytest.raises(ValueError, match="one step longer than reward"):
        gae_returns(reward, value[:-1], mask, gamma=0.9, lam=1.0)


def test_advantages_are_standardised_over_the_living():
    result = standardized(np.array([1.0, 2.0, 3.0, 100.0]), np.array([True, True, True, False]))
    np.testing.assert_allclose(result[:3], [-1.224730, 0.0, 1.224730], atol=1e-6)


def test_huber():
    assert huber(torch.tensor([3.0, -3.0, 12.0, -12.0]), 10.0).tolist() == [4.5, 4.5, 70.0, 70.0]


def test_value_loss_takes_the_larger_error():
    value, old, target = torch.tensor([1.0, 0.1]), torch.zeros(2), torch.tensor([1.0, 1.0])
    # row 0 moved too far: clipped to 0.2, error 0.8; row 1 within the clip: error 0.9
    assert value_loss(value, old, target, clip=0.2, delta=10.0).item() == pytest.approx((0.32 + 0.405) / 2)
    assert value_loss(value, old, target, clip=None, delta=10.0).item() == pytest.approx((0.0 + 0.405) / 2)


def test_policy_loss_by_hand():
    """Two actions; ratios 1.5 and 0.5 with advantages 1 and -1: both clipped; a third row is dead."""
    log_probs = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]).log().requires_grad_()
    old = torch.tensor([0.5, 0.5, 1e-6]).log()
    action, active = torch.tensor([0, 0, 0]), torch.tensor([1.0, 1.0, 0.0])
    loss, entropy, log = policy_loss(log_probs, action, old, torch.tensor([1.0, -1.0, 50.0]), active, clip=0.2)
    assert loss.item() == pytest.approx(-(1.2 - 0.8) / 2)
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert entropy.item() == pytest.approx(expected)
    assert log["clip_fraction"].item() == 1.0
    (gradient,) = torch.autograd.grad(loss - 0.01 * entropy, log_probs)
    assert gradient[2].abs().max() == 0.0  # nothing flows from the dead


def test_illegal_actions_have_probability_zero_and_finite_gradients():
    logits = torch.tensor([[5.0, -3.0, 2.0], [0.0, 1.0, 2.0]], requires_grad=True)
    avail = torch.tensor([[False, True, True], [True, False, False]])
    log_probs = log_policy(logits, avail)
    assert log_probs.exp()[~avail].tolist() == [0.0, 0.0, 0.0]
    rows = (torch.tensor([2, 0]), torch.zeros(2), torch.ones(2), torch.ones(2))
    loss, entropy, _ = policy_loss(log_probs, *rows, clip=0.2)
    (gradient,) = torch.autograd.grad(loss - 0.01 * entropy, logits)
    assert gradient.isfinite().all() and (gradient[~avail] == 0).all()


def test_value_norm():
    norm = ValueNorm()
    assert norm.mean == 0.0 and norm.deviation == pytest.approx(0.1)
    norm.update(np.array([1.0, 3.0], np.float32))
    assert norm.mean == pytest.approx(2.0) and norm.deviation == pytest.approx(1.0)
    assert norm.normalize(3.0) == pytest.approx(1.0)
    norm.update(np.array([5.0, 7.0], np.float32))
    assert norm.mean == pytest.approx(4.00001, abs=1e-7) and norm.deviation**2 == pytest.approx(5.0, abs=1e-4)
    x = torch.randn(50) * 30
    torch.testing.assert_close(norm.denormalize(norm.normalize(x)), x)
    twin = ValueNorm()
    twin.load_state_dict(norm.state_dict())
    assert (twin.mean, twin.deviation) == (norm.mean, norm.deviation)


def test_popart_keeps_the_values_and_its_parameters():
    torch.manual_seed(0)
    head, x = torch.nn.Linear(8, 1), torch.randn(100, 8)
    parameters, norm = list(head.parameters()), PopArt(head)
    for batch in ([1.0, 3.0], [50.0, 70.0, 20.0], [-4.0]):
        before = norm.denormalize(head(x))
        weight = head.weight.clone()
        norm.update(np.array(batch, np.float32))
        torch.testing.assert_close(norm.denormalize(head(x)), before, atol=1e-5, rtol=1e-5)
        assert not torch.equal(weight, head.weight)
    assert all(a is b for a, b in zip(parameters, head.parameters()))


def test_no_norm_changes_nothing():
    norm = NoNorm()
    norm.update(np.array([5.0, 9.0]))
    assert norm.normalize(3.0) == 3.0 and norm.denormalize(3.0) == 3.0
