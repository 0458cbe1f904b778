"""Where runs lie: each configuration and seed once, whatever studies need it.

    results/runs/<backend>/<map>/<family>-<identity>/seed=<n>/

The identity (`training.identity`) is a hash of everything that a run resolves to: studies that ask for the same run
share it, and a run whose preset or settings were edited since is another one, in another place.
"""

from __future__ import annotations

from pathlib import Path

from analysis import expected
from analysis.study import RUNS, Run, Study


def directory(study: Study, run: Run) -> Path:
    """Run directory, relative to the folder of all results. Raises: StudyError if the run's program would refuse it."""
    variant = f"{study.algorithms[run.algorithm].family}-{expected.identity(study, run)}"
    return Path(RUNS) / run.backend / run.map / variant / f"seed={run.seed}"


def place(study: Study, run: Run, root: Path) -> Path:
    """Run directory of a study whose own folder, `root`, is results/<study>. Raises: as `directory`."""
    return root.parent / directory(study, run)
