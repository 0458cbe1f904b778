"""What Snakemake measures of a job: read beside the run, missing without harm, refused if it is something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import collect, job_cost
from analysis.study import Study, StudyError
from tests.analysis.synthetic import Runs, make_runs, make_study

HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
RUN = "skirmish/3m/no_awpo/seed=1"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def test_every_row_of_a_run_has_what_its_job_took(study: Study, tmp_path: Path) -> None:
    root = tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    Path(f"{Runs(study, root) / RUN}.tsv").write_text(
        f"{HEAD}61.5\t0:01:01\t512.25\t900.0\t300.0\t310.0\t1.0\t2.0\t95.0\t58.4\n", encoding="utf-8"
    )
    frame = collect.collect(study, root)
    own = (frame["algorithm"] == "no_awpo") & (frame["map"] == "3m") & (frame["seed"] == 1)
    assert frame.loc[own, list(job_cost.COLUMNS)].to_numpy().tolist() == [[61.5, 58.4, 512.25]] * 5
    assert frame.loc[~own, list(job_cost.COLUMNS)].isna().all(axis=None)
    collect.write(frame, root / "evaluations.csv")
    pd.testing.assert_frame_equal(collect.read(root / "evaluations.csv", study)[frame.columns], frame)


def test_a_table_older_than_the_columns_is_read(study: Study, tmp_path: Path) -> None:
    root = tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    collect.write(collect.collect(study, root).drop(columns=[*job_cost.COLUMNS]), root / "old.csv")
    assert collect.read(root / "old.csv", study)[list(job_cost.COLUMNS)].isna().all(axis=None)


def test_what_snakemake_could_not_measure_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "seed=0.tsv"
    path.write_text(HEAD + "0.4\t0:00:00\tNA\tNA\tNA\tNA\tNA\tNA\tNA\t-\n", encoding="utf-8")
    cost = job_cost.read(path)
    assert cost["job_wall_seconds"] == 0.4 and np.isnan([cost["job_memory_mb"], cost["job_cpu_seconds"]]).all()
    assert np.isnan(list(job_cost.read(tmp_path / "missing.tsv").values())).all()


@pytest.mark.parametrize("text", ["", HEAD, "a\tb\n1\t2\n", f"{HEAD}soon\t1\t2\n", f"{HEAD}1.0\t0:00:01\n"])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "seed=0.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"seed=0\.tsv: not a benchmark file of Snakemake \("):
        job_cost.read(path)
