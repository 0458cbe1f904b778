"""The game loop, and the kernels that run it for many episodes side by side.

Episodes share nothing, so results do not depend on the number of threads. One loop, all phases for all units: what is
due lands; everybody decides (stand and shoot, or walk); walkers step at the same time; overlaps are pushed apart;
centres are kept on open ground; what regenerates does.

What runs for every unit in every loop is inlined by hand (`inline="always"`), here and in the other files: a call hands
over the fields of all tables and tuples, which cost more than the work itself (3m, under load: 36,000 steps/s without,
117,000 with).
"""

from __future__ import annotations

import numpy as np

from skirmish.compiled import njit
from skirmish.physics.combat import heal, regenerate, strike
from skirmish.physics.crowd import list_agents, list_movers, new_crowd, push_apart, steer
from skirmish.physics.draws import uniform
from skirmish.physics.movement import inside, keep_inside
from skirmish.physics.orders import command, decide, hunt, nearest_agent
from skirmish.physics.tables import (
    ALIVE,
    ATTACK_MOVE,
    ATTACK_UNIT,
    BEAM_AGE,
    BEAM_SOURCE,
    DRAWS,
    ENERGY,
    FACING_X,
    FACING_Y,
    HEAD_START,
    HEALING,
    HEALTH,
    IDLE,
    K_ENERGY_START,
    K_FACING_X,
    K_FACING_Y,
    K_HEAL_RATE,
    K_HEALTH_MAX,
    K_LAYERS,
    K_MOVER,
    K_RADIUS,
    K_SEPARATION,
    K_SHIELD_MAX,
    KIND,
    LAYERS,
    LOOPS,
    MISSILE_TARGET,
    NOBODY,
    ORDER,
    ORDER_TARGET,
    ORDER_X,
    ORDER_Y,
    RADIUS,
    SEPARATION,
    SHIELD,
    SHOT_TARGET,
    STEP_X,
    STEP_Y,
    TARGET,
    X,
    Y,
)
from skirmish.slotwise import SlotKernel, kept, lent


@njit(cache=True, inline="always")
def _game_loop(f, s, k, choices, ground, clock, key, b, crowd):
    units = f.shape[1]
    strike(f, s, k, choices)
    if choices.hunt_period > 0 and clock[LOOPS] % choices.hunt_period == 0:
        hunt(f, s, k, choices)
    clock[LOOPS] += 1
    agents = threats = 0
    for i in range(units):
        if i == choices.n_agents:
            agents, threats = list_agents(f, s, choices, crowd)
        if s[ALIVE, i]:
            decide(f, s, k, choices, ground, clock, key, b, crowd, agents, threats, i)
    if choices.healing:
        for i in range(units):
            if s[ALIVE, i] and s[HEALING, i] != NOBODY:
                heal(f, s, k, i)
    movers, holders = list_movers(f, s, crowd)
    if choices.steer_around:
        steer(f, s, crowd, movers, holders)
    for at in range(movers):
        i = crowd.movers[at]
        f[X, i] = f[STEP_X, i]
        f[Y, i] = f[STEP_Y, i]
    push_apart(f, s, k, choices, crowd, choices.push_passes)
    for i in range(units):
        if s[ALIVE, i]:
            keep_inside(f, s, k, choices, ground, i)
            regenerate(f, s, k, choices, i)


@njit(cache=True)
def _place(f, s, k, choices, ground, places, kinds, clock, key, b, crowd):
    """Fresh units at their places, agents of one type sorted by (x, y), enemies in creation order.

    places (4, U): x, y of each unit, x, y of its goal; kinds (U,) rows of k, agents' equal kinds next to each other.
    """
    units = f.shape[1]
    n = choices.n_agents
    f[:] = 0.0
    s[:] = 0
    goal_dx = goal_dy = 0.0
    if choices.goal_dx != 0.0 or choices.goal_dy != 0.0:
        part = uniform(clock, b, key, 0.0, 1.0)
        goal_dx, goal_dy = part * choices.goal_dx, part * choices.goal_dy
    for i in range(units):
        x, y = places[0, i], places[1, i]
        if choices.placement_jitter > 0.0:
            x += uniform(clock, b, key, -choices.placement_jitter, choices.placement_jitter)
            y += uniform(clock, b, key, -choices.placement_jitter, choices.placement_jitter)
        at = i
        while i < n and at > 0 and kinds[at - 1] == kinds[i]:
            if f[X, at - 1] < x or (f[X, at - 1] == x and f[Y, at - 1] <= y):
                break
            f[X, at] = f[X, at - 1]
            f[Y, at] = f[Y, at - 1]
            at -= 1
        f[X, at] = x
        f[Y, at] = y
    for i in range(units):
        kind = kinds[i]
        s[KIND, i] = kind
        s[LAYERS, i] = int(k[kind, K_LAYERS])
        f[RADIUS, i], f[SEPARATION, i] = k[kind, K_RADIUS], k[kind, K_SEPARATION]
        f[HEALTH, i], f[SHIELD, i] = k[kind, K_HEALTH_MAX], k[kind, K_SHIELD_MAX]
        f[ENERGY, i] = k[kind, K_ENERGY_START]
        f[FACING_X, i], f[FACING_Y, i] = k[kind, K_FACING_X], k[kind, K_FACING_Y]
        s[ALIVE, i] = True
        s[ORDER_TARGET, i] = s[TARGET, i] = s[SHOT_TARGET, i] = s[MISSILE_TARGET, i] = s[HEALING, i] = NOBODY
        s[BEAM_AGE, i] = s[BEAM_SOURCE, i] = NOBODY
        size = f[SEPARATION, i]
        goal_x, goal_y = places[2, i] + goal_dx, places[3, i] + goal_dy
        f[ORDER_X, i], f[ORDER_Y, i] = inside(goal_x, goal_y, k[kind, K_MOVER], size, choices, ground)
        keep_inside(f, s, k, choices, ground, i)
    push_apart(f, s, k, choices, crowd, 1)
    for i in range(units):
        keep_inside(f, s, k, choices, ground, i)
    for i in range(n, units):
        _first_order(f, s, k, choices, i)


@njit(cache=True)
def _first_order(f, s, k, choices, i):
    """The one order of the map's script for enemy i."""
    order = choices.enemy_order
    if k[s[KIND, i], K_HEAL_RATE] > 0.0 and not choices.enemy_medivac_follows:
        order = IDLE
    s[ORDER, i] = order
    if order == ATTACK_UNIT:
        s[ORDER_TARGET, i] = nearest_agent(f, s, k, choices, i)
    elif order != ATTACK_MOVE:
        f[ORDER_X, i], f[ORDER_Y, i] = f[X, i], f[Y, i]


@njit(cache=True)
def _sort_agents(f, s, n):
    """Order agents of one type by (x, y) of the first observation, as SMAC does; whoever aims at them follows."""
    order = np.arange(n)
    for i in range(1, n):
        at = i
        while at > 0:
            a, c = order[at - 1], order[at]
            in_place = f[X, a] < f[X, c] or (f[X, a] == f[X, c] and f[Y, a] <= f[Y, c])
            if s[KIND, a] != s[KIND, c] or in_place:
                break
            order[at - 1], order[at] = c, a
            at -= 1
    moved = False
    for i in range(n):
        moved |= order[i] != i
    if not moved:
        return
    floats, ints = f[:, :n].copy(), s[:, :n].copy()
    place = np.empty(n, np.int64)
    for i in range(n):
        f[:, i] = floats[:, order[i]]
        s[:, i] = ints[:, order[i]]
        place[order[i]] = i
    for row in (ORDER_TARGET, TARGET, SHOT_TARGET, MISSILE_TARGET, HEALING, BEAM_SOURCE):
        for i in range(f.shape[1]):
            if 0 <= s[row, i] < n:
                s[row, i] = place[s[row, i]]


@njit(cache=True)
def _run(f, s, k, choices, ground, clock, key, b, crowd, loops):
    """Game loops of one episode.

    When both sides are wiped out the map script brings the next armies at once: the loops left are their head start.
    """
    clock[HEAD_START] = 0
    for loop in range(loops):
        _game_loop(f, s, k, choices, ground, clock, key, b, crowd)
        living = 0
        for i in range(f.shape[1]):
            living += s[ALIVE, i]
        if living == 0:
            clock[HEAD_START] = loops - 1 - loop
            break


@SlotKernel
def spawn(floats, ints, clocks, k, choices, ground, places, kinds, key, slots, first, last):
    """Start the next episode in the slots marked True; EPISODE and HEAD_START are read, not advanced.

    Args: floats (B, NF, U), ints (B, NS, U), clocks (B, 4), k (K, NK), places (B, 4, U), kinds (B, U), key (2,)
    uint64, slots (B,) bool.
    """
    room = new_crowd(floats.shape[2], choices)
    crowd = lent(room)
    for b in range(first, last):
        if slots[b]:
            f, s, clock = floats[b], ints[b], clocks[b]
            clock[DRAWS] = clock[LOOPS] = 0
            _place(f, s, k, choices, ground, places[b], kinds[b], clock, key, b, crowd)
            _run(f, s, k, choices, ground, clock, key, b, crowd, clock[HEAD_START])
            _sort_agents(f, s, choices.n_agents)
    kept(room)


@SlotKernel
def advance(floats, ints, clocks, k, choices, ground, key, slots, actions, move_amount, loops, first, last):
    """Orders for the agents, then `loops` game loops, in the slots marked True.

    Args: arrays as for `spawn`; actions (B, n) int64; move_amount: length of a move order.
    """
    room = new_crowd(floats.shape[2], choices)
    crowd = lent(room)
    for b in range(first, last):
        if slots[b]:
            f, s, clock = floats[b], ints[b], clocks[b]
            for i in range(choices.n_agents):
                if s[ALIVE, i]:
                    command(f, s, k, i, actions[b, i], choices.n_agents, move_amount)
            _run(f, s, k, choices, ground, clock, key, b, crowd, loops)
    kept(room)
