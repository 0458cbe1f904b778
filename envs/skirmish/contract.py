"""From unit states to what agents see: SMAC's availability, observations, state, reward and result.

A pure layer: it knows nothing of game physics and can be tested against worked numbers. It restates the behaviour of
SMAC 1.0 ("smac" family) and of the MAZero authors' fork ("mazero" family: allies first, own last action, agent id).
Distances are sqrt(dx^2 + dy^2) in double precision and every feature is rounded to float32 once, when it is stored.

Arrays: B episodes, n agents, m enemies, U = n + m units (agents first), A = 6 + m actions, b type bits.
Kernels and their callees share this file because numba's cache does not see changes elsewhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, prange

from envs.skirmish.rules import SHOOT_RANGE, SIGHT_RANGE

UNDECIDED, WIN, LOSS, DRAW = 0, 1, 2, 3  # results; SMAC's own codes are None, 1, -1, 0


# Rows of `units` (B, at least 5, U) float64: what the game reports. A unit lives while its health is above 0; a dead
# unit's other rows keep their last value. Further rows are ignored.
X, Y, HEALTH, SHIELD, COOLDOWN = 0, 1, 2, 3, 4

# Rows of `profile` (4, U) float64: constant facts of the units. TYPE_BIT is unused on maps without a type one-hot.
HEALTH_MAX, SHIELD_MAX, COOLDOWN_MAX, TYPE_BIT = 0, 1, 2, 3


class Layout(NamedTuple):
    """Sizes and switches of one map with one observation family."""

    n: int
    m: int
    bits: int  # b
    ally_shields: int  # 1 if the side is Protoss
    enemy_shields: int
    episode_limit: int
    map_x: int
    map_y: int
    move_amount: float
    mazero: bool  # observation family
    obs_last_action: bool  # of team mates; always on in the mazero family
    obs_timestep: bool
    state_last_action: bool
    state_timestep: bool

    @property
    def n_actions(self) -> int:
        """A."""
        return 6 + self.m

    @property
    def obs_size(self) -> int:
        """Length of one agent's vector.

        With obs_timestep the smac family is one longer than SMAC's get_obs_size() says: there the own block grows by an
        entry that stays 0 as well, and the vectors SMAC returns have this length.
        """
        last = self.n_actions if self.obs_last_action or self.mazero else 0
        enemies = self.m * (5 + self.enemy_shields + self.bits)
        allies = (self.n - 1) * (5 + self.ally_shields + self.bits + last)
        if self.mazero:
            return allies + enemies + 4 + (5 + self.ally_shields + self.bits + last) + self.n + self.obs_timestep
        return 4 + enemies + allies + 1 + self.ally_shields + self.bits + 2 * self.obs_timestep

    @property
    def state_size(self) -> int:
        """S, always the smac family's."""
        rows = self.n * (4 + self.ally_shields + self.bits) + self.m * (3 + self.enemy_shields + self.bits)
        return rows + (self.n * self.n_actions if self.state_last_action else 0) + self.state_timestep


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


def max_reward(profile: np.ndarray, layout: Layout, death_value: float, win: float) -> float:
    """Largest return of an episode without regeneration: kills, win and everything the enemies had, counted once."""
    return (
        layout.m * death_value
        + win
        + float(profile[HEALTH_MAX, layout.n :].sum() + profile[SHIELD_MAX, layout.n :].sum())
    )


def available_actions(units: np.ndarray, layout: Layout, walkable: np.ndarray) -> np.ndarray:
    """(B, n, A) bool; walkable is the (X, Y) bool grid."""
    out = np.zeros((units.shape[0], layout.n, layout.n_actions), np.bool_)
    everywhere = np.ones(units.shape[0], np.bool_)
    fill_available(units, layout, walkable, everywhere, out)
    return out


def observations(
    units: np.ndarray,
    profile: np.ndarray,
    layout: Layout,
    *,
    available: np.ndarray,
    last_action: np.ndarray,
    t: np.ndarray,
) -> np.ndarray:
    """(B, n, O) float32. last_action: (B, n) int64, -1 before the first step; t: (B,) int64 steps done."""
    out = np.zeros((units.shape[0], layout.n, layout.obs_size), np.float32)
    fill_obs(units, profile, layout, available, last_action, t, np.ones(units.shape[0], np.bool_), out)
    return out


def states(
    units: np.ndarray, profile: np.ndarray, layout: Layout, *, last_action: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """(B, S) float32; arguments as for `observations`."""
    out = np.zeros((units.shape[0], layout.state_size), np.float32)
    fill_state(units, profile, layout, last_action, t, np.ones(units.shape[0], np.bool_), out)
    return out


@njit(parallel=True, cache=True)
def fill_available(units, layout, walkable, slots, out):
    """Availability of the slots marked True: moves by one neighbouring cell, targets within the mask's range."""
    half = layout.move_amount / 2.0
    for b in prange(slots.shape[0]):
        if not slots[b]:
            continue
        for i in range(layout.n):
            for a in range(out.shape[2]):
                out[b, i, a] = False
            if units[b, HEALTH, i] <= 0.0:
                out[b, i, 0] = True
                continue
            x, y = units[b, X, i], units[b, Y, i]
            out[b, i, 1] = True
            out[b, i, 2] = _walkable(walkable, x, y + half)
            out[b, i, 3] = _walkable(walkable, x, y - half)
            out[b, i, 4] = _walkable(walkable, x + half, y)
            out[b, i, 5] = _walkable(walkable, x - half, y)
            for e in range(layout.m):
                alive = units[b, HEALTH, layout.n + e] > 0.0
                out[b, i, 6 + e] = alive and _distance(units, b, i, layout.n + e) <= SHOOT_RANGE


@njit(cache=True)
def _walkable(walkable, x, y):
    """Truncation towards zero, as SMAC does: -0.5 is cell 0."""
    cx, cy = int(x), int(y)
    return 0 <= cx < walkable.shape[0] and 0 <= cy < walkable.shape[1] and walkable[cx, cy]


@njit(cache=True)
def _distance(units, b, i, j):
    dx = units[b, X, j] - units[b, X, i]
    dy = units[b, Y, j] - units[b, Y, i]
    return math.sqrt(dx * dx + dy * dy)


@njit(cache=True)
def _unit_row(units, profile, layout, b, i, j, shields, first, row):
    """[first, distance, dx, dy, health, (shield), type] of unit j as agent i sees it; returns the entries written."""
    row[0] = first
    row[1] = _distance(units, b, i, j) / SIGHT_RANGE
    row[2] = (units[b, X, j] - units[b, X, i]) / SIGHT_RANGE
    row[3] = (units[b, Y, j] - units[b, Y, i]) / SIGHT_RANGE
    return 4 + _body(units, profile, layout, b, j, shields, row[4:])


@njit(cache=True)
def _body(units, profile, layout, b, j, shields, row):
    """[health, (shield), type one-hot] of unit j; returns the entries written."""
    row[0] = units[b, HEALTH, j] / profile[HEALTH_MAX, j]
    if shields == 1:
        row[1] = units[b, SHIELD, j] / profile[SHIELD_MAX, j]
    if layout.bits > 0:
        row[1 + shields + int(profile[TYPE_BIT, j])] = 1.0
    return 1 + shields + layout.bits


@njit(cache=True)
def _seen(units, b, i, j):
    return units[b, HEALTH, j] > 0.0 and _distance(units, b, i, j) < SIGHT_RANGE


@njit(cache=True)
def _enemy_rows(units, profile, layout, available, b, i, out):
    size = 5 + layout.enemy_shields + layout.bits
    for e in range(layout.m):
        j = layout.n + e
        if _seen(units, b, i, j):
            can_shoot = 1.0 if available[b, i, 6 + e] else 0.0
            _unit_row(units, profile, layout, b, i, j, layout.enemy_shields, can_shoot, out[e * size :])
    return layout.m * size


@njit(cache=True)
def _ally_rows(units, profile, layout, last_action, with_last_action, b, i, out):
    actions = 6 + layout.m if with_last_action else 0
    size = 5 + layout.ally_shields + layout.bits + actions
    at = 0
    for j in range(layout.n):
        if j == i:
            continue
        if _seen(units, b, i, j):
            used = _unit_row(units, profile, layout, b, i, j, layout.ally_shields, 1.0, out[at:])
            if with_last_action and last_action[b, j] >= 0:
                out[at + used + last_action[b, j]] = 1.0
        at += size
    return at


@njit(cache=True)
def _moves(available, b, i, out):
    for k in range(4):
        out[k] = 1.0 if available[b, i, 2 + k] else 0.0
    return 4


@njit(cache=True)
def _smac_obs(units, profile, layout, available, last_action, b, i, out):
    """Move, enemies, allies, own."""
    at = _moves(available, b, i, out)
    at += _enemy_rows(units, profile, layout, available, b, i, out[at:])
    at += _ally_rows(units, profile, layout, last_action, layout.obs_last_action, b, i, out[at:])
    _body(units, profile, layout, b, i, layout.ally_shields, out[at:])


@njit(cache=True)
def _mazero_obs(units, profile, layout, available, last_action, b, i, out):
    """Allies with last actions, enemies, move, own row with own last action; the id is written by the caller."""
    at = _ally_rows(units, profile, layout, last_action, True, b, i, out)
    at += _enemy_rows(units, profile, layout, available, b, i, out[at:])
    at += _moves(available, b, i, out[at:])
    at += _unit_row(units, profile, layout, b, i, i, layout.ally_shields, 1.0, out[at:])
    if last_action[b, i] >= 0:
        out[at + last_action[b, i]] = 1.0


@njit(parallel=True, cache=True)
def fill_obs(units, profile, layout, available, last_action, t, slots, out):
    """Observations of the slots marked True. A dead agent's vector is zero, except its id in the mazero family.

    The time step, if asked for, is appended for the dead as well, as in SMAC.
    """
    size = out.shape[2]
    for b in prange(slots.shape[0]):
        if not slots[b]:
            continue
        for i in range(layout.n):
            row = out[b, i]
            row[:] = 0.0
            if units[b, HEALTH, i] > 0.0:
                if layout.mazero:
                    _mazero_obs(units, profile, layout, available, last_action, b, i, row)
                else:
                    _smac_obs(units, profile, layout, available, last_action, b, i, row)
            end = size
            if layout.obs_timestep:
                end -= 1
                row[end] = t[b] / layout.episode_limit
            if layout.mazero:
                row[end - layout.n + i] = 1.0


@njit(parallel=True, cache=True)
def fill_state(units, profile, layout, last_action, t, slots, out):
    """State of the slots marked True: ally rows, enemy rows, last actions, time step."""
    cx, cy = layout.map_x / 2.0, layout.map_y / 2.0
    actions = 6 + layout.m
    for b in prange(slots.shape[0]):
        if not slots[b]:
            continue
        row = out[b]
        row[:] = 0.0
        at = 0
        for j in range(layout.n + layout.m):
            ally = j < layout.n
            shields = layout.ally_shields if ally else layout.enemy_shields
            place = at + 2 if ally else at + 1  # where the position stands
            if units[b, HEALTH, j] > 0.0:
                row[at] = units[b, HEALTH, j] / profile[HEALTH_MAX, j]
                if ally:
                    row[at + 1] = max(0.0, units[b, COOLDOWN, j]) / profile[COOLDOWN_MAX, j]
                row[place] = (units[b, X, j] - cx) / layout.map_x
                row[place + 1] = (units[b, Y, j] - cy) / layout.map_y
                if shields == 1:
                    row[place + 2] = units[b, SHIELD, j] / profile[SHIELD_MAX, j]
                if layout.bits > 0:
                    row[place + 2 + shields + int(profile[TYPE_BIT, j])] = 1.0
            at = place + 2 + shields + layout.bits
        if layout.state_last_action:
            for i in range(layout.n):
                if last_action[b, i] >= 0:
                    row[at + last_action[b, i]] = 1.0
                at += actions
        if layout.state_timestep:
            row[at] = t[b] / layout.episode_limit


@njit(cache=True)
def result_code(units, n, b):
    """Result of episode b from its unit states."""
    allies = enemies = 0
    for j in range(units.shape[2]):
        if units[b, HEALTH, j] > 0.0:
            if j < n:
                allies += 1
            else:
                enemies += 1
    if allies == 0:
        return LOSS if enemies > 0 else DRAW
    return WIN if enemies == 0 else UNDECIDED


@njit(cache=True)
def _battle_reward(units, terms, n, b, previous, flagged):
    """Unscaled reward of one step without the result; sets the death flags of units that died in it."""
    ally_loss = enemy_loss = deaths = 0.0
    for j in range(units.shape[2]):
        if flagged[b, j]:
            continue
        before = previous[b, j]
        died = units[b, HEALTH, j] <= 0.0
        flagged[b, j] = died
        if j < n:
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


@njit(parallel=True, cache=True)
def settle(units, terms, n, slots, previous, flagged, reward, result):
    """Reward and result code of one step in the slots marked True (just stepped, not finished before).

    Args:
      previous: (B, U) health plus shield at the previous observation.
      flagged: (B, U) bool death flags of the episode, updated.
      reward: (B,) float64, result: (B,) int64, filled; other slots get reward 0 and keep their result.
    """
    for b in prange(slots.shape[0]):
        reward[b] = 0.0
        if not slots[b]:
            continue
        r = 0.0 if terms.sparse else _battle_reward(units, terms, n, b, previous, flagged)
        result[b] = result_code(units, n, b)
        if result[b] == WIN:
            r = 1.0 if terms.sparse else r + terms.win
        elif result[b] == LOSS:
            r = -1.0 if terms.sparse else r + terms.defeat
        reward[b] = r / terms.divisor
