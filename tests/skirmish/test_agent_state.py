"""MAPPO's central input on all maps: sizes, a plain restatement, the death mask; made on request only."""

import dataclasses

import numpy as np
import pytest

import envs
from skirmish.contract import agent_state
from skirmish.contract import smac as contract
from skirmish.contract.layout import P_COOLDOWN_MAX, P_HEALTH_MAX, P_SHIELD_MAX
from skirmish.contract.options import SkirmishOptions, build_kinds, build_layout, build_profile
from skirmish.data.maps import load_map
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, NUM_FLOATS, SHIELD, X, Y
from tests.skirmish import reference_contract as reference
from tests.skirmish.scenes import put

SIZES = {"3m": 81, "8m": 251, "2m_vs_1z": 44, "2s_vs_1sc": 45, "2s3z": 173, "3s5z": 299, "3s_vs_3z": 87}
SIZES |= {"3s_vs_4z": 99, "3s_vs_5z": 111, "5m_vs_6m": 156, "10m_vs_11m": 351, "27m_vs_30m": 1458}
SIZES |= {"so_many_baneling": 595, "2c_vs_64zg": 675, "MMM": 393, "MMM2": 435, "corridor": 435}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes(name):
    layout = build_layout(load_map(name), SkirmishOptions())
    assert agent_state.agent_state_size(layout) == SIZES[name]
    assert list(agent_state.agent_state_blocks(layout)) == ["ally", "enemy", "move", "own", "agent_id"]


def restated(battle, i):
    """The vector of agent i, straight from the description."""
    unit, n = battle.allies[i], len(battle.allies)
    last_seen, time_seen = battle.options["state_last_action"], battle.options["state_timestep_number"]

    def position(other):
        return [(other.x - reference.MAP_X / 2) / reference.MAP_X, (other.y - reference.MAP_Y / 2) / reference.MAP_Y]

    def in_sight(other):
        return float(reference.dist(unit, other) < reference.SIGHT)

    def last_action(j):
        return reference.last_action_bits(battle, j) if last_seen else []

    avail, vector = reference.availability(battle, i), []
    for j, ally in enumerate(battle.allies):
        if j == i:
            continue
        if battle.mmm and ally.type == "medivac":
            reserve = ally.energy / 200
        else:
            maximum = reference.COOLDOWN_MAX.get(ally.type, reference.OTHER_COOLDOWN_MAX)
            reserve = max(0.0, ally.cooldown) / maximum
        row = [in_sight(ally), *reference.place(unit, ally), reserve]
        row += reference.health_and_shield(battle, ally, ally=True) + position(ally)
        row += reference.type_bits(battle, ally, ally=True) + last_action(j)
        vector += row if ally.alive else [0.0] * len(row)
    for e, enemy in enumerate(battle.enemies):
        row = [float(avail[6 + e]), *reference.place(unit, enemy), in_sight(enemy)]
        row += reference.health_and_shield(battle, enemy, ally=False)
        row += reference.type_bits(battle, enemy, ally=False) + position(enemy)
        vector += row if enemy.alive else [0.0] * len(row)
    vector += [float(a) for a in avail[2:6]]
    vector += [1.0, 0.0, 0.0, 0.0, *reference.health_and_shield(battle, unit, ally=True), *position(unit)]
    vector += reference.type_bits(battle, unit, ally=True) + last_action(i)
    if not unit.alive:
        vector = [0.0] * len(vector)
    vector += reference.one_hot(i, n) + ([battle.t / battle.facts["episode_limit"]] if time_seen else [])
    return [reference.f32(v) for v in vector]


@pytest.mark.parametrize("name", reference.MAPS)
def test_equals_the_restatement(name):
    """Ten random battles, some agents dead, units in and out of sight; bit for bit."""
    rng, spec = np.random.default_rng(list(name.encode())), load_map(name)
    kinds, profile = build_kinds(spec), build_profile(spec)
    facts, rows = profile[kinds], len(kinds)
    options = [SkirmishOptions(), SkirmishOptions(state_timestep_number=True, state_last_action=False)]
    options.append(SkirmishOptions(obs_all_health=False, obs_own_health=False, obs_pathing_grid=True))
    for k in range(10):
        option = options[0] if k < 6 else options[k % 2 + 1]
        layout = build_layout(spec, option)
        units = np.zeros((1, NUM_FLOATS, rows))
        units[0, [X, Y]] = np.round(8 * (16 + rng.normal(0, rng.choice([2.0, 6.0]), (2, rows)))) / 8
        units[0, HEALTH] = facts[:, P_HEALTH_MAX] * rng.random(rows) * (rng.random(rows) < 0.7)
        units[0, SHIELD] = facts[:, P_SHIELD_MAX] * rng.random(rows)
        units[0, ENERGY], units[0, COOLDOWN] = rng.uniform(0, 200, rows), facts[:, P_COOLDOWN_MAX]
        units[0, COOLDOWN] *= rng.uniform(-0.1, 1.3, rows)
        units = units.astype(np.float32).astype(np.float64)
        last, t = rng.integers(0, layout.n_actions, (1, layout.n)), np.array([k])
        walkable = rng.random((32, 32)) < 0.7
        grids = contract.Grids(walkable, np.zeros((32, 32)))
        seen = (units, kinds[None], profile, layout)
        available = contract.available_actions(*seen, grids)
        out = np.full((1, layout.n, agent_state.agent_state_size(layout)), np.nan, np.float32)
        agent_state.fill_agent_state(*seen, available, last, t, np.ones(1, bool), out)
        allies, enemies = reference.unit_types(name)
        values = units[0][[X, Y, HEALTH, SHIELD, ENERGY, COOLDOWN]].T.tolist()
        reported = [reference.Unit(kind, *row) for kind, row in zip(allies + enemies, values, strict=True)]
        battle = reference.Battle(
            name=name,
            options=dataclasses.asdict(option),
            walkable=walkable,
            height=grids.height,
            allies=reported[: layout.n],
            enemies=reported[layout.n :],
            last_action=last[0].tolist(),
            t=k,
        )
        expected = np.array([restated(battle, i) for i in range(layout.n)], np.float32)
        np.testing.assert_array_equal(out[0], expected)


def test_death_mask_and_hand_made_numbers():
    env = envs.make("3m", num_envs=2, observation="mazero")
    env.reset(0)
    put(env, {0: {"at": (16, 8), "health": 45}, 1: {"health": 0}, 2: {"at": (28, 8), "health": 9, "cooldown": 7.5}})
    put(env, {3: {"at": (16, 12), "health": 45}, 4: {"at": (16, 24), "health": 9}, 5: {"health": 0}})
    dead = env.agent_state[0, 1]
    assert np.flatnonzero(dead).tolist() == [81 - 3 + 1] and dead[79] == 1.0
    row = env.agent_state[0, 0]
    assert not row[:17].any()  # the dead team mate
    third = [0, 12 / 9, 12 / 9, 0, 0.5, 0.2, 12 / 32, -8 / 32]  # out of sight, and yet told
    np.testing.assert_allclose(row[17:25], third, rtol=1e-6)
    np.testing.assert_allclose(row[34:42], [1, 4 / 9, 0, 4 / 9, 1, 1, 0, -4 / 32], rtol=1e-6)
    np.testing.assert_allclose(row[42:50], [0, 16 / 9, 0, 16 / 9, 0, 0.2, 0, 8 / 32], rtol=1e-6)
    assert not row[50:58].any()
    np.testing.assert_allclose(row[62:69], [1, 0, 0, 0, 1, 0, -8 / 32], rtol=1e-6)


def test_it_is_made_on_request_and_follows_every_change():
    env, twin = (envs.make("3m", num_envs=3, observation="mazero", seed=5) for _ in range(2))
    env.reset()
    twin.reset()
    assert env._agent_state is None  # nobody has asked
    rng = np.random.default_rng(0)
    for _ in range(80):
        scores = rng.random(env.available_actions.shape)
        actions = np.where(env.available_actions, scores, -1.0).argmax(-1)
        for one in (env, twin):
            one.step(actions)
            one.reset_done()
        fresh = env.agent_state.copy()
        again = np.zeros_like(fresh)
        seen = (env.units, np.ascontiguousarray(env.kinds), env.profile, env.layout)
        history = (env.available_actions, env.last_action, env.t)
        agent_state.fill_agent_state(*seen, *history, np.ones(3, bool), again)
        np.testing.assert_array_equal(fresh, again)
    assert twin._agent_state is None
    np.testing.assert_array_equal(twin.agent_state, env.agent_state)
    saved = env.snapshot()
    env.reset()
    assert not np.array_equal(env.agent_state, twin.agent_state)
    env.restore(saved)
    np.testing.assert_array_equal(env.agent_state, twin.agent_state)


def test_perturbations_leave_it_alone_and_others_have_none():
    plain, noisy = (envs.make("3m", num_envs=2, seed=3, **options) for options in ({}, {"obs_noise": 0.3}))
    for env in (plain, noisy):
        env.reset()
    assert noisy.agent_state_size == 81 and not np.array_equal(noisy.obs, plain.obs)
    np.testing.assert_array_equal(noisy.agent_state, plain.agent_state)
    for name in ("matrix_1", "terran_5_vs_5"):
        env = envs.make(name)
        env.reset()
        assert env.agent_state_size is None
        with pytest.raises(ValueError, match=f"{name} has no agent-specific state"):
            _ = env.agent_state
