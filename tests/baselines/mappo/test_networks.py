from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from baselines.mappo.config import NetworkConfig
from baselines.mappo.gru import masked_gru
from baselines.mappo.networks import Network, standardize


def network(kind="rnn", gain=1.0, inputs=7, outputs=3):
    torch.manual_seed(0)
    result = Network(inputs, outputs, NetworkConfig(kind=kind, hidden_size=8), gain=gain)
    for norm in (m for m in result.modules() if isinstance(m, nn.LayerNorm)):  # as after some training
        nn.init.normal_(norm.weight, 1.0, 0.3)
        nn.init.normal_(norm.bias, 0.0, 0.3)
    for layer in (m for m in result.modules() if isinstance(m, nn.Linear | nn.GRUCell)):
        for name, vector in layer.named_parameters():
            if "bias" in name:
                nn.init.normal_(vector, 0.0, 0.3)
    return result


def plain(net, x, hidden, mask):
    """The layers one after the other, step by step."""
    outputs, states = [], []
    for t in range(len(x)):
        y = net.norm_1(F.relu(net.layer_1(net.norm_input(x[t]))))
        y = net.norm_2(F.relu(net.layer_2(y)))
        if net.rnn is not None:
            hidden = net.rnn(y, hidden * mask[t][:, None])
            y = net.norm_3(hidden)
        outputs.append(net.head(y))
        states.append(hidden)
    return torch.stack(outputs), torch.stack(states)


def test_parameter_counts_on_3m():
    def count(net):
        return sum(p.numel() for p in net.parameters())

    assert count(Network(64, 9, NetworkConfig(), gain=0.01)) == 34377
    assert count(Network(81, 1, NetworkConfig(), gain=1.0)) == 34979


def test_initial_weights():
    torch.manual_seed(0)
    net = Network(64, 9, NetworkConfig(), gain=0.01)
    for layer, gain in ((net.layer_1, math.sqrt(2)), (net.layer_2, math.sqrt(2)), (net.head, 0.01)):
        product = layer.weight @ layer.weight.t()
        torch.testing.assert_close(product, gain**2 * torch.eye(len(product)), atol=1e-5 * gain**2, rtol=0)
        assert not layer.bias.any()
    for matrix in (net.rnn.weight_ih, net.rnn.weight_hh):
        torch.testing.assert_close(matrix.t() @ matrix, torch.eye(64), atol=1e-5, rtol=0)
    assert not net.rnn.bias_ih.any() and not net.rnn.bias_hh.any()


@pytest.mark.parametrize("kind", ["rnn", "mlp"])
def test_unroll_and_its_gradients_equal_plain_layers(kind):
    net = network(kind).double()
    x, hidden = torch.randn(6, 5, 7).double(), torch.randn(5, 8).double()
    mask = (torch.rand(6, 5) > 0.3).double()
    expected, states = plain(net, x, hidden, mask)
    weights = torch.randn(6, 5, 3).double()
    expected_gradients = torch.autograd.grad((expected * weights).sum(), list(net.parameters()))
    result, hiddens = net.unroll(standardize(x), hidden, mask)
    gradients = torch.autograd.grad((result * weights).sum(), list(net.parameters()))
    torch.testing.assert_close(result, expected)
    if kind == "rnn":
        torch.testing.assert_close(hiddens, states)
    for got, want in zip(gradients, expected_gradients):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("kind", ["rnn", "mlp"])
def test_step_equals_unroll(kind, scale):
    """Small activations too: where the variance is near LayerNorm's epsilon, normalising twice is not the same."""
    net = network(kind)
    with torch.no_grad():
        for parameter in net.layer_2.parameters():
            parameter.mul_(scale)
    x, hidden, mask = torch.randn(6, 5, 7), torch.randn(5, 8), (torch.rand(6, 5) > 0.3).float()
    expected, _ = net.unroll(standardize(x), hidden, mask)
    for t in range(6):
        result, hidden = net.step(x[t], hidden * mask[t][:, None])
        torch.testing.assert_close(result, expected[t])


def test_gru_gradients_by_finite_differences():
    torch.manual_seed(1)
    mask = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).double()
    arguments = [torch.randn(3, 2, 12), torch.randn(12, 4), torch.randn(4)]
    projected, weight, bias = (a.double().requires_grad_() for a in arguments)
    initial = torch.randn(2, 4).double()
    assert torch.autograd.gradcheck(lambda p, w, b: masked_gru(p, initial, mask, w, b), (projected, weight, bias))


def test_nothing_passes_an_episodes_beginning():
    net = network()
    x, hidden, mask = torch.randn(4, 1, 7), torch.randn(1, 8), torch.ones(4, 1)
    mask[2] = 0.0
    first, _ = net.unroll(standardize(x), hidden, mask)
    x[:2], hidden = torch.randn(2, 1, 7), torch.randn(1, 8)
    second, _ = net.unroll(standardize(x), hidden, mask)
    assert torch.equal(first[2:], second[2:]) and not torch.allclose(first[:2], second[:2])
