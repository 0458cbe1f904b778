"""The predictors: their networks, their minibatches, their steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.cds.config import PredictorConfig
from baselines.cds.predictors import Predictor, learn, minibatches
from baselines.value_based.optimizer import FlatOptimizer

SMALL = PredictorConfig(hidden_size=7)


def test_sizes_of_the_published_predictors_on_3m():
    """x: 64 hidden, 30 seen, 9 actions. q sees three more entries, twice."""
    p, q = (Predictor(103, 30, PredictorConfig(), n_agents=n) for n in (0, 3))
    assert sum(w.numel() for w in p.parameters()) == 103 * 128 + 128 + 128 * 128 + 128 + 128 * 30 + 30
    assert sum(w.numel() for w in q.parameters()) == 106 * 128 + 128 + 131 * 128 + 128 + 128 * 30 + 30


def test_weights_begin_as_xaviers_and_biases_at_zero():
    torch.manual_seed(0)
    for layer in Predictor(103, 30, PredictorConfig(), n_agents=3).children():
        bound = (6 / sum(layer.weight.shape)) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()


@pytest.mark.parametrize("n_agents", [0, 3])
def test_predictions_row_by_row(n_agents):
    torch.manual_seed(0)
    net = Predictor(5, 4, SMALL, n_agents=n_agents)
    x, agents = torch.randn(9, 5), torch.arange(9) % 3
    found = net(x, agents)
    for row in range(9):
        index = torch.zeros(n_agents)
        if n_agents:
            index[row % 3] = 1.0
        hidden = (net.first.weight @ torch.cat([x[row], index]) + net.first.bias).clamp(min=0)
        hidden = (net.second.weight @ torch.cat([hidden, index]) + net.second.bias).clamp(min=0)
        torch.testing.assert_close(found[row], net.last.weight @ hidden + net.last.bias)


def test_only_one_of_them_tells_agents_apart():
    torch.manual_seed(0)
    x = torch.randn(1, 5).expand(3, 5)
    for n_agents in (0, 3):
        found = Predictor(5, 4, SMALL, n_agents=n_agents)(x, torch.arange(3))
        assert torch.allclose(found[0], found[1], atol=1e-3) == (n_agents == 0)


@pytest.mark.parametrize(("rows", "cells", "size"), [(1000, 1000, 256), (1000, 2500, 256), (3, 1000, 10), (7, 7, 9)])
def test_each_row_is_in_one_minibatch_and_padding_in_none(rows, cells, size):
    pieces = list(minibatches(np.random.default_rng(0), rows=rows, cells=cells, size=size))
    assert sorted(np.concatenate(pieces).tolist()) == list(range(rows))
    order = np.random.default_rng(0).permutation(cells)
    expected = [order[k : k + size] for k in range(0, cells, size)]
    expected = [piece[piece < rows].tolist() for piece in expected]
    assert [piece.tolist() for piece in pieces] == [piece for piece in expected if piece]


def test_a_minibatch_of_padding_only_is_no_step():
    pieces = list(minibatches(np.random.default_rng(0), rows=2, cells=100, size=5))
    assert 1 <= len(pieces) <= 2 and all(len(piece) for piece in pieces)


@pytest.mark.parametrize("n_agents", [0, 2])
def test_a_step_is_that_of_the_masked_loss_over_a_filled_up_batch(n_agents):
    """The authors' way: padded rows are in the minibatch, a mask takes them out. Clipped at 1, Adam."""
    torch.manual_seed(1)
    net, other = (Predictor(5, 4, SMALL, n_agents=n_agents) for _ in range(2))
    other.load_state_dict(net.state_dict())
    flat = FlatOptimizer(net, SMALL)
    adam = torch.optim.Adam(other.parameters(), lr=1e-3)
    for scale in (3.0, 0.01, 1.0):  # the gradients of the first are cut
        x, observation = torch.randn(8, 5), scale * torch.randn(8, 4)
        agents, mask = torch.arange(8) % 2, torch.tensor([1.0, 1, 0, 1, 0, 0, 1, 1])
        real = mask.bool()
        loss = learn(flat, net, x[real], agents[real], observation[real])
        x[~real], observation[~real] = 1e3, -1e3  # whatever is there
        distance = ((other(x, agents) - observation) ** 2).sum(-1)
        masked = (distance * mask).sum() / mask.sum()
        adam.zero_grad()
        masked.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        adam.step()
        torch.testing.assert_close(loss, masked.detach())
        for a, b in zip(net.parameters(), other.parameters()):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_gradients_of_padded_rows_vanish():
    """What stands in padding does not reach the masked loss' gradient: leaving it out changes nothing."""
    torch.manual_seed(2)
    net = Predictor(5, 4, PredictorConfig())
    x = torch.randn(6, 5, requires_grad=True)
    mask = torch.tensor([1.0, 0, 1, 0, 1, 1])
    distance = ((net(x, torch.zeros(6, dtype=torch.long)) - torch.randn(6, 4)) ** 2).sum(-1)
    (grad,) = torch.autograd.grad((distance * mask).sum() / mask.sum(), x)
    assert not grad[mask == 0].any() and grad[mask == 1].any(-1).all()
