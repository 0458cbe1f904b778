"""The figure of a diagnosis: `python -m analysis.diagnosis diagnosis.json` draws it anew beside its table.

Reads what `python -m mazero diagnose` wrote: curves of the run above, below them what fresh episodes of its policy say
about every part of the method. Points are measures over all episodes, bands and bars 95 % bootstrap intervals over
episodes; the table holds every number and its definition.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis import style

Table = dict[str, Any]
Panel = Callable[[Axes, Table], None]
PALETTE = sns.color_palette("colorblind")
SETS = {"self_play": ("self-play", PALETTE[0], "o"), "greedy": ("greedy, search", PALETTE[1], "s")}
BARE = ("greedy, no search", PALETTE[7], "^")
BESIDE: dict[str, Any] = {"color": "0.35", "linewidth": 0.9, "linestyle": ":"}  # what a measure is held against
PANEL_HEIGHT = 1.75  # inches
COLUMNS = 3
BAND_ALPHA = 0.15


class Line(NamedTuple):
    """A curve of the run's metrics."""

    kind: str  # of the records
    field: str
    colour: Any
    dashes: Any = "-"
    label: str = ""  # empty: its colour is in the legend of the figure
    shift: float = 0.0  # added to the values


def draw(table: Table) -> Figure:
    """All panels of one diagnosis. Raises: KeyError if it is not a table of `mazero diagnose`."""
    with style.paper_style():
        figure, axes = style.panels(
            len(PANELS), height=PANEL_HEIGHT, legend_rows=1, most_columns=COLUMNS, share_y=False
        )
        for panel, at in zip(PANELS, axes, strict=True):
            panel(at, table)
        _headline(figure, table)
        handles = [axes[0].plot([], [], marker=marker, color=colour, label=label, markersize=4)[0]
                   for label, colour, marker in (*SETS.values(), BARE)]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        sns.despine(figure)
    return figure


def draw_file(path: Path) -> tuple[Path, ...]:
    """Draw a table file. Returns: the PNG and the PDF, written beside it under its name."""
    return style.save(draw(json.loads(path.read_text(encoding="utf-8"))), path.with_suffix(""))


def _headline(figure: Figure, table: Table) -> None:
    """Title, and what every figure must say: what made it, which policy, how many episodes, what bands mean."""
    units = f", unit data {table['unit_data']}" if table["unit_data"] else ""
    commit = table["provenance"]["git_commit"]
    style.header(
        figure,
        f"Diagnosis of {table['algorithm']} on {table['map']}, seed {table['seed']}",
        f"backend {table['backend']}{units}" + (f" · commit {commit[:10]}" if commit else ""),
        f"{table['policy']} policy after {table['env_steps']} of {table['budget']} environment steps · "
        f"{table['episodes']} episodes a set, seed {table['episode_seed']} · N = {table['num_simulations']}, "
        f"K = {table['num_sampled_actions']}, U = {table['unroll_steps']}",
        "band and bar: 95 % bootstrap interval over episodes · dotted: what a measure is held against (titles)",
    )


def _rows(table: Table, name: str, measure: str) -> list[dict[str, Any]]:
    """Rows of one measure of one set, by `at`."""
    found = [row for row in table["rows"] if (row["set"], row["measure"]) == (name, measure)]
    return sorted(found, key=lambda row: row["at"] or 0)


def _line(axes: Axes, rows: Sequence[dict[str, Any]], look: tuple[str, Any, str]) -> None:
    """A curve over `at` with its band."""
    _, colour, marker = look
    at = [row["at"] for row in rows]
    axes.plot(at, [row["value"] for row in rows], color=colour, marker=marker, markersize=2.5, linewidth=1.1)
    low, high = ([row[key] for row in rows] for key in ("low", "high"))
    axes.fill_between(at, low, high, color=colour, alpha=BAND_ALPHA, linewidth=0)


def _by_depth(measure: str, title: str, label: str, beside: str | None = None) -> Panel:
    """A panel over the depth of the model; `beside` is dotted, in the colour of its set."""

    def panel(axes: Axes, table: Table) -> None:
        for name, look in SETS.items():
            _line(axes, _rows(table, name, measure), look)
            other = _rows(table, name, beside) if beside else []
            values = [row["value"] for row in other]
            axes.plot([row["at"] for row in other], values, **{**BESIDE, "color": look[1]})
        axes.axvline(table["unroll_steps"], color="0.8", linewidth=0.8, zorder=0)
        axes.set(title=title, xlabel="Model depth k", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    return panel


def _by_simulations(measure: str, title: str, label: str) -> Panel:
    """A panel over N, at equal distances."""

    def panel(axes: Axes, table: Table) -> None:
        rows = _rows(table, "greedy", measure)
        _, colour, marker = SETS["greedy"]
        bars = [[max(row["value"] - row["low"], 0.0) for row in rows],
                [max(row["high"] - row["value"], 0.0) for row in rows]]  # fmt: skip
        axes.errorbar(range(len(rows)), [row["value"] for row in rows], yerr=bars, color=colour, marker=marker,
                      markersize=3.5, linewidth=0, elinewidth=1.1)  # fmt: skip
        axes.axhline(0, **BESIDE)
        axes.set_xticks(range(len(rows)), [str(row["at"]) for row in rows])
        axes.set(title=title, xlabel="Simulations N", ylabel=label, xlim=(-0.5, len(rows) - 0.5))

    return panel


def _bars(title: str, label: str, entries: Sequence[tuple[str, str, int | None]], beside: float | None,
          least: float | None = None, span: tuple[float, float] | None = None) -> Panel:  # fmt: skip
    """A panel of points with bars, a row an entry (label, measure, at; -1 stands for the run's td_steps).

    Args:
      beside: a dotted line.    least: what lies below it is drawn at it.    span: of the axis.
    """

    def panel(axes: Axes, table: Table) -> None:
        for position, (_, measure, at) in enumerate(entries):
            wanted = table["td_steps"] if at == -1 else at
            for shift, (name, (_, colour, marker)) in zip((-0.17, 0.17), SETS.items(), strict=True):
                for row in _rows(table, name, measure):
                    if row["at"] != wanted:
                        continue
                    low, value, high = (max(row[key], least) if least is not None else row[key]
                                        for key in ("low", "value", "high"))  # fmt: skip
                    bar = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
                    axes.errorbar([value], [position + shift], xerr=bar, color=colour, marker=marker, markersize=3,
                                  elinewidth=1.1, clip_on=False)  # fmt: skip
        if beside is not None:
            axes.axvline(beside, **BESIDE, zorder=0)
        axes.set_yticks(range(len(entries)), [text.format(td=table["td_steps"]) for text, _, _ in entries])
        axes.set(title=title, xlabel=label, ylim=(len(entries) - 0.5, -0.5), **({"xlim": span} if span else {}))
        axes.xaxis.set_major_locator(MaxNLocator(4))

    return panel


def _curves(title: str, label: str, lines: Sequence[Line], *, log: bool = False) -> Panel:
    """A panel over environment steps; what the legend of the figure does not explain has one here."""

    def panel(axes: Axes, table: Table) -> None:
        for line in lines:
            records = [record for record in table["curves"][line.kind] if line.field in record]
            values = [record[line.field] + line.shift for record in records]
            marker = "o" if len(records) == 1 else ""
            axes.plot([record["env_steps"] for record in records], values, color=line.colour, linestyle=line.dashes,
                      linewidth=1.1, marker=marker, markersize=2.5, label=line.label or "_")  # fmt: skip
        axes.axvline(table["env_steps"], color="0.8", linewidth=0.8, zorder=0)
        axes.set(title=title, xlabel="Environment steps", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=style.ROUND_STEPS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: style.thousands(x)))
        if log:
            axes.set_yscale("log", nonpositive="mask")
            low, high = axes.get_ylim()
            axes.set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
        if any(line.label for line in lines):
            axes.legend(frameon=False, fontsize=6, handlelength=1.0, labelspacing=0.2, columnspacing=0.6,
                        ncols=2 if len(lines) > 3 and log else 1, loc="upper center" if log else "best")  # fmt: skip

    return panel


SEARCH, PLAY, NO_SEARCH = SETS["greedy"][1], SETS["self_play"][1], BARE[1]
PANELS: tuple[Panel, ...] = (
    _curves("Win rate", "Win rate", [
        Line("eval", "win_rate", SEARCH), Line("eval", "policy_win_rate", NO_SEARCH),
        Line("train", "episode_won", PLAY, style.DASHED),
    ]),
    _curves("Return and value target", "Reward", [
        Line("eval", "return_mean", SEARCH), Line("eval", "policy_return_mean", NO_SEARCH),
        Line("train", "episode_return", PLAY, style.DASHED),
        Line("train", "value_target", "0.35", style.DASH_DOTTED, "value target"),
    ]),
    _curves("Losses", "Loss", [
        Line("train", "loss_policy", PALETTE[2], label="policy"),
        Line("train", "loss_value", PALETTE[3], label="value"),
        Line("train", "loss_reward", PALETTE[4], label="reward"),
        Line("train", "loss_consistency", PALETTE[5], label="1 + consistency", shift=1.0),
    ], log=True),
    _curves("Policy entropy, all actions", "Nats per agent", [Line("train", "policy_entropy", PLAY, style.DASHED)]),
    _by_simulations("win_rate_gain", "Gain by search", "Win rate"),
    _by_simulations("return_gain", "Gain by search", "Return"),
    _bars("Gain with the simulator", "Return", [
        ("by 1 step", "return_gain_simulated", 1), ("by {td}", "return_gain_simulated", -1),
    ], 0.0),
    _by_depth("consequence", "Consequences of draws", "Correlation"),
    _by_depth("consequence_spread_model", "Their spread (real)", "Reward", "consequence_spread"),
    _by_depth("reward_error", "Reward error (predicting 0)", "Mean |error|", "reward_size"),
    _by_depth("value_drift", "Value drift (spread)", "Mean |difference|", "value_spread"),
    _by_depth("consistency", "State: cosine (unmoved)", "Cosine", "consistency_still"),
    _by_depth("illegal_share", "Unavailable actions", "Probability"),
    _by_depth("policy_drift", "Policy drift", "KL, nats per agent"),
    _by_depth("end_value_error", "Value at ends (beyond)", "Mean |value|", "beyond_value_error"),
    _bars("Value against outcome", "Explained (cut at −1)", [
        ("predicted", "predicted_explained", None), ("searched", "searched_explained", None),
        ("{td}-step", "target_explained", None),
    ], 1.0, least=-1.0),
    _bars("Value minus outcome", "Bias, reward", [
        ("predicted", "predicted_bias", None), ("searched", "searched_bias", None), ("{td}-step", "target_bias", None),
    ], 0.0),
    _bars("Advantages of children", "Share that comes true", [
        ("search: 1 step", "advantage_true", 1), ("{td}-step", "advantage_true", -1),
        ("to the end", "advantage_true_outcome", None), ("model: 1 step", "model_advantage_true", 1),
        ("{td}-step", "model_advantage_true", -1), ("to the end", "model_advantage_true_outcome", None),
    ], 1.0),
    _bars("Draws at the root", "Share", [
        ("different", "children", None), ("clean", "clean_draws", None), ("top proposed", "top_proposed", None),
        ("top drawn", "top_draws", None), ("p(top)", "top_probability", None),
    ], None, span=(0.0, 1.0)),
    _bars("Search against policy", "Share", [
        ("same joint", "agreement", None), ("same, by agent", "agreement_agents", None),
        ("weight moved", "visits_moved", None),
    ], None, span=(0.0, 1.0)),
    _bars("Children of a root", "Reward", [
        ("spread of q", "child_spread", None), ("model's q", "model_child_spread", None),
        ("value residual", "searched_residual", None),
    ], 0.0),
)  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Draw one figure. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.diagnosis", description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="diagnosis.json of `python -m mazero diagnose`")
    arguments = parser.parse_args(argv)
    try:
        files = draw_file(arguments.table)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"error: {arguments.table} is not a table of `python -m mazero diagnose`: {error!r}\n")
        return 2
    sys.stdout.write("".join(f"{path}\n" for path in files))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
