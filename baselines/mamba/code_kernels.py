"""Gradient of a linear layer's weights on one-hot latents: rows of the incoming gradient added up by code."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def add_rows(codes: np.ndarray, grad: np.ndarray, total: np.ndarray) -> None:
    """Add each row of grad to the K rows of `total` that its codes name.

    Args: codes: (R, K) int32.    grad: (R, H) float32.    total: (Z, H) float32, added to.
    """
    rows, count = codes.shape
    size = grad.shape[1]
    for r in range(rows):
        for k in range(count):
            code = codes[r, k]
            for j in range(size):
                total[code, j] += grad[r, j]
