"""The numpy agent against torch's own layers."""

import numpy as np
import pytest
import torch

import skirmish
from skirmish.fidelity.networks import HIDDEN, UntrainedPolicy, Weights, default_weights, forward, gru_cell


def torch_agent(w: Weights, s: int):
    """Layers of torch with the weights of network s."""
    inputs, actions = w.w_in.shape[1], w.w_out.shape[2]
    first, cell, last = (
        torch.nn.Linear(inputs, HIDDEN),
        torch.nn.GRUCell(HIDDEN, HIDDEN),
        torch.nn.Linear(HIDDEN, actions),
    )
    pairs = [
        (first.weight, w.w_in[s].T), (first.bias, w.b_in[s, 0]),
        (cell.weight_ih, w.w_x[s].T), (cell.bias_ih, w.b_x[s, 0]),
        (cell.weight_hh, w.w_h[s].T), (cell.bias_hh, w.b_h[s, 0]),
        (last.weight, w.w_out[s].T), (last.bias, w.b_out[s, 0]),
    ]  # fmt: skip
    with torch.no_grad():
        for parameter, value in pairs:
            parameter.copy_(torch.from_numpy(value.copy()))
    return first, cell, last


def test_cell_and_agent_equal_torch():
    rng = np.random.default_rng(0)
    w = default_weights(rng, 3, 20, 7)
    x = rng.normal(size=(3, 5, HIDDEN)).astype(np.float32)
    h = rng.normal(size=(3, 5, HIDDEN)).astype(np.float32)
    inputs = rng.normal(size=(3, 5, 20)).astype(np.float32)
    values, new = forward(w, inputs, h)
    for s in range(3):
        first, cell, last = torch_agent(w, s)
        with torch.no_grad():
            expected = cell(torch.from_numpy(x[s]), torch.from_numpy(h[s]))
            hidden = cell(torch.relu(first(torch.from_numpy(inputs[s]))), torch.from_numpy(h[s]))
            q = last(hidden)
        np.testing.assert_allclose(gru_cell(w, x, h)[s], expected, atol=1e-5)  # float32 sums of 64 terms
        np.testing.assert_allclose(new[s], hidden, atol=1e-5)
        np.testing.assert_allclose(values[s], q, atol=1e-5)


def test_default_initialisation_has_torchs_bounds():
    """Largest weights of many draws reach 1/sqrt(inputs) and do not pass it, as torch's own layers."""
    torch.manual_seed(0)
    w = default_weights(np.random.default_rng(0), 4, 100, 9)
    for matrix, layer in (
        (w.w_in, torch.nn.Linear(100, HIDDEN).weight),
        (w.b_in, torch.nn.Linear(100, HIDDEN).bias),
        (w.w_h, torch.nn.GRUCell(HIDDEN, HIDDEN).weight_hh),
        (w.b_x, torch.nn.GRUCell(HIDDEN, HIDDEN).bias_ih),
        (w.w_out, torch.nn.Linear(HIDDEN, 9).weight),
    ):
        assert np.abs(matrix).max() == pytest.approx(float(layer.detach().abs().max()), rel=0.05)
        assert matrix.std() == pytest.approx(float(layer.detach().std()), rel=0.2)


def test_slots_of_one_network_act_alike_and_networks_differ():
    env = skirmish.make("3m", num_envs=8)
    env.reset(0)
    policy = UntrainedPolicy(env, 0, networks=4)
    first = policy.act()
    assert np.take_along_axis(env.available_actions, first[:, :, None], 2).all()
    assert (first[0::2] == first[1::2]).all()  # slots 2k and 2k + 1 see the same first step
    assert len({tuple(row) for row in first}) > 1
    before = policy.hidden.copy()
    env.step(first)
    policy.act()
    assert (policy.hidden != before).any()
    env.reset(0)
    np.testing.assert_array_equal(policy.act(), first)  # a new episode starts from an empty memory
    np.testing.assert_array_equal(policy.hidden, before)


def test_networks_must_divide_the_slots():
    env = skirmish.make("3m", num_envs=8)
    with pytest.raises(ValueError, match=r"networks must divide the 8 slots, got 3"):
        UntrainedPolicy(env, 0, networks=3)
