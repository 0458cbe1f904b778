"""Attention over the agents of a team: a sinusoidal table of agent indices, then transformer layers, norm last.

The layers are those of arXiv 1706.03762, as `torch.nn.TransformerEncoderLayer` has them, but for dropout: its masks
come from outside, drawn from the run's own random stream for all time steps at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from baselines.mamba.config import LARGEST_TEAM

DROP_LEVELS = 2**16  # dropout draws whole numbers below this


class LayerKeep(NamedTuple):
    """What one layer keeps at one time step: 0 for dropped entries, 1 / (share kept) for the others."""

    weights: Tensor  # (N, heads, n, n) attention weights
    attended: Tensor  # (N, n, H) output of the attention
    inner: Tensor  # (N, n, H) inside the feed-forward part
    outer: Tensor  # (N, n, H) output of the feed-forward part


class AgentLayer(nn.Module):
    """Attention over agents, a feed-forward part, each with a residual connection and LayerNorm behind it."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(size, 3 * size)
        self.mix = nn.Linear(size, size)
        self.norm_1, self.norm_2 = nn.LayerNorm(size), nn.LayerNorm(size)
        self.inner, self.outer = nn.Linear(size, size), nn.Linear(size, size)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Tensor, keep: LayerKeep | None) -> Tensor:
        """x: (N, n, H). Returns: (N, n, H)."""
        teams, n, size = x.shape
        width = size // self.heads
        parts = self.qkv(x).float().view(teams, n, 3, self.heads, width).permute(2, 0, 3, 1, 4)
        query, key, value = parts.reshape(3, teams * self.heads, n, width).unbind(0)
        weights = torch.baddbmm(query.new_zeros(1, 1, 1), query, key.transpose(1, 2), beta=0, alpha=width**-0.5)
        weights = weights.softmax(-1)
        if keep is not None:
            weights = weights * keep.weights.reshape(weights.shape)
        mixed = torch.bmm(weights, value).view(teams, self.heads, n, width).transpose(1, 2).reshape(teams, n, size)
        attended = self.mix(mixed)
        x = self.norm_1(x + (attended if keep is None else attended * keep.attended))
        inner = self.inner(x).relu()
        outer = self.outer(inner if keep is None else inner * keep.inner)
        return self.norm_2(x + (outer if keep is None else outer * keep.outer))


class AgentAttention(nn.Module):
    """The layers, with the agents' indices written into their input.

    Args: positions: False leaves the indices out (a team is then a set).
    """

    def __init__(self, size: int, heads: int, layers: int, *, positions: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.layers = nn.ModuleList(AgentLayer(size, heads) for _ in range(layers))
        self.table: Tensor  # (30, H)
        table = position_table(LARGEST_TEAM, size) if positions else torch.zeros(LARGEST_TEAM, size)
        self.register_buffer("table", table, persistent=False)

    def forward(self, x: Tensor, keep: list[LayerKeep] | None = None) -> Tensor:
        """x: (N, n, H). keep: per layer, or None without dropout. Returns: (N, n, H)."""
        x = x + self.table[: x.shape[1]]
        for number, layer in enumerate(self.layers):
            x = layer(x, None if keep is None else keep[number])
        return x

    def draw_keep(
        self, generator: np.random.Generator, steps: int, shape: tuple[int, int], share: float, device: torch.device
    ) -> list[list[LayerKeep]]:
        """Dropout for so many time steps. shape: (N, n); share: of entries to drop.

        Returns: [time][layer].
        """
        teams, n = shape
        size, layers = self.table.shape[1], len(self.layers)
        shapes = [(teams, self.heads, n, n), *[(teams, n, size)] * 3]
        counts = [math.prod(shape) for shape in shapes]
        threshold = round(share * DROP_LEVELS)
        drawn = generator.integers(0, DROP_LEVELS, (steps, layers, sum(counts)), np.uint16)
        kept = torch.from_numpy(drawn >= threshold).to(device).float().mul_(DROP_LEVELS / (DROP_LEVELS - threshold))

        def layer(row: Tensor) -> LayerKeep:
            return LayerKeep(*[part.view(form) for part, form in zip(row.split(counts), shapes)])

        return [[layer(row) for row in step] for step in kept]


def position_table(count: int, size: int) -> Tensor:
    """Sines in the even columns, cosines in the odd ones: angle p / 10000^(2 floor(j / 2) / size). (count, size)."""
    rate = np.power(10000.0, -2.0 * (np.arange(size) // 2) / size)
    angle = np.arange(count)[:, None] * rate
    table = np.where(np.arange(size) % 2 == 0, np.sin(angle), np.cos(angle))
    return torch.from_numpy(table).float()


def xavier(network: nn.Module) -> None:
    """Matrices by Xavier's rule, as MAMBA's authors initialise model and critic; vectors stay as they are."""
    for parameter in network.parameters():
        if parameter.ndim >= 2:
            nn.init.xavier_uniform_(parameter)
