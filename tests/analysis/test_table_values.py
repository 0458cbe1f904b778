"""Every table of a study of nine maps and algorithms, whole, against plain loops over its win rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import comparisons, coverage, published, statistics, tables
from analysis.study import TABLES, Study
from tests.analysis.measured import (
    LABELS,
    MARKS,
    SEEDS,
    WIN_RATES,
    areas_of,
    beats,
    exact_interval,
    measured,
    seeds_of,
    table,
)
from tests.analysis.synthetic import make_study, study_document

BACKENDS = {"smac": "skirmish", "matrix": "matrix"}
GROUPS = {"3m": "smac", "matrix_1": "matrix", "matrix_2": "matrix"}
MAPS = {"smac": ["3m"], "matrix": ["matrix_1", "matrix_2"]}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Study]:
    return measured(tmp_path_factory.mktemp("values"))


def same(found: pd.DataFrame, wanted: Sequence[Mapping[str, Any]]) -> None:
    """The wanted columns in their order, row by row; a table may have others besides."""
    columns = list(wanted[0])
    assert [column for column in found.columns if column in columns] == columns
    assert len(found) == len(wanted)
    for row, expected in zip(found.to_dict("records"), wanted, strict=True):
        assert {column: row[column] for column in columns} == pytest.approx(dict(expected), nan_ok=True), row


def place(name: str, key: str) -> Row:
    group = GROUPS[name]
    return {"group": group, "backend": BACKENDS[group], "map": name, "algorithm": key, "label": LABELS[key]}


def estimate(column: str, value: float, low: float, high: float) -> Row:
    return {column: value, f"{column}_low": low, f"{column}_high": high}


def of_two(column: str, first: float, second: float) -> Row:
    """Mean of two runs; all that a resampling can say is one, the other, or both."""
    return estimate(column, (first + second) / 2, min(first, second), max(first, second))


def cost(name: str, seed: int) -> Row:
    """What the last evaluation says of a run, see `measured.table`."""
    steps = MARKS[GROUPS[name]][-1]
    return {
        "env_steps": steps + seed,
        "updates": 2 * steps + seed,
        "episodes": steps // 10 + seed,
        "wall_minutes": 3 * steps / 60 + seed,
    }


def test_runs(data: tuple[pd.DataFrame, Study]) -> None:
    same(
        tables.runs(*data),
        [
            {
                **place(name, key),
                "seed": seed,
                "final_win_rate": curve[-1],
                "late_win_rate": curve[-1],  # the only mark in the second half
                "area_under_curve": area,
                "final_return": 10 * curve[-1] - seed,
                **cost(name, seed),
            }
            for (name, key), curves in WIN_RATES.items()
            for seed, curve, area in zip(SEEDS, curves, areas_of(name, key), strict=True)
        ],
    )


def test_late_is_the_mean_over_the_last_evaluations_of_the_second_half_but_at_most_five(tmp_path: Path) -> None:
    document = study_document()
    curve = {0: 1, 50: 1, 100: 1, 150: 1, 200: 0.5, 250: 0.75, 300: 0, 350: 0.25, 400: 0.5}
    for every, expected in ((50, 1.5 / 4), (25, (0 + 0.25 + 0.5 + 2 * 0.125) / 5)):
        document["groups"]["smac"]["eval_every"] = every
        study = make_study(tmp_path, document)
        frame = table(study, lambda name, algorithm, seed, mark: curve.get(mark, 0.125))
        assert set(tables.runs(frame, study).query("group == 'smac'")["late_win_rate"]) == {expected}


def test_final(data: tuple[pd.DataFrame, Study]) -> None:
    wanted = []
    for name, key in WIN_RATES:
        first, second = seeds_of(name, key, -1)
        late = [curve[-1] for curve in WIN_RATES[name, key]]
        costs = [cost(name, seed) for seed in SEEDS]
        wanted.append(
            {
                **place(name, key),
                "seeds": 2,
                "eval_episodes": 32 if name == "3m" else 8,
                **of_two("final_win_rate", first, second),
                **of_two("late_win_rate", *late),
                **of_two("area_under_curve", *areas_of(name, key)),
                **of_two("final_return", 10 * first - 5, 10 * second - 2),
                "interval_covers": coverage.covers("mean", seeds=2, maps=1),
                "solved": ((first == 1) + (second == 1)) / 2,
                **{f"{column}_per_run": (costs[0][column] + costs[1][column]) / 2 for column in costs[0]},
            }
        )
    same(tables.final(*data), wanted)


def middle(scores: np.ndarray) -> float:
    """Interquartile mean of two or four numbers."""
    ordered = sorted(scores.ravel())
    return float(np.mean(ordered[1:3] if len(ordered) == 4 else ordered))


def median_of_maps(scores: np.ndarray) -> float:
    """Of one map or two, the median is the mean."""
    return float(np.mean([np.mean(scores[:, column]) for column in range(scores.shape[1])]))


def test_aggregate(data: tuple[pd.DataFrame, Study]) -> None:
    metrics: dict[str, Callable[[np.ndarray], float]] = {
        "iqm": middle,
        "mean": lambda scores: float(scores.mean()),
        "median": median_of_maps,
        "optimality_gap": lambda scores: float(1 - scores.mean()),
    }
    wanted = []
    for group, maps in MAPS.items():
        for key in LABELS:
            final = np.array([seeds_of(name, key, -1) for name in maps]).T  # (R, M)
            area = np.array([areas_of(name, key) for name in maps]).T
            row: Row = {"group": group, "backend": BACKENDS[group], "maps": len(maps), "algorithm": key}
            row |= {"label": LABELS[key], "runs": 2 * len(maps)}
            for metric, statistic in metrics.items():
                row |= estimate(metric, statistic(final), *exact_interval(statistic, final))
            row |= estimate("area_under_curve_iqm", middle(area), *exact_interval(middle, area))
            wanted.append(row | {"interval_covers": coverage.covers("iqm", seeds=2, maps=len(maps))})
    same(tables.aggregate(*data), wanted)


def scores_of(group: str, key: str) -> dict[str, np.ndarray]:
    return {
        "final_win_rate": np.array([seeds_of(name, key, -1) for name in MAPS[group]]).T,
        "area_under_curve": np.array([areas_of(name, key) for name in MAPS[group]]).T,
    }


def test_improvement(data: tuple[pd.DataFrame, Study]) -> None:
    wanted = []
    for group in MAPS:
        for other in ("no_awpo", "qmix"):
            row: Row = {"group": group, "backend": BACKENDS[group], "algorithm": other}
            row |= {"reference": "MAZero", "label": LABELS[other]}
            for measure, ours in scores_of(group, "mazero").items():
                theirs = scores_of(group, other)[measure]
                row |= estimate(f"by_{measure}", beats(ours, theirs), *exact_interval(beats, ours, theirs))
            wanted.append(row)
    same(tables.improvement(*data), wanted)


def test_differences(data: tuple[pd.DataFrame, Study]) -> None:
    """Of all maps, then of each: the means of differences between runs with the same seed; of two seeds their range."""
    wanted = []
    for group, maps in MAPS.items():
        for name in ("all", *maps):
            for other in ("no_awpo", "qmix"):
                row: Row = {"group": group, "backend": BACKENDS[group], "map": name, "algorithm": other}
                row |= {"reference": "MAZero", "label": LABELS[other], "seeds": 2}
                for measure, ours in scores_of(group, "mazero").items():
                    pairs = ours - scores_of(group, other)[measure]
                    pairs = pairs if name == "all" else pairs[:, [maps.index(name)]]
                    row |= estimate(measure, pairs.mean(), *exact_interval(lambda drawn: float(drawn.mean()), pairs))
                    row[f"{measure}_ahead"] = sum(pair > 0 for pair in pairs.ravel()) / pairs.size
                wanted.append(row)
    same(tables.differences(*data), wanted)


def test_differences_of_one_algorithm_have_columns_and_no_row(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    one = replace(study, groups={"smac": replace(study.groups["smac"], algorithms=("mazero",))})
    assert list(tables.differences(frame, one).columns) == list(tables.differences(*data).columns)
    assert len(tables.differences(frame, one)) == 0


def test_improvement_over_the_first_of_a_group_without_the_reference(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    group = replace(study.groups["matrix"], algorithms=("no_awpo", "qmix"))
    assert comparisons.reference_of(study, group) == "no_awpo"
    found = comparisons.improvements(frame, study, group)
    assert {measure: list(estimates) for measure, estimates in found.items()} == {
        "final_win_rate": ["qmix"],
        "area_under_curve": ["qmix"],
    }
    for measure, ours in scores_of("matrix", "no_awpo").items():
        theirs, seen = scores_of("matrix", "qmix")[measure], found[measure]["qmix"]
        assert (seen.value, seen.low, seen.high) == (beats(ours, theirs), *exact_interval(beats, ours, theirs))
    (row,) = tables.improvement(frame, replace(study, groups={"matrix": group})).to_dict("records")
    assert (row["reference"], row["label"]) == ("without AWPO", "QMIX")


def test_improvement_of_one_algorithm_has_columns_and_no_row(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    one = replace(study, groups={"smac": replace(study.groups["smac"], algorithms=("mazero",))})
    assert list(tables.improvement(frame, one).columns) == list(tables.improvement(*data).columns)
    assert len(tables.improvement(frame, one)) == 0


def middle_hours(first: Sequence[int | None]) -> float:
    """Median over both seeds, where both got there: 3 s a step and a minute for every number of the seed."""
    seconds = [3 * mark + 60 * seed for mark, seed in zip(first, SEEDS, strict=True) if mark is not None]
    return sum(seconds) / 2 / 3600 if len(seconds) == 2 else np.nan


def test_steps_to(data: tuple[pd.DataFrame, Study]) -> None:
    wanted = []
    for name, key in WIN_RATES:
        marks = MARKS[GROUPS[name]]
        for threshold in (0.5, 0.8, 0.95) if name == "3m" else (1.0,):
            first = [
                next((mark for mark, value in zip(marks, curve, strict=True) if value >= threshold), None)
                for curve in WIN_RATES[name, key]
            ]
            reached = [mark for mark in first if mark is not None]
            wanted.append(
                {
                    **place(name, key),
                    "win_rate": threshold,
                    "seeds": 2,
                    "reached": len(reached),
                    "median_steps": sum(reached) / 2 if len(reached) == 2 else np.nan,
                    "fastest": min(reached, default=np.nan),
                    "slowest": max(reached, default=np.nan),
                    "median_hours": middle_hours(first),
                }
            )
    same(tables.steps_to(*data), wanted)
    assert [row["reached"] for row in wanted] == [2, 1, 1, 1, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 0]


SOURCES = """\
domain,map,algorithm,metric,value,env_steps,n_seeds,source,confidence
SMAC,3m,MAZero,win rate %,90,,,A,verified text
SMAC,3m,MAZero,win rate % (median),75,290,3,B,second-hand text
SMAC,3m,MAZero,win rate %,25,90,10,C,verified text
SMAC,3m,QMIX,win rate %,50,310,4,D,"recalled, unverified"
SMAC,8m,QMIX,win rate %,60,310,4,another map,verified text
SMAC,3m,VDN,win rate %,60,310,4,another algorithm,verified text
SMAC,3m,MAZero,return,19,200,4,no win rate,verified text
GRF,3m,MAZero,win rate %,10,200,4,another domain,verified text
"""


def test_published(data: tuple[pd.DataFrame, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By budget, one of unknown budget last; each beside the nearest evaluation, at 0, 200 or 400."""
    (tmp_path / "published.csv").write_text(SOURCES, encoding="utf-8")
    monkeypatch.setattr(published, "DATA", tmp_path / "published.csv")
    assert published.load()["source"].tolist() == [*"ABCD", "another map", "another algorithm"]
    wanted = [
        ("mazero", 0, 0.25, 90, "10", "C", "verified text"),
        ("mazero", 200, 0.75, 290, "3", "B", "second-hand text"),
        ("mazero", 400, 0.90, np.nan, "", "A", "verified text"),
        ("qmix", 400, 0.50, 310, "4", "D", "recalled, unverified"),
    ]
    same(
        tables.make("published", *data),
        [
            {
                "group": "smac",
                "backend": "skirmish",
                "unit_data": "4.10",
                "map": "3m",
                "algorithm": key,
                "label": LABELS[key],
                **of_two("win_rate_here", *seeds_of("3m", key, MARKS["smac"].index(mark))),
                "steps_here": mark,
                "published_win_rate": win_rate,
                "published_steps": steps,
                "published_seeds": seeds,
                "source": source,
                "confidence": confidence,
            }
            for key, mark, win_rate, steps, seeds, source, confidence in wanted
        ],
    )


def test_published_figures_are_for_every_group_and_unchanged_algorithms_only(
    data: tuple[pd.DataFrame, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ablation, or an algorithm that nobody published, is passed over; those after it are not."""
    frame, study = data
    rows = "".join(f"SMAC,{name},QMIX,win rate %,50,310,4,{name},x\n" for name in ("matrix_2", "3m"))
    (tmp_path / "published.csv").write_text(SOURCES.splitlines()[0] + "\n" + rows, encoding="utf-8")
    monkeypatch.setattr(published, "DATA", tmp_path / "published.csv")
    assert published.published(frame, study)["source"].tolist() == ["3m", "matrix_2"]
    unknown = replace(study.algorithms["mazero"], family="dqn")
    table = published.published(frame, replace(study, algorithms={**study.algorithms, "mazero": unknown}))
    assert table["source"].tolist() == ["3m", "matrix_2"]
    changed = {key: replace(item, overrides={"a": 1}) for key, item in study.algorithms.items()}
    nothing = published.published(frame, replace(study, algorithms=changed))
    assert len(nothing) == 0 and list(nothing.columns) == published.COLUMNS


def test_markdown() -> None:
    found = pd.DataFrame(
        {
            "map": ["a|b|c", "d"],
            "algorithm": ["mazero", "qmix"],
            "label": ["MAZero", "QMIX"],
            "win_rate": [0.125, -2.0],
            "win_rate_low": [0.0, -150.0],
            "win_rate_high": [99.994, np.nan],
            "late_win_rate": [100.0, np.nan],
            "env_steps": [20_000, 1],
        }
    )
    assert tables.markdown(found) == (
        "| map | algorithm | win rate | late win rate | env steps |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| a\\|b\\|c | MAZero | 0.12 [0.00, 99.99] | 100 | 20000 |\n"
        "| d | QMIX | -2.00 [-150, -] | - | 1 |\n"
    )


def test_every_table_is_written_twice(
    data: tuple[pd.DataFrame, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, study = data

    def small(name: str) -> Callable[[pd.DataFrame, Study], pd.DataFrame]:
        def make(given: pd.DataFrame, of: Study) -> pd.DataFrame:
            assert given is frame and of is study
            return pd.DataFrame({"group": ["matrix", "smac"], "backend": ["m", "s"], "of": [name] * 2})

        return make

    monkeypatch.setattr(tables, "MAKE", {name: small(name) for name in TABLES})
    for _ in range(2):  # a second time, over what is there
        written = tables.write_all(frame, study, tmp_path / "new" / "tables")
    assert written == [
        tmp_path / "new" / "tables" / f"{name}.{kind}" for name in TABLES for kind in ("csv", "md", "tex")
    ]
    for name in TABLES:
        text = f"group,backend,unit_data,of\nmatrix,m,,{name}\nsmac,s,4.10,{name}\n"
        assert (tmp_path / "new" / "tables" / f"{name}.csv").read_text(encoding="utf-8") == text
        text = f"| matrix | m |  | {name} |\n| smac | s | 4.10 | {name} |\n"
        assert (tmp_path / "new" / "tables" / f"{name}.md").read_text(encoding="utf-8").endswith(text)


def test_exact_intervals_are_what_the_bootstrap_estimates() -> None:
    scores = np.array([[0.1, 0.2, 0.9], [0.3, 0.8, 0.4]])
    seen = statistics.interval(scores, statistics.mean)
    assert (seen.low, seen.high) == pytest.approx(exact_interval(lambda drawn: float(drawn.mean()), scores), abs=1e-9)
