"""What is measured on battles, one number an episode, and how the health of both sides falls.

Everything is seen between environment steps, as the game tells it:

- `won` 0 or 1; `return`; `length` in steps.
- `first_contact`: the step after which a unit first has less health and shield than before.
- `damage_per_attack`: what the enemies lost, over the attacks of the agents. An agent has attacked in a step if its
  weapon's cooldown is longer afterwards than the step leaves of it. Who attacks twice in a step counts once; what
  regenerates in the same step is not seen.
- `loss_per_hit_agents`, `loss_per_hit_enemies`: mean loss of a unit in the steps in which it loses something.
- `left_agents`, `left_enemies`: share of the side's health and shield that is left at the end.

NaN where there was nothing: no contact, no attack, no hit. Curves are `left_...` over time, at `marks`, the last value
going on after the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.compare.battles import COOLDOWN, HEALTH, SHIELD, Battles

MEASURES = (
    "won",
    "return",
    "length",
    "first_contact",
    "damage_per_attack",
    "loss_per_hit_enemies",
    "loss_per_hit_agents",
    "left_agents",
    "left_enemies",
)
CURVES = ("agents", "enemies")
INTERVALS = 30  # between marks, at most
DIGITS = 4  # of every number: what is computed from a file is what was computed before it was written
TOUCH = 0.01  # loops of cooldown, points of health: less is rounding


@dataclass(frozen=True, eq=False)
class Measured:
    """Of E episodes."""

    values: dict[str, np.ndarray]  # measure -> (E,) float64
    curves: dict[str, np.ndarray]  # side -> (E, marks) share of health and shield


def marks(episode_limit: int) -> np.ndarray:
    """Steps at which curves are taken, from 0 to the limit, the same for all battles of a map."""
    every = max(1, -(-episode_limit // INTERVALS))
    return np.arange(0, episode_limit + every, every)


def measure(battles: Battles, *, episode_limit: int, step_mul: int) -> Measured:
    """Measure all episodes. Args: step_mul: game loops of a step."""
    at = marks(episode_limit)
    values = {name: np.full(len(battles), np.nan) for name in MEASURES}
    curves = {side: np.zeros((len(battles), len(at))) for side in CURVES}
    n = battles.actions.shape[1]
    for e in range(len(battles)):
        rows = slice(int(battles.start[e]), int(battles.start[e + 1]))
        states = battles.states[rows].astype(np.float64)  # (T + 1, 6, U)
        points = np.where(states[:, HEALTH] > 0.0, states[:, HEALTH] + states[:, SHIELD], 0.0)  # (T + 1, U)
        loss = np.maximum(points[:-1] - points[1:], 0.0)
        loss[loss < TOUCH] = 0.0
        cooldown = states[:, COOLDOWN, :n]
        fired = cooldown[1:] > np.maximum(cooldown[:-1] - step_mul, 0.0) + TOUCH
        attacks = int((fired & (points[1:, :n] > 0.0)).sum())
        hit = np.flatnonzero(loss.any(1))
        found = {
            "won": float(battles.won[e]),
            "return": float(battles.reward[rows].sum()),
            "length": float(len(states) - 1),
            "first_contact": float(hit[0] + 1) if len(hit) else np.nan,
            "damage_per_attack": loss[:, n:].sum() / attacks if attacks else np.nan,
        }
        for side, units in (("agents", slice(0, n)), ("enemies", slice(n, None))):
            hits = loss[:, units] > 0.0
            found[f"loss_per_hit_{side}"] = loss[:, units][hits].mean() if hits.any() else np.nan
            share = points[:, units].sum(1) / points[0, units].sum()
            found[f"left_{side}"] = share[-1]
            curves[side][e] = share[np.minimum(at, len(share) - 1)]
        for name, value in found.items():
            values[name][e] = value
    rounded = [{name: np.round(a, DIGITS) for name, a in arrays.items()} for arrays in (values, curves)]
    return Measured(*rounded)
