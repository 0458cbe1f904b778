"""What runs took: `python -m analysis.costs TABLES... --out analysis/data/costs.csv`, seconds by method and map.

TABLES are evaluations of runs, as studies collect them (`evaluations.csv`) or as `analysis.tried` writes them, where a
run that was stopped counts as far as it went. Evaluations are part of the time; so is whatever else the machine did.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from analysis import collect
from analysis.study import StudyError
from analysis.study_files import STUDIES, load_study
from training.files import write_text

DATA = Path(__file__).parent / "data" / "costs.csv"
RUN = ["family", "preset", "map", "seed"]


def runs_of(path: Path) -> pd.DataFrame:
    """One row a run: family, preset, map, seed, seconds_per_1000_steps. Raises: StudyError if there is none."""
    frame = pd.read_csv(path, dtype={"unit_data": str})
    if "study" in frame.columns:
        study = load_study(STUDIES / f"{frame['study'].iloc[0]}.yaml")
        frame = collect.read(path, study)
        frame["family"] = frame["algorithm"].map({key: item.family for key, item in study.algorithms.items()})
    elif "kind" in frame.columns:
        frame = frame[(frame["kind"] == "eval") & (frame["env_steps"] > 0)].rename(columns={"algorithm": "family"})
    else:
        raise StudyError(
            f"{path}: neither a collected table nor one of analysis.tried; its columns: {[*frame.columns]}"
        )
    if frame.empty:
        raise StudyError(f"{path}: holds no run")
    keys = [*RUN, *({"algorithm", "name"} & set(frame.columns))]
    last = frame.sort_values("env_steps").groupby(keys, as_index=False).last()
    return last.assign(seconds_per_1000_steps=1000 * last["wall_seconds"] / last["env_steps"])


def table(paths: list[Path]) -> pd.DataFrame:
    """Means over runs: family, preset, map, seconds_per_1000_steps, runs, and the tables they come from."""
    runs = pd.concat([runs_of(path).assign(source=path.as_posix()) for path in paths], ignore_index=True)
    grouped = runs.groupby(["family", "preset", "map"], as_index=False)
    means = grouped.agg(
        seconds_per_1000_steps=("seconds_per_1000_steps", "mean"),
        runs=("seed", "size"),
        source=("source", lambda names: " ".join(sorted(set(names)))),
    )
    return means.round({"seconds_per_1000_steps": 3})


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="+", help="evaluations of runs, CSV")
    parser.add_argument("--out", type=Path, default=DATA, help=f"default: {DATA.name} beside the other data")
    arguments = parser.parse_args(argv)
    try:
        costs = table(arguments.tables)
    except (OSError, StudyError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    written = write_text(arguments.out, costs.to_csv(index=False, lineterminator="\n"))
    sys.stdout.write(f"{written}: {len(costs)} settings and maps, {costs['runs'].sum()} runs\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
