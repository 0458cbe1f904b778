"""`envs.make` and what every backend promises."""

import numpy as np
import pytest

import envs

NAMES = ["matrix_1", "3m", "5m_vs_6m", "lunar_lander"]


def random_joint(env, rng):
    score = rng.random(env.available_actions.shape) * env.available_actions
    return score.argmax(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: envs.make("3n"), "did you mean '3m'"),
        (lambda: envs.make("matrix_5"), "unknown environment 'matrix_5'.*did you mean 'matrix_"),
        (lambda: envs.make("3m", backend="skirmsh"), "did you mean 'skirmish'"),
        (lambda: envs.make("3m", observation="mazro"), "did you mean 'mazero'"),
        (lambda: envs.make("3m", reward_sprse=True), "did you mean 'reward_sparse'"),
        (lambda: envs.make("matrix_1", reward_scal=2.0), "did you mean 'reward_scale'"),
        (lambda: envs.make("3m", num_envs=0), "num_envs must be at least 1, got 0"),
        (lambda: envs.make("3m", step_mul=0), "step_mul must be an integer of at least 1, got 0"),
        (lambda: envs.make("3m").reset(-1), "seed must lie in"),
        (lambda: envs.available("smack"), "unknown backend"),
    ],
)
def test_bad_input_is_refused_with_the_nearest_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_available_lists_what_make_accepts():
    assert envs.available("matrix") == ("matrix_1", "matrix_2", "matrix_3", "matrix_4")
    assert set(envs.available("skirmish")) >= {"3m", "8m", "25m", "5m_vs_6m", "8m_vs_9m", "10m_vs_11m", "27m_vs_30m"}


@pytest.mark.parametrize("name", NAMES)
def test_arrays_have_the_promised_shapes_and_stay_the_same_objects(name):
    env = envs.make(name, num_envs=4)
    info = env.info
    arrays = [env.obs, env.state, env.available_actions, env.reward, env.terminated, env.truncated, env.won]
    env.reset(0)
    env.step(random_joint(env, np.random.default_rng(0)))
    assert env.obs.shape == (4, info.n_agents, info.obs_size)
    assert env.obs.dtype == np.float32
    assert env.state.shape == (4, info.state_size)
    assert env.available_actions.shape == (4, info.n_agents, info.n_actions)
    assert env.available_actions.dtype == np.bool_
    after = [env.obs, env.state, env.available_actions, env.reward, env.terminated, env.truncated, env.won]
    assert all(a is b for a, b in zip(arrays, after, strict=True))
    assert info.deterministic == (info.backend == "matrix")


@pytest.mark.parametrize("name", NAMES)
def test_unavailable_action_names_slot_agent_and_choices_and_changes_nothing(name):
    env = envs.make(name, num_envs=3)
    env.reset(0)
    actions = random_joint(env, np.random.default_rng(0))
    bad = actions.copy()
    bad[2, -1] = env.info.n_actions
    before = env.snapshot()
    with pytest.raises(
        ValueError, match=rf"agent {env.info.n_agents - 1} in episode slot 2 .* got {env.info.n_actions}"
    ):
        env.step(bad)
    with pytest.raises(ValueError, match="shape"):
        env.step(actions[:2])
    with pytest.raises(ValueError, match="integers"):
        env.step(actions.astype(float))
    after = env.snapshot()
    assert all(np.array_equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", NAMES)
def test_step_needs_a_reset(name):
    env = envs.make(name)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros((1, env.info.n_agents), int))


@pytest.mark.parametrize("name", NAMES)
def test_snapshot_and_restore_are_exact(name):
    def run(env, steps, seed):
        rng, seen = np.random.default_rng(seed), []
        for _ in range(steps):
            env.step(random_joint(env, rng))
            seen += [env.obs.copy(), env.state.copy(), env.reward.copy(), env.available_actions.copy(), env.won.copy()]
            env.reset_done()
        return seen

    env = envs.make(name, num_envs=3)
    env.reset(5)
    run(env, 33, 0)
    saved = env.snapshot()
    obs = env.obs.copy()
    first = run(env, 60, 1)
    other = envs.make(name, num_envs=3)
    for target in (env, other):  # also into a fresh environment, as a resumed run does
        target.restore(saved)
        assert np.array_equal(target.obs, obs)
        again = run(target, 60, 1)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_restore_refuses_what_does_not_fit():
    env = envs.make("3m", num_envs=2)
    env.reset(0)
    saved = env.snapshot()
    with pytest.raises(ValueError, match="num_envs"):
        envs.make("3m", num_envs=3).restore(saved)
    with pytest.raises(ValueError, match="same kind"):
        envs.make("matrix_1", num_envs=2).restore(saved)


@pytest.mark.parametrize("name", NAMES)
def test_finished_slots_wait_for_reset_done(name):
    env = envs.make(name, num_envs=4)
    env.reset(1)
    rng = np.random.default_rng(1)
    while not env.finished.any():
        env.step(random_joint(env, rng))
    done = env.finished.copy()
    kept = env.obs.copy(), env.state.copy(), env.won.copy(), env.terminated.copy()
    actions = random_joint(env, rng)
    actions[done] = 999  # ignored
    env.step(actions)
    assert env.finished[done].all()
    assert (env.reward[done] == 0).all()
    now = env.obs, env.state, env.won, env.terminated
    assert all(np.array_equal(a[done], b[done]) for a, b in zip(kept, now, strict=True))
    finished, obs = env.finished.copy(), env.obs.copy()
    env.reset_done()
    assert not env.finished.any()
    assert (env.reward[finished] == 0).all()
    assert np.array_equal(env.obs[~finished], obs[~finished])


def snapshots_differ(a, b):
    return any(not np.array_equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", ["3m", "terran_5_vs_5"])
def test_later_battles_are_second_ones_of_the_seed_and_then_the_next(name):
    """The same as starting games and leaving their first battle; `reset` alone gives a first one."""
    env, other = envs.make(name, num_envs=3), envs.make(name, num_envs=3)
    env.reset_later(5)
    other.reset(5)
    assert snapshots_differ(env.snapshot(), other.snapshot())
    other.reset()
    assert not snapshots_differ(env.snapshot(), other.snapshot())
    env.reset_later()
    other.reset()
    assert not snapshots_differ(env.snapshot(), other.snapshot())
    unseeded = envs.make(name, num_envs=3, seed=5)
    unseeded.reset_later()  # begins its games from its own seed
    env.reset_later(5)
    assert not snapshots_differ(env.snapshot(), unseeded.snapshot())
    other.reset(5)
    other.reset()
    assert not snapshots_differ(env.snapshot(), other.snapshot())


@pytest.mark.parametrize("options", [{}, {"action_failure": 0.1}])
def test_in_later_battles_alone_the_enemy_has_a_head_start(options):
    """With 80 loops of it, ten steps, the enemies are there before the agents have done anything."""

    def enemies_seen_at_first(start):
        env = envs.make("3m", num_envs=2, respawn_loops=80, **options)
        start(env)
        env.step(np.ones((2, 3), int))
        return env.available_actions[:, :, 6:].any()

    assert not enemies_seen_at_first(lambda env: env.reset(0))
    assert enemies_seen_at_first(lambda env: env.reset_later(0))


@pytest.mark.parametrize("name", ["matrix_1", "lunar_lander"])
def test_elsewhere_a_later_episode_is_like_the_first(name):
    env, other = envs.make(name, num_envs=2), envs.make(name, num_envs=2)
    env.reset_later(5)
    other.reset(5)
    assert not snapshots_differ(env.snapshot(), other.snapshot()) and np.array_equal(env.obs, other.obs)
