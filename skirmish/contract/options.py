"""SMAC's constructor options, and the tables `contract.py` works on, built from a map and these options."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real

import numpy as np

from skirmish.contract import layout as lay
from skirmish.contract.layout import Grids, Layout
from skirmish.contract.smac import RewardTerms
from skirmish.data.maps import MapSpec, agent_types
from skirmish.data.units import DEFAULT_VERSION, require_version
from skirmish.physics.rules import SHOOT_RANGE, SIGHT_RANGE

DIFFICULTIES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "A")  # very easy ... very hard, cheating 1 to 3

# Order of the enemies' type one-hot by SMAC's map_type; every type that is not named has the last index. The agents'
# one-hot follows their type ids instead (`maps.agent_types`), which swaps the two Protoss types.
ENEMY_TYPE_ORDER = {
    "stalkers_and_zealots": ("zealot", "stalker"),
    "colossi_stalkers_zealots": ("colossus", "stalker", "zealot"),
    "bane": ("baneling", "zergling"),
    "MMM": ("marauder", "marine", "medivac"),
}
MEDIVAC_RULES = {"MMM": lay.MMM_HEALERS, "terran_gen": lay.GEN_HEALERS}  # by map_type
OTHER_COOLDOWN_MAX = 15.0  # SMAC's divisor for types without an entry of their own
LOWEST_HEIGHT, HIGHEST_HEIGHT = -16.0, 16.0  # world heights of the game's bytes 0 and 255


@dataclass(frozen=True)
class SkirmishOptions:
    """SMAC's constructor options that this backend honours, with SMAC's names and defaults.

    SMAC's seed is the constructor argument `seed` of the environment; its options about windows, replays and scripted
    agents do not exist here.
    """

    step_mul: int = 8  # game loops per environment step
    move_amount: float = 2.0  # length of a move order; the mask tests the cell half as far away
    game_version: str = DEFAULT_VERSION  # of the unit data; results of different versions are not comparable
    difficulty: str = "7"  # "1" to "9" or "A"; without effect: no SMAC map starts an AI that it could change
    continuing_episode: bool = False  # tell a time limit apart from a defeat in the info
    obs_all_health: bool = True  # health and shields of the others; also switches obs_own_health on
    obs_own_health: bool = True
    obs_last_action: bool = False  # of team mates; always on in the mazero family
    obs_pathing_grid: bool = False  # 8 surrounding points; needs an integer move_amount
    obs_terrain_height: bool = False  # the same points and the agent's own; needs an integer move_amount
    obs_timestep_number: bool = False  # smac family: makes the vectors two entries longer, the first of them 0
    obs_instead_of_state: bool = False  # the state is all observations in a row
    state_last_action: bool = True
    state_timestep_number: bool = False
    reward_sparse: bool = False  # 1, -1, 0 at the end; still divided under reward_scale
    reward_only_positive: bool = True  # no losses of agents; absolute value of the rest
    reward_death_value: float = 10.0
    reward_win: float = 200.0
    reward_defeat: float = 0.0
    reward_negative_scale: float = 0.5
    reward_scale: bool = True  # divide by max_reward / reward_scale_rate
    reward_scale_rate: float = 20.0
    sight_scale: float = 1.0  # not SMAC's: agents see this part of their sight; features stay in units of the whole

    def __post_init__(self) -> None:
        """Raises: ValueError for values without a meaning."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and not isinstance(value, (bool, np.bool_)):
                raise ValueError(f"{field.name} must be True or False, got {value!r}: it is a switch")
            if field.type == "float" and not _is_finite(value):
                raise ValueError(f"{field.name} must be a finite number, got {value!r}: pass an int or a float")
        if not isinstance(self.step_mul, Integral) or isinstance(self.step_mul, bool) or self.step_mul < 1:
            raise ValueError(
                f"step_mul must be an integer of at least 1, got {self.step_mul!r}: it counts game loops per step"
            )
        require_version(self.game_version)
        if self.difficulty not in DIFFICULTIES:
            raise ValueError(
                f'difficulty must be "1" to "9" or "A", got {self.difficulty!r}: pass one of these strings'
            )
        if self.move_amount <= 0:
            raise ValueError(
                f"move_amount must be positive, got {self.move_amount!r}: it is the length of a move order"
            )
        if self.sight_scale < 0:
            raise ValueError(f"sight_scale must be at least 0, got {self.sight_scale!r}: it multiplies the sight range")
        if self.reward_scale_rate <= 0:
            raise ValueError(
                f"reward_scale_rate must be positive, got {self.reward_scale_rate!r}: it is the return of a win"
            )
        if (self.obs_pathing_grid or self.obs_terrain_height) and self.move_amount != int(self.move_amount):
            raise ValueError(
                f"move_amount must be a whole number with obs_pathing_grid or obs_terrain_height, got "
                f"{self.move_amount!r}: it counts the cells to the surrounding points"
            )


def build_layout(spec: MapSpec, options: SkirmishOptions, *, mazero: bool = False) -> Layout:
    """Sizes and switches of a map under options, in the mazero or the smac observation family.

    Agents with medivac rules aim at team mates, so that there are max(n, m) target actions.
    """
    rules = MEDIVAC_RULES.get(spec.map_type, lay.NO_HEALERS)
    n, m = spec.n_agents, spec.n_enemies
    return Layout(
        n=n,
        m=m,
        n_actions=6 + (m if rules == lay.NO_HEALERS else max(n, m)),
        bits=spec.type_bits,
        ally_shields=int(spec.ally_shields),
        enemy_shields=int(spec.enemy_shields),
        episode_limit=spec.episode_limit,
        map_x=spec.terrain.size[0],
        map_y=spec.terrain.size[1],
        move_amount=float(options.move_amount),
        medivac_rules=rules,
        mazero=bool(mazero),
        all_health=bool(options.obs_all_health),
        own_health=bool(options.obs_own_health or options.obs_all_health),  # as in SMAC
        obs_last_action=bool(options.obs_last_action or mazero),
        pathing_grid=bool(options.obs_pathing_grid),
        terrain_height=bool(options.obs_terrain_height),
        obs_timestep=bool(options.obs_timestep_number),
        obs_instead_of_state=bool(options.obs_instead_of_state),
        state_last_action=bool(options.state_last_action),
        state_timestep=bool(options.state_timestep_number),
        sight_scale=float(options.sight_scale),
    )


def build_profile(spec: MapSpec) -> np.ndarray:
    """(K, NUM_PROFILE) facts of the types on the map, rows as in `spec.kinds`.

    Raises: ValueError for a map whose types SMAC cannot describe.
    """
    shielded = {g.unit for g in spec.allies if spec.ally_shields} | {g.unit for g in spec.enemies if spec.enemy_shields}
    healing = spec.map_type in MEDIVAC_RULES
    table = np.zeros((len(spec.kinds), lay.NUM_PROFILE))
    for row, kind in zip(table, spec.kinds, strict=True):
        if kind.name in shielded and kind.shield_max <= 0:
            raise ValueError(
                f"units of a Protoss side need shields, got {kind.name!r} on map {spec.name!r}: "
                "change its race or take the type out"
            )
        healer = healing and kind.heal is not None
        row[lay.P_HEALTH_MAX], row[lay.P_SHIELD_MAX] = kind.health_max, kind.shield_max
        row[lay.P_COOLDOWN_MAX] = kind.cooldown_max if healer or kind.heal is None else OTHER_COOLDOWN_MAX
        row[lay.P_SIGHT], row[lay.P_SHOOT], row[lay.P_HEALER] = SIGHT_RANGE, SHOOT_RANGE, healer
        row[lay.P_ALLY_BIT], row[lay.P_ENEMY_BIT] = _type_bits(spec, kind.name)
    return table


def build_kinds(spec: MapSpec) -> np.ndarray:
    """(U,) int64 rows of the units' types in the profile: agents in their order, then enemies in creation order."""
    rows = spec.kinds
    return np.array([rows.index(kind) for kind in spec.unit_types], np.int64)


def build_grids(spec: MapSpec) -> Grids:
    """What SMAC reads from the map: walkable cells and heights.

    Heights go through the game's encoding, a byte for world heights from -16 to 16 (bots decode versions since 4.9 as
    z = -16 + 32 byte / 255), rounded down, and are divided by 255: plains at 8 read 191 / 255, a plateau at 10 reads
    207 / 255. SMAC takes the first row of the heights for the northernmost, but in game versions that store walkability
    in bits, such as 4.10, it is the southernmost. So the heights are upside down while the walkable cells are not:
    height[x, y] is that of the cell (x, map_y - 1 - y).
    """
    world = spec.terrain.height[:, ::-1]
    share = (world - LOWEST_HEIGHT) / (HIGHEST_HEIGHT - LOWEST_HEIGHT)
    height = np.clip(np.floor(255.0 * share), 0.0, 255.0) / 255.0
    return Grids(np.ascontiguousarray(spec.terrain.walkable), np.ascontiguousarray(height))


def build_reward_terms(options: SkirmishOptions, max_reward: float) -> RewardTerms:
    """Reward options as numbers. max_reward: see `contract.max_reward`.

    Raises: ValueError if rewards are to be scaled by something that is not positive.
    """
    if options.reward_scale and max_reward <= 0:
        raise ValueError(
            f"the largest return must be positive to scale rewards by it, got {max_reward!r}: "
            "raise reward_death_value or reward_win, or switch reward_scale off"
        )
    return RewardTerms(
        sparse=bool(options.reward_sparse),
        only_positive=bool(options.reward_only_positive),
        death_value=float(options.reward_death_value),
        win=float(options.reward_win),
        defeat=float(options.reward_defeat),
        negative_scale=float(options.reward_negative_scale),
        divisor=float(max_reward / options.reward_scale_rate) if options.reward_scale else 1.0,
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _type_bits(spec: MapSpec, name: str) -> tuple[int, int]:
    """Indices of a type in the one-hots of agents and enemies; 0 for a side without it and on maps without one-hots."""
    if spec.type_bits == 0:
        return 0, 0
    if spec.map_type not in ENEMY_TYPE_ORDER:
        raise ValueError(
            f"map {spec.name!r} asks for type one-hots, but no order is known for map_type {spec.map_type!r}: "
            f"known are {', '.join(ENEMY_TYPE_ORDER)}"
        )
    allies, enemies = agent_types(spec), ENEMY_TYPE_ORDER[spec.map_type]
    ally = allies.index(name) if name in allies else 0
    return ally, enemies.index(name) if name in enemies else len(enemies) - 1
