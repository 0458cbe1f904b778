"""Plays the official packages beside the simulator's own faces; a process of its own, with protobuf's slow choice.

`python -m tests.protocol.play_official smac MAP SEED EPISODES` or `... smacv2 SCENARIO SEED EPISODES`: prints the
largest differences as JSON, nan if there was one. `... speed MAP SEED STEPS`: prints environment steps a second.
"""

import json
import sys
import time

import numpy as np
from absl import flags

import skirmish
from skirmish.scenarios import env as scenarios
from skirmish.scenarios.draw import Battle, find_scenario


def largest(before: float, difference) -> float:
    """The larger size; nan stays, which `max` would drop."""
    return float(np.maximum(before, np.abs(difference).max(initial=0.0)))


def speed(name: str, seed: int, steps: int) -> dict[str, float]:
    """Environment steps a second with random legal actions: the face, the official package, the face again."""
    from smac.env import StarCraft2Env

    found = {}
    for what in ("direct_before", "official", "direct_after"):
        kind = StarCraft2Env if what == "official" else skirmish.StarCraft2Env
        env, rng = kind(map_name=name, seed=seed), np.random.default_rng(seed)
        env.reset()  # starts the game, compiles kernels
        began, played, done = time.perf_counter(), 0, False
        while played < steps:
            if done:
                env.reset()
            joint = [int(rng.choice(np.flatnonzero(row))) for row in env.get_avail_actions()]
            done = env.step(joint)[1]
            env.get_obs(), env.get_state()
            played += 1
        found[what] = played / (time.perf_counter() - began)
        env.close()
    return found


def smac(name: str, seed: int, episodes: int) -> dict[str, float]:
    """Observations, states and rewards; availability, ends, infos, statistics, visibility must be the same."""
    from smac.env import StarCraft2Env

    official, direct = StarCraft2Env(map_name=name, seed=seed), skirmish.StarCraft2Env(name, seed=seed)
    rng, worst = np.random.default_rng(seed), {"obs": 0.0, "state": 0.0, "reward": 0.0, "steps": 0}
    try:
        for _ in range(episodes):
            theirs, mine, done = official.reset(), direct.reset(), False
            while True:
                for key, a, b in zip(("obs", "state"), theirs, mine):
                    worst[key] = largest(worst[key], np.array(a) - np.array(b))
                available = official.get_avail_actions()
                assert available == direct.get_avail_actions()
                if done:
                    break
                joint = [int(rng.choice(np.flatnonzero(row))) for row in available]
                (reward, done, info), (own_reward, *rest) = official.step(joint), direct.step(joint)
                assert [done, info] == rest
                worst["reward"] = largest(worst["reward"], reward - own_reward)
                worst["steps"] += 1
                theirs, mine = (official.get_obs(), official.get_state()), (direct.get_obs(), direct.get_state())
        assert official.get_stats() == direct.get_stats()
        assert official.get_unit_types() == direct.get_unit_types()
        assert np.array_equal(official.get_visibility_matrix(), direct.get_visibility_matrix())
    finally:
        official.close()
    return worst


def smacv2(name: str, seed: int, episodes: int) -> dict[str, float]:
    """The same for drawn battles: the teams and places that the simulator draws are handed to SMACv2.

    Both get the places as float32. SMACv2 shuffles who looks first with a random source of its own, so that rows of
    enemies are compared where both show them.
    """
    from smacv2.env import StarCraft2Env

    drawn, draw = [], scenarios.draw_battle

    def rounded(scenario, rng):
        battle = draw(scenario, rng)
        places = [p.astype(np.float32).astype(np.float64) for p in (battle.ally_positions, battle.enemy_positions)]
        drawn.append(Battle(battle.ally_types, battle.enemy_types, *places))
        return drawn[-1]

    scenarios.draw_battle = rounded
    scenario, direct = find_scenario(name), scenarios.GeneratedEnv(name, seed=seed)
    sizes = {"n_units": scenario.n_agents, "n_enemies": scenario.n_enemies}
    teams = {"dist_type": "weighted_teams", "unit_types": list(scenario.types), "observe": True, **sizes}
    places = {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32, **sizes}
    official = StarCraft2Env(
        map_name=f"10gen_{name.partition('_')[0]}",
        capability_config={**sizes, "team_gen": teams, "start_positions": places},
        use_unit_ranges=True,
        min_attack_range=2,
        obs_own_pos=True,
        seed=seed,
    )
    rows, width = official.get_obs_enemy_feats_size()
    block = slice(official.get_obs_move_feats_size(), official.get_obs_move_feats_size() + rows * width)
    rng, worst = np.random.default_rng(seed), {"obs": 0.0, "state": 0.0, "reward": 0.0, "steps": 0, "enemy_rows": 0}
    try:
        for _ in range(episodes):
            direct.reset()
            battle = drawn[-1]
            teams = [[scenario.types[k] for k in side] for side in (battle.ally_types, battle.enemy_types)]
            config = {
                "team_gen": {"ally_team": teams[0], "enemy_team": teams[1]},
                "ally_start_positions": {"item": battle.ally_positions},
                "enemy_start_positions": {"item": battle.enemy_positions},
            }
            obs, state = official.reset(config)
            while True:
                available = np.array(official.get_avail_actions(), bool)
                assert np.array_equal(available, direct.available_actions[0])
                theirs, mine = np.array(obs), direct.obs[0]
                seen = [o[:, block].reshape(-1, width) for o in (theirs, mine)]
                both = seen[0].any(1) & seen[1].any(1)
                rest = [np.delete(o, block, 1) for o in (theirs, mine)]
                pairs = {"obs": [rest, [s[both] for s in seen]], "state": [[state, direct.state[0]]]}
                for key, compared in pairs.items():
                    for a, b in compared:
                        worst[key] = largest(worst[key], a - b)
                worst["enemy_rows"] += int(both.sum())
                if direct.finished[0]:
                    break
                joint = [int(rng.choice(np.flatnonzero(row))) for row in available]
                reward, done, info = official.step(joint)
                direct.step(np.array([joint]))
                assert (done, info["battle_won"]) == (direct.finished[0], direct.won[0])
                worst["reward"] = largest(worst["reward"], reward - direct.reward[0])
                worst["steps"] += 1
                obs, state = official.get_obs(), official.get_state()
    finally:
        official.close()
    return worst


if __name__ == "__main__":
    flags.FLAGS(["play_official"])
    play = {"smac": smac, "smacv2": smacv2, "speed": speed}[sys.argv[1]]
    sys.stdout.write(json.dumps(play(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))) + "\n")
