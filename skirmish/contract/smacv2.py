"""From unit states to what agents see, in the manner of SMACv2: what differs from `contract.py`, and only that.

Own ranges per unit type, cone view, a memory of who has found which enemy, actions that are not masked by range, drawn
abilities of the agents, another observation and state row, another reward clip. The family "mazero" does not exist in
SMACv2; it is made of its rows by the same rule as on SMAC's maps: team mates with last actions, enemies, move, own row
with own last action, agent id.

Arrays as in `contract.py`; T target entries (enemies, or team mates for healers), F facing actions, A = 6 + F + T.
"""

from __future__ import annotations

import math

import numpy as np

from skirmish.compiled import njit
from skirmish.contract import smac as contract
from skirmish.contract.layout import (
    P_ALLY_BIT,
    P_COOLDOWN_MAX,
    P_ENEMY_BIT,
    P_HEALER,
    P_HEALTH_MAX,
    P_SHIELD_MAX,
    P_SIGHT,
    Grids,
)
from skirmish.contract.layout_v2 import SceneLayout, Traits
from skirmish.contract.smac import _distance, _write_body, _write_moves, _write_place, write_end_of_state
from skirmish.physics.draws import uniform
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, NOBODY, SHIELD, X, Y
from skirmish.slotwise import SlotKernel

FIRST_FACING = 6  # action id
SLOPE_GUARD = 1e-7  # SMACv2 keeps the divisors of its slopes this far away from 0
# Counters of random numbers: slots beyond those of the battles themselves.
MEMORY_SLOTS, COMMAND_SLOTS = 2**31, 2**30


def capabilities(kinds: np.ndarray, profile: np.ndarray, layout: SceneLayout, traits: Traits) -> np.ndarray:
    """(B, n, C) float32: attack probability and health level, if drawn, and type one-hot; of the dead as well."""
    bits = profile[kinds[:, : layout.n], P_ALLY_BIT].astype(np.int64)
    one_hot = np.arange(layout.bits) == bits[:, :, None]
    drawn = [traits.chance[:, :, None]] * layout.chances + [traits.level[:, :, None]] * layout.levels
    return np.concatenate([*drawn, one_hot], 2).astype(np.float32)


def fill_available(
    units: np.ndarray,
    kinds: np.ndarray,
    profile: np.ndarray,
    layout: SceneLayout,
    grids: Grids,
    traits: Traits,
    slots: np.ndarray,
    in_range: np.ndarray,
    out: np.ndarray,
) -> None:
    """Availability of the slots marked True.

    Facings are always available to the living. Without action_mask so is every living target at any distance.

    Args:
      in_range: (B, n, T) bool, filled: targets that orders reach, whatever the mask.
      out: (B, n, A) bool, filled.
    """
    plain = layout._replace(n_actions=FIRST_FACING + layout.targets)
    within = np.zeros((*out.shape[:2], plain.n_actions), np.bool_)
    contract.fill_available(units, kinds, profile, plain, grids, slots, within)
    _spread(units, kinds, profile, layout, traits, within, slots, in_range, out)


def settle(
    units: np.ndarray,
    kinds: np.ndarray,
    profile: np.ndarray,
    layout: SceneLayout,
    terms: contract.RewardTerms,
    divisors: np.ndarray,
    *,
    slots: np.ndarray,
    previous: np.ndarray,
    flagged: np.ndarray,
    reward: np.ndarray,
    result: np.ndarray,
) -> None:
    """As `contract.settle`, but reward_only_positive cuts off at 0, and slot b's reward is divided by divisors[b]."""
    bare = terms._replace(win=0.0, defeat=0.0, divisor=1.0)
    if terms.only_positive:
        bare = bare._replace(only_positive=False, negative_scale=0.0)  # damage and kills alone, with their sign
    contract.settle(units, kinds, profile, layout, bare, slots, previous, flagged, reward, result)
    if not terms.sparse:
        if terms.only_positive:
            np.maximum(reward, 0.0, out=reward)
        reward[slots & (result == contract.WIN)] += terms.win
        reward[slots & (result == contract.LOSS)] += terms.defeat
    reward /= divisors


@njit(cache=True)
def _in_cone(units, b, i, j, traits, facings):
    """Does agent i look towards unit j? As published: slopes without their quadrant, so also at the mirror image."""
    dx = units[b, X, j] - units[b, X, i]
    dy = units[b, Y, j] - units[b, Y, i]
    fx, fy = traits.directions[traits.facing[b, i], 0], traits.directions[traits.facing[b, i], 1]
    if dx > 0.0:
        dx, fx = max(dx, SLOPE_GUARD), max(fx, SLOPE_GUARD)
    else:
        dx, fx = min(dx, -SLOPE_GUARD), min(fx, -SLOPE_GUARD)
    return abs(math.atan(dy / dx) - math.atan(fy / fx)) < math.pi / facings


@SlotKernel
def _spread(units, kinds, profile, layout, traits, within, slots, in_range, out, first, last):
    """Move the targets behind the facings; cut them to the cone, or open them if they are not masked."""
    for b in range(first, last):
        if slots[b]:
            _spread_slot(units, kinds, profile, layout, traits, within, np.int64(b), in_range, out)


@njit(cache=True)
def _spread_slot(units, kinds, profile, layout, traits, within, b, in_range, out):
    first = FIRST_FACING + layout.facings
    for i in range(layout.n):
        alive = units[b, HEALTH, i] > 0.0
        healer = profile[kinds[b, i], P_HEALER] > 0.0
        for a in range(FIRST_FACING):
            out[b, i, a] = within[b, i, a]
        for a in range(FIRST_FACING, first):
            out[b, i, a] = alive
        for k in range(layout.targets):
            j = k if healer else layout.n + k
            exists = k < (layout.n if healer else layout.m)
            can = within[b, i, FIRST_FACING + k]
            if can and layout.facings > 0:
                can = _in_cone(units, b, i, j, traits, layout.facings)
            in_range[b, i, k] = can
            if not layout.action_mask:
                can = alive and exists and units[b, HEALTH, j] > 0.0
                if can and healer:
                    can = profile[kinds[b, j], P_HEALER] == 0.0
            out[b, i, first + k] = can


@SlotKernel
def to_orders(actions, layout, facing, chance, in_range, key, episodes, t, checked, slots, orders, first, last):
    """What the agents' actions mean to the simulator, in the slots marked True; turns the agents that face anew.

    Facings, attacks that fail and (without action_mask) attacks out of range give no order, so the last one stands.

    Args:
      facing, chance: those of `Traits`, as arrays: numba drops writes to a tuple's arrays from a parallel loop.
      checked: False for scripts: nothing fails and nothing is out of range.
      orders: (B, n) int64 action ids without facings, filled.
    """
    for b in range(first, last):
        if slots[b]:
            _order_slot(actions, layout, facing, chance, in_range, key, episodes, t, checked, np.int64(b), orders)


@njit(cache=True)
def _order_slot(actions, layout, facing, chance, in_range, key, episodes, t, checked, b, orders):
    first = FIRST_FACING + layout.facings
    clock = np.array([t[b] * layout.n, episodes[b]])  # DRAWS, EPISODE
    for i in range(layout.n):
        action = actions[b, i]
        succeeds = True
        if layout.chances:
            succeeds = uniform(clock, b + COMMAND_SLOTS, key, 0.0, 1.0) <= chance[b, i]
        orders[b, i] = 0
        if action < FIRST_FACING:
            orders[b, i] = action
        elif action < first:
            facing[b, i] = action - FIRST_FACING
        elif not checked or (succeeds and in_range[b, i, action - first]):
            orders[b, i] = action - layout.facings


@njit(cache=True)
def _forget_the_dead(units, layout, memory, b):
    """Who dies forgets; the enemies that a dead agent had found first must be found again; so must dead enemies."""
    n = layout.n
    for d in range(n):
        if units[b, HEALTH, d] > 0.0:
            continue
        for e in range(layout.m):
            if memory.holder[b, e] == d:
                memory.holder[b, e] = NOBODY
                memory.known[b, e] = False
                memory.known[b, :, d] = False
    for e in range(layout.m):
        if units[b, HEALTH, n + e] <= 0.0:
            memory.holder[b, e] = NOBODY
            memory.known[b, e] = False


@njit(cache=True)
def _sees(units, kinds, profile, layout, traits, b, i, j, distance):
    """Is unit j, dead or alive, within agent i's sight (exclusive) or its cone (inclusive)?"""
    reach = layout.sight_scale * profile[kinds[b, i], P_SIGHT]
    if layout.facings > 0:
        return distance <= reach and _in_cone(units, b, i, j, traits, layout.facings)
    return distance < reach


@njit(cache=True)
def _find(layout, memory, b, i, e, clock, key):
    """Agent i finds enemy e first; every other agent hears of it with the given probability."""
    memory.holder[b, e] = i
    memory.known[b, e, i] = True
    for j in range(layout.n):
        if j != i and uniform(clock, b + MEMORY_SLOTS, key, 0.0, 1.0) < layout.prob_obs_enemy:
            memory.known[b, e, j] = True


@njit(cache=True)
def _write_enemies(units, kinds, profile, layout, in_range, traits, memory, b, i, clock, key, row, at):
    """Rows of the enemies that agent i sees and knows of; the memory is changed on the way, dead enemies included."""
    size = 4 + layout.bits + (1 + layout.enemy_shields if layout.all_health else 0)
    sight = profile[kinds[b, i], P_SIGHT]
    start = at
    for e in range(layout.m):
        j = layout.n + e
        distance = _distance(units, b, i, j)
        near = _sees(units, kinds, profile, layout, traits, b, i, j, distance)
        if near and memory.holder[b, e] == NOBODY:
            _find(layout, memory, b, i, e, clock, key)
        known = memory.known[b, e, i]
        if units[b, HEALTH, j] > 0.0 and ((near and known) or layout.fully_observable):
            can = 1.0 if in_range[b, i, e] else 0.0
            body = _write_place(units, b, i, j, distance, sight, can, row, at)
            if not traits.hidden[b, i, e]:
                health, shields = layout.all_health, layout.enemy_shields
                _write_body(units, kinds, profile, layout, b, j, health, shields, P_ENEMY_BIT, row, body)
        at += size
        if layout.wipes and not known:
            row[start:at] = 0.0
    return at


@njit(cache=True)
def _health(units, kinds, profile, traits, b, i):
    """Health above the level at which agent i dies, as a share of what lies above it."""
    level = traits.level[b, i]
    return (units[b, HEALTH, i] / profile[kinds[b, i], P_HEALTH_MAX] - level) / (1.0 - level)


@njit(cache=True)
def _write_agent(units, kinds, profile, layout, traits, b, j, own, row, at):
    """[health, (shield), (attack probability), (health level), (position), (facing), type] of agent j.

    What team mates are not to see stays 0. Position and facing are for the agent itself (own).
    """
    if layout.own_health if own else layout.all_health:
        if own or layout.show_levels or not layout.levels:
            row[at] = _health(units, kinds, profile, traits, b, j)
        at += 1
        if layout.ally_shields:
            row[at] = units[b, SHIELD, j] / profile[kinds[b, j], P_SHIELD_MAX]
            at += 1
    if layout.chances:
        if own or layout.show_chances:
            row[at] = traits.chance[b, j]
        at += 1
    if layout.levels:
        if own or layout.show_levels:
            row[at] = traits.level[b, j]
        at += 1
    if own and layout.own_pos:
        row[at] = units[b, X, j] / layout.map_x
        row[at + 1] = units[b, Y, j] / layout.map_y
        at += 2
    if own and layout.facings > 0:
        row[at] = traits.directions[traits.facing[b, j], 0]
        row[at + 1] = traits.directions[traits.facing[b, j], 1]
        at += 2
    if layout.bits > 0 and (own or layout.show_types):
        row[at + int(profile[kinds[b, j], P_ALLY_BIT])] = 1.0
    return at + layout.bits


@njit(cache=True)
def _write_allies(units, kinds, profile, layout, traits, last_action, b, i, row, at):
    """Rows of the team mates in sight."""
    size = 4 + layout.bits + int(layout.chances) + int(layout.levels)
    if layout.all_health:
        size += 1 + layout.ally_shields
    if layout.obs_last_action:
        size += layout.n_actions
    sight = profile[kinds[b, i], P_SIGHT]
    for j in range(layout.n):
        if j == i:
            continue
        if units[b, HEALTH, j] > 0.0:
            distance = _distance(units, b, i, j)
            if layout.fully_observable or _sees(units, kinds, profile, layout, traits, b, i, j, distance):
                end = _write_place(units, b, i, j, distance, sight, 1.0, row, at)
                end = _write_agent(units, kinds, profile, layout, traits, b, j, False, row, end)
                if layout.obs_last_action and last_action[b, j] >= 0:
                    row[end + last_action[b, j]] = 1.0
        at += size
    return at


@njit(cache=True)
def _write_own(units, kinds, profile, layout, traits, last_action, b, i, row, at):
    """The agent itself; the mazero family shows it like a team mate at distance 0, last action included."""
    if layout.mazero:
        row[at] = 1.0
        at += 4
    at = _write_agent(units, kinds, profile, layout, traits, b, i, True, row, at)
    if layout.mazero and layout.obs_last_action:
        if last_action[b, i] >= 0:
            row[at + last_action[b, i]] = 1.0
        at += layout.n_actions
    return at


@SlotKernel
def fill_obs(
    units, kinds, profile, layout, grids, available, in_range, traits, memory, last_action, t, episodes, key, slots,
    out, first, last,
):  # fmt: skip
    """Observations of the slots marked True, the agents visited in an order drawn for this step; updates the memory.

    A dead agent's vector is zero, except for its id (mazero family) and the time step.

    Args: t, episodes: (B,) int64 counters; key: (2,) uint64; they are all that random numbers depend on.
    """
    for b in range(first, last):
        if slots[b]:
            _observe_slot(
                units, kinds, profile, layout, grids, available, in_range, traits, memory, last_action, t, episodes,
                key, np.int64(b), out,
            )  # fmt: skip


@njit(cache=True)
def _observe_slot(
    units, kinds, profile, layout, grids, available, in_range, traits, memory, last_action, t, episodes, key, b, out
):
    # Counters of the random numbers: DRAWS, far enough apart for all that one observation can need, and EPISODE.
    clock = np.array([t[b] * (layout.n + layout.m * layout.n), episodes[b]])
    _forget_the_dead(units, layout, memory, b)
    for i in _visit_order(layout.n, clock, b, key):
        row = out[b, i]
        row[:] = 0.0
        if units[b, HEALTH, i] > 0.0 and layout.starcraft:
            _write_agent_view(
                units, kinds, profile, layout, grids, available, in_range, traits, memory, last_action, b, i, clock,
                key, row,
            )  # fmt: skip
        end = row.shape[0]
        if layout.obs_timestep:
            end -= 1
            row[end] = t[b] / layout.episode_limit
        if layout.mazero:
            row[end - layout.n + i] = 1.0


@njit(cache=True)
def _visit_order(n, clock, b, key):
    """(n,) agents in a random order."""
    order = np.arange(n)
    for last in range(n - 1, 0, -1):
        pick = int(uniform(clock, b + MEMORY_SLOTS, key, 0.0, last + 1.0))
        order[last], order[pick] = order[pick], order[last]
    return order


@njit(cache=True)
def _write_agent_view(
    units, kinds, profile, layout, grids, available, in_range, traits, memory, last_action, b, i, clock, key, row
):
    """Everything that living agent i perceives, from the beginning of its vector on."""
    at = 0
    if layout.mazero:
        at = _write_allies(units, kinds, profile, layout, traits, last_action, b, i, row, at)
    else:
        at = _write_moves(units, layout, grids, available, b, i, row, at)
    at = _write_enemies(units, kinds, profile, layout, in_range, traits, memory, b, i, clock, key, row, at)
    if layout.mazero:
        at = _write_moves(units, layout, grids, available, b, i, row, at)
    else:
        at = _write_allies(units, kinds, profile, layout, traits, last_action, b, i, row, at)
    _write_own(units, kinds, profile, layout, traits, last_action, b, i, row, at)


@njit(cache=True)
def _write_state_row(units, kinds, profile, layout, traits, b, j, row, at):
    """One unit's entries, in the order of the state; returns the entry after them."""
    ally = j < layout.n
    alive = units[b, HEALTH, j] > 0.0
    kind = kinds[b, j]
    if ally:
        if alive:
            row[at] = _health(units, kinds, profile, traits, b, j)
            healer = profile[kind, P_HEALER] > 0.0
            reserve = units[b, ENERGY, j] if healer else max(0.0, units[b, COOLDOWN, j])
            row[at + 1] = reserve / profile[kind, P_COOLDOWN_MAX]
        at += 2
    else:
        if alive:
            row[at] = units[b, HEALTH, j] / profile[kind, P_HEALTH_MAX]
        at += 1
    if alive:
        row[at] = (units[b, X, j] - layout.map_x / 2.0) / layout.map_x
        row[at + 1] = (units[b, Y, j] - layout.map_y / 2.0) / layout.map_y
    at += 2
    if layout.ally_shields if ally else layout.enemy_shields:
        if alive:
            row[at] = units[b, SHIELD, j] / profile[kind, P_SHIELD_MAX]
        at += 1
    if ally and layout.chances:
        row[at] = traits.chance[b, j] if alive else 0.0
        at += 1
    if ally and layout.levels:
        row[at] = traits.level[b, j] if alive else 0.0
        at += 1
    if ally and layout.facings > 0:
        if alive:
            row[at] = traits.directions[traits.facing[b, j], 0]
            row[at + 1] = traits.directions[traits.facing[b, j], 1]
        at += 2
    if alive and layout.bits > 0:
        row[at + int(profile[kind, P_ALLY_BIT if ally else P_ENEMY_BIT])] = 1.0
    return at + layout.bits


@SlotKernel
def fill_state(units, kinds, profile, layout, traits, last_action, t, slots, out, first, last):
    """State of the slots marked True: ally rows, enemy rows, last actions, time step; rows of the dead are zero."""
    for b in range(first, last):
        if slots[b]:
            _write_state(units, kinds, profile, layout, traits, last_action, t, np.int64(b), out)


@njit(cache=True)
def _write_state(units, kinds, profile, layout, traits, last_action, t, b, out):
    row = out[b]
    row[:] = 0.0
    at = 0
    for j in range(layout.n + layout.m):
        at = _write_state_row(units, kinds, profile, layout, traits, b, j, row, at)
    write_end_of_state(layout, last_action, t, b, row, at)
