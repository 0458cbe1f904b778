"""Weights of a `MAZeroNetwork` in the one flat array that the kernels read, and where in it everything stands."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from mazero.inference import kernels
from mazero.inference.tiles import ROWS, pack, padded
from mazero.networks import AttentionLayer, MAZeroNetwork, Mlp

ROWS_IN_A_TILE = 48  # agents worked on together: activations stay in the second-level cache, weights are reused
ALIGNMENT = 16  # floats: a cache line


class Packed:
    """A network's weights as the kernels want them.

    Attributes:
      weights: float32, flat.    dense: DENSE records.    plan: (1,) PLAN record.
    """

    def __init__(self, network: MAZeroNetwork) -> None:
        self.plan = np.zeros(1, kernels.PLAN)
        self._parts: list[np.ndarray] = []
        self._size = 0
        with torch.no_grad():
            self.dense = self._lay_out(network)
        self.weights = np.zeros(self._size, np.float32)
        offset = 0
        for part in self._parts:
            self.weights[offset : offset + part.size] = part.ravel()
            offset += -(-part.size // ALIGNMENT) * ALIGNMENT
        self._parts.clear()

    def _lay_out(self, network: MAZeroNetwork) -> np.ndarray:
        """Fills the plan and collects all weights. Returns: the DENSE records."""
        plan, config, n = self.plan[0], network.config, network.n_agents
        width = config.hidden_size
        stride = padded(width)
        communication, dynamics, reward = network.communication, network.dynamics, network.reward
        dense: dict[int, np.void] = {}

        embed = communication.embed
        dense[kernels.EMBED] = self._linear(_numpy(embed.weight).T, _numpy(embed.bias))
        plan["embed_rows"] = self._rows(_numpy(embed.action_rows), stride)
        plan["position"] = self._rows(_numpy(communication.position), stride)
        first = dynamics.first
        weight = _numpy(first.weight).T  # (2 H, M)
        dense[kernels.FIRST_HIDDEN] = self._linear(weight[:width], _numpy(first.bias))
        dense[kernels.FIRST_FEATURE] = self._linear(weight[width:], None)
        plan["first_rows"] = self._rows(_numpy(first.action_rows), padded(weight.shape[1]))
        plan["first_scale"], plan["first_shift"] = self._norm(dynamics.norm)

        dense[kernels.REWARD] = self._linear(_joint(reward.weight, n, stride), _numpy(reward.bias), reward.norm)
        plan["reward_rows"] = self._rows(_numpy(reward.action_rows), padded(config.head_size))
        dense[kernels.REWARD_OUT] = self._of(reward.out)
        ((value, value_norm),) = _linear_and_norm(network.value[0])
        dense[kernels.VALUE] = self._linear(_joint(value.weight, n, stride), _numpy(value.bias), value_norm)
        dense[kernels.VALUE_OUT] = self._of(network.value[1])
        ((policy, policy_norm),) = _linear_and_norm(network.policy[0])
        dense[kernels.POLICY] = self._of(policy, policy_norm)
        dense[kernels.POLICY_OUT] = self._of(network.policy[1])

        at = kernels.VARIABLE
        for layer in communication.layers:
            assert isinstance(layer, AttentionLayer)
            for record in self._attention(layer):
                dense[at] = record
                at += 1
        representation = _linear_and_norm(network.representation)
        rest = _linear_and_norm(dynamics.rest)
        for linear, norm in (*representation, *rest):
            dense[at] = self._of(linear, norm)
            at += 1
        plan["input_scale"], plan["input_shift"] = self._norm(network.normalise)

        inputs = network.normalise.normalized_shape[0]
        widths = [inputs, *(int(record["n"]) for record in dense.values())]
        plan["agents"], plan["actions"], plan["hidden"], plan["stride"] = n, network.n_actions, width, stride
        plan["heads"], plan["layers"] = config.attention_heads, len(communication.layers)
        plan["observation"], plan["representation"], plan["rest"] = inputs, len(representation), len(rest)
        plan["support"], plan["widest"] = config.support, padded(max(widths))
        plan["tile"] = samples_in_a_tile(n)
        return np.array([dense[i] for i in range(at)])

    def _attention(self, layer: AttentionLayer) -> list[np.void]:
        """The four Linears of an encoder layer, features of the heads reordered, queries scaled."""
        heads, qkv, out = layer.heads, layer.qkv, layer.out
        width = out.weight.shape[0]
        order = np.arange(width).reshape(heads, -1).T.ravel()  # (feature of the head, head) from (head, feature)
        scale = np.float32(1.0 / math.sqrt(width // heads))
        weight = _numpy(qkv.weight).reshape(3, width, width)[:, order]
        bias = _numpy(qkv.bias).reshape(3, width)[:, order]
        weight[0] *= scale
        bias[0] *= scale
        return [
            self._linear(weight.reshape(3 * width, width).T, bias.ravel()),
            self._linear(_numpy(out.weight)[:, order].T, _numpy(out.bias), layer.norm_attention),
            self._of(layer.feed_in),
            self._of(layer.feed_out, layer.norm_feed),
        ]

    def _of(self, linear: nn.Module, norm: nn.LayerNorm | None = None) -> np.void:
        assert isinstance(linear, nn.Linear)
        return self._linear(_numpy(linear.weight).T, _numpy(linear.bias), norm)

    def _linear(self, weight: np.ndarray, bias: np.ndarray | None, norm: nn.LayerNorm | None = None) -> np.void:
        """weight (K, N), bias (N,) or None for zeros."""
        k, width = weight.shape
        n = padded(width)
        wide = np.zeros((k, n))
        wide[:, :width] = weight
        offsets = np.zeros(n)
        if bias is not None:
            offsets[:width] = bias
        record = np.zeros(1, kernels.DENSE)[0]
        record["k"], record["n"], record["width"] = k, n, width
        record["weight"], record["bias"] = self._add(pack(wide)), self._add(offsets)
        if norm is not None:
            record["scale"], record["shift"] = self._norm(norm)
        return record

    def _norm(self, norm: nn.LayerNorm) -> tuple[int, int]:
        assert norm.eps == kernels.LAYER_NORM_EPSILON
        return self._add(_numpy(norm.weight)), self._add(_numpy(norm.bias))

    def _rows(self, rows: np.ndarray, width: int) -> int:
        """Rows padded with zeros to `width`; returns their offset."""
        wide = np.zeros((len(rows), width))
        wide[:, : rows.shape[1]] = rows
        return self._add(wide)

    def _add(self, part: np.ndarray) -> int:
        """Appends to the flat array; returns the offset in floats."""
        offset = self._size
        self._parts.append(part)
        self._size += -(-part.size // ALIGNMENT) * ALIGNMENT
        return offset


def samples_in_a_tile(n_agents: int) -> int:
    """Samples worked on together: about ROWS_IN_A_TILE agents, in whole register tiles of ROWS."""
    step = ROWS // math.gcd(n_agents, ROWS)  # the fewest samples that fill register tiles
    return step * max(1, round(ROWS_IN_A_TILE / (n_agents * step)))


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy().copy()


def _joint(weight: torch.Tensor, n_agents: int, stride: int) -> np.ndarray:
    """Weight (N, n * H) of a layer over all agents -> (n * stride, N): rows of zeros for the padding of each agent."""
    out, joint = weight.shape
    wide = np.zeros((out, n_agents, stride))
    wide[:, :, : joint // n_agents] = _numpy(weight).reshape(out, n_agents, -1)
    return wide.reshape(out, -1).T


def _linear_and_norm(mlp: nn.Module) -> list[tuple[nn.Linear, nn.LayerNorm]]:
    """(Linear, LayerNorm) of each layer of an `Mlp`."""
    assert isinstance(mlp, Mlp)
    linears = [part for part in mlp.layers if isinstance(part, nn.Linear)]
    norms = [part for part in mlp.layers if isinstance(part, nn.LayerNorm)]
    return list(zip(linears, norms, strict=True))
