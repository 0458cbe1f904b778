"""Scalars <-> categorical distributions (MuZero, arXiv 1911.08265, appendix F): h(x), its inverse, two-hot coding."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 0.001


def squash(x: Tensor) -> Tensor:
    """h(x) = sign(x) (sqrt(|x| + 1) - 1) + 0.001 x, elementwise."""
    return torch.sign(x) * (torch.sqrt(x.abs() + 1) - 1) + EPSILON * x


def unsquash(y: Tensor) -> Tensor:
    """The inverse of `squash`, elementwise.

    The textbook form subtracts nearly equal numbers, (sqrt(1 + d) - 1) / (2 eps); d / (sqrt(1 + d) + 1) is the same
    and keeps single precision.
    """
    d = 4 * EPSILON * (y.abs() + 1 + EPSILON)
    root = d / (torch.sqrt(1 + d) + 1) / (2 * EPSILON)
    return torch.sign(y) * (root.square() - 1)


def two_hot(x: Tensor, bound: int) -> Tensor:
    """Distribution over the atoms -bound..bound whose mean is h(x).

    Args:
      x: (...,) float scalars in reward units; h(x) is clipped to the support.
      bound: largest atom; there are 2 bound + 1.
    Returns: (..., 2 bound + 1) float, non-negative, sums to 1, at most two neighbours non-zero.
    """
    y = squash(x).clamp(-bound, bound)
    low = y.floor().clamp(max=bound - 1)
    share = (y - low).unsqueeze(-1)  # (..., 1) of the upper atom
    index = (low + bound).long().unsqueeze(-1)
    out = torch.zeros(*x.shape, 2 * bound + 1, dtype=x.dtype, device=x.device)
    out.scatter_(-1, index, 1 - share)
    return out.scatter_(-1, index + 1, share)


def beyond_support(x: Tensor, bound: int) -> Tensor:
    """Which scalars `two_hot` clips. x: (...,). Returns: (...,) bool."""
    return squash(x).abs() > bound


def expected_scalar(logits: Tensor) -> Tensor:
    """The scalar a categorical head stands for: h^-1 of the mean atom.

    Args:
      logits: (..., 2 bound + 1).
    Returns: (...,) in reward units.
    """
    bound = (logits.shape[-1] - 1) // 2
    atoms = torch.arange(-bound, bound + 1, dtype=logits.dtype, device=logits.device)
    return unsquash(torch.softmax(logits, dim=-1) @ atoms)
