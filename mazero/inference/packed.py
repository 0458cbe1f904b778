"""Weights of a `MAZeroNetwork` in the one flat array that the kernels read, and where in it everything stands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from mazero.grouped import Grouped, GroupedLinear, GroupedNorm
from mazero.inference import records
from mazero.inference.layers import lines
from mazero.inference.records import ALIGNMENT
from mazero.inference.tiles import ROWS, pack, padded
from mazero.networks import AttentionLayer, MAZeroNetwork, Mlp

ROWS_IN_A_TILE = 48  # agents worked on together: activations stay in the second-level cache, weights are reused


class Packed:
    """A network's weights as the kernels want them.

    Attributes:
      weights: float32, flat.    dense: (parts, copies) DENSE records.    plan: (1,) PLAN record.
    Raises: ValueError for a network of the flat structure, which the kernels do not know.
    """

    def __init__(self, network: MAZeroNetwork) -> None:
        if network.config.structure == "flat":
            raise ValueError("the kernels run individual dynamics, got network.structure flat: use backend eager")
        self.plan = np.zeros(1, records.PLAN)
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
        """Fills the plan and collects all weights. Returns: the DENSE records, (parts, copies)."""
        plan, config, n = self.plan[0], network.config, network.n_agents
        shared = config.sharing == "all"
        self._copies = (0,) if shared else network.groups  # group of each copy
        dense = self._step(network) | self._heads(network) | self._chains(network)
        widths = [network.inputs, *(int(of_copies[0]["n"]) for of_copies in dense.values())]
        plan["agents"], plan["actions"] = n, network.n_actions
        plan["hidden"], plan["stride"] = config.hidden_size, padded(config.hidden_size)
        plan["observation"], plan["heads"], plan["support"] = network.inputs, config.attention_heads, config.support
        plan["widest"] = padded(max(widths))
        plan["tile"] = samples_in_a_tile(n) if shared else samples_in_a_tile_of_copies(n)
        return np.array([[record.item() for record in dense[i]] for i in range(len(dense))], records.DENSE)

    def _step(self, network: MAZeroNetwork) -> dict[int, list[np.void]]:
        """Embedding and the first layer of the dynamics."""
        plan, width, dynamics = self.plan[0], network.config.hidden_size, network.dynamics
        communicates = network.communication is not None
        nothing = [np.zeros(1, records.DENSE)[0]] * len(self._copies)
        dense = {records.EMBED: nothing, records.FIRST_FEATURE: nothing}
        weights = _weights(dynamics.first)  # (2 H, M), or (H, M) without communication
        biases = _vectors(dynamics.first.bias)
        dense[records.FIRST_HIDDEN] = self._own([weight[:width] for weight in weights], biases)
        if communicates:
            embed = network.communication.embed
            dense[records.EMBED] = self._own(_weights(embed), _vectors(embed.bias))
            dense[records.FIRST_FEATURE] = self._own([weight[width:] for weight in weights], None)
            plan["embed_rows"] = self._own_rows(embed.action_rows, padded(width))
            plan["position"] = self._rows(_numpy(network.communication.position), padded(width))
        plan["communicates"] = communicates
        plan["first_rows"] = self._own_rows(dynamics.first.action_rows, padded(weights[0].shape[1]))
        plan["first_scale"], plan["first_shift"] = self._own_norm(dynamics.norm)
        return dense

    def _heads(self, network: MAZeroNetwork) -> dict[int, list[np.void]]:
        """Reward and value of the team, policies of the agents."""
        n, stride, reward = network.n_agents, padded(network.config.hidden_size), network.reward
        ((value, value_norm),) = _linear_and_norm(network.value[0])
        ((policy, policy_norm),) = _linear_and_norm(network.policy[0])
        self.plan[0]["reward_rows"] = self._rows(_numpy(reward.action_rows), padded(network.config.head_size))
        return {
            records.REWARD: self._team(_joint(reward.weight, n, stride), reward.bias, reward.norm),
            records.REWARD_OUT: self._of(reward.out),
            records.VALUE: self._team(_joint(value.weight, n, stride), value.bias, value_norm),
            records.VALUE_OUT: self._of(network.value[1]),
            records.POLICY: self._own(_weights(policy), _vectors(policy.bias), _norms(policy_norm)),
            records.POLICY_OUT: self._own(_weights(network.policy[1]), _vectors(network.policy[1].bias)),
        }

    def _chains(self, network: MAZeroNetwork) -> dict[int, list[np.void]]:
        """What there is any number of: attention, representation, the rest of the dynamics."""
        plan = self.plan[0]
        layers = [] if network.communication is None else list(network.communication.layers)
        representation, rest = _linear_and_norm(network.representation), _linear_and_norm(network.dynamics.rest)
        found = [of_copies for layer in layers for of_copies in self._attention(layer)]
        for linear, norm in (*representation, *rest):
            found.append(self._own(_weights(linear), _vectors(linear.bias), _norms(norm)))
        plan["layers"], plan["representation"], plan["rest"] = len(layers), len(representation), len(rest)
        plan["input_scale"], plan["input_shift"] = self._own_norm(network.normalise)
        return dict(enumerate(found, records.VARIABLE))

    def _own(
        self,
        weights: list[np.ndarray],
        biases: list[np.ndarray] | None,
        norms: list[tuple[np.ndarray, np.ndarray]] | None = None,
    ) -> list[np.void]:
        """Records of every copy of an agent's own Linear; lists are by group."""
        made = [
            self._linear(weight, None if biases is None else biases[g], None if norms is None else norms[g])
            for g, weight in enumerate(weights)
        ]
        return [made[group] for group in self._copies]

    def _own_rows(self, rows: torch.Tensor, width: int) -> int:
        """Rows (A, N) or (G, A, N) of actions, of every copy, one below the other; returns their offset."""
        by_group = [_numpy(rows)] if rows.dim() == 2 else list(_numpy(rows))
        return self._rows(np.concatenate([by_group[group] for group in self._copies]), width)

    def _own_norm(self, norm: nn.Module) -> tuple[int, int]:
        """Offsets of the gains and of the shifts of every copy, which lie in whole cache lines."""
        norms = _norms(norm)
        width = int(lines(norms[0][0].size))
        gains, shifts = zip(*(norms[group] for group in self._copies), strict=True)
        return self._rows(np.stack(gains), width), self._rows(np.stack(shifts), width)

    def _attention(self, layer: AttentionLayer) -> list[list[np.void]]:
        """The four Linears of an encoder layer, features of the heads reordered, queries scaled."""
        assert isinstance(layer, AttentionLayer)
        heads, qkv, out = layer.heads, layer.qkv, layer.out
        width = out.weight.shape[0]
        order = np.arange(width).reshape(heads, -1).T.ravel()  # (feature of the head, head) from (head, feature)
        scale = np.float32(1.0 / math.sqrt(width // heads))
        weight = _numpy(qkv.weight).reshape(3, width, width)[:, order]
        bias = _numpy(qkv.bias).reshape(3, width)[:, order]
        weight[0] *= scale
        bias[0] *= scale
        return [
            [self._linear(weight.reshape(3 * width, width).T, bias.ravel())] * len(self._copies),
            self._team(_numpy(out.weight)[:, order].T, out.bias, layer.norm_attention),
            self._of(layer.feed_in),
            self._of(layer.feed_out, layer.norm_feed),
        ]

    def _of(self, linear: nn.Module, norm: nn.Module | None = None) -> list[np.void]:
        assert isinstance(linear, nn.Linear)
        return self._team(_numpy(linear.weight).T, linear.bias, norm)

    def _team(self, weight: np.ndarray, bias: torch.Tensor, norm: nn.Module | None) -> list[np.void]:
        """A Linear of the team, weight (K, N): the same record for every copy."""
        record = self._linear(weight, _numpy(bias), None if norm is None else _norms(norm)[0])
        return [record] * len(self._copies)

    def _linear(
        self, weight: np.ndarray, bias: np.ndarray | None, norm: tuple[np.ndarray, np.ndarray] | None = None
    ) -> np.void:
        """weight (K, N), bias (N,) or None for zeros, gain and shift of the LayerNorm behind."""
        k, width = weight.shape
        n = padded(width)
        wide = np.zeros((k, n))
        wide[:, :width] = weight
        offsets = np.zeros(n)
        if bias is not None:
            offsets[:width] = bias
        record = np.zeros(1, records.DENSE)[0]
        record["k"], record["n"], record["width"] = k, n, width
        record["weight"], record["bias"] = self._add(pack(wide)), self._add(offsets)
        if norm is not None:
            record["scale"], record["shift"] = self._add(norm[0]), self._add(norm[1])
        return record

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


def samples_in_a_tile_of_copies(n_agents: int) -> int:
    """The same where every agent has a product of its own: then its rows alone fill register tiles."""
    return ROWS * max(1, round(ROWS_IN_A_TILE / (n_agents * ROWS)))


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().float().numpy().copy()


def _joint(weight: torch.Tensor, n_agents: int, stride: int) -> np.ndarray:
    """Weight (N, n * H) of a layer over all agents -> (n * stride, N): rows of zeros for the padding of each agent."""
    out, joint = weight.shape
    wide = np.zeros((out, n_agents, stride))
    wide[:, :, : joint // n_agents] = _numpy(weight).reshape(out, n_agents, -1)
    return wide.reshape(out, -1).T


def _weights(layer: Any) -> list[np.ndarray]:
    """Weights (K, N) of an agent's own Linear, by group."""
    weight = _numpy(layer.weight)
    return list(weight) if isinstance(layer, Grouped) else [weight.T]


def _vectors(parameter: torch.Tensor) -> list[np.ndarray]:
    """(N,) or (G, N) -> vectors by group."""
    return list(np.atleast_2d(_numpy(parameter)))


def _norms(norm: nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gain and shift of a LayerNorm, by group."""
    assert isinstance(norm, nn.LayerNorm | GroupedNorm) and norm.eps == records.LAYER_NORM_EPSILON
    return list(zip(_vectors(norm.weight), _vectors(norm.bias), strict=True))


def _linear_and_norm(mlp: nn.Module) -> list[tuple[Any, Any]]:
    """(Linear, LayerNorm) of each layer of an `Mlp`, shared or of groups."""
    assert isinstance(mlp, Mlp)
    linears = [part for part in mlp.layers if isinstance(part, nn.Linear | GroupedLinear)]
    norms = [part for part in mlp.layers if isinstance(part, nn.LayerNorm | GroupedNorm)]
    return list(zip(linears, norms, strict=True))
