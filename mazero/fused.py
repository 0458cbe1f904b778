"""Fused steps of the training forward on a CPU: attention over few agents, dropout + residual + LayerNorm, ReLU + LayerNorm.

The same functions as the plain torch ones in `networks.py` (which other devices use), with their gradients. At these sizes
torch spends more time in tiny matrix products, dropout masks and passes over memory than the Linears leave.

The public functions check and allocate; the `@njit` kernels get contiguous float32 arrays and fill their outputs. They let
the compiler reorder sums (`REORDER`), so that a row of 128 floats is summed eight at a time, as torch itself does.

Dropout: 16 random bits an element; it is dropped if they lie below round(p * 65536), and what stays is divided by exactly
the share that stays, so that expectations are unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

REORDER = {"reassoc", "contract", "nsz"}
LEVELS = 65536
ZERO, ONE = np.float32(0.0), np.float32(1.0)
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
        dropped = round(share * LEVELS)
        self.threshold = np.uint16(dropped)
        self.scale = np.float32(LEVELS / (LEVELS - dropped))
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
      qkv: (B, n, 3 * H): queries, keys, values; channel c of head h at c * heads + h of each (see `heads_last`), so that
        one vector register holds a channel of all heads.
    Returns: (B, n, H), channels in that order.
    Raises: ValueError if d is not a power of two.
    """
    width = qkv.shape[-1] // 3
    if not attends(1, width, heads):
        raise ValueError(f"H / heads must be a power of two, got {width} / {heads}: use plain attention")
    return _Attend.apply(qkv, heads, dropout)


def add_norm(x: Tensor, y: Tensor, dropout: Dropout, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm(x + dropout(y)) over the last axis; x and y of one shape."""
    return _AddNorm.apply(x, y, dropout, norm.weight, norm.bias, norm.eps)


def relu_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm(relu(x)) over the last axis."""
    return _ReluNorm.apply(x, norm.weight, norm.bias, norm.eps)


def relu_dropout(x: Tensor, dropout: Dropout) -> Tensor:
    """dropout(relu(x))."""
    return _ReluDropout.apply(x, dropout) if dropout.threshold else torch.relu(x)


def halve_gradient(x: Tensor) -> Tensor:
    """x forwards, half the gradient backwards (MuZero, appendix G)."""
    return _HalveGradient.apply(x)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()


def _rows(x: Tensor) -> np.ndarray:
    """(R, H)."""
    return _array(x).reshape(-1, x.shape[-1])


class _HalveGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 0.5 * gradient


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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        source, weight, share = ctx.kept
        out = np.zeros_like(source)
        _attend_backward(source, weight, share, _array(gradient), out)
        return torch.from_numpy(out), None, None


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, dropout: Dropout, weight: Tensor, bias: Tensor, epsilon: float
    ) -> Tensor:
        a, w = _rows(x), _array(weight)
        bits = dropout.bits(a.size).reshape(-1, a.shape[1])
        out, normal, inverse = np.empty_like(a), np.empty_like(a), np.empty(len(a), np.float32)
        _add_norm(a, _rows(y), bits, dropout.threshold, dropout.scale, w, _array(bias), epsilon, normal, inverse, out)
        ctx.kept = (bits, dropout.threshold, dropout.scale, w, normal, inverse)
        return torch.from_numpy(out.reshape(x.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        bits, threshold, scale, w, normal, inverse = ctx.kept
        dx, dy = np.empty_like(normal), np.empty_like(normal)
        dw, db = np.zeros_like(w), np.zeros_like(w)
        _add_norm_backward(_rows(gradient), bits, threshold, scale, w, normal, inverse, dx, dy, dw, db)
        shape = gradient.shape
        return (
            torch.from_numpy(dx.reshape(shape)), torch.from_numpy(dy.reshape(shape)), None,
            torch.from_numpy(dw), torch.from_numpy(db), None,
        )  # fmt: skip


class _ReluNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        a, w = _rows(x), _array(weight)
        out, normal, inverse = np.empty_like(a), np.empty_like(a), np.empty(len(a), np.float32)
        _relu_norm(a, w, _array(bias), epsilon, normal, inverse, out)
        ctx.kept = (a, w, normal, inverse)
        return torch.from_numpy(out.reshape(x.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        a, w, normal, inverse = ctx.kept
        dx, dw, db = np.empty_like(a), np.zeros_like(w), np.zeros_like(w)
        _relu_norm_backward(_rows(gradient), a, w, normal, inverse, dx, dw, db)
        return torch.from_numpy(dx.reshape(gradient.shape)), torch.from_numpy(dw), torch.from_numpy(db), None


class _ReluDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: Dropout) -> Tensor:
        a = _array(x)
        out = np.empty_like(a)
        bits = dropout.bits(a.size)
        _relu_dropout(a.reshape(-1), bits, dropout.threshold, dropout.scale, out.reshape(-1))
        ctx.kept = (out, dropout.scale)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        out, scale = ctx.kept
        dx = np.empty_like(out)
        _relu_dropout_backward(out.reshape(-1), _array(gradient).reshape(-1), scale, dx.reshape(-1))
        return torch.from_numpy(dx), None


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


@njit(cache=True, nogil=True, fastmath=REORDER)
def _normalise(row, weight, bias, epsilon, out):
    """row -> (row - mean) / deviation in place, out = weight * row + bias. Returns 1 / deviation."""
    size = np.float32(row.size)
    total = ZERO
    for c in range(row.size):
        total += row[c]
    mean, square = total / size, ZERO
    for c in range(row.size):
        row[c] -= mean
        square += row[c] * row[c]
    inverse = np.float32(1.0 / math.sqrt(square / size + epsilon))
    for c in range(row.size):
        row[c] *= inverse
        out[c] = weight[c] * row[c] + bias[c]
    return inverse


@njit(cache=True, nogil=True, fastmath=REORDER)
def _normalise_backward(g, weight, normal, inverse, dx, dw, db):
    """Gradient dx of one row before `_normalise`; adds to dw and db (H,)."""
    size = np.float32(g.size)
    mean, slope = ZERO, ZERO
    for c in range(g.size):
        inner = g[c] * weight[c]
        mean += inner
        slope += inner * normal[c]
        dw[c] += g[c] * normal[c]
        db[c] += g[c]
    mean /= size
    slope /= size
    for c in range(g.size):
        dx[c] = inverse * (g[c] * weight[c] - mean - normal[c] * slope)


@njit(cache=True, nogil=True, fastmath=REORDER)
def _add_norm(x, y, bits, threshold, scale, weight, bias, epsilon, normal, inverse, out):
    """All (R, H) but weight, bias (H,) and inverse (R,); bits (R, H) or empty."""
    rows, width = x.shape
    for r in range(rows):
        row = normal[r]
        for c in range(width):
            row[c] = y[r, c]
        if threshold:
            chance = bits[r]
            for c in range(width):
                kept = row[c] * scale
                row[c] = kept if chance[c] >= threshold else ZERO
        for c in range(width):
            row[c] += x[r, c]
        inverse[r] = _normalise(row, weight, bias, epsilon, out[r])


@njit(cache=True, nogil=True, fastmath=REORDER)
def _add_norm_backward(gradient, bits, threshold, scale, weight, normal, inverse, dx, dy, dw, db):
    """dw, db (H,): zero on entry."""
    rows, width = gradient.shape
    for r in range(rows):
        _normalise_backward(gradient[r], weight, normal[r], inverse[r], dx[r], dw, db)
        source, target = dx[r], dy[r]
        for c in range(width):
            target[c] = source[c]
        if threshold:
            chance = bits[r]
            for c in range(width):
                kept = target[c] * scale
                target[c] = kept if chance[c] >= threshold else ZERO


@njit(cache=True, nogil=True, fastmath=REORDER)
def _relu_norm(x, weight, bias, epsilon, normal, inverse, out):
    rows, width = x.shape
    for r in range(rows):
        row = normal[r]
        for c in range(width):
            row[c] = max(x[r, c], ZERO)
        inverse[r] = _normalise(row, weight, bias, epsilon, out[r])


@njit(cache=True, nogil=True, fastmath=REORDER)
def _relu_norm_backward(gradient, x, weight, normal, inverse, dx, dw, db):
    """dw, db (H,): zero on entry."""
    rows, width = gradient.shape
    for r in range(rows):
        _normalise_backward(gradient[r], weight, normal[r], inverse[r], dx[r], dw, db)
        source, target = x[r], dx[r]
        for c in range(width):
            slope = target[c]
            target[c] = slope if source[c] > ZERO else ZERO


@njit(cache=True, nogil=True, fastmath=REORDER)
def _relu_dropout(x, bits, threshold, scale, out):
    for c in range(x.size):
        kept = max(x[c], ZERO) * scale
        out[c] = kept if bits[c] >= threshold else ZERO


@njit(cache=True, nogil=True, fastmath=REORDER)
def _relu_dropout_backward(out, gradient, scale, dx):
    for c in range(out.size):
        slope = gradient[c] * scale
        dx[c] = slope if out[c] > ZERO else ZERO
