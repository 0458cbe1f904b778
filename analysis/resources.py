"""What the job of a run asks of a scheduler: memory, and the time after which it may be ended.

Both are estimates, and both may fall short: a scheduler ends a job that goes beyond them. The next attempt goes on from
the run's checkpoint and is given more, `attempt` times as much.
"""

from __future__ import annotations

import math

from analysis import estimate, memory
from analysis.study import Run, Study

TIME_MARGIN = 3.0  # estimates are right to a factor of two, and a node may be slower than the machine behind them
MINUTES_MORE = 20  # kernels that are compiled first
SHORT_SECONDS = 300.0  # runs below it share a job


def runtime_minutes(study: Study, run: Run, *, attempt: int = 1) -> int:
    """Minutes after which a scheduler may end the job of a run."""
    return attempt * (MINUTES_MORE + math.ceil(TIME_MARGIN * estimate.run_seconds(study, run) / 60))


def memory_mb(study: Study, run: Run, *, attempt: int = 1) -> int:
    """Memory that the job of a run asks for, MB. Raises: StudyError as `memory.memory_mb`."""
    return attempt * memory.memory_mb(study, run)


def is_short(study: Study, run: Run, *, seconds: float = SHORT_SECONDS) -> bool:
    """Whether a run is too short for a job of its own: starting one takes seconds."""
    return estimate.run_seconds(study, run) < seconds
