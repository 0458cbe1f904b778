"""Raw unit commands of the API as orders of the simulator, and the answers that the game gives to them.

Positions travel as float32. A move along one axis is meant relative to where the unit was seen, so it is carried out
from where the unit exactly is, if the point on the wire is the same: SMAC's moves are then those of `skirmish`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skirmish.physics.combat import can_hit
from skirmish.physics.tables import EAST, FIRST_TARGET, HEALTH, K_BIOLOGICAL, K_STRUCTURE, KIND, STOP, X, Y
from skirmish.protocol.battle import Battle

MOVE_ABILITY, STOP_ABILITY, ATTACK_ABILITY, HEAL_ABILITY = 16, 4, 23, 386
ABILITIES = {STOP_ABILITY: "stop", MOVE_ABILITY: "move", ATTACK_ABILITY: "attack", HEAL_ABILITY: "heal"}

SUCCESS = "Success"


def wire(value: float) -> float:
    """A coordinate as it travels: float32, never rounded up to a whole number, so that it stays in its map cell."""
    near = np.float32(value)
    if math.floor(float(near)) != math.floor(value):
        near = np.nextafter(near, np.float32(-np.inf))
    return float(near)


def carry_out(battle: Battle, command: Any) -> str:
    """Carry out one ActionRawUnitCommand. Returns: name of an ActionResult, the last unit's that is not a success."""
    if command.ability_id not in ABILITIES:
        return "NotSupported"
    if command.queue_command:
        return "CantQueueThatOrder"
    if not command.unit_tags:
        return "Error"
    results = [_one(battle, tag, command) for tag in command.unit_tags]
    return next((r for r in reversed(results) if r != SUCCESS), SUCCESS)


def _one(battle: Battle, tag: int, command: Any) -> str:
    unit = _living(battle, tag)
    if unit is None:
        return "Error"
    if unit >= battle.n_agents:
        return "YouCantControlThatUnit"
    if command.ability_id == STOP_ABILITY:
        battle.order(unit, STOP)
        return SUCCESS
    if command.HasField("target_unit_tag"):
        target = _living(battle, command.target_unit_tag)
        if target is None:
            return "CantTargetThatUnit"
        return _at_unit(battle, unit, target, command.ability_id)
    if not command.HasField("target_world_space_pos"):
        return "MustTargetUnit"
    if command.ability_id == HEAL_ABILITY:
        return "RequiresHealTarget"
    # Agents never choose a target for themselves, so that an attack on a point is a walk there.
    point = command.target_world_space_pos
    if not (math.isfinite(point.x) and math.isfinite(point.y)):
        return "Error"
    battle.order(unit, EAST, _meant(battle, unit, point.x, point.y))
    return SUCCESS


def _living(battle: Battle, tag: int) -> int | None:
    unit = battle.index.get(tag)
    return unit if unit is not None and battle.units[0, HEALTH, unit] > 0.0 else None


def _at_unit(battle: Battle, unit: int, target: int, ability: int) -> str:
    kind = battle.kind(unit)
    if ability == MOVE_ABILITY:
        battle.follow(unit, target)
        return SUCCESS
    if ability == HEAL_ABILITY:
        if kind.heal is None:
            return "NotSupported"
        if target >= battle.n_agents:
            return "MustTargetFriendlyUnits"
        row = battle.facts[battle.marks[0, KIND, target]]
        if row[K_BIOLOGICAL] == 0.0 or row[K_STRUCTURE] > 0.0:
            return "MustTargetBiologicalUnits"
        if battle.units[0, HEALTH, target] >= battle.kind(target).health_max:
            return "Error"
        battle.order(unit, FIRST_TARGET + target)
        return SUCCESS
    if kind.weapon is None:
        return "NotSupported"
    if target < battle.n_agents:
        return "MustTargetEnemyUnits"
    if not can_hit(battle.marks[0], battle.facts, unit, target):
        return "CantTargetThatUnit"
    battle.order(unit, FIRST_TARGET + target - battle.n_agents)
    return SUCCESS


def _meant(battle: Battle, unit: int, x: float, y: float) -> tuple[float, float]:
    """The goal of a walk: exact for a step along an axis, reckoned from the position that was seen."""
    here = float(battle.units[0, X, unit]), float(battle.units[0, Y, unit])
    seen = wire(here[0]), wire(here[1])
    if x == seen[0]:
        return here[0], _along(here[1], seen[1], y)
    if y == seen[1]:
        return _along(here[0], seen[0], x), here[1]
    return x, y


def _along(here: float, seen: float, goal: float) -> float:
    """`here` plus the step that leads from `seen` to `goal` in float32, to 4 decimals if that is the same point."""
    step = round(goal - seen, 4)
    return here + step if float(np.float32(seen + step)) == goal else goal
