"""MAPPO's central input: what the critic of one agent sees, the feature-pruned agent-specific state ("FP").

Like the agent's own observation of the mazero family, but of all living units, in sight or not, and with weapon
cooldowns and positions. Blocks, rows flattened in order:

1. ally rows (n - 1): visible, dist, dx, dy, cooldown (a healer: energy), health, (shield), cx, cy, type, last action;
2. enemy rows (m): attackable, dist, dx, dy, visible, health, (shield), type, cx, cy;
3. move (4);   4. own: 1, 0, 0, 0, health, (shield), cx, cy, type, last action;   5. agent id one-hot (n).

dist, dx, dy are in units of the agent's sight, (cx, cy) is the position from the centre of the map in units of its
size. Rows of dead units are zero, and so is everything but the id once the agent is dead (the "death mask").
Options that shorten observations do not change it; state_last_action and state_timestep_number do what they do to the
state. Source: MAPPO (arXiv 2103.01955), its SMAC environment.
"""

from __future__ import annotations

import math

import numpy as np

from skirmish.compiled import njit
from skirmish.contract.layout import (
    P_ALLY_BIT,
    P_COOLDOWN_MAX,
    P_ENEMY_BIT,
    P_HEALER,
    P_HEALTH_MAX,
    P_SHIELD_MAX,
    P_SIGHT,
    Layout,
)
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, SHIELD, X, Y
from skirmish.slotwise import SlotKernel


def agent_state_blocks(layout: Layout) -> dict[str, tuple[int, int]]:
    """(rows, features) of the blocks of one agent's vector, in their order, the time step left out."""
    last = layout.n_actions if layout.state_last_action else 0
    return {
        "ally": (layout.n - 1, 8 + layout.ally_shields + layout.bits + last),
        "enemy": (layout.m, 8 + layout.enemy_shields + layout.bits),
        "move": (1, 4),
        "own": (1, 7 + layout.ally_shields + layout.bits + last),
        "agent_id": (1, layout.n),
    }


def agent_state_size(layout: Layout) -> int:
    """F, length of one agent's vector."""
    return sum(rows * features for rows, features in agent_state_blocks(layout).values()) + layout.state_timestep


@njit(cache=True)
def _write_features(units, kinds, profile, layout, b, j, ally, row, at):
    """[health, (shield), position, type] of unit j, for enemies the type before the position. Returns the end."""
    kind = kinds[b, j]
    row[at] = units[b, HEALTH, j] / profile[kind, P_HEALTH_MAX]
    at += 1
    if (layout.ally_shields if ally else layout.enemy_shields) == 1:
        row[at] = units[b, SHIELD, j] / profile[kind, P_SHIELD_MAX]
        at += 1
    place = at if ally else at + layout.bits
    bits = at + 2 if ally else at
    row[place] = (units[b, X, j] - layout.map_x / 2.0) / layout.map_x
    row[place + 1] = (units[b, Y, j] - layout.map_y / 2.0) / layout.map_y
    if layout.bits > 0:
        row[bits + int(profile[kind, P_ALLY_BIT if ally else P_ENEMY_BIT])] = 1.0
    return at + 2 + layout.bits


@njit(cache=True)
def _write_offset(units, b, i, j, sight, row, at):
    """[dist, dx, dy] of unit j from agent i. Returns the distance."""
    dx = units[b, X, j] - units[b, X, i]
    dy = units[b, Y, j] - units[b, Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    row[at] = distance / sight
    row[at + 1] = dx / sight
    row[at + 2] = dy / sight
    return distance


@njit(cache=True)
def _write_agent(units, kinds, profile, layout, available, last_action, b, i, row):
    """All blocks of a living agent but its id."""
    sight = profile[kinds[b, i], P_SIGHT]
    last = layout.n_actions if layout.state_last_action else 0
    at = np.int64(0)
    for j in range(layout.n):
        if j == i:
            continue
        if units[b, HEALTH, j] > 0.0:
            kind = kinds[b, j]
            distance = _write_offset(units, b, i, j, sight, row, at + 1)
            row[at] = 1.0 if distance < layout.sight_scale * sight else 0.0
            healer = profile[kind, P_HEALER] > 0.0
            reserve = units[b, ENERGY, j] if healer else max(0.0, units[b, COOLDOWN, j])
            row[at + 4] = reserve / profile[kind, P_COOLDOWN_MAX]
            end = _write_features(units, kinds, profile, layout, b, j, True, row, at + 5)
            if last > 0 and last_action[b, j] >= 0:
                row[end + last_action[b, j]] = 1.0
        at += 8 + layout.ally_shields + layout.bits + last
    for e in range(layout.m):
        j = layout.n + e
        if units[b, HEALTH, j] > 0.0:
            distance = _write_offset(units, b, i, j, sight, row, at + 1)
            row[at] = 1.0 if available[b, i, 6 + e] else 0.0
            row[at + 4] = 1.0 if distance < layout.sight_scale * sight else 0.0
            _write_features(units, kinds, profile, layout, b, j, False, row, at + 5)
        at += 8 + layout.enemy_shields + layout.bits
    for k in range(4):
        row[at + k] = 1.0 if available[b, i, 2 + k] else 0.0
    at += 4
    row[at] = 1.0
    end = _write_features(units, kinds, profile, layout, b, i, True, row, at + 4)
    if last > 0 and last_action[b, i] >= 0:
        row[end + last_action[b, i]] = 1.0


@SlotKernel
def fill_agent_state(units, kinds, profile, layout, available, last_action, t, slots, out, first, last):
    """Central inputs of the slots marked True.

    Args:
      units, kinds, profile, layout: see `contract.py`.
      available: (B, n, A) bool.    last_action: (B, n) int64, -1 before the first step.    t: (B,) int64 steps done.
      out: (B, n, F) float32, filled.
    """
    size = out.shape[2]
    for b in range(first, last):
        if not slots[b]:
            continue
        for i in range(layout.n):
            row = out[b, i]
            row[:] = 0.0
            if units[b, HEALTH, i] > 0.0:
                _write_agent(units, kinds, profile, layout, available, last_action, b, i, row)
            end = size
            if layout.state_timestep:
                end -= 1
                row[end] = t[b] / layout.episode_limit
            row[end - layout.n + i] = 1.0
