"""Layers with parameters of their own for every group of agents: no sharing, or sharing by unit type (Fig. 6).

Input and output are (..., n, width). Of G groups, agent i has the parameters `group[i]`; with one group these layers
are those of `blocks.py`. Products of all agents are one batched product. G groups, n agents, A actions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mazero.blocks import ActionLinear, Layers, linear, zero_linear


class Grouped(nn.Module):
    """What the layers have in common.

    Args:
      group: (n,) of every agent, in 0..G-1.
    """

    def __init__(self, group: Sequence[int]) -> None:
        super().__init__()
        self.count, self.alone = max(group) + 1, tuple(group) == tuple(range(len(group)))
        self.group: Tensor
        self.register_buffer("group", torch.tensor(group), persistent=False)
        self.member: Tensor
        self.register_buffer("member", F.one_hot(self.group).float(), persistent=False)  # (n, G)

    def of_agents(self, parameter: Tensor) -> Tensor:
        """(G, ...) -> (n, ...), the parameters of every agent.

        As a product: the gradient of a look-up would be summed in any order on a GPU.
        """
        if self.alone:
            return parameter
        return (self.member @ parameter.flatten(1)).view(-1, *parameter.shape[1:])


class GroupedLinear(Grouped):
    """A Linear for every group.

    Args:
      make: makes that of one group, whose first values are drawn as everywhere else.
    """

    def __init__(
        self, group: Sequence[int], fan_in: int, fan_out: int, *, make: Callable[[int, int], nn.Linear]
    ) -> None:
        super().__init__(group)
        parts = [make(fan_in, fan_out) for _ in range(self.count)]
        self.weight = nn.Parameter(torch.stack([part.weight.detach().t() for part in parts]))  # (G, in, out)
        self.bias = nn.Parameter(torch.stack([part.bias.detach() for part in parts]))  # (G, out)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n, in) -> (..., n, out)."""
        return products(x, self.of_agents(self.weight), self.of_agents(self.bias))


class GroupedNorm(Grouped):
    """A LayerNorm for every group, over the last axis."""

    def __init__(self, group: Sequence[int], width: int) -> None:
        super().__init__(group)
        self.width, self.eps = width, nn.LayerNorm(width).eps
        self.weight = nn.Parameter(torch.ones(self.count, width))
        self.bias = nn.Parameter(torch.zeros(self.count, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n, width) -> the same."""
        standard = F.layer_norm(x, (self.width,), eps=self.eps)
        return standard * self.of_agents(self.weight) + self.of_agents(self.bias)


class GroupedActionLinear(Grouped):
    """An `ActionLinear` for every group."""

    def __init__(
        self, group: Sequence[int], features: int, n_actions: int, out: int, *, orthogonal: bool = True
    ) -> None:
        super().__init__(group)
        parts = [ActionLinear(features, n_actions, out, orthogonal=orthogonal) for _ in range(self.count)]
        self.weight = nn.Parameter(torch.stack([part.weight.detach().t() for part in parts]))  # (G, features, out)
        self.action_rows = nn.Parameter(torch.stack([part.action_rows.detach() for part in parts]))  # (G, A, out)
        self.bias = nn.Parameter(torch.stack([part.bias.detach() for part in parts]))  # (G, out)
        self.offset: Tensor
        self.register_buffer("offset", self.group * n_actions, persistent=False)

    def forward(self, x: Tensor, action: Tensor) -> Tensor:
        """x (..., n, features), action (..., n) int64 -> (..., n, out)."""
        y = products(x, self.of_agents(self.weight), self.of_agents(self.bias))
        return y + F.embedding(action + self.offset, self.action_rows.flatten(0, 1))


def products(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (..., n, in) times weight (n, in, out) plus bias (n, out), agent by agent -> (..., n, out)."""
    n, fan_in, out = weight.shape
    rows = x.reshape(-1, n, fan_in).transpose(0, 1)  # (n, rows, in)
    return torch.baddbmm(bias.unsqueeze(1), rows, weight).transpose(0, 1).reshape(*x.shape[:-1], out)


def grouped(group: Sequence[int]) -> Layers:
    """Layers for agents of these groups, see `Grouped`."""
    return Layers(
        linear=functools.partial(GroupedLinear, group, make=linear),
        zero_linear=functools.partial(GroupedLinear, group, make=zero_linear),
        norm=functools.partial(GroupedNorm, group),
        action_linear=functools.partial(GroupedActionLinear, group),
    )
