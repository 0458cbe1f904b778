"""Orders: what agents are told, and what every unit makes of its order in one loop.

Arguments as in `combat.py`; clock (4,) int64, key (2,) uint64 and b: the episode's random stream.
"""

from __future__ import annotations

import math

from skirmish.compiled import njit
from skirmish.physics.combat import can_hit, edge_distance, hits_per_attack, in_reach, untouched
from skirmish.physics.crowd import fights
from skirmish.physics.draws import uniform
from skirmish.physics.lanes import LANES, NO_BITS, ONE_BIT, close, lowest_bit
from skirmish.physics.movement import turn_to, walk_towards
from skirmish.physics.tables import (
    ALIVE,
    ATTACK_MOVE,
    ATTACK_UNIT,
    BACKSWING,
    COOLDOWN,
    EAST,
    ENERGY,
    ENGAGED,
    FIRST_TARGET,
    HEAL_UNIT,
    HEALING,
    HEALTH,
    HELP_WAIT,
    HITS_LEFT,
    IDLE,
    K_ACCELERATION,
    K_ACQUIRE,
    K_AIM_COS,
    K_BIOLOGICAL,
    K_DAMAGE_POINT,
    K_HEAL_AUTO_ENERGY,
    K_HEAL_AUTO_RANGE,
    K_HEAL_RANGE,
    K_HEAL_RATE,
    K_HEAL_SLOP,
    K_HEALTH_MAX,
    K_JITTER_HIGH,
    K_JITTER_LOW,
    K_MELEE_DAMAGE_POINT,
    K_MELEE_PERIOD,
    K_MELEE_REACH,
    K_ON_GROUND,
    K_PERIOD,
    K_REACH,
    K_STRUCTURE,
    KIND,
    MELEE_SHOT,
    MOVE,
    MOVING,
    NO_OP,
    NOBODY,
    NORTH,
    ORDER,
    ORDER_TARGET,
    ORDER_X,
    ORDER_Y,
    PROVOKED,
    RADIUS,
    SCAN_WAIT,
    SHOT_TARGET,
    SOUTH,
    SPEED_NOW,
    STOP,
    TARGET,
    TOUCH,
    WEST,
    WINDUP,
    X,
    Y,
)

SLACK = 1e-3  # who is near is found in single precision


@njit(cache=True)
def command(f, s, k, i, action, n_agents, move_amount):
    """Give agent i its order. No-op, and what the engine would refuse, leave the last order standing.

    Refused: weapons that cannot hit the target's plane, healing of what is unhurt or no living being. A new order
    cancels an attack under way unless it names the same victim; before its first hit the weapon is then ready at once.
    """
    if action == NO_OP:
        return
    same = False
    if action >= FIRST_TARGET:
        if k[s[KIND, i], K_HEAL_RATE] > 0.0:
            j = action - FIRST_TARGET
            if not _curable(f, s, k, j):
                return
            s[ORDER, i] = HEAL_UNIT
        else:
            j = n_agents + action - FIRST_TARGET
            if not can_hit(s, k, i, j):
                return
            same = f[WINDUP, i] > 0.0 and s[SHOT_TARGET, i] == j
            s[ORDER, i] = ATTACK_UNIT
        s[ORDER_TARGET, i] = j
    else:
        s[ORDER, i] = IDLE if action == STOP else MOVE
        east = 1.0 if action == EAST else (-1.0 if action == WEST else 0.0)
        north = 1.0 if action == NORTH else (-1.0 if action == SOUTH else 0.0)
        f[ORDER_X, i] = f[X, i] + move_amount * east
        f[ORDER_Y, i] = f[Y, i] + move_amount * north
    f[BACKSWING, i] = 0.0
    if f[WINDUP, i] > 0.0 and not same:
        f[WINDUP, i] = 0.0
        if untouched(s, k, i):
            f[COOLDOWN, i] = 0.0
        s[HITS_LEFT, i] = 0


@njit(cache=True)
def _curable(f, s, k, j):
    """Can unit j be healed at all: alive, hurt, a living being and no structure?"""
    kind = s[KIND, j]
    natural = k[kind, K_BIOLOGICAL] > 0.0 and k[kind, K_STRUCTURE] == 0.0
    return natural and s[ALIVE, j] and f[HEALTH, j] < k[kind, K_HEALTH_MAX]


@njit(cache=True)
def nearest_agent(f, s, k, choices, i):
    """The living agent nearest to enemy i that its weapon can hit (healers: any), or NOBODY; ties: lower index."""
    best, least = NOBODY, 0.0
    healer = k[s[KIND, i], K_HEAL_RATE] > 0.0
    for j in range(choices.n_agents):
        if s[ALIVE, j] and (healer or can_hit(s, k, i, j)):
            distance = edge_distance(f, i, j)
            if best == NOBODY or distance < least:
                best, least = j, distance
    return best


@njit(cache=True)
def hunt(f, s, k, choices):
    """Send every enemy without an order at the nearest agent, as SMACv2's map script does twice a second."""
    for i in range(choices.n_agents, f.shape[1]):
        if not s[ALIVE, i] or s[ORDER, i] != IDLE or s[TARGET, i] != NOBODY:
            continue
        j = nearest_agent(f, s, k, choices, i)
        if j == NOBODY:
            continue
        if k[s[KIND, i], K_HEAL_RATE] > 0.0:
            s[ORDER, i] = ATTACK_MOVE
            f[ORDER_X, i], f[ORDER_Y, i] = f[X, j], f[Y, j]
        else:
            s[ORDER, i] = ATTACK_UNIT
            s[ORDER_TARGET, i] = j


@njit(cache=True, forceinline=True)
def _nearest(f, s, k, choices, i, crowd, count, limit, threats_first, threats_only):
    """The nearest of `count` living agents that enemy i could acquire within `limit`, those that attack before others.

    Returns: NOBODY if there is none; ties: the lower index.
    """
    best, best_distance, only = NOBODY, 0.0, threats_first
    while True:
        for at in range(0, count, LANES):
            near = close(crowd.agents, at, f[X, i], f[Y, i], limit + f[RADIUS, i] + SLACK)
            if only:
                near &= crowd.threats[at // LANES]
            while near != NO_BITS:
                j = crowd.agents.units[at + lowest_bit(near)]
                near &= near - ONE_BIT
                dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
                distance, edges = dx * dx + dy * dy, f[RADIUS, i] + f[RADIUS, j]
                reach = limit + edges if choices.acquire_to_edge else limit
                if distance > reach * reach:
                    continue
                if choices.acquire_to_edge and not choices.alike:
                    distance = math.sqrt(distance) - edges
                if (best == NOBODY or distance < best_distance) and can_hit(s, k, i, j):
                    best, best_distance = j, distance
        if best != NOBODY or not only or threats_only:
            return best
        only = False


@njit(cache=True, inline="always")
def _choose_target(f, s, k, choices, crowd, agents, threats, i):
    """Target of enemy i: kept while alive and in range (or followed, if provoked), else the nearest one."""
    target, far = s[TARGET, i], k[s[KIND, i], K_ACQUIRE] + TOUCH
    if target != NOBODY and not s[ALIVE, target]:
        target = NOBODY
    limit, kept = far, False
    if target != NOBODY:
        kept = in_reach(f, s, k, i, target, 0.0)
        if kept:
            s[PROVOKED, i] = False
            if threats == 0 or choices.threat_reach < 0.0 or fights(f, s, target):
                s[TARGET, i] = target
                return target
            if choices.acquire_to_edge:
                limit = min(far, k[s[KIND, i], K_REACH] + choices.threat_reach + TOUCH)
        else:
            follow = choices.chase_limit if s[PROVOKED, i] else far
            if not (s[PROVOKED, i] or choices.keep_acquired) or edge_distance(f, i, target) > follow:
                target = NOBODY
            elif not s[PROVOKED, i]:
                return target
    if not kept and s[SCAN_WAIT, i] > 0:
        s[SCAN_WAIT, i] -= 1
        s[TARGET, i] = target
        return target
    found = _nearest(f, s, k, choices, i, crowd, agents, limit, threats > 0, kept)
    if kept:  # left only for a threat
        if found != NOBODY and in_reach(f, s, k, i, found, choices.threat_reach):
            target = found
    elif found != NOBODY:
        target = found
        s[PROVOKED, i] = False
    else:
        s[SCAN_WAIT, i] = choices.scan_interval - 1
    s[TARGET, i] = target
    return target


@njit(cache=True)
def _choose_patient(f, s, k, choices, i):
    """Patient of an enemy healer: kept until cured, else the one with the lowest part of its life, then the nearest."""
    kind = s[KIND, i]
    patient = s[TARGET, i]
    reach = k[kind, K_HEAL_AUTO_RANGE]
    if patient == NOBODY or not _curable(f, s, k, patient) or edge_distance(f, i, patient) > reach:
        patient = NOBODY
        least, nearest = 1.0, 0.0
        if f[ENERGY, i] >= k[kind, K_HEAL_AUTO_ENERGY]:
            for j in range(choices.n_agents, f.shape[1]):
                if j == i or not _curable(f, s, k, j):
                    continue
                distance = edge_distance(f, i, j)
                part = f[HEALTH, j] / k[s[KIND, j], K_HEALTH_MAX]
                if distance <= reach and (part < least or (part == least and distance < nearest)):
                    patient, least, nearest = j, part, distance
    s[TARGET, i] = patient
    return patient


@njit(cache=True)
def _decide_healer(f, s, k, choices, ground, i):
    """Heal, follow the patient, or go where the order says."""
    kind = s[KIND, i]
    before = s[HEALING, i]
    s[HEALING, i] = NOBODY
    patient = NOBODY
    if s[ORDER, i] == HEAL_UNIT:
        patient = s[ORDER_TARGET, i]
        if not _curable(f, s, k, patient):
            s[ORDER, i] = IDLE
            patient = NOBODY
    elif i >= choices.n_agents:
        patient = _choose_patient(f, s, k, choices, i)
    if patient != NOBODY:
        slop = k[kind, K_HEAL_SLOP] if patient == before else 0.0
        distance = edge_distance(f, i, patient)
        if distance <= k[kind, K_HEAL_RANGE] + slop + TOUCH:
            s[HEALING, i] = patient
        if distance > k[kind, K_HEAL_RANGE] + TOUCH:
            walk_towards(f, s, k, ground, i, f[X, patient], f[Y, patient])
    else:
        _follow_order(f, s, k, ground, i)


@njit(cache=True, inline="always")
def _follow_order(f, s, k, ground, i):
    """Walk to the goal of a MOVE or ATTACK_MOVE; there the order ends."""
    if s[ORDER, i] == MOVE or s[ORDER, i] == ATTACK_MOVE:
        walk_towards(f, s, k, ground, i, f[ORDER_X, i], f[ORDER_Y, i])
        if not s[MOVING, i]:
            s[ORDER, i] = IDLE


@njit(cache=True)
def _start_attack(f, s, k, choices, clock, key, b, i, target):
    """Begin an attack: the cooldown counts from here, with its own jitter."""
    kind = s[KIND, i]
    left_over = f[COOLDOWN, i] if choices.carry_fraction else 0.0  # in (-1, 0]
    jitter = uniform(clock, b, key, k[kind, K_JITTER_LOW], k[kind, K_JITTER_HIGH])
    near = k[kind, K_MELEE_REACH] >= 0.0 and edge_distance(f, i, target) <= k[kind, K_MELEE_REACH] + TOUCH
    s[MELEE_SHOT, i] = near and k[s[KIND, target], K_ON_GROUND] > 0.0
    period = k[kind, K_MELEE_PERIOD] if s[MELEE_SHOT, i] else k[kind, K_PERIOD]
    f[COOLDOWN, i] = left_over + period + jitter
    wait = k[kind, K_MELEE_DAMAGE_POINT] if s[MELEE_SHOT, i] else k[kind, K_DAMAGE_POINT]
    f[WINDUP, i] = max(TOUCH, wait)  # an immediate effect comes in the next loop's strike
    s[HITS_LEFT, i] = hits_per_attack(k, kind)
    s[SHOT_TARGET, i] = target


@njit(cache=True, inline="always")
def decide(f, s, k, choices, ground, clock, key, b, crowd, agents, threats, i):
    """Stand and shoot, walk, heal, or do nothing: sets engaged, moving and the wanted step of unit i."""
    kind = s[KIND, i]
    s[MOVING, i] = False
    s[ENGAGED, i] = False
    # A cooldown that ran out in this loop keeps its fraction for the next period; an older one counts as 0.
    f[COOLDOWN, i] = f[COOLDOWN, i] - 1.0 if f[COOLDOWN, i] > 0.0 else 0.0
    f[BACKSWING, i] = max(0.0, f[BACKSWING, i] - 1.0)
    s[HELP_WAIT, i] = max(0, s[HELP_WAIT, i] - 1)
    if k[kind, K_HEAL_RATE] > 0.0:
        _decide_healer(f, s, k, choices, ground, i)
    else:
        _decide_fighter(f, s, k, choices, ground, clock, key, b, crowd, agents, threats, i)
    if k[kind, K_ACCELERATION] > 0.0 and not s[MOVING, i]:
        f[SPEED_NOW, i] = 0.0


@njit(cache=True, inline="always")
def _face(f, s, k, i, target):
    """Turn unit i towards its target, also while its weapon cools down. Returns: True if it may fire."""
    dx = f[X, target] - f[X, i]
    dy = f[Y, target] - f[Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    if distance <= TOUCH:
        return True
    part = 1.0 / distance
    return turn_to(f, s, k, i, part * dx, part * dy, k[s[KIND, i], K_AIM_COS])


@njit(cache=True, inline="always")
def _decide_fighter(f, s, k, choices, ground, clock, key, b, crowd, agents, threats, i):
    if f[WINDUP, i] > 0.0:
        s[ENGAGED, i] = True
        return
    target = NOBODY  # agents never choose for themselves
    if s[ORDER, i] == ATTACK_UNIT:
        target = s[ORDER_TARGET, i]
        if not s[ALIVE, target]:
            target = NOBODY
            if i >= choices.n_agents and choices.group_order_moves_on:
                target = nearest_agent(f, s, k, choices, i)
            if target == NOBODY:
                s[ORDER, i] = IDLE
            else:
                s[ORDER_TARGET, i] = target
    elif i >= choices.n_agents:
        target = _choose_target(f, s, k, choices, crowd, agents, threats, i)
    if target != NOBODY and in_reach(f, s, k, i, target, 0.0):
        s[ENGAGED, i] = True
        if _face(f, s, k, i, target) and f[COOLDOWN, i] <= 0.0:
            _start_attack(f, s, k, choices, clock, key, b, i, target)
        return
    if choices.backswing_holds and f[BACKSWING, i] > 0.0:
        return
    if target != NOBODY:
        walk_towards(f, s, k, ground, i, f[X, target], f[Y, target])
    else:
        _follow_order(f, s, k, ground, i)
