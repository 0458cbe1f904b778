"""The MAPPO authors' environment: tuples, sizes, central inputs by hand, stacks, seeds, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from skirmish.faces.mappo import StarCraft2Env
from skirmish.faces.mappo_state import StateFlags
from tests.skirmish.scenes import WORKED, put

NONE_SET = dict.fromkeys(StateFlags.__dataclass_fields__, False)
# What on-policy's command line gives, and what MAZero's code passes.
ON_POLICY = {**NONE_SET, "use_state_agent": True, "use_mustalive": True, "add_center_xy": True, "stacked_frames": 1}
MAZERO = {**ON_POLICY, "use_state_agent": False}
ADDED = [name for name in NONE_SET if name.startswith("add_")]


def make(name="3m", flags=ON_POLICY, **options):
    return StarCraft2Env(SimpleNamespace(map_name=name, **flags), **{"seed": 0, **options})


def worked(flags, **options):
    env = make("3m", flags, **options)
    env.reset()
    put(env.simulator, WORKED)
    env.update_units()
    return env


def stop(env):
    return [1 if a[1] else 0 for a in env.get_avail_actions()]


# map: observation, agent-specific state (published sizes), MAZero's state
@pytest.mark.parametrize(
    ("name", "obs", "agent_state", "state"), [("3m", 64, 81, 75), ("MMM2", 370, 435, 538), ("2s3z", 144, 173, 175)]
)
def test_sizes(name, obs, agent_state, state):
    for flags, size in ((ON_POLICY, agent_state), (MAZERO, state)):
        env = make(name, flags)
        n = env.n_agents
        assert (env.get_obs_size()[0], env.get_state_size()[0]) == (obs, size)
        assert env.observation_space == [env.get_obs_size()] * n
        assert env.share_observation_space == [env.get_state_size()] * n
        assert [type(space).__name__ for space in env.action_space] == ["Discrete"] * n
        assert {space.n for space in env.action_space} == {env.n_actions}
        for parts in (env.get_obs_size(), env.get_state_size()):
            assert parts[0] == sum(rows * features for rows, features in parts[1:])
        vectors, central, available = env.reset()
        assert np.shape(vectors) == (n, obs) and np.shape(central) == (n, size)
        assert np.shape(available) == (n, env.n_actions)


def test_parts_of_the_sizes():
    env = make("2s3z")
    assert env.get_obs_size() == [144, [4, 19], [5, 8], [1, 4], [1, 24]]
    assert env.get_state_size() == [173, [4, 22], [5, 11], [1, 4], [1, 26]]
    assert make("2s3z", MAZERO).get_state_size() == [175, [5, 18], [5, 17], [1, 0]]
    assert make("2s3z", {**MAZERO, "add_move_state": True, "add_agent_id": True}).get_state_size()[-1] == [1, 9]
    assert make("2s3z", {**MAZERO, "use_obs_instead_of_state": True}).get_state_size() == [720, [5, 144]]


def test_six_tuple():
    env = make()
    obs, central, rewards, dones, infos, available = _reset_and_step(env)
    assert [o.dtype for o in (*obs, *central)] == [np.float32] * 6
    assert rewards == [[0.0]] * 3 and dones.tolist() == [False] * 3 and dones.dtype == bool
    counters = {"battles_won": 0, "battles_game": 0, "battles_draw": 0, "restarts": 0}
    assert infos == [counters | {"bad_transition": False, "won": False}] * 3
    assert available == env.get_avail_actions()
    put(env.simulator, {0: {"health": 0.0}})
    assert env.step([0, 1, 1])[3].tolist() == [True, False, False]
    put(env.simulator, {u: {"health": 0.0} for u in (3, 4, 5)})
    _, _, rewards, dones, infos, _ = env.step([0, 1, 1])
    assert dones.all() and rewards[0] is not rewards and rewards[0][0] > 10
    assert infos[2] == {**counters, "battles_won": 1, "battles_game": 1, "bad_transition": False, "won": True}
    env.reset()
    assert env.step(stop(env))[4][0]["won"] is False


def _reset_and_step(env):
    env.reset()
    return env.step(np.array([[1], [1], [1]]))  # learners pass a column


def test_a_timeout_is_a_bad_transition():
    env = make("2s_vs_1sc")
    env.reset()
    for t in range(300):
        *_, dones, infos, _ = env.step(stop(env))
        assert dones.all() == infos[0]["bad_transition"] == (t == 299)
    assert infos[0]["battles_draw"] == 1


def test_agent_specific_state_is_the_simulators():
    env = worked(ON_POLICY)
    assert np.array_equal(env._central_inputs(), env.simulator.agent_state[0])
    timed = worked(ON_POLICY, state_timestep_number=True)
    timed.step([1, 1, 1])
    assert timed.get_state_agent(0).dtype == np.float64 and timed.get_state_agent(0)[-1] == 1 / 60


def test_mazeros_state_by_hand():
    env = worked(MAZERO)
    allies = [[1, 0, -7.25 / 32, 0.5 / 32], [1, 0, -6.5 / 32, -1.75 / 32], [0.8, 0.4, -6.5 / 32, -1 / 32]]
    enemies = [[1, 1.25 / 32, -0.5 / 32], [20 / 45, -2 / 32, 2 / 32], [1, 2.5 / 32, -1 / 32]]
    rows = [row + [0] * 9 for row in allies] + [row + [0] * 9 for row in enemies]
    expected = np.concatenate(rows).astype(np.float32)
    for i in range(3):
        assert env.get_state(i).tolist() == expected.tolist()  # the same for everybody
    env.last_action = np.eye(9)[[1, 4, 5]]
    put(env.simulator, {1: {"health": 0.0}})
    assert env.get_state(0)[4:13].argmax() == 1 and not env.get_state(0)[13:26].any()
    assert not env.get_state(1).any()  # the dead see nothing
    with pytest.raises(KeyError):
        env.get_state()


def test_an_agents_view_by_hand():
    flags = {**MAZERO, **dict.fromkeys(ADDED, True)}
    env = worked(flags, state_timestep_number=True)
    env.last_action = np.eye(9)[[1, 4, 5]]
    state = env.get_state(1).astype(np.float64)
    ally = [1, 0, -7.25 / 32, 0.5 / 32, np.hypot(0.75, 2.25) / 9, -0.75 / 9, 2.25 / 9, 1, *np.eye(9)[1]]
    np.testing.assert_allclose(state[:17], ally, rtol=1e-6)  # agent 0
    enemies = state[51:102].reshape(3, 17)
    np.testing.assert_allclose(enemies[1, :8], [20 / 45, -2 / 32, 2 / 32, 0.650854, 0.5, 0.416667, 1, 1], rtol=2e-6)
    np.testing.assert_allclose(enemies[2, 3:8], [81.5625**0.5 / 9, 1, 0.75 / 9, 0, 0], rtol=2e-6)  # 9.03: out of sight
    assert not enemies[:, 8:].any()  # enemies' last actions
    rest = [1, 1, 1, 1, *env.get_obs_agent(1), 0 / 60, 0, 1, 0]
    np.testing.assert_allclose(state[102:], rest, rtol=1e-6)
    alive = worked({**flags, "use_mustalive": False})
    put(alive.simulator, {1: {"health": 0.0}})
    row = alive.get_state(1)[:17]  # what lies in the agent's view is gone, the rest stays
    assert row[0] == 1 and row[3] == np.float32(0.5 / 32) and not row[4:].any()


def test_observations_in_a_row():
    env = make("3m", {**ON_POLICY, "use_obs_instead_of_state": True})
    obs, central, _ = env.reset()
    assert all((row == np.concatenate(obs)).all() for row in central)
    assert (env.get_state(0) == env.get_state_agent(1)).all()


def test_harls_global_state_by_hand():
    env = StarCraft2Env({"map_name": "3m", "state_type": "EP"}, seed=0)
    _, central, _ = env.reset()
    assert env.get_state_size() == [132, [3, 13], [3, 3], [3, 26], [1, 1], [1, 5]] and np.shape(central) == (3, 132)
    env.step([1, 1, 1])
    put(env.simulator, WORKED)
    env.update_units()
    state = env.get_global_state()
    assert state[:13].tolist() == [1, 0, np.float32(-7.25 / 32), np.float32(0.5 / 32), *np.eye(9)[1]]
    assert state[39:42].tolist() == np.array([1, 1.25 / 32, -0.5 / 32], np.float32).tolist()
    assert state[48:57].tolist() == env.get_avail_agent_actions(0)
    around = env.get_surrounding_pathing(env.agents[0]) + env.get_surrounding_height(env.agents[0])
    assert state[57:74].tolist() == np.array(around, np.float32).tolist()
    assert state[126:].tolist() == [np.float32(1 / 60), 32, 32, 32, 32, 9]
    assert StarCraft2Env({"map_name": "3m", "state_type": "FP"}).get_state_size() == make().get_state_size()


def test_stacked_frames():
    """Published order t-1, t-2, t, and nothing is cleared between episodes."""
    env, plain = make("3m", {**ON_POLICY, "use_stacked_frames": True, "stacked_frames": 3}), make()
    assert (env.get_obs_size()[0], env.get_state_size()[0]) == (3 * 64, 3 * 81)
    frames = [np.zeros((3, 64))]
    for k in range(4):
        if k % 2 == 0:
            stacked, plain_obs = env.reset()[0], plain.reset()[0]
        else:
            stacked, plain_obs = env.step([4, 4, 4])[0], plain.step([4, 4, 4])[0]
        frames.append(np.stack(plain_obs))
        assert stacked.shape == (3, 192)
        parts = stacked.reshape(3, 3, 64)
        assert (parts[:, 2] == frames[-1]).all() and (parts[:, 0] == frames[-2]).all()
        if k > 0:
            assert (parts[:, 1] == frames[-3]).all()


def test_seeds_grow_with_every_launch():
    env = make(seed=None)
    env.seed(5)
    env.reset()
    assert env._seed == env.seed() == 6
    first = env.simulator.snapshot()
    env.reset()  # no episode has ended: launched again
    assert env._seed == 7
    other = make(seed=6)
    other.reset()
    assert (other.simulator.snapshot()["key"] == env.simulator.snapshot()["key"]).all()
    assert (first["key"] != env.simulator.snapshot()["key"]).any()
    assert make(seed=None).reset()[2]  # another battle at every launch


def test_bundles_that_are_incomplete():
    with pytest.raises(AttributeError, match=r"without add_xy_state: set it, to True or False"):
        make(flags={k: v for k, v in ON_POLICY.items() if k != "add_xy_state"})
    with pytest.raises(AttributeError, match="without map_name: set it, to a map"):
        StarCraft2Env(SimpleNamespace(**ON_POLICY))
    with pytest.raises(KeyError, match="state_type"):
        StarCraft2Env({"map_name": "3m"})
    with pytest.raises(ValueError, match='"FP" or "EP", got'):
        StarCraft2Env({"map_name": "3m", "state_type": "PE"})
    with pytest.raises(KeyError, match="did you mean '3m'"):
        make("3mm")
    with pytest.raises(ValueError, match="stacked_frames must be an integer of at least 1, got 0"):
        make(flags={**ON_POLICY, "use_stacked_frames": True, "stacked_frames": 0})


@pytest.mark.parametrize(
    ("flags", "options", "message"),
    [
        ({"use_mustalive": False}, {}, "use_state_agent needs use_mustalive and add_center_xy"),
        ({"add_center_xy": False}, {}, "use_state_agent needs use_mustalive and add_center_xy"),
        ({}, {"obs_all_health": False}, "use_state_agent needs obs_all_health=True"),
        ({}, {"obs_pathing_grid": True}, "use_state_agent needs obs_pathing_grid=False"),
        ({}, {"obs_last_action": False}, "obs_last_action must be True, got False"),
        ({}, {"obs_agent_id": False}, "obs_agent_id must be True, got False"),
        ({}, {"state_terrain_height": True}, "state_terrain_height must be False, got True"),
        ({}, {"continuing_episode": True}, "continuing_episode must be False, got True"),
        ({}, {"obs_last_actions": True}, "did you mean 'obs_last_action'"),
        (
            {"use_state_agent": False, "use_stacked_frames": True, "stacked_frames": 2, "add_local_obs": True},
            {},
            "add_local_obs cannot be stacked",
        ),
    ],
)
def test_combinations_that_are_refused(flags, options, message):
    with pytest.raises(ValueError, match=message):
        make(flags={**ON_POLICY, **flags}, **options)
