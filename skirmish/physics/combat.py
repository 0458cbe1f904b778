"""Fighting: hits, missiles in flight, sweeping beams, explosions, healing, regeneration, deaths.

Arguments, everywhere: f (NF, U) float64 and s (NS, U) int64 of one episode; k (K, NK) facts of the types; i, j units.
What is due in a loop lands together: who dies in it has still fired.
"""

from __future__ import annotations

import math

import numpy as np

from skirmish.compiled import njit
from skirmish.physics.tables import (
    ALIVE,
    BACKSWING,
    BEAM_AGE,
    BEAM_DX,
    BEAM_DY,
    BEAM_PENDING,
    BEAM_SOURCE,
    BEAM_TOUCHED_A,
    BEAM_TOUCHED_B,
    BEAM_X,
    BEAM_Y,
    BURST,
    BY_BEAM,
    BY_BURST,
    BY_FLIGHT,
    BY_MISSILE,
    COOLDOWN,
    DEALT,
    ENERGY,
    HEALING,
    HEALTH,
    HELP_WAIT,
    HITS_LEFT,
    HITS_TAKEN,
    IDLE,
    K_ARMOR,
    K_ARMORED,
    K_ATTACKS,
    K_BACKSWING,
    K_BEAM_HALF,
    K_BEAM_PERIOD,
    K_BEAM_RADIUS,
    K_BEAM_SAMPLES,
    K_BEAM_TOUCH,
    K_BONUS_ARMORED,
    K_BONUS_LIGHT,
    K_BURST_RADIUS,
    K_DAMAGE,
    K_DELIVERY,
    K_ENERGY_MAX,
    K_ENERGY_REGEN,
    K_FLIGHT,
    K_HEAL_COST,
    K_HEAL_RATE,
    K_HEALTH_MAX,
    K_HEALTH_REGEN,
    K_HIT_OFFSET,
    K_HITS_AIR,
    K_HITS_GROUND,
    K_IN_AIR,
    K_LIGHT,
    K_MELEE_REACH,
    K_MISSILE_SPEED,
    K_ON_GROUND,
    K_REACH,
    K_SHIELD_DELAY,
    K_SHIELD_MAX,
    K_SHIELD_REGEN,
    K_SLOP,
    K_STRUCTURE,
    KIND,
    MELEE_SHOT,
    MISSILE_TARGET,
    MISSILE_TIME,
    MISSILE_X,
    MISSILE_Y,
    NOBODY,
    ORDER,
    OVERKILL,
    PROVOKED,
    RADIUS,
    RESTORED,
    SHIELD,
    SHOT_TARGET,
    SINCE_HIT,
    TAKEN,
    TARGET,
    TOUCH,
    WINDUP,
    X,
    Y,
)

PENDING_BITS = 5  # of each loop's count in BEAM_PENDING
PENDING_MASK = 31
PENDING_LOOPS = 12
TOUCH_BITS = 64  # units told apart by a bit in BEAM_TOUCHED_*; more colossi than that would share bits


@njit(cache=True, inline="always")
def edge_distance(f, i, j):
    """Distance between the edges of two units; weapon ranges count from edge to edge."""
    dx = f[X, j] - f[X, i]
    dy = f[Y, j] - f[Y, i]
    return math.sqrt(dx * dx + dy * dy) - f[RADIUS, i] - f[RADIUS, j]


@njit(cache=True, inline="always")
def in_reach(f, s, k, i, j, extra):
    """Is unit j within the weapon range of unit i, or at most `extra` beyond it?"""
    dx = f[X, j] - f[X, i]
    dy = f[Y, j] - f[Y, i]
    limit = k[s[KIND, i], K_REACH] + extra + TOUCH + f[RADIUS, i] + f[RADIUS, j]
    return limit > 0.0 and dx * dx + dy * dy <= limit * limit


@njit(cache=True, inline="always")
def can_hit(s, k, i, j):
    """Can the weapon of unit i be aimed at unit j? Explosions are not aimed at structures."""
    a, v = s[KIND, i], s[KIND, j]
    if k[a, K_REACH] < 0.0 or (k[a, K_DELIVERY] == BY_BURST and k[v, K_STRUCTURE] > 0.0):
        return False
    return k[a, K_HITS_GROUND] * k[v, K_ON_GROUND] + k[a, K_HITS_AIR] * k[v, K_IN_AIR] > 0.0


@njit(cache=True)
def hit(f, s, k, choices, i, j):
    """One hit of unit i on unit j: shields first, then life less armour; every hit costs at least the minimum."""
    a, v = s[KIND, i], s[KIND, j]
    damage = k[a, K_DAMAGE] + k[a, K_BONUS_LIGHT] * k[v, K_LIGHT] + k[a, K_BONUS_ARMORED] * k[v, K_ARMORED]
    absorbed = min(damage, f[SHIELD, j])
    f[SHIELD, j] -= absorbed
    damage -= absorbed
    if damage > 0.0:
        damage = max(choices.minimum_damage, damage - k[v, K_ARMOR])
        f[OVERKILL, j] += max(0.0, damage - f[HEALTH, j])
        f[HEALTH, j] = max(0.0, f[HEALTH, j] - damage)
    f[TAKEN, j] += absorbed + damage
    f[DEALT, i] += absorbed + damage
    s[SINCE_HIT, j] = 0
    s[HITS_TAKEN, j] += 1
    if j >= choices.n_agents:
        _provoke(f, s, k, choices, j, i)


@njit(cache=True)
def _provoke(f, s, k, choices, victim, attacker):
    """An enemy that was hit turns on its attacker if it has no target (or none in reach), and calls friends nearby."""
    target = s[TARGET, victim]
    free = target == NOBODY or (choices.retaliation and not in_reach(f, s, k, victim, target, 0.0))
    if free and can_hit(s, k, victim, attacker):
        s[TARGET, victim] = attacker
        s[PROVOKED, victim] = True
    if s[HELP_WAIT, victim] > 0:
        return
    s[HELP_WAIT, victim] = choices.help_period
    for j in range(choices.n_agents, f.shape[1]):
        free = s[TARGET, j] == NOBODY and (s[ORDER, j] == IDLE or choices.help_reaches_walkers)
        if s[ALIVE, j] and free and can_hit(s, k, j, attacker):
            dx = f[X, j] - f[X, victim]
            dy = f[Y, j] - f[Y, victim]
            if dx * dx + dy * dy <= choices.help_radius * choices.help_radius:
                s[TARGET, j] = attacker
                s[PROVOKED, j] = True


@njit(cache=True, inline="always")
def strike(f, s, k, choices):
    """Everything that lands in this loop, then the deaths."""
    units = f.shape[1]
    if choices.delayed_hits:
        for i in range(units):
            if s[BURST, i] == 1:
                s[BURST, i] = 2
            if s[BEAM_PENDING, i] > 0:
                _land_beams(f, s, k, choices, i)
        for i in range(units):
            if s[BEAM_AGE, i] >= 0:
                _sweep(f, s, k, choices, i)
            if s[MISSILE_TARGET, i] != NOBODY:
                _fly(f, s, k, choices, i)
    for i in range(units):
        if s[ALIVE, i] and f[WINDUP, i] > 0.0:
            f[WINDUP, i] -= 1.0
            if f[WINDUP, i] <= 0.0:
                _release(f, s, k, choices, i)
    _bury(f, s, k, choices)


@njit(cache=True)
def _release(f, s, k, choices, i):
    """A hit of the attack under way is due: it lands, or leaves as missile, beam or explosion."""
    kind, j = s[KIND, i], s[SHOT_TARGET, i]
    left_over = f[WINDUP, i]
    f[WINDUP, i] = 0.0
    reach = k[kind, K_MELEE_REACH] if s[MELEE_SHOT, i] else k[kind, K_REACH]
    if not s[ALIVE, j] or edge_distance(f, i, j) > reach + k[kind, K_SLOP] + TOUCH:
        if untouched(s, k, i):
            f[COOLDOWN, i] = 0.0  # the attack never happened
        else:
            f[BACKSWING, i] = k[kind, K_BACKSWING]
        s[HITS_LEFT, i] = 0
        return
    delivery = k[kind, K_DELIVERY]
    if s[MELEE_SHOT, i]:
        hit(f, s, k, choices, i, j)
    elif delivery == BY_MISSILE or delivery == BY_FLIGHT:
        s[MISSILE_TARGET, i] = j
        f[MISSILE_X, i] = f[X, i]
        f[MISSILE_Y, i] = f[Y, i]
        f[MISSILE_TIME, i] = k[kind, K_FLIGHT]
    elif delivery == BY_BEAM:
        _begin_sweep(f, s, i, j)
    elif delivery == BY_BURST:
        _give_life(f, i)
    else:
        hit(f, s, k, choices, i, j)
    s[HITS_LEFT, i] -= 1
    if s[HITS_LEFT, i] > 0:
        f[WINDUP, i] = max(TOUCH, left_over + k[kind, K_HIT_OFFSET])
    else:
        f[BACKSWING, i] = k[kind, K_BACKSWING]


@njit(cache=True)
def hits_per_attack(k, kind):
    """Hits that one attack releases one after the other; the two beams of a sweep leave together."""
    return 1 if k[kind, K_DELIVERY] == BY_BEAM else int(k[kind, K_ATTACKS])


@njit(cache=True)
def untouched(s, k, i):
    """Has the attack under way not landed any hit yet?"""
    return s[HITS_LEFT, i] == hits_per_attack(k, s[KIND, i])


@njit(cache=True)
def _fly(f, s, k, choices, i):
    """Missiles follow their target and are lost with it; a tentacle needs its owner and its range to the end."""
    kind, j = s[KIND, i], s[MISSILE_TARGET, i]
    if not s[ALIVE, j]:
        s[MISSILE_TARGET, i] = NOBODY
        return
    if k[kind, K_DELIVERY] == BY_FLIGHT:
        f[MISSILE_TIME, i] -= 1.0
        part = 1.0 / max(1.0, f[MISSILE_TIME, i] + 1.0)
        f[MISSILE_X, i] += part * (f[X, j] - f[MISSILE_X, i])
        f[MISSILE_Y, i] += part * (f[Y, j] - f[MISSILE_Y, i])
        if not s[ALIVE, i] or not in_reach(f, s, k, i, j, k[kind, K_SLOP]):
            s[MISSILE_TARGET, i] = NOBODY
        elif f[MISSILE_TIME, i] <= 0.0:
            s[MISSILE_TARGET, i] = NOBODY
            hit(f, s, k, choices, i, j)
        return
    dx = f[X, j] - f[MISSILE_X, i]
    dy = f[Y, j] - f[MISSILE_Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    if distance - f[RADIUS, j] <= k[kind, K_MISSILE_SPEED]:
        s[MISSILE_TARGET, i] = NOBODY
        hit(f, s, k, choices, i, j)
        return
    part = k[kind, K_MISSILE_SPEED] / distance
    f[MISSILE_X, i] += part * dx
    f[MISSILE_Y, i] += part * dy


@njit(cache=True)
def _begin_sweep(f, s, i, j):
    """Beams of unit i run along the line through its target's place, across the direction of fire.

    The line stays put, so that a target can leave it.
    """
    dx = f[X, j] - f[X, i]
    dy = f[Y, j] - f[Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    if distance <= TOUCH:
        dx, dy, distance = 1.0, 0.0, 1.0
    f[BEAM_X, i], f[BEAM_Y, i] = f[X, j], f[Y, j]
    f[BEAM_DX, i], f[BEAM_DY, i] = -dy / distance, dx / distance
    s[BEAM_AGE, i] = 0
    clear = ~(np.int64(1) << np.int64(i % TOUCH_BITS))
    for v in range(f.shape[1]):
        s[BEAM_TOUCHED_A, v] &= clear
        s[BEAM_TOUCHED_B, v] &= clear


@njit(cache=True)
def _sweep(f, s, k, choices, i):
    """One loop of both beams: whoever they touch is hit a little later."""
    kind = s[KIND, i]
    last = int(k[kind, K_BEAM_SAMPLES]) - 1
    period, half = k[kind, K_BEAM_PERIOD], k[kind, K_BEAM_HALF]
    age = s[BEAM_AGE, i]
    for sample in range(last + 1):
        if int(sample * period) == age:
            along = half * (2.0 * sample / last - 1.0)
            _touch(f, s, k, choices, i, along, BEAM_TOUCHED_A)
            _touch(f, s, k, choices, i, -along, BEAM_TOUCHED_B)
    end = math.ceil(last * period)
    if age < end:
        s[BEAM_AGE, i] += 1
        return
    s[BEAM_AGE, i] = -1


@njit(cache=True)
def _touch(f, s, k, choices, i, along, touched):
    """Schedule a hit for every enemy ground unit at a sample point, once per beam."""
    x = f[BEAM_X, i] + along * f[BEAM_DX, i]
    y = f[BEAM_Y, i] + along * f[BEAM_DY, i]
    kind = s[KIND, i]
    bit = np.int64(1) << np.int64(i % TOUCH_BITS)
    first, after = (choices.n_agents, f.shape[1]) if i < choices.n_agents else (0, choices.n_agents)
    for v in range(first, after):
        if not s[ALIVE, v] or s[touched, v] & bit != 0:
            continue
        size = k[kind, K_BEAM_RADIUS] + (f[RADIUS, v] if choices.splash_to_edge else 0.0)
        dx = f[X, v] - x
        dy = f[Y, v] - y
        if dx * dx + dy * dy <= size * size and k[s[KIND, v], K_ON_GROUND] > 0.0:
            s[touched, v] |= bit
            _schedule(s, i, v, int(k[kind, K_BEAM_TOUCH]))


@njit(cache=True)
def _schedule(s, i, v, loops):
    """One more beam hit of unit i on unit v, `loops` loops from now."""
    shift = np.int64(PENDING_BITS * min(loops, PENDING_LOOPS - 1))
    if (s[BEAM_PENDING, v] >> shift) & PENDING_MASK < PENDING_MASK:
        s[BEAM_PENDING, v] += np.int64(1) << shift
        s[BEAM_SOURCE, v] = i


@njit(cache=True)
def _land_beams(f, s, k, choices, v):
    s[BEAM_PENDING, v] >>= PENDING_BITS
    if s[ALIVE, v]:
        for _ in range(s[BEAM_PENDING, v] & PENDING_MASK):
            hit(f, s, k, choices, s[BEAM_SOURCE, v], v)


@njit(cache=True)
def _give_life(f, i):
    """A unit that explodes spends what it has left."""
    left = f[HEALTH, i] + f[SHIELD, i]
    f[HEALTH, i] = f[SHIELD, i] = 0.0
    f[TAKEN, i] += left
    f[DEALT, i] += left


@njit(cache=True, inline="always")
def _bury(f, s, k, choices):
    """Units without health die; who explodes on dying may take others along in the same loop."""
    again = True
    while again:
        again = False
        for i in range(f.shape[1]):
            if not s[ALIVE, i] or f[HEALTH, i] > 0.0:
                continue
            s[ALIVE, i] = False
            f[WINDUP, i] = 0.0
            s[HITS_LEFT, i] = 0
            s[HEALING, i] = NOBODY
            if k[s[KIND, i], K_DELIVERY] == BY_BURST:
                _explode(f, s, k, choices, i)
                again = True


@njit(cache=True)
def _explode(f, s, k, choices, i):
    """Damage to all enemy ground units around; structures and the own side are spared."""
    s[BURST, i] = 1
    radius = k[s[KIND, i], K_BURST_RADIUS]
    first, after = (choices.n_agents, f.shape[1]) if i < choices.n_agents else (0, choices.n_agents)
    for v in range(first, after):
        if s[ALIVE, v] and can_hit(s, k, i, v):
            distance = edge_distance(f, i, v) + f[RADIUS, i] + (0.0 if choices.splash_to_edge else f[RADIUS, v])
            if distance <= radius + TOUCH:
                hit(f, s, k, choices, i, v)


@njit(cache=True)
def heal(f, s, k, i):
    """One loop of healing by unit i; a patient takes one healer at a time, the one with the lowest index."""
    j, kind = s[HEALING, i], s[KIND, i]
    for other in range(i):
        if s[ALIVE, other] and s[HEALING, other] == j:
            s[HEALING, i] = NOBODY
            return
    missing = k[s[KIND, j], K_HEALTH_MAX] - f[HEALTH, j]
    gain = min(k[kind, K_HEAL_RATE], missing, f[ENERGY, i] / k[kind, K_HEAL_COST])
    if not s[ALIVE, j] or gain <= 0.0:
        s[HEALING, i] = NOBODY
        return
    f[HEALTH, j] = min(k[s[KIND, j], K_HEALTH_MAX], f[HEALTH, j] + gain)
    f[RESTORED, j] += gain
    f[ENERGY, i] -= gain * k[kind, K_HEAL_COST]


@njit(cache=True, inline="always")
def regenerate(f, s, k, choices, i):
    """What comes back by itself in one loop: life and energy at once, shields after a while without damage."""
    s[SINCE_HIT, i] += 1
    if not choices.regenerating:
        return
    kind = s[KIND, i]
    if k[kind, K_HEALTH_REGEN] > 0.0:
        gain = min(k[kind, K_HEALTH_REGEN], k[kind, K_HEALTH_MAX] - f[HEALTH, i])
        f[HEALTH, i] = min(k[kind, K_HEALTH_MAX], f[HEALTH, i] + gain)
        f[RESTORED, i] += gain
    if k[kind, K_SHIELD_REGEN] > 0.0 and s[SINCE_HIT, i] > k[kind, K_SHIELD_DELAY]:
        gain = min(k[kind, K_SHIELD_REGEN], k[kind, K_SHIELD_MAX] - f[SHIELD, i])
        f[SHIELD, i] = min(k[kind, K_SHIELD_MAX], f[SHIELD, i] + gain)
        f[RESTORED, i] += gain
    if k[kind, K_ENERGY_REGEN] > 0.0:
        f[ENERGY, i] = min(k[kind, K_ENERGY_MAX], f[ENERGY, i] + k[kind, K_ENERGY_REGEN])
