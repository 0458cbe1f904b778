"""Learning curves on the simulator over those of the real game: drawn, and scored mark by mark.

Ours come from the table of evaluations of a study (columns `map`, `algorithm`, `seed`, `mark`, `win_rate`,
`return_mean`, `backend`). What they are held against is one band per map, algorithm and quantity, from either source:

- raw training runs (columns `map`, `algorithm`, `run`, `env_steps`, `return`, `win`): at every mark each run counts
  with its evaluation nearest to it, and the band is range, quartiles and median over runs. The table then also says
  how often a real run lies inside the range of the other real ones, the yardstick for ours: 0.6 for one of five runs
  against the other four, if no two values are equal.
- a published curve with a band (columns `map`, `algorithm`, `x`, `win_rate`, `band_low`, `band_high`), interpolated at
  the marks; there are no returns and no quartiles then.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

REAL_RUNS = Path(__file__).parent / "data" / "real_runs.csv.gz"
QUANTITIES = {"win_rate": "Win rate", "return": "Return"}  # in the order of the figure's rows
REACH = 6_000  # environment steps: real evaluations lie 10,000 to 10,700 apart, so each mark has one this near
FEWEST_RUNS = 2  # real runs at a mark that make a range
SLACK = 1e-9  # both sides are k/32 where they are win rates
SUPERSEDED = "Liberty (superseded)"  # unit data of tables that do not name theirs
ALL = "all"

Key: TypeAlias = tuple[str, str]  # map, algorithm in small letters
Curves: TypeAlias = dict[str, np.ndarray]  # quantity -> (runs, marks), NaN where there is nothing


@dataclass(frozen=True)
class Ours:
    """Runs on the simulator of one algorithm on one map."""

    label: str
    marks: np.ndarray  # (M,) environment steps
    curves: Curves  # one row per seed


@dataclass(frozen=True)
class Band:
    """What the real game shows at each mark: (M,) each, NaN where it shows nothing."""

    low: np.ndarray
    lower_quartile: np.ndarray
    middle: np.ndarray  # median over runs, or the published curve
    upper_quartile: np.ndarray
    high: np.ndarray
    runs: np.ndarray | None  # (R, M) the values behind it, if they are known


@dataclass(frozen=True)
class Score:
    """Shares of evaluations, over all seeds and marks that have a band; empty (NaN) where they cannot be told."""

    map: str
    algorithm: str
    quantity: str
    seeds: int
    marks: int  # with a band
    real_runs: int  # 0: a published curve
    below: float  # share under the lower edge of the band
    inside: float  # share between its edges
    above: float
    inside_quartiles: float
    median_inside: float  # share of marks where the median over our seeds lies inside
    real_inside: float  # the same share as `inside` of each real run against the others
    real_inside_quartiles: float
    ours_mean: float  # mean over marks of the median over seeds
    real_mean: float  # mean over marks of the band's middle


@dataclass(frozen=True)
class Comparison:
    """Ours and the bands they are held against."""

    ours: dict[Key, Ours]
    bands: dict[tuple[str, str, str], Band]  # map, algorithm, quantity
    made_by: str  # backend and unit data
    source: str


def learning(
    evaluations: Path,
    out: Path | None = None,
    table: Path | None = None,
    *,
    runs: Path = REAL_RUNS,
    curves: Path | None = None,
) -> list[Score]:
    """Hold a study's evaluations against the real game.

    Args:
      evaluations: evaluations.csv of a study.
      out: figure to write (.png, .pdf or .svg).    table: CSV to write, one row per map, algorithm and quantity.
      runs: raw real runs (CSV, .gz allowed).    curves: published curves, taken instead of them.
    Returns: the rows of the table; those of `all` maps weigh every evaluation alike.
    Raises: ValueError for files that are not what they should be, or have no map and algorithm in common.
    """
    comparison = compare(evaluations, runs=runs, curves=curves)
    scores = score(comparison)
    if table is not None:
        write_table(table, scores)
    if out is not None:
        from skirmish.fidelity.learning_figure import draw  # imported late: matplotlib takes a moment to load

        draw(comparison, scores, out)
    return scores


def compare(evaluations: Path, *, runs: Path = REAL_RUNS, curves: Path | None = None) -> Comparison:
    """Read both sides and bring them to the marks of ours. Raises: ValueError as `learning`."""
    ours, made_by = read_evaluations(evaluations)
    bands: dict[tuple[str, str, str], Band] = {}
    known: set[Key]
    if curves is None:
        raw = _read_runs(runs)
        known, source = (
            set(raw),
            "runs of the SMAC paper, StarCraft II 4.6.2" if runs == REAL_RUNS else f"runs of {runs.name}",
        )
        for key in ours.keys() & known:
            for quantity in QUANTITIES:
                bands[*key, quantity] = _band_of_runs(raw[key], quantity, ours[key].marks)
    else:
        published = _read_curves(curves)
        known, source = set(published), f"curves of {curves.name}"
        for key in ours.keys() & known:
            bands[*key, "win_rate"] = _band_of_curve(published[key], ours[key].marks)
    if not bands:
        raise ValueError(
            f"{evaluations} must hold a map and algorithm of {curves or runs}, got {_names(ours)}: "
            f"known there are {_names(known)}"
        )
    chosen = {key: value for key, value in ours.items() if (*key, "win_rate") in bands}
    return Comparison(chosen, bands, made_by, source)


def read_evaluations(path: Path) -> tuple[dict[Key, Ours], str]:
    """Curves by map and algorithm, and what made them.

    Raises: ValueError for a missing column, a mark given twice, seeds with different marks, or results of several
      backends or unit data in one table.
    """
    needed = ("backend", "map", "algorithm", "seed", "mark", "win_rate", "return_mean")
    values: dict[Key, dict[tuple[int, int], tuple[float, float]]] = defaultdict(dict)
    labels: dict[Key, str] = {}
    makers = set()
    for row in _rows(path, needed):
        key = (row["map"], row["algorithm"].lower())
        place = (int(row["seed"]), int(row["mark"]))
        if place in values[key]:
            raise ValueError(f"{path}: {key[0]} {key[1]}: seed {place[0]} must have mark {place[1]} once, got it twice")
        values[key][place] = (float(row["win_rate"]), float(row["return_mean"]))
        labels[key] = row.get("label") or row["algorithm"]
        makers.add(_made_by(row))
    if len(makers) != 1:
        raise ValueError(f"{path} must hold results of one backend and unit data, got {sorted(makers)}: never mix them")
    ours = {}
    for key, places in values.items():
        seeds, marks = (sorted({place[axis] for place in places}) for axis in (0, 1))
        if len(places) != len(seeds) * len(marks):
            raise ValueError(f"{path}: {key[0]} {key[1]}: all seeds must have the same marks, got {len(places)} rows")
        grid = np.array([[places[seed, mark] for mark in marks] for seed in seeds])  # (R, M, 2)
        ours[key] = Ours(labels[key], np.array(marks, float), {"win_rate": grid[..., 0], "return": grid[..., 1]})
    return ours, makers.pop()


def score(comparison: Comparison) -> list[Score]:
    """One row per map, algorithm and quantity; then per algorithm over its maps, and over everything."""
    parts: dict[Key, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    rows = []
    for name, algorithm in comparison.ours:
        for quantity in QUANTITIES:
            band = comparison.bands.get((name, algorithm, quantity))
            if band is None or not np.isfinite(band.low).any():
                continue
            found = _flags(comparison.ours[name, algorithm].curves[quantity], band)
            rows.append(_score(name, algorithm, quantity, [found]))
            parts[ALL, algorithm][quantity].append(found)
            parts[ALL, ALL][quantity].append(found)
    everything = parts.pop((ALL, ALL), {})
    for place, by_quantity in [*parts.items(), ((ALL, ALL), everything)]:
        rows += [_score(*place, quantity, found) for quantity, found in by_quantity.items()]
    return rows


def write_table(path: Path, scores: Iterable[Score]) -> None:
    """Write the scores as CSV, shares with three decimals, what cannot be told empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Score)])
        writer.writerows([_cell(value) for value in asdict(row).values()] for row in scores)
    os.replace(part, path)


def as_text(scores: Sequence[Score]) -> str:
    """The scores for a terminal, aligned."""
    names = [field.name for field in fields(Score)]
    lines = [names, *([_cell(value) or "-" for value in asdict(row).values()] for row in scores)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(names))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the comparison, for `main` and for whoever has a command line of their own."""
    parser.add_argument("--learning", type=Path, metavar="EVALUATIONS", help="evaluations.csv of a study")
    parser.add_argument("--out", type=Path, metavar="FILE", help="figure to write: .png, .pdf or .svg")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="table to write")
    parser.add_argument("--runs", type=Path, default=REAL_RUNS, metavar="FILE", help="raw real runs (default: ours)")
    parser.add_argument("--curves", type=Path, metavar="FILE", help="published curves with a band, instead of raw runs")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit code; bad input is one line on stderr and code 2."""
    parser = argparse.ArgumentParser(prog="python -m skirmish fidelity", description=__doc__)
    add_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.learning is None:
        parser.error("--learning must name the evaluations.csv of a study, got nothing")
    return run(arguments)


def run(arguments: argparse.Namespace) -> int:
    """Do what the flags of `add_flags` say. Returns the exit code."""
    try:
        scores = learning(
            arguments.learning, arguments.out, arguments.csv, runs=arguments.runs, curves=arguments.curves
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    sys.stdout.write(as_text(scores) + "\n")
    return 0


def _flags(curves: np.ndarray, band: Band) -> dict[str, Any]:
    """Where each evaluation lies, on the marks that have a band."""
    there = np.isfinite(band.low)
    values = curves[:, there]  # (R, M)
    middle = np.median(values, axis=0)
    found: dict[str, Any] = {
        "seeds": len(curves),
        "marks": int(there.sum()),
        "real_runs": 0 if band.runs is None else len(band.runs),
        "below": values < band.low[there] - SLACK,
        "above": values > band.high[there] + SLACK,
        "median_inside": _between(middle, band.low[there], band.high[there]),
        "ours_mean": middle,
        "real_mean": band.middle[there],
    }
    found["inside"] = ~(found["below"] | found["above"])
    found["inside_quartiles"] = _between(values, band.lower_quartile[there], band.upper_quartile[there])
    found["real_inside"] = found["real_inside_quartiles"] = np.zeros(0, bool)
    if band.runs is None:
        found["inside_quartiles"] = np.zeros(0, bool)
    elif len(band.runs) > FEWEST_RUNS:
        inside, inside_quartiles = [], []
        for index, run in enumerate(band.runs):
            others = _band(np.delete(band.runs, index, axis=0))
            both = np.isfinite(run) & np.isfinite(others.low)
            inside.append(_between(run, others.low, others.high)[both])
            inside_quartiles.append(_between(run, others.lower_quartile, others.upper_quartile)[both])
        found["real_inside"], found["real_inside_quartiles"] = map(np.concatenate, (inside, inside_quartiles))
    return found


def _score(name: str, algorithm: str, quantity: str, found: Sequence[Mapping[str, Any]]) -> Score:
    """Sum up what `_flags` found on one or several maps."""
    shares = {}
    for field in fields(Score)[6:]:
        values = np.concatenate([np.ravel(item[field.name]) for item in found])
        shares[field.name] = float(values.mean()) if values.size else math.nan
    seeds, real_runs = (max(item[key] for item in found) for key in ("seeds", "real_runs"))
    marks = sum(item["marks"] for item in found)
    return Score(name, algorithm, quantity, seeds, marks, real_runs, **shares)


def _between(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (values >= low - SLACK) & (values <= high + SLACK)


def _band_of_runs(raw: Mapping[str, np.ndarray], quantity: str, marks: np.ndarray) -> Band:
    """The band of raw runs; each counts at a mark with its nearest evaluation, if one is near enough."""
    column = 1 + list(QUANTITIES).index(quantity)
    values = np.full((len(raw), len(marks)), np.nan)
    for row, run in enumerate(raw.values()):  # (T, 3)
        distance = np.abs(run[:, 0] - marks[:, None])  # (M, T)
        nearest = distance.argmin(1)
        near = distance[np.arange(len(marks)), nearest] <= REACH
        values[row, near] = run[nearest[near], column]
    return _band(values)


def _band(values: np.ndarray) -> Band:
    """Range, quartiles and median over runs at marks where enough of them are. values: (R, M)."""
    edges = np.full((5, values.shape[1]), np.nan)
    enough = np.isfinite(values).sum(0) >= FEWEST_RUNS
    if enough.any():
        edges[:, enough] = np.nanquantile(values[:, enough], [0, 0.25, 0.5, 0.75, 1], axis=0)
    low, lower, middle, upper, high = edges
    return Band(low, lower, middle, upper, high, runs=values[np.isfinite(values).any(1)])


def _band_of_curve(points: np.ndarray, marks: np.ndarray) -> Band:
    """The band of a published curve, interpolated. points: (T, 4) env_steps, value, lower and upper edge."""
    points = points[points[:, 0].argsort()]
    outside = (marks < points[0, 0] - 1) | (marks > points[-1, 0] + 1)  # curves taken off a figure begin at 0 or 1
    middle, low, high = (np.interp(marks, points[:, 0], column) for column in points.T[1:])
    for values in (middle, low, high):
        values[outside] = np.nan
    nothing = np.full(len(marks), np.nan)
    return Band(low, nothing, middle, nothing, high, runs=None)


def _read_runs(path: Path) -> dict[Key, dict[str, np.ndarray]]:
    """map and algorithm -> run -> (T, 3) env_steps, win rate, return."""
    runs: dict[Key, dict[str, list[tuple[float, float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in _rows(path, ("map", "algorithm", "run", "env_steps", "return", "win")):
        point = (_number(path, row, "env_steps"), _number(path, row, "win"), _number(path, row, "return"))
        runs[row["map"], row["algorithm"].lower()][row["run"]].append(point)
    return {key: {name: np.array(run) for name, run in group.items()} for key, group in runs.items()}


def _read_curves(path: Path) -> dict[Key, np.ndarray]:
    """map and algorithm -> (T, 4) env_steps, win rate, lower and upper edge of the band.

    Rows over anything but environment steps (column `x_unit`) are left out. Raises: ValueError if two figures (column
    `figure`) give a curve for the same map and algorithm, or if a row does not fit.
    """
    points: dict[Key, list[list[float]]] = defaultdict(list)
    figures: dict[Key, str] = {}
    columns = ("x", "win_rate", "band_low", "band_high")
    for row in _rows(path, ("map", "algorithm", *columns)):
        if row.get("x_unit", "env_steps") != "env_steps":
            continue
        key, figure = (row["map"], row["algorithm"].lower()), row.get("figure", "")
        if figures.setdefault(key, figure) != figure:
            raise ValueError(
                f"{path} must have one curve for {'/'.join(key)}, got {figures[key]!r} and {figure!r}: "
                "keep the rows of one figure"
            )
        points[key].append([_number(path, row, column) for column in columns])
    return {key: np.array(group) for key, group in points.items()}


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    """Raises: ValueError naming file, row and column if there is none."""
    try:
        return float(row[column])
    except ValueError:
        shown = ", ".join(f"{name} {value!r}" for name, value in row.items())
        raise ValueError(f"{path}: {column} must be a number, got {shown}: complete that row or leave it out") from None


def _rows(path: Path, needed: Sequence[str]) -> Iterable[dict[str, str]]:
    """Rows of a CSV file, packed or not. Raises: ValueError if it is missing, empty or lacks a column."""
    if not path.is_file():
        raise ValueError(
            f"{path} must be a CSV file with columns {', '.join(needed)}, got no such file: check the path"
        )
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8")
    with opened as file:
        rows = list(csv.DictReader(file))
    lacking = [name for name in needed if not rows or name not in rows[0]]
    if lacking:
        raise ValueError(f"{path} must have rows with columns {', '.join(needed)}, got none of {', '.join(lacking)}")
    return rows


def _made_by(row: Mapping[str, str]) -> str:
    if row["backend"] != "skirmish":
        return f"backend {row['backend']}"
    return f"backend skirmish, unit data {row.get('unit_data') or SUPERSEDED}"


def _names(keys: Iterable[Key]) -> str:
    return ", ".join(sorted(f"{name}/{algorithm}" for name, algorithm in keys))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    return str(value)
