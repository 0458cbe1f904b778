"""Attention over the few agents of a sample, arithmetic over vectors of heads; for kernels of inference and learning.

Features are ordered (feature of the head, head), so that one vector register holds a feature of several heads.
Addresses are in bytes, strides in floats, as in `tiles.py`.
"""

from __future__ import annotations

import math

import numpy as np

from mazero.inference.jit import njit
from mazero.inference.tiles import (
    mixture_1,
    mixture_2,
    mixture_4,
    mixture_8,
    similarity_1,
    similarity_2,
    similarity_4,
    similarity_8,
)

_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_EXP = tuple(np.float32(1.0 / math.factorial(i)) for i in range(2, 8))
_LEAST_EXPONENT = np.float32(-87.0)  # exp of less is 0 in float32


@njit(cache=True, nogil=True)
def similarity(q, k, dim, heads, out):
    """(heads,) dot products of one query with one key, as many heads at once as divide their number."""
    if heads % 8 == 0:
        for h in range(0, heads, 8):
            similarity_8(q + 4 * h, k + 4 * h, dim, heads, out + 4 * h)
    elif heads % 4 == 0:
        for h in range(0, heads, 4):
            similarity_4(q + 4 * h, k + 4 * h, dim, heads, out + 4 * h)
    elif heads % 2 == 0:
        for h in range(0, heads, 2):
            similarity_2(q + 4 * h, k + 4 * h, dim, heads, out + 4 * h)
    else:
        for h in range(heads):
            similarity_1(q + 4 * h, k + 4 * h, dim, heads, out + 4 * h)


@njit(cache=True, nogil=True)
def mix(share, value, n, apart, dim, heads, out):
    """Sum over agents of share (n, heads) times value (n, dim, heads); rows of value lie `apart` floats apart."""
    if heads % 8 == 0:
        for h in range(0, heads, 8):
            mixture_8(share + 4 * h, value + 4 * h, n, apart, dim, heads, out + 4 * h)
    elif heads % 4 == 0:
        for h in range(0, heads, 4):
            mixture_4(share + 4 * h, value + 4 * h, n, apart, dim, heads, out + 4 * h)
    elif heads % 2 == 0:
        for h in range(0, heads, 2):
            mixture_2(share + 4 * h, value + 4 * h, n, apart, dim, heads, out + 4 * h)
    else:
        for h in range(heads):
            mixture_1(share + 4 * h, value + 4 * h, n, apart, dim, heads, out + 4 * h)


@njit(cache=True, nogil=True)
def softmax(scores, n, heads):
    """Softmax over j of scores (n, n, heads), each query i and head by itself."""
    for i in range(n):
        row = scores[i * n * heads :][: n * heads]
        for h in range(heads):
            top = row[h]
            for j in range(1, n):
                top = max(top, row[j * heads + h])
            for j in range(n):
                row[j * heads + h] -= top
    for c in range(n * n * heads):
        scores[c] = exp(scores[c])
    for i in range(n):
        row = scores[i * n * heads :][: n * heads]
        for h in range(heads):
            total = np.float32(0.0)
            for j in range(n):
                total += row[j * heads + h]
            total = np.float32(1.0) / total
            for j in range(n):
                row[j * heads + h] *= total


@njit(cache=True, nogil=True, inline="always")
def exp(x):
    """exp(x) for x <= 88 in float32: 2^m times a polynomial on [-ln 2 / 2, ln 2 / 2]."""
    x = max(x, _LEAST_EXPONENT)
    m = np.float32(np.floor(x * _LOG2_E + np.float32(0.5)))
    r = x - m * _LN2_HIGH - m * _LN2_LOW
    tail = _EXP[5]
    tail = tail * r + _EXP[4]
    tail = tail * r + _EXP[3]
    tail = tail * r + _EXP[2]
    tail = tail * r + _EXP[1]
    tail = tail * r + _EXP[0]
    power = np.int32((np.int32(m) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (tail * r * r + r + np.float32(1.0)) * power
