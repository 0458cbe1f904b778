"""Layers that the networks of MAZero are made of: the release's `mlp`, look-ups of actions, attention over agents.

Layers see the last axis of their input, whatever lies before it; those of `grouped.py`, which have parameters of their
own for every group of agents, the last two. A network takes either kind by name, from `Layers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def linear(fan_in: int, fan_out: int) -> nn.Linear:
    """Orthogonal with the gain of ReLU, no bias at first."""
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
        whole = (linear if orthogonal else nn.Linear)(features + n_actions, out)
        self.weight = nn.Parameter(whole.weight.detach()[:, :features].clone())
        self.action_rows = nn.Parameter(whole.weight.detach()[:, features:].t().clone())  # (A, out)
        self.bias = nn.Parameter(whole.bias.detach().clone())

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """x (..., features), action (...) int64 -> (..., out)."""
        return F.linear(x, self.weight, self.bias) + F.embedding(action, self.action_rows)


class Mlp(nn.Module):
    """Linear, ReLU, LayerNorm per layer, the last one included.

    Args:
      kinds: of layers; None: `SHARED`.
    """

    def __init__(self, fan_in: int, sizes: tuple[int, ...], kinds: Layers | None = None) -> None:
        super().__init__()
        kinds = SHARED if kinds is None else kinds
        layers: list[nn.Module] = []
        for size in sizes:
            layers += [kinds.linear(fan_in, size), nn.ReLU(inplace=True), kinds.norm(size)]
            fan_in = size
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(..., fan_in) -> (..., sizes[-1])."""
        return self.layers(x)


def zero_linear(fan_in: int, fan_out: int) -> nn.Linear:
    """Output layer of a head: starts at zero, so values start at 0 and policies uniform."""
    layer = nn.Linear(fan_in, fan_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Layers(NamedTuple):
    """How the layers of a network are made."""

    linear: Callable[[int, int], nn.Module]  # (inputs, outputs)
    zero_linear: Callable[[int, int], nn.Module]
    norm: Callable[[int], nn.Module]  # (width)
    action_linear: Callable[..., nn.Module]  # arguments of `ActionLinear`


SHARED = Layers(linear, zero_linear, nn.LayerNorm, ActionLinear)


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
