"""Curves of the simulator over those of real runs: bands, shares, figure, table, and what is refused."""

from __future__ import annotations

import csv
import gzip
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skirmish.fidelity.learning import (
    SUPERSEDED,
    Score,
    _band_of_curve,
    compare,
    learning,
    main,
    read_evaluations,
    score,
)
from skirmish.fidelity.learning_figure import learning_figure

MARKS = (0, 10_000, 20_000, 30_000)
COLUMNS = ("backend", "map", "algorithm", "label", "seed", "mark", "win_rate", "return_mean", "unit_data")


def write(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def ours(path: Path, curves: dict[str, list[list[float]]], *, maker: tuple[str, str] = ("skirmish", "4.10")) -> Path:
    """A table of evaluations: map -> one list of win rates per seed; the return is twenty times the win rate."""
    backend, unit_data = maker
    return write(
        path,
        COLUMNS,
        [
            (backend, name, "qmix", "QMIX", seed, mark, value, 20 * value, unit_data)
            for name, seeds in curves.items()
            for seed, values in enumerate(seeds)
            for mark, value in zip(MARKS, values)
        ],
    )


def real(path: Path, runs: dict[str, list[tuple[float, float]]]) -> Path:
    """Raw runs on 3m: name -> (environment steps, win rate)."""
    columns = ("map", "algorithm", "run", "env_steps", "return", "win")
    rows = [("3m", "QMIX", name, steps, 20 * win, win) for name, points in runs.items() for steps, win in points]
    return write(path, columns, rows)


@pytest.fixture
def five_runs(tmp_path: Path) -> Path:
    """Five runs that keep their win rate (0, 0.1, 0.2, 0.5, 1); evaluations drift away from the marks."""
    steps = (50, 10_090, 20_700, 31_900)
    levels = {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.5, "e": 1.0}
    return real(tmp_path / "real.csv.gz", {name: [(x, level) for x in steps] for name, level in levels.items()})


def only(scores: list[Score], quantity: str, name: str = "3m") -> Score:
    (row,) = (row for row in scores if (row.quantity, row.map) == (quantity, name) and row.algorithm == "qmix")
    return row


def test_band_is_range_quartiles_and_median_of_the_runs(tmp_path: Path, five_runs: Path) -> None:
    comparison = compare(ours(tmp_path / "ours.csv", {"3m": [[0.3] * 4]}), runs=five_runs)
    band = comparison.bands["3m", "qmix", "win_rate"]
    edges = (band.low, band.lower_quartile, band.middle, band.upper_quartile, band.high)
    for edge, value in zip(edges, (0.0, 0.1, 0.2, 0.5, 1.0)):
        np.testing.assert_allclose(edge, [value] * 4)
    returns = comparison.bands["3m", "qmix", "return"]
    np.testing.assert_allclose(returns.upper_quartile, [10.0] * 4)
    assert comparison.made_by == "backend skirmish, unit data 4.10"


def test_each_run_counts_at_a_mark_with_its_nearest_evaluation_and_only_while_it_lasts(tmp_path: Path) -> None:
    runs = real(
        tmp_path / "real.csv",
        {
            "a": [(40, 0.0), (10_100, 0.1), (20_300, 0.2), (30_600, 0.3)],
            "b": [(60, 0.4), (10_200, 0.5), (20_400, 0.6)],  # nothing near 30,000
            "c": [
                (30, 0.8),
                (4_900, 0.0),
                (10_300, 0.9),
            ],  # evaluated more often: the one between the marks counts nowhere
        },
    )
    band = compare(ours(tmp_path / "ours.csv", {"3m": [[0.0] * 4]}), runs=runs).bands["3m", "qmix", "win_rate"]
    np.testing.assert_allclose(band.low, [0.0, 0.1, 0.2, np.nan])  # one run is no range
    np.testing.assert_allclose(band.high, [0.8, 0.9, 0.6, np.nan])
    np.testing.assert_allclose(band.middle, [0.4, 0.5, 0.4, np.nan])


def test_shares_count_every_seed_at_every_mark(tmp_path: Path) -> None:
    runs = real(tmp_path / "real.csv", {n: [(m, v) for m in MARKS] for n, v in {"a": 0.2, "b": 0.4, "c": 0.6}.items()})
    table = ours(tmp_path / "ours.csv", {"3m": [[0.0, 0.2, 0.3, 0.7], [0.1, 0.5, 0.5, 0.6]]})
    row = only(learning(table, runs=runs), "win_rate")
    assert (row.seeds, row.marks, row.real_runs) == (2, 4, 3)
    assert (row.below, row.inside, row.above) == (2 / 8, 5 / 8, 1 / 8)  # edges belong to the range
    assert row.inside_quartiles == 3 / 8  # 0.3 and 0.5, twice, lie in 0.3 to 0.5
    assert row.median_inside == 2 / 4  # medians 0.05, 0.35, 0.4, 0.65
    assert row.ours_mean == pytest.approx((0.05 + 0.35 + 0.4 + 0.65) / 4) and row.real_mean == pytest.approx(0.4)


def test_yardstick_is_each_real_run_against_the_others(tmp_path: Path, five_runs: Path) -> None:
    row = only(learning(ours(tmp_path / "ours.csv", {"3m": [[0.3] * 4]}), runs=five_runs), "return")
    assert row.real_inside == pytest.approx(3 / 5)  # the lowest and the highest lie outside the range of the others
    # 0.1 among 0, 0.2, 0.5, 1: quartiles 0.15 and 0.625; 0.2 among 0, 0.1, 0.5, 1: 0.075 and 0.625; 0.5: 0.075 and 0.4
    assert row.real_inside_quartiles == pytest.approx(1 / 5)


def test_all_maps_weigh_every_evaluation_alike(tmp_path: Path) -> None:
    columns = ("map", "algorithm", "run", "env_steps", "return", "win")
    points = [("3m", run, mark) for run in "ab" for mark in MARKS] + [("8m", run, 0) for run in "ab"]
    rows = [(name, "QMIX", run, mark, 0, 0.5 if run == "a" else 0.7) for name, run, mark in points]
    table = ours(tmp_path / "ours.csv", {"3m": [[0.6] * 4], "8m": [[0.0] * 4]})
    scores = learning(table, runs=write(tmp_path / "real.csv", columns, rows))
    assert only(scores, "win_rate").inside == 1.0 and only(scores, "win_rate", "8m").inside == 0.0
    assert only(scores, "win_rate", "8m").marks == 1
    assert only(scores, "win_rate", "all").inside == pytest.approx(4 / 5)
    assert math.isnan(only(scores, "win_rate").real_inside)  # of two runs, one has no range to lie in


def test_published_curve_is_interpolated_and_never_extended() -> None:
    points = np.array([[20_000, 0.4, 0.2, 0.6], [1, 0.0, 0.0, 0.0]])
    band = _band_of_curve(points, np.array([0.0, 10_000, 20_001, 20_002]))
    np.testing.assert_allclose(band.middle, [0.0, 0.2, 0.4, np.nan], atol=1e-4)
    np.testing.assert_allclose(band.high, [0.0, 0.3, 0.6, np.nan], atol=1e-4)
    assert band.runs is None and np.isnan(band.lower_quartile).all()


CURVE = ("figure", "map", "algorithm", "x_unit", "x", "win_rate", "band_low", "band_high")


def test_published_curves_give_win_rates_only(tmp_path: Path) -> None:
    rows = [("Fig. 3", "3m", "QMIX", "env_steps", x, 0.5, 0.4, 0.6) for x in (0, 20_000)]
    rows += [("Fig. 4", "3m", "QMIX", "hours", x, 0.9, 0.9, 0.9) for x in (0, 20_000)]
    table = ours(tmp_path / "ours.csv", {"3m": [[0.5, 0.7, 0.4, 0.5]]})
    scores = learning(table, curves=write(tmp_path / "curves.csv", CURVE, rows))
    assert {row.quantity for row in scores} == {"win_rate"}
    row = only(scores, "win_rate")
    assert (row.marks, row.real_runs, row.inside, row.above) == (3, 0, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert math.isnan(row.inside_quartiles) and math.isnan(row.real_inside)
    half = [*rows, ("Fig. 3", "2s3z", "CDS", "env_steps", 50_000, 0.2, "", "")]
    with pytest.raises(ValueError, match=r"curves.csv: band_low must be a number, got .* map '2s3z', algorithm 'CDS'"):
        learning(table, curves=write(tmp_path / "curves.csv", CURVE, half))
    rows += [("Fig. 5", "3m", "QMIX", "env_steps", x, 0.9, 0.9, 0.9) for x in (0, 20_000)]
    with pytest.raises(ValueError, match=r"one curve for 3m/qmix, got 'Fig. 3' and 'Fig. 5'"):
        learning(table, curves=write(tmp_path / "curves.csv", CURVE, rows))


def test_the_shipped_curves_cover_the_easy_maps() -> None:
    file = Path(__file__).parents[3] / "analysis" / "data" / "mazero_paper_fig3.csv"
    with open(file, encoding="utf-8") as opened:
        rows = [row for row in csv.DictReader(opened) if row["algorithm"] == "MAPPO" and row["map"] == "2s_vs_1sc"]
    end = max(rows, key=lambda row: float(row["x"]))
    assert float(end["x"]) == pytest.approx(100_000, abs=2) and float(end["win_rate"]) == pytest.approx(0.95, abs=0.01)


def test_what_made_the_curves_is_told_and_never_mixed(tmp_path: Path) -> None:
    table = ours(tmp_path / "ours.csv", {"3m": [[0.0] * 4]}, maker=("skirmish", ""))
    assert read_evaluations(table)[1] == f"backend skirmish, unit data {SUPERSEDED}"
    text = table.read_text()
    table.write_text("\n".join(line.rpartition(",")[0] for line in text.splitlines()))  # without the column
    assert read_evaluations(table)[1] == f"backend skirmish, unit data {SUPERSEDED}"
    mixed = ours(tmp_path / "mixed.csv", {"3m": [[0.0] * 4]})
    other = ours(tmp_path / "other.csv", {"8m": [[0.0] * 4]}, maker=("skirmish", "4.6.2"))
    mixed.write_text(mixed.read_text() + "".join(other.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(ValueError, match=r"4\.10.*4\.6\.2.*never mix"):
        read_evaluations(mixed)


Spoil = Callable[[list[str]], list[str]]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: [*lines, lines[1]], "must have mark 0 once, got it twice"),
        (lambda lines: lines[:-1], "all seeds must have the same marks, got 7 rows"),
        (lambda lines: lines[:1], "must have rows with columns"),
        (lambda lines: [lines[0].replace("return_mean", "score"), *lines[1:]], "got none of return_mean"),
        (lambda lines: [line.replace("3m", "8m") for line in lines], "got 8m/qmix: known there are 3m/qmix"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, five_runs: Path, capsys: pytest.CaptureFixture[str], spoil: Spoil, message: str
) -> None:
    table = ours(tmp_path / "ours.csv", {"3m": [[0.0] * 4, [0.5] * 4]})
    table.write_text("\n".join(spoil(table.read_text().splitlines())))
    assert main(["--learning", str(table), "--runs", str(five_runs)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_figure_shows_band_seeds_median_and_share(tmp_path: Path, five_runs: Path) -> None:
    seeds = [[0.0, 0.2, 0.4, 0.6], [0.0, 0.4, 0.8, 1.0]]
    comparison = compare(ours(tmp_path / "ours.csv", {"3m": seeds}), runs=five_runs)
    figure = learning_figure(comparison, score(comparison))
    panels = {axes.get_label(): axes for axes in figure.axes}
    assert set(panels) == {"3m qmix win_rate", "3m qmix return"}
    lines = panels["3m qmix win_rate"].lines
    drawn = {line.get_label(): np.asarray(line.get_ydata(), float) for line in lines}
    np.testing.assert_allclose(drawn["ours"], [0.0, 0.3, 0.6, 0.8])
    np.testing.assert_allclose(drawn["real"], [0.2] * 4)
    assert [list(line.get_ydata()) for line in lines if line.get_label() == "_seed"] == seeds
    areas = {area.get_label(): area.get_datalim(area.axes.transData) for area in panels["3m qmix return"].collections}
    assert (areas["_range"].y0, areas["_range"].y1) == (0.0, 20.0)
    assert (areas["_quartiles"].y0, areas["_quartiles"].y1) == pytest.approx((2.0, 10.0))
    assert [text.get_text() for text in panels["3m qmix win_rate"].texts] == ["100% inside (real 60%)"]
    header = " ".join(text.get_text() for text in figure.texts)
    assert "backend skirmish, unit data 4.10" in header and "seeds: 2" in header


def test_no_panel_of_a_row_cuts_its_curves(tmp_path: Path) -> None:
    """The first map's returns stay low; the second's fill the scale."""
    curves = {"5m_vs_6m": [[0.0, 0.1, 0.1, 0.1]], "2s3z": [[0.0, 0.5, 1.0, 1.0]]}
    comparison = compare(ours(tmp_path / "ours.csv", curves))
    figure = learning_figure(comparison, score(comparison))
    assert len(figure.axes) == 4
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for line in axes.lines:
            values = np.asarray(line.get_ydata(), float)
            assert low <= np.nanmin(values) <= np.nanmax(values) <= high


def test_command_writes_figure_and_table(tmp_path: Path, five_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ours(tmp_path / "ours.csv", {"3m": [[0.3] * 4]})
    outputs = [tmp_path / "new" / "a.png", tmp_path / "b.csv"]
    command = ["--learning", str(table), "--runs", str(five_runs), "--out", str(outputs[0]), "--csv", str(outputs[1])]
    assert main(command) == 0
    first = outputs[0].read_bytes()
    assert first.startswith(b"\x89PNG") and main(command) == 0 and outputs[0].read_bytes() == first
    with open(outputs[1], encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["map"] for row in rows] == ["3m", "3m", "all", "all", "all", "all"]
    assert rows[0]["inside"] == "1.000" and rows[0]["real_inside"] == "0.600"
    assert "inside_quartiles" in capsys.readouterr().out
    assert main([*command[:-3], str(tmp_path / "a.gif")]) == 2


def test_drawing_is_loaded_only_when_asked_for() -> None:
    code = "import sys, skirmish.fidelity.learning; sys.exit('matplotlib' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
