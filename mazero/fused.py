"""What torch is slow at when attention layers learn on a CPU: attention over few agents, and dropout.

The same functions as the plain torch ones in `networks.py` (which other devices use), with their gradients, for
networks that `mazero.learning`, which computes a whole step by hand, does not know; dropout's bits are both's. For a
handful of agents a batched matrix product costs far more than its arithmetic, and drawing the dropout masks costs as
much as a third of all Linears.

The public functions check and allocate; the `@njit` kernels get contiguous float32 arrays and fill their outputs. They
let the compiler reorder sums (`REORDER`), as torch does, and run without the interpreter lock.

Dropout: 16 random bits an element; it is dropped if they lie below round(p * 65536), and what stays is divided by
exactly the share that stays, so that expectations are unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

REORDER = {"reassoc", "contract", "nsz"}
LEVELS = 65536
ZERO = np.float32(0.0)
MOST_AGENTS = 16  # beyond, batched matrix products are as fast


def usable(x: Tensor) -> bool:
    """Whether the kernels can take `x`: float32 in main memory, outside autocast."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def attends(n_agents: int, width: int, heads: int) -> bool:
    """Whether `attend` can and should be used: d = width / heads a power of two, not too many agents."""
    d = width // heads
    return d * heads == width and d & (d - 1) == 0 and n_agents <= MOST_AGENTS


class Dropout:
    """Random bits for dropout, from a generator seeded by torch's global one.

    Args:
      share: p in [0, 1), the share of elements that is dropped; nothing is drawn if it is 0.
    """

    def __init__(self, share: float) -> None:
        levels = min(round(share * LEVELS), LEVELS - 1)
        self.threshold = np.uint16(levels)
        self.scale = np.float32(LEVELS / (LEVELS - levels))
        self._generator: np.random.Generator | None = None

    def bits(self, count: int) -> np.ndarray:
        """(count,) uint16, uniform; empty if nothing is dropped."""
        if not self.threshold:
            return np.empty(0, np.uint16)
        if self._generator is None:
            self._generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()).item())))
        words = self._generator.integers(0, 2**64 - 1, (count + 3) // 4, dtype=np.uint64, endpoint=True)
        return words.view(np.uint16)[:count]


def heads_last(x: Tensor, heads: int, blocks: int) -> Tensor:
    """Sort the rows of a parameter the way `attend` wants its channels: from h * d + c to c * heads + h.

    Args:
      x: (blocks * heads * d, ...).    blocks: 3 for queries, keys and values; 1 for their mixture.
    """
    return x.reshape(blocks, heads, -1, *x.shape[1:]).transpose(1, 2).reshape(x.shape)


def attend(qkv: Tensor, heads: int, dropout: Dropout) -> Tensor:
    """softmax(q k' / sqrt(d)) v for every head, d = H / heads, with dropout on the attention weights.

    Args:
      qkv: (B, n, 3 * H): queries, keys, values; channel c of head h at c * heads + h of each (see `heads_last`), so
        that one vector register holds a channel of all heads.
    Returns: (B, n, H), channels in that order.
    Raises: ValueError if d is not a power of two.
    """
    width = qkv.shape[-1] // 3
    if not attends(1, width, heads):
        raise ValueError(f"H / heads must be a power of two, got {width} / {heads}: use plain attention")
    return _Attend.apply(qkv, heads, dropout)


def dropped(x: Tensor, dropout: Dropout) -> Tensor:
    """x with dropout."""
    return _Drop.apply(x, dropout) if dropout.threshold else x


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, dropout: Dropout) -> Tensor:
        source = _array(qkv)
        batch, n, width = source.shape
        score = torch.empty((batch, n, n, heads))
        _scores(source, score.numpy())
        weight = torch.softmax(score, dim=2).numpy()
        share = weight
        if dropout.threshold:
            share = np.empty_like(weight)
            bits = dropout.bits(weight.size)
            _drop(weight.reshape(-1), bits, dropout.threshold, dropout.scale, share.reshape(-1))
        out = np.empty((batch, n, width // 3), np.float32)
        _mix(source, share, out)
        ctx.kept = (source, weight, share)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        source, weight, share = ctx.kept
        out = np.zeros_like(source)
        _attend_backward(source, weight, share, _array(gradient), out)
        return torch.from_numpy(out), None, None


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: Dropout) -> Tensor:
        ctx.kept = (dropout.bits(x.numel()), dropout.threshold, dropout.scale)
        return _drop_like(x, *ctx.kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _drop_like(gradient, *ctx.kept), None


def _drop_like(x: Tensor, bits: np.ndarray, threshold: np.uint16, scale: np.float32) -> Tensor:
    source = _array(x)
    out = np.empty_like(source)
    _drop(source.reshape(-1), bits, threshold, scale, out.reshape(-1))
    return torch.from_numpy(out)


@njit(cache=True, nogil=True, fastmath=REORDER)
def _drop(x, bits, threshold, scale, out):
    for c in range(x.size):
        kept = x[c] * scale
        out[c] = kept if bits[c] >= threshold else ZERO


# In the three kernels of attention, H / heads is a power of two: a row of H products is summed per head by adding its
# upper to its lower half again and again, and one number per head is spread over H channels by doubling.


@njit(cache=True, nogil=True, fastmath=REORDER)
def _scores(qkv, out):
    """out[b, i, j, h] = q_i k_j / sqrt(d), (B, n, n, heads)."""
    batch, n, width = qkv.shape
    h, heads = width // 3, out.shape[3]
    temperature = np.float32(1.0 / math.sqrt(h // heads))
    product = np.empty(h, np.float32)
    for b in range(batch):
        for i in range(n):
            q = qkv[b, i, :h]
            for j in range(n):
                k = qkv[b, j, h : 2 * h]
                half = h
                for c in range(h):
                    product[c] = q[c] * k[c]
                while half > heads:
                    half //= 2
                    for c in range(half):
                        product[c] += product[c + half]
                for c in range(heads):
                    out[b, i, j, c] = product[c] * temperature


@njit(cache=True, nogil=True, fastmath=REORDER)
def _mix(qkv, share, out):
    """out_i = sum_j share_ij v_j per head; share (B, n, n, heads)."""
    batch, n, h = out.shape
    heads = share.shape[3]
    tile = np.empty(h, np.float32)
    for b in range(batch):
        for i in range(n):
            target = out[b, i]
            target[:] = ZERO
            for j in range(n):
                v = qkv[b, j, 2 * h :]
                size = heads
                for c in range(heads):
                    tile[c] = share[b, i, j, c]
                while size < h:
                    for c in range(size):
                        tile[c + size] = tile[c]
                    size *= 2
                for c in range(h):
                    target[c] += tile[c] * v[c]


@njit(cache=True, nogil=True, fastmath=REORDER)
def _attend_backward(qkv, weight, share, gradient, out):
    """Gradients of queries, keys and values.

    Args:
      weight: (B, n, n, heads) attention.    share: the same after dropout.    out: (B, n, 3 * H), zero on entry.
    """
    batch, n, h = gradient.shape
    heads = weight.shape[3]
    temperature = np.float32(1.0 / math.sqrt(h // heads))
    tile, product = np.empty(h, np.float32), np.empty(h, np.float32)
    inner, mean = np.empty((n, heads), np.float32), np.empty(heads, np.float32)
    for b in range(batch):
        for i in range(n):
            g, q, dq = gradient[b, i], qkv[b, i, :h], out[b, i, :h]
            mean[:] = ZERO
            for j in range(n):
                v, dv = qkv[b, j, 2 * h :], out[b, j, 2 * h :]
                half = h
                for c in range(h):
                    product[c] = g[c] * v[c]
                while half > heads:
                    half //= 2
                    for c in range(half):
                        product[c] += product[c + half]
                size = heads
                for c in range(heads):
                    tile[c] = share[b, i, j, c]
                    inner[j, c] = product[c] * tile[c]
                    mean[c] += inner[j, c]
                while size < h:
                    for c in range(size):
                        tile[c + size] = tile[c]
                    size *= 2
                for c in range(h):
                    dv[c] += tile[c] * g[c]
            for j in range(n):
                k, dk = qkv[b, j, h : 2 * h], out[b, j, h : 2 * h]
                size = heads
                for c in range(heads):
                    tile[c] = (inner[j, c] - weight[b, i, j, c] * mean[c]) * temperature
                while size < h:
                    for c in range(size):
                        tile[c + size] = tile[c]
                    size *= 2
                for c in range(h):
                    dq[c] += tile[c] * k[c]
                for c in range(h):
                    dk[c] += tile[c] * q[c]
