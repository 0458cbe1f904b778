"""Game loops of the embedded simulator: tables, random draws, fighting, moving, orders, and the loop itself."""

from pathlib import Path

from skirmish.compiled import forget_stale_kernels

forget_stale_kernels(Path(__file__).parents[1])
