"""Central inputs of the MAPPO authors' environment and of HARL's copy of it, besides the one in `agent_state.py`.

- `relative_states`: per agent, all living units, optionally as that agent sees them. It is what on-policy calls the
  state without `use_state_agent`, and what MAZero's code builds and drops.
- `global_state`: one vector for everybody, HARL's state type "EP".

Rows are [health, (allies: cooldown or energy), (position from the centre), (shield), type] and what the flags add; rows
of the dead are zero. Source: MAPPO (arXiv 2103.01955) and HARL (arXiv 2304.09870), their SMAC environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from skirmish.contract.layout import (
    P_ALLY_BIT,
    P_COOLDOWN_MAX,
    P_ENEMY_BIT,
    P_HEALER,
    P_HEALTH_MAX,
    P_SHIELD_MAX,
    P_SIGHT,
)
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.tables import COOLDOWN, ENERGY, FIRST_TARGET, HEALTH, SHIELD, X, Y


@dataclass(frozen=True)
class StateFlags:
    """The argument bundle of the MAPPO authors' environment: what the central input holds. No defaults, as there."""

    add_local_obs: bool  # the agent's observation
    add_move_state: bool  # which moves it can make
    add_visible_state: bool  # per unit: in its sight
    add_distance_state: bool  # per unit: distance from it
    add_xy_state: bool  # per unit: offset from it
    add_enemy_action_state: bool  # per enemy: it can be attacked
    add_agent_id: bool
    use_state_agent: bool  # the agent-specific state of `agent_state.py` instead
    use_mustalive: bool  # zeros for the dead
    add_center_xy: bool  # per unit: position from the centre of the map
    use_stacked_frames: bool  # the last frames together
    use_obs_instead_of_state: bool  # all observations in a row


@dataclass(frozen=True)
class StateFamily:
    """Flags, frames and what HARL adds."""

    map_name: Any
    flags: StateFlags
    frames: int
    environment_provided: bool = False  # HARL's "EP"


# HARL's "FP", and what on-policy's scripts use.
_SWITCHED_ON = ("use_state_agent", "use_mustalive", "add_center_xy")
_FEATURE_PRUNED = StateFlags(**{f.name: f.name in _SWITCHED_ON for f in fields(StateFlags)})


def read_bundle(args: Any) -> StateFamily:
    """The argument bundle: an object with on-policy's attributes, or HARL's mapping with map_name and state_type.

    Raises: AttributeError or KeyError for what is missing, as there; ValueError for a value without a meaning.
    """
    if isinstance(args, Mapping):
        for key in ("map_name", "state_type"):
            if key not in args:
                raise KeyError(f"a mapping must hold map_name and state_type, got {sorted(args)}: add {key!r}")
        if args["state_type"] not in ("FP", "EP"):
            raise ValueError(f'state_type must be "FP" or "EP", got {args["state_type"]!r}: pass one of these strings')
        return StateFamily(args["map_name"], _FEATURE_PRUNED, 1, environment_provided=args["state_type"] == "EP")
    names = [f.name for f in fields(StateFlags)]
    for name in ("map_name", *names):
        if not hasattr(args, name):
            raise AttributeError(
                f"the argument bundle must have the attributes map_name, {', '.join(names)}, got one without {name}: "
                f"set it, {'to a map of skirmish.map_names()' if name == 'map_name' else 'to True or False'}"
            )
    flags = StateFlags(**{name: bool(getattr(args, name)) for name in names})
    frames = getattr(args, "stacked_frames", 1)
    if flags.use_stacked_frames and (not isinstance(frames, int) or frames < 1):
        raise ValueError(f"stacked_frames must be an integer of at least 1, got {frames!r}: it counts frames")
    return StateFamily(args.map_name, flags, int(frames) if flags.use_stacked_frames else 1)


def relative_sizes(env: SkirmishEnv, flags: StateFlags) -> tuple[int, int]:
    """Entries per ally and per enemy of `relative_states`."""
    layout = env.layout
    added = flags.add_distance_state + 2 * flags.add_xy_state + flags.add_visible_state
    added += layout.n_actions if layout.state_last_action else 0
    place = 2 * flags.add_center_xy
    ally = 2 + place + layout.ally_shields + layout.bits + added
    enemy = 1 + place + layout.enemy_shields + layout.bits + added + flags.add_enemy_action_state
    return ally, enemy


def relative_states(env: SkirmishEnv, flags: StateFlags, last_action: np.ndarray) -> np.ndarray:
    """(n, n * fA + m * fE) float64: all units for every agent, `relative_sizes` entries each.

    What an agent's point of view adds is zero once it is dead, and with use_mustalive so is everything.

    Args: last_action: (n, A) one-hot.
    """
    n, actions = env.info.n_agents, env.info.n_actions
    units = env.units[0]
    alive = units[HEALTH] > 0.0  # (U,)
    dx = units[X] - units[X, :n, None]  # (n, U)
    dy = units[Y] - units[Y, :n, None]
    sight = env.profile[env.kinds[0, :n], P_SIGHT][:, None]
    distance = np.hypot(dx, dy)
    added = []
    if flags.add_distance_state:
        added.append(distance / sight)
    if flags.add_xy_state:
        added += [dx / sight, dy / sight]
    if flags.add_visible_state:
        added.append(np.where(distance < sight, 1.0, 0.0))
    seen = np.stack(added, 2) if added else np.zeros((n, len(alive), 0))  # (n, U, added)
    sides = []
    for side, rows in ((slice(0, n), _rows(env, True, flags.add_center_xy)),
                       (slice(n, None), _rows(env, False, flags.add_center_xy))):  # fmt: skip
        allied, view = side.start == 0, seen[:, side]
        if not allied and flags.add_enemy_action_state:
            first, m = FIRST_TARGET, env.info.n_enemies
            can = env.available_actions[0, :, first : first + m, None].astype(np.float64)
            view = np.concatenate([view, can], 2)
        if env.layout.state_last_action:
            past = last_action if allied else np.zeros((env.info.n_enemies, actions))  # enemies' stay zero
            view = np.concatenate([view, np.broadcast_to(past, (n, *past.shape))], 2)
        view = view * (alive[:n, None] & alive[side])[:, :, None]
        sides.append(np.concatenate([np.broadcast_to(rows, (n, *rows.shape)), view], 2).reshape(n, -1))
    states: np.ndarray = np.concatenate(sides, 1)
    return states * alive[:n, None] if flags.use_mustalive else states


def move_states(env: SkirmishEnv) -> np.ndarray:
    """(n, 4) float64 availability of the moves."""
    return env.available_actions[0, :, 2:6].astype(np.float64)


def global_sizes(env: SkirmishEnv) -> tuple[int, int, int]:
    """Entries per ally, per enemy, and of each agent's move row, of `global_state`."""
    layout = env.layout
    last = layout.n_actions if layout.state_last_action else 0
    return 4 + layout.ally_shields + layout.bits + last, 3 + layout.enemy_shields + layout.bits, layout.n_actions + 17


def global_state(env: SkirmishEnv, last_action: np.ndarray, surroundings: np.ndarray, info: list[float]) -> np.ndarray:
    """(S,) float64: allies with last actions, enemies, availability and surroundings of every agent, time, info.

    Args: last_action: (n, A) one-hot; surroundings: (n, 17) cells around each agent, walkable and height; info: sizes
      of the map, its extents, sight range.
    """
    n = env.info.n_agents
    allies = _rows(env, True, True)
    if env.layout.state_last_action:
        alive = env.units[0, HEALTH, :n, None] > 0.0
        allies = np.concatenate([allies, last_action * alive], 1)
    moves = np.concatenate([env.available_actions[0].astype(np.float64), surroundings], 1)
    time = [env.t[0] / env.info.episode_limit]
    return np.concatenate([allies.ravel(), _rows(env, False, True).ravel(), moves.ravel(), time, info])


def _rows(env: SkirmishEnv, allied: bool, center: bool) -> np.ndarray:
    """(n or m, f) float64 [health, (allies: reserve), (x, y), (shield), type] of one side, zero for the dead."""
    n, layout = env.info.n_agents, env.layout
    side = slice(0, n) if allied else slice(n, None)
    units, facts = env.units[0, :, side], env.profile[env.kinds[0, side]]
    columns = [units[HEALTH] / facts[:, P_HEALTH_MAX]]
    if allied:
        reserve = np.where(facts[:, P_HEALER] > 0.0, units[ENERGY], np.maximum(0.0, units[COOLDOWN]))
        columns.append(reserve / facts[:, P_COOLDOWN_MAX])
    if center:
        columns.append((units[X] - layout.map_x / 2.0) / layout.map_x)
        columns.append((units[Y] - layout.map_y / 2.0) / layout.map_y)
    if layout.ally_shields if allied else layout.enemy_shields:
        columns.append(units[SHIELD] / facts[:, P_SHIELD_MAX])
    bits = facts[:, P_ALLY_BIT if allied else P_ENEMY_BIT]
    columns += [np.where(bits == k, 1.0, 0.0) for k in range(layout.bits)]
    return np.stack(columns, 1) * (units[HEALTH] > 0.0)[:, None]
