"""Units among units: steering around those who stand and fight, pushing apart.

Arguments as in `combat.py`; choices: `tables.Choices`. Pairs are looked up once a loop, after everybody's step. Most
units are far from each other, and distances are what a loop spends its time on: `lanes` tells which are worth a closer
look.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from skirmish.compiled import njit
from skirmish.physics.lanes import LANES, NO_BITS, ONE_BIT, Group, close, closer, enlist, lowest_bit, new_group, seal
from skirmish.physics.tables import (
    ALIVE,
    BACKSWING,
    DETOUR,
    ENGAGED,
    HOLD_ENGAGED,
    HOLD_NEVER,
    K_MOVER,
    KIND,
    LAYERS,
    MOVER_NONE,
    MOVING,
    RADIUS,
    SEPARATION,
    STEP_X,
    STEP_Y,
    TOUCH,
    WINDUP,
    X,
    Y,
)

DIAGONAL = math.sqrt(0.5)
TOUCHING = 1e-5  # who only touches is not in the way; single precision knows places to 4e-6
STRANDS = 4
FIXED, WALKS, HOLDS, IDLES = 0, 1, 2, 3  # how a unit gives way


class Crowd(NamedTuple):
    """Scratch of one battle of U units, filled anew in every loop."""

    living: Group
    manners: np.ndarray  # (U,) int64: how each of them gives way
    holders: Group  # who stands and fights
    agents: Group  # the living agents, sizes: their radii
    threats: np.ndarray  # (n / LANES rounded up,) uint64: bits of those of them that attack
    movers: np.ndarray  # (U,) int64: who walks
    lower: np.ndarray  # (P,) uint16: pairs of units that may overlap; at most U (U - 1) / 2, and one to spare
    higher: np.ndarray
    sizes: np.ndarray  # (P,) distance below which they do
    parts: np.ndarray  # (P,) part of an overlap that the lower gives way
    shares: np.ndarray  # (2, 4, 4) part of an overlap that is given way: friends or foes, own manner, the other's


@njit(cache=True)
def new_crowd(units, choices):
    """Room for the scratch of a battle."""
    most = units * (units - 1) // 2 + 1
    shares = np.empty((2, 4, 4))
    for foes in range(2):
        for own in range(4):
            for other in range(4):
                shares[foes, own, other] = _share(choices, foes == 1, own, other)
    return Crowd(
        new_group(units),
        np.zeros(units, np.int64),
        new_group(units),
        new_group(choices.n_agents),
        np.zeros(choices.n_agents // LANES + 1, np.uint64),
        np.empty(units, np.int64),
        np.empty(most, np.uint16),
        np.empty(most, np.uint16),
        np.empty(most),
        np.empty(most),
        shares,
    )


@njit(cache=True)
def _share(choices, foes, own, other):
    """Part of an overlap that a unit gives way to another; what cannot move gives none, equals half each."""
    if other == FIXED:
        return 1.0
    if own == FIXED:
        return 0.0
    if (own == WALKS) == (other == WALKS):
        return 0.5
    standing = other if own == WALKS else own
    if choices.ground_holding == HOLD_NEVER:
        part = 0.5
    elif standing == HOLDS:
        part = choices.yield_to_holders
    else:
        part = choices.yield_to_idle_foes if foes else choices.yield_to_idle_friends
    return part if own == WALKS else 1.0 - part


@njit(cache=True, inline="always")
def fights(f, s, j):
    """Is unit j attacking: in wind-up or backswing, or standing with its target in range?"""
    return (s[ENGAGED, j] != 0) | (f[WINDUP, j] > 0.0) | (f[BACKSWING, j] > 0.0)  # without branches


@njit(cache=True, forceinline=True)
def list_agents(f, s, choices, crowd):
    """List the living agents, and those that attack, which is settled once all agents have decided.

    Returns: how many there are, and how many attack; none of them if enemies do not care (`threats_first`).
    """
    living = threats = np.int64(0)
    crowd.threats[:] = NO_BITS
    for j in range(choices.n_agents):
        alive = s[ALIVE, j] != 0
        threat = np.uint64(alive & choices.threats_first & fights(f, s, j))
        crowd.threats[living // LANES] |= threat << np.uint64(living % LANES)
        threats += np.int64(threat)
        living = enlist(crowd.agents, living, alive, j, f[X, j], f[Y, j], f[RADIUS, j])
    seal(crowd.agents, living)
    return living, threats


@njit(cache=True, forceinline=True)
def list_movers(f, s, crowd):
    """List who walks in this loop, and who stands and fights. Returns: how many walk, how many hold their ground."""
    movers = holders = np.int64(0)
    for i in range(s.shape[1]):
        alive, moves = s[ALIVE, i] != 0, s[MOVING, i] != 0
        crowd.movers[movers] = i
        movers += np.int64(alive & moves)
        stands = alive & (not moves) & fights(f, s, i)
        holders = enlist(crowd.holders, holders, stands, i, f[X, i], f[Y, i], f[SEPARATION, i])
    seal(crowd.holders, holders)
    return movers, holders


@njit(cache=True, forceinline=True)
def steer(f, s, crowd, movers, holders):
    """Lead steps that run further into somebody who stands and fights around him."""
    for at in range(movers):
        i = crowd.movers[at]
        if _blocked(f, s, crowd.holders, holders, i, f[STEP_X, i], f[STEP_Y, i]):
            _turn_aside(f, s, crowd.holders, holders, i)
        else:
            s[DETOUR, i] = 0


@njit(cache=True)
def _turn_aside(f, s, holders, count, i):
    """Turn a blocked step by 45 or 90 degrees, on the side taken before if there was one; else press on."""
    dx, dy = f[STEP_X, i] - f[X, i], f[STEP_Y, i] - f[Y, i]
    first = s[DETOUR, i]
    if first == 0:
        first = 1 - 2 * (i & 1)
    for attempt in range(4):
        side = first if attempt < 2 else -first
        if attempt & 1 == 0:
            x, y = f[X, i] + DIAGONAL * (dx - side * dy), f[Y, i] + DIAGONAL * (dy + side * dx)
        else:
            x, y = f[X, i] - side * dy, f[Y, i] + side * dx
        if not _blocked(f, s, holders, count, i, x, y):
            s[DETOUR, i] = side
            f[STEP_X, i] = x
            f[STEP_Y, i] = y
            return


@njit(cache=True, inline="always")
def _blocked(f, s, holders, count, i, x, y):
    """Would unit i at (x, y) run further into one of the holders?"""
    for at in range(0, count, LANES):
        near = closer(holders, at, x, y, f[X, i], f[Y, i], f[SEPARATION, i] - TOUCHING)
        while near != NO_BITS:
            if s[LAYERS, i] & s[LAYERS, holders.units[at + lowest_bit(near)]] != 0:
                return True
            near &= near - ONE_BIT
    return False


@njit(cache=True, forceinline=True)
def push_apart(f, s, k, choices, crowd, passes):
    """Passes over the pairs that overlap or nearly do; whom others are pushed into follows in the next loop."""
    pairs = _find_pairs(f, s, k, choices, crowd)
    strand = (pairs + STRANDS - 1) // STRANDS
    for _ in range(passes):
        # Pairs next to each other mostly share a unit, and one would wait for the other's square root.
        for place in range(strand):
            at = place
            while at < pairs:  # a `range` with such a step would divide
                _part(f, crowd, choices.push_factor, at)
                at += strand


@njit(cache=True, forceinline=True)
def _find_pairs(f, s, k, choices, crowd):
    """List the pairs of living units that share a layer and (nearly) overlap. Returns: how many."""
    living, count, alive = crowd.living, 0, 0
    for i in range(f.shape[1]):
        alive = enlist(living, alive, s[ALIVE, i] != 0, i, f[X, i], f[Y, i], f[SEPARATION, i])
    seal(living, alive)
    for place in range(alive):
        crowd.manners[place] = _manner(f, s, k, choices, living.units[place])
    for place in range(alive - 1):
        i, x, y = living.units[place], living.xs[place], living.ys[place]
        size, layers, manner = f[SEPARATION, i], s[LAYERS, i], crowd.manners[place]
        first = (place + 1) // LANES * LANES
        for at in range(first, alive, LANES):
            near = close(living, at, x, y, size + choices.push_margin)
            if at == first:
                near &= ~NO_BITS << np.uint64(place + 1 - at)
            while near != NO_BITS:
                other = at + lowest_bit(near)
                j = living.units[other]
                near &= near - ONE_BIT
                foes = np.int64((i < choices.n_agents) & (j >= choices.n_agents))
                crowd.lower[count], crowd.higher[count] = i, j
                crowd.sizes[count] = size + f[SEPARATION, j]
                crowd.parts[count] = crowd.shares[foes, manner, crowd.manners[other]]
                count += layers & s[LAYERS, j] != 0
    return count


@njit(cache=True, inline="always")
def _part(f, crowd, factor, at):
    """Push pair number `at` apart as far as it overlaps."""
    i, j, part = np.int64(crowd.lower[at]), np.int64(crowd.higher[at]), crowd.parts[at]
    dx = f[X, j] - f[X, i]
    dy = f[Y, j] - f[Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    overlap = max(0.0, crowd.sizes[at] - distance)
    if distance <= TOUCH:  # on one spot: apart north-south
        dx, dy, distance = 0.0, 1.0, 1.0
    push = factor * overlap / distance
    f[X, i] -= part * push * dx
    f[Y, i] -= part * push * dy
    f[X, j] += (1.0 - part) * push * dx
    f[Y, j] += (1.0 - part) * push * dy


@njit(cache=True, inline="always")
def _manner(f, s, k, choices, i):
    """How unit i gives way, without branches, for nothing foretells it."""
    moves = np.int64(k[s[KIND, i], K_MOVER] != MOVER_NONE)
    engaged = (choices.ground_holding == HOLD_ENGAGED) & (s[ENGAGED, i] != 0)
    holds = np.int64(engaged | (f[WINDUP, i] > 0.0) | (f[BACKSWING, i] > 0.0))
    walks = np.int64(s[MOVING, i] != 0)
    return moves * (walks * WALKS + (1 - walks) * (IDLES - holds))
