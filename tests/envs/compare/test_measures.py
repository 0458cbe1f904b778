"""Measures against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from envs.compare.measures import MEASURES, marks, measure
from tests.envs.compare.drawn import battle

# Two agents, one enemy; six loops of cooldown after an attack, eight loops a step.
HEALTH = [[10, 10, 20], [10, 10, 20], [10, 7, 14], [0, 7, 14], [0, 7, 11], [0, 7, 0]]
SHIELD = [[4, 0, 5], [4, 0, 5], [4, 0, 5], [3, 0, 0], [0, 0, 0], [0, 0, 0]]
COOLDOWN = [[0, 0, 0], [0, 0, 0], [6, 6, 0], [6, 2, 0], [6, 5, 0], [6, 5, 0]]


def found(**changes: object) -> dict[str, float]:
    parts = {"health": HEALTH, "shield": SHIELD, "cooldown": COOLDOWN, "rewards": [0, 1, 1, 0.5, 10], "won": True}
    battles = battle(**{**parts, **changes}, n=2)  # type: ignore[arg-type]
    result = measure(battles, episode_limit=60, step_mul=8)
    return {name: float(result.values[name][0]) for name in MEASURES}


def test_a_battle_by_hand() -> None:
    values = found()
    assert values["won"] == 1.0 and values["length"] == 5.0 and values["return"] == 12.5
    assert values["first_contact"] == 2.0  # nothing is lost in the first step
    # The enemy loses 6, 5 (its shield), 3 and 11. Attacks: both agents in step 2 (0 -> 6), the second in steps 3
    # (6 -> 2: six loops are shorter than a step), 4 and 5 (5 -> 5: another attack). The first is dead from step 3 on.
    assert values["damage_per_attack"] == pytest.approx(25 / 5)
    assert values["loss_per_hit_enemies"] == pytest.approx(25 / 4)
    # Agents: the second loses 3, the first 14 at once: what its shield had is lost with it.
    assert values["loss_per_hit_agents"] == pytest.approx((3 + 14) / 2)
    assert values["left_agents"] == pytest.approx(7 / 24, abs=1e-4) and values["left_enemies"] == 0.0


def test_a_weapon_that_only_cools_down_does_not_attack() -> None:
    cooling = [[20, 0, 0], [12, 0, 0], [4, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    health = [[10, 10, 20]] * 5 + [[10, 10, 15]]
    values = found(health=health, shield=None, cooldown=cooling)
    assert np.isnan(values["damage_per_attack"])  # a loss without an attack
    assert values["first_contact"] == 5.0 and values["loss_per_hit_enemies"] == 5.0


def test_what_comes_back_is_no_damage() -> None:
    health = [[10, 10, 20], [10, 10, 12], [10, 10, 16], [10, 10, 16], [10, 10, 20], [10, 10, 19]]
    values = found(health=health, shield=None)
    assert values["loss_per_hit_enemies"] == pytest.approx((8 + 1) / 2)
    assert values["left_enemies"] == pytest.approx(19 / 20)


def test_a_battle_without_contact_has_no_such_measures() -> None:
    values = found(health=[[10, 10, 20]] * 6, shield=None, cooldown=None, won=False)
    for name in ("first_contact", "damage_per_attack", "loss_per_hit_enemies", "loss_per_hit_agents"):
        assert np.isnan(values[name]), name
    assert values["left_agents"] == values["left_enemies"] == 1.0


def test_curves_are_taken_at_the_marks_and_go_on_after_the_end() -> None:
    at = marks(60)
    assert at.tolist() == list(range(0, 61, 2))
    curves = measure(battle(HEALTH, n=2, shield=SHIELD), episode_limit=60, step_mul=8).curves
    assert curves["enemies"][0, :4].tolist() == pytest.approx([1.0, 19 / 25, 11 / 25, 0.0])
    assert curves["agents"][0, :3].tolist() == pytest.approx([1.0, 21 / 24, 7 / 24], abs=1e-4)
    assert (curves["agents"][0, 3:] == round(7 / 24, 4)).all() and curves["agents"].shape == (1, 31)


@pytest.mark.parametrize(("limit", "last", "count"), [(60, 60, 31), (300, 300, 31), (70, 72, 25), (5, 5, 6)])
def test_marks_reach_the_limit(limit: int, last: int, count: int) -> None:
    at = marks(limit)
    assert (at[0], at[-1], len(at)) == (0, last, count)
