"""The figure and the table of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import stats

from analysis.style import header, panels, paper_style, save
from envs.compare.difference import CONFIDENCE, LEVEL, REPETITIONS, Difference
from envs.compare.sides import Comparison, Side

COLOURS = ("#333333", "#c44e00", "#0173b2", "#029e73", "#cc78bc")
TITLES = {
    "won": "Win rate",
    "return": "Return",
    "length": "Length (steps)",
    "first_contact": "First contact (step)",
    "damage_per_attack": "Agents' damage per attack",
    "loss_per_hit_enemies": "Enemies' loss per hit",
    "loss_per_hit_agents": "Agents' loss per hit",
    "left_agents": "Agents' health left",
    "left_enemies": "Enemies' health left",
}
PANELS = ("won", "return", "length", "first_contact", "damage_per_attack", "loss_per_hit_agents")
STEPS = ("length", "first_contact")  # counted in whole ones
CURVE_TITLES = {"agents": "Agents' health left", "enemies": "Enemies' health left"}
HEIGHT = 1.75  # inches of a panel


def draw(comparison: Comparison, stem: Path, *, policy: str) -> tuple[Path, ...]:
    """Write STEM.png and STEM.pdf. Args: policy: for people."""
    with paper_style():
        figure, axes = panels(8, height=HEIGHT, legend_rows=1, share_y=False)
        tested = {d.measure: d for d in comparison.tests[0]} if comparison.tests else {}
        for ax, measure in zip(axes, PANELS, strict=False):
            ax.set_title(_title(TITLES[measure], tested.get(measure)))
            if measure == "won":
                _win_rates(ax, comparison.sides)
            else:
                _distributions(ax, comparison.sides, measure)
        for ax, side in zip(axes[len(PANELS) :], CURVE_TITLES, strict=True):
            ax.set_title(_title(CURVE_TITLES[side], tested.get(f"health_{side}")))
            _curves(ax, comparison, side)
        handles = axes[1].get_lines()
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        header(
            figure,
            f"{comparison.map}, {policy}",
            f"bands and bars: 95 % intervals; * differs at {LEVEL:g}, all tests counted (Holm)",
            "distributions: share of episodes with at most that value; health with shields",
        )
        return save(figure, stem)


def table(comparison: Comparison, *, policy: str) -> str:
    """The comparison in Markdown."""
    first = comparison.sides[0]
    lines = [f"# {comparison.map}, {policy}", ""]
    for side in comparison.sides:
        lost = f", {side.facts['discarded']} lost with their game" if side.facts["discarded"] else ""
        lines.append(f"- {side.label}: {side.facts['episodes']} episodes{lost}")
    for side, tests in zip(comparison.sides[1:], comparison.tests, strict=True):
        lines += ["", f"## {side.label} against {first.label}", ""]
        lines.append("| measure | first | second | difference [95 %] | test | p | p, all tests counted | |")
        lines.append("|---|---|---|---|---|---|---|---|")
        lines += [_row(d) for d in tests]
    if not comparison.tests:
        lines += ["", "| measure | mean | episodes |", "|---|---|---|"]
        for name, values in first.measured.values.items():
            known = values[~np.isnan(values)]
            mean = f"{known.mean():.3g}" if len(known) else ""
            lines.append(f"| {TITLES[name]} | {mean} | {len(known)} |")
    else:
        draws = f"intervals by {REPETITIONS:,} bootstrap draws, of win rates by Newcombe"
        lines += ["", f"Means; {draws}. `health_...`: where the mean curves are farthest apart."]
    return "\n".join(lines) + "\n"


def _row(d: Difference) -> str:
    name, difference = TITLES.get(d.measure, d.measure), f"{d.second - d.first:+.3g} [{d.low:+.3g}, {d.high:+.3g}]"
    cells = [name, f"{d.first:.3g}", f"{d.second:.3g}", difference, d.test, f"{d.p:.2g}", f"{d.p_holm:.2g}"]
    return f"| {' | '.join(cells)} | {'**differs**' if d.differs else ''} |"


def _title(text: str, tested: Difference | None) -> str:
    return f"{text} *" if tested is not None and tested.differs else text


def _win_rates(ax: Axes, sides: Sequence[Side]) -> None:
    for position, side in enumerate(sides):
        won = side.measured.values["won"]
        bounds = stats.binomtest(int(won.sum()), len(won)).proportion_ci(CONFIDENCE, method="wilson")
        rate, colour = won.mean(), COLOURS[position % len(COLOURS)]
        ax.plot([position, position], [bounds.low, bounds.high], color=colour, linewidth=1.5)
        ax.plot(position, rate, "o", color=colour, markersize=5)
    ax.set(xlim=(-0.6, len(sides) - 0.4), ylim=(-0.03, 1.03), xticks=[])


def _distributions(ax: Axes, sides: Sequence[Side], measure: str) -> None:
    for position, side in enumerate(sides):
        values = side.measured.values[measure]
        values = np.sort(values[~np.isnan(values)])
        style: dict[str, Any] = {"color": COLOURS[position % len(COLOURS)], "linewidth": 1.3, "label": side.label}
        if len(values):
            heights = np.arange(len(values) + 1) / len(values)
            ax.step(np.concatenate([values[:1], values]), heights, where="post", **style)
        else:
            ax.plot([], [], **style)
    ax.set_ylim(-0.03, 1.03)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=measure in STEPS))


def _curves(ax: Axes, comparison: Comparison, of: str) -> None:
    for position, side in enumerate(comparison.sides):
        rows, colour = side.measured.curves[of], COLOURS[position % len(COLOURS)]
        mean = rows.mean(0)
        error = stats.norm.ppf(0.5 + CONFIDENCE / 2) * rows.std(0, ddof=min(1, len(rows) - 1)) / np.sqrt(len(rows))
        ax.fill_between(comparison.marks, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
        ax.plot(comparison.marks, mean, color=colour, linewidth=1.3)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("environment steps")
    ax.xaxis.set_major_locator(MaxNLocator(4))
