"""What lies between two matrix products of a learning step, forwards and backwards, one pass over the rows each.

R rows of C features, float32 and contiguous. Where a Linear reads an action, the action's row of a table takes the
bias's place: `table` (A, C) is the sum of both and `row` (R,) says which one is added; a Linear without actions has a
table of one row. What a backward pass adds to (`d_...`) holds the sums over all rows before it.

Sums are taken in vector order (`REORDER`), as torch takes them. Kernels work in place on what the caller no longer
needs, under one name: two names of one array would make the compiler give up vector instructions.
"""

from __future__ import annotations

import numpy as np

from mazero.fused import REORDER
from mazero.learning.jit import njit

EPSILON = np.float32(1e-5)  # of LayerNorm, torch's default
ZERO, ONE = np.float32(0.0), np.float32(1.0)


@njit(cache=True, nogil=True, fastmath=REORDER)
def standardise(obs, k, first, out):
    """LayerNorm without gain and shift of observations at step k, from sample `first` on.

    Args:
      obs: (B, U + 1, n, D).    out: (S * n, D), filled for S samples.
    """
    n, width = obs.shape[2], obs.shape[3]
    share = ONE / np.float32(width)
    for r in range(out.shape[0]):
        row, to = obs[first + r // n, k, r % n], out[r]
        mean, factor = _moments(row, share)
        for c in range(width):
            to[c] = (row[c] - mean) * factor


@njit(cache=True, nogil=True, fastmath=REORDER, inline="always")
def _moments(row, share):
    """Mean of a row and 1 / its standard deviation; share: 1 / its length."""
    total = ZERO
    for c in range(row.size):
        total += row[c]
    mean = total * share
    square = ZERO
    for c in range(row.size):
        square += (row[c] - mean) * (row[c] - mean)
    return mean, ONE / np.sqrt(square * share + EPSILON)


@njit(cache=True, nogil=True, fastmath=REORDER)
def norm(z, table, row, relu, gain, shift, add, out, moments):
    """z + bias, ReLU if `relu`, LayerNorm, plus `add` (R, C), which may be empty.

    Args:
      z: (R, C) products; holds what goes into LayerNorm on return.    moments: (R, 2), filled for the backward pass.
    """
    width = z.shape[1]
    share = ONE / np.float32(width)
    for r in range(z.shape[0]):
        x, bias, to = z[r], table[row[r]], out[r]
        if relu:
            for c in range(width):
                value = x[c] + bias[c]
                x[c] = ZERO if value < ZERO else value
        else:
            for c in range(width):
                x[c] += bias[c]
        mean, factor = _moments(x, share)
        for c in range(width):
            to[c] = (x[c] - mean) * factor * gain[c] + shift[c]
        if add.shape[0]:
            more = add[r]
            for c in range(width):
                to[c] += more[c]
        moments[r, 0], moments[r, 1] = mean, factor


@njit(cache=True, nogil=True, fastmath=REORDER)
def norm_backward(d_out, z, row, relu, gain, moments, d_gain, d_shift, d_table):
    """Gradients of `norm`; z becomes that of the products. d_out: (R, C)."""
    width = z.shape[1]
    share = ONE / np.float32(width)
    for r in range(z.shape[0]):
        x, d, mean, factor = z[r], d_out[r], moments[r, 0], moments[r, 1]
        first, second = _sums(d, x, mean, factor, gain, d_gain, d_shift)
        first, second = first * share, second * share
        bias = d_table[row[r]]
        if relu:
            for c in range(width):
                slope = factor * (d[c] * gain[c] - first - (x[c] - mean) * factor * second)
                x[c] = slope if x[c] > ZERO else ZERO
        else:
            for c in range(width):
                x[c] = factor * (d[c] * gain[c] - first - (x[c] - mean) * factor * second)
        for c in range(width):
            bias[c] += x[c]


@njit(cache=True, nogil=True, fastmath=REORDER, inline="always")
def _sums(d, x, mean, factor, gain, d_gain, d_shift):
    """Sum of d * gain and of d * gain * standardised x over a row; adds the row to the gradients of gain and shift."""
    first, second = ZERO, ZERO
    for c in range(x.size):
        standard = (x[c] - mean) * factor
        slope = d[c]
        d_gain[c] += slope * standard
        d_shift[c] += slope
        slope *= gain[c]
        first += slope
        second += slope * standard
    return first, second


@njit(cache=True, nogil=True, fastmath=REORDER)
def residual_norm(z, bias, x, bits, threshold, scale, gain, shift, out, moments):
    """LayerNorm(x + dropout(z + bias)).

    Args:
      z: (R, C) products; holds the sum on return.    bias, gain, shift: (C,).    x, out: (R, C).
      bits: (R, C) uint16, (0, C) without dropout; an element is dropped where its bits lie below `threshold`.
      scale: of what stays.    moments: (R, 2), filled.
    """
    width = z.shape[1]
    share = ONE / np.float32(width)
    for r in range(z.shape[0]):
        s, before, to = z[r], x[r], out[r]
        if bits.shape[0]:
            drawn = bits[r]
            for c in range(width):
                kept = (s[c] + bias[c]) * scale
                s[c] = before[c] + (kept if drawn[c] >= threshold else ZERO)
        else:
            for c in range(width):
                s[c] += before[c] + bias[c]
        mean, factor = _moments(s, share)
        for c in range(width):
            to[c] = (s[c] - mean) * factor * gain[c] + shift[c]
        moments[r, 0], moments[r, 1] = mean, factor


@njit(cache=True, nogil=True, fastmath=REORDER)
def residual_norm_backward(d, z, bits, threshold, scale, gain, moments, d_gain, d_shift, d_bias):
    """Gradients of `residual_norm`: d (R, C), of its result, becomes that of x; z becomes that of the products."""
    width = z.shape[1]
    share = ONE / np.float32(width)
    for r in range(z.shape[0]):
        s, slope, mean, factor = z[r], d[r], moments[r, 0], moments[r, 1]
        first, second = _sums(slope, s, mean, factor, gain, d_gain, d_shift)
        first, second = first * share, second * share
        for c in range(width):
            slope[c] = factor * (slope[c] * gain[c] - first - (s[c] - mean) * factor * second)
        if bits.shape[0]:
            drawn = bits[r]
            for c in range(width):
                kept = slope[c] * scale
                s[c] = kept if drawn[c] >= threshold else ZERO
        else:
            for c in range(width):
                s[c] = slope[c]
        for c in range(width):
            d_bias[c] += s[c]


@njit(cache=True, nogil=True, fastmath=REORDER)
def relu(z, table, row, add, out):
    """ReLU(z + bias), kept in z; plus row r modulo len(add) of `add` in `out`."""
    width, period = z.shape[1], add.shape[0]
    for r in range(z.shape[0]):
        x, bias, more, to = z[r], table[row[r]], add[r % period], out[r]
        for c in range(width):
            value = x[c] + bias[c]
            value = ZERO if value < ZERO else value  # NaN stays NaN
            x[c] = value
            to[c] = value + more[c]


@njit(cache=True, nogil=True, fastmath=REORDER)
def relu_backward(d, z, row, d_table):
    """Gradient of `relu`: z becomes that of the products. d: (R, C)."""
    width = z.shape[1]
    for r in range(z.shape[0]):
        x, slope, bias = z[r], d[r], d_table[row[r]]
        for c in range(width):
            x[c] = slope[c] if x[c] > ZERO else ZERO
        for c in range(width):
            bias[c] += x[c]


@njit(cache=True, nogil=True, fastmath=REORDER)
def dropped_relu(z, bias, bits, threshold, scale):
    """dropout(ReLU(z + bias)) in place; bits: (R, C) or (0, C)."""
    width = z.shape[1]
    for r in range(z.shape[0]):
        x = z[r]
        if bits.shape[0]:
            drawn = bits[r]
            for c in range(width):
                value = (x[c] + bias[c]) * scale
                value = ZERO if value < ZERO else value  # NaN stays NaN
                x[c] = value if drawn[c] >= threshold else ZERO
        else:
            for c in range(width):
                value = x[c] + bias[c]
                x[c] = ZERO if value < ZERO else value


@njit(cache=True, nogil=True, fastmath=REORDER)
def dropped_relu_backward(d, y, scale, d_bias):
    """d (R, C), the gradient of `dropped_relu`'s result y, becomes that of the products."""
    width = d.shape[1]
    for r in range(d.shape[0]):
        slope, kept = d[r], y[r]
        for c in range(width):
            slope[c] = slope[c] * scale if kept[c] > ZERO else ZERO
        for c in range(width):
            d_bias[c] += slope[c]


@njit(cache=True, nogil=True, fastmath=REORDER)
def team_rows(rows, bias, first, out):
    """out[s] = bias + sum of the rows `rows[s, i]` of a table over agents i: what a joint action adds to a Linear.

    Args:
      rows: (S, n) int64.    bias: (C,).    first: (n * A, C), the table.    out: (S, C).
    """
    for s in range(rows.shape[0]):
        to = out[s]
        for c in range(to.size):
            to[c] = bias[c]
        for i in range(rows.shape[1]):
            row = first[rows[s, i]]
            for c in range(to.size):
                to[c] += row[c]


@njit(cache=True, nogil=True, fastmath=REORDER)
def team_rows_backward(d, rows, d_first):
    """Adds gradients d (S, C) to the rows (n * A, C) that were added."""
    for s in range(rows.shape[0]):
        slope = d[s]
        for i in range(rows.shape[1]):
            row = d_first[rows[s, i]]
            for c in range(slope.size):
                row[c] += slope[c]
