"""Eight distances at once: lists of units whose places lie together, and which of them are near a point.

Single precision is enough to tell who is near. Some instructions are added that numba does not write by itself: plain
vector code of LLVM, which every processor runs. Without compilation (NUMBA_DISABLE_JIT=1) Python does the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from skirmish.compiled import njit

LANES = 8
NO_BITS, ONE_BIT = np.uint64(0), np.uint64(1)


class Group(NamedTuple):
    """Room for up to M units."""

    xs: np.ndarray  # (M + LANES,) float32
    ys: np.ndarray
    sizes: np.ndarray
    units: np.ndarray  # (M,) int64


@njit(cache=True)
def new_group(most):
    """Room for at most so many units."""
    places = np.zeros((3, most + LANES), np.float32)
    return Group(places[0], places[1], places[2], np.zeros(most, np.int64))


@njit(cache=True, inline="always")
def enlist(group, count, member, unit, x, y, size):
    """Write a unit into the next free place, and keep it there if it is a member: nothing to foretell, no branch.

    Returns: how many members there are with it.
    """
    group.xs[count], group.ys[count], group.sizes[count] = x, y, size
    group.units[count] = unit
    return count + np.int64(member)


@njit(cache=True, inline="always")
def seal(group, count):
    """After the last member: what the lanes behind it hold is near nobody."""
    for at in range(LANES):
        group.xs[count + at] = np.inf


@njit(cache=True, inline="always")
def close(group, at, x, y, reach):
    """Bits of those of a sealed group's units, LANES from `at` on, within `reach` plus their size of (x, y)."""
    return near_mask(group.xs, group.ys, group.sizes, at, np.float32(x), np.float32(y), np.float32(reach))


@njit(cache=True, inline="always")
def closer(group, at, x, y, x0, y0, reach):
    """The same; only those count that are nearer to (x, y) than to (x0, y0)."""
    x, y, reach = np.float32(x), np.float32(y), np.float32(reach)
    return nearer_mask(group.xs, group.ys, group.sizes, at, x, y, reach, np.float32(x0), np.float32(y0))


def _near_mask(_, xs, ys, sizes, at, x, y, reach):
    """Bit q says whether point at + q is within `reach + sizes[at + q]` of (x, y); q from 0 to LANES - 1.

    Args: xs, ys, sizes: contiguous float32, LANES values from `at` on; x, y, reach: float32. Returns: uint64.
    """

    def generate(context, builder, signature, arguments):
        lanes = _Lanes(context, builder, signature, arguments)
        return lanes.bits(lanes.near())

    return types.uint64(xs, ys, sizes, types.int64, *[types.float32] * 3), generate


def _nearer_mask(_, xs, ys, sizes, at, x, y, reach, x0, y0):
    """The same for points that are also nearer to (x, y) than to (x0, y0)."""

    def generate(context, builder, signature, arguments):
        lanes = _Lanes(context, builder, signature, arguments)
        nearer = builder.fcmp_ordered("<", lanes.gap(4, 5), lanes.gap(7, 8))
        return lanes.bits(builder.and_(lanes.near(), nearer))

    return types.uint64(xs, ys, sizes, types.int64, *[types.float32] * 5), generate


class _Lanes:
    """Writes LLVM's code for the arguments of the masks above, named by their numbers."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.kinds, self.arguments = context, builder, signature.args, arguments
        self.type = ir.VectorType(ir.FloatType(), LANES)

    def loaded(self, k: int) -> Any:
        """LANES values of array k from `at` on."""
        array = self.context.make_array(self.kinds[k])(self.context, self.builder, self.arguments[k])
        place = self.builder.gep(array.data, [self.arguments[3]])
        return self.builder.load(self.builder.bitcast(place, self.type.as_pointer()), align=4)

    def spread(self, k: int) -> Any:
        """Number k in every lane."""
        undefined = ir.Constant(self.type, ir.Undefined)
        one = self.builder.insert_element(undefined, self.arguments[k], ir.Constant(ir.IntType(32), 0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, undefined, everywhere)

    def gap(self, x: int, y: int) -> Any:
        """Squared distances of the points from that of numbers x and y."""
        dx = self.builder.fsub(self.loaded(0), self.spread(x))
        dy = self.builder.fsub(self.loaded(1), self.spread(y))
        return self.builder.fadd(self.builder.fmul(dx, dx), self.builder.fmul(dy, dy))

    def near(self) -> Any:
        limit = self.builder.fadd(self.loaded(2), self.spread(6))
        return self.builder.fcmp_ordered("<", self.gap(4, 5), self.builder.fmul(limit, limit))

    def bits(self, truths: Any) -> Any:
        return self.builder.zext(self.builder.bitcast(truths, ir.IntType(LANES)), ir.IntType(64))


def _lowest_bit(_, mask):
    """Number of the lowest bit that is set in a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


def _near_mask_of_python(xs, ys, sizes, at, x, y, reach):
    lanes = slice(at, at + LANES)
    gap, limit = (xs[lanes] - x) ** 2 + (ys[lanes] - y) ** 2, sizes[lanes] + reach
    return _packed(gap < limit * limit)


def _nearer_mask_of_python(xs, ys, sizes, at, x, y, reach, x0, y0):
    lanes = slice(at, at + LANES)
    gap, before = (xs[lanes] - x) ** 2 + (ys[lanes] - y) ** 2, (xs[lanes] - x0) ** 2 + (ys[lanes] - y0) ** 2
    return _near_mask_of_python(xs, ys, sizes, at, x, y, reach) & _packed(gap < before)


def _packed(truths):
    return np.uint64(np.packbits(truths, bitorder="little")[0])


def _lowest_bit_of_python(mask):
    return int(mask & (~mask + ONE_BIT)).bit_length() - 1


_config: Any = numba.config
near_mask: Any = _near_mask_of_python if _config.DISABLE_JIT else intrinsic(_near_mask)
nearer_mask: Any = _nearer_mask_of_python if _config.DISABLE_JIT else intrinsic(_nearer_mask)
lowest_bit: Any = _lowest_bit_of_python if _config.DISABLE_JIT else intrinsic(_lowest_bit)
