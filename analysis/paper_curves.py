"""The paper's curves (arXiv 2405.11778, Figs. 3 to 6, 9 to 11), taken off its vector figures: StarCraft II, smoothed.

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
STEPS, HOURS = "env_steps", "hours"
OTHERS = "mazero_paper_others.csv"
FIGURES = {
    "Fig. 3": "mazero_paper_fig3.csv",
    "Fig. 5": "mazero_paper_fig5.csv",
    **dict.fromkeys(("Fig. 4", "Fig. 6", "Fig. 9", "Fig. 10", "Fig. 11a", "Fig. 11b"), OTHERS),
}
# Where a curve is looked for, in this order: Fig. 3 has ten seeds a curve, Fig. 5 three and one map that Fig. 3 lacks.
USUAL = ("Fig. 3", "Fig. 5")


@dataclass(frozen=True)
class PaperCurve:
    """One curve and its band, (P,) each: environment steps, or hours of the authors' machines, and win rates."""

    figure: str
    unit: str  # of x: `STEPS` or `HOURS`
    x: NDArray[np.float64]
    win_rate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, x: ArrayLike) -> NDArray[np.float64]:
        """Win rates after so many environment steps, or hours, between points linear, NaN beyond the last."""
        x = np.asarray(x, dtype=np.float64)
        inside = x <= self.x[-1] + (self.unit == STEPS)  # points lie a step or two beside round numbers
        return np.where(inside, np.interp(x, self.x, self.win_rate), np.nan)


def paper_curve(map_name: str, algorithm: str = "MAZero", *, figure: str | None = None) -> PaperCurve | None:
    """The curve of `algorithm`, as the paper writes it, on a map.

    Args: figure: where it is looked for; the usual ones, in their order, if left out.
    Returns: None if there is none.
    """
    for place in USUAL if figure is None else (figure,):
        rows = _read(place)
        rows = rows[(rows["map"] == map_name) & (rows["algorithm"] == algorithm)].sort_values("x")
        if len(rows):
            columns = (rows[name].to_numpy(np.float64) for name in ("x", "win_rate", "band_low", "band_high"))
            return PaperCurve(place, str(rows["x_unit"].iloc[0]), *columns)
    return None


def names(figure: str) -> list[str]:
    """What the curves of a figure are called, in its order."""
    return list(dict.fromkeys(_read(figure)["algorithm"]))


@cache
def _read(figure: str) -> pd.DataFrame:
    rows = pd.read_csv(DATA / FIGURES.get(figure, OTHERS))  # Figs. 7 and 8 are no curves: no row of any file
    return rows[rows["figure"] == figure]
