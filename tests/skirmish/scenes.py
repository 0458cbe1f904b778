"""Battles put together by hand, shared by the tests of what is built on the simulator."""

from dataclasses import replace

import numpy as np

from skirmish import Rules, SkirmishEnv
from skirmish.data.maps import EnemyOrder, Group, MapSpec, agent_types, load_terrain
from skirmish.physics.tables import ALIVE, COOLDOWN, ENERGY, HEALTH, SHIELD, X, Y

NO_OP, STOP, NORTH, SOUTH, EAST, WEST, TARGET = range(7)
EXACT = Rules(jitter_scale=0.0, turning=False)


def put(env, units, slot=0):
    """Change units of a `SkirmishEnv` that was reset, and describe the scene anew.

    Args: units: {unit: {"at": (x, y), "health": h, "shield": s, "cooldown": c, "energy": e}}, entries optional; agents
      are units 0..n-1, enemies follow; health 0 kills.
    """
    now = env.snapshot()
    for u, values in units.items():
        if "at" in values:
            now["units"][slot, [X, Y], u] = values["at"]
        for name, row in (("health", HEALTH), ("shield", SHIELD), ("cooldown", COOLDOWN), ("energy", ENERGY)):
            if name in values:
                now["units"][slot, row, u] = values[name]
        now["marks"][slot, ALIVE, u] = now["units"][slot, HEALTH, u] > 0.0
    env.restore(now)


def field(allies, enemies, *, rules=None, num_envs=1, terrain="open_32x32", map_type="test", step_mul=1):
    """An arena with units exactly at the given points: {type: [(x, y), ...]} per side, nobody with an order.

    Agents are ordered by type as in the battle, those of one type by (x, y); points may be so near that units overlap.
    Without `rules` there is neither jitter nor turning, so that attacks begin with the order (turning: test_rules).
    """
    groups = [tuple(Group(t, 1, x, y) for t, points in side.items() for x, y in points) for side in (allies, enemies)]
    spec = MapSpec(
        "test", len(groups[0]), len(groups[1]), 1000, 0, map_type, "T", "T", *groups, EnemyOrder("none"),
        load_terrain(terrain),
    )  # fmt: skip
    env = SkirmishEnv(spec, num_envs=num_envs, rules=replace(rules or EXACT, placement_jitter=0.0), step_mul=step_mul)
    env.reset(0)
    names = agent_types(spec)
    agents = sorted(groups[0], key=lambda g: (names.index(g.unit), g.x, g.y))
    for slot in range(num_envs):
        put(env, {u: {"at": (g.x, g.y)} for u, g in enumerate((*agents, *groups[1]))}, slot)
    return env


def order(env, *actions):
    env.step_scripted(np.tile(actions, (env.num_envs, 1)))


def wait(env, loops):
    for _ in range(loops):
        order(env, *[NO_OP] * env.info.n_agents)


# The frame of the contract's worked example: 3m, agents 0 to 2, then enemies.
WORKED = {
    0: {"at": (8.75, 16.5), "health": 45.0, "cooldown": 0.0},
    1: {"at": (9.5, 14.25), "health": 45.0, "cooldown": 0.0},
    2: {"at": (9.5, 15.0), "health": 36.0, "cooldown": 6.0},
    3: {"at": (17.25, 15.5), "health": 45.0},
    4: {"at": (14.0, 18.0), "health": 20.0},
    5: {"at": (18.5, 15.0), "health": 45.0},
}
