"""A GRU layer over whole sequences with its backward pass written out, because training spends its time here.

The equations are PyTorch's (reset gate inside the candidate): `torch.nn.GRUCell` does one step with the same weights.

    r = sigmoid(i_r + W_r h + b_r)      z = sigmoid(i_z + W_z h + b_z)
    c = tanh(i_c + r * (W_c h + b_c))   h' = (1 - z) c + z h

The input projections i = W x + b of all steps come in as one array. Going back, every factor that does not depend on
the incoming gradient is computed for all steps at once, which leaves three small operations per step, and the weight
gradient is a single large product.

Sequences are packed: sorted by falling length, time first, without padding. `counts[t]` is the number of sequences that
have a step t; the rows of step t belong to the first `counts[t]` sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def gru_sequence(projected: Tensor, weight: Tensor, bias: Tensor, counts: Sequence[int]) -> Tensor:
    """Hidden states of a GRU that starts at zero.

    Args:
      projected: (R, 3 H) input projections of packed sequences, gates in the order r, z, c.
      weight: (3 H, H) recurrent weights.    bias: (3 H,) their bias.
      counts: rows of each step, not rising, R in all.
    Returns: (R, H) hidden states after each row.
    """
    return _GruSequence.apply(projected, weight, bias, list(counts))


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
