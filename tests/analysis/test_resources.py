"""What jobs ask for grows with each attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import estimate, memory, resources
from tests.analysis.synthetic import make_study


def test_time_is_the_estimate_with_a_margin_and_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "run_seconds", lambda study, run: 601.0)
    study = make_study(tmp_path)
    run = next(study.runs())
    minutes = resources.MINUTES_MORE + 31  # three times 601 s, rounded up
    assert [resources.runtime_minutes(study, run, attempt=attempt) for attempt in (1, 2)] == [minutes, 2 * minutes]
    assert not resources.is_short(study, run) and resources.is_short(study, run, seconds=602)


def test_memory_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_mb", lambda study, run: 700)
    study = make_study(tmp_path)
    assert [resources.memory_mb(study, next(study.runs()), attempt=attempt) for attempt in (1, 3)] == [700, 2100]
