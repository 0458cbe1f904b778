"""Which batches the kernels take, what is kept for a network, and when it is made anew."""

import copy
import gc
import weakref

import numpy as np
import pytest
import torch

from mazero.learning import loss as door
from mazero.learning.layers import Chain, Dense, Parameters, Rows, stages
from mazero.losses import batch_loss
from mazero.networks import Mlp
from tests.mazero.learning.test_step import LOSS, changed, make_batch, make_network


@pytest.mark.parametrize("why", ["evaluation", "obs", "weights", "autocast", "gradient", "parts", "encoder", "empty"])
def test_plain_torch_does_what_the_kernels_cannot(why):
    net = make_network(mlp_sizes=()) if why == "empty" else make_network()
    batch = make_batch(net)
    assert why == "empty" or door.plan_for(net, batch) is not None
    if why == "evaluation":
        net.eval()
    elif why == "obs":
        batch = changed(batch, obs=batch.obs.double())
    elif why == "weights":
        net.double()
    elif why == "gradient":
        batch = changed(batch, obs=batch.obs.clone().requires_grad_())
    elif why == "parts":
        net.predictor = torch.nn.Identity()
    elif why == "encoder":
        net.communication.layers = torch.nn.ModuleList([torch.nn.Identity()])
        net.communication = copy.deepcopy(net.communication)
    with torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"):
        assert door.plan_for(net, batch) is None
        if why not in ("obs", "weights"):
            assert batch_loss(net, batch, LOSS)[0].requires_grad


def test_one_plan_serves_all_batches_of_a_size():
    net = make_network()
    plan = door.plan_for(net, make_batch(net))
    assert door.plan_for(net, make_batch(net, seed=5)) is plan
    other = door.plan_for(net, make_batch(net, size=5))
    assert other is not plan and door._plans[net] is other
    assert door.plan_for(net, make_batch(net, size=5, steps=2)) is not other


def test_weights_that_change_are_seen_and_weights_that_move_are_found():
    net = make_network()
    batch = make_batch(net)
    plan, before = door.plan_for(net, batch), batch_loss(net, batch, LOSS)[0].item()
    state = {name: 1.1 * value for name, value in net.state_dict().items()}
    net.load_state_dict(state)
    assert door.plan_for(net, batch) is plan
    changed_loss = batch_loss(net, batch, LOSS)[0].item()
    assert changed_loss != before
    for parameter in net.parameters():
        parameter.data = parameter.data.clone()
    assert door.plan_for(net, batch) is not plan
    assert batch_loss(net, batch, LOSS)[0].item() == changed_loss


def test_a_plan_goes_with_its_network():
    net = make_network()
    plan = weakref.ref(door.plan_for(net, make_batch(net)))
    assert copy.deepcopy(net) not in door._plans
    del net
    gc.collect()
    assert plan() is None


def test_frozen_parameters_get_no_gradient():
    net = make_network()
    net.policy.requires_grad_(False)
    batch_loss(net, make_batch(net), LOSS)[0].backward()
    assert all(parameter.grad is None for parameter in net.policy.parameters())
    assert net.value[1].weight.grad is not None


@pytest.mark.parametrize(
    "module",
    [
        torch.nn.Tanh(),
        torch.nn.Sequential(),
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)),
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()),
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2), torch.nn.ReLU()),
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2, eps=1e-3)),
        torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.LayerNorm(2)),
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2, elementwise_affine=False)),
    ],
)
def test_chains_of_other_parts_are_refused(module):
    with pytest.raises(ValueError, match="a chain"):
        stages(module)


def test_a_chain_is_its_modules_forwards_and_backwards():
    torch.manual_seed(0)
    mlp = Mlp(5, (4, 6))
    for layer in mlp.layers:
        torch.nn.init.normal_(layer.weight) if hasattr(layer, "weight") else None
    known = Parameters(mlp.parameters())
    chain = Chain(stages(mlp), known, [(0, 2), (2, 7)])
    x, slope, add = torch.randn(7, 5, requires_grad=True), torch.randn(7, 6), torch.randn(7, 6)
    wanted = mlp(x) + add
    found = [chain.forward(i, x.detach()[part], add.numpy()[part]) for i, part in enumerate((slice(2), slice(2, 7)))]
    torch.testing.assert_close(torch.cat(found), wanted.detach(), rtol=1e-5, atol=1e-6)
    wanted.backward(slope)
    for i, part in enumerate((slice(2), slice(2, 7))):
        first = chain.backward(i, slope.numpy()[part])
        torch.testing.assert_close(first @ mlp.layers[0].weight, x.grad[part], rtol=1e-4, atol=1e-5)
    chain.finish(x.detach())
    for view, parameter in zip(known.views(known.slopes), mlp.parameters(), strict=True):
        torch.testing.assert_close(view, parameter.grad, rtol=1e-4, atol=1e-5)


def test_a_linear_alone_takes_its_gradient_where_its_result_was():
    linear = torch.nn.Linear(3, 2)
    known = Parameters(linear.parameters())
    layer = Dense(known.of(linear.weight), known.of(linear.bias), [(0, 4)])
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer.forward(0, x), linear(x).detach())
    layer.out.array[:] = 1.0
    assert torch.equal(layer.backward(0, layer.out.array), torch.ones(4, 2))
    layer.finish(x)
    torch.testing.assert_close(known.of(linear.weight).slope, x.sum(0).expand(2, 3))
    assert known.of(linear.bias).slope.tolist() == [4.0, 4.0]


def test_rows_show_one_memory_to_torch_and_numba():
    memory = Rows([(0, 2), (2, 3)], 2)
    memory.tensors[1].fill_(3.0)
    memory.arrays[0][1, 0] = 2.0
    np.testing.assert_array_equal(memory.array, [[0, 0], [2, 0], [3, 3]])
    assert memory.tensor.data_ptr() == memory.array.ctypes.data


def test_a_network_of_other_parts_is_told_once(caplog):
    net = make_network(mlp_sizes=())
    for _ in range(3):
        assert door.plan_for(net, make_batch(net)) is None
    assert [record.message.split(":")[0] for record in caplog.records] == ["learning in plain torch, which is slower"]
