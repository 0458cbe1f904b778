"""Small matrix products for numba kernels: what numba itself cannot say, written as LLVM vector instructions.

A product of a few hundred rows is a loop over tiles of `ROWS` x `PANEL` outputs that stay in registers while the inner
dimension runs by. Weights are stored panel by panel, so that they are read in order. Every output is one chain of fused
multiply-adds over k = 0..K-1, whatever else is in the batch: a row's result does not depend on the other rows.

All sizes are in elements of float32, all addresses in bytes as int64 (`array.ctypes.data`).
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from mazero.inference.jit import njit

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8  # floats in a vector register
PANEL = 2 * LANES  # columns of a tile: with 6 rows, 12 of AVX2's 16 registers hold sums
ROWS = 6
START_FROM_OUT = 1  # mode bit: add to what `out` holds, instead of overwriting it
TOGETHER = 4  # features of attention's mixture that are summed side by side
RELU = 2  # mode bit: max(0, .) of the result

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(64)


def padded(width: int) -> int:
    """The least multiple of PANEL that is not below `width`."""
    return -(-width // PANEL) * PANEL


def pack(weight: np.ndarray) -> np.ndarray:
    """Weights (K, N), N a multiple of PANEL, panel by panel: (N / PANEL, K, PANEL), contiguous."""
    k, n = weight.shape
    return np.ascontiguousarray(weight.reshape(k, n // PANEL, PANEL).transpose(1, 0, 2))


class _Vectors:
    """Emits loads, stores and arithmetic on vectors of `lanes` floats."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.type = ir.VectorType(_FLOAT, lanes)
        signature = ir.FunctionType(self.type, [self.type] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{lanes}f32")

    def at(self, address: ir.Value, *terms: ir.Value | int) -> ir.Value:
        """Pointer to the float `sum(terms)` elements behind an address."""
        total: ir.Value = ir.Constant(_INDEX, 0)
        for term in terms:
            total = self.builder.add(total, ir.Constant(_INDEX, term) if isinstance(term, int) else term)
        return self.builder.gep(self.builder.inttoptr(address, _FLOAT.as_pointer()), [total])

    def load(self, pointer: ir.Value) -> ir.Value:
        value = self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()))
        value.align = 4
        return value

    def store(self, value: ir.Value, pointer: ir.Value) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer())).align = 4

    def spread(self, pointer: ir.Value) -> ir.Value:
        """The float at a pointer in every lane."""
        undefined = ir.Constant(self.type, ir.Undefined)
        lane = ir.IntType(32)
        single = self.builder.insert_element(undefined, self.builder.load(pointer), ir.Constant(lane, 0))
        return self.builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(lane, self.lanes), None))

    def zero(self) -> ir.Value:
        return ir.Constant(self.type, [0.0] * self.lanes)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.builder.call(self._fma, [a, b, c])

    def relu(self, value: ir.Value) -> ir.Value:
        """max(0, x); NaN stays NaN."""
        negative = self.builder.fcmp_ordered("<", value, self.zero())
        return self.builder.select(negative, self.zero(), value)

    def choose(self, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
        return self.builder.select(condition, yes, no)


def _make_tile(rows: int):
    """Intrinsic that computes `rows` x PANEL outputs; its arguments are those of `product` without the sizes."""

    @intrinsic
    def tile(typing_context, x, x_stride, weight, k, bias, out, out_stride, mode):
        def emit(context, builder, signature, arguments):
            x, x_stride, weight, k, bias, out, out_stride, mode = arguments
            v = _Vectors(builder, LANES)
            columns = [j * LANES for j in range(PANEL // LANES)]

            def bit(which: int) -> ir.Value:
                masked = builder.and_(mode, ir.Constant(_INDEX, which))
                return builder.icmp_signed("!=", masked, ir.Constant(_INDEX, 0))

            row_of = [builder.mul(ir.Constant(_INDEX, r), out_stride) for r in range(rows)]
            sums = [[cgutils.alloca_once(builder, v.type) for _ in columns] for _ in range(rows)]
            for r in range(rows):
                for j, column in enumerate(columns):
                    builder.store(v.load(v.at(bias, column)), sums[r][j])
            with builder.if_then(bit(START_FROM_OUT)):
                for r in range(rows):
                    for j, column in enumerate(columns):
                        before = v.load(v.at(out, row_of[r], column))
                        builder.store(builder.fadd(builder.load(sums[r][j]), before), sums[r][j])
            inputs = [builder.mul(ir.Constant(_INDEX, r), x_stride) for r in range(rows)]
            with cgutils.for_range(builder, k) as loop:
                first = builder.mul(loop.index, ir.Constant(_INDEX, PANEL))
                weights = [v.load(v.at(weight, first, column)) for column in columns]
                for r in range(rows):
                    feature = v.spread(v.at(x, inputs[r], loop.index))
                    for j in range(len(columns)):
                        builder.store(v.fma(feature, weights[j], builder.load(sums[r][j])), sums[r][j])
            relu = bit(RELU)
            for r in range(rows):
                for j, column in enumerate(columns):
                    value = builder.load(sums[r][j])
                    v.store(v.choose(relu, v.relu(value), value), v.at(out, row_of[r], column))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), emit

    return tile


_tile_1, _tile_2, _tile_4, _tile_6 = (_make_tile(rows) for rows in (1, 2, 4, ROWS))


@njit(cache=True, nogil=True)
def product(x, x_stride, rows, weight, k, n, bias, out, out_stride, mode):
    """out = x @ weight + bias for `rows` rows; see START_FROM_OUT and RELU.

    Args:
      x: address of (rows, k), rows `x_stride` apart.    weight: address of what `pack` returned for (k, n).
      n: multiple of PANEL.    bias: address of (n,).    out: address of (rows, n), rows `out_stride` apart.
    """
    for panel in range(n // PANEL):
        w = weight + 4 * panel * PANEL * k
        b = bias + 4 * panel * PANEL
        y = out + 4 * panel * PANEL
        row = 0
        while row + ROWS <= rows:
            _tile_6(x + 4 * row * x_stride, x_stride, w, k, b, y + 4 * row * out_stride, out_stride, mode)
            row += ROWS
        if rows - row >= 4:
            _tile_4(x + 4 * row * x_stride, x_stride, w, k, b, y + 4 * row * out_stride, out_stride, mode)
            row += 4
        if rows - row >= 2:
            _tile_2(x + 4 * row * x_stride, x_stride, w, k, b, y + 4 * row * out_stride, out_stride, mode)
            row += 2
        if rows > row:
            _tile_1(x + 4 * row * x_stride, x_stride, w, k, b, y + 4 * row * out_stride, out_stride, mode)


def _make_similarity(lanes: int):
    """Intrinsic: `lanes` dot products side by side, out[l] = sum_d q[d * stride + l] * k[d * stride + l]."""

    @intrinsic
    def similarity(typing_context, q, k, dim, stride, out):
        def emit(context, builder, signature, arguments):
            q, k, dim, stride, out = arguments
            v = _Vectors(builder, lanes)
            # Two sums, of even and odd features: one would wait for its own last addition most of the time.
            sums = [cgutils.alloca_once_value(builder, v.zero()) for _ in range(2)]

            def add(feature: ir.Value, total: ir.Value) -> None:
                offset = builder.mul(feature, stride)
                step = v.fma(v.load(v.at(q, offset)), v.load(v.at(k, offset)), builder.load(total))
                builder.store(step, total)

            half = builder.lshr(dim, ir.Constant(_INDEX, 1))
            with cgutils.for_range(builder, half) as loop:
                even = builder.shl(loop.index, ir.Constant(_INDEX, 1))
                add(even, sums[0])
                add(builder.add(even, ir.Constant(_INDEX, 1)), sums[1])
            with builder.if_then(builder.trunc(dim, ir.IntType(1))):
                add(builder.sub(dim, ir.Constant(_INDEX, 1)), sums[0])
            v.store(builder.fadd(builder.load(sums[0]), builder.load(sums[1])), v.at(out))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5), emit

    return similarity


def _make_mixture(lanes: int):
    """Intrinsic: out[d * stride + l] = sum_j share[j * stride + l] * value[j * apart + d * stride + l], j < count."""

    @intrinsic
    def mixture(typing_context, share, value, count, apart, dim, stride, out):
        def emit(context, builder, signature, arguments):
            share, value, count, apart, dim, stride, out = arguments
            v = _Vectors(builder, lanes)

            def mix(first: ir.Value, features: int) -> None:
                """Sums for a few features side by side, so that none waits for its own last addition."""
                offsets = [builder.mul(builder.add(first, ir.Constant(_INDEX, f)), stride) for f in range(features)]
                totals = [cgutils.alloca_once(builder, v.type) for _ in offsets]
                for total in totals:
                    builder.store(v.zero(), total)
                with cgutils.for_range(builder, count) as agent:
                    weight = v.load(v.at(share, builder.mul(agent.index, stride)))
                    row = builder.mul(agent.index, apart)
                    for offset, total in zip(offsets, totals, strict=True):
                        seen = v.load(v.at(value, row, offset))
                        builder.store(v.fma(weight, seen, builder.load(total)), total)
                for offset, total in zip(offsets, totals, strict=True):
                    v.store(builder.load(total), v.at(out, offset))

            blocks = builder.udiv(dim, ir.Constant(_INDEX, TOGETHER))
            done = builder.mul(blocks, ir.Constant(_INDEX, TOGETHER))
            with cgutils.for_range(builder, blocks) as block:
                mix(builder.mul(block.index, ir.Constant(_INDEX, TOGETHER)), TOGETHER)
            with cgutils.for_range(builder, builder.sub(dim, done)) as rest:
                mix(builder.add(done, rest.index), 1)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), emit

    return mixture


similarity_1, similarity_2, similarity_4, similarity_8 = (_make_similarity(lanes) for lanes in (1, 2, 4, 8))
mixture_1, mixture_2, mixture_4, mixture_8 = (_make_mixture(lanes) for lanes in (1, 2, 4, 8))
