"""What an agent's action tells the game, in the form of the game's own messages, and SMAC's built-in script.

The second layer of `smac.StarCraft2Env`. The simulator takes action ids, so that commands only describe what happens:
they are not sent anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from skirmish.faces.records import Position, Unit
from skirmish.faces.unit_view import Direction, UnitView
from skirmish.physics.tables import EAST, NO_OP, NORTH, SOUTH, STOP, WEST

ABILITIES = {"move": 16, "attack": 23, "stop": 4, "heal": 386}  # ids of the game
HEADINGS = {NORTH: (0, 1), SOUTH: (0, -1), EAST: (1, 0), WEST: (-1, 0)}  # action -> unit step
NOWHERE = Position(0.0, 0.0)


@dataclass(frozen=True)
class UnitCommand:
    """An order to units. What an order does not need has the value 0, as in the game's messages."""

    ability_id: int
    unit_tags: tuple[int, ...]
    target_world_space_pos: Position
    target_unit_tag: int
    queue_command: bool


@dataclass(frozen=True)
class ActionRaw:
    """See `Action`."""

    unit_command: UnitCommand


@dataclass(frozen=True)
class Action:
    """One command: `action.action_raw.unit_command`."""

    action_raw: ActionRaw


class TargetError(KeyError, IndexError):
    """An action that names no unit; SMAC raises a KeyError."""

    __str__ = Exception.__str__


class CommandView(UnitView):
    """Commands of agents. `heuristic_targets` holds each agent's target index or None, from `reset()` on."""

    heuristic_targets: list[int | None]
    heuristic_rest: bool

    def get_agent_action(self, a_id: int, action: int) -> Action | None:
        """The command of an agent's action; None for the no-op.

        Raises:
          AssertionError for an action that is not available; IndexError for one outside [-A, A); KeyError for a
          negative one that counts from the end to an available action, since it names no unit.
        """
        available = self.get_avail_agent_actions(a_id)
        if not -self.n_actions <= action < self.n_actions:
            raise IndexError(
                f"action of agent {a_id} must lie in [0, {self.n_actions}), got {action}: choose by availability"
            )
        if available[action] != 1:
            possible = [a for a, can in enumerate(available) if can]
            raise AssertionError(
                f"action of agent {a_id} must be one of the available {possible}, got {action}: "
                "choose by get_avail_agent_actions"
            )
        unit = self.get_unit_by_id(a_id)
        if action == NO_OP:
            return None
        if action == STOP:
            return _command("stop", unit)
        if action in HEADINGS:
            return self._move(unit, action)
        return self._at_target(unit, a_id, action)

    def get_agent_action_heuristic(self, a_id: int, action: int) -> tuple[Action | None, int]:
        """The script's command for an agent and its action id; (None, 0) without a target.

        Medivacs heal the nearest hurt ally that is no medivac, until it is dead or at full health; the others attack
        the nearest enemy until it is dead, from any distance. With heuristic_rest who is too far away walks along the
        longer axis instead, whether the way is free or not. Changes `heuristic_targets[a_id]`.

        Args: action: not used, as in SMAC.
        Raises: RuntimeError in an environment built without heuristic_ai.
        """
        if not hasattr(self, "heuristic_targets"):
            raise RuntimeError(
                f"the script needs targets to remember, got heuristic_ai={self.options['heuristic_ai']}: "
                "build the environment with heuristic_ai=True and call reset()"
            )
        unit = self.get_unit_by_id(a_id)
        heals = unit.unit_type == self.medivac_id
        side = self.agents if heals else self.enemies
        target = self.heuristic_targets[a_id]
        if target is None or side[target].health == 0 or (heals and side[target].health == side[target].health_max):
            target = self._nearest(unit, self._wanted(unit, side, heals))
            self.heuristic_targets[a_id] = target
        if target is None:
            return None, NO_OP
        chosen = self.n_actions_no_attack + target
        if not self.heuristic_rest or self.get_avail_agent_actions(a_id)[chosen] == 1:
            return _command("heal" if heals else "attack", unit, tag=side[target].tag), chosen
        dx, dy = side[target].pos.x - unit.pos.x, side[target].pos.y - unit.pos.y
        if abs(dx) > abs(dy):
            heading = EAST if dx > 0 else WEST
        else:
            heading = NORTH if dy > 0 else SOUTH
        return self._move(unit, heading), heading

    def _wanted(self, unit: Unit, side: Mapping[int, Unit], heals: bool) -> dict[int, Unit]:
        """Whom the script may choose."""
        if heals:
            return {k: u for k, u in side.items() if u.unit_type != self.medivac_id and 0 < u.health != u.health_max}
        # SMAC compares with the allied medivac's id here, so that marauders do attack the enemy's.
        spared = self.medivac_id if unit.unit_type == self.marauder_id else None
        return {k: u for k, u in side.items() if u.health > 0 and u.unit_type != spared}

    def _nearest(self, unit: Unit, candidates: Mapping[int, Unit]) -> int | None:
        """The first of the nearest units, if it is nearer than the map's diagonal."""
        best, nearest = math.hypot(self.max_distance_x, self.max_distance_y), None
        for k, other in candidates.items():
            distance = self.distance(unit.pos.x, unit.pos.y, other.pos.x, other.pos.y)
            if distance < best:
                best, nearest = distance, k
        return nearest

    def _at_target(self, unit: Unit, a_id: int, action: int) -> Action | None:
        heals = self.map_type in self.healing_map_types and unit.unit_type == self.medivac_id
        side = self.agents if heals else self.enemies
        target = action - self.n_actions_no_attack
        if target not in side:
            raise TargetError(
                f"action of agent {a_id} must lie in [0, {self.n_actions}), got {action}, which is unit {target} of "
                f"{len(side)}: negative ids name nobody"
            )
        return _command("heal" if heals else "attack", unit, tag=side[target].tag)

    def _move(self, unit: Unit, action: int) -> Action:
        dx, dy = HEADINGS[action]
        goal = Position(unit.pos.x + dx * self._move_amount, unit.pos.y + dy * self._move_amount)
        return _command("move", unit, goal=goal)


def _command(ability: str, unit: Unit, *, goal: Position = NOWHERE, tag: int = 0) -> Action:
    return Action(ActionRaw(UnitCommand(ABILITIES[ability], (unit.tag,), goal, tag, queue_command=False)))


__all__ = ["ABILITIES", "Action", "ActionRaw", "CommandView", "Direction", "TargetError", "UnitCommand"]
