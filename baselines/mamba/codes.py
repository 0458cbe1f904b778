"""Latent states as codes: of each of K categorical variables with C classes, the column of its one-hot.

A latent z (K C,) of concatenated one-hots is kept as K column numbers, class + C * variable. A linear layer on z is
then a sum of K rows of its transposed weights instead of a product with K C columns, forward and for the weights'
gradient. The straight-through gradient of z goes to the probabilities ("carrier") that the code was drawn from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.mamba.code_kernels import add_rows


def code_linear(table: Tensor, codes: Tensor, carrier: Tensor | None = None) -> Tensor:
    """z W' for one-hot latents z.

    Args:
      table: (Z, H) float32, the transposed weights W'; contiguous.
      codes: (R, K) int32 columns of the ones of z.
      carrier: (R, Z) probabilities that receive the straight-through gradient, or None.
    Returns: (R, H) float32.
    """
    if torch.is_grad_enabled() and (table.requires_grad or (carrier is not None and carrier.requires_grad)):
        result: Tensor = _CodeLinear.apply(table, codes, carrier)
        return result
    return F.embedding_bag(codes, table, mode="sum")


class _CodeLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, codes: Tensor, carrier: Tensor | None) -> Tensor:
        ctx.save_for_backward(table, codes)
        ctx.low = torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")
        return F.embedding_bag(codes, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        table, codes = ctx.saved_tensors
        grad = grad.contiguous()
        to_table = to_carrier = None
        if ctx.needs_input_grad[0]:
            to_table = _rows_added(grad, codes, len(table))
        if ctx.needs_input_grad[2]:
            if ctx.low:
                to_carrier = (grad.bfloat16() @ table.bfloat16().t()).float()
            else:
                to_carrier = grad @ table.t()
        return to_table, None, to_carrier


def _rows_added(grad: Tensor, codes: Tensor, columns: int) -> Tensor:
    """z' g: (Z, H). grad: (R, H), codes: (R, K)."""
    if grad.device.type == "cpu" and grad.dtype == torch.float32:
        total = torch.zeros(columns, grad.shape[1])
        add_rows(codes.numpy(), grad.numpy(), total.numpy())
        return total
    return one_hot(codes, columns, grad.dtype).t() @ grad


def one_hot(codes: Tensor, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """z itself, (..., Z). codes: (..., K)."""
    return torch.zeros(*codes.shape[:-1], columns, dtype=dtype, device=codes.device).scatter_(-1, codes.long(), 1.0)


def straight_through(codes: Tensor, probs: Tensor) -> Tensor:
    """z with exactly one-hot values whose gradient is that of the probabilities. codes: (R, K), probs: (R, Z)."""
    result: Tensor = _StraightThrough.apply(codes, probs)
    return result


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, probs: Tensor) -> Tensor:
        return one_hot(codes, probs.shape[-1], probs.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, grad


def draw_codes(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Codes drawn by inverting the distribution function.

    Args: probs: (R, K, C).    uniforms: (R, K) in [0, 1).
    Returns: (R, K) int32 columns.
    """
    below = probs.detach().cumsum(-1)
    classes = (below <= uniforms.unsqueeze(-1) * below[..., -1:]).sum(-1).clamp_(max=probs.shape[-1] - 1)
    return _columns(classes, probs.shape[-1])


def mode_codes(probs: Tensor) -> Tensor:
    """Codes of the most probable classes. probs: (R, K, C). Returns: (R, K) int32."""
    return _columns(probs.argmax(-1), probs.shape[-1])


def _columns(classes: Tensor, count: int) -> Tensor:
    offsets = torch.arange(classes.shape[-1], device=classes.device) * count
    return (classes + offsets).int()


def uniform(generator: np.random.Generator, *shape: int, device: torch.device | str) -> Tensor:
    """Uniform float32 numbers in [0, 1) from a run's own stream, on the device."""
    return torch.from_numpy(generator.random(shape, np.float32)).to(device)
