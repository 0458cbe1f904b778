"""Battles put together by hand, shared by the tests of what is built on the simulator."""

from skirmish.physics.tables import ALIVE, COOLDOWN, ENERGY, HEALTH, SHIELD, X, Y


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


# The frame of the contract's worked example: 3m, agents 0 to 2, then enemies.
WORKED = {
    0: {"at": (8.75, 16.5), "health": 45.0, "cooldown": 0.0},
    1: {"at": (9.5, 14.25), "health": 45.0, "cooldown": 0.0},
    2: {"at": (9.5, 15.0), "health": 36.0, "cooldown": 6.0},
    3: {"at": (17.25, 15.5), "health": 45.0},
    4: {"at": (14.0, 18.0), "health": 20.0},
    5: {"at": (18.5, 15.0), "health": 45.0},
}
