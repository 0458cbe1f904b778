"""Checks of what callers hand in, with messages that say what was got, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np

Snapshot = dict[str, np.ndarray]


def require_known(what: str, got: str, known: Iterable[str]) -> None:
    """Raise ValueError with the nearest valid name unless `got` is in `known`."""
    names = list(known)
    if got in names:
        return
    near = difflib.get_close_matches(str(got), names, n=1, cutoff=0.0)
    hint = f": did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown {what} {got!r}, expected one of {', '.join(names)}{hint}")


def restore_arrays(arrays: Snapshot, snapshot: Snapshot) -> None:
    """Copy a snapshot into the arrays of the same names.

    Raises: ValueError if names, shapes or dtypes differ; nothing has changed then.
    """
    if set(arrays) != set(snapshot):
        raise ValueError(
            f"snapshot must hold {sorted(arrays)}, got {sorted(snapshot)}: "
            "restore one made by the same kind of environment"
        )
    for key, array in arrays.items():
        given = snapshot[key]
        if given.shape != array.shape or given.dtype != array.dtype:
            raise ValueError(
                f"snapshot entry {key!r} must be {array.dtype} {array.shape}, got {given.dtype} {given.shape}: "
                "use the same map, options and num_envs"
            )
    for key, array in arrays.items():
        array[...] = snapshot[key]
