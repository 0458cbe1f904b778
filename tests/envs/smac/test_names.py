"""Names that rooms keep for themselves, because one must not import the other, are the same everywhere."""

from __future__ import annotations

import re

import envs
from analysis import study
from envs.starcraft import options


def test_backends_of_starcraft_are_the_same_for_runs_and_for_results() -> None:
    assert study.STARCRAFT == envs.STARCRAFT == tuple(options.BACKENDS)
    assert set(envs.STARCRAFT) < set(envs.BACKENDS)


def test_results_know_drawn_battles_by_their_names() -> None:
    assert all(re.fullmatch(study.DRAWN, name) for name in envs.available("smacv2"))
    assert not any(re.fullmatch(study.DRAWN, name) for name in envs.available("smac"))
