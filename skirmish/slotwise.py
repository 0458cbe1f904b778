"""Kernels that run over many battles: on numba's threads where these pay, otherwise without starting any.

One battle then costs nothing for threads, and a process that plays few can fork. Both forms run the same compiled
loop over a range of slots, so results are the same bit for bit.
"""

from __future__ import annotations

import inspect
import os
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skirmish.compiled import njit, prange
from skirmish.progress import announcer

# Two threads and one take the same time for about so many units in all battles together, as measured on two cores with
# 3m (16 battles of 6 units: 0.88 times the speed, 64: 1.18), 2s3z (16 of 10: 0.85, 64: 1.16) and MMM2 (4 of 22: 0.97,
# 16: 1.26).
ENOUGH_UNITS = 256
ONE = np.uint64(1)  # of another type it would make the sum below a float


class SlotKernel:
    """A kernel over battles: the decorator of functions whose arguments end in `first, last`, their range of slots.

    The first argument is an array (B, ..., units). Callers leave `first` and `last` out.
    """

    def __init__(self, function: Any) -> None:
        """Nothing is compiled before the first call, and only what is called."""
        self.__doc__, self.__name__ = function.__doc__, function.__name__
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            self.serial = self.parallel = function
            return
        name = f"{function.__module__}.{function.__name__}"
        body = njit(cache=True, forceinline=True)(function)
        self.serial = njit(cache=True)(_copy(_lend, f"{name}_serial", body=body))
        self.parallel = njit(cache=True, parallel=True)(_copy(_sharer(function), f"{name}_parallel", form=self.serial))
        for form in (self.serial, self.parallel):
            announcer.watch(form)

    def __call__(self, *arguments: Any) -> None:
        """Run for all slots."""
        battles = len(arguments[0])
        threads = threads_for(battles, arguments[0].shape[-1])
        if threads > 1:
            self.parallel(np.uint64(battles), np.uint64(threads), *arguments)
        else:
            self.serial(*arguments, np.uint64(0), np.uint64(battles))


def threads_for(battles: int, units: int) -> int:
    """How many of numba's threads so many battles of so many units each run on, here and now."""
    config: Any = numba.config
    few = battles == 1 or battles * units < ENOUGH_UNITS
    if few or _forked or config.NUMBA_NUM_THREADS == 1 or config.DISABLE_JIT:
        return 1
    return min(battles, numba.get_num_threads())  # this starts them


def _lend(*arguments):
    body(*lent(arguments))  # type: ignore[name-defined]  # noqa: F821


def _sharer(function: Any) -> Any:
    """A function that gives every thread one range of slots; `form` in it is the serial form of `function`."""
    # Made of text, because numba's threads take no tuple of tuples, as which `*arguments` would arrive.
    taken = ", ".join(list(inspect.signature(function).parameters)[:-2])
    text = f"""
def share(battles, threads, {taken}):
    for part in prange(threads):
        form({taken}, battles * part // threads, battles * (part + ONE) // threads)
"""
    names: dict[str, Any] = {}
    exec(compile(text, __file__, "exec"), names)
    return names["share"]


def _copy(template: Any, name: str, **names: Any) -> FunctionType:
    """The function of `template` for one kernel; numba files kernels by their names, so each needs its own."""
    # Not a closure: its cells would be part of numba's key of the kernel and differ from process to process.
    known = {"__name__": __name__, "lent": lent, "prange": prange, "ONE": ONE, **names}
    function = FunctionType(template.__code__, known, name)
    function.__qualname__ = name
    return function


def _lent(_, value):
    """The same value, its arrays without an owner, so that nobody counts references to them.

    Each count is an atomic operation, and views of arrays that are handed from function to function are many: counting
    takes two thirds of a step on 3m. Safe as long as the caller holds the arrays.
    """

    def generate(context, builder, signature, arguments):
        return _disowned(context, builder, signature.return_type, arguments[0])

    return value(value), generate


# Without compilation there is nothing to count.
lent: Any = (lambda value: value) if numba.config.DISABLE_JIT else intrinsic(_lent)  # type: ignore[attr-defined]


@njit(cache=True)
def kept(value):
    """Called after the last use of what was lent inside a kernel: until then its owner holds it."""


def _disowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """LLVM's code of `lent`."""
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        kinds: Any = kind  # to mypy numba's tuples have no items
        items = zip(kinds, cgutils.unpack_tuple(builder, value, len(kinds)), strict=True)
        return context.make_tuple(builder, kind, [_disowned(context, builder, *item) for item in items])
    return value


_forked = False


def _note_fork() -> None:
    """Threads of GNU OpenMP do not survive a fork, and numba ends a child that calls for them: it plays on one."""
    global _forked
    try:
        _forked = numba.threading_layer() == "omp"
    except ValueError:  # no threads were started: the child may start its own
        pass


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
