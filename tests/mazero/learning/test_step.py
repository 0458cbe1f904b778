"""The learning step by hand against the plain modules in float64: loss, logged numbers, every gradient."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mazero.config import LossConfig
from mazero.learning import loss as door
from mazero.learning import step as module
from mazero.losses import Batch, batch_loss
from mazero.networks import MAZeroNetwork, Mlp, NetworkConfig

SIZES = {"hidden_size": 12, "mlp_sizes": (10,), "head_size": 7, "attention_layers": 1, "attention_heads": 3}
SIZES |= {"dropout": 0.0, "projection_size": 9, "predictor_size": 5, "support": 3}
LOSS = LossConfig()


def make_network(n=3, a=4, o=6, agent_types=(), **changes):
    torch.manual_seed(0)
    config = NetworkConfig(**(SIZES | changes))
    net = MAZeroNetwork(config, obs_size=o, n_agents=n, n_actions=a, agent_types=agent_types)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return net.train()


def make_batch(net, size=4, steps=3, k=2, seed=1, obs_size=6):
    g = torch.Generator().manual_seed(seed)
    n, a, o = net.n_agents, net.n_actions, obs_size * net.config.stacked_observations
    real = torch.ones(size, steps + 1)
    real[0, steps:] = 0
    return Batch(
        obs=torch.randn(size, steps + 1, n, o, generator=g),
        action=torch.randint(0, a, (size, steps, n), generator=g),
        reward=6 * torch.randn(size, steps, generator=g),  # h(x) = 3 at 15.6: some lie beyond
        value=6 * torch.randn(size, steps + 1, generator=g),
        joint_actions=torch.randint(0, a, (size, steps + 1, k, n), generator=g),
        policy_weight=torch.rand(size, steps + 1, k, generator=g),
        real=real,
        importance=torch.rand(size, generator=g),
    )


def changed(batch, **fields):
    return Batch(**{name: fields.get(name, getattr(batch, name)) for name in batch.__dataclass_fields__})


def doubled(batch):
    def wide(x):
        return x.double() if x.is_floating_point() else x

    return Batch(**{name: wide(getattr(batch, name)) for name in batch.__dataclass_fields__})


def assert_is_the_plain_one(net, batch, config=LOSS, reference=None):
    """By `batch_loss` of the plain modules (float64 is never taken by the kernels)."""
    plain = copy.deepcopy(net).double() if reference is None else reference
    wanted, roots, logged = batch_loss(plain, doubled(batch), config)
    wanted.backward()
    net.zero_grad()
    found, predicted, means = batch_loss(net, batch, config)
    assert net in door._plans
    found.backward()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(predicted.double(), roots.double(), rtol=1e-4, atol=1e-5)
    assert list(means) == list(logged)
    for name, number in logged.items():
        torch.testing.assert_close(means[name].double(), number.double(), rtol=1e-5, atol=1e-6, msg=name)
    for (name, parameter), other in zip(net.named_parameters(), plain.parameters(), strict=True):
        if other.grad is None:
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        error = (parameter.grad - other.grad).norm() / (other.grad.norm() + 1e-3)
        assert error < 2e-5, (name, error)
    return net


@pytest.mark.parametrize(
    ("agents", "size", "steps", "changes"),
    [
        (3, 4, 3, {}),
        (1, 1, 1, {}),
        (2, 5, 2, {"attention_heads": 1, "mlp_sizes": (5, 8, 3)}),
        (5, 3, 4, {"hidden_size": 16, "attention_heads": 8, "attention_layers": 3}),
        (3, 2, 2, {"hidden_size": 32, "attention_heads": 4, "attention_layers": 0, "mlp_sizes": (33, 17)}),
        (20, 2, 1, {"attention_heads": 2, "stacked_observations": 2}),
        (3, 4, 3, {"communication": False}),
        (5, 3, 2, {"communication": False, "hidden_size": 32, "attention_heads": 4, "mlp_sizes": (33, 17)}),
    ],
)
def test_loss_and_gradients_are_those_of_the_plain_modules(agents, size, steps, changes):
    net = make_network(agents, **changes)
    assert_is_the_plain_one(net, make_batch(net, size, steps, k=3))


@pytest.mark.parametrize(
    "config",
    [
        LossConfig(consistency=0.0),
        LossConfig(value=0.7, consistency=0.3),
        LossConfig(reward=4.0),
        LossConfig(halved_gradient="state"),
        LossConfig(halved_gradient="state", consistency_beyond_end=True, consistency=1.5),
        LossConfig(consistency_beyond_end=True),
    ],
)
def test_parts_have_their_weights(config):
    net = make_network()
    assert_is_the_plain_one(net, make_batch(net), config)


def test_projection_and_predictor_may_end_in_one_norm_or_none():
    net = make_network()
    net.projection, net.predictor = Mlp(36, (9, 8)), nn.Sequential(Mlp(8, (5,)), nn.Linear(5, 8))
    assert_is_the_plain_one(net, make_batch(net))


@pytest.mark.parametrize("count", [1, 40, 100])
def test_chunks_of_samples_make_no_difference(monkeypatch, count):
    """Seven samples of 36 floats: in chunks of one, of one and two, and of two and three."""
    monkeypatch.setattr(module, "CHUNK", count)
    net = make_network(dropout=0.2)
    torch.manual_seed(5)
    batch = make_batch(net, 7)
    assert_is_the_plain_one(net, batch, reference=with_masks_of(net, batch, seed=5))
    sizes = {last - first for first, last in door._plans[net].chunks}
    assert sizes == {1: {1}, 40: {1}, 100: {2, 3}}[count]


class Masked(nn.Module):
    """An encoder layer in plain torch that drops what an `Encoder` has dropped, call by call."""

    def __init__(self, layer, encoder, size, n):
        super().__init__()
        self.layer, self.encoder, self.size, self.n, self.calls = layer, encoder, size, n, 0

    def mask(self, rows, *shape):
        """Of this call, out of those of all steps one below the other."""
        kept = torch.from_numpy(rows.array >= self.encoder.dropout.threshold).view(-1, *shape)
        return kept[self.calls].double() * float(self.encoder.dropout.scale)

    def forward(self, x):
        layer, encoder, size, n, width = self.layer, self.encoder, self.size, self.n, x.shape[-1]
        of_sum, of_feed, of_out = (
            self.mask(rows, size, n, width) for rows in (encoder.bits_sum, encoder.bits_feed, encoder.bits_out)
        )
        of_weight = self.mask(encoder.bits_weight, size, n, n, layer.heads).permute(0, 3, 1, 2)
        self.calls += 1
        q, k, v = layer.qkv(x).view(size, n, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
        weight = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1) * of_weight
        mixed = layer.out((weight @ v).transpose(1, 2).reshape(size, n, width))
        x = layer.norm_attention(x + mixed * of_sum)
        feed = layer.feed_out(F.relu(layer.feed_in(x)) * of_feed)
        return layer.norm_feed(x + feed * of_out)


def with_masks_of(net, batch, seed):
    """A plain float64 copy of the network that drops what the losses of `net` after that seed drop."""
    torch.manual_seed(seed)
    with torch.no_grad():
        batch_loss(net, batch, LOSS)
    kept = [
        (
            copy.copy(encoder),
            {name: copy.deepcopy(getattr(encoder, name)) for name in encoder.__dict__ if "bits" in name},
        )
        for encoder in door._plans[net].encoders
    ]
    plain = copy.deepcopy(net).double()
    for i, (encoder, bits) in enumerate(kept):
        encoder.__dict__.update(bits)
        plain.communication.layers[i] = Masked(plain.communication.layers[i], encoder, len(batch.obs), net.n_agents)
    torch.manual_seed(seed)
    return plain


def test_dropout_has_the_gradient_of_its_own_masks():
    net = make_network(4, dropout=0.3, attention_layers=2)
    batch = make_batch(net, 5)
    assert_is_the_plain_one(net, batch, reference=with_masks_of(net, batch, seed=3))
    encoder = door._plans[net].encoders[1]
    shares = [
        (rows.array < encoder.dropout.threshold).mean()
        for rows in (encoder.bits_sum, encoder.bits_feed, encoder.bits_out, encoder.bits_weight)
    ]
    np.testing.assert_allclose(shares, 0.3, atol=0.06)  # of 720 elements: 3.5 standard errors


def test_gradients_are_slopes_of_the_loss_itself():
    """Finite differences along a random direction, with dropout of one seed; of what stops no gradient on purpose."""
    net, config = make_network(dropout=0.2), LossConfig(consistency=0.0)
    batch = make_batch(net, 6, steps=1)
    direction = [torch.randn_like(parameter) for parameter in net.parameters()]

    def value(size):
        moved = copy.deepcopy(net)
        with torch.no_grad():
            for parameter, way in zip(moved.parameters(), direction, strict=True):
                parameter.add_(size * way)
        torch.manual_seed(7)
        return moved, batch_loss(moved, batch, config)[0]

    moved, loss = value(0.0)
    loss.backward()
    slope = sum((p.grad * way).sum().item() for p, way in zip(moved.parameters(), direction, strict=True))
    numeric = (value(1e-3)[1].item() - value(-1e-3)[1].item()) / 2e-3
    np.testing.assert_allclose(slope, numeric, rtol=0.02)


def test_a_seed_repeats_a_step_bit_by_bit_whatever_came_between():
    net = make_network(dropout=0.2)
    first, other = make_batch(net), make_batch(net, seed=9)
    results = []
    for batch in (first, other, first):
        torch.manual_seed(3)
        net.zero_grad()
        loss = batch_loss(net, batch, LOSS)[0]
        loss.backward()
        results.append([loss.detach().clone(), *(parameter.grad.clone() for parameter in net.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[2], strict=True))
    assert not torch.equal(results[0][0], results[1][0])


def test_the_loss_is_a_node_like_any_other():
    """Gradients scale, add up, and stay those of their own batch when another one comes before the backward pass."""
    net = make_network()
    first, second = make_batch(net), make_batch(net, seed=2)
    alone = []
    for batch in (first, second):
        alone.append(torch.autograd.grad(batch_loss(net, batch, LOSS)[0], list(net.parameters())))
    losses = [batch_loss(net, batch, LOSS)[0] for batch in (first, second)]
    (2 * losses[0] + 3 * losses[1]).backward()
    for parameter, a, b in zip(net.parameters(), *alone, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * a + 3 * b, rtol=1e-5, atol=1e-7)


def test_without_gradients_none_are_computed(monkeypatch):
    net = make_network()
    batch = make_batch(net)
    loss = batch_loss(net, batch, LOSS)[0].item()
    monkeypatch.setattr(module.LearningStep, "backward", None)
    with torch.no_grad():
        again = batch_loss(net, batch, LOSS)[0]
    assert again.item() == loss and not again.requires_grad


@pytest.mark.parametrize("field", ["obs", "reward", "value", "policy_weight", "importance"])
def test_what_is_no_number_is_no_loss(field):
    net = make_network()
    batch = make_batch(net)
    broken = getattr(batch, field).clone()
    broken.view(-1)[1] = float("nan")
    assert batch_loss(net, changed(batch, **{field: broken}), LOSS)[0].isnan()


@pytest.mark.parametrize(
    "name", ["representation.layers.0.weight", "communication.layers.0.qkv.bias", "dynamics.first.weight"]
)
def test_a_weight_that_is_no_number_is_no_loss(name):
    net = make_network()
    net.get_parameter(name).data.view(-1)[0] = float("nan")
    assert batch_loss(net, make_batch(net), LOSS)[0].isnan()
