"""Gymnasium's lander: its own numbers, a pilot that lands, seeds, exact resume, and what is refused."""

import sys

import numpy as np
import pytest

import envs
from envs.lander import ENGINES_OFF, LARGEST_RETURN, LEVELS, PACKAGES, controls, nearest_action


def gymnasium_lander():
    import gymnasium

    return gymnasium.make("LunarLander-v3", continuous=True)


def pilot(env):
    """Joint actions of Gymnasium's own heuristic, which lands; it looks at the observation alone."""
    from gymnasium.envs.box2d.lunar_lander import heuristic

    continuous = gymnasium_lander().unwrapped
    return np.array([[nearest_action(*heuristic(continuous, state))] for state in env.state])


def play(env, policy, seed):
    """Returns, lengths and wins of one episode a slot."""
    env.reset(seed)
    total, length = np.zeros(env.num_envs), np.zeros(env.num_envs, int)
    while not env.finished.all():
        running = ~env.finished
        env.step(policy(env))
        total += env.reward
        length += running
    return total, length, env.won.copy()


def engines_off(env):
    return np.full((env.num_envs, 1), ENGINES_OFF)


def test_the_actions_are_all_pairs_of_twenty_levels():
    assert len({tuple(controls(action)) for action in range(400)}) == 400
    assert {float(level) for action in range(400) for level in controls(action)} == set(LEVELS.tolist())
    assert len(LEVELS) == 20 and (LEVELS[0], LEVELS[-1]) == (-1, 1)
    assert [nearest_action(*controls(action)) for action in range(400)] == list(range(400))
    assert nearest_action(7.0, -7.0) == nearest_action(1.0, -1.0) == 380
    main, side = controls(ENGINES_OFF)
    assert main <= 0 and abs(side) <= 0.5  # where Gymnasium fires nothing


def test_rewards_and_observations_are_those_of_gymnasium():
    env = envs.make("lunar_lander", num_envs=2)
    env.reset(3)
    seeds = [np.random.SeedSequence((3, slot, 0)).generate_state(1, np.uint64)[0] for slot in range(2)]
    theirs = [gymnasium_lander() for _ in seeds]
    states = [world.reset(seed=int(seed))[0] for world, seed in zip(theirs, seeds, strict=True)]
    rng = np.random.default_rng(0)
    for _ in range(40):
        assert np.array_equal(env.state, states) and np.array_equal(env.obs[:, 0], states)
        actions = rng.integers(0, 400, (2, 1))
        env.step(actions)
        steps = [world.step(LEVELS[list(divmod(int(a), 20))]) for world, a in zip(theirs, actions[:, 0], strict=True)]
        states = [step[0] for step in steps]
        assert env.reward.tolist() == pytest.approx([step[1] for step in steps], rel=1e-6)
    assert not np.array_equal(states[0], states[1])


def test_gymnasiums_pilot_lands_and_wins_and_free_fall_does_not():
    env = envs.make("lunar_lander", num_envs=6)
    total, length, won = play(env, pilot, 0)
    assert won.all() and (total >= 200).all() and (total < LARGEST_RETURN).all() and (length < 1000).all()
    assert env.terminated.all() and not env.truncated.any()
    total, _, won = play(env, engines_off, 0)
    assert not won.any() and (total < 0).all()


def test_a_return_below_200_is_no_win_and_the_limit_is_a_truncation():
    """Hovering until the time is up earns little; one slot lands meanwhile and keeps its win."""
    env = envs.make("lunar_lander", num_envs=2)
    assert env.info.episode_limit == 1000

    def hover(env):
        x, y, dx, dy, angle, spin = env.state[0, :6]
        up = nearest_action(2.0 * (1.0 - y) - 4.0 * dy, 8.0 * (angle + spin - 0.3 * (x + dx)))
        return np.array([[up], pilot(env)[1]])

    total, length, won = play(env, hover, 0)
    assert (env.truncated[0], env.terminated[0], length[0]) == (True, False, 1000)
    assert (env.truncated[1], env.terminated[1]) == (False, True)
    assert won.tolist() == [False, True] and total[0] < 200 <= total[1]


def test_the_same_seed_is_the_same_landing_and_others_differ():
    env = envs.make("lunar_lander", num_envs=3, seed=5)
    env.reset()  # with the seed it was made with
    first = env.state.copy()
    env.reset()  # goes on with the streams
    second = env.state.copy()
    wider = envs.make("lunar_lander", num_envs=4)
    wider.reset(5)
    assert np.array_equal(wider.state[:3], first)  # a slot's stream does not depend on the others
    env.reset(5)
    assert np.array_equal(env.state, first)
    assert len(np.unique(np.concatenate((first, second)), axis=0)) == 6


def test_resume_in_the_middle_of_landings_is_exact_down_to_the_contacts():
    """The snapshot is taken when some have touched ground: contacts and solver are replayed, not guessed."""
    env = envs.make("lunar_lander", num_envs=3, reward_scale=0.1)
    env.reset(8)
    while not env.state[:, 6:].any():
        env.step(pilot(env))
    saved, obs = env.snapshot(), env.obs.copy()
    other = envs.make("lunar_lander", num_envs=3, reward_scale=0.1)
    other.restore(saved)
    assert np.array_equal(other.obs, obs)
    for _ in range(120):
        actions = pilot(env)
        for one in (env, other):
            one.step(actions)
            one.reset_done()
        for name in ("obs", "reward", "terminated", "truncated", "won"):
            assert np.array_equal(getattr(env, name), getattr(other, name)), name


def test_a_snapshot_that_its_actions_do_not_lead_to_is_refused_and_changes_nothing():
    env = envs.make("lunar_lander", num_envs=2)
    env.reset(1)
    for _ in range(5):
        env.step(engines_off(env))
    saved = env.snapshot()
    damaged = saved | {"state": saved["state"] + np.float32(1e-3)}
    env.step(engines_off(env))
    before = env.snapshot()
    with pytest.raises(ValueError, match=r"slot 0 must come to .* by the 5 actions .* versions it was made with"):
        env.restore(damaged)
    assert all(np.array_equal(before[key], value) for key, value in env.snapshot().items())
    env.step(engines_off(env))
    env.restore(saved)
    assert np.array_equal(env.snapshot()["t"], [5, 5])


def test_rewards_can_be_scaled_and_what_is_won_stays():
    plain, scaled = (envs.make("lunar_lander", reward_scale=scale) for scale in (1.0, 0.1))
    returns, _, won = play(plain, pilot, 4)
    tenth, _, won_too = play(scaled, pilot, 4)
    assert tenth == pytest.approx(0.1 * returns, rel=1e-5) and won.all() and won_too.all()
    assert (plain.largest_return, scaled.largest_return) == (370, pytest.approx(37))


def test_no_start_allows_a_larger_return_than_stated():
    """100 for coming to rest, 20 for both legs on the ground, and what the first potential leaves to be gained."""
    world = gymnasium_lander()
    least = 0.0
    for seed in range(300):
        world.reset(seed=seed)
        least = min(least, world.unwrapped.prev_shaping)
    assert -244 < least < -200 and LARGEST_RETURN >= 100 + 20 + 244


def test_family_mazero_adds_the_agents_id_and_perturbations_leave_it():
    env = envs.make("lunar_lander", observation="mazero", obs_dropout=1.0)
    env.reset(0)
    assert env.obs.tolist() == [[[0.0] * 8 + [1.0]]] and env.state.any()
    assert (env.info.backend, env.info.unit_data, env.info.n_agents, env.info.n_actions) == ("gymnasium", "", 1, 400)


def test_a_failed_action_is_engines_off():
    failing, falling = envs.make("lunar_lander", action_failure=1.0), envs.make("lunar_lander")
    full = np.array([[399]])
    for env in (failing, falling):
        env.reset(2)
    for _ in range(30):
        failing.step(full)
        falling.step(engines_off(falling))
    assert np.array_equal(failing.obs, falling.obs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward_scale": 0}, "reward_scale must be positive and finite, got 0"),
        ({"reward_scale": float("inf")}, "must be positive and finite, got inf"),
        ({"reward_scale": "1"}, "reward_scale must be a number, got '1'"),
        ({"reward_scale": True}, "reward_scale must be a number, got True"),
        ({"reward_scal": 1}, "did you mean 'reward_scale'"),
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"seed": -1}, r"seed must lie in \[0, 2"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("lunar_lander", **options)


def test_names_are_found_without_a_backend_and_refused_on_another():
    assert envs.available("gymnasium") == ("lunar_lander",)
    assert envs.make("lunar_lander", backend="gymnasium").info.name == "lunar_lander"
    for name, backend in (("lunar_landr", "gymnasium"), ("3m", "gymnasium"), ("lunar_lander", "skirmish")):
        with pytest.raises(ValueError, match=f"unknown .* {name!r}"):
            envs.make(name, backend=backend)


@pytest.mark.parametrize("package", ["gymnasium", "Box2D", "pygame"])
def test_a_missing_package_is_named_with_what_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"needs {', '.join(PACKAGES)}, got .*{package}.*: pip install"):
        envs.make("lunar_lander")
    assert envs.make("matrix_1").info.backend == "matrix"  # who does not land does not need it
