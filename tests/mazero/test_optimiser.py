"""Clipping and Adam against torch's own."""

import pytest
import torch

from mazero.config import OptimiserConfig
from mazero.optimiser import Adam, as_one, clip_gradients, make_optimiser

SHAPES = [(3, 5), (7,), (), (4, 4), (33,)]


def parameters(seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=g)) for shape in SHAPES]


def give_gradients(*groups, seed, scale=1.0):
    for group in groups:
        g = torch.Generator().manual_seed(seed)
        for parameter in group:
            parameter.grad = scale * torch.randn(parameter.shape, generator=g)


def joined(group):
    """Moves the gradients one behind the other, in another order than that of the parameters."""
    flat, start = torch.zeros(2 + sum(parameter.numel() for parameter in group)), 2
    for parameter in reversed(group):
        place = flat[start : start + parameter.numel()].view(parameter.shape)
        parameter.grad = place.copy_(parameter.grad)
        start += parameter.numel()
    return flat


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_clipping_is_torchs(together, scale):
    mine, others = parameters(), parameters()
    give_gradients(mine, others, seed=1, scale=scale)
    if together:
        joined(mine)
        assert as_one([parameter.grad for parameter in mine]) is not None
    found, wanted = clip_gradients(mine, 3.0), torch.nn.utils.clip_grad_norm_(others, 3.0)
    torch.testing.assert_close(found, wanted)
    for a, b in zip(mine, others, strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert (scale == 10.0) == (found.item() > 3.0)


def test_parameters_without_a_gradient_do_not_count():
    group = parameters()
    give_gradients(group, seed=1)
    joined(group)
    norm = torch.cat([parameter.grad.flatten() for parameter in group[1:]]).norm()
    group[0].grad = None
    torch.testing.assert_close(clip_gradients(group, 1.0), norm)
    assert clip_gradients(parameters(), 1.0).item() == 0.0


def test_tensors_are_one_only_if_they_fill_their_memory():
    flat = torch.arange(12.0)
    parts = [flat[6:12].view(2, 3).t(), flat[2:6]]
    assert torch.equal(as_one(parts), flat[2:])
    assert as_one([flat[6:12], flat[2:5]]) is None  # a gap
    assert as_one([flat[0:4].view(2, 2)[:, :1], flat[2:6]]) is None
    assert as_one([flat[0:1].expand(4), flat[4:8]]) is None
    assert as_one([flat[:4], flat[4:].clone()]) is None
    assert as_one([flat[:4], flat[4:].view(torch.int32)]) is None
    assert as_one([]) is None


def steps(adam, group, count, first=0):
    for i in range(first, first + count):
        adam.param_groups[0]["lr"] = 1e-2 / (i + 1)
        give_gradients(group, seed=i)
        adam.step()


def test_a_step_is_torchs_bit_by_bit():
    mine, others = parameters(), parameters()
    adam, torchs = Adam(mine, lr=1e-2, eps=1e-3), torch.optim.Adam(others, lr=1e-2, eps=1e-3, fused=True)
    for optimiser, group in ((adam, mine), (torchs, others)):
        steps(optimiser, group, 4)
        group[1].grad = None  # a step without one of them
        optimiser.step()
        steps(optimiser, group, 3, first=4)
    assert all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))
    found, wanted = adam.state_dict(), torchs.state_dict()
    assert found["param_groups"] == wanted["param_groups"]
    assert found["state"].keys() == wanted["state"].keys()
    for i, state in wanted["state"].items():
        assert found["state"][i].keys() == state.keys()
        assert all(torch.equal(found["state"][i][name], value) for name, value in state.items())
    assert [found["state"][i]["step"].item() for i in range(5)] == [8.0, 7.0, 8.0, 8.0, 8.0]


def test_gradient_descent_by_hand():
    """Momentum 0.5: v = g, then v = 0.5 v + g; the parameter goes down by the rate times v."""
    parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    sgd = make_optimiser([parameter], OptimiserConfig(method="sgd", learning_rate=0.1, momentum=0.5))
    for gradient in ([2.0, 1.0], [1.0, 0.0]):
        parameter.grad = torch.tensor(gradient)
        sgd.step()
    torch.testing.assert_close(parameter.data, torch.tensor([1.0 - 0.2 - 0.1 * 2.0, -2.0 - 0.1 - 0.1 * 0.5]))
    adam = make_optimiser([parameter], OptimiserConfig(learning_rate=0.2, adam_epsilon=1e-3))
    assert isinstance(adam, Adam) and (adam.param_groups[0]["lr"], adam.param_groups[0]["eps"]) == (0.2, 1e-3)


def test_a_loaded_state_goes_on_as_if_nothing_had_happened():
    whole, parts, resumed = parameters(), parameters(), parameters()
    steps(Adam(whole, lr=1e-2, eps=1e-3), whole, 5)
    adam = Adam(parts, lr=1e-2, eps=1e-3)
    steps(adam, parts, 3)
    with torch.no_grad():
        for parameter, other in zip(resumed, parts, strict=True):
            parameter.copy_(other)
    again = Adam(resumed, lr=1.0, eps=1.0)
    steps(again, resumed, 2, first=70)  # something to be replaced
    with torch.no_grad():
        for parameter, other in zip(resumed, parts, strict=True):
            parameter.copy_(other)
    again.load_state_dict(adam.state_dict())
    steps(again, resumed, 2, first=3)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
