"""SMAC's own interface: sizes, types, illegal actions, counters, unit records, and a foreign training loop."""

import importlib
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from skirmish import StarCraft2Env
from skirmish.data.maps import load_map, map_names
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.tables import HEALTH, X
from skirmish.policies import make_policy, random_actions
from tests.skirmish.scenes import WORKED, put

# map: agents, enemies, limit, observation, state, actions, state row of an ally and of an enemy (SMAC's sizes)
SIZES = {
    "3m": (3, 3, 60, 30, 48, 9, 4, 3),
    "8m": (8, 8, 120, 80, 168, 14, 4, 3),
    "25m": (25, 25, 150, 250, 950, 31, 4, 3),
    "5m_vs_6m": (5, 6, 70, 55, 98, 12, 4, 3),
    "8m_vs_9m": (8, 9, 120, 85, 179, 15, 4, 3),
    "10m_vs_11m": (10, 11, 150, 105, 243, 17, 4, 3),
    "27m_vs_30m": (27, 30, 180, 285, 1170, 36, 4, 3),
    "MMM": (10, 10, 150, 160, 290, 16, 7, 6),
    "MMM2": (10, 12, 180, 176, 322, 18, 7, 6),
    "2s3z": (5, 5, 120, 80, 120, 11, 7, 6),
    "3s5z": (8, 8, 150, 128, 216, 14, 7, 6),
    "3s5z_vs_3s6z": (8, 9, 170, 136, 230, 15, 7, 6),
    "3s_vs_3z": (3, 3, 150, 36, 54, 9, 5, 4),
    "3s_vs_4z": (3, 4, 200, 42, 61, 10, 5, 4),
    "3s_vs_5z": (3, 5, 250, 48, 68, 11, 5, 4),
    "1c3s5z": (9, 9, 180, 162, 270, 15, 8, 7),
    "2m_vs_1z": (2, 1, 150, 16, 26, 7, 4, 4),
    "corridor": (6, 24, 400, 156, 282, 30, 5, 3),
    "6h_vs_8z": (6, 8, 150, 78, 140, 14, 4, 4),
    "2s_vs_1sc": (2, 1, 300, 17, 27, 7, 5, 3),
    "so_many_baneling": (7, 32, 100, 202, 397, 38, 5, 3),
    "bane_vs_bane": (24, 24, 200, 336, 984, 30, 6, 5),
    "2c_vs_64zg": (2, 64, 400, 332, 342, 70, 5, 3),
}


def legal(env, rng):
    """A random joint action the way third-party code draws it."""
    return [int(rng.choice(np.flatnonzero(env.get_avail_agent_actions(i)))) for i in range(env.n_agents)]


def finish(env, seed=0):
    """Random play to the end; (return, last info)."""
    rng, total = np.random.default_rng(seed), 0.0
    while True:
        reward, terminated, info = env.step(legal(env, rng))
        total += reward
        if terminated:
            return total, info


def stop(env):
    return [1 if a[1] else 0 for a in env.get_avail_actions()]


def test_table_covers_every_map():
    assert set(SIZES) == set(map_names())


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    n, m, limit, obs, state, actions, ally, enemy = SIZES[name]
    env = StarCraft2Env(name)
    info = env.get_env_info()
    assert (info["n_agents"], info["n_actions"], info["episode_limit"]) == (n, actions, limit)
    assert (info["obs_shape"], info["state_shape"]) == (obs, state)
    assert (env.n_agents, env.n_enemies, env.get_total_actions()) == (n, m, actions)
    assert (env.get_obs_size(), env.get_state_size()) == (obs, state)
    assert (env.get_ally_num_attributes(), env.get_enemy_num_attributes()) == (ally, enemy)
    assert (len(info["agent_features"]), len(info["enemy_features"])) == (ally, enemy)
    observations, joint_state = env.reset()
    assert [o.shape for o in observations] == [(obs,)] * n and joint_state.shape == (state,)


def test_blocks_of_the_observation():
    env = StarCraft2Env("2s3z")
    assert env.get_obs_move_feats_size() == 4
    assert env.get_obs_enemy_feats_size() == (5, 8)  # action, distance, x, y, health, shield, two types
    assert env.get_obs_ally_feats_size() == (4, 8)
    assert env.get_obs_own_feats_size() == 4
    assert env.get_env_info()["agent_features"] == [
        *("health", "energy/cooldown", "rel_x", "rel_y", "shield", "type_0", "type_1")
    ]
    assert env.get_env_info()["enemy_features"] == ["health", "rel_x", "rel_y", "shield", "type_0", "type_1"]


@pytest.mark.parametrize(
    ("options", "declared", "length", "state"),
    [
        ({"obs_last_action": True}, 124, 124, 120),  # 4 team mates, 11 actions
        ({"obs_all_health": False}, 62, 62, 120),  # own health and shield stay
        ({"obs_all_health": False, "obs_own_health": False}, 60, 60, 120),
        ({"obs_own_health": False}, 80, 80, 120),  # switched on again by obs_all_health
        ({"obs_pathing_grid": True, "obs_terrain_height": True}, 97, 97, 120),
        ({"obs_timestep_number": True}, 81, 82, 120),  # SMAC's vectors are one longer than it says
        ({"state_last_action": False, "state_timestep_number": True}, 80, 80, 66),
        ({"obs_instead_of_state": True}, 80, 80, 400),
    ],
)
def test_sizes_under_options(options, declared, length, state):
    env = StarCraft2Env("2s3z", **options)
    assert (env.get_obs_size(), env.get_state_size()) == (declared, state)
    observations, joint_state = env.reset()
    assert observations[0].shape == (length,) and joint_state.shape == (state,)
    if "obs_instead_of_state" in options:
        assert joint_state.tolist() == np.concatenate(observations).tolist()


def test_time_step_is_appended_in_double_precision():
    env = StarCraft2Env("3m", obs_timestep_number=True, state_timestep_number=True)
    env.reset()
    env.step(stop(env))
    vector = env.get_obs_agent(0)
    assert vector.dtype == np.float64
    assert vector[-1] == 1 / 60 and vector[-2] == 0.0
    assert (vector[:-1] == vector[:-1].astype(np.float32)).all()
    assert env.get_state_dict()["timestep"] == 1 / 60


def test_types_are_those_of_smac():
    env = StarCraft2Env("3m", seed=1)
    observations, state = env.reset()
    before = [*(o.copy() for o in observations), state.copy()]
    assert isinstance(observations, list) and observations[0].dtype == state.dtype == np.float32
    reward, terminated, info = env.step(np.array(stop(env)))
    assert type(reward) is float and type(terminated) is bool
    assert info == {"battle_won": False, "dead_allies": 0, "dead_enemies": 0}
    available = env.get_avail_actions()
    assert type(available) is list and type(available[0]) is list and {type(a) for a in available[0]} == {int}
    for _ in range(5):
        env.step([4, 5, 4])  # apart, so that everybody sees it
    for old, kept, new in zip([*observations, state], before, [*env.get_obs(), env.get_state()], strict=True):
        assert (old == kept).all() and (old != new).any()  # copies, not views


# The worked example


@pytest.fixture
def worked():
    env = StarCraft2Env("3m", seed=0)
    env.reset()
    put(env.simulator, WORKED)
    return env


def test_worked_example_availability_and_observation(worked):
    assert worked.get_avail_actions() == [[0, 1, 1, 1, 1, 1, 0, 1, 0]] * 3
    expected = [
        *(1, 1, 1, 1),
        *(0, 0.87224, 0.861111, 0.138889, 1, 1, 0.650854, 0.5, 0.416667, 0.444444, 0, 0, 0, 0, 0),
        *(1, 0.263523, -0.083333, 0.25, 1, 1, 0.083333, 0, 0.083333, 0.8, 1),
    ]
    np.testing.assert_allclose(worked.get_obs_agent(1), expected, atol=1e-6)  # six printed digits


def test_worked_example_state(worked):
    rows = worked.get_state_dict()
    # x and y relative to the centre (16, 16) in units of the map's 32; every number is exact in double precision
    assert rows["allies"].tolist() == [
        [1.0, 0.0, -7.25 / 32, 0.5 / 32],
        [1.0, 0.0, -6.5 / 32, -1.75 / 32],
        [36 / 45, 6 / 15, -6.5 / 32, -1.0 / 32],
    ]
    assert rows["enemies"].tolist() == [
        [1.0, 1.25 / 32, -0.5 / 32],
        [20 / 45, -2 / 32, 2 / 32],
        [1.0, 2.5 / 32, -1 / 32],
    ]
    assert rows["allies"].dtype == np.float64 and rows["last_action"].shape == (3, 9)
    flat = np.concatenate([rows["allies"].ravel(), rows["enemies"].ravel(), np.zeros(27)]).astype(np.float32)
    assert worked.get_state().tolist() == flat.tolist()


def test_worked_example_visibility(worked):
    # Everybody sees everybody but agents 0 and 1, who do not see the enemy at (18.5, 15): 9.86 and 9.03 away; agent 2
    # is at exactly 9, which is too far.
    assert worked.get_visibility_matrix().astype(int).tolist() == [
        [0, 1, 1, 1, 1, 0],
        [1, 0, 1, 1, 1, 0],
        [1, 1, 0, 1, 1, 0],
    ]
    put(worked.simulator, {1: {"health": 0.0}, 4: {"health": 0.0}})
    assert worked.get_visibility_matrix().astype(int).tolist() == [
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
    ]


def test_unit_records(worked):
    agent, enemy = worked.agents[2], worked.enemies[1]
    assert (agent.health, agent.health_max, agent.weapon_cooldown, agent.pos.x, agent.pos.y) == (36, 45, 6, 9.5, 15)
    assert (enemy.health, enemy.pos.x, enemy.shield, enemy.shield_max, enemy.owner, agent.owner) == (20, 14, 0, 0, 2, 1)
    assert worked.get_unit_by_id(2) is agent
    assert (worked.unit_sight_range(2), worked.unit_shoot_range(2)) == (9, 6)
    assert agent.unit_type == worked.marine_id != enemy.unit_type == 48
    assert len({u.tag for side in (worked.agents, worked.enemies) for u in side.values()}) == 6
    worked.step([1, 1, 1])
    assert worked.agents[2].weapon_cooldown < 6.0 == agent.weapon_cooldown  # a record is of one moment


def test_unit_types_by_map():
    env = StarCraft2Env("MMM")
    with pytest.warns(UserWarning, match="reset"):
        assert env.get_unit_types() is None
    assert env.agents == env.enemies == {}
    env.reset()
    first = env.marauder_id
    assert (env.marine_id, env.medivac_id, env.stalker_id) == (first + 1, first + 2, 0)
    assert env.get_unit_types()[:10] == [first] * 2 + [first + 1] * 7 + [first + 2]
    assert sorted(env.get_unit_types()[10:]) == [48] * 7 + [51] * 2 + [54]
    assert (env.agents[9].energy, env.agents[9].energy_max, env.agents[0].energy) == (50, 200, 0)


# Illegal actions


def test_unavailable_action_is_refused_before_time_passes():
    env = StarCraft2Env("3m", seed=0)
    env.reset()
    before = env.simulator.units.copy()
    with pytest.raises(AssertionError, match=r"agent 1 .* available \[1, 2, 3, 4, 5\], got 6"):
        env.step([1, 6, 1])  # out of range
    assert (env.simulator.units == before).all() and env.simulator.t[0] == 0
    assert env.last_action.argmax(1).tolist() == [1, 6, 1]
    assert env.get_state()[21:].tolist() == env.last_action.astype(np.float32).ravel().tolist()
    assert env.step([1, 1, 1])[1] is False
    for dead_or_alive in ([0, 1, 1], [1, 1, 0]):
        with pytest.raises(AssertionError):
            env.step(dead_or_alive)  # the living may not do nothing


def test_dead_agent_may_only_do_nothing():
    env = StarCraft2Env("3m", seed=0)
    env.reset()
    put(env.simulator, {0: {"health": 0.0}})
    assert env.get_avail_agent_actions(0) == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(AssertionError):
        env.step([1, 1, 1])
    env.step([0, 1, 1])
    assert not env.get_obs_agent(0).any()


@pytest.mark.parametrize("bad", [9, 1000, -10])
def test_action_outside_the_range(bad):
    env = StarCraft2Env("3m", seed=0)
    env.reset()
    with pytest.raises(IndexError, match=r"\[0, 9\)"):
        env.step([1, bad, 1])
    assert not env.last_action.any()


def test_wrong_number_of_actions_and_calls_before_reset():
    env = StarCraft2Env("3m")
    for call in (env.get_obs, env.get_state, env.get_avail_actions, env.get_state_dict, env.get_visibility_matrix):
        with pytest.raises(RuntimeError, match="reset"):
            call()
    with pytest.raises(RuntimeError, match="reset"):
        env.step([1, 1, 1])
    env.reset()
    with pytest.raises(ValueError, match="must be 3"):
        env.step([1, 1])


# Names and options


def test_unknown_map_is_a_key_error_and_says_what_was_meant():
    with pytest.raises(KeyError) as caught:
        StarCraft2Env(map_name="2s3zz")
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).endswith("did you mean '2s3z'?")


def test_unknown_option_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'obs_last_action'"):
        StarCraft2Env("3m", obs_last_actions=True)
    with pytest.raises(ValueError, match="did you mean 'replay_dir'"):
        StarCraft2Env("3m", replaydir="here")
    with pytest.raises(ValueError, match="difficulty"):
        StarCraft2Env("3m", difficulty="11")


def test_every_smac_option_is_accepted():
    """SMAC's keywords with its defaults."""
    env = StarCraft2Env(
        map_name="3m",
        step_mul=8,
        move_amount=2,
        difficulty="7",
        game_version=None,
        seed=None,
        continuing_episode=False,
        obs_all_health=True,
        obs_own_health=True,
        obs_last_action=False,
        obs_pathing_grid=False,
        obs_terrain_height=False,
        obs_instead_of_state=False,
        obs_timestep_number=False,
        state_last_action=True,
        state_timestep_number=False,
        reward_sparse=False,
        reward_only_positive=True,
        reward_death_value=10,
        reward_win=200,
        reward_defeat=0,
        reward_negative_scale=0.5,
        reward_scale=True,
        reward_scale_rate=20,
        replay_dir="",
        replay_prefix="",
        window_size_x=1920,
        window_size_y=1200,
        heuristic_ai=False,
        heuristic_rest=False,
        debug=False,
    )
    assert env.get_env_info()["obs_shape"] == StarCraft2Env("3m").get_env_info()["obs_shape"]
    assert env.reward_scale_rate == 20 and env.map_name == "3m" and env.seed() is None
    assert StarCraft2Env().map_name == "8m"


def test_map_of_your_own():
    spec = replace(load_map("3m"), name="short", episode_limit=2)
    env = StarCraft2Env(spec)
    env.reset()
    assert env.map_name == "short" and [env.step([1, 1, 1])[1] for _ in range(2)] == [False, True]


def test_importing_the_package_does_not_load_the_simulator():
    code = "import sys, skirmish; assert 'numba' not in sys.modules; from skirmish import StarCraft2Env"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="StarCraft3Env"):
        importlib.import_module("skirmish").StarCraft3Env  # noqa: B018


# Episodes


def test_seeds_and_resets():
    def battle(seed, episodes=2):
        env, out = StarCraft2Env("3m", seed=seed), []
        for _ in range(episodes):
            env.reset()
            out.append((finish(env, seed=7)[0], env.get_state().tobytes()))  # returns alone may coincide
        return out

    assert battle(3) == battle(3)
    assert len({tuple(battle(seed)) for seed in (3, 4, 5)}) == 3
    env = StarCraft2Env("3m", seed=3)
    assert env.seed() == 3
    # As long as no episode has ended a reset launches the game anew: the same battle again.
    env.reset()
    env.step(stop(env))
    env.reset()
    assert finish(env, seed=7)[0] == battle(3)[0][0]
    env.reset()
    assert finish(env, seed=7)[0] == battle(3)[1][0]
    env.reset(seed=4)
    assert finish(env, seed=7)[0] == battle(4)[0][0]


def test_without_a_seed_every_launch_is_another_battle():
    """Cooldown jitter is drawn anew: eight launches do not all end with the same health."""
    ends = set()
    for _ in range(8):
        env = StarCraft2Env("3m", heuristic_ai=True)
        env.reset()
        while not env.step([1] * 3)[1]:
            pass
        ends.add((env.simulator.units[0, X].tobytes(), env.simulator.units[0, HEALTH].tobytes()))
    assert len(ends) > 1


def test_counters_and_steps_after_the_end():
    env = StarCraft2Env("3m", seed=0, heuristic_ai=True)
    with pytest.raises(ZeroDivisionError):
        env.get_stats()
    games = won = 0
    for _ in range(12):
        env.reset()
        terminated, total = False, 0.0
        while not terminated:
            reward, terminated, info = env.step([1] * 3)
            total += reward
        games += 1
        won += info["battle_won"]
        dead = [sum(u.health == 0 for u in side.values()) for side in (env.agents, env.enemies)]
        assert [info["dead_allies"], info["dead_enemies"]] == dead
        assert [env.death_tracker_ally.sum(), env.death_tracker_enemy.sum()] == dead
        if info["battle_won"]:
            assert info["dead_enemies"] == 3
            assert abs(total - 20.0) < 1e-12  # sums in double precision: float32 rewards would be off by 1e-7
        assert "episode_limit" not in info
    assert 0 < won < games
    expected = {"battles_won": won, "battles_game": games, "battles_draw": 0, "timeouts": 0, "restarts": 0}
    assert env.get_stats() == expected | {"win_rate": won / games}

    while not info["battle_won"]:
        env.reset()
        games, terminated = games + 1, False
        while not terminated:
            _, terminated, info = env.step([1] * 3)
    won = env.battles_won
    state = env.simulator.units.copy()
    reward, terminated, info = env.step([1] * 3)
    assert (reward, terminated, info["battle_won"], info["dead_enemies"]) == (0.0, True, False, 3)
    assert (env.simulator.units == state).all()
    assert (env.battles_won, env.battles_game) == (won, games + 1)  # a win is not counted twice, the battle is
    env.reset()
    assert not env.death_tracker_enemy.any() and not env.last_action.any()


@pytest.mark.parametrize("continuing", [False, True])
def test_time_limit(continuing):
    """The spine crawler cannot reach agents that stay away."""
    env = StarCraft2Env("2s_vs_1sc", seed=0, continuing_episode=continuing)
    env.reset()
    for t in range(1, 301):
        reward, terminated, info = env.step(stop(env))
        assert (terminated, reward) == (t == 300, 0.0)
        assert ("episode_limit" in info) == (continuing and t == 300)
    assert env.get_stats()["timeouts"] == env.get_stats()["battles_draw"] == env.battles_game == 1
    assert env.get_stats()["win_rate"] == 0.0


def test_sparse_reward_counts_no_deaths():
    env = StarCraft2Env("3m", seed=0, reward_sparse=True, reward_scale=False)
    env.reset()
    total, info = finish(env)
    assert total == (1.0 if info["battle_won"] else -1.0)
    assert info["dead_allies"] + info["dead_enemies"] >= 3
    assert not env.death_tracker_ally.any() and not env.death_tracker_enemy.any()


def test_max_reward_counts_the_enemies_once():
    env = StarCraft2Env("3m", seed=0)
    for _ in range(3):
        env.reset()
        assert env.max_reward == 365.0


@pytest.mark.parametrize("name", ["3m", "MMM2", "2s3z", "bane_vs_bane"])
def test_state_dict_is_the_state_before_rounding(name):
    env, rng = StarCraft2Env(name, seed=5, state_timestep_number=True), np.random.default_rng(1)
    env.reset()
    for _ in range(25):
        if env.step(legal(env, rng))[1]:
            break
        rows = env.get_state_dict()
        flat = [rows["allies"].ravel(), rows["enemies"].ravel(), rows["last_action"].ravel(), [rows["timestep"]]]
        assert env.get_state().tolist() == np.concatenate(flat).astype(np.float32).tolist()
    assert env.get_state_dict()["allies"].shape == (env.n_agents, env.get_ally_num_attributes())


def test_one_slot_of_the_vector_interface():
    """The face adds nothing to the battle: same seed, same policy, same numbers."""
    face, vector = StarCraft2Env("2s3z", seed=9), SkirmishEnv("2s3z", seed=9)
    observations, state = face.reset()
    vector.reset()
    rng = np.random.default_rng(0)
    while not vector.finished[0]:
        assert (np.stack(observations) == vector.obs[0]).all() and (state == vector.state[0]).all()
        actions = random_actions(vector.available_actions, rng)
        vector.step(actions)
        reward, terminated, info = face.step(actions[0].tolist())
        assert np.float32(reward) == vector.reward[0] and terminated == vector.finished[0]
        assert info["battle_won"] == vector.won[0]
        observations, state = face.get_obs(), face.get_state()


# The built-in script


@pytest.mark.parametrize(("rest", "policy"), [(False, "heuristic"), (True, "heuristic_rest")])
def test_heuristic_plays_and_reports_its_choices(rest, policy):
    env = StarCraft2Env("3m", seed=2, heuristic_ai=True, heuristic_rest=rest)
    vector = SkirmishEnv("3m", seed=2)
    script = make_policy(policy, vector)
    env.reset()
    vector.reset()
    terminated = False
    while not terminated:
        actions = [1, 2, 8]  # read for last_action only, whether available or not
        chosen = script.act()[0].tolist()
        vector.step_scripted(script.act())
        reward, terminated, _ = env.step(actions)
        assert actions == chosen
        assert env.last_action.argmax(1).tolist() == [1, 2, 8]
        assert env.get_state()[21:].reshape(3, 9).argmax(1).tolist() == [1, 2, 8]
        assert np.float32(reward) == vector.reward[0]
        assert (env.simulator.units == vector.units).all()
    with pytest.raises(TypeError):
        env.step((1, 1, 1))  # nothing to overwrite


# Pictures


def stub_pictures(monkeypatch):
    """Pictures of one pixel: step and total health; films are lists of them. Returns what was filmed, by path."""
    filmed = {}

    class Painter:
        def __init__(self, env):
            self.env = env

        def look(self):
            pass

        def frame(self):
            return np.array([[[self.env.t[0], self.env.units[0, HEALTH].sum(), 0.0]]])

    class Films:
        def __init__(self, paths, fps):
            (self.path,) = map(str, paths)

        def __enter__(self):
            filmed[self.path] = []
            return self

        def __exit__(self, *error):
            pass

        def add(self, frame, seconds=None):
            filmed[self.path].append(frame)

    for name, thing in {"render": Painter, "film": Films}.items():
        module = types.ModuleType(f"skirmish.pictures.{name}")
        setattr(module, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return filmed


def test_render_modes(monkeypatch):
    stub_pictures(monkeypatch)
    env = StarCraft2Env("3m")
    env.reset()
    with pytest.raises(RuntimeError, match="rgb_array"):
        env.render()
    assert env.render(mode="rgb_array").tolist() == [[[0.0, 270.0, 0.0]]]
    with pytest.raises(AssertionError, match="rgb_array"):
        env.render("human")
    with pytest.raises(ValueError, match="rgb_array"):
        env.render("rgb_arrays")


@pytest.mark.parametrize("scripted", [False, True])
def test_replay_shows_the_episode_that_was_played(monkeypatch, scripted):
    filmed = stub_pictures(monkeypatch)
    env = StarCraft2Env("3m", seed=4, replay_dir="films", replay_prefix="mine", heuristic_ai=scripted)
    rng = np.random.default_rng(0)
    for episode in range(2):
        env.reset()
        played, terminated = [env.render("rgb_array")], False
        while not terminated:
            _, terminated, _ = env.step([1] * 3 if scripted else legal(env, rng))
            played.append(env.render("rgb_array"))
        after = env.simulator.snapshot()
        path = env.save_replay()
        assert path == f"films/mine_{episode}.gif"
        assert all((array == after[key]).all() for key, array in env.simulator.snapshot().items())
        frames = filmed[path]  # the beginning, every second of 8 loops per step, and the end held
        assert len(frames) == 1 + 4 * (len(played) - 1) + 1
        assert (frames[0] == played[0]).all() and (frames[-1] == played[-1]).all()
        # The last frame of each step is drawn before the step is counted, so only the health can be compared.
        assert [f[0, 0, 1] for f in frames[4:-1:4]] == [f[0, 0, 1] for f in played[1:]]
    env.close()
    env.close()


# Third-party code


class EpisodeRunner:
    """The loop of value-based SMAC code bases: only SMAC's names, nothing of this project."""

    def __init__(self, env_class, **env_args):
        self.env = env_class(**env_args)
        self.episode_limit = self.env.episode_limit
        self.t_env = 0

    def run(self, select_actions):
        batch = {"state": [], "avail_actions": [], "obs": [], "actions": [], "reward": [], "terminated": []}
        self.env.reset()
        terminated, episode_return, t = False, 0.0, 0
        while not terminated:
            batch["state"].append(self.env.get_state())
            batch["avail_actions"].append(self.env.get_avail_actions())
            batch["obs"].append(self.env.get_obs())
            actions = select_actions(np.array(batch["avail_actions"][-1]))
            reward, terminated, env_info = self.env.step(actions)
            episode_return += reward
            batch["actions"].append(actions)
            batch["reward"].append((reward,))
            # an episode cut by the limit is no terminal state for the learner
            batch["terminated"].append((terminated != env_info.get("episode_limit", False),))
            t += 1
        batch["state"].append(self.env.get_state())
        batch["avail_actions"].append(self.env.get_avail_actions())
        batch["obs"].append(self.env.get_obs())
        self.t_env += t
        return {key: np.array(value) for key, value in batch.items()}, episode_return, env_info


def test_episode_runner_of_a_foreign_code_base():
    runner = EpisodeRunner(StarCraft2Env, map_name="3m", seed=11, continuing_episode=True, replay_dir="", debug=False)
    info = runner.env.get_env_info()
    rng, wins = np.random.default_rng(0), 0

    def select(available):
        return np.array([rng.choice(np.flatnonzero(a)) for a in available])

    for _ in range(5):
        batch, episode_return, env_info = runner.run(select)
        steps = len(batch["reward"])
        assert batch["state"].shape == (steps + 1, info["state_shape"])
        assert batch["obs"].shape == (steps + 1, info["n_agents"], info["obs_shape"])
        assert batch["avail_actions"].shape == (steps + 1, info["n_agents"], info["n_actions"])
        assert batch["actions"].shape == (steps, info["n_agents"])
        assert np.isfinite(batch["obs"]).all() and np.isfinite(batch["state"]).all()
        assert (batch["avail_actions"].sum(2) > 0).all()
        assert episode_return == batch["reward"].sum()
        assert batch["terminated"].sum() == (0 if env_info.get("episode_limit") else 1)
        wins += env_info["battle_won"]
    stats = runner.env.get_stats()
    assert (stats["battles_game"], stats["battles_won"]) == (5, wins)
    runner.env.close()
