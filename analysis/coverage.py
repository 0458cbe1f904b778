"""How often a nominal 95 % interval from few seeds holds the truth: `python -m analysis.coverage --out FILE`.

Thousands of made-up studies whose truth is known, each evaluated and resampled as a real one is: a seed's policy wins
with a probability of its own, and its score is the share of `EPISODES` episodes that it won. Two kinds of spread
between seeds, with the same mean win rate on every map:

- unimodal: probabilities from one Beta distribution around the mean of the map (standard deviation up to 0.15);
- bimodal: a seed has learned the map (around 0.9) or has not (around 0.05), as on maps that are learned suddenly.

The interval is the stratified percentile bootstrap of `analysis.statistics`, whose draws differ from those of rliable
by chance alone (`analysis.two_bootstraps`) and which is fast enough for millions of intervals. The truth of a metric is
its value over infinitely many seeds. Figures and tables quote the outcome (`covers`).
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.statistics import Array
from training.files import write_text

DATA = Path(__file__).parent / "data" / "coverage.csv"
SEEDS, MAPS = tuple(range(2, 11)), (1, 4, 8)
METRICS = {"iqm": statistics.iqm, "mean": statistics.mean}
EPISODES = 32  # of an evaluation: the paper's number and that of the studies
STUDIES = 2000  # made-up ones a cell: a coverage of 0.85 is known to 0.008 (standard error)
REPETITIONS = 2000  # as figures and tables have it (`analysis.aggregates`)
MANY_SEEDS = 400_000  # of a map, for the truth of the interquartile mean
MIDDLE, EASIEST, HARDEST = 0.6, 0.9, 0.3  # mean win rates of a single map, and of the ends of several
CONCENTRATION = 10.0  # a + b of the unimodal Beta distribution
LEARNED, UNLEARNED = (18.0, 2.0), (1.0, 19.0)  # a and b of the two Beta distributions of the bimodal kind
ROUNDING = 1e-9  # means of the same numbers in another order


def unimodal(means: Array, seeds: int, rng: np.random.Generator) -> Array:
    """Probabilities of winning, (seeds, *means.shape)."""
    return rng.beta(CONCENTRATION * means, CONCENTRATION * (1 - means), size=(seeds, *means.shape))


def bimodal(means: Array, seeds: int, rng: np.random.Generator) -> Array:
    """Probabilities of winning, (seeds, *means.shape). The share of seeds that have learned follows from the mean."""
    high, low = LEARNED[0] / sum(LEARNED), UNLEARNED[0] / sum(UNLEARNED)
    learned = rng.random((seeds, *means.shape)) < (means - low) / (high - low)
    return np.where(learned, rng.beta(*LEARNED, size=learned.shape), rng.beta(*UNLEARNED, size=learned.shape))


KINDS = {"unimodal": unimodal, "bimodal": bimodal}


def scores(kind: str, maps: int, seeds: int, rng: np.random.Generator, *, studies: int) -> Array:
    """Win rates of `EPISODES` episodes, (seeds, maps, studies)."""
    chances = KINDS[kind](np.repeat(mean_win_rates(maps)[:, None], studies, axis=1), seeds, rng)
    return rng.binomial(EPISODES, chances) / EPISODES


def mean_win_rates(maps: int) -> Array:
    """What the maps of a made-up study are won with on average, (maps,): easy and hard ones."""
    return np.array([MIDDLE]) if maps == 1 else np.linspace(HARDEST, EASIEST, maps)


def cell(kind: str, maps: int, seeds: int, *, studies: int = STUDIES, repetitions: int = REPETITIONS) -> pd.DataFrame:
    """One row per metric: kind, maps, seeds, metric, truth, coverage, its standard error, mean width of the interval.

    The studies share their draws, as real ones do: resampling is seeded.
    """
    rng = np.random.default_rng([statistics.SEED, list(KINDS).index(kind), maps, seeds])
    many = scores(kind, maps, MANY_SEEDS, np.random.default_rng(statistics.SEED), studies=1)[..., 0]
    truths = {"iqm": float(statistics.iqm(many)), "mean": float(mean_win_rates(maps).mean())}
    made_up = scores(kind, maps, seeds, rng, studies=studies)  # (R, M, studies)
    rows = []
    for metric, statistic in METRICS.items():
        truth = truths[metric]
        curve = statistics.interval_curve(made_up, statistic, repetitions=repetitions)  # a study in place of a mark
        held = float(np.mean((curve.low <= truth + ROUNDING) & (truth <= curve.high + ROUNDING)))
        rows.append(
            {
                "kind": kind,
                "maps": maps,
                "seeds": seeds,
                "metric": metric,
                "truth": truth,
                "coverage": held,
                "standard_error": float(np.sqrt(held * (1 - held) / studies)),
                "width": float((curve.high - curve.low).mean()),
            }
        )
    return pd.DataFrame(rows)


def table() -> pd.DataFrame:
    """All cells: both kinds, `MAPS`, `SEEDS` and `METRICS`."""
    cells = [cell(kind, maps, seeds) for kind in KINDS for maps in MAPS for seeds in SEEDS]
    return pd.concat(cells, ignore_index=True)


@lru_cache(maxsize=1)
def _known() -> pd.DataFrame:
    return pd.read_csv(DATA)


def covers(metric: str, *, seeds: int, maps: int) -> str:
    """What a nominal 95 % interval of `metric` (iqm, mean) covers, e.g. `67 to 80 %`, over both kinds of spread.

    Between `MAPS` the next smaller number counts, and beyond `SEEDS` the largest, which the text then names.

    Returns: the text; empty for a single seed, which has no interval.
    Raises: ValueError for an unknown metric, or without seeds or maps.
    """
    if metric not in METRICS or seeds < 1 or maps < 1:
        raise ValueError(
            f"covers knows {' and '.join(METRICS)} of at least one seed and one map, got {metric!r} of {seeds} seeds"
            f" and {maps} maps: say nothing there, or simulate it"
        )
    if seeds < min(SEEDS):
        return ""
    nearest = {"metric": metric, "seeds": _up_to(seeds, SEEDS), "maps": _up_to(maps, MAPS)}
    known = _known()
    chosen = known[np.logical_and.reduce([known[name] == value for name, value in nearest.items()])]
    low, high = (round(100 * value) for value in (chosen["coverage"].min(), chosen["coverage"].max()))
    share = f"{low} to {high} %" if low < high else f"{low} %"
    return share if seeds in SEEDS else f"{share} (as with {nearest['seeds']})"


def _up_to(number: int, known: tuple[int, ...]) -> int:
    return max(other for other in known if other <= number)


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.coverage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=DATA, help=f"CSV (default: {DATA.name} beside the other data)")
    arguments = parser.parse_args(argv)
    rows = table()
    text = rows.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    sys.stdout.write(f"{write_text(arguments.out, text)}: {len(rows)} cells of {STUDIES:,} studies\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
