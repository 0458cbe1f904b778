"""Battles made up by hand and by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.compare.battles import COOLDOWN, HEALTH, SHIELD, Battles, Recorder
from envs.compare.measures import CURVES, MEASURES, Measured


def battle(
    health: Sequence[Sequence[float]],
    *,
    n: int,
    shield: Sequence[Sequence[float]] | None = None,
    cooldown: Sequence[Sequence[float]] | None = None,
    rewards: Sequence[float] | None = None,
    won: bool = False,
) -> Battles:
    """One episode. Args: health, shield, cooldown: a row of U numbers for every state."""
    states = np.zeros((len(health), 6, len(health[0])))
    for row, values in ((HEALTH, health), (SHIELD, shield), (COOLDOWN, cooldown)):
        if values is not None:
            states[:, row] = values
    recorder = Recorder(1, n)
    recorder.begin(0, np.arange(states.shape[2]), states[0, HEALTH], states[0])
    for t, state in enumerate(states[1:]):
        recorder.step(0, np.full(n, t), rewards[t] if rewards else 0.0, state)
    recorder.end(0, won=won, truncated=False)
    return recorder.take()


def measured(rng: np.random.Generator, episodes: int, *, shift: float = 0.0, rate: float = 0.5) -> Measured:
    """Made-up measures: normal, `won` with a chance of `rate`, curves that fall."""
    values = {name: rng.normal(shift, 1.0, episodes) for name in MEASURES}
    values["won"] = (rng.random(episodes) < rate).astype(float)
    fall = 1.0 - np.arange(6) / 10
    curves = {side: fall + rng.normal(shift, 1.0, (episodes, 6)) for side in CURVES}
    return Measured(values, curves)
