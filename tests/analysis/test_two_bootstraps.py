"""rliable's intervals beside our own: the table, its summary, the command, and the committed figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis import aggregates, collect, statistics, two_bootstraps
from analysis.study import Study
from tests.analysis.measured import measured, seeds_of

pytestmark = pytest.mark.usefixtures("few_repetitions")
COMMITTED = Path(__file__).parents[2] / "results" / "reference" / "statistics" / "two_bootstraps.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Study]:
    return measured(tmp_path_factory.mktemp("two"))


def test_table(data: tuple[pd.DataFrame, Study]) -> None:
    rows = two_bootstraps.table(*data)
    # 2 groups x 2 scores x (3 algorithms x 4 metrics + 2 comparisons)
    assert len(rows) == 2 * 2 * (3 * 4 + 2)
    chosen = rows[(rows["group"] == "smac") & (rows["score"] == "final_win_rate") & (rows["algorithm"] == "no_awpo")]
    assert chosen["metric"].tolist() == [*aggregates.METRICS, "improvement"]
    first, second = seeds_of("3m", "no_awpo", -1)
    (mean,) = chosen[chosen["metric"] == "mean"].to_dict("records")
    # Two runs: both bootstraps can only say that it lies between them.
    for prefix in ("", "own_"):
        found = [mean[f"{prefix}{name}"] for name in ("value", "low", "high")]
        assert found == pytest.approx([(first + second) / 2, min(first, second), max(first, second)])
    assert (mean["maps"], mean["seeds"], mean["study"]) == (1, 2, "measured")


def test_own_numbers_are_our_own(data: tuple[pd.DataFrame, Study], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "interval", lambda scores, statistic: statistics.Estimate(7.0, 6.0, 9.0))
    rows = two_bootstraps.table(*data)
    rows = rows[rows["metric"] != "improvement"]
    assert set(rows["own_value"]) == {7} and set(rows["own_low"]) == {6} and set(rows["own_high"]) == {9}
    assert rows["value"].max() <= 1


def test_summary() -> None:
    columns = ["metric", "value", "low", "high", "own_value", "own_low", "own_high"]
    rows = pd.DataFrame(
        [["iqm", 0.5, 0.1, 0.9, 0.5, 0.2, 0.9], ["iqm", 0.5, 0.2, 0.8, 0.25, 0.2, 0.5]], columns=columns
    )
    (found,) = two_bootstraps.summary(rows).to_dict("records")
    assert (found["metric"], found["intervals"], found["estimates_differ_at_most"]) == ("iqm", 2, 0.25)
    assert found["ends_differ_on_average"] == pytest.approx((0.1 + 0 + 0 + 0.3) / 4)
    assert found["ends_differ_at_most"] == pytest.approx(0.3)


def test_command(
    data: tuple[pd.DataFrame, Study],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame, study = data
    monkeypatch.setattr(two_bootstraps, "load_study", lambda path: study if path.name == "measured.yaml" else None)
    monkeypatch.setattr(collect, "read", lambda path, of: frame if path.parent.name == "measured" else None)
    out = tmp_path / "out.csv"
    assert two_bootstraps.main([str(tmp_path / "measured"), "--out", str(out)]) == 0
    assert len(pd.read_csv(out)) == 56
    assert "ends_differ_at_most" in capsys.readouterr().out


def test_a_study_that_does_not_exist_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert two_bootstraps.main([str(tmp_path / "unheard_of"), "--out", str(tmp_path / "out.csv")]) == 2
    assert "unheard_of.yaml: no such study file" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_committed_differences_are_small() -> None:
    """Estimates agree to the five digits written; ends of intervals differ by less than one step of the scores."""
    rows = two_bootstraps.summary(pd.read_csv(COMMITTED))
    assert rows["metric"].tolist() == [*aggregates.METRICS, "improvement"]
    assert rows["estimates_differ_at_most"].max() < 2e-5
    assert rows["ends_differ_on_average"].max() < 0.005
