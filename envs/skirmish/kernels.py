"""Game loops of the embedded simulator, compiled for many episodes at once.

State is a structure of arrays: per episode one float and one integer table with a row per quantity and a column per
unit; episodes share nothing, so the result does not depend on the number of threads. Units 0..n-1 are the agents,
n..U-1 the enemies. Choices where the facts end come in through `Choices` (see `rules.py`), unit data through the
columns `c`. Everything a kernel calls is in this file: numba's cache does not see changes elsewhere.

Arguments, everywhere: f (NF, U) float64, s (NS, U) int64 and clock (3,) int64 of one episode; c (NC, U) float64;
key (2,) uint64; b the episode's slot; i, j units. The row numbers are the constants below: a few arrays compile in a
fraction of the time that one array per quantity needs.

Random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key
(seed) and the counter (draw, episode, slot), so a stream is saved by saving its counters.

One game loop, all phases for all units: due shots land; cooldowns run; everybody decides (stand and shoot, or walk);
walkers step at the same time; overlaps are pushed apart; centres are kept inside the arena.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

IDLE, MOVE, ATTACK_UNIT, ATTACK_MOVE = 0, 1, 2, 3  # orders
NOBODY = -1
NO_OP, STOP, NORTH, SOUTH, EAST, WEST, FIRST_TARGET = 0, 1, 2, 3, 4, 5, 6  # action ids of SMAC
DIAGONAL = math.sqrt(0.5)
TOUCH = 1e-9  # slack of comparisons between distances

_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32, _SHIFT5, _SHIFT6 = np.uint64(32), np.uint64(5), np.uint64(6)
_MUL0, _MUL1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL0, _WEYL1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)

# Rows of `f` (NF, U) float64 of one episode; the first five are what `contract.py` reads.
X, Y, HEALTH, SHIELD = 0, 1, 2, 3
COOLDOWN = 4  # loops until the weapon is ready; may end a fraction below 0
WINDUP = 5  # loops until the shot under way lands; 0: none
BACKSWING = 6  # loops left of the recovery after a shot
ORDER_X, ORDER_Y = 7, 8  # goal of MOVE and ATTACK_MOVE
STEP_X, STEP_Y = 9, 10  # scratch of one loop: wanted next position
NUM_FLOATS = 11

# Rows of `s` (NS, U) int64 of one episode.
ALIVE = 0
PROVOKED = 1  # the target came from a hit or a call for help: it is followed beyond range
MOVING, ENGAGED = 2, 3  # scratch of one loop: walks; stands to shoot
ORDER = 4
ORDER_TARGET = 5  # unit of ATTACK_UNIT
TARGET = 6  # unit chosen by a unit that acts on its own, or NOBODY
SHOT_TARGET = 7  # whom the shot under way will hit
SCAN_WAIT = 8  # loops until the next search for a target
HELP_WAIT = 9  # loops until the unit may call for help again
DETOUR = 10  # side on which an obstacle is being passed: 0, 1, -1
HITS_TAKEN = 11  # hits received in this episode
NUM_INTS = 12

# Entries of `clock` (3,) int64 of one episode.
DRAWS = 0  # random numbers drawn in this episode
EPISODE = 1  # number of the episode in its slot's stream
HEAD_START = 2  # loops the next episode runs before its first observation
NUM_CLOCKS = 3

# Rows of `c` (NC, U) float64, constant facts of the units of a map.
C_KIND = 0  # equal numbers: units of one type, whose agents are sorted by position
C_HEALTH_MAX, C_SHIELD_MAX, C_ARMOR, C_SPEED, C_RADIUS, C_SEPARATION = 1, 2, 3, 4, 5, 6
C_REACH, C_SLOP = 7, 8  # weapon range edge to edge; how far past it a target may drift
C_ACQUIRE = 9  # max(range, scan floor)
C_PERIOD, C_JITTER_LOW, C_JITTER_HIGH, C_DAMAGE_POINT, C_BACKSWING, C_DAMAGE = 10, 11, 12, 13, 14, 15
C_SPAWN_X, C_SPAWN_Y, C_GOAL_X, C_GOAL_Y = 16, 17, 18, 19  # in creation order
NUM_COLUMNS = 20


class Choices(NamedTuple):
    """Scalars of a map and of `rules.Rules`."""

    n_agents: int
    map_x: float
    map_y: float
    placement_jitter: float
    carry_fraction: bool
    acquire_to_edge: bool
    scan_interval: int
    backswing_holds: bool
    attackers_hold_ground: bool
    steer_around: bool
    cliff_clearance: float
    minimum_damage: float
    help_radius: float
    help_period: int
    chase_limit: float


@njit(cache=True)
def philox(c0, c1, c2, k0, k1):
    """First two 32-bit words (as uint64) of Philox 4x32-10 for counter (c0, c1, c2, 0) and key (k0, k1), all uint64."""
    c3 = np.uint64(0)
    for _ in range(10):
        p0 = c0 * _MUL0
        p1 = c2 * _MUL1
        c0, c1, c2, c3 = (p1 >> _SHIFT32) ^ c1 ^ k0, p1 & _MASK32, (p0 >> _SHIFT32) ^ c3 ^ k1, p0 & _MASK32
        k0 = (k0 + _WEYL0) & _MASK32
        k1 = (k1 + _WEYL1) & _MASK32
    return c0, c1


@njit(cache=True)
def _uniform(clock, b, key, low, high):
    """Next uniform number of slot b's current episode."""
    r0, r1 = philox(
        np.uint64(clock[DRAWS]) & _MASK32, np.uint64(clock[EPISODE]) & _MASK32, np.uint64(b) & _MASK32, key[0], key[1]
    )
    clock[DRAWS] += 1
    unit = (float(r0 >> _SHIFT5) * 67108864.0 + float(r1 >> _SHIFT6)) / 9007199254740992.0  # 53 bits
    return low + (high - low) * unit


@njit(cache=True)
def _edge_distance(f, c, i, j):
    """Distance between the edges of two units; weapon ranges count from edge to edge."""
    dx = f[X, j] - f[X, i]
    dy = f[Y, j] - f[Y, i]
    return math.sqrt(dx * dx + dy * dy) - c[C_RADIUS, i] - c[C_RADIUS, j]


@njit(cache=True)
def _in_reach(f, c, i, j, extra):
    return _edge_distance(f, c, i, j) <= c[C_REACH, i] + extra + TOUCH


@njit(cache=True)
def _hit(f, s, c, choices, i, j):
    """Unit i hits unit j: shields first, then life less armour; every hit costs at least the minimum."""
    damage = c[C_DAMAGE, i]
    absorbed = min(damage, f[SHIELD, j])
    f[SHIELD, j] -= absorbed
    damage -= absorbed
    if damage > 0.0:
        f[HEALTH, j] = max(0.0, f[HEALTH, j] - max(choices.minimum_damage, damage - c[C_ARMOR, j]))
    s[HITS_TAKEN, j] += 1


@njit(cache=True)
def _provoke(f, s, c, choices, hit, attacker):
    """An enemy that was hit turns on its attacker if it has no target, and calls idle friends nearby."""
    if s[TARGET, hit] == NOBODY:
        s[TARGET, hit] = attacker
        s[PROVOKED, hit] = True
    if s[HELP_WAIT, hit] > 0:
        return
    s[HELP_WAIT, hit] = choices.help_period
    for j in range(choices.n_agents, f.shape[1]):
        if s[ALIVE, j] and s[ORDER, j] == IDLE and s[TARGET, j] == NOBODY:
            dx = f[X, j] - f[X, hit]
            dy = f[Y, j] - f[Y, hit]
            if dx * dx + dy * dy <= choices.help_radius * choices.help_radius:
                s[TARGET, j] = attacker
                s[PROVOKED, j] = True


@njit(cache=True)
def _land_shots(f, s, c, choices):
    """Shots that are due land together; who dies in this loop has still fired."""
    units = f.shape[1]
    for i in range(units):
        if not s[ALIVE, i] or f[WINDUP, i] <= 0.0:
            continue
        f[WINDUP, i] -= 1.0
        if f[WINDUP, i] > 0.0:
            continue
        f[WINDUP, i] = 0.0
        j = s[SHOT_TARGET, i]
        if s[ALIVE, j] and _in_reach(f, c, i, j, c[C_SLOP, i]):
            _hit(f, s, c, choices, i, j)
            f[BACKSWING, i] = c[C_BACKSWING, i]
            if j >= choices.n_agents:
                _provoke(f, s, c, choices, j, i)
        else:
            f[COOLDOWN, i] = 0.0  # the attack never happened
    for i in range(units):
        if s[ALIVE, i] and f[HEALTH, i] <= 0.0:
            s[ALIVE, i] = False
            f[WINDUP, i] = 0.0


@njit(cache=True)
def _nearest(f, s, c, choices, i):
    """Nearest agent that enemy i would acquire, or NOBODY; ties go to the lower index."""
    best = NOBODY
    best_distance = c[C_ACQUIRE, i] + TOUCH
    for j in range(choices.n_agents):
        if s[ALIVE, j]:
            distance = _edge_distance(f, c, i, j)
            if not choices.acquire_to_edge:
                distance += c[C_RADIUS, i] + c[C_RADIUS, j]
            if distance <= best_distance and (best == NOBODY or distance < best_distance):
                best = j
                best_distance = distance
    return best


@njit(cache=True)
def _choose_target(f, s, c, choices, i):
    """Target of enemy i: kept while alive and in range (or followed, if provoked), else the nearest one."""
    target = s[TARGET, i]
    if target != NOBODY and not s[ALIVE, target]:
        target = NOBODY
    if target != NOBODY:
        if _in_reach(f, c, i, target, 0.0):
            s[PROVOKED, i] = False
            s[TARGET, i] = target
            return target
        if not s[PROVOKED, i] or _edge_distance(f, c, i, target) > choices.chase_limit:
            target = NOBODY
    if s[SCAN_WAIT, i] > 0:
        s[SCAN_WAIT, i] -= 1
    else:
        found = _nearest(f, s, c, choices, i)
        if found != NOBODY:
            target = found
            s[PROVOKED, i] = False
        else:
            s[SCAN_WAIT, i] = choices.scan_interval - 1
    s[TARGET, i] = target
    return target


@njit(cache=True)
def _start_attack(f, s, c, choices, clock, key, b, i, target):
    """Begin an attack: the cooldown counts from here, with its own jitter."""
    left_over = f[COOLDOWN, i] if choices.carry_fraction else 0.0  # in (-1, 0]
    jitter = _uniform(clock, b, key, c[C_JITTER_LOW, i], c[C_JITTER_HIGH, i])
    f[COOLDOWN, i] = left_over + c[C_PERIOD, i] + jitter
    f[WINDUP, i] = c[C_DAMAGE_POINT, i]
    s[SHOT_TARGET, i] = target


@njit(cache=True)
def _walk_towards(f, s, c, i, x, y):
    """Plan one loop's step towards (x, y); standing on it is no step."""
    dx = x - f[X, i]
    dy = y - f[Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    if distance <= TOUCH:
        return
    part = min(1.0, c[C_SPEED, i] / distance)
    f[STEP_X, i] = f[X, i] + part * dx
    f[STEP_Y, i] = f[Y, i] + part * dy
    s[MOVING, i] = True


@njit(cache=True)
def _decide(f, s, c, choices, clock, key, b, i):
    """Stand and shoot, walk, or do nothing: sets engaged, moving and the wanted step of unit i."""
    s[MOVING, i] = False
    s[ENGAGED, i] = False
    # A cooldown that ran out in this loop keeps its fraction for the next period; an older one counts as 0.
    f[COOLDOWN, i] = f[COOLDOWN, i] - 1.0 if f[COOLDOWN, i] > 0.0 else 0.0
    f[BACKSWING, i] = max(0.0, f[BACKSWING, i] - 1.0)
    s[HELP_WAIT, i] = max(0, s[HELP_WAIT, i] - 1)
    if f[WINDUP, i] > 0.0:
        s[ENGAGED, i] = True
        return
    order = s[ORDER, i]
    if order == ATTACK_UNIT:
        target = s[ORDER_TARGET, i]
        if not s[ALIVE, target]:
            s[ORDER, i] = order = IDLE
            target = NOBODY
    elif i >= choices.n_agents:
        target = _choose_target(f, s, c, choices, i)
    else:
        target = NOBODY  # agents never choose for themselves
    if target != NOBODY and _in_reach(f, c, i, target, 0.0):
        s[ENGAGED, i] = True
        if f[COOLDOWN, i] <= 0.0:
            _start_attack(f, s, c, choices, clock, key, b, i, target)
        return
    if choices.backswing_holds and f[BACKSWING, i] > 0.0:
        return
    if target != NOBODY:
        _walk_towards(f, s, c, i, f[X, target], f[Y, target])
    elif order == MOVE or order == ATTACK_MOVE:
        _walk_towards(f, s, c, i, f[ORDER_X, i], f[ORDER_Y, i])
        if not s[MOVING, i]:
            s[ORDER, i] = IDLE


@njit(cache=True)
def _blocked(f, s, c, i, x, y):
    """Would unit i at (x, y) run further into somebody who stands?"""
    for j in range(f.shape[1]):
        if j == i or not s[ALIVE, j] or s[MOVING, j]:
            continue
        size = c[C_SEPARATION, i] + c[C_SEPARATION, j]
        dx = f[X, j] - x
        dy = f[Y, j] - y
        gap = dx * dx + dy * dy
        if gap < size * size - TOUCH:
            ox = f[X, j] - f[X, i]
            oy = f[Y, j] - f[Y, i]
            if gap < ox * ox + oy * oy:
                return True
    return False


@njit(cache=True)
def _steer(f, s, c, i):
    """Turn a blocked step by 45 or 90 degrees, on the side taken before if there was one; else stay."""
    if not _blocked(f, s, c, i, f[STEP_X, i], f[STEP_Y, i]):
        s[DETOUR, i] = 0
        return
    dx = f[STEP_X, i] - f[X, i]
    dy = f[STEP_Y, i] - f[Y, i]
    first = s[DETOUR, i]
    if first == 0:
        first = 1 if i % 2 == 0 else -1
    for attempt in range(4):
        side = first if attempt < 2 else -first
        if attempt % 2 == 0:
            sx, sy = DIAGONAL * (dx - side * dy), DIAGONAL * (dy + side * dx)
        else:
            sx, sy = -side * dy, side * dx
        if not _blocked(f, s, c, i, f[X, i] + sx, f[Y, i] + sy):
            s[DETOUR, i] = side
            f[STEP_X, i] = f[X, i] + sx
            f[STEP_Y, i] = f[Y, i] + sy
            return
    f[STEP_X, i] = f[X, i]
    f[STEP_Y, i] = f[Y, i]


@njit(cache=True)
def _share(s, choices, i, j):
    """Part of an overlap that unit i gives way to unit j."""
    if choices.attackers_hold_ground and s[MOVING, i] != s[MOVING, j]:
        mover, other = (i, j) if s[MOVING, i] else (j, i)
        other_side = (i < choices.n_agents) != (j < choices.n_agents)
        if s[ENGAGED, other] or other_side:
            return 1.0 if mover == i else 0.0
    return 0.5


@njit(cache=True)
def _push_apart(f, s, c, choices):
    """One pass over all overlapping pairs."""
    units = f.shape[1]
    for i in range(units):
        if not s[ALIVE, i]:
            continue
        for j in range(i + 1, units):
            if not s[ALIVE, j]:
                continue
            size = c[C_SEPARATION, i] + c[C_SEPARATION, j]
            dx = f[X, j] - f[X, i]
            dy = f[Y, j] - f[Y, i]
            gap = dx * dx + dy * dy
            if gap >= size * size:
                continue
            distance = math.sqrt(gap)
            if distance <= TOUCH:  # on one spot: apart north-south
                dx, dy, unit = 0.0, 1.0, 1.0
            else:
                unit = 1.0 / distance
            overlap = size - distance
            part = _share(s, choices, i, j)
            f[X, i] -= part * overlap * dx * unit
            f[Y, i] -= part * overlap * dy * unit
            f[X, j] += (1.0 - part) * overlap * dx * unit
            f[Y, j] += (1.0 - part) * overlap * dy * unit


@njit(cache=True)
def _keep_inside(f, c, choices, cliffs, i):
    """Centres stay off the cliffs by the clearance, and a radius inside the map."""
    for p in range(cliffs.shape[0]):
        over = cliffs[p, 0] * f[X, i] + cliffs[p, 1] * f[Y, i] - (cliffs[p, 2] - choices.cliff_clearance)
        if over > 0.0:
            f[X, i] -= over * cliffs[p, 0]
            f[Y, i] -= over * cliffs[p, 1]
    size = c[C_SEPARATION, i]
    f[X, i] = min(max(f[X, i], size), choices.map_x - size)
    f[Y, i] = min(max(f[Y, i], size), choices.map_y - size)


@njit(cache=True)
def _game_loop(f, s, c, choices, cliffs, clock, key, b):
    units = f.shape[1]
    _land_shots(f, s, c, choices)
    for i in range(units):
        if s[ALIVE, i]:
            _decide(f, s, c, choices, clock, key, b, i)
    if choices.steer_around:
        for i in range(units):
            if s[ALIVE, i] and s[MOVING, i]:
                _steer(f, s, c, i)
    for i in range(units):
        if s[ALIVE, i] and s[MOVING, i]:
            f[X, i] = f[STEP_X, i]
            f[Y, i] = f[STEP_Y, i]
    _push_apart(f, s, c, choices)
    for i in range(units):
        if s[ALIVE, i]:
            _keep_inside(f, c, choices, cliffs, i)


@njit(cache=True)
def _command(f, s, i, action, n_agents, move_amount):
    """Give agent i its order; no-op changes nothing.

    A new order cancels a shot under way unless it names the same victim; the weapon is then ready at once.
    """
    if action == NO_OP:
        return
    if action >= FIRST_TARGET:
        victim = n_agents + action - FIRST_TARGET
        same = f[WINDUP, i] > 0.0 and s[SHOT_TARGET, i] == victim
        s[ORDER, i] = ATTACK_UNIT
        s[ORDER_TARGET, i] = victim
    else:
        same = False
        s[ORDER, i] = IDLE if action == STOP else MOVE
        east = 1.0 if action == EAST else (-1.0 if action == WEST else 0.0)
        north = 1.0 if action == NORTH else (-1.0 if action == SOUTH else 0.0)
        f[ORDER_X, i] = f[X, i] + move_amount * east
        f[ORDER_Y, i] = f[Y, i] + move_amount * north
    f[BACKSWING, i] = 0.0
    if f[WINDUP, i] > 0.0 and not same:
        f[WINDUP, i] = 0.0
        f[COOLDOWN, i] = 0.0


@njit(cache=True)
def _place(f, s, c, choices, cliffs, clock, key, b):
    """Fresh units at their spots, agents of one type sorted by (x, y), enemies in creation order."""
    units = f.shape[1]
    n = choices.n_agents
    for i in range(units):
        x = c[C_SPAWN_X, i]
        y = c[C_SPAWN_Y, i]
        if choices.placement_jitter > 0.0:
            x += _uniform(clock, b, key, -choices.placement_jitter, choices.placement_jitter)
            y += _uniform(clock, b, key, -choices.placement_jitter, choices.placement_jitter)
        k = i
        while i < n and k > 0 and c[C_KIND, k - 1] == c[C_KIND, i]:
            if f[X, k - 1] < x or (f[X, k - 1] == x and f[Y, k - 1] <= y):
                break
            f[X, k] = f[X, k - 1]
            f[Y, k] = f[Y, k - 1]
            k -= 1
        f[X, k] = x
        f[Y, k] = y
    for i in range(units):
        f[HEALTH, i] = c[C_HEALTH_MAX, i]
        f[SHIELD, i] = c[C_SHIELD_MAX, i]
        f[COOLDOWN, i] = f[WINDUP, i] = f[BACKSWING, i] = 0.0
        s[ALIVE, i] = True
        s[PROVOKED, i] = s[MOVING, i] = s[ENGAGED, i] = False
        s[ORDER, i] = ATTACK_MOVE if i >= n else IDLE
        f[ORDER_X, i] = c[C_GOAL_X, i]
        f[ORDER_Y, i] = c[C_GOAL_Y, i]
        s[ORDER_TARGET, i] = s[TARGET, i] = s[SHOT_TARGET, i] = NOBODY
        s[SCAN_WAIT, i] = s[HELP_WAIT, i] = s[DETOUR, i] = s[HITS_TAKEN, i] = 0
        _keep_inside(f, c, choices, cliffs, i)
    _push_apart(f, s, c, choices)


@njit(cache=True)
def _run(f, s, c, choices, cliffs, clock, key, b, loops):
    """Game loops of one episode.

    When both sides are wiped out the map script brings the next armies at once: the loops left are their head start.
    """
    clock[HEAD_START] = 0
    for loop in range(loops):
        _game_loop(f, s, c, choices, cliffs, clock, key, b)
        living = 0
        for i in range(f.shape[1]):
            living += s[ALIVE, i]
        if living == 0:
            clock[HEAD_START] = loops - 1 - loop
            break


@njit(parallel=True, cache=True)
def spawn(floats, ints, clocks, columns, choices, cliffs, key, slots):
    """Start the next episode in the slots marked True; EPISODE and HEAD_START are read, not advanced.

    Args: floats (B, NF, U), ints (B, NS, U), clocks (B, 3), columns (NC, U), cliffs (P, 3), key (2,) uint64, slots
    (B,) bool.
    """
    for b in prange(slots.shape[0]):
        if slots[b]:
            f, s, clock = floats[b], ints[b], clocks[b]
            clock[DRAWS] = 0
            _place(f, s, columns, choices, cliffs, clock, key, b)
            _run(f, s, columns, choices, cliffs, clock, key, b, clock[HEAD_START])


@njit(parallel=True, cache=True)
def advance(floats, ints, clocks, columns, choices, cliffs, key, slots, actions, move_amount, loops):
    """Orders for the agents, then `loops` game loops, in the slots marked True.

    Args: arrays as for `spawn`; actions (B, n) int64; move_amount: length of a move order.
    """
    for b in prange(slots.shape[0]):
        if slots[b]:
            f, s, clock = floats[b], ints[b], clocks[b]
            for i in range(choices.n_agents):
                if s[ALIVE, i]:
                    _command(f, s, i, actions[b, i], choices.n_agents, move_amount)
            _run(f, s, columns, choices, cliffs, clock, key, b, loops)
