"""A GRU layer over whole sequences with its backward pass written out, because training spends its time here.

The equations are PyTorch's (reset gate inside the candidate): `torch.nn.GRUCell` does one step with the same weights.

    r = sigmoid(i_r + W_r h + b_r)      z = sigmoid(i_z + W_z h + b_z)
    c = tanh(i_c + r * (W_c h + b_c))   h' = (1 - z) c + z h

The input projections i = W x + b of all steps come in as one array, and the weight gradient is a single large product.
Between the matrix products, float32 on a CPU goes through the fused kernels of `gru_kernels.py`; everything else goes
through PyTorch's operators (going back, every factor that does not depend on the incoming gradient is computed for all
steps at once, which leaves three small operations per step).

Sequences are packed: sorted by falling length, time first, without padding. `counts[t]` is the number of sequences that
have a step t; the rows of step t belong to the first `counts[t]` sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from baselines.value_based.gru_kernels import backward_step, forward_step


def gru_sequence(projected: Tensor, weight: Tensor, bias: Tensor, counts: Sequence[int]) -> Tensor:
    """Hidden states of a GRU that starts at zero.

    Args:
      projected: (R, 3 H) input projections of packed sequences, gates in the order r, z, c.
      weight: (3 H, H) recurrent weights.    bias: (3 H,) their bias.
      counts: rows of each step, not rising, R in all.
    Returns: (R, H) hidden states after each row.
    """
    rows, arguments = list(counts), (projected, weight, bias)
    if projected.device.type != "cpu" or projected.dtype != torch.float32:
        return _GruSequence.apply(*arguments, rows)
    if torch.is_grad_enabled() and any(x.requires_grad for x in arguments):
        return _FusedGruSequence.apply(*arguments, rows)
    return _fused_forward(*arguments, rows, keep=False)[0]


def _fused_forward(
    projected: Tensor, weight: Tensor, bias: Tensor, counts: list[int], *, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, gates, candidates and W_c h + b_c; the latter three of all rows only if they are to be kept."""
    rows, width = projected.shape
    size = width // 3
    kept = rows if keep else counts[0]
    hidden, product = projected.new_empty(rows, size), projected.new_zeros(counts[0], width)
    gates, candidate, recurrent = (projected.new_empty(kept, columns) for columns in (2 * size, size, size))
    tensors = (projected, product, bias, gates, candidate, recurrent, hidden)
    step: Callable[..., None] = partial(cast(Any, forward_step), *[x.detach().numpy() for x in tensors])
    transposed, states = weight.t(), hidden.split(counts)
    start, before = 0, -1
    for t, count in enumerate(counts):
        if t:
            torch.mm(states[t - 1][:count], transposed, out=product[:count])
        step(start, count, before, start if keep else 0)
        start, before = start + count, start
    return hidden, gates, candidate, recurrent


class _FusedGruSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, counts: list[int]) -> Tensor:
        hidden, gates, candidate, recurrent = _fused_forward(projected, weight, bias, counts, keep=True)
        ctx.counts = counts
        ctx.save_for_backward(weight, hidden, gates, candidate, recurrent)
        return hidden

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        weight, hidden, gates, candidate, recurrent = ctx.saved_tensors
        counts: list[int] = ctx.counts
        size = hidden.shape[1]
        total = grad.clone(memory_format=torch.contiguous_format)
        grad_recurrent, grad_input = hidden.new_empty(len(hidden), 3 * size), torch.empty_like(hidden)
        tensors = (total, recurrent, gates, candidate, hidden, grad_recurrent, grad_input)
        step: Callable[..., None] = partial(cast(Any, backward_step), *[x.numpy() for x in tensors])
        totals, flowing = total.split(counts), grad_recurrent.split(counts)
        start = len(hidden)
        for t in range(len(counts) - 1, -1, -1):
            start -= counts[t]
            before = start - counts[t - 1] if t else -1
            step(start, counts[t], before)
            if t:
                totals[t - 1][: counts[t]].addmm_(flowing[t], weight)
        earlier = [h[:count] for h, count in zip(hidden.split(counts), counts[1:])]
        later = grad_recurrent[counts[0] :]  # the state before the first step is zero
        grad_weight = later.t() @ torch.cat(earlier) if earlier else torch.zeros_like(weight)
        grad_bias = grad_recurrent.sum(0)
        grad_recurrent[:, 2 * size :] = grad_input  # only the candidate has another factor for its input
        return grad_recurrent, grad_weight, grad_bias, None


class _GruSequence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, weight: Tensor, bias: Tensor, counts: list[int]) -> Tensor:
        rows, width = projected.shape
        size = width // 3
        hidden = projected.new_empty(rows, size)
        gates = projected.new_empty(rows, 2 * size)  # r, z
        candidate = projected.new_empty(rows, size)
        recurrent = projected.new_empty(rows, width)  # W h + b
        transposed = weight.t()
        # All views of an array come from one call: slicing step by step would cost as much as the arithmetic.
        in_rz, in_c = projected[:, : 2 * size].split(counts), projected[:, 2 * size :].split(counts)
        rec = recurrent.split(counts)
        rec_rz, rec_c = recurrent[:, : 2 * size].split(counts), recurrent[:, 2 * size :].split(counts)
        rz, r, z = gates.split(counts), gates[:, :size].split(counts), gates[:, size:].split(counts)
        c, h = candidate.split(counts), hidden.split(counts)
        before = projected.new_zeros(counts[0], size)
        for t, count in enumerate(counts):
            before = before[:count]
            torch.addmm(bias, before, transposed, out=rec[t])
            torch.add(in_rz[t], rec_rz[t], out=rz[t]).sigmoid_()
            torch.addcmul(in_c[t], r[t], rec_c[t], out=c[t]).tanh_()
            torch.lerp(c[t], before, z[t], out=h[t])
            before = h[t]
        ctx.counts = counts
        ctx.save_for_backward(weight, hidden, gates, candidate, recurrent)
        return hidden

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        weight, hidden, gates, c, recurrent = ctx.saved_tensors
        counts: list[int] = ctx.counts
        rows, size = c.shape
        r, z = gates.split(size, dim=-1)
        earlier = [h[:count] for h, count in zip(hidden.split(counts), counts[1:])]
        before = torch.cat([hidden.new_zeros(counts[0], size), *earlier])
        factor_c = (1 - z) * (1 - c * c)  # d h' / d i_c
        factor = torch.empty(rows, 3, size, dtype=c.dtype, device=c.device)  # d h' / d (W h + b)
        torch.mul(factor_c, r, out=factor[:, 2])
        torch.mul(factor[:, 2] * recurrent[:, 2 * size :], 1 - r, out=factor[:, 0])
        torch.mul((before - c) * z, 1 - z, out=factor[:, 1])
        total = grad.clone()  # gradient of each hidden state: its own and, step by step, what flows back into it
        f, wide = factor.split(counts), total.unsqueeze(1).split(counts)
        flat, zs, totals = factor.view(rows, 3 * size).split(counts), z.split(counts), total.split(counts)
        for t in range(len(counts) - 1, -1, -1):
            f[t].mul_(wide[t])  # from here on: gradient of W h + b
            if t:
                totals[t - 1][: counts[t]].addcmul_(totals[t], zs[t]).addmm_(flat[t], weight)
        grad_recurrent = factor.view(rows, 3 * size)
        grad_weight, grad_bias = grad_recurrent.t() @ before, grad_recurrent.sum(0)
        torch.mul(factor_c, total, out=factor[:, 2])  # only the candidate has another factor for its input
        return grad_recurrent, grad_weight, grad_bias, None
