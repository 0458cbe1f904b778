"""Which elements dropout drops: 16 random bits an element, drawn in words of 64, because torch's draws cost more.

An element is dropped if its bits lie below round(p * 65536), and what stays is divided by exactly the share that
stays, so that expectations are unchanged.
"""

from __future__ import annotations

import numpy as np
import torch

LEVELS = 65536


class Dropout:
    """Random bits for dropout, from a generator seeded by torch's global one.

    Args:
      share: p in [0, 1), the share of elements that is dropped; nothing is drawn if it is 0.
    """

    def __init__(self, share: float) -> None:
        levels = min(round(share * LEVELS), LEVELS - 1)
        self.threshold = np.uint16(levels)
        self.scale = np.float32(LEVELS / (LEVELS - levels))
        self._generator: np.random.Generator | None = None

    def bits(self, count: int) -> np.ndarray:
        """(count,) uint16, uniform; empty if nothing is dropped."""
        if not self.threshold:
            return np.empty(0, np.uint16)
        if self._generator is None:
            self._generator = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()).item())))
        words = self._generator.integers(0, 2**64 - 1, (count + 3) // 4, dtype=np.uint64, endpoint=True)
        return words.view(np.uint16)[:count]
