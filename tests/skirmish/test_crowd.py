"""Who is near whom: vector instructions against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

import skirmish
from skirmish.compiled import njit
from skirmish.physics import crowd, lanes, tables
from skirmish.policies import random_actions


@njit
def masks(xs, ys, sizes, at, x, y, reach, x0, y0):
    near = lanes.near_mask(xs, ys, sizes, at, x, y, reach)
    return near, lanes.nearer_mask(xs, ys, sizes, at, x, y, reach, x0, y0)


@njit
def lowest(mask):
    return lanes.lowest_bit(mask)


@njit
def pairs(f, s, k, choices):
    room = crowd.new_crowd(f.shape[1], choices)
    count = crowd._find_pairs(f, s, k, choices, room)
    return room.lower[:count], room.higher[:count], room.sizes[:count]


@pytest.mark.parametrize("at", [0, 3, 8])
def test_masks_are_what_plain_arithmetic_says(at):
    rng = np.random.default_rng(at)
    seen = np.zeros(lanes.LANES, int)
    for _ in range(300):
        xs, ys, sizes = (scale * rng.random(at + lanes.LANES, np.float32) for scale in (4, 4, 1))
        x, y, reach, x0, y0 = np.float32(3) * rng.random(5, np.float32)
        near, nearer = masks(xs, ys, sizes, at, x, y, reach / 4, x0, y0)
        gap = (xs[at:] - x) ** 2 + (ys[at:] - y) ** 2
        inside = gap < (sizes[at:] + reach / 4) ** 2
        closer = inside & (gap < (xs[at:] - x0) ** 2 + (ys[at:] - y0) ** 2)
        for mask, truth in ((near, inside), (nearer, closer)):
            assert [mask >> q & 1 for q in range(64)] == [*truth.astype(int), *[0] * (64 - lanes.LANES)]
        assert near == lanes._near_mask_of_python(xs, ys, sizes, at, x, y, reach / 4)
        assert nearer == lanes._nearer_mask_of_python(xs, ys, sizes, at, x, y, reach / 4, x0, y0)
        seen += inside
    assert (seen > 30).all()
    assert (seen < 270).all()


@pytest.mark.parametrize("bit", [0, 1, 7, 31, 63])
def test_lowest_bit(bit):
    mask = np.uint64(1) << np.uint64(bit) | np.uint64(1) << np.uint64(63)
    assert lowest(mask) == lanes._lowest_bit_of_python(mask) == bit


@pytest.mark.parametrize("name", ["3m", "27m_vs_30m", "2c_vs_64zg", "MMM2"])
def test_all_pairs_are_found_and_no_others(name):
    """In random battles, the dead left out; air and ground do not touch."""
    env, rng, found = skirmish.make(name, num_envs=4), np.random.default_rng(1), 0
    env.reset(2)
    for _ in range(25):
        env.step(random_actions(env.available_actions, rng))
        for f, s in zip(env.units, env.marks, strict=True):
            lower, higher, sizes = pairs(f, s, env._facts, env._choices)
            touch = f[tables.SEPARATION][:, None] + f[tables.SEPARATION]
            gaps = np.hypot(*(f[row][:, None] - f[row] for row in (tables.X, tables.Y))) - touch
            alive, layers = s[tables.ALIVE] != 0, s[tables.LAYERS]
            wanted = np.triu(gaps < env.rules.push_margin, 1) & (layers[:, None] & layers != 0)
            wanted &= alive[:, None] & alive
            assert list(zip(lower, higher, strict=True)) == list(zip(*np.nonzero(wanted), strict=True))
            assert sizes.tolist() == touch[lower, higher].tolist()
            found += len(lower)
        env.reset_done()
    assert found > 0
