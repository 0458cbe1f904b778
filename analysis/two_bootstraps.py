"""rliable's intervals and our own of the same runs: `python -m analysis.two_bootstraps STUDIES... --out FILE`.

STUDIES are folders of finished studies with an `evaluations.csv`. Both are percentile intervals of the same stratified
bootstrap: rliable's with its `REPETITIONS` (`analysis.aggregates`), ours with its own (`analysis.statistics`) and other
random numbers. Estimates must agree to rounding; ends of intervals differ by chance.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import aggregates, collect, statistics
from analysis.comparisons import SCORES, reference_of, run_scores
from analysis.statistics import Estimate
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_study
from training.files import write_text


def table(frame: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Every interval of one study by both: a row per group, score of a run, algorithm and metric.

    Columns: study, group, maps, seeds, score (of `comparisons.SCORES`), algorithm, metric; value, low and high by
    rliable and, with the prefix own_, by ours. Metrics are those of `aggregates.METRICS`, and `improvement`: the
    probability that the reference beats the algorithm.
    """
    rows = []
    for group in study.groups.values():
        reference = reference_of(study, group)
        place = {"study": study.name, "group": group.key, "maps": len(group.maps), "seeds": len(group.seeds)}
        for measure in SCORES:
            scores = run_scores(frame, study, group, measure)
            for key, matrix in scores.items():
                pairs = {
                    metric: (estimate, statistics.interval(matrix, statistics.METRICS[metric]))
                    for metric, estimate in aggregates.aggregates(matrix).items()
                }
                if key != reference:
                    both = scores[reference], matrix
                    pairs["improvement"] = aggregates.improvement(*both), statistics.improvement_interval(*both)
                for metric, (theirs, own) in pairs.items():
                    named = {"score": measure, "algorithm": key, "metric": metric}
                    rows.append({**place, **named, **_columns("", theirs), **_columns("own_", own)})
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per metric: how many intervals, largest difference of estimates, mean and largest of ends."""
    ends = (rows[["low", "high"]] - rows[["own_low", "own_high"]].to_numpy()).abs()
    parts = rows.assign(
        estimate=(rows["value"] - rows["own_value"]).abs(), end_mean=ends.mean(axis=1), end_max=ends.max(axis=1)
    )
    grouped = parts.groupby("metric", sort=False)
    return grouped.agg(
        intervals=("estimate", "size"),
        estimates_differ_at_most=("estimate", "max"),
        ends_differ_on_average=("end_mean", "mean"),
        ends_differ_at_most=("end_max", "max"),
    ).reset_index()


def _columns(prefix: str, estimate: Estimate) -> dict[str, Any]:
    return {f"{prefix}value": estimate.value, f"{prefix}low": estimate.low, f"{prefix}high": estimate.high}


def main(argv: list[str] | None = None) -> int:
    """The command: OUT, and a summary by metric on the screen. Returns: exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.two_bootstraps", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("studies", nargs="+", type=Path, help="folders of studies, e.g. results/reference/quickstart")
    parser.add_argument("--out", type=Path, required=True, help="CSV")
    arguments = parser.parse_args(argv)
    try:
        tables = []
        for folder in arguments.studies:
            study = load_study(STUDIES / f"{folder.resolve().name}.yaml")
            tables.append(table(collect.read(folder / "evaluations.csv", study), study))
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    rows = pd.concat(tables, ignore_index=True)
    written = write_text(arguments.out, rows.to_csv(index=False, float_format="%.5f", lineterminator="\n"))
    sys.stdout.write(f"{summary(rows).to_string(index=False)}\n{written}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
