"""One battle seen as SMAC sees it: a map's values, records of the units, and what SMAC's class tells about them.

The first layer of `smac.StarCraft2Env`; it builds the simulator and reads it. Nothing here moves the battle on.
"""

from __future__ import annotations

import enum
import math
import warnings
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from skirmish.checks import require_known
from skirmish.contract.layout import P_SHOOT, P_SIGHT
from skirmish.contract.options import SkirmishOptions
from skirmish.data.maps import MapSpec, agent_types, map_names
from skirmish.faces.multi_agent import MultiAgentEnv
from skirmish.faces.records import FIRST_ALLY_TYPE, ObservationResponse, Unit, observe, units_of
from skirmish.faces.registry import UnknownMapError
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.rules import Rules
from skirmish.physics.tables import FIRST_TARGET, HEALTH

TYPE_NAMES = (
    *("marine", "marauder", "medivac", "stalker", "zealot"),
    *("colossus", "hydralisk", "zergling", "baneling"),
)  # each has an attribute such as `marine_id`
# SMAC's own constants, whatever the game's version says: divisors of cooldowns (a medivac's is its energy), and of
# shields, the latter with the id of the standard type.
MAX_COOLDOWNS = {
    **{"marine": 15, "marauder": 25, "medivac": 200, "stalker": 35, "zealot": 22},
    **{"colossus": 24, "hydralisk": 10, "zergling": 11, "baneling": 1},
}
OTHER_COOLDOWN = 15
MAX_SHIELDS = {"stalker": (74, 80), "zealot": (73, 50), "colossus": (4, 150)}
MEDIVAC = 54  # the standard type's id
# Standard type id -> index in the enemies' type one-hot, by SMAC's map_type; other types have the last index.
ENEMY_BITS = {
    "stalkers_and_zealots": {73: 0, 74: 1},
    "colossi_stalkers_zealots": {4: 0, 74: 1, 73: 2},
    "bane": {9: 0, 105: 1},
    "MMM": {51: 0, 48: 1, 54: 2},
}

# SMAC's options that are none of the simulator's, with SMAC's defaults.
FACE_OPTIONS: dict[str, Any] = {
    "seed": None,
    "heuristic_ai": False,
    "heuristic_rest": False,
    "replay_dir": "",
    "replay_prefix": "",
    "window_size_x": 1920,
    "window_size_y": 1200,
    "debug": False,
}


class Direction(enum.IntEnum):
    """Where a unit is asked to go."""

    NORTH = 0
    SOUTH = 1
    EAST = 2
    WEST = 3


class UnitView(MultiAgentEnv):
    """Unit records and facts under SMAC's names. The simulator is the attribute `simulator`, with one slot."""

    n_actions_no_attack = FIRST_TARGET
    n_actions_move = 4
    n_obs_pathing, n_obs_height = 8, 9  # surrounding points; the heights include the unit's own
    # There is no game program behind this class: what SMAC keeps of it is None for ever.
    _run_config = _sc2_proc = _controller = last_stats = None

    options_type: type[SkirmishOptions] = SkirmishOptions
    observation_family = "smac"
    healing_map_types: tuple[str, ...] = ("MMM",)  # where medivacs heal and do not count as fighters

    def __init__(self, map_name: str | MapSpec, rules: Rules | None, options: dict[str, Any]) -> None:
        """Build the simulator and take over the map's values; see `smac.StarCraft2Env`."""
        defaults = {f.name: f.default for f in fields(self.options_type)}
        for option in options:
            require_known("option", option, (*FACE_OPTIONS, *defaults))
        if options.get("game_version", "") is None:  # SMAC's word for the latest
            options = {key: value for key, value in options.items() if key != "game_version"}
        given = {key: value for key, value in options.items() if key in defaults}
        self.simulator = self._build_simulator(map_name, rules, given)
        defaults["game_version"] = self.simulator.options.game_version  # a map of your own has brought one
        self.options: dict[str, Any] = {**FACE_OPTIONS, **defaults, **options}
        self.options["obs_own_health"] |= self.options["obs_all_health"]
        self._seed: int | None = self.options["seed"]
        for name in self.options.keys() - {"seed"}:  # SMAC has its options as attributes; seed is a method
            setattr(self, name, self.options[name])
        amount = self.options["move_amount"]
        self._move_amount: float = int(amount) if amount == int(amount) else amount  # whole ones count cells
        self._step_mul = self.options["step_mul"]
        self.window_size = (self.options["window_size_x"], self.options["window_size_y"])

        info, spec = self.simulator.info, self.simulator.spec
        self.map_name = spec.name
        self.n_agents, self.n_enemies, self.n_actions = info.n_agents, info.n_enemies, info.n_actions
        self.episode_limit = info.episode_limit
        self.map_type, self.unit_type_bits = spec.map_type, spec.type_bits
        self._agent_race, self._bot_race = spec.ally_race, spec.enemy_race
        self.shield_bits_ally, self.shield_bits_enemy = int(spec.ally_shields), int(spec.enemy_shields)

        # Known from the first launch on.
        self.map_x = self.map_y = self.max_distance_x = self.max_distance_y = 0
        self.pathing_grid: np.ndarray | None = None  # (X, Y) bool, True is walkable
        self.terrain_height: np.ndarray | None = None  # (X, Y) in [0, 1]
        self._min_unit_type = 0
        self.marine_id = self.marauder_id = self.medivac_id = 0
        self.stalker_id = self.zealot_id = self.colossus_id = 0
        self.hydralisk_id = self.zergling_id = self.baneling_id = 0
        names = list(self._ally_type_names())
        # By row of `spec.kinds`; what only the enemy has gets an id that no ally uses.
        self._ally_ids = [FIRST_ALLY_TYPE + names.index(k.name) if k.name in names else 0 for k in spec.kinds]
        self._started = False
        self._units: tuple[dict[int, Unit], dict[int, Unit]] | None = None  # of the current time
        self._known: np.ndarray | None = None  # (NF, U) unit states at the last update
        self._previous: np.ndarray | None = None  # at the one before

    def _build_simulator(self, map_name: str | MapSpec, rules: Rules | None, options: dict[str, Any]) -> SkirmishEnv:
        if isinstance(map_name, str):
            try:
                require_known("map", map_name, map_names())
            except ValueError as error:
                raise UnknownMapError(str(error)) from None
        return SkirmishEnv(map_name, rules=rules, observation=self.observation_family, **options)

    def _init_ally_unit_types(self, min_unit_type: int) -> None:
        """Name the ids of the agents' types, which are consecutive; types that do not fight here keep 0."""
        self._min_unit_type = min_unit_type
        for k, name in enumerate(self._ally_type_names()):
            setattr(self, f"{name}_id", min_unit_type + k)

    def _ally_type_names(self) -> Sequence[str]:
        """In the order of their ids."""
        return agent_types(self.simulator.spec)

    # Records

    @property
    def agents(self) -> dict[int, Unit]:
        """Agents by index; empty before the first reset. Records are of one moment: ask again after a step."""
        return self._records()[0]

    @property
    def enemies(self) -> dict[int, Unit]:
        """Enemies by index, as `agents`."""
        return self._records()[1]

    @property
    def previous_ally_units(self) -> dict[int, Unit] | None:
        """Agents as they were before the last step; None until an episode's first step."""
        return None if self._previous is None else units_of(self.simulator, self._previous, self._ally_ids)[0]

    @property
    def previous_enemy_units(self) -> dict[int, Unit] | None:
        """Enemies, as `previous_ally_units`."""
        return None if self._previous is None else units_of(self.simulator, self._previous, self._ally_ids)[1]

    @property
    def _obs(self) -> ObservationResponse | None:
        """The living units, agents first, in the form in which the game reports them; None before the first reset."""
        return observe([*self.agents.values(), *self.enemies.values()]) if self._started else None

    @property
    def _unit_types(self) -> list[int] | None:
        """See `get_unit_types`."""
        return [u.unit_type for side in self._records() for u in side.values()] if self._started else None

    def _records(self) -> tuple[dict[int, Unit], dict[int, Unit]]:
        if not self._started:
            return {}, {}
        if self._units is None:
            self._units = units_of(self.simulator, self._reported(), self._ally_ids)
        return self._units

    def _reported(self) -> np.ndarray:
        """(NF, U) unit states as the game reports them: it does not list the dead, who keep what was known of them."""
        now: np.ndarray = self.simulator.units[0].copy()
        if self._known is not None:
            dead = now[HEALTH] <= 0.0
            now[:, dead] = self._known[:, dead]
            now[HEALTH, dead] = 0.0
        return now

    def get_unit_by_id(self, a_id: int) -> Unit:
        """Record of one agent. Raises: KeyError if there is none, as before the first reset."""
        return self.agents[a_id]

    def get_unit_types(self) -> list[int] | None:
        """Raw type ids, agents first; None and a warning before the first reset."""
        if not self._started:
            warnings.warn("unit types are not known yet: call reset() first", stacklevel=2)
        return self._unit_types

    # Facts

    def unit_sight_range(self, agent_id: int) -> float:
        """How far SMAC lets the agent see, between centres, exclusive."""
        return float(self._agent_facts()[agent_id, P_SIGHT])

    def unit_shoot_range(self, agent_id: int) -> float:
        """How far SMAC lets the agent aim, between centres, inclusive."""
        return float(self._agent_facts()[agent_id, P_SHOOT])

    def _agent_facts(self) -> np.ndarray:
        facts: np.ndarray = self.simulator.profile[self.simulator.kinds[0, : self.n_agents]]  # (n, NUM_PROFILE)
        return facts

    def unit_max_cooldown(self, unit: Unit) -> int:
        """SMAC's divisor of an allied unit's cooldown in game loops, of a medivac's energy; 15 for any other type."""
        for name in self._ally_type_names():
            if unit.unit_type == getattr(self, f"{name}_id"):
                return MAX_COOLDOWNS[name]
        return OTHER_COOLDOWN

    def unit_max_shield(self, unit: Unit) -> int | None:
        """SMAC's divisor of a unit's shield, on either side; None for a type without shields."""
        for name, (type_id, shield) in MAX_SHIELDS.items():
            if unit.unit_type in (type_id, getattr(self, f"{name}_id")):
                return shield
        return None

    def get_unit_type_id(self, unit: Unit, ally: bool) -> int:
        """Index of a unit's type in its side's one-hot. Raises: ValueError for enemies on maps without one-hots."""
        if ally:
            return unit.unit_type - self._min_unit_type
        if self.map_type not in ENEMY_BITS:
            raise ValueError(
                f"type indices of enemies exist on map types {', '.join(ENEMY_BITS)}, got {self.map_type!r}: "
                "ask where unit_type_bits is not 0"
            )
        bits = ENEMY_BITS[self.map_type]
        return bits.get(unit.unit_type, len(bits) - 1)

    def only_medivac_left(self, ally: bool) -> bool:
        """Whether a side has lost all its fighters, on maps where medivacs are none; never on others.

        As in SMAC the enemy has so only if exactly one of its units lives, a medivac.
        """
        if self.map_type not in self.healing_map_types:
            return False
        if ally:
            return not any(u.health > 0 and u.unit_type != self.medivac_id for u in self.agents.values())
        alive = [u for u in self.enemies.values() if u.health > 0]
        return len(alive) == 1 and alive[0].unit_type == MEDIVAC

    # Geometry

    @staticmethod
    def distance(x1: float, y1: float, x2: float, y2: float) -> float:
        """Between two points, in world units."""
        return math.hypot(x2 - x1, y2 - y1)

    def check_bounds(self, x: float, y: float) -> bool:
        """Whether a point lies on the map; on none before the first launch."""
        return 0 <= x < self.map_x and 0 <= y < self.map_y

    def can_move(self, unit: Unit, direction: Direction | int) -> bool:
        """Whether the cell half a move away is walkable, which decides about the availability of the move.

        Args: direction: `Direction`, or 0 to 3 for north, south, east, west. As in SMAC any other value is west.
        """
        half = self._move_amount / 2
        dx, dy = {0: (0, half), 1: (0, -half), 2: (half, 0)}.get(int(direction), (-half, 0))
        x, y = int(unit.pos.x + dx), int(unit.pos.y + dy)
        return self.check_bounds(x, y) and bool(self._grid("pathing_grid")[x, y])

    def get_surrounding_points(self, unit: Unit, include_self: bool = False) -> list[tuple[float, float]]:
        """Eight cells around a unit: two moves away along the axes, one along each axis on the diagonals; its own."""
        x, y, a = int(unit.pos.x), int(unit.pos.y), self._move_amount
        steps = [(0, 2), (0, -2), (2, 0), (-2, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]
        return [(x + i * a, y + j * a) for i, j in steps] + [(x, y)] * include_self

    def get_surrounding_pathing(self, unit: Unit) -> list[Any]:
        """The eight cells' walkability, 1 outside the map. Raises: IndexError unless move_amount is whole."""
        return self._at_points(self._grid("pathing_grid"), self.get_surrounding_points(unit))

    def get_surrounding_height(self, unit: Unit) -> list[Any]:
        """Heights in [0, 1] of the eight cells and the unit's own, 1 outside the map. Raises: as for the pathing."""
        return self._at_points(self._grid("terrain_height"), self.get_surrounding_points(unit, include_self=True))

    def _at_points(self, grid: np.ndarray, points: Sequence[tuple[Any, Any]]) -> list[Any]:
        if not isinstance(self._move_amount, int):
            raise IndexError(
                f"cells around a unit need a whole move_amount, got {self._move_amount!r}: it counts the cells to them"
            )
        return [grid[x, y] if self.check_bounds(x, y) else 1 for x, y in points]

    def _grid(self, name: str) -> np.ndarray:
        grid: np.ndarray | None = getattr(self, name)
        if grid is None:
            raise RuntimeError(f"{name} is known from the first reset on, got a call before it: call reset()")
        return grid

    def _alive(self) -> tuple[int, int]:
        """Living agents and enemies."""
        health = self.simulator.units[0, HEALTH]
        return int((health[: self.n_agents] > 0.0).sum()), int((health[self.n_agents :] > 0.0).sum())
