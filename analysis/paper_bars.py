"""What Figs. 7 and 8 of the paper (arXiv 2405.11778) say of its methods over eight maps: of StarCraft II, ten seeds.

`data/README.md` says how they were taken, and of what scores they seem to be.
"""

from __future__ import annotations

from functools import cache

import pandas as pd

from analysis.paper_curves import DATA
from analysis.statistics import UNKNOWN, Estimate

WINNER = "MAZero"  # whose probability of improvement Fig. 8 shows
MAPS = 8
STEPS = (50_000, 1_000_000)  # least and largest budget


def names() -> list[str]:
    """Methods, in the order of the figure."""
    return list(dict.fromkeys(algorithm for _, algorithm in _bars()))


def bar(metric: str, algorithm: str | None) -> Estimate:
    """A bar and its interval; `UNKNOWN` if there is none.

    Args:
      metric: key of `analysis.aggregates.METRICS` (Fig. 7), or `improvement`: the probability that MAZero beats it.
      algorithm: as the paper writes it.
    """
    return _bars().get((metric, algorithm or ""), UNKNOWN)


@cache
def _bars() -> dict[tuple[str, str], Estimate]:
    rows = pd.read_csv(DATA / "mazero_paper_fig7_fig8.csv")
    return {(row.metric, row.algorithm): Estimate(row.value, row.low, row.high) for row in rows.itertuples()}
