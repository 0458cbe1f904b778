"""All groups of a study taken together, over the bars of Figs. 7 and 8 of the paper.

Scores are win rates of last evaluations; beside them those of best policies played again, the absolute metric. The
paper's axis reads "normalized absolute return", but the means of its Fig. 7 are, to within 0.04, those of the last win
rates of its Fig. 3. A matrix of scores is (R, M), seeds x maps of all groups; algorithms and seeds that not all groups
have are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import aggregates, paper_bars, style
from analysis.collect import score_array, study_made_by
from analysis.figure_parts import BAR, DIAMOND, ROW, algorithm_rows, bar, interval_note
from analysis.formats import latex, markdown
from analysis.statistics import UNKNOWN, Array, Estimate
from analysis.study import Study
from training.files import write_text

NAME = "all_maps"  # of the files
TITLE = "All maps together (Figs. 7 and 8 of the paper)"
CAPTION = (
    "Median, interquartile mean, mean and optimality gap of last win rates over runs and maps of all groups, and the "
    "probability that a run of the first algorithm beats one of another; diamond: absolute, best policies played "
    "again; grey: the paper, on StarCraft II after its own budgets."
)
PANELS = {
    "median": "Median",
    "iqm": "IQM",
    "mean": "Mean",
    "optimality_gap": "Optimality gap",
    "improvement": "P({} > other)",
}
LAST, AGAIN = "win_rate", "absolute_win_rate"
OURS, THEIRS = -0.15, 0.29  # rows, from the middle of a row down
PAPER = "0.45"  # grey


def table(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row per metric (keys of `PANELS`) and algorithm: last, absolute and published, each with its interval.

    `improvement` is of the first algorithm against the one named. Columns are NaN where there is nothing: absolute
    scores in tables older than these, published ones of methods that the paper does not show.
    Args: frame: as `analysis.collect` returns it.    Raises: ValueError if the groups share no algorithm or no seed.
    """
    keys, seeds = study.shared("algorithms"), study.shared("seeds")
    if not keys or not seeds:
        raise ValueError(f"study {study.name}: its groups share no algorithm or no seed: nothing to take together")
    ours = {column: _estimates(frame, study, column) for column in (LAST, AGAIN)}
    rows = []
    for metric in PANELS:
        for key in keys:
            if metric == "improvement" and key == keys[0]:
                continue
            place = study.algorithms[key].in_paper
            row: dict[str, Any] = {"metric": metric, "algorithm": key, "label": study.algorithms[key].label}
            row |= {"maps": sum(len(group.maps) for group in study.groups.values()), "seeds": len(seeds)}
            values = {"last": ours[LAST][metric, key], "absolute": ours[AGAIN][metric, key]}
            values["published"] = paper_bars.bar(metric, place.curve if place else None)
            for name, estimate in values.items():
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
            rows.append(row)
    return pd.DataFrame(rows)


def draw(rows: pd.DataFrame, study: Study, *, made_by: str) -> Figure:
    """One panel a metric, one row an algorithm: ours above in its colour, the paper's below in grey.

    Args: rows: of `table`.    made_by: as of `analysis.collect.study_made_by`.
    """
    keys, looks = study.shared("algorithms"), style.looks(study)
    first = looks[keys[0]].label
    with style.paper_style():
        height = 1.3 * ROW * len(keys) + 0.55
        figure, panels = style.panels(len(PANELS), height=height, most_columns=len(PANELS), header=style.TALL_HEADER)
        for axes, (metric, title) in zip(panels, PANELS.items(), strict=True):
            own = rows[rows["metric"] == metric].set_index("algorithm")
            for row, key in enumerate(keys):
                if key in own.index:
                    _draw_row(axes, row, own.loc[key], looks[key])
            axes.set(title=title.format(first), xlim=(-0.04, 1.04), xticks=[0, 0.5, 1])
            algorithm_rows(axes, looks, keys)
        panels[-1].axvline(0.5, color="0.35", linewidth=0.8, linestyle=":", zorder=0)
        maps, seeds = int(rows["maps"].iloc[0]), int(rows["seeds"].iloc[0])
        budgets = [group.env_steps for group in study.groups.values()]
        parts = dict.fromkeys(f" · partial: {group.part}" for group in study.groups.values() if group.part)
        style.header(
            figure,
            f"{study.name}: {maps} map{'s' * (maps > 1)} together",
            f"ours: backend {made_by}{''.join(parts)}",
            f"{seeds} seed{'s' * (seeds > 1)} a map, win rates after {_steps(budgets)} steps; {BAR}, diamond: absolute",
            f"grey: the paper, StarCraft II, {paper_bars.MAPS} maps after {_steps(paper_bars.STEPS)} steps, ten seeds",
            interval_note("iqm", [seeds], maps=maps),
        )
        sns.despine(figure)
    return figure


def write_all(frame: pd.DataFrame, study: Study, root: Path) -> list[Path]:
    """Write tables/all_maps.{csv,md,tex} and figures/all_maps.{png,pdf,svg}. Raises: as `table`."""
    rows = table(frame, study)
    (root / "tables").mkdir(parents=True, exist_ok=True)
    texts = {".csv": rows.to_csv(index=False), ".md": markdown(rows), ".tex": latex(rows)}
    written = [write_text(root / "tables" / f"{NAME}{suffix}", text) for suffix, text in texts.items()]
    figure = draw(rows, study, made_by=study_made_by(frame, study))
    return [*written, *style.save(figure, root / "figures" / NAME, suffixes=style.ALL)]


def scores(frame: pd.DataFrame, study: Study, key: str, column: str) -> Array:
    """Scores of an algorithm at the end of the budget, (R, M): seeds that all groups have x maps of all groups."""
    parts = []
    for group in study.groups.values():
        index = [group.seeds.index(seed) for seed in study.shared("seeds")]
        parts.append(score_array(frame, study, group, algorithm=key, column=column)[index, :, -1])
    return np.concatenate(parts, axis=1)


def _estimates(frame: pd.DataFrame, study: Study, column: str) -> dict[tuple[str, str], Estimate]:
    """(metric, algorithm) -> estimate."""
    matrices = {key: scores(frame, study, key, column) for key in study.shared("algorithms")}
    reference = next(iter(matrices.values()))
    found: dict[tuple[str, str], Estimate] = {}
    for key, matrix in matrices.items():
        known = np.isfinite(matrix).all()
        alone = aggregates.aggregates(matrix) if known else dict.fromkeys(aggregates.METRICS, UNKNOWN)
        found |= {(metric, key): estimate for metric, estimate in alone.items()}
        both = known and np.isfinite(reference).all()
        found["improvement", key] = aggregates.improvement(reference, matrix) if both else UNKNOWN
    return found


def _draw_row(axes: Axes, row: int, numbers: pd.Series, look: style.Look) -> None:
    ours, theirs = (
        Estimate(*(float(numbers[f"{name}{part}"]) for part in ("", "_low", "_high"))) for name in ("last", "published")
    )
    bar(axes, row + OURS, ours, look)
    axes.plot([numbers["absolute"]], [row + OURS], "D", color=look.colour, **DIAMOND, label="_absolute")
    if np.isfinite(theirs.value):
        grey: dict[str, Any] = {"color": PAPER, "label": "_the paper"}
        axes.plot([theirs.low, theirs.high], [row + THEIRS] * 2, linewidth=3, alpha=0.45, solid_capstyle="butt", **grey)
        axes.plot([theirs.value], [row + THEIRS], "|", markersize=6, markeredgewidth=1.5, **grey)


def _steps(budgets: Any) -> str:
    """(50000, 1000000) -> "50k to 1000k"."""
    return " to ".join(dict.fromkeys(style.thousands(budget) for budget in (min(budgets), max(budgets))))
