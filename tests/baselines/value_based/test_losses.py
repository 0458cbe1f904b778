from __future__ import annotations

import pytest
import torch

from baselines.value_based.losses import bootstrap_actions, chosen_values, legal_maximum, td_loss, td_targets

LIVE, TARGET = torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([[9.0, 5.0, 4.0]])  # (n = 1, A = 3), at t + 1
LEGAL, ALL = torch.tensor([[False, True, True]]), torch.ones(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("avail", "double_q", "y"),
    [
        (LEGAL, True, 4.96),  # live picks the third of the legal ones, target says 4
        (LEGAL, False, 5.95),  # target picks its own best legal one, 5
        (ALL, True, 9.91),  # what forgetting the mask would give: 9
    ],
)
def test_double_q_and_mask_by_hand(avail, double_q, y):
    value = chosen_values(TARGET, bootstrap_actions(LIVE, TARGET, avail, double_q=double_q))
    target = td_targets(torch.tensor([1.0]), torch.tensor([False]), value, 0.99)
    assert target.item() == pytest.approx(y)


def test_nothing_is_bootstrapped_after_the_end():
    y = td_targets(torch.tensor([[1.0], [1.0]]), torch.tensor([[True], [False]]), torch.tensor([[100.0], [2.0]]), 0.5)
    assert y.tolist() == [[1.0], [2.0]]


def test_loss_is_the_plain_mean_square_and_does_not_pull_the_target():
    value = torch.tensor([[1.0], [2.0]], requires_grad=True)
    target = torch.tensor([[3.0], [2.0]], requires_grad=True)
    loss = td_loss(value, target)
    loss.backward()
    assert loss.item() == 2.0
    assert value.grad.tolist() == [[-2.0], [0.0]] and target.grad is None


def test_loss_of_independent_agents_is_the_mean_over_agents_too():
    value, target = torch.tensor([[1.0, 3.0], [2.0, 2.0]]), torch.tensor([[2.0], [2.0]])
    assert td_loss(value, target).item() == 0.5  # (1 + 1 + 0 + 0) / 4


def test_legal_maximum_ignores_illegal_actions():
    assert legal_maximum(TARGET, LEGAL).tolist() == [5.0] and legal_maximum(TARGET, ALL).tolist() == [9.0]
