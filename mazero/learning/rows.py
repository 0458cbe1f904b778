"""What lies between two matrix products of a learning step, forwards and backwards, one pass over the rows each.

R rows of C features, float32 and contiguous. Where a Linear reads an action, the action's row of a table takes the
bias's place: `table` (A, C) is the sum of both and `row` (R,) says which one is added; a Linear without actions has a
table of one row. What a backward pass adds to (`d_...`) holds the sums over all rows before it.

Sums are taken in vector order (`REORDER`), as torch takes them. Kernels work in place on what the caller no longer
needs, under one name: two names of one array would make the compiler give up vector instructions.
"""

from __future__ import annotations

import numpy as np

from mazero.learning.jit import REORDER, njit

EPSILON = np.float32(1e-5)  # of LayerNorm, torch's default
ZERO, ONE = np.float32(0.0), np.float32(1.0)
kernel = njit(cache=True, nogil=True, fastmath=REORDER, error_model="numpy")
# Part of every kernel that calls it. Were it a function of its own, each kernel would bring a copy, sums in an order of
# that copy's, and the one that a process meets first would serve all: other results in the process that compiles.
helper = njit(cache=True, nogil=True, fastmath=REORDER, error_model="numpy", forceinline=True)
BLOCK = 16  # rows that a pass is done for before the next pass: sums of several rows run side by side, in the cache


@kernel
def standardise(obs, first, out):
    """LayerNorm without gain and shift of observations, from position `first` on, in the order (step, sample).

    Args:
      obs: (B, U + 1, n, D).    out: (P * n, D), filled for P positions.
    """
    batch, _, n, width = obs.shape
    moments = np.empty((n, 2), np.float32)
    for position in range(out.shape[0] // n):
        k, b = divmod(first + position, batch)
        x, to = obs[b, k], out[position * n : (position + 1) * n]
        _measure(x, 0, n, moments)
        for r in range(n):
            mean, factor = moments[r, 0], moments[r, 1]
            for c in range(width):
                to[r, c] = (x[r, c] - mean) * factor


@helper
def _measure(x, start, stop, moments):
    """Mean and 1 / standard deviation of rows start..stop - 1 of x (R, C), in `moments` (R, 2)."""
    width = x.shape[1]
    share = ONE / np.float32(width)
    for r in range(start, stop):
        total, row = ZERO, x[r]
        for c in range(width):
            total += row[c]
        moments[r, 0] = total * share
    for r in range(start, stop):
        square, row, mean = ZERO, x[r], moments[r, 0]
        for c in range(width):
            square += (row[c] - mean) * (row[c] - mean)
        moments[r, 1] = square
    for r in range(start, stop):
        moments[r, 1] = ONE / np.sqrt(moments[r, 1] * share + EPSILON)


@helper
def _scale(x, start, stop, moments, gain, shift, out):
    """(x - mean) / standard deviation * gain + shift of rows start..stop - 1."""
    for r in range(start, stop):
        row, to, mean, factor = x[r], out[r], moments[r, 0], moments[r, 1]
        for c in range(row.size):
            to[c] = (row[c] - mean) * factor * gain[c] + shift[c]


@kernel
def norm(z, table, row, relu, gain, shift, add, out, moments):
    """z + bias, ReLU if `relu`, LayerNorm, plus `add` (R, C), which may be empty.

    Args:
      z: (R, C) products; holds what goes into LayerNorm on return.    moments: (R, 2), filled for the backward pass.
    """
    width = z.shape[1]
    for start in range(0, z.shape[0], BLOCK):
        stop = min(start + BLOCK, z.shape[0])
        if relu:
            for r in range(start, stop):
                x, bias = z[r], table[row[r]]
                for c in range(width):
                    value = x[c] + bias[c]
                    x[c] = ZERO if value < ZERO else value  # NaN stays NaN
        else:
            for r in range(start, stop):
                x, bias = z[r], table[row[r]]
                for c in range(width):
                    x[c] += bias[c]
        _measure(z, start, stop, moments)
        _scale(z, start, stop, moments, gain, shift, out)
        if add.shape[0]:
            for r in range(start, stop):
                more, to = add[r], out[r]
                for c in range(width):
                    to[c] += more[c]


@kernel
def norm_backward(d_out, z, row, relu, gain, moments, d_gain, d_shift, d_table):
    """Gradients of `norm`; z becomes that of the products. d_out: (R, C)."""
    width = z.shape[1]
    sums = np.empty((BLOCK, 2), np.float32)
    for start in range(0, z.shape[0], BLOCK):
        stop = min(start + BLOCK, z.shape[0])
        _project(d_out, z, start, stop, moments, gain, d_gain, d_shift, sums)
        for r in range(start, stop):
            x, d, mean, factor = z[r], d_out[r], moments[r, 0], moments[r, 1]
            first, second = sums[r - start, 0], sums[r - start, 1]
            if relu:
                for c in range(width):
                    slope = factor * (d[c] * gain[c] - first - (x[c] - mean) * factor * second)
                    x[c] = slope if x[c] > ZERO else ZERO
            else:
                for c in range(width):
                    x[c] = factor * (d[c] * gain[c] - first - (x[c] - mean) * factor * second)
        for r in range(start, stop):
            x, bias = z[r], d_table[row[r]]
            for c in range(width):
                bias[c] += x[c]


@helper
def _project(d_out, z, start, stop, moments, gain, d_gain, d_shift, sums):
    """Means of d * gain and of d * gain * standardised z over each row; adds to the gradients of gain and shift.

    Args:
      sums: (BLOCK, 2), filled for rows start..stop - 1.
    """
    width = z.shape[1]
    share = ONE / np.float32(width)
    for r in range(start, stop):
        x, d, mean, factor = z[r], d_out[r], moments[r, 0], moments[r, 1]
        first, second = ZERO, ZERO
        for c in range(width):
            standard = (x[c] - mean) * factor
            slope = d[c]
            d_gain[c] += slope * standard
            d_shift[c] += slope
            slope *= gain[c]
            first += slope
            second += slope * standard
        sums[r - start, 0], sums[r - start, 1] = first * share, second * share


@kernel
def residual_norm(z, bias, x, bits, threshold, scale, gain, shift, out, moments):
    """LayerNorm(x + dropout(z + bias)).

    Args:
      z: (R, C) products; holds the sum on return.    bias, gain, shift: (C,).    x, out: (R, C).
      bits: (R, C) uint16, (0, C) without dropout; an element is dropped where its bits lie below `threshold`.
      scale: of what stays.    moments: (R, 2), filled.
    """
    width = z.shape[1]
    for start in range(0, z.shape[0], BLOCK):
        stop = min(start + BLOCK, z.shape[0])
        if bits.shape[0]:
            for r in range(start, stop):
                s, before, drawn = z[r], x[r], bits[r]
                for c in range(width):
                    kept = (s[c] + bias[c]) * scale
                    s[c] = before[c] + (kept if drawn[c] >= threshold else ZERO)
        else:
            for r in range(start, stop):
                s, before = z[r], x[r]
                for c in range(width):
                    s[c] += before[c] + bias[c]
        _measure(z, start, stop, moments)
        _scale(z, start, stop, moments, gain, shift, out)


@kernel
def residual_norm_backward(d, z, bits, threshold, scale, gain, moments, d_gain, d_shift, d_bias):
    """Gradients of `residual_norm`: d (R, C), of its result, becomes that of x; z becomes that of the products."""
    width = z.shape[1]
    sums = np.empty((BLOCK, 2), np.float32)
    for start in range(0, z.shape[0], BLOCK):
        stop = min(start + BLOCK, z.shape[0])
        _project(d, z, start, stop, moments, gain, d_gain, d_shift, sums)
        for r in range(start, stop):
            s, slope, mean, factor = z[r], d[r], moments[r, 0], moments[r, 1]
            first, second = sums[r - start, 0], sums[r - start, 1]
            for c in range(width):
                slope[c] = factor * (slope[c] * gain[c] - first - (s[c] - mean) * factor * second)
        for r in range(start, stop):
            s, slope = z[r], d[r]
            if bits.shape[0]:
                drawn = bits[r]
                for c in range(width):
                    kept = slope[c] * scale
                    s[c] = kept if drawn[c] >= threshold else ZERO
            else:
                for c in range(width):
                    s[c] = slope[c]
        for r in range(start, stop):
            s = z[r]
            for c in range(width):
                d_bias[c] += s[c]


@kernel
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


@kernel
def relu_backward(d, z, row, d_table):
    """Gradient of `relu`: z becomes that of the products. d: (R, C)."""
    width = z.shape[1]
    for r in range(z.shape[0]):
        x, slope, bias = z[r], d[r], d_table[row[r]]
        for c in range(width):
            x[c] = slope[c] if x[c] > ZERO else ZERO
        for c in range(width):
            bias[c] += x[c]


@kernel
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


@kernel
def dropped_relu_backward(d, y, scale, d_bias):
    """d (R, C), the gradient of `dropped_relu`'s result y, becomes that of the products."""
    width = d.shape[1]
    for r in range(d.shape[0]):
        slope, kept = d[r], y[r]
        for c in range(width):
            slope[c] = slope[c] * scale if kept[c] > ZERO else ZERO
        for c in range(width):
            d_bias[c] += slope[c]


@kernel
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


@kernel
def team_rows_backward(d, rows, d_first):
    """Adds gradients d (S, C) to the rows (n * A, C) that were added."""
    for s in range(rows.shape[0]):
        slope = d[s]
        for i in range(rows.shape[1]):
            row = d_first[rows[s, i]]
            for c in range(slope.size):
                row[c] += slope[c]
