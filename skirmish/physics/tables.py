"""The tables that kernels work on: rows of the units' state, columns of their types' facts, scalars of the rules.

Per episode there is one float table f (NF, U) and one integer table s (NS, U) with a row per quantity and a column per
unit, and a small clock. Agents are units 0..n-1, enemies n..U-1. Few arrays compile in a fraction of the time that one
array per quantity needs, and an episode's tables lie together in memory.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from skirmish.data.maps import MapSpec, agent_types, layers
from skirmish.data.units import UnitType, Weapon, unit_data
from skirmish.physics.rules import GROUND_HOLDINGS, Rules

IDLE, MOVE, ATTACK_UNIT, ATTACK_MOVE, HEAL_UNIT = 0, 1, 2, 3, 4  # orders
NOBODY = -1
NO_OP, STOP, NORTH, SOUTH, EAST, WEST, FIRST_TARGET = 0, 1, 2, 3, 4, 5, 6  # action ids of SMAC
TOUCH = 1e-9  # slack of comparisons between distances

# Rows of f (NF, U) float64; the first six are what `contract.py` reads.
X, Y, HEALTH, SHIELD = 0, 1, 2, 3
COOLDOWN = 4  # loops until the weapon is ready; may end a fraction below 0
ENERGY = 5
WINDUP = 6  # loops until the next hit of the attack under way; 0: none
BACKSWING = 7  # loops left of the recovery after an attack
ORDER_X, ORDER_Y = 8, 9  # goal of MOVE and ATTACK_MOVE
STEP_X, STEP_Y = 10, 11  # scratch of one loop: wanted next position
SPEED_NOW = 12  # of units that accelerate
MISSILE_X, MISSILE_Y = 13, 14  # where the unit's missile is, while MISSILE_TARGET is somebody
MISSILE_TIME = 15  # loops until a hit that takes its time whatever the way (spine crawler)
BEAM_X, BEAM_Y = 16, 17  # middle of the colossus' sweep, while BEAM_AGE >= 0
BEAM_DX, BEAM_DY = 18, 19  # unit vector along the sweep
DEALT = 20  # damage dealt in this episode, overkill included
TAKEN = 21  # damage received, after armour, overkill included
OVERKILL = 22  # part of TAKEN beyond what the unit had left
RESTORED = 23  # health and shield that came back by regeneration and healing
RADIUS, SEPARATION = 24, 25  # facts of the unit's type, here for the loops over pairs
FACING_X, FACING_Y = 26, 27  # unit vector: where the body looks, or the turret of a structure
NUM_FLOATS = 28

# Rows of s (NS, U) int64.
ALIVE = 0
KIND = 1  # row of the facts table
ORDER = 2
ORDER_TARGET = 3  # unit of ATTACK_UNIT and HEAL_UNIT
TARGET = 4  # unit chosen by a unit that acts on its own, or NOBODY
PROVOKED = 5  # the target came from a hit or a call for help: it is followed beyond range
SHOT_TARGET = 6  # victim of the attack under way
HITS_LEFT = 7  # hits of the attack under way still to come
MELEE_SHOT = 8  # the attack under way uses the close weapon
MISSILE_TARGET = 9  # victim of the missile in flight, or NOBODY
BEAM_AGE = 10  # loops since the sweep began, or -1
BEAM_PENDING = 11  # beam hits under way to this unit: a 5-bit count for each of the next 12 loops
BEAM_SOURCE = 12  # the unit whose beam touched this unit last
BEAM_TOUCHED_A, BEAM_TOUCHED_B = 13, 14  # bit u % 64: already touched by the first / second beam of unit u
HEALING = 15  # unit that is being healed in this loop, or NOBODY
SCAN_WAIT = 16  # loops until the next search for a target
HELP_WAIT = 17  # loops until the unit may call for help again
DETOUR = 18  # side on which an obstacle is being passed: 0, 1, -1
SINCE_HIT = 19  # loops since the unit was damaged
BURST = 20  # 1: exploded in this loop, 2: earlier; 0 not
HITS_TAKEN = 21  # hits received in this episode
MOVING, ENGAGED = 22, 23  # scratch of one loop: walks; stands to shoot
LAYERS = 24  # bit set of `skirmish.data.maps.layers`
NUM_INTS = 25

# Entries of `clock` (4,) int64 of one episode.
DRAWS = 0  # random numbers drawn in this episode
EPISODE = 1  # number of the episode in its slot's stream
HEAD_START = 2  # loops the next episode runs before its first observation
LOOPS = 3  # game loops run in this episode
NUM_CLOCKS = 4

# Columns of the facts table k (K, NK) float64, one row per unit type on the map.
K_HEALTH_MAX, K_HEALTH_REGEN, K_SHIELD_MAX, K_SHIELD_REGEN, K_SHIELD_DELAY = 0, 1, 2, 3, 4
K_ENERGY_START, K_ENERGY_MAX, K_ENERGY_REGEN = 5, 6, 7
K_ARMOR, K_SPEED, K_ACCELERATION, K_RADIUS, K_SEPARATION = 8, 9, 10, 11, 12
K_LIGHT, K_ARMORED, K_BIOLOGICAL, K_STRUCTURE = 13, 14, 15, 16  # attributes, 0 or 1
K_ON_GROUND, K_IN_AIR = 17, 18  # planes, 0 or 1
K_LAYERS = 19  # bit set of `maps.layers`
K_MOVER = 20  # MOVER_*
K_REACH, K_SLOP, K_ACQUIRE = 21, 22, 23  # range edge to edge (negative: no weapon); drift; acquisition radius
K_PERIOD, K_JITTER_LOW, K_JITTER_HIGH, K_DAMAGE_POINT, K_BACKSWING = 24, 25, 26, 27, 28
K_DAMAGE, K_BONUS_LIGHT, K_BONUS_ARMORED, K_ATTACKS, K_HIT_OFFSET = 29, 30, 31, 32, 33
K_HITS_GROUND, K_HITS_AIR = 34, 35  # 0 or 1
K_DELIVERY = 36  # BY_*
K_MISSILE_SPEED, K_FLIGHT = 37, 38
K_MELEE_REACH, K_MELEE_DAMAGE_POINT = 39, 40  # reach negative: no close weapon
K_BURST_RADIUS = 41
K_BEAM_HALF, K_BEAM_SAMPLES, K_BEAM_RADIUS, K_BEAM_PERIOD, K_BEAM_TOUCH = 42, 43, 44, 45, 46
K_MELEE_PERIOD = 47
K_HEAL_RATE, K_HEAL_COST, K_HEAL_RANGE, K_HEAL_SLOP, K_HEAL_AUTO_RANGE, K_HEAL_AUTO_ENERGY = 48, 49, 50, 51, 52, 53
K_TURN_COS, K_TURN_SIN = 54, 55  # of one loop's turn; -2: need not turn
K_AIM_COS = 56  # of the widest angle from which one loop's turn lets it fire
K_FACING_X, K_FACING_Y = 57, 58  # unit vector after creation
NUM_FACTS = 59

MOVER_GROUND, MOVER_CLIFF, MOVER_AIR, MOVER_NONE = 0, 1, 2, 3
ARC_SLOP = 11.25  # degrees off its target at which a unit may fire: fact, CWeapon.ArcSlop
HUNT_PERIOD = 8  # loops, half a second: fact of SMACv2's map script
HOLD_NEVER, HOLD_BUSY, HOLD_ENGAGED = 0, 1, 2  # as in rules.GROUND_HOLDINGS
BY_HAND, BY_MISSILE, BY_FLIGHT, BY_BEAM, BY_BURST = 0, 1, 2, 3, 4  # instant; homing; fixed time; sweep; explosion


class Choices(NamedTuple):
    """Scalars of a map and of `rules.Rules`."""

    n_agents: int
    map_x: float
    map_y: float
    enemy_order: int  # the enemy's first order
    hunt_period: int  # every so many loops idle enemies are sent at the nearest agent; 0: never
    goal_dx: float  # goals are shifted by a random part of this vector, the same for all units of a battle
    goal_dy: float
    placement_jitter: float
    carry_fraction: bool
    acquire_to_edge: bool
    keep_acquired: bool
    splash_to_edge: bool
    scan_interval: int
    backswing_holds: bool
    threats_first: bool
    threat_reach: float
    retaliation: bool
    help_reaches_walkers: bool
    ground_holding: int  # HOLD_*
    yield_to_holders: float
    yield_to_idle_friends: float
    yield_to_idle_foes: float
    steer_around: bool
    push_passes: int
    push_margin: float
    push_factor: float
    cliff_clearance: float
    enemy_medivac_follows: bool
    group_order_moves_on: bool
    minimum_damage: float
    help_radius: float
    help_period: int
    chase_limit: float
    delayed_hits: bool  # some weapon of the map hits by missile, beam or explosion
    healing: bool  # somebody on the map heals
    regenerating: bool  # something of somebody comes back by itself
    alike: bool  # agents are of one size: the one with the nearest centre has the nearest edge


def facts(kinds: tuple[UnitType, ...], rules: Rules) -> np.ndarray:
    """(K, NK) facts table of the types on a map, one row each in the given order."""
    table = np.zeros((len(kinds), NUM_FACTS))
    movers = {"ground": MOVER_GROUND, "cliff": MOVER_CLIFF, "air": MOVER_AIR, "none": MOVER_NONE}
    for row, t in zip(table, kinds, strict=True):
        row[: K_LIGHT] = (
            t.health_max, t.health_regen, t.shield_max, t.shield_regen, t.shield_delay,
            t.energy_start, t.energy_max, t.energy_regen,
            t.armor, t.speed, t.acceleration, t.radius, t.separation,
        )  # fmt: skip
        row[K_LIGHT:K_LAYERS] = [
            *(a in t.attributes for a in ("light", "armored", "biological", "structure")),
            *(p in t.planes for p in ("ground", "air")),
        ]
        row[K_LAYERS], row[K_MOVER] = layers(t), movers[t.mover]
        row[K_REACH], row[K_MELEE_REACH], row[K_MELEE_DAMAGE_POINT] = -1.0, t.melee_range, t.melee_damage_point
        row[K_MELEE_PERIOD] = t.melee_period
        turn, slop = math.radians(t.turn_rate), math.radians(ARC_SLOP)
        turns = rules.turning and t.turn_rate > 0.0
        row[K_TURN_COS], row[K_TURN_SIN] = (math.cos(turn), math.sin(turn)) if turns else (-2.0, 0.0)
        row[K_AIM_COS] = math.cos(min(math.pi, turn + slop)) if turns else -2.0
        row[K_FACING_X], row[K_FACING_Y] = math.cos(math.radians(t.facing)), math.sin(math.radians(t.facing))
        if t.weapon:
            _fill_weapon(row, t, rules)
        if t.heal:
            h = t.heal
            row[K_HEAL_RATE:K_TURN_COS] = h.rate, h.energy_per_health, h.range, h.slop, h.auto_range, h.auto_min_energy
    return table


def _fill_weapon(row: np.ndarray, t: UnitType, rules: Rules) -> None:
    w = t.weapon
    assert w is not None
    row[K_REACH : K_HITS_GROUND] = (
        w.range, w.slop, max(w.range, w.scan) + rules.acquire_beyond,
        w.period, w.jitter[0] * rules.jitter_scale, w.jitter[1] * rules.jitter_scale, w.damage_point, w.backswing,
        w.damage, w.bonus.get("light", 0.0), w.bonus.get("armored", 0.0), w.attacks, w.hit_offset,
    )  # fmt: skip
    row[K_HITS_GROUND], row[K_HITS_AIR] = "ground" in w.targets, "air" in w.targets
    row[K_MISSILE_SPEED], row[K_FLIGHT], row[K_BURST_RADIUS] = w.missile_speed, w.flight, w.burst_radius
    row[K_DELIVERY] = _delivery(w)
    if w.beam:
        b = w.beam
        row[K_BEAM_HALF : K_MELEE_PERIOD] = (
            b.half_length, b.samples, b.search_radius, b.sample_period, b.touch_delay
        )  # fmt: skip


def _delivery(w: Weapon) -> int:
    """How a weapon's hits arrive: BY_*."""
    if w.beam:
        return BY_BEAM
    if w.burst_radius > 0:
        return BY_BURST
    if w.missile_speed > 0:
        return BY_MISSILE
    return BY_FLIGHT if w.flight > 0 else BY_HAND


def choices(spec: MapSpec, rules: Rules) -> Choices:
    """Scalars for the kernels; what is not a choice of `rules.Rules` comes from the data."""
    order = spec.enemy_order
    first, last = order.points[0] if order.points else (0.0, 0.0), order.points[-1] if order.points else (0.0, 0.0)
    known = unit_data(spec.game_version)["rules"]
    chosen = {name: getattr(rules, name) for name in Choices._fields if hasattr(rules, name)}
    chosen["ground_holding"] = GROUND_HOLDINGS.index(rules.ground_holding)
    return Choices(
        n_agents=spec.n_agents,
        map_x=float(spec.terrain.size[0]),
        map_y=float(spec.terrain.size[1]),
        enemy_order={"attack_move": ATTACK_MOVE, "attack_group": ATTACK_UNIT}.get(order.kind, IDLE),
        hunt_period=HUNT_PERIOD if order.kind == "hunt" else 0,
        goal_dx=last[0] - first[0],
        goal_dy=last[1] - first[1],
        minimum_damage=float(known["minimum_damage"]),
        help_radius=float(known["help_radius"]),
        help_period=int(known["help_period"]),
        chase_limit=float(known["chase_limit"]),
        delayed_hits=any(kind.weapon is not None and _delivery(kind.weapon) != BY_HAND for kind in spec.kinds),
        regenerating=any(kind.health_regen + kind.shield_regen + kind.energy_regen > 0.0 for kind in spec.kinds),
        healing=any(kind.heal is not None for kind in spec.kinds),
        alike=len({kind.radius for kind in spec.kinds[: len(agent_types(spec))]}) == 1,
        **chosen,
    )
