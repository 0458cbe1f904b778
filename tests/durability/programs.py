"""Two small runs, one of MAZero and one of QMIX, whose every record follows from seed and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.metrics import read_records, without_clock

SHARED = ["--map", "matrix_1", "--preset", "matrix", "--eval-episodes", "4", "--progress", "none"]
MAZERO = ["replay.start=100", "search.num_simulations=10", "optimiser.batch_size=16"]
TRAIN = {
    "mazero": ["mazero", "train", *SHARED, "--env-steps", "3000", "--eval-every", "200", "--set", *MAZERO],
    "qmix": ["baselines", "train", "--algorithm", "qmix", *SHARED, "--env-steps", "8000", "--eval-every", "400"],
}


def command(name: str, out: Path, *, seed: int = 0, more: tuple[str, ...] = ()) -> list[str]:
    """Arguments after `python -m` of one of the runs."""
    return [*TRAIN[name], "--seed", str(seed), "--out", str(out), *more]


def records(run: Path) -> list[dict[str, Any]]:
    """What a run has measured, clock readings left out."""
    return [without_clock(record) for record in read_records(run / "metrics.jsonl")]
