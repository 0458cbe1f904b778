"""The paper's curves (arXiv 2405.11778, Figs. 3 and 5), taken off its vector figures: of StarCraft II, smoothed.

`data/README.md` says how they were taken and what is not known about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

DATA = Path(__file__).parent / "data"
# In this order: Fig. 3 has ten seeds a curve, Fig. 5 three and of its maps one that Fig. 3 lacks.
FIGURES = {"Fig. 3": "mazero_paper_fig3.csv", "Fig. 5": "mazero_paper_fig5.csv"}


@dataclass(frozen=True)
class PaperCurve:
    """One curve and its band, (P,) each: environment steps and win rates."""

    figure: str
    steps: NDArray[np.float64]
    win_rate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, steps: ArrayLike) -> NDArray[np.float64]:
        """Win rates after `steps` environment steps, between points linear, NaN beyond the last."""
        steps = np.asarray(steps, dtype=np.float64)
        inside = steps <= self.steps[-1] + 1  # points lie a step or two beside round numbers
        return np.where(inside, np.interp(steps, self.steps, self.win_rate), np.nan)


def paper_curve(map_name: str, algorithm: str = "MAZero") -> PaperCurve | None:
    """The curve of `algorithm`, as the paper writes it, on a map; the first figure that has one; None if none has."""
    for figure in FIGURES:
        rows = _read(figure)
        rows = rows[(rows["map"] == map_name) & (rows["algorithm"] == algorithm)].sort_values("x")
        if len(rows):
            columns = (rows[name].to_numpy(np.float64) for name in ("x", "win_rate", "band_low", "band_high"))
            return PaperCurve(figure, *columns)
    return None


@cache
def _read(figure: str) -> pd.DataFrame:
    return pd.read_csv(DATA / FIGURES[figure])
