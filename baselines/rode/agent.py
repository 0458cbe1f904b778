"""RODE's networks: role selector, roles, and the action sets and representations they share (RODE, sections 3.2, 3.3).

    Q_i^role(k) = zbar_k . selector(h^role_i),   zbar_k = mean of z_a over the action set of role k
    Q_i(a | k) = z_a . head_k(h_i)

with two recurrent trunks, h^role for the selector and h for the roles, each shared by all agents. z and zbar are
constants here. Until the actions have been clustered they are all ones: every action and every role is worth the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.rode.clustering import LEAST_ROLES, most_roles
from baselines.rode.config import RodeConfig
from baselines.value_based.agent import RecurrentTrunk
from baselines.value_based.mixers import Mixer
from baselines.value_based.qplex import two_layers
from envs.interface import EnvInfo


def inner_products(keys: Tensor, points: Tensor) -> Tensor:
    """keys: (..., D), points: (K, D). Returns: (..., K).

    Equal points get equal products to the last bit, so that ties are ties: a matrix product may add up some of its
    columns in another order than the others.
    """
    different, place = torch.unique(points, dim=0, return_inverse=True)
    if len(different) == len(points):
        return keys @ points.t()
    return (keys @ different.t()).index_select(-1, place)


class RodeAgent(nn.Module):
    """Values of roles and of actions in roles, from what an agent has seen since the start of the episode.

    There are K heads from the beginning, as many as roles can come of the clusters; the first three are in use before.
    """

    def __init__(self, info: EnvInfo, config: RodeConfig) -> None:
        super().__init__()
        width, size = config.agent.hidden_size, config.encoder.action_size
        self.n_agents, self.n_roles, self.size = info.n_agents, most_roles(config.roles.clusters), size
        self.hidden_size = 2 * width  # of both trunks side by side
        self.trunk = RecurrentTrunk(info, config.agent)
        self.role_trunk = RecurrentTrunk(info, config.agent)
        self.heads = nn.Linear(width, self.n_roles * size)
        self.selector = two_layers(width, 2 * width, size)
        self.action_points: Tensor  # (A, D): z
        self.role_points: Tensor  # (K, D): zbar
        self.action_sets: Tensor  # (K, A) bool
        self.active: Tensor  # (K,) bool: roles in use, the first ones
        self.register_buffer("action_points", torch.ones(info.n_actions, size))
        self.register_buffer("role_points", torch.ones(self.n_roles, size))
        self.register_buffer("action_sets", torch.ones(self.n_roles, info.n_actions, dtype=torch.bool))
        self.register_buffer("active", torch.arange(self.n_roles) < LEAST_ROLES)

    def set_roles(self, action_sets: Tensor, representations: Tensor) -> None:
        """Use these from now on. action_sets: (k, A) bool, k <= K, none empty.    representations: (A, D)."""
        used, members = len(action_sets), action_sets.to(representations.dtype)
        with torch.no_grad():
            self.action_points.copy_(representations)
            self.action_sets.fill_(True)[:used] = action_sets
            self.role_points.fill_(0.0)[:used] = members @ representations / members.sum(-1, keepdim=True)
            self.active.copy_(torch.arange(self.n_roles) < used)

    def inputs(self, obs: Tensor, last_action: Tensor) -> Tensor:
        """Inputs of both trunks, as `RecurrentTrunk.inputs`."""
        return self.trunk.inputs(obs, last_action)

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step of both trunks.

        Args: inputs: (N, D).    hidden: (N, 2 H).
        Returns: (N, K + K A), the values of all roles, then those of all actions in each role; and the next hidden
          state (N, 2 H).
        """
        before, role_before = hidden.chunk(2, -1)
        now, role_now = self.trunk.step_hidden(inputs, before), self.role_trunk.step_hidden(inputs, role_before)
        q = inner_products(self._keys(now), self.action_points)  # (N, K, A)
        return torch.cat([self.role_values(role_now), q.flatten(1)], -1), torch.cat([now, role_now], -1)

    def unroll(self, inputs: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Hidden states (R, n, H) of both trunks, h and h^role; arguments as of `RecurrentTrunk.unroll_hidden`."""
        return self.trunk.unroll_hidden(inputs, counts), self.role_trunk.unroll_hidden(inputs, counts)

    def role_values(self, role_hidden: Tensor) -> Tensor:
        """Q^role (..., K) from h^role (..., H). Roles that are not `active` have values without meaning."""
        return inner_products(self.selector(role_hidden), self.role_points)

    def action_values(self, hidden: Tensor, roles: Tensor) -> Tensor:
        """Q (..., A) of every action in the given roles. hidden: h (..., H).    roles: (...) int64."""
        keys = self._keys(hidden)  # (..., K, D)
        chosen = roles[..., None, None].expand(*roles.shape, 1, self.size)
        return inner_products(keys.gather(-2, chosen).squeeze(-2), self.action_points)

    def _keys(self, hidden: Tensor) -> Tensor:
        """head_k(h) of every role, (..., K, D)."""
        keys: Tensor = self.heads(hidden).unflatten(-1, (self.n_roles, self.size))
        return keys


class RodeNetwork(nn.Module):
    """Agent and both mixers: what is trained, copied and saved together."""

    def __init__(self, agent: RodeAgent, mixer: Mixer, role_mixer: Mixer) -> None:
        super().__init__()
        self.agent, self.mixer, self.role_mixer = agent, mixer, role_mixer
