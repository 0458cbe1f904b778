"""Linears and LayerNorms over rows of scratch memory, for the team or for every agent with parameters of its own.

Records and offsets are those of `records.py`; rows of agents lie sample by sample, so row r is agent r mod n's.
"""

from __future__ import annotations

import numpy as np

from mazero.inference.jit import njit
from mazero.inference.records import ALIGNMENT, LAYER_NORM_EPSILON
from mazero.inference.tiles import RELU, product


@njit(cache=True, nogil=True)
def address(array):
    """Of its first byte."""
    return np.int64(array.ctypes.data)


@njit(cache=True, nogil=True)
def linear(weights, layer, x, x_stride, rows, out, out_stride, mode):
    """`product` with the weights of a DENSE record; addresses in bytes."""
    weight, bias = weights + 4 * layer.weight, weights + 4 * layer.bias
    general = np.int64(mode)  # a literal would be compiled for itself
    product(x, x_stride, rows, weight, layer.k, layer.n, bias, out, out_stride, general)


@njit(cache=True, nogil=True)
def own_linear(weights, dense, index, x, x_stride, rows, out, out_stride, mode):
    """`linear` for rows of agents, of which row r belongs to copy r mod copies; addresses in bytes."""
    copies = dense.shape[1]
    for i in range(copies):
        linear(
            weights, dense[index, i], x + 4 * i * x_stride, copies * x_stride, rows // copies,
            out + 4 * i * out_stride, copies * out_stride, mode,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def own_normalise(scratch, x, stride, rows, width, weights, scale, shift, copies, apart):
    """`normalise` for rows of agents; gains and shifts of two copies are `apart` floats apart."""
    for i in range(copies):
        own = i * apart
        normalise(scratch, x + i * stride, copies * stride, rows // copies, width, weights, scale + own, shift + own)


@njit(cache=True, nogil=True)
def lines(floats):
    """Floats of whole cache lines."""
    return -(-floats // ALIGNMENT) * ALIGNMENT


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # sums in vector order; nothing else is relaxed
def normalise(scratch, x, stride, rows, width, weights, scale, shift):
    """LayerNorm over the first `width` floats of each row, in place."""
    gain, offset = weights[scale : scale + width], weights[shift : shift + width]
    inverse = np.float32(1.0) / np.float32(width)
    for r in range(rows):
        row = scratch[x + r * stride :][:width]
        total = np.float32(0.0)
        for c in range(width):
            total += row[c]
        mean = total * inverse
        square = np.float32(0.0)
        for c in range(width):
            square += (row[c] - mean) * (row[c] - mean)
        factor = np.float32(1.0) / np.sqrt(square * inverse + np.float32(LAYER_NORM_EPSILON))
        for c in range(width):
            row[c] = (row[c] - mean) * factor * gain[c] + offset[c]


@njit(cache=True, nogil=True)
def norm_behind(weights, dense, index, scratch, x, stride, rows):
    """The LayerNorm behind a Linear of an agent's own."""
    copies = dense.shape[1]
    for i in range(copies):
        layer = dense[index, i]
        own, apart = x + i * stride, copies * stride
        normalise(scratch, own, apart, rows // copies, layer.width, weights, layer.scale, layer.shift)


@njit(cache=True, nogil=True)
def mlp(weights, dense, first, layers, scratch, y, z, p, rows):
    """Linear, ReLU, LayerNorm `layers` times, from area y; returns the area of the result, y or z."""
    data, at = address(weights), address(scratch)
    for index in range(first, first + layers):
        own_linear(data, dense, index, at + 4 * y, p.widest, rows, at + 4 * z, p.widest, RELU)
        norm_behind(weights, dense, index, scratch, z, p.widest, rows)
        y, z = z, y
    return y
