"""Environments of the fake factory, and what is left of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import envs
from envs.smac import SmacEnv

HERE = Path(__file__).parent  # where a worker finds the module `fake`
QUICK = {"step_timeout": 20.0, "reset_timeout": 20.0, "start_timeout": 60.0, "backoff": 0.0, "retries": 5}


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., SmacEnv]]:
    """`make(schedule, num_envs=1, **options)` builds an environment whose games fail on that schedule."""
    (tmp_path / "counters").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("FAKE_COUNTERS", str(tmp_path / "counters"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    made: list[SmacEnv] = []

    def make(schedule: str = "", num_envs: int = 1, factory: str = "fake:Fragile", **options: Any) -> SmacEnv:
        monkeypatch.setenv("FAKE_SCHEDULE", schedule)
        env = envs.make("3m", backend="smac", num_envs=num_envs, factory=factory, **{**QUICK, **options})
        assert isinstance(env, SmacEnv)
        made.append(env)
        return env

    yield make
    for env in made:
        env.close()
