"""Everything of a GRU step but its matrix product, fused for one core: numba kernels over packed rows.

PyTorch's operators walk through memory five times a step and spend most time in tanh. Here one pass does it, with

    tanh x = 2 P Q / (P^2 + Q^2),  P = 2 p q,  Q = p^2 + q^2,  p / q = Pade approximant [7/6] of tanh(x / 4)

that is two double-angle steps and a single division, which the compiler turns into vector instructions. |x| is cut
at 9, where tanh rounds to 1 in float32. The error is below 2.5e-7; sigmoid follows from tanh.
"""

from __future__ import annotations

import numpy as np
from numba import njit

F = np.float32
EDGE, QUARTER, HALF, ONE, TWO = F(9.0), F(0.25), F(0.5), F(1.0), F(2.0)
# tanh y ~ y (135135 + 17325 y^2 + 378 y^4 + y^6) / (135135 + 62370 y^2 + 3150 y^4 + 28 y^6)
P1, P2, P3 = F(17325 / 135135), F(378 / 135135), F(1 / 135135)
Q1, Q2, Q3 = F(62370 / 135135), F(3150 / 135135), F(28 / 135135)


@njit(inline="always", error_model="numpy")
def fast_tanh(x):
    """Hyperbolic tangent of a float32."""
    y = (-EDGE if x < -EDGE else (EDGE if x > EDGE else x)) * QUARTER
    s = y * y
    p = y * (ONE + s * (P1 + s * (P2 + s * P3)))
    q = ONE + s * (Q1 + s * (Q2 + s * Q3))
    a, b = TWO * p * q, p * p + q * q
    return TWO * a * b / (a * a + b * b)


@njit(inline="always", error_model="numpy")
def fast_sigmoid(x):
    """Logistic function of a float32; the error is absolute, so values near 0 have few correct digits."""
    return HALF + HALF * fast_tanh(HALF * x)


# The loops over j are separate and touch few arrays each: with many, the compiler gives up proving that they do not
# overlap and leaves vector instructions out.


@njit(cache=True, error_model="numpy")
def forward_step(projected, product, bias, gates, candidate, recurrent, hidden, start, count, before, at):
    """One step of `count` sequences, rows start .. start + count of the packed arrays.

    Args:
      projected: (R, 3 H) input projections.    product: (>= count, 3 H) W h, without bias.    bias: (3 H,).
      gates (., 2 H), candidate (., H), recurrent (., H): filled from row `at` on with r, z; c; W_c h + b_c.
      hidden: (R, H), filled; the states before stand from row `before` on, -1: they are zero.
    """
    size = candidate.shape[1]
    for i in range(count):
        row, k = start + i, at + i
        for j in range(2 * size):
            gates[k, j] = fast_sigmoid(projected[row, j] + (product[i, j] + bias[j]))
        for j in range(size):
            recurrent[k, j] = product[i, 2 * size + j] + bias[2 * size + j]
        for j in range(size):
            candidate[k, j] = fast_tanh(projected[row, 2 * size + j] + gates[k, j] * recurrent[k, j])
        h, c, z = hidden[row], candidate[k], gates[k, size:]
        if before < 0:
            for j in range(size):
                h[j] = c[j] - z[j] * c[j]
        else:
            earlier = hidden[before + i]
            for j in range(size):
                h[j] = c[j] + z[j] * (earlier[j] - c[j])


@njit(cache=True, error_model="numpy")
def backward_step(total, recurrent, gates, candidate, hidden, grad_recurrent, grad_input, start, count, before):
    """Gradients of rows start .. start + count, given `total`, those of their hidden states.

    Args:
      total: (R, H); rows from `before` on get the part that flows back past the matrix product added.
      recurrent, gates, candidate, hidden: as `forward_step` left them.
      grad_recurrent: (R, 3 H), filled with the gradient of W h + b.    grad_input: (R, H), that of i_c.
    """
    size = candidate.shape[1]
    for row in range(start, start + count):
        d, r, z, c = total[row], gates[row, :size], gates[row, size:], candidate[row]
        di, rec = grad_input[row], recurrent[row]
        dr, dz, dc = grad_recurrent[row, :size], grad_recurrent[row, size : 2 * size], grad_recurrent[row, 2 * size :]
        for j in range(size):
            di[j] = d[j] * (ONE - z[j]) * (ONE - c[j] * c[j])
        for j in range(size):
            dc[j] = di[j] * r[j]
        for j in range(size):
            dr[j] = dc[j] * rec[j] * (ONE - r[j])
        if before < 0:
            for j in range(size):
                dz[j] = -d[j] * c[j] * z[j] * (ONE - z[j])
        else:
            earlier, flows = hidden[before + row - start], total[before + row - start]
            for j in range(size):
                dz[j] = d[j] * (earlier[j] - c[j]) * z[j] * (ONE - z[j])
            for j in range(size):
                flows[j] += d[j] * z[j]
