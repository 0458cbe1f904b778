"""The PettingZoo face: the package's own tests, names, the shift of actions, and who leaves when."""

import warnings

import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

from skirmish.faces.pettingzoo import SkirmishParallelEnv, env, parallel_env
from tests.skirmish.scenes import put

STOP = 0  # SMAC's 1


def masked(battle, observations, rng):
    return {a: int(rng.choice(np.flatnonzero(observations[a]["action_mask"]))) for a in battle.agents}


@pytest.mark.parametrize(("name", "seed"), [("3m", 0), ("3m", 1), ("MMM", 2), ("2s3z", 3), ("2m_vs_1z", 4)])
def test_passes_the_api_test(name, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(parallel_env(name, seed=seed), num_cycles=200)


def test_passes_the_turn_based_api_test():
    with warnings.catch_warnings():
        # PettingZoo warns of observations that carry a mask, and of the zeros that dead agents see.
        warnings.filterwarnings("ignore", message="Observation")
        api_test(env("3m", seed=1), num_cycles=50)


def test_passes_the_seed_test():
    class Forgiving(SkirmishParallelEnv):
        """The seed test draws actions without looking at the mask."""

        def step(self, actions):
            available = self.battle.get_avail_actions()
            index = {a: i for i, a in enumerate(self.possible_agents)}
            return super().step({a: x if available[index[a]][x + 1] else STOP for a, x in actions.items()})

    parallel_seed_test(lambda: Forgiving("3m"), num_cycles=100)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("3m", ["marine_0", "marine_1", "marine_2"]),
        ("2s3z", ["stalker_0", "stalker_1", "zealot_0", "zealot_1", "zealot_2"]),
        ("MMM", ["marauder_0", "marauder_1", *(f"marine_{k}" for k in range(7)), "medivac_0"]),
    ],
)
def test_names(name, names):
    battle = parallel_env(name)
    assert battle.possible_agents == names
    assert battle.agents == []
    battle.reset()
    assert battle.agents == names and battle.num_agents == battle.max_num_agents == len(names)


def test_actions_are_shifted_by_one():
    battle = parallel_env("3m", seed=0)
    observations, infos = battle.reset(seed=5)
    assert infos == {a: {} for a in battle.agents}
    assert battle.action_space("marine_0").n == 8
    assert observations["marine_0"]["action_mask"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert observations["marine_0"]["action_mask"].dtype == np.int8
    # South, east, north, away from each other: SMAC's 3, 4, 2 and the adapter's 2, 3, 1.
    before = battle.battle.simulator.units[0, :2, :3].copy()
    observations, rewards, terminations, truncations, infos = battle.step({"marine_0": 2, "marine_1": 3, "marine_2": 1})
    dx, dy = battle.battle.simulator.units[0, :2, :3] - before
    assert dy[0] < -0.5 and dx[1] > 0.5 and dy[2] > 0.5
    assert rewards == dict.fromkeys(battle.agents, 0.0)
    assert not any(terminations.values()) and not any(truncations.values())
    assert infos["marine_1"] == {"battle_won": False, "dead_allies": 0, "dead_enemies": 0}
    for agent in battle.agents:
        assert battle.observation_space(agent).contains(observations[agent])
    assert battle.state_space.contains(battle.state())
    for refused in ({"marine_0": 6, "marine_1": 0, "marine_2": 0}, {"marine_0": 0, "marine_1": 0}):
        with pytest.raises(AssertionError, match="available"):
            battle.step(refused)  # out of range; a living agent without an action


def doomed_marine(max_cycles=None):
    """The first marine has a sliver of health left and stands before the enemy; the others are far away."""
    battle = parallel_env("3m", seed=0, max_cycles=max_cycles)
    battle.reset()
    scene = {0: {"at": (18.0, 16.0), "health": 0.1}, 1: {"at": (3.0, 10.0)}, 2: {"at": (3.0, 22.0)}}
    put(battle.battle.simulator, scene)
    return battle


def doomed_enemy(max_cycles=None):
    """One enemy is left, in range of everybody, with half a point of health; the other two are paid for."""
    battle = parallel_env("3m", seed=0, max_cycles=max_cycles)
    battle.reset()
    put(battle.battle.simulator, {4: {"health": 0.0}, 5: {"health": 0.0}})
    battle.step(dict.fromkeys(battle.agents, STOP))
    put(battle.battle.simulator, {3: {"at": (12.0, 16.0), "health": 0.5}})
    return battle


def test_the_dead_leave_and_the_rest_fights_on():
    battle, steps = doomed_marine(), 0
    while "marine_0" in battle.agents:
        acting, steps = battle.agents, steps + 1
        observations, rewards, terminations, truncations, _ = battle.step(dict.fromkeys(acting, STOP))
        assert set(observations) == set(rewards) == set(terminations) == set(truncations) == set(acting)
    assert terminations == {"marine_0": True, "marine_1": False, "marine_2": False}
    assert not observations["marine_0"]["observation"].any() and not observations["marine_0"]["action_mask"].any()
    assert battle.agents == ["marine_1", "marine_2"]
    # What the dead are told to do is not read.
    observations, *_ = battle.step({"marine_0": 5, "marine_1": STOP, "marine_2": STOP})
    assert set(observations) == {"marine_1", "marine_2"}
    battle.reset()
    assert battle.agents == battle.possible_agents

    # Who dies in the step that is cut has terminated; the others are truncated.
    battle = doomed_marine(max_cycles=steps)
    while battle.agents:
        _, _, terminations, truncations, _ = battle.step(dict.fromkeys(battle.agents, STOP))
    assert terminations == {"marine_0": True, "marine_1": False, "marine_2": False}
    assert truncations == {"marine_0": False, "marine_1": True, "marine_2": True}


def test_win_terminates_and_pays_everybody():
    fire = 5  # SMAC's 6: the first enemy
    battle, steps = doomed_enemy(), 1
    while battle.agents:
        acting, steps = battle.agents, steps + 1
        _, rewards, terminations, truncations, infos = battle.step(dict.fromkeys(acting, fire))
    assert terminations == dict.fromkeys(acting, True) and not any(truncations.values())
    assert all(info["battle_won"] for info in infos.values())
    # By hand: the half point of health, the death and the win, over 365 / 20.
    assert rewards == dict.fromkeys(acting, pytest.approx((0.5 + 10 + 200) / 18.25, abs=1e-12))
    assert battle.step({}) == ({}, {}, {}, {}, {})

    # A win in the very last step is a win.
    battle = doomed_enemy(max_cycles=steps)
    while battle.agents:
        _, _, terminations, truncations, _ = battle.step(dict.fromkeys(battle.agents, fire))
    assert all(terminations.values()) and not any(truncations.values())


@pytest.mark.parametrize(("max_cycles", "length"), [(None, 300), (7, 7), (1000, 300)])
def test_limits_truncate(max_cycles, length):
    battle = parallel_env("2s_vs_1sc", max_cycles=max_cycles, seed=0)  # the crawler cannot reach anybody
    battle.reset()
    for t in range(1, length + 1):
        _, _, terminations, truncations, _ = battle.step(dict.fromkeys(battle.agents, STOP))
        assert not any(terminations.values())
        assert all(truncations.values()) == any(truncations.values()) == (t == length)
    assert battle.agents == []


def test_options_reach_the_battle():
    battle = parallel_env("3m", obs_last_action=True, obs_timestep_number=True)
    observations, _ = battle.reset()
    vector = observations["marine_0"]["observation"]
    assert vector.dtype == np.float32 and vector.shape == (30 + 2 * 9 + 2,)
    assert battle.observation_space("marine_0")["observation"].shape == vector.shape
    assert parallel_env("2s3z", obs_instead_of_state=True).state_space.shape == (400,)
    with pytest.raises(ValueError, match="max_cycles"):
        parallel_env("3m", max_cycles=0)
    with pytest.raises(KeyError, match="did you mean '3m'"):
        parallel_env("3n")
    with pytest.raises(ValueError, match="did you mean 'obs_last_action'"):
        parallel_env("3m", obs_lst_action=True)


def test_seeds():
    def play(battle, seed):
        observations, _ = battle.reset(seed=seed)
        rng, out = np.random.default_rng(0), []
        while battle.agents:
            observations, rewards, *_ = battle.step(masked(battle, observations, rng))
            out.append(max(rewards.values()))
        return out

    battle = parallel_env("3m")
    first = play(battle, 1)
    assert play(battle, 2) != first
    assert play(battle, 1) == first == play(parallel_env("3m", seed=9), 1)
    assert play(battle, None) != first  # goes on with the stream
