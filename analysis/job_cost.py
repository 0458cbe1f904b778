"""What a job took, as Snakemake measures it (`benchmark:`): a file beside the run directory, which nothing depends on.

It is of the job that ended the run: what a job that was killed before took is in the run's own `wall_seconds` alone.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from analysis.study import StudyError

# Column of the collected table -> Snakemake's: seconds, CPU seconds of all processes, largest resident memory in MB.
COLUMNS = {"job_wall_seconds": "s", "job_cpu_seconds": "cpu_time", "job_memory_mb": "max_rss"}
UNKNOWN = ("NA", "-")  # of a job too short to be looked at


def read(path: Path) -> dict[str, float]:
    """What Snakemake measured of a job, by COLUMNS; NaN for what it could not measure, or where there is no file.

    Raises: StudyError naming the file if it is not what Snakemake writes.
    """
    if not path.is_file():
        return dict.fromkeys(COLUMNS, math.nan)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            *_, row = csv.DictReader(file, delimiter="\t")
        return {column: float("nan" if row[name] in UNKNOWN else row[name]) for column, name in COLUMNS.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"{path}: not a benchmark file of Snakemake ({error}); remove it, the run does not need it"
        ) from error
