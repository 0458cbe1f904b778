"""The paper's curves (arXiv 2405.11778, Figs. 3 to 11), taken off its vector figures: of StarCraft II, smoothed.

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
OTHERS = "mazero_paper_others.csv"
FIGURES = {
    "Fig. 3": "mazero_paper_fig3.csv",
    "Fig. 5": "mazero_paper_fig5.csv",
    **dict.fromkeys(("Fig. 6", "Fig. 9", "Fig. 10", "Fig. 11a", "Fig. 11b"), OTHERS),
}
# Where a curve is looked for, in this order: Fig. 3 has ten seeds a curve, Fig. 5 three and one map that Fig. 3 lacks.
USUAL = ("Fig. 3", "Fig. 5")


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
            return PaperCurve(place, *columns)
    return None


def names(figure: str) -> list[str]:
    """What the curves of a figure are called, in its order."""
    return list(dict.fromkeys(_read(figure)["algorithm"]))


@cache
def _read(figure: str) -> pd.DataFrame:
    rows = pd.read_csv(DATA / FIGURES[figure])
    return rows[rows["figure"] == figure]
