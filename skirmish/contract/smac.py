"""From unit states to what agents see: SMAC's availability, observations, state, reward and result.

A pure layer: it knows nothing of game physics and can be tested against worked numbers. It restates the behaviour of
SMAC 1.0 ("smac" family) and of the MAZero authors' fork ("mazero" family: allies first, own last action, agent id) for
all unit types and options; `options.py` builds its tables from a map. Distances are sqrt(dx^2 + dy^2) in double
precision and every feature is rounded to float32 once, when it is stored.

Arrays: B episodes, n agents, m enemies, U = n + m units (agents first), A actions, K unit types, b type bits.

- units (B, at least 6, U) float64: rows X, Y, HEALTH, SHIELD, COOLDOWN, ENERGY, what the game reports. A unit lives
  while its health is above 0; a dead unit's other rows keep their last value.
- kinds (B, U) int64: each unit's row in the profile.
- profile (K, NUM_PROFILE) float64: constant facts of the types, columns P_* of `layout.py`.

Kernels count episodes unsigned: numba then leaves out the test for negative indices (a third of the time of
observations), and helpers compile for one type of index only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from skirmish.compiled import njit
from skirmish.contract.layout import (
    GEN_HEALERS,
    MMM_HEALERS,
    NO_HEALERS,
    P_ALLY_BIT,
    P_COOLDOWN_MAX,
    P_ENEMY_BIT,
    P_HEALER,
    P_HEALTH_MAX,
    P_SHIELD_MAX,
    P_SHOOT,
    P_SIGHT,
    Grids,
    Layout,
)
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, SHIELD, X, Y
from skirmish.slotwise import SlotKernel

UNDECIDED, WIN, LOSS, DRAW = 0, 1, 2, 3  # results; SMAC's own codes are None, 1, -1, 0


class RewardTerms(NamedTuple):
    """SMAC's reward options. divisor: max_reward / reward_scale_rate, or 1 without scaling."""

    sparse: bool
    only_positive: bool
    death_value: float
    win: float
    defeat: float
    negative_scale: float
    divisor: float


def agent_order(types: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices that sort allied units into agents: by type id, then x, then y."""
    return np.lexsort((y, x, types))


def max_reward(profile: np.ndarray, enemy_kinds: np.ndarray, death_value: float, win: float) -> float:
    """Largest return of an episode without regeneration: kills, win and everything the enemies had, counted once.

    Args: enemy_kinds: (m,) rows of the enemies' types in the profile.
    """
    enemies = profile[enemy_kinds]
    return len(enemy_kinds) * death_value + win + float(enemies[:, [P_HEALTH_MAX, P_SHIELD_MAX]].sum())


def available_actions(
    units: np.ndarray, kinds: np.ndarray, profile: np.ndarray, layout: Layout, grids: Grids
) -> np.ndarray:
    """(B, n, A) bool."""
    out = np.zeros((units.shape[0], layout.n, layout.n_actions), np.bool_)
    fill_available(units, kinds, profile, layout, grids, np.ones(units.shape[0], np.bool_), out)
    return out


def observations(
    units: np.ndarray,
    kinds: np.ndarray,
    profile: np.ndarray,
    layout: Layout,
    grids: Grids,
    *,
    available: np.ndarray,
    last_action: np.ndarray,
    t: np.ndarray,
) -> np.ndarray:
    """(B, n, O) float32. last_action: (B, n) int64, -1 before the first step; t: (B,) int64 steps done."""
    out = np.zeros((units.shape[0], layout.n, layout.obs_size), np.float32)
    slots = np.ones(units.shape[0], np.bool_)
    fill_obs(units, kinds, profile, layout, grids, available, last_action, t, slots, out)
    return out


def states(
    units: np.ndarray,
    kinds: np.ndarray,
    profile: np.ndarray,
    layout: Layout,
    *,
    last_action: np.ndarray,
    t: np.ndarray,
    obs: np.ndarray | None = None,
) -> np.ndarray:
    """(B, S) float32; arguments as for `observations`. obs: (B, n, O), needed with obs_instead_of_state."""
    out = np.zeros((units.shape[0], layout.state_size), np.float32)
    slots = np.ones(units.shape[0], np.bool_)
    if not layout.obs_instead_of_state:
        fill_state(units, kinds, profile, layout, last_action, t, slots, out)
    elif obs is None:
        raise ValueError("obs_instead_of_state makes the state of observations, got none: pass obs")
    else:
        fill_state_from_obs(obs, slots, out)
    return out


def fill_state_from_obs(obs: np.ndarray, slots: np.ndarray, out: np.ndarray) -> None:
    """The state under obs_instead_of_state in the slots marked True: all observations in agent order."""
    out[slots] = obs[slots].reshape(-1, out.shape[1])


@SlotKernel
def fill_views(units, kinds, profile, layout, grids, last_action, t, slots, available, obs, state, first, last):
    """Availability, observations and, unless it is made of these, the state of the slots marked True."""
    for b in range(first, last):
        if slots[b]:
            _fill_available(units, kinds, profile, layout, grids, b, available)
            _fill_obs(units, kinds, profile, layout, grids, available, last_action, t, b, obs)
            if not layout.obs_instead_of_state:
                _fill_state(units, kinds, profile, layout, last_action, t, b, state)


@SlotKernel
def fill_available(units, kinds, profile, layout, grids, slots, out, first, last):
    """Availability of the slots marked True."""
    for b in range(first, last):
        if slots[b]:
            _fill_available(units, kinds, profile, layout, grids, b, out)


@njit(cache=True)
def _fill_available(units, kinds, profile, layout, grids, b, out):
    """Moves by one neighbouring cell, targets within the mask's range.

    A healer's targets are its team mates; with fewer of them than enemies the last entries stay False.
    """
    half = layout.move_amount / 2.0
    for i in range(layout.n):
        for a in range(layout.n_actions):
            out[b, i, a] = False
        if units[b, HEALTH, i] <= 0.0:
            out[b, i, 0] = True
            continue
        x, y = units[b, X, i], units[b, Y, i]
        out[b, i, 1] = True
        out[b, i, 2] = _walkable(grids.walkable, x, y + half)
        out[b, i, 3] = _walkable(grids.walkable, x, y - half)
        out[b, i, 4] = _walkable(grids.walkable, x + half, y)
        out[b, i, 5] = _walkable(grids.walkable, x - half, y)
        shoot = profile[kinds[b, i], P_SHOOT]
        healer = profile[kinds[b, i], P_HEALER] > 0.0
        first = 0 if healer else layout.n
        count = layout.n if healer else layout.m
        for k in range(count):
            j = first + k
            if units[b, HEALTH, j] > 0.0 and not (healer and profile[kinds[b, j], P_HEALER] > 0.0):
                out[b, i, 6 + k] = _distance(units, b, i, j) <= shoot


@njit(cache=True)
def _inside(grid, cx, cy):
    return 0 <= cx < grid.shape[0] and 0 <= cy < grid.shape[1]


@njit(cache=True)
def _walkable(walkable, x, y):
    """Truncation towards zero, as SMAC does: -0.5 is cell 0."""
    cx, cy = int(x), int(y)
    return _inside(walkable, cx, cy) and walkable[cx, cy]


@njit(cache=True)
def _distance(units, b, i, j):
    dx = units[b, X, j] - units[b, X, i]
    dy = units[b, Y, j] - units[b, Y, i]
    return math.sqrt(dx * dx + dy * dy)


# The helpers below write into `row` from entry `at` on and return the entry after their last one. Entries that they
# leave out are already 0. Offsets instead of slices: a slice costs more than the features it would hold.


@njit(cache=True)
def _write_body(units, kinds, profile, layout, b, j, with_health, shields, bit, row, at):
    """[health, (shield), type one-hot] of unit j. bit: the profile's column with the one-hot index."""
    kind = kinds[b, j]
    if with_health:
        row[at] = units[b, HEALTH, j] / profile[kind, P_HEALTH_MAX]
        at += 1
        if shields == 1:
            row[at] = units[b, SHIELD, j] / profile[kind, P_SHIELD_MAX]
            at += 1
    if layout.bits > 0:
        row[at + int(profile[kind, bit])] = 1.0
    return at + layout.bits


@njit(cache=True)
def _write_place(units, b, i, j, distance, sight, first, row, at):
    """[first, distance, dx, dy] of unit j as agent i sees it."""
    row[at] = first
    row[at + 1] = distance / sight
    row[at + 2] = (units[b, X, j] - units[b, X, i]) / sight
    row[at + 3] = (units[b, Y, j] - units[b, Y, i]) / sight
    return at + 4


@njit(cache=True)
def _write_enemies(units, kinds, profile, layout, available, b, i, row, at):
    """Rows of the enemies in sight. The first entry of a healer's row e tells whether team mate e can be healed."""
    size = 4 + layout.bits + (1 + layout.enemy_shields if layout.all_health else 0)
    sight = profile[kinds[b, i], P_SIGHT]
    for e in range(layout.m):
        j = layout.n + e
        if units[b, HEALTH, j] > 0.0:
            distance = _distance(units, b, i, j)
            if distance < layout.sight_scale * sight:
                can = 1.0 if available[b, i, 6 + e] else 0.0
                body = _write_place(units, b, i, j, distance, sight, can, row, at)
                health, shields = layout.all_health, layout.enemy_shields
                _write_body(units, kinds, profile, layout, b, j, health, shields, P_ENEMY_BIT, row, body)
        at += size
    return at


@njit(cache=True)
def _write_allies(units, kinds, profile, layout, last_action, b, i, row, at):
    """Rows of the team mates in sight."""
    size = 4 + layout.bits + (1 + layout.ally_shields if layout.all_health else 0)
    if layout.obs_last_action:
        size += layout.n_actions
    sight = profile[kinds[b, i], P_SIGHT]
    for j in range(layout.n):
        if j == i:
            continue
        if units[b, HEALTH, j] > 0.0:
            distance = _distance(units, b, i, j)
            if distance < layout.sight_scale * sight:
                end = _write_place(units, b, i, j, distance, sight, 1.0, row, at)
                health, shields = layout.all_health, layout.ally_shields
                end = _write_body(units, kinds, profile, layout, b, j, health, shields, P_ALLY_BIT, row, end)
                if layout.obs_last_action and last_action[b, j] >= 0:
                    row[end + last_action[b, j]] = 1.0
        at += size
    return at


@njit(cache=True)
def _write_moves(units, layout, grids, available, b, i, row, at):
    """Available moves, then the grids' entries at the surrounding points; points outside the map read 1."""
    for k in range(4):
        row[at + k] = 1.0 if available[b, i, 2 + k] else 0.0
    at += 4
    if not (layout.pathing_grid or layout.terrain_height):
        return at
    a = int(layout.move_amount)
    x, y = int(units[b, X, i]), int(units[b, Y, i])
    east = (0, 0, 2 * a, -2 * a, a, -a, a, -a, 0)
    north = (2 * a, -2 * a, 0, 0, a, -a, -a, a, 0)
    if layout.pathing_grid:
        for k in range(8):
            cx, cy = x + east[k], y + north[k]
            row[at + k] = 1.0 if not _inside(grids.walkable, cx, cy) or grids.walkable[cx, cy] else 0.0
        at += 8
    if layout.terrain_height:
        for k in range(9):
            cx, cy = x + east[k], y + north[k]
            row[at + k] = grids.height[cx, cy] if _inside(grids.height, cx, cy) else 1.0
        at += 9
    return at


@njit(cache=True)
def _write_own(units, kinds, profile, layout, last_action, b, i, row, at):
    """The agent itself; the mazero family shows it like a team mate at distance 0, last action included."""
    if layout.mazero:
        row[at] = 1.0
        at += 4
    at = _write_body(units, kinds, profile, layout, b, i, layout.own_health, layout.ally_shields, P_ALLY_BIT, row, at)
    if layout.mazero and layout.obs_last_action:
        if last_action[b, i] >= 0:
            row[at + last_action[b, i]] = 1.0
        at += layout.n_actions
    return at


@SlotKernel
def fill_obs(units, kinds, profile, layout, grids, available, last_action, t, slots, out, first, last):
    """Observations of the slots marked True."""
    for b in range(first, last):
        if slots[b]:
            _fill_obs(units, kinds, profile, layout, grids, available, last_action, t, b, out)


@njit(cache=True)
def _fill_obs(units, kinds, profile, layout, grids, available, last_action, t, b, out):
    """A dead agent's vector is zero, except its id in the mazero family.

    Order of the blocks: move, enemies, allies, own (smac); allies, enemies, move, own, id (mazero). The time step, if
    asked for, is appended for the dead as well, as in SMAC; there it stands behind an entry that stays 0.
    """
    size = out.shape[2]
    for i in range(layout.n):
        row = out[b, i]
        row[:] = 0.0
        if units[b, HEALTH, i] > 0.0:
            at = np.int64(0)
            if layout.mazero:
                at = _write_allies(units, kinds, profile, layout, last_action, b, i, row, at)
                at = _write_enemies(units, kinds, profile, layout, available, b, i, row, at)
                at = _write_moves(units, layout, grids, available, b, i, row, at)
            else:
                at = _write_moves(units, layout, grids, available, b, i, row, at)
                at = _write_enemies(units, kinds, profile, layout, available, b, i, row, at)
                at = _write_allies(units, kinds, profile, layout, last_action, b, i, row, at)
            _write_own(units, kinds, profile, layout, last_action, b, i, row, at)
        end = size
        if layout.obs_timestep:
            end -= 1
            row[end] = t[b] / layout.episode_limit
        if layout.mazero:
            row[end - layout.n + i] = 1.0


@SlotKernel
def fill_state(units, kinds, profile, layout, last_action, t, slots, out, first, last):
    """State of the slots marked True."""
    for b in range(first, last):
        if slots[b]:
            _fill_state(units, kinds, profile, layout, last_action, t, b, out)


@njit(cache=True)
def _fill_state(units, kinds, profile, layout, last_action, t, b, out):
    """Ally rows, enemy rows, last actions, time step. A healer shows its energy where others show their cooldown."""
    cx, cy = layout.map_x / 2.0, layout.map_y / 2.0
    row = out[b]
    row[:] = 0.0
    at = 0
    for j in range(layout.n + layout.m):
        ally = j < layout.n
        shields = layout.ally_shields if ally else layout.enemy_shields
        place = at + 2 if ally else at + 1  # where the position stands
        if units[b, HEALTH, j] > 0.0:
            kind = kinds[b, j]
            row[at] = units[b, HEALTH, j] / profile[kind, P_HEALTH_MAX]
            if ally:
                healer = profile[kind, P_HEALER] > 0.0
                reserve = units[b, ENERGY, j] if healer else max(0.0, units[b, COOLDOWN, j])
                row[at + 1] = reserve / profile[kind, P_COOLDOWN_MAX]
            row[place] = (units[b, X, j] - cx) / layout.map_x
            row[place + 1] = (units[b, Y, j] - cy) / layout.map_y
            if shields == 1:
                row[place + 2] = units[b, SHIELD, j] / profile[kind, P_SHIELD_MAX]
            if layout.bits > 0:
                row[place + 2 + shields + int(profile[kind, P_ALLY_BIT if ally else P_ENEMY_BIT])] = 1.0
        at = place + 2 + shields + layout.bits
    write_end_of_state(layout, last_action, t, b, row, at)


@njit(cache=True)
def write_end_of_state(layout, last_action, t, b, row, at):
    """What follows the units' rows: last actions and time step, as far as they are asked for."""
    if layout.state_last_action:
        for i in range(layout.n):
            if last_action[b, i] >= 0:
                row[at + last_action[b, i]] = 1.0
            at += layout.n_actions
    if layout.state_timestep:
        row[at] = t[b] / layout.episode_limit


@njit(cache=True)
def result_code(units, kinds, profile, layout, b):
    """Result of episode b from its unit states.

    Medivac rules come on top: agents without anybody but healers have lost, even against nobody or other healers.
    Enemies have lost once they are down to exactly one healer (MMM) or to any number of them (terran_gen).
    """
    allies = enemies = ally_fighters = enemy_fighters = 0
    for j in range(layout.n + layout.m):
        if units[b, HEALTH, j] > 0.0:
            fights = profile[kinds[b, j], P_HEALER] == 0.0
            if j < layout.n:
                allies += 1
                ally_fighters += fights
            else:
                enemies += 1
                enemy_fighters += fights
    rules = layout.medivac_rules
    if (allies == 0 and enemies > 0) or (rules != NO_HEALERS and ally_fighters == 0):
        return LOSS
    if allies == 0:
        return DRAW
    healer_left = enemy_fighters == 0 and ((rules == MMM_HEALERS and enemies == 1) or rules == GEN_HEALERS)
    return WIN if enemies == 0 or healer_left else UNDECIDED


@njit(cache=True)
def _battle_reward(units, layout, terms, b, previous, flagged):
    """Unscaled reward of one step without the result; sets the death flags of units that died in it."""
    ally_loss = enemy_loss = deaths = 0.0
    for j in range(layout.n + layout.m):
        if flagged[b, j]:
            continue
        before = previous[b, j]
        died = units[b, HEALTH, j] <= 0.0
        flagged[b, j] = died
        if j < layout.n:
            if died:
                ally_loss += before * terms.negative_scale
                if not terms.only_positive:
                    deaths -= terms.death_value * terms.negative_scale
            else:
                ally_loss += terms.negative_scale * (before - units[b, HEALTH, j] - units[b, SHIELD, j])
        elif died:
            deaths += terms.death_value
            enemy_loss += before
        else:
            enemy_loss += before - units[b, HEALTH, j] - units[b, SHIELD, j]
    if terms.only_positive:
        return abs(enemy_loss + deaths)  # SMAC takes the absolute value: regenerating enemies pay
    return enemy_loss + deaths - ally_loss


@SlotKernel
def settle(units, kinds, profile, layout, terms, slots, previous, flagged, reward, result, first, last):
    """Reward and result code of one step in the slots marked True (just stepped, not finished before).

    Sparse rewards leave the death flags alone, and reward_scale divides them too, as in SMAC.

    Args:
      previous: (B, U) health plus shield at the previous observation.
      flagged: (B, U) bool death flags of the episode, updated.
      reward: (B,) float64, result: (B,) int64, filled; other slots get reward 0 and keep their result.
    """
    for b in range(first, last):
        reward[b] = 0.0
        if not slots[b]:
            continue
        r = 0.0 if terms.sparse else _battle_reward(units, layout, terms, b, previous, flagged)
        result[b] = result_code(units, kinds, profile, layout, b)
        if result[b] == WIN:
            r = 1.0 if terms.sparse else r + terms.win
        elif result[b] == LOSS:
            r = -1.0 if terms.sparse else r + terms.defeat
        reward[b] = r / terms.divisor
