"""What must hold in every battle, on every map, whatever the agents do."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import envs
from skirmish import Rules, SkirmishEnv
from skirmish.data.maps import load_map, map_names
from skirmish.physics import tables
from skirmish.physics.tables import (
    ALIVE,
    DEALT,
    ENERGY,
    HEALTH,
    OVERKILL,
    RESTORED,
    SEPARATION,
    SHIELD,
    TAKEN,
    X,
    Y,
)
from skirmish.physics.terrain import GROUND_ONLY, clearance_at

SLACK = 1e-6


def choose(style, available, rng):
    """Joint actions of one kind of play; every kind keeps to what is available."""
    score = rng.random(available.shape) * available
    if style == "fight":
        score[:, :, 6:] *= 4
    elif style == "flee":
        score[:, :, 2 + int(rng.integers(4))] *= 4
    elif style == "stand":
        score[:, :, 1] *= 10
    return score.argmax(2)


def check_ground(env):
    """Living units are inside the map; those on foot keep the clearance from the walls that stop them."""
    terrain, clearance = env.spec.terrain, env.rules.cliff_clearance
    for b in range(env.num_envs):
        for u in np.flatnonzero(env.marks[b, ALIVE]):
            x, y, size = env.units[b, [X, Y, SEPARATION], u]
            assert size - SLACK <= x <= terrain.size[0] - size + SLACK
            assert size - SLACK <= y <= terrain.size[1] - size + SLACK
            mover = env.spec.kinds[env.kinds[b, u]].mover
            if mover in ("ground", "cliff"):
                walls = env._ground.walls
                walls = walls if mover == "ground" else walls[walls[:, GROUND_ONLY] == 0]
                assert clearance_at(x, y, walls) >= clearance - 1e-3, (env.spec.name, b, u, x, y)


def check_battle(env, before):
    """Numbers are finite and in range, the dead stay dead, damage and healing add up."""
    f, s = env.units, env.marks
    for array in (env.obs, env.state, env.reward, f):
        assert np.isfinite(array).all()
    full_health = env.profile[env.kinds][:, :, 0]
    full_shield = env.profile[env.kinds][:, :, 1]
    assert (f[:, HEALTH] >= 0).all()
    assert (f[:, HEALTH] <= full_health).all()
    assert (f[:, SHIELD] >= 0).all()
    assert (f[:, SHIELD] <= full_shield).all()
    assert (f[:, ENERGY] >= -SLACK).all()
    assert (f[:, ENERGY] <= 200).all()
    alive = s[:, ALIVE] > 0
    np.testing.assert_array_equal(alive, f[:, HEALTH] > 0)
    assert not (alive & ~before).any()
    left = full_health + full_shield + f[:, RESTORED] - f[:, TAKEN] + f[:, OVERKILL]
    np.testing.assert_allclose(f[:, HEALTH] + f[:, SHIELD], left, atol=1e-8)
    np.testing.assert_allclose(f[:, DEALT].sum(1), f[:, TAKEN].sum(1), rtol=1e-12, atol=1e-8)
    n = env.info.n_agents
    assert (env.available_actions[:, :, 0] == ~alive[:, :n]).all()
    assert env.available_actions.any(2).all()
    assert (env.reward >= 0).all()
    return alive


def battle(name, family, style, seed, num_envs, rules=None, ground_every=7):
    env = SkirmishEnv(name, num_envs=num_envs, observation=family, rules=rules)
    env.reset(seed)
    rng = np.random.default_rng(seed)
    alive = np.ones((num_envs, env.info.n_agents + env.info.n_enemies), bool)
    check_ground(env)
    for t in range(env.info.episode_limit):
        env.step(choose(style, env.available_actions, rng))
        alive = check_battle(env, alive)
        if t % ground_every == 0:
            check_ground(env)
        if env.finished.all():
            break
    assert env.finished.all()
    assert not (env.terminated & env.truncated).any()
    assert (env.t[env.truncated] == env.info.episode_limit).all()
    assert (env.won <= env.terminated).all()


@pytest.mark.parametrize("name", map_names())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**64 - 1),
    family=st.sampled_from(["smac", "mazero"]),
    style=st.sampled_from(["random", "fight", "flee", "stand"]),
)
def test_invariants(name, seed, family, style):
    battle(name, family, style, seed, num_envs=4)


@pytest.mark.slow
@pytest.mark.parametrize("name", map_names())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**64 - 1),
    family=st.sampled_from(["smac", "mazero"]),
    style=st.sampled_from(["random", "fight", "flee", "stand"]),
)
def test_invariants_over_a_thousand_episodes(name, seed, family, style):
    battle(name, family, style, seed, num_envs=40, ground_every=31)


@pytest.mark.parametrize("name", ["corridor", "2c_vs_64zg", "so_many_baneling", "2s_vs_1sc"])
def test_walls_hold_at_the_smallest_clearance(name):
    battle(name, "smac", "fight", 1, num_envs=2, rules=Rules(cliff_clearance=0.5))


def test_zerglings_reach_the_plateau_over_the_ramps():
    """Straight below the plateau they cannot climb: they go round one end of the cliff (beyond x = 5 and x = 27)."""
    env = SkirmishEnv("2c_vs_64zg")
    env.reset(0)
    env.units[0, HEALTH, :2] = 1e6  # not killed before everybody has arrived
    crossed = np.zeros(64, bool)
    before = env.units[0, :2, 2:].copy()
    for _ in range(80):
        env.step_scripted(np.ones((1, 2), int))
        x, y = env.units[0, X, 2:], env.units[0, Y, 2:]
        passing = (before[1] < 13) & (y >= 13)
        middle = (before[0] + x) / 2
        assert (np.abs(middle[passing] - 16) > 11.0).all()
        crossed |= y > 14
        before = env.units[0, :2, 2:].copy()
    assert crossed.mean() > 0.9


def test_zerglings_cross_the_neck_of_the_corridor():
    """With nobody in their way they walk from the north-east room to the far corner of the south-west room."""
    env = SkirmishEnv("corridor")
    env.reset(0)
    env.units[0, X, :6], env.units[0, Y, :6] = 28.0, 28.5
    env.units[0, HEALTH, :6] = 1e9
    env.marks[0, tables.SCAN_WAIT, 6:] = 10**6  # they look for nobody
    for _ in range(60):
        env.step_scripted(np.ones((1, 6), int))
    assert (env.units[0, X, 6:] < 10).all()
    assert (env.units[0, Y, 6:] < 10).all()


def test_snapshots_repeat_battles_with_missiles_beams_and_shields():
    env = envs.make("1c3s5z", num_envs=3)
    env.reset(5)
    rng = np.random.default_rng(0)
    for _ in range(16):
        env.step(choose("fight", env.available_actions, rng))
    saved = env.snapshot()
    actions = []
    for _ in range(10):
        actions.append(choose("fight", env.available_actions, rng))
        env.step(actions[-1])
    units, obs, state = env.units.copy(), env.obs.copy(), env.state.copy()
    env.restore(saved)
    for joint in actions:
        env.step(joint)
    np.testing.assert_array_equal(env.units, units)
    np.testing.assert_array_equal(env.obs, obs)
    np.testing.assert_array_equal(env.state, state)


@pytest.mark.parametrize("name", ["MMM2", "27m_vs_30m", "bane_vs_bane"])
def test_loop_by_loop_is_the_same_as_step_by_step(name):
    """Bit for bit, also where crowds push each other and walk around those who fight."""
    a, b = (SkirmishEnv(name, num_envs=3, seed=2) for _ in range(2))
    a.reset()
    b.reset()
    rng = np.random.default_rng(1)
    detours = 0
    for _ in range(40):
        actions = choose("fight", a.available_actions, rng)
        a.step(actions)
        seen = [np.count_nonzero(b.marks[:, tables.DETOUR]) for _ in b.step_loops(actions)]
        assert len(seen) == 8
        detours += sum(seen)
        for one, other in zip(a.snapshot().values(), b.snapshot().values(), strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in ((a.obs, b.obs), (a.state, b.state), (a.reward, b.reward)):
            np.testing.assert_array_equal(one, other)
        a.reset_done()
        b.reset_done()
    assert detours > 0


def test_every_map_is_fair_game_for_both_sides():
    """Nobody stands inside the enemy's weapons at the start, and every goal lies on open ground."""
    for name in map_names():
        env = SkirmishEnv(name)
        env.reset(0)
        spec = load_map(name)
        n = spec.n_agents
        x, y, r = env.units[0, X], env.units[0, Y], env.units[0, tables.RADIUS]
        gap = np.hypot(x[:n, None] - x[None, n:], y[:n, None] - y[None, n:]) - r[:n, None] - r[None, n:]
        assert gap.min() > (
            2.5 if name in ("6h_vs_8z", "2m_vs_1z", "2c_vs_64zg", "bane_vs_bane", "2s_vs_1sc") else 8
        ), name
        assert (env.units[0, HEALTH] + env.units[0, SHIELD]).min() > 0
