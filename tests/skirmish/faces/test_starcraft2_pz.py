"""SMAC's own PettingZoo module: names, flags, resets, wrappers, pickles."""

import pickle

import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test

from skirmish.env.pettingzoo import StarCraft2PZEnv as sc2
from skirmish.physics.tables import EPISODE
from tests.skirmish.scenes import put

API_WARNINGS = [
    pytest.mark.filterwarnings(f"ignore:{text}:UserWarning")
    for text in ("Observation space for each agent", "Observation is not a NumPy array", "Observation numpy array")
]


def stay(env):
    return dict.fromkeys(env.agents, 0)  # SMAC's stop


class TestApi:
    pytestmark = API_WARNINGS

    def test_turns(self):
        env = sc2.env(map_name="3m", seed=1)
        api_test(env, num_cycles=100)
        api_test(pickle.loads(pickle.dumps(env)), num_cycles=20)

    def test_parallel(self):
        parallel_api_test(sc2.parallel_env(map_name="2s3z", seed=1), num_cycles=100)


def test_names_and_spaces():
    env = sc2.parallel_env(map_name="2s3z")
    assert env.possible_agents == ["stalker_0", "stalker_1", "zealot_0", "zealot_1", "zealot_2"]
    assert env.agents_id == {agent: i for i, agent in enumerate(env.possible_agents)}
    assert env.get_agent_smac_id("zealot_1") == 3 and env.max_cycles == 120
    assert env.action_space("zealot_0").n == 10 and env.metadata["name"] == "sc2"
    assert env.observation_space("zealot_0")["observation"].shape == (80,)
    assert sc2.raw_env(map_name="3m").possible_agents == ["marine_0", "marine_1", "marine_2"]
    with pytest.raises(KeyError, match="did you mean '3m'"):
        sc2.parallel_env(map_name="3mm")


def test_steps_out_of_order_are_refused():
    env = sc2.env(map_name="3m")
    with pytest.raises(Exception, match="reset"):
        env.step(0)
    env.reset()
    with pytest.raises(AssertionError, match="action"):
        env.step(99)


def test_resets_go_on_and_seeds_launch():
    env = sc2.parallel_env(map_name="3m", seed=5)
    observations, infos = env.reset()
    assert set(observations) == set(infos) == set(env.agents) and infos["marine_0"] == {}
    for episode in (0, 1, 2):
        assert env.env.simulator.clocks[0, EPISODE] == episode  # though none has ended
        env.step(stay(env))
        assert env.frames == 1
        env.reset()
    env.seed(6)
    env.reset()
    assert env.env.simulator.clocks[0, EPISODE] == 0 and env.env.force_restarts == 1
    assert env.env.simulator._key.tolist() == [6, 0]
    env.reset(seed=7)
    assert env.env.simulator._key.tolist() == [7, 0] and env.frames == 0
    env.seed()
    assert 0 <= env.env.seed() < 2**32 and env.env.seed() != 6


def test_the_dead_leave_and_the_end_terminates():
    env = sc2.parallel_env(map_name="3m", seed=0)
    env.reset()
    put(env.env.simulator, {0: {"health": 0.0}})
    _, _, terminations, truncations, infos = env.step({"marine_1": 0, "marine_2": 0})
    assert terminations == {"marine_0": True, "marine_1": False, "marine_2": False} and not any(truncations.values())
    assert env.agents == ["marine_1", "marine_2"] and infos == {agent: {} for agent in env.possible_agents}
    put(env.env.simulator, {u: {"health": 0.0} for u in (3, 4, 5)})
    observations, rewards, terminations, truncations, _ = env.step(stay(env))
    assert terminations == {"marine_1": True, "marine_2": True} and not any(truncations.values())
    assert rewards["marine_1"] == env.env.reward > 10 and env.agents == [] and len(observations) == 2
    assert np.isfinite(env.state()).all()


def test_the_limit_terminates_and_truncates():
    env = sc2.parallel_env(map_name="2s_vs_1sc")
    env.reset()
    while env.agents:
        _, _, terminations, truncations, _ = env.step(stay(env))
    assert env.frames == 300 and all(terminations.values()) and all(truncations.values())


def test_fewer_cycles_only_truncate():
    env = sc2.parallel_env(3, map_name="2s_vs_1sc")
    env.reset()
    while env.agents:
        _, _, terminations, truncations, _ = env.step(stay(env))
    assert env.frames == 3 and not any(terminations.values()) and all(truncations.values())
