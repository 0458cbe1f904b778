"""The flat array of weights, read back: every Linear, every LayerNorm, every row, where the plan says it stands."""

import numpy as np
import pytest

from mazero.inference import records
from mazero.inference.packed import Packed, samples_in_a_tile
from mazero.inference.records import ALIGNMENT
from mazero.inference.tiles import PANEL, padded
from mazero.networks import NetworkConfig
from tests.mazero.inference.test_fused import network_of

CONFIG = NetworkConfig(
    hidden_size=24, mlp_sizes=(40, 10), head_size=6, attention_layers=2, attention_heads=3, support=7
)  # fmt: skip


class Reader:
    """Takes parts out of the flat array and remembers which floats were read."""

    def __init__(self, packed):
        self.packed, self.read = packed, []

    def floats(self, offset, *shape):
        size = int(np.prod(shape))
        assert offset % ALIGNMENT == 0
        self.read.append((int(offset), size))
        return self.packed.weights[offset : offset + size].reshape(shape)

    def linear(self, record, *, norm):
        """Weight (K, N), bias, and scale and shift of the LayerNorm behind, without their padding, which is zero."""
        k, n, width = record["k"], record["n"], record["width"]
        assert n == padded(int(width))
        weight = np.concatenate([*self.floats(record["weight"], n // PANEL, k, PANEL)], axis=1)
        bias = self.floats(record["bias"], n)
        assert not weight[:, width:].any() and not bias[width:].any()
        after = [self.floats(record[name], width) for name in ("scale", "shift")] if norm else []
        assert norm or (record["scale"], record["shift"]) == (0, 0)
        return [weight[:, :width], bias[:width], *after]


def by_channel(x, heads):
    """Rows (head, feature) sorted to (feature, head)."""
    return np.concatenate([x[f :: len(x) // heads] for f in range(len(x) // heads)])


@pytest.mark.parametrize(("n", "obs_size", "n_actions"), [(3, 7, 5), (2, 140, 70)])
def test_the_plan_and_all_weights(n, obs_size, n_actions):
    network = network_of(CONFIG, n=n, obs_size=obs_size, n_actions=n_actions)
    p = {name: value.detach().numpy() for name, value in network.named_parameters()}
    packed = Packed(network)
    reader, plan = Reader(packed), packed.plan[0]
    stride = padded(24)

    numbers = {
        "agents": n, "actions": n_actions, "hidden": 24, "stride": stride, "heads": 3, "layers": 2,
        "observation": obs_size, "representation": 3, "rest": 2, "support": 7,
        "widest": padded(max(obs_size, n_actions, 3 * 24)), "tile": samples_in_a_tile(n), "communicates": 1,
    }  # fmt: skip
    assert {name: plan[name] for name in numbers} == numbers and packed.plan.shape == (1,)
    assert type(samples_in_a_tile(n)) is int and packed.dense.dtype == records.DENSE
    assert packed.dense.shape == (9 + 2 * 4 + 3 + 2, 1) and packed.weights.dtype == np.float32

    def linear(name, norm=None):
        after = [] if norm is None else [p[f"{norm}.weight"], p[f"{norm}.bias"]]
        return [p[f"{name}.weight"].T, p[f"{name}.bias"], *after]

    def joint(name, norm):
        """Over all agents: the padding of each agent's hidden state meets rows of zeros."""
        weight, *rest = linear(name, norm)
        zeros = np.zeros((stride - 24, 6), np.float32)
        return [np.concatenate([x for i in range(n) for x in (weight[24 * i : 24 * i + 24], zeros)]), *rest]

    first, wide = p["dynamics.first.weight"].T, "dynamics.first"
    expected = [
        linear("communication.embed"),
        [first[:24], p[f"{wide}.bias"]],
        [first[24:], np.zeros(40)],
        joint("reward", "reward.norm"),
        linear("reward.out"),
        joint("value.0.layers.0", "value.0.layers.2"),
        linear("value.1"),
        linear("policy.0.layers.0", "policy.0.layers.2"),
        linear("policy.1"),
    ]
    for i in range(2):
        at = f"communication.layers.{i}"
        q, k, v = (by_channel(x, 3) for x in np.split(p[f"{at}.qkv.weight"], 3))
        b, c, d = (by_channel(x, 3) for x in np.split(p[f"{at}.qkv.bias"], 3))
        root = np.float32(8**0.5)  # of the features of a head
        expected += [
            [np.concatenate((q / root, k, v)).T, np.concatenate((b / root, c, d))],
            [by_channel(p[f"{at}.out.weight"].T, 3), *linear(f"{at}.out", f"{at}.norm_attention")[1:]],
            linear(f"{at}.feed_in"),
            linear(f"{at}.feed_out", f"{at}.norm_feed"),
        ]
    mlps = [("representation", 3), ("dynamics.rest", 2)]
    expected += [linear(f"{m}.layers.{3 * i}", f"{m}.layers.{3 * i + 2}") for m, count in mlps for i in range(count)]
    for i, (record, wanted) in enumerate(zip(packed.dense[:, 0], expected, strict=True)):
        found = reader.linear(record, norm=len(wanted) == 4)
        for x, y in zip(found, wanted, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-6, atol=0, err_msg=str(i))

    rows = {
        "embed_rows": (p["communication.embed.action_rows"], stride),
        "position": (network.communication.position.numpy(), stride),
        "first_rows": (p["dynamics.first.action_rows"], padded(40)),
        "reward_rows": (p["reward.action_rows"], padded(6)),
    }
    for name, (wanted, width) in rows.items():
        found = reader.floats(plan[name], len(wanted), width)
        np.testing.assert_array_equal(found[:, : wanted.shape[1]], wanted, name)
        assert not found[:, wanted.shape[1] :].any()
    for name, norm, width in (("first", "dynamics.norm", 40), ("input", "normalise", obs_size)):
        np.testing.assert_array_equal(reader.floats(plan[f"{name}_scale"], width), p[f"{norm}.weight"])
        np.testing.assert_array_equal(reader.floats(plan[f"{name}_shift"], width), p[f"{norm}.bias"])

    end = 0  # side by side, nothing twice, nothing between
    for offset, size in sorted(reader.read):
        assert offset == end
        end = offset + -(-size // ALIGNMENT) * ALIGNMENT
        assert not packed.weights[offset + size : end].any()
    assert end == packed.weights.size


def test_the_widest_row_may_be_that_of_a_hidden_layer():
    wide = NetworkConfig(hidden_size=8, mlp_sizes=(200,), head_size=6, attention_layers=1, attention_heads=1)
    assert Packed(network_of(wide)).plan[0]["widest"] == padded(200)


def test_packing_copies_and_leaves_the_network_alone():
    network = network_of()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    packed = Packed(network)
    kept = packed.weights.copy()
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    for parameter in network.parameters():
        parameter.data.add_(1.0)
    np.testing.assert_array_equal(packed.weights, kept)


def test_a_network_in_float64_is_packed_in_float32():
    network = network_of()
    single = Packed(network).weights
    np.testing.assert_array_equal(Packed(network.double()).weights, single)


def test_a_layer_norm_with_another_epsilon_is_not_packed():
    network = network_of()
    network.normalise.eps = 2 * records.LAYER_NORM_EPSILON
    with pytest.raises(AssertionError):
        Packed(network)
