"""Random numbers of the battles: Philox 4x32-10 counters.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011. The key is the seed, the counter (draw, episode,
slot): a stream is saved by saving its counters, and slots never share numbers.
"""

from __future__ import annotations

import numpy as np

from skirmish.compiled import njit
from skirmish.physics.tables import DRAWS, EPISODE

_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32, _SHIFT5, _SHIFT6 = np.uint64(32), np.uint64(5), np.uint64(6)
_MUL0, _MUL1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL0, _WEYL1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@njit(cache=True)
def philox(c0, c1, c2, k0, k1):
    """First two 32-bit words (as uint64) of Philox 4x32-10 for counter (c0, c1, c2, 0) and key (k0, k1), all uint64."""
    c3 = np.uint64(0)
    for _ in range(10):
        p0 = c0 * _MUL0
        p1 = c2 * _MUL1
        c0, c1, c2, c3 = (p1 >> _SHIFT32) ^ c1 ^ k0, p1 & _MASK32, (p0 >> _SHIFT32) ^ c3 ^ k1, p0 & _MASK32
        k0 = (k0 + _WEYL0) & _MASK32
        k1 = (k1 + _WEYL1) & _MASK32
    return c0, c1


@njit(cache=True)
def uniform(clock, b, key, low, high):
    """Next uniform number of slot b's current episode."""
    r0, r1 = philox(
        np.uint64(clock[DRAWS]) & _MASK32, np.uint64(clock[EPISODE]) & _MASK32, np.uint64(b) & _MASK32, key[0], key[1]
    )
    clock[DRAWS] += 1
    unit = (float(r0 >> _SHIFT5) * 67108864.0 + float(r1 >> _SHIFT6)) / 9007199254740992.0  # 53 bits
    return low + (high - low) * unit
