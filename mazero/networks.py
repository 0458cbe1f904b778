"""The six networks of MAZero (paper equation 4; sizes from the release): shared by agents, joined by attention.

  representation  h: own observation -> own hidden state
  communication   e: all hidden states and actions -> one feature an agent (attention)
  dynamics        g: own hidden state, own action, own feature -> own next hidden state
  reward, value      all agents -> one categorical scalar of the team         policy: own hidden state -> own logits
  projection, prediction: the joint hidden state, for the consistency loss (SimSiam, as in EfficientZero)

Everything an agent owns has shape (B, n, ...). A Linear over concat(x, one-hot action) is computed as a Linear over x
plus a row look-up (`ActionLinear`): the same function, without building the one-hot.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mazero.transforms import expected_scalar


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the networks."""

    hidden_size: int = 128
    """H, width of the hidden state of one agent and of the attention."""
    mlp_sizes: tuple[int, ...] = (128, 128)
    """Hidden layers of representation and dynamics."""
    head_size: int = 32
    """Hidden layer of the reward, value and policy heads."""
    attention_layers: int = 3
    attention_heads: int = 8
    dropout: float = 0.1
    """In the attention layers, during learning only."""
    projection_size: int = 128
    predictor_size: int = 64
    support: int = 5
    """Value and reward are distributions over the integers -support..support, after h(x)."""
    stacked_observations: int = 1
    """How many of the last observations, concatenated, make the input."""

    def __post_init__(self) -> None:
        if self.hidden_size % self.attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of attention_heads ({self.attention_heads})"
            )
        for name in ("hidden_size", "head_size", "attention_heads", "support", "stacked_observations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}: it is the share of features dropped")


class Prediction(NamedTuple):
    """What a node of the search tree needs."""

    hidden: Tensor  # (B, n, H)
    reward: Tensor  # (B,) reward units; zeros at a root
    value: Tensor  # (B,) reward units
    policy_logits: Tensor  # (B, n, A)


def _linear(fan_in: int, fan_out: int) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out)
    nn.init.orthogonal_(layer.weight, gain=nn.init.calculate_gain("relu"))
    nn.init.zeros_(layer.bias)
    return layer


class ActionLinear(nn.Module):
    """Linear over concat(x, one-hot of an action in 0..A-1).

    Args:
      features: width of x.    n_actions: A.    out: width of the result.
      orthogonal: initial weights as in an `Mlp`; False: torch's default ones, as the release's communication has them.
    """

    def __init__(self, features: int, n_actions: int, out: int, *, orthogonal: bool = True) -> None:
        super().__init__()
        whole = (_linear if orthogonal else nn.Linear)(features + n_actions, out)
        self.weight = nn.Parameter(whole.weight.detach()[:, :features].clone())
        self.action_rows = nn.Parameter(whole.weight.detach()[:, features:].t().clone())  # (A, out)
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """x (..., features), action (...) int64 -> (..., out)."""
        return F.linear(x, self.weight, self.bias) + F.embedding(action, self.action_rows)


class Mlp(nn.Module):
    """Linear, ReLU, LayerNorm per layer, the last one included."""

    def __init__(self, fan_in: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for size in sizes:
            layers += [_linear(fan_in, size), nn.ReLU(inplace=True), nn.LayerNorm(size)]
            fan_in = size
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(..., fan_in) -> (..., sizes[-1])."""
        return self.layers(x)


def _zero_linear(fan_in: int, fan_out: int) -> nn.Linear:
    """Output layer of a head: starts at zero, so values start at 0 and policies uniform."""
    layer = nn.Linear(fan_in, fan_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def position_code(n_agents: int, width: int) -> Tensor:
    """Sinusoidal code of the agent index, (n, width) (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(n_agents).unsqueeze(1)
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    code = torch.zeros(n_agents, width)
    code[:, 0::2] = torch.sin(position * frequency)
    code[:, 1::2] = torch.cos(position * frequency[: width // 2])
    return code


class AttentionLayer(nn.Module):
    """One post-norm transformer encoder layer over the n agents of a sample."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.bias)
        self.norm_attention = nn.LayerNorm(width)
        self.feed_in = nn.Linear(width, width)
        self.feed_out = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(B, n, H) -> (B, n, H)."""
        batch, n, width = x.shape
        drop = self.dropout if self.training else 0.0
        q, k, v = self.qkv(x).view(batch, n, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=drop)  # (B, heads, n, H / heads)
        mixed = self.out(mixed.transpose(1, 2).reshape(batch, n, width))
        x = self.norm_attention(x + F.dropout(mixed, drop))
        feed = self.feed_out(F.dropout(F.relu(self.feed_in(x)), drop))
        return self.norm_feed(x + F.dropout(feed, drop))


class Communication(nn.Module):
    """e: attention over (hidden state, action) of all agents."""

    def __init__(self, config: NetworkConfig, n_agents: int, n_actions: int) -> None:
        super().__init__()
        self.embed = ActionLinear(config.hidden_size, n_actions, config.hidden_size, orthogonal=False)
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
    """g: (own hidden, own action, own feature) -> own next hidden, with a residual connection."""

    def __init__(self, config: NetworkConfig, n_actions: int) -> None:
        super().__init__()
        first, *rest = (*config.mlp_sizes, config.hidden_size)
        self.first = ActionLinear(2 * config.hidden_size, n_actions, first)
        self.norm = nn.LayerNorm(first)
        self.rest = Mlp(first, tuple(rest))

    def forward(self, hidden: Tensor, action: Tensor, feature: Tensor) -> Tensor:
        """(B, n, H), (B, n), (B, n, H) -> (B, n, H)."""
        x = self.first(torch.cat((hidden, feature), dim=-1), action)
        return hidden + self.rest(self.norm(F.relu(x)))


class RewardHead(nn.Module):
    """All agents' (next hidden, action) -> logits of the team reward."""

    def __init__(self, config: NetworkConfig, n_agents: int, n_actions: int) -> None:
        super().__init__()
        whole = _linear(n_agents * (config.hidden_size + n_actions), config.head_size)
        weight = whole.weight.detach().view(config.head_size, n_agents, -1)
        self.weight = nn.Parameter(weight[:, :, : config.hidden_size].flatten(1).clone())
        rows = weight[:, :, config.hidden_size :].permute(1, 2, 0)  # (n, A, head)
        self.action_rows = nn.Parameter(rows.reshape(n_agents * n_actions, config.head_size).clone())
        self.bias = nn.Parameter(whole.bias.detach().clone())
        self.offset: Tensor
        self.register_buffer("offset", torch.arange(n_agents) * n_actions, persistent=False)
        self.norm = nn.LayerNorm(config.head_size)
        self.out = _zero_linear(config.head_size, 2 * config.support + 1)

    def forward(self, hidden: Tensor, action: Tensor) -> Tensor:
        """hidden (B, n, H) after the action, action (B, n) -> (B, 2 support + 1)."""
        x = F.linear(hidden.flatten(1), self.weight, self.bias)
        x = x + F.embedding(action + self.offset, self.action_rows).sum(dim=1)
        return self.out(self.norm(F.relu(x)))


class MAZeroNetwork(nn.Module):
    """All networks of one learner.

    Args:
      config: sizes.    obs_size: O of one observation (before stacking).    n_agents, n_actions: n, A.
    """

    def __init__(self, config: NetworkConfig, *, obs_size: int, n_agents: int, n_actions: int) -> None:
        super().__init__()
        self.config, self.n_agents, self.n_actions = config, n_agents, n_actions
        width, joint = config.hidden_size, n_agents * config.hidden_size
        inputs = obs_size * config.stacked_observations
        self.normalise = nn.LayerNorm(inputs)
        self.representation = Mlp(inputs, (*config.mlp_sizes, width))
        self.communication = Communication(config, n_agents, n_actions)
        self.dynamics = Dynamics(config, n_actions)
        self.reward = RewardHead(config, n_agents, n_actions)
        self.value = nn.Sequential(
            Mlp(joint, (config.head_size,)), _zero_linear(config.head_size, 2 * config.support + 1)
        )
        self.policy = nn.Sequential(Mlp(width, (config.head_size,)), _zero_linear(config.head_size, n_actions))
        self.projection = nn.Sequential(
            Mlp(joint, (config.projection_size, config.projection_size)), nn.LayerNorm(config.projection_size)
        )
        self.predictor = Mlp(config.projection_size, (config.predictor_size, config.projection_size))

    def represent(self, obs: Tensor) -> Tensor:
        """obs (B, n, S * O) -> hidden (B, n, H)."""
        return self.representation(self.normalise(obs))

    def step(self, hidden: Tensor, action: Tensor) -> Tensor:
        """hidden (B, n, H), joint action (B, n) int64 -> next hidden (B, n, H)."""
        return self.dynamics(hidden, action, self.communication(hidden, action))

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
