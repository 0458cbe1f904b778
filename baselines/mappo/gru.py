"""A GRU layer over many short sequences that may begin anew inside, with its backward pass written out.

The equations are PyTorch's (reset gate inside the candidate): `torch.nn.GRUCell` does one step with the same weights.

    h = mask_t h_{t-1}      r = sigmoid(i_r + W_r h + b_r)      z = sigmoid(i_z + W_z h + b_z)
    c = tanh(i_c + r * (W_c h + b_c))      h_t = (1 - z) c + z h

The input projections i = W x + b of all steps come in as one array. Going back, what does not depend on the incoming
gradient is computed for all steps at once, and the weight gradient is a single large product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def masked_gru(projected: Tensor, initial: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Hidden states of N sequences of L steps.

    Args:
      projected: (L, N, 3 H) i_r + b_r, i_z + b_z, i_c: the biases that only add up are given with the inputs.
      initial: (N, H) hidden state before the first step; no gradient flows into it.
      mask: (L, N) float; 0 where a sequence begins anew, so that the hidden state before this step is 0; else 1.
      weight: (3 H, H) recurrent weights.    bias: (H,) b_c.
    Returns: (L, N, H) hidden states after each step.
    """
    return _MaskedGru.apply(projected, initial, mask, weight, bias)


class _MaskedGru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, initial: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        length, count, width = projected.shape
        size = width // 3
        hidden = projected.new_empty(length, count, size)
        before = projected.new_empty(length, count, size)  # the (masked) hidden state each step starts from
        gates = projected.new_empty(length, count, 2 * size)  # r, z
        candidate = projected.new_empty(length, count, size)
        recurrent = projected.new_empty(length, count, width)  # W_r h, W_z h, W_c h + b_c
        transposed = weight.t()
        columns = mask.unsqueeze(-1)
        # All views of an array come from one call: slicing step by step would cost as much as the arithmetic.
        in_rz, in_c = projected[..., : 2 * size].unbind(), projected[..., 2 * size :].unbind()
        rec, rec_rz, rec_c = (
            recurrent.unbind(),
            recurrent[..., : 2 * size].unbind(),
            recurrent[..., 2 * size :].unbind(),
        )
        rz, r, z = gates.unbind(), gates[..., :size].unbind(), gates[..., size:].unbind()
        c, h, start, m = candidate.unbind(), hidden.unbind(), before.unbind(), columns.unbind()
        last = initial
        for t in range(length):
            torch.mul(last, m[t], out=start[t])
            torch.mm(start[t], transposed, out=rec[t])
            rec_c[t].add_(bias)
            torch.add(in_rz[t], rec_rz[t], out=rz[t]).sigmoid_()
            torch.addcmul(in_c[t], r[t], rec_c[t], out=c[t]).tanh_()
            torch.lerp(c[t], start[t], z[t], out=h[t])
            last = h[t]
        ctx.save_for_backward(weight, before, gates, candidate, recurrent, columns)
        return hidden

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, Tensor, Tensor]:
        weight, before, gates, c, recurrent, columns = ctx.saved_tensors
        length, count, size = c.shape
        r, z = gates.split(size, dim=-1)
        factor_c = (1 - z) * (1 - c * c)  # d h' / d i_c
        factor = torch.empty(length, count, 3, size, dtype=c.dtype, device=c.device)  # d h' / d (W h)
        torch.mul(factor_c, r, out=factor[:, :, 2])
        torch.mul(factor[:, :, 2] * recurrent[..., 2 * size :], 1 - r, out=factor[:, :, 0])
        torch.mul((before - c) * z, 1 - z, out=factor[:, :, 1])
        keep = z * columns  # d h' / d h along the direct path, through the mask
        total = grad.clone()  # gradient of each hidden state: its own and, step by step, what flows back into it
        f, wide, totals = factor.unbind(), total.unsqueeze(2).unbind(), total.unbind()
        flat, keeps, m = factor.view(length, count, 3 * size).unbind(), keep.unbind(), columns.unbind()
        for t in range(length - 1, -1, -1):
            f[t].mul_(wide[t])  # from here on: gradient of W h
            if t:
                totals[t - 1].addcmul_(totals[t], keeps[t]).addcmul_(flat[t] @ weight, m[t])
        rows = factor.view(length * count, 3 * size)
        grad_weight = rows.t() @ before.view(length * count, size)
        grad_bias = factor[:, :, 2].sum((0, 1))
        torch.mul(factor_c, total, out=factor[:, :, 2])  # only the candidate has another factor for its input
        return factor.view(length, count, 3 * size), None, None, grad_weight, grad_bias
