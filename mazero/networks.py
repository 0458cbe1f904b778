"""The six networks of MAZero (paper equation 4; sizes from the release): shared by agents, joined by attention.

  representation  h: own observation -> own hidden state
  communication   e: all hidden states and actions -> one feature an agent (attention)
  dynamics        g: own hidden state, own action, own feature -> own next hidden state
  reward, value      all agents -> one categorical scalar of the team         policy: own hidden state -> own logits
  projection, prediction: the joint hidden state, for the consistency loss (SimSiam, as in EfficientZero)

Everything an agent owns has shape (B, n, ...). A Linear over concat(x, one-hot action) is computed as a Linear over x
plus a row look-up (`ActionLinear`): the same function, without building the one-hot.

Variants of this structure (paper, Fig. 6) are settings of `network_config.py`: without communication, with own
parameters for every agent or unit type, and flat, the team as one agent.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from envs.interface import EnvInfo
from mazero.blocks import SHARED, ActionLinear, AttentionLayer, Layers, Mlp, linear, position_code, zero_linear
from mazero.grouped import grouped
from mazero.network_config import NetworkConfig
from mazero.transforms import expected_scalar
from training.errors import UserError

__all__ = [
    "ActionLinear",
    "AttentionLayer",
    "Communication",
    "MAZeroNetwork",
    "Mlp",
    "NetworkConfig",
    "Prediction",
    "RewardHead",
    "position_code",
]


class Prediction(NamedTuple):
    """What a node of the search tree needs."""

    hidden: Tensor  # (B, n, H)
    reward: Tensor  # (B,) reward units; zeros at a root
    value: Tensor  # (B,) reward units
    policy_logits: Tensor  # (B, n, A)


class Communication(nn.Module):
    """e: attention over (hidden state, action) of all agents."""

    def __init__(self, config: NetworkConfig, n_agents: int, n_actions: int, layers: Layers = SHARED) -> None:
        super().__init__()
        self.embed = layers.action_linear(config.hidden_size, n_actions, config.hidden_size, orthogonal=False)
        self.position: Tensor
        self.register_buffer("position", position_code(n_agents, config.hidden_size), persistent=False)
        layer = AttentionLayer(config.hidden_size, config.attention_heads, config.dropout)
        # Copies: torch's TransformerEncoder, which the release uses, starts all layers with the same weights.
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(config.attention_layers))

    def forward(self, hidden: Tensor, action: Tensor) -> Tensor:
        """hidden (B, n, H), action (B, n) -> (B, n, H)."""
        x = F.relu(self.embed(hidden, action)) + self.position
        for layer in self.layers:
            x = layer(x)
        return x


class Dynamics(nn.Module):
    """g: (own hidden, own action, own feature if there is communication) -> own next hidden, residual."""

    def __init__(self, config: NetworkConfig, n_actions: int, layers: Layers = SHARED) -> None:
        super().__init__()
        first, *rest = (*config.mlp_sizes, config.hidden_size)
        self.first = layers.action_linear((1 + config.communication) * config.hidden_size, n_actions, first)
        self.norm = layers.norm(first)
        self.rest = Mlp(first, tuple(rest), layers)

    def forward(self, hidden: Tensor, action: Tensor, feature: Tensor | None) -> Tensor:
        """(B, n, H), (B, n), (B, n, H) or None -> (B, n, H)."""
        x = self.first(hidden if feature is None else torch.cat((hidden, feature), dim=-1), action)
        return hidden + self.rest(self.norm(F.relu(x)))


class TeamActionLinear(nn.Module):
    """Linear over all agents' (x, one-hot action), concatenated.

    Args:
      features: width of one agent's x.    n_agents, n_actions: n, A.    out: width of the result.
    """

    def __init__(self, features: int, n_agents: int, n_actions: int, out: int) -> None:
        super().__init__()
        whole = linear(n_agents * (features + n_actions), out)
        weight = whole.weight.detach().view(out, n_agents, -1)
        self.weight = nn.Parameter(weight[:, :, :features].flatten(1).clone())
        rows = weight[:, :, features:].permute(1, 2, 0)  # (n, A, out)
        self.action_rows = nn.Parameter(rows.reshape(n_agents * n_actions, out).clone())
        self.bias = nn.Parameter(whole.bias.detach().clone())
        self.offset: Tensor
        self.register_buffer("offset", torch.arange(n_agents) * n_actions, persistent=False)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """x (B, n, features), action (B, n) int64 -> (B, out)."""
        y = F.linear(x.flatten(1), self.weight, self.bias)
        return y + F.embedding(action + self.offset, self.action_rows).sum(dim=1)


class RewardHead(TeamActionLinear):
    """All agents' (next hidden, action) -> logits of the team reward."""

    def __init__(self, config: NetworkConfig, n_agents: int, n_actions: int) -> None:
        super().__init__(config.hidden_size, n_agents, n_actions, config.head_size)
        self.norm = nn.LayerNorm(config.head_size)
        self.out = zero_linear(config.head_size, 2 * config.support + 1)

    def forward(self, hidden: Tensor, action: Tensor) -> Tensor:
        """hidden (B, n, H) after the action, action (B, n) -> (B, 2 support + 1)."""
        return self.out(self.norm(F.relu(super().forward(hidden, action))))


class Flat(nn.Module):
    """A module over what all agents have, concatenated: (..., n, C) -> (..., n, C')."""

    def __init__(self, n_agents: int, *layers: nn.Module) -> None:
        super().__init__()
        self.n_agents, self.layers = n_agents, nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n, C) -> (..., n, C')."""
        return self.layers(x.flatten(-2)).unflatten(-1, (self.n_agents, -1))


class FlatDynamics(nn.Module):
    """g of the flat structure: (joint hidden, joint action) -> joint next hidden, residual."""

    def __init__(self, config: NetworkConfig, n_agents: int, n_actions: int) -> None:
        super().__init__()
        first, *rest = (*config.mlp_sizes, n_agents * config.hidden_size)
        self.first = TeamActionLinear(config.hidden_size, n_agents, n_actions, first)
        self.norm = nn.LayerNorm(first)
        self.rest = Mlp(first, tuple(rest))

    def forward(self, hidden: Tensor, action: Tensor, feature: None) -> Tensor:
        """(B, n, H), (B, n), None -> (B, n, H)."""
        x = self.rest(self.norm(F.relu(self.first(hidden, action))))
        return hidden + x.view(hidden.shape)


class MAZeroNetwork(nn.Module):
    """All networks of one learner.

    Args:
      config: sizes and structure.    obs_size: O of one observation (before stacking).    n_agents, n_actions: n, A.
      agent_types: unit type of every agent, (n,), as `EnvInfo` has it; needed by `sharing: type` only.
    Attributes:
      inputs: S * O, width of an agent's stacked observations.
      groups: (n,) which of the parameters of an agent's own networks each agent has, 0, 1, ... in order of appearance.
    Raises: ValueError if types are needed and not known.
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        obs_size: int,
        n_agents: int,
        n_actions: int,
        agent_types: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.config, self.n_agents, self.n_actions = config, n_agents, n_actions
        self.groups = groups_of(config.sharing, n_agents, agent_types)
        width, joint = config.hidden_size, n_agents * config.hidden_size
        self.inputs = inputs = obs_size * config.stacked_observations
        # Any: the kernels of inference and learning look into them.
        self.communication: Any = None
        # Made in this order: first values are drawn one after the other.
        if config.structure == "flat":
            self.normalise: Any = Flat(n_agents, nn.LayerNorm(n_agents * inputs))
            self.representation: Any = Flat(n_agents, Mlp(n_agents * inputs, (*config.mlp_sizes, joint)))
            self.dynamics: Any = FlatDynamics(config, n_agents, n_actions)
        else:
            own = SHARED if config.sharing == "all" else grouped(self.groups)
            self.normalise = own.norm(inputs)
            self.representation = Mlp(inputs, (*config.mlp_sizes, width), own)
            if config.communication:
                self.communication = Communication(config, n_agents, n_actions, own)
            self.dynamics = Dynamics(config, n_actions, own)
        self.reward = RewardHead(config, n_agents, n_actions)
        self.value = nn.Sequential(
            Mlp(joint, (config.head_size,)), zero_linear(config.head_size, 2 * config.support + 1)
        )
        if config.structure == "flat":
            head = (Mlp(joint, (config.head_size,)), zero_linear(config.head_size, n_agents * n_actions))
            self.policy: Any = Flat(n_agents, *head)
        else:
            self.policy = nn.Sequential(
                Mlp(width, (config.head_size,), own), own.zero_linear(config.head_size, n_actions)
            )
        self.projection = nn.Sequential(
            Mlp(joint, (config.projection_size, config.projection_size)), nn.LayerNorm(config.projection_size)
        )
        self.predictor = Mlp(config.projection_size, (config.predictor_size, config.projection_size))

    @classmethod
    def for_environment(cls, config: NetworkConfig, info: EnvInfo) -> MAZeroNetwork:
        """The networks for an environment. Raises: UserError if its agents' types are needed and not known."""
        try:
            return cls(
                config,
                obs_size=info.obs_size,
                n_agents=info.n_agents,
                n_actions=info.n_actions,
                agent_types=info.agent_types,
            )
        except ValueError as error:
            raise UserError(f"{info.name}: {error}") from error

    def represent(self, obs: Tensor) -> Tensor:
        """obs (B, n, S * O) -> hidden (B, n, H)."""
        return self.representation(self.normalise(obs))

    def step(self, hidden: Tensor, action: Tensor) -> Tensor:
        """hidden (B, n, H), joint action (B, n) int64 -> next hidden (B, n, H)."""
        feature = None if self.communication is None else self.communication(hidden, action)
        return self.dynamics(hidden, action, feature)

    def value_logits(self, hidden: Tensor) -> Tensor:
        """(B, n, H) -> (B, 2 support + 1)."""
        return self.value(hidden.flatten(1))

    def reward_logits(self, next_hidden: Tensor, action: Tensor) -> Tensor:
        """(B, n, H) after the action, (B, n) -> (B, 2 support + 1)."""
        return self.reward(next_hidden, action)

    def policy_logits(self, hidden: Tensor) -> Tensor:
        """(B, n, H) -> (B, n, A)."""
        return self.policy(hidden)

    def project(self, hidden: Tensor) -> Tensor:
        """Joint hidden (B, n, H) -> (B, projection_size)."""
        return self.projection(hidden.flatten(1))

    def initial_inference(self, obs: Tensor) -> Prediction:
        """Root of a search: obs (B, n, S * O) -> Prediction with zero reward."""
        hidden = self.represent(obs)
        value = expected_scalar(self.value_logits(hidden))
        return Prediction(hidden, torch.zeros_like(value), value, self.policy_logits(hidden))

    def recurrent_inference(self, hidden: Tensor, action: Tensor) -> Prediction:
        """One step in the model: hidden (B, n, H), joint action (B, n) int64 -> Prediction of the next state."""
        hidden = self.step(hidden, action)
        # One inverse transform for both scalars: at small batches a call costs more than its arithmetic.
        scalars = expected_scalar(torch.stack((self.reward_logits(hidden, action), self.value_logits(hidden))))
        return Prediction(hidden, scalars[0], scalars[1], self.policy_logits(hidden))


def groups_of(sharing: str, n_agents: int, agent_types: Sequence[str]) -> tuple[int, ...]:
    """Which of the parameters of an agent's own networks each of n agents has, see `MAZeroNetwork.groups`.

    Raises: ValueError if `sharing` is `type` and the type of every agent is not known.
    """
    if sharing == "all":
        return (0,) * n_agents
    if sharing == "none":
        return tuple(range(n_agents))
    if len(agent_types) != n_agents:
        raise ValueError(
            f"sharing type needs the unit type of each of {n_agents} agents, got {len(agent_types)}: only maps with "
            "fixed teams have them; choose sharing all or none"
        )
    kinds = list(dict.fromkeys(agent_types))
    return tuple(kinds.index(kind) for kind in agent_types)
