"""SMACv2's wrapper: sizes, names, what is drawn, ranges and cones by hand, and configurations that are refused."""

import copy
import pickle

import numpy as np
import pytest

from skirmish import StarCraft2Env, StarCraftCapabilityEnvWrapper
from skirmish.faces.smacv2 import DrawnStarCraft2Env
from tests.skirmish.scenes import put

PUBLISHED = {"conic_fov": False, "obs_own_pos": True, "use_unit_ranges": True, "min_attack_range": 2}
TEAMS = {
    "terran": (["marine", "marauder", "medivac"], [0.45, 0.45, 0.1], ["medivac"]),
    "protoss": (["stalker", "zealot", "colossus"], [0.45, 0.45, 0.1], []),
    "zerg": (["zergling", "baneling", "hydralisk"], [0.45, 0.1, 0.45], ["baneling"]),
}


def config(race="terran", n=5, m=5, **changes):
    types, weights, exceptions = TEAMS[race]
    whole = {
        "n_units": n,
        "n_enemies": m,
        "team_gen": {
            "dist_type": "weighted_teams",
            "unit_types": types,
            "weights": weights,
            "exception_unit_types": exceptions,
            "observe": True,
        },
        "start_positions": {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32},
    }
    for key, change in changes.items():
        whole[key] = whole.get(key, {}) | change if isinstance(change, dict) else change
    return {key: value for key, value in whole.items() if value is not None}


def make(race="terran", n=5, m=5, seed=0, changes=None, **options):
    return StarCraftCapabilityEnvWrapper(
        capability_config=config(race, n, m, **(changes or {})),
        map_name=f"10gen_{race}",
        seed=seed,
        **{**PUBLISHED, **options},
    )


def legal(env, rng):
    return [int(rng.choice(np.flatnonzero(a))) for a in env.get_avail_actions()]


def types(env):
    return [env.env.simulator.spec.kinds[row].name for row in env.env.simulator.kinds[0]]


@pytest.mark.parametrize(
    ("race", "n", "m", "obs", "state", "actions"),
    [("terran", 5, 5, 82, 120, 11), ("zerg", 5, 5, 82, 120, 11), ("protoss", 5, 5, 92, 130, 11)],
)
def test_published_sizes_and_an_episode(race, n, m, obs, state, actions):
    env = make(race, n, m)
    info = env.get_env_info()
    assert (info["obs_shape"], info["state_shape"], info["n_actions"], info["cap_shape"]) == (obs, state, actions, 3)
    assert (env.n_agents, env.episode_limit, env.get_cap_size()) == (n, 200, 3)
    assert (len(env.get_obs_feature_names()), len(env.get_state_feature_names())) == (obs, state)
    observations, whole = env.reset()
    assert np.shape(observations) == (n, obs) and whole.shape == (state,)
    rng, terminated = np.random.default_rng(0), False
    while not terminated:
        reward, terminated, _ = env.step(legal(env, rng))
        assert reward >= 0
    assert env.get_stats()["battles_game"] == env.battles_game == 1


def test_sizes_with_more_agents_than_enemies():
    assert make("terran", 5, 4).get_total_actions() == 6 + 5  # medivacs aim at agents
    assert make("zerg", 5, 4).get_total_actions() == 6 + 4


def test_every_episode_has_teams_of_its_own_and_seeds_fix_them():
    env, same, other = make(seed=1), make(seed=1), make(seed=2)
    seen = []
    for episode in range(4):
        for each in (env, same, other):
            each.reset()
            while episode < 3 and not each.step(legal(each, np.random.default_rng(0)))[1]:
                pass
        seen.append((types(env), env.get_state().tolist()))
        assert types(same) == types(env) and same.get_state().tolist() == env.get_state().tolist()
        assert other.get_state().tolist() != env.get_state().tolist()
    assert len({str(names) for names, _ in seen}) > 1
    assert make(seed=None).reset()[1].tolist() != make(seed=None).reset()[1].tolist()


def test_capabilities_and_type_ids():
    env = make("protoss", seed=3)
    env.reset()
    order = ["stalker", "zealot", "colossus"]
    capabilities = env.get_capabilities()
    assert capabilities.shape == (15,) and capabilities.dtype == np.float32
    assert [order[k] for k in capabilities.reshape(5, 3).argmax(1)] == types(env)[:5]
    for i, name in enumerate(types(env)[:5]):
        assert env.get_capabilities_agent(i).tolist() == np.eye(3)[order.index(name)].tolist()
        assert env.agents[i].unit_type == getattr(env, f"{name}_id") == env._min_unit_type + _rank(name)
        assert env.get_unit_type_id(env.agents[i], True) == order.index(name)
        assert env.unit_shoot_range(i) == {"stalker": 6, "zealot": 2, "colossus": 7}[name]  # at least 2
        assert env.unit_sight_range(i) == {"stalker": 10, "zealot": 9, "colossus": 10}[name]
    assert [env.get_unit_type_id(u, False) for u in env.enemies.values()] == [order.index(k) for k in types(env)[5:]]
    with pytest.raises(ValueError, match="ask for its own units"):
        env.get_unit_type_id(env.agents[0].__class__(**{**_fields(env.agents[0]), "unit_type": 48}), True)


def _rank(name):
    return sorted(["baneling", "colossus", "hydralisk", "marauder", "marine", "medivac", "stalker", "zealot"]).index(
        name
    )


def _fields(unit):
    return {name: getattr(unit, name) for name in type(unit).__dataclass_fields__}


def test_weights_decide_the_teams():
    env = make(changes={"team_gen": {"unit_types": ["marauder", "medivac"], "weights": [1.0, 0.0]}})
    env.reset()
    assert types(env) == ["marauder"] * 10
    assert env.get_capabilities().reshape(5, 3).tolist() == [[0, 1, 0]] * 5  # the map's order, not the configuration's


@pytest.mark.parametrize(("kind", "surrounded"), [("surrounded", True), ("reflect_position", False)])
def test_start_positions(kind, surrounded):
    env = make("protoss", changes={"start_positions": {"dist_type": kind}}, seed=4)
    for _ in range(3):
        env.reset()
        env.env._episode_count = 1  # the next reset goes on to another battle
        middle = all(abs(u.pos.x - 16) < 4 and abs(u.pos.y - 16) < 4 for u in env.agents.values())
        west = all(u.pos.x < 17 for u in env.agents.values()) and all(u.pos.x > 15 for u in env.enemies.values())
        assert (middle, west) == (surrounded, not surrounded)


def test_drawn_abilities():
    abilities = {"dist_type": "per_agent_uniform", "observe": True}
    changes = {
        "attack": {**abilities, "lower_bound": [0.7], "upper_bound": [0.8]},
        "health": {**abilities, "lower_bound": [0.2], "upper_bound": [0.3], "observe": False},
        "enemy_mask": {"dist_type": "mask", "mask_probability": 0.5},
    }
    env = make(changes=changes)
    env.reset()
    chance, level, mask = env.agent_attack_probabilities, env.agent_health_levels, env.enemy_mask
    assert chance.shape == level.shape == (5, 1) and ((chance > 0.7) & (chance < 0.8)).all()
    assert ((level > 0.2) & (level < 0.3)).all() and mask.shape == (5, 5) and 0 < mask.sum() < 25
    rows = env.get_capabilities().reshape(5, 5)
    assert (rows[:, :1] == chance.astype(np.float32)).all() and (rows[:, 1:2] == level.astype(np.float32)).all()
    assert (env.observe_attack_probs, env.observe_teammate_health, env.zero_pad_health) == (True, False, True)
    assert env.get_env_info()["agent_features"][4:6] == ["attack_probability", "total_health"]
    assert [len(env.get_obs_feature_names()), len(env.get_state_feature_names())] == [
        *(env.get_obs_size(), env.get_state_size()),
    ]
    plain = make()
    assert plain.agent_attack_probabilities is plain.agent_health_levels is plain.enemy_mask is None


def test_feature_names_of_an_observation():
    env = make("protoss", 2, 1, obs_timestep_number=True, obs_last_action=True)
    enemy = ["shootable_0", "distance_0", "relative_x_0", "relative_y_0", "health_0", "shield_0"]
    ally = ["visible_1", "distance_1", "relative_x_1", "relative_y_1", "health_1", "shield_1"]
    assert env.get_obs_feature_names() == [
        *(f"move_action_{side}" for side in ("north", "south", "east", "west")),
        *(f"enemy_{name}" for name in enemy),
        *(f"enemy_unit_type_0_bit_{bit}" for bit in range(3)),
        *(f"ally_{name}" for name in ally),
        *(f"ally_unit_type_1_bit_{bit}" for bit in range(3)),
        *(f"ally_last_action_1_action_{a}" for a in range(7)),
        *("own_health", "own_shield", "own_pos_x", "own_pos_y"),
        *(f"own_unit_type_bit_{bit}" for bit in range(3)),
        "timestep",
    ]
    assert len(env.reset()[0][0]) == env.get_obs_size() == len(env.get_obs_feature_names())
    assert env.env.state_feature_names[:5] == [
        *("ally_health_0", "ally_cooldown_0", "ally_relative_x_0", "ally_relative_y_0", "ally_shield_0"),
    ]
    rows = make(obs_instead_of_state=True)
    with pytest.raises(NotImplementedError, match="get_obs_feature_names"):
        rows.get_state_feature_names()


ONLY_MARINES = {"team_gen": {"unit_types": ["marine"], "weights": [1.0]}}


def test_targets_out_of_range_without_a_mask():
    env = make("terran", 2, 2, changes=ONLY_MARINES, action_mask=False)
    env.reset()
    put(env.env.simulator, {0: {"at": (4.0, 16.0)}, 2: {"at": (8.0, 16.0)}, 3: {"at": (28.0, 16.0)}})
    env.env.update_units()
    assert env.get_avail_agent_actions(0)[6:] == [1, 1] and env.get_true_avail_agent_actions(0)[6:] == [1, 0]
    assert [env.get_can_shoot(0, enemy) for enemy in env.enemies.values()] == [True, False]
    assert env.get_agent_action(0, 6).action_raw.unit_command.target_unit_tag == 3
    assert env.get_agent_action(0, 7) is None  # available, but nothing is sent


def test_cone():
    env = make("terran", 2, 2, changes=ONLY_MARINES, conic_fov=True, num_fov_actions=4)
    env.reset()
    assert (env.n_actions_no_attack, env.n_fov_actions, env.get_total_actions()) == (10, 4, 12)
    assert env.conic_fov_angle == np.pi / 2
    np.testing.assert_allclose(env.canonical_fov_directions, [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-15)
    put(env.env.simulator, {0: {"at": (16.0, 16.0)}, 2: {"at": (19.0, 17.0)}, 3: {"at": (16.5, 19.0)}})
    env.env.update_units()
    east, north = env.enemies.values()
    assert [env.is_position_in_cone(0, u.pos) for u in (east, north)] == [True, False]
    assert env.get_avail_agent_actions(0)[6:] == [1, 1, 1, 1, 1, 0] == env.get_true_avail_agent_actions(0)[6:]
    assert env.get_agent_action(0, 7) is None  # turning north is no command
    env.step([7, 1])
    assert env.fov_directions.round(12).tolist() == [[0, 1], [1, 0]]
    assert env.is_position_in_cone(0, north.pos) and not env.is_position_in_cone(0, east.pos)
    with pytest.raises(ValueError, match="sight_range, shoot_range, got 'far'"):
        env.is_position_in_cone(0, north.pos, range="far")


def test_agents_see_each_other_by_the_sight_of_the_first():
    """A marauder sees 10 far, a marine 9; marauders come first."""
    env = make("terran", 2, 2, changes={"team_gen": {"weights": [0.5, 0.5, 0.0]}})
    while types(env)[:2] != ["marauder", "marine"] or not env.agents:
        env.env._episode_count = 1
        env.reset()
    put(env.env.simulator, {0: {"at": (10.0, 16.0)}, 1: {"at": (19.5, 16.0)}})
    assert env.get_visibility_matrix()[:, :2].tolist() == [[False, True], [True, False]]


def test_medivacs_are_no_fighters():
    env = make("terran", 3, 3)
    while [name == "medivac" for name in types(env)[3:]].count(True) != 2 or not env.agents:
        env.env._episode_count = 1
        env.reset()
    last = next(u for u in range(3, 6) if types(env)[u] != "medivac")
    assert not env.only_medivac_left(ally=False)
    put(env.env.simulator, {last: {"health": 0.0}})
    assert env.update_units() == 1 and env.only_medivac_left(ally=False)  # SMAC: only if exactly one is left


def test_memory_of_the_enemies_found():
    env = make("terran", 2, 2, changes=ONLY_MARINES, prob_obs_enemy=0.0)
    env.reset()
    put(
        env.env.simulator,
        {0: {"at": (4.0, 16.0)}, 1: {"at": (4.0, 2.0)}, 2: {"at": (8.0, 16.0)}, 3: {"at": (28.0, 16.0)}},
    )
    assert env.enemy_tags == [0, None] and env.obs_enemies.tolist() == [[1, 0], [0, 0]]


def test_reward_is_cut_off_at_zero():
    env = make("terran", 2, 2, changes=ONLY_MARINES)
    env.reset()
    put(env.env.simulator, {2: {"health": 20.0}})
    env.env.update_units()
    put(env.env.simulator, {2: {"health": 45.0}})
    env.env.update_units()
    assert env.reward_battle() == 0  # SMAC pays 25
    assert env.max_reward == 2 * 10 + 200 + 2 * 45


def test_wrapper_hands_on_what_it_lacks():
    env = make()
    assert env.env.map_name == env.map_name == "10gen_terran" and env.seed() == 0
    env.reset()
    assert env.get_obs_agent(2).tolist() == env.env.get_obs()[2].tolist()
    with pytest.raises(AttributeError, match="no_such_name"):
        env.no_such_name  # noqa: B018
    with pytest.raises(AttributeError, match="no environment yet"):
        StarCraftCapabilityEnvWrapper.__new__(StarCraftCapabilityEnvWrapper).n_agents  # noqa: B018
    assert env.random_start and env.replace_teammates and env.map_params["limit"] == 200
    env.full_restart()
    assert env.get_env_info()["n_agents"] == 5 and env.force_restarts == 1
    env.close()
    assert pickle.loads(pickle.dumps(config())) == config() == env.distribution_config  # left as it was


def test_replay_of_drawn_teams(tmp_path):
    env = make("zerg", 3, 3, replay_dir=str(tmp_path), replay_prefix="drawn")
    env.reset()
    env.step(legal(env, np.random.default_rng(0)))
    path = env.save_replay()
    assert path == str(tmp_path / "drawn_0.gif") and (tmp_path / "drawn_0.gif").stat().st_size > 0


# Refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"team_gen": {"dist_type": "all_teams"}}, "team_gen must have a dist_type of weighted_teams, got 'all_teams'"),
        ({"team_gen": {"dist_type": "fixed"}}, "got 'fixed'"),
        ({"team_gen": {"unit_types": ["marine", "zealot", "medivac"]}}, "got 'zealot': use its race's map"),
        ({"team_gen": {"weights": [0.5, 0.5]}}, "one weight for each"),
        ({"team_gen": {"weights": [0.5, 0.5, 0.5]}}, "sum to 1"),
        ({"team_gen": {"weights": [1.5, -0.5, 0.0]}}, "sum to 1"),
        ({"team_gen": {"unit_types": ["marine"], "weights": [1], "exception_unit_types": ["marine"]}}, "leave one out"),
        ({"team_gen": {"observe": 1}}, "observe must be True or False, got 1"),
        ({"team_gen": None}, "must hold team_gen"),
        ({"start_positions": None}, "must hold start_positions"),
        ({"start_positions": {"map_x": 64}}, r"map_x, map_y = \(32, 32\), got \(64, 32\)"),
        ({"start_positions": {"p": 2}}, r"must lie in \[0, 1\], got 2"),
        ({"start_positions": {"dist_type": "corners"}}, "got 'corners'"),
        ({"n_units": 0}, "n_units, an integer of at least 1, got 0"),
        ({"n_enemies": None}, "n_enemies, an integer of at least 1, got None"),
        ({"speed": {}}, "got 'speed': take it out"),
        ({"attack": {"dist_type": "per_agent_uniform", "observe": True}}, "key 'lower_bound'"),
        (
            {
                "health": {
                    "dist_type": "per_agent_uniform",
                    "lower_bound": [0.1, 0.2],
                    "upper_bound": [1],
                    "observe": True,
                }
            },
            "one number or a sequence of one",
        ),
        ({"enemy_mask": {"dist_type": "mask"}}, "key 'mask_probability'"),
    ],
)
def test_configurations_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(changes=copy.deepcopy(changes))


def test_arguments_that_are_refused():
    with pytest.raises(ValueError, match="capability_config must be given"):
        StarCraftCapabilityEnvWrapper(map_name="10gen_terran")
    with pytest.raises(ValueError, match="must be a mapping"):
        StarCraftCapabilityEnvWrapper(map_name="10gen_terran", capability_config=5)
    with pytest.raises(KeyError, match="or use StarCraft2Env"):
        StarCraftCapabilityEnvWrapper(map_name="3m", capability_config=config())
    with pytest.raises(KeyError, match="2s3z"):
        StarCraft2Env("10gen_terran")
    with pytest.raises(ValueError, match="did you mean 'conic_fov'"):
        make(conic_fow=True)
    with pytest.raises(ValueError, match="observe_types is decided by capability_config"):
        make(observe_types=False)
    env = DrawnStarCraft2Env("10gen_terran", capability_config=config(), seed=1)
    assert len(env.reset({})) == 2
    with pytest.raises(ValueError, match="an episode_config with team_gen"):
        env.reset({"team_gen": {}})
