"""States of learners, compared as plain values."""

from __future__ import annotations

import numpy as np

from training.rows import Growing


def plain(value):
    """A state with its tables read."""
    if isinstance(value, Growing):
        return (value.first, value.end, plain(value.read(value.first)))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return np.asarray(value).copy()


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return np.array_equal(a, b)
