"""SMAC's way with raw units, written down once more: who is which agent, what an action orders, how episodes begin."""

from __future__ import annotations

import numpy as np

import skirmish
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, SHIELD, X, Y

ROWS = (X, Y, HEALTH, SHIELD, COOLDOWN, ENERGY)


class ByProtocol:
    """A battle played through any client that has `units()`, `act(orders)`, `step(loops)` and `kill(tags)`."""

    def __init__(self, client, n_agents: int, n_enemies: int) -> None:
        self.client, self.n, self.m = client, n_agents, n_enemies
        self.known = {}

    def begin(self, *, first: bool) -> None:
        """As SMAC: from the second episode on kill who is left and let two loops pass."""
        if not first:
            self.client.kill([tag for tag in self.tags if tag in self.known])
            self.client.step(2)
        units = self.client.units()
        allies = sorted((u for u in units if u.owner == 1), key=lambda u: (u.unit_type, u.pos.x, u.pos.y))
        enemies = [u for u in units if u.owner == 2]
        assert (len(allies), len(enemies)) == (self.n, self.m)
        self.tags = [u.tag for u in allies + enemies]
        self.known = {u.tag: u for u in allies + enemies}

    def step(self, joint, healers, move: float = 2.0) -> None:
        """One step. Args: joint: (n,) action ids; healers: (n,) bool, who aims at agents."""
        orders = []
        for i, action in enumerate(map(int, joint)):
            unit = self.known.get(self.tags[i])
            if unit is None or action == 0:
                continue
            order = {"ability_id": 4, "unit_tags": [unit.tag]}
            if 2 <= action <= 5:
                dx, dy = ((0, move), (0, -move), (move, 0), (-move, 0))[action - 2]
                order |= {"ability_id": 16, "target_world_space_pos": {"x": unit.pos.x + dx, "y": unit.pos.y + dy}}
            elif action >= 6:
                target = self.tags[action - 6 + (0 if healers[i] else self.n)]
                order |= {"ability_id": 386 if healers[i] else 23, "target_unit_tag": target}
            orders.append(order)
        self.client.act(orders)
        self.client.step(8)
        self.known = {u.tag: u for u in self.client.units()}

    def table(self) -> np.ndarray:
        """(6, U) x, y, health, shield, cooldown, energy; zeros for the dead."""
        rows = np.zeros((6, len(self.tags)))
        for u, tag in enumerate(self.tags):
            if tag in self.known:
                k = self.known[tag]
                rows[:, u] = k.pos.x, k.pos.y, k.health, k.shield, k.weapon_cooldown, k.energy
        return rows


def direct_table(env) -> np.ndarray:
    """The same of the simulator itself."""
    rows = env.units[0, list(ROWS)].copy()
    rows[4] = np.maximum(0.0, rows[4])
    rows[4, env.info.n_agents :] = 0.0  # not told of enemies
    has_energy = [env.spec.kinds[k].energy_max > 0.0 for k in env.kinds[0]]
    rows[5] *= has_energy
    return np.where(env.units[0, HEALTH] > 0.0, rows, 0.0)


def largest_difference(client, name: str, seed: int, episodes: int, most_steps: int = 10_000) -> float:
    """Play a map's battles with random legal actions here and there; the client's game has just begun.

    The last episode's end may be cut by `most_steps`. Returns: the largest difference of any number of any unit.
    """
    env = skirmish.make(name, num_envs=1, seed=seed)
    battle = ByProtocol(client, env.info.n_agents, env.info.n_enemies)
    healers = np.array([kind.heal is not None for kind in env.spec.unit_types[: env.info.n_agents]])
    rng, worst = np.random.default_rng(seed), 0.0
    for episode in range(episodes):
        env.reset()
        battle.begin(first=episode == 0)
        while True:
            mine, theirs = direct_table(env), battle.table()
            assert ((mine[2] > 0.0) == (theirs[2] > 0.0)).all()
            worst = max(worst, float(np.abs(mine - theirs).max()))
            if env.finished[0] or env.t[0] >= most_steps:
                break
            joint = [rng.choice(np.flatnonzero(row)) for row in env.available_actions[0]]
            env.step(np.array([joint]))
            battle.step(joint, healers)
    return worst
