"""Attention over the agents of a sample, with dropout on its weights, and the gradient: kernels around a sample.

Rows are those of all agents of all samples, float32 and contiguous; features are ordered (feature of the head, head)
as in `mazero.inference.attention`, and queries come scaled by 1 / sqrt(d), which their weights take care of.
"""

from __future__ import annotations

import numpy as np

from mazero.inference.attention import mix, similarity, softmax
from mazero.learning.jit import REORDER, njit

ZERO = np.float32(0.0)


@njit(cache=True, nogil=True, inline="always")
def _address(array):
    return np.int64(array.ctypes.data)


@njit(cache=True, nogil=True, fastmath=REORDER, forceinline=True)
def _drop(share, bits, threshold, scale, out):
    for c in range(share.size):
        kept = share[c] * scale
        out[c] = kept if bits[c] >= threshold else ZERO


@njit(cache=True, nogil=True)
def attend(qkv, bias, bits, threshold, scale, weight, out):
    """softmax(q k') v of every head.

    Args:
      qkv: (B * n, 3 * H) products; holds queries, keys and values on return.    bias: (3 * H,).
      bits: (B, n * n * heads) uint16, (0, 0) without dropout; see `rows.residual_norm` for threshold and scale.
      weight: (B, n, n, heads), filled with the attention before dropout.    out: (B * n, H), filled.
    """
    batch, n, _, heads = weight.shape
    width = out.shape[1]
    dim = width // heads
    share = np.empty(n * n * heads, np.float32)
    for b in range(batch):
        first = b * n
        for i in range(n):
            row = qkv[first + i]
            for c in range(3 * width):
                row[c] += bias[c]
        base, flat = _address(qkv) + 12 * first * width, weight[b].reshape(n * n * heads)
        scores = _address(weight) + 4 * b * n * n * heads
        for i in range(n):
            for j in range(n):
                key = base + 4 * (3 * j + 1) * width
                similarity(base + 12 * i * width, key, dim, heads, scores + 4 * (i * n + j) * heads)
        softmax(flat, n, heads)
        if bits.shape[0]:
            _drop(flat, bits[b], threshold, scale, share)
            scores = _address(share)
        for i in range(n):
            to = _address(out) + 4 * (first + i) * width
            mix(scores + 4 * i * n * heads, base + 8 * width, n, 3 * width, dim, heads, to)


@njit(cache=True, nogil=True, fastmath=REORDER, forceinline=True)
def _slopes(share, slope, weight, bits, threshold, scale, n, heads):
    """`slope`, of the attention after dropout, becomes the gradient of the scores; `share` holds that attention."""
    for c in range(n * n * heads):
        share[c] = weight[c]
    if bits.size:
        for c in range(n * n * heads):
            kept = weight[c] * scale
            share[c] = kept if bits[c] >= threshold else ZERO
    # d score = weight * (d weight - sum_j weight_j d weight_j), and weight * d weight = share * slope
    for i in range(n):
        at = i * n * heads
        for h in range(heads):
            total = ZERO
            for j in range(n):
                total += share[at + j * heads + h] * slope[at + j * heads + h]
            for j in range(n):
                c = at + j * heads + h
                slope[c] = share[c] * slope[c] - weight[c] * total


@njit(cache=True, nogil=True)
def _turn(x, n, heads, out):
    """(n, n, heads) with the first two axes exchanged."""
    for i in range(n):
        for j in range(n):
            for h in range(heads):
                out[(j * n + i) * heads + h] = x[(i * n + j) * heads + h]


@njit(cache=True, nogil=True)
def attend_backward(d_out, qkv, bits, threshold, scale, weight, d_bias):
    """Gradient of `attend`: qkv becomes that of the products; d_bias (3 * H,) is added to. d_out: (B * n, H)."""
    batch, n, _, heads = weight.shape
    width = d_out.shape[1]
    dim, size = width // heads, n * n * heads
    share, slope, turned = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    result = np.empty((n, 3 * width), np.float32)
    none = np.empty(0, np.uint16)
    to, at_slope, at_turned = _address(result), _address(slope), _address(turned)
    for b in range(batch):
        first = b * n
        base, grad = _address(qkv) + 12 * first * width, _address(d_out) + 4 * first * width
        for i in range(n):
            for j in range(n):
                value = base + 4 * (3 * j + 2) * width
                similarity(grad + 4 * i * width, value, dim, heads, at_slope + 4 * (i * n + j) * heads)
        drawn = bits[b] if bits.shape[0] else none
        _slopes(share, slope, weight[b].reshape(size), drawn, threshold, scale, n, heads)
        for i in range(n):
            mix(at_slope + 4 * i * n * heads, base + 4 * width, n, 3 * width, dim, heads, to + 12 * i * width)
        _turn(slope, n, heads, turned)
        for j in range(n):
            mix(at_turned + 4 * j * n * heads, base, n, 3 * width, dim, heads, to + 4 * (3 * j + 1) * width)
        _turn(share, n, heads, turned)
        for j in range(n):
            mix(at_turned + 4 * j * n * heads, grad, n, width, dim, heads, to + 4 * (3 * j + 2) * width)
        for i in range(n):
            row, found = qkv[first + i], result[i]
            for c in range(3 * width):
                row[c] = found[c]
            for c in range(3 * width):
                d_bias[c] += found[c]
