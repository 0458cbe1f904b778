"""Perturbations: rates, who is spared, reproducibility, and that zero perturbations change nothing."""

import math
from itertools import pairwise

import numpy as np
import pytest

import envs
from envs.interface import VectorEnv
from envs.perturbed import Perturbation, Perturbed
from envs.skirmish import STOP
from tests.envs.test_interface import random_joint

NAMES = ["matrix_1", "3m", "MMM"]
EVERYTHING = {"action_failure": 0.3, "obs_dropout": 0.2, "obs_noise": 0.1}


def rollout(env, steps, seed=0):
    """Everything a learner would store, over some steps of random play."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        env.step(random_joint(env, rng))
        arrays = (env.obs, env.state, env.available_actions, env.reward, env.terminated, env.truncated, env.won)
        seen += [array.copy() for array in arrays]
        env.reset_done()
    return seen


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


class Recorder(VectorEnv):
    """Matrix-like environment that keeps the actions it gets; agent 1 is dead, agent 0 lives, actions 0..3 exist."""

    def __init__(self, num_envs, idle_action=STOP):
        info = envs.EnvInfo("recorder", "recorder", "smac", 2, 0, 4, 3, 1, 10_000, False)
        self.idle_action = idle_action
        self._allocate(info, num_envs)
        self.got = []

    def reset(self, seed=None):
        self.obs[:] = 1.0
        self.available_actions[:, 0] = [False, True, True, True]
        self.available_actions[:, 1] = [True, False, False, False]

    def step(self, actions):
        self.got.append(np.array(actions))

    def reset_done(self):
        pass

    def snapshot(self):
        return {"t": np.zeros(1)}

    def restore(self, snapshot):
        pass


@pytest.mark.parametrize("name", NAMES)
def test_everything_at_zero_is_bitwise_the_bare_environment(name):
    bare = envs.make(name, num_envs=3, seed=4)
    wrapped = Perturbed(envs.make(name, num_envs=3, seed=4), Perturbation(), seed=4)
    bare.reset()
    wrapped.reset()
    assert np.array_equal(bare.obs, wrapped.obs)
    assert same(rollout(bare, 40), rollout(wrapped, 40))
    assert wrapped.info == bare.info


def test_make_wraps_only_what_is_perturbed():
    assert not isinstance(envs.make("matrix_1", obs_noise=0.0), Perturbed)
    env = envs.make("matrix_1", num_envs=2, obs_noise=0.5, reward_scale=2.0)
    assert isinstance(env, Perturbed) and env.perturbation == Perturbation(obs_noise=0.5)
    assert env.env.reward_scale == 2.0 and env.info.deterministic is False


def test_a_failed_action_becomes_stop_and_the_dead_stay_dead():
    episodes, steps, p = 50, 40, 0.3
    inner = Recorder(episodes)
    env = Perturbed(inner, Perturbation(action_failure=p))
    env.reset(1)
    for _ in range(steps):
        env.step(np.tile([3, 0], (episodes, 1)))
    got = np.array(inner.got)  # (T, B, n)
    assert set(np.unique(got[:, :, 0])) == {STOP, 3}
    assert (got[:, :, 1] == 0).all()
    count = episodes * steps
    assert abs((got[:, :, 0] == STOP).mean() - p) < 4 * math.sqrt(p * (1 - p) / count)
    per_step = (got[:, :, 0] == STOP).mean(1)  # not the same slots in every step, not all slots at once
    assert per_step.std() > 0 and not (got[0] == got[1]).all()


def test_a_failed_action_of_a_matrix_game_is_an_available_one_at_random():
    episodes, steps, p = 50, 40, 0.6
    inner = Recorder(episodes, idle_action=None)
    env = Perturbed(inner, Perturbation(action_failure=p))
    env.reset(2)
    for _ in range(steps):
        env.step(np.tile([3, 0], (episodes, 1)))
    got = np.array(inner.got)[:, :, 0]
    count = episodes * steps
    for action, expected in ((1, p / 3), (2, p / 3), (3, 1 - 2 * p / 3)):
        error = math.sqrt(expected * (1 - expected) / count)
        assert abs((got == action).mean() - expected) < 4 * error, action


def test_the_chosen_action_is_checked_even_if_it_fails():
    env = envs.make("3m", action_failure=1.0)
    env.reset(0)
    with pytest.raises(ValueError, match="agent 0 in episode slot 0"):
        env.step(np.array([[0, 1, 1]]))
    env.step(np.full((1, 3), 4))
    assert (env.env.last_action == STOP).all()  # what was done is what later observations show


@pytest.mark.parametrize(("name", "ids"), [("MMM", 10), ("matrix_1", 2)])
def test_a_lost_observation_is_that_of_a_dead_agent(name, ids):
    p = 0.25
    env = envs.make(name, num_envs=40, observation="mazero", obs_dropout=p)
    env.reset(3)
    lost = total = 0
    rng = np.random.default_rng(0)
    for _ in range(10):
        true, got = env.env.obs, env.obs
        assert np.array_equal(got[:, :, -ids:], true[:, :, -ids:])  # everybody still knows who it is
        alive = true[:, :, :-ids].any(2)
        gone = alive & ~got[:, :, :-ids].any(2)
        assert np.array_equal(got[~gone], true[~gone])
        lost, total = lost + gone.sum(), total + alive.sum()
        env.step(random_joint(env, rng))
        env.reset_done()
    assert abs(lost / total - p) < 4 * math.sqrt(p * (1 - p) / total)


def test_the_time_step_is_no_perception():
    env = envs.make("3m", num_envs=2, observation="mazero", obs_dropout=1.0, obs_timestep_number=True)
    env.reset(0)
    env.step(np.ones((2, 3), int))
    assert (env.obs[:, :, :-4] == 0).all()
    np.testing.assert_allclose(env.obs[0, :, -4:], np.hstack([np.eye(3), np.full((3, 1), 1 / 60)]), rtol=1e-6)


def test_noise_is_gaussian_and_leaves_zeros_and_ids_alone():
    std = 0.2
    env = envs.make("3m", num_envs=60, observation="mazero", obs_noise=std)
    env.reset(0)
    draws = []
    rng = np.random.default_rng(0)
    for _ in range(6):
        true, got = env.env.obs, env.obs
        assert (got[true == 0] == 0).all()
        assert np.array_equal(got[:, :, -3:], true[:, :, -3:])
        noisy = (true != 0)[:, :, :-3]
        draws.append((got - true)[:, :, :-3][noisy])
        env.step(random_joint(env, rng))
        env.reset_done()
    assert all(not np.array_equal(a, b) for a, b in pairwise(draws))
    values = np.concatenate(draws)
    assert abs(values.mean()) < 4 * std / math.sqrt(len(values))
    assert abs(values.std() / std - 1) < 4 / math.sqrt(2 * len(values))
    assert abs((np.abs(values) < std).mean() - 0.6827) < 4 * math.sqrt(0.6827 * 0.3173 / len(values))
    assert np.array_equal(env.state, env.env.state) and env.state is env.env.state


def test_draws_do_not_depend_on_slots_or_on_other_perturbations():
    def lost(num_envs, **changes):
        env = envs.make("matrix_1", num_envs=num_envs, obs_dropout=0.5, **changes)
        env.reset(9)
        seen = []
        for _ in range(12):
            env.step(np.zeros((num_envs, 2), int))
            seen.append(env.obs.any(2)[:2].copy())
            env.reset_done()
        return np.array(seen)

    reference = lost(2)
    assert 0 < reference.mean() < 1
    assert np.array_equal(reference, lost(5))
    assert np.array_equal(reference, lost(2, action_failure=0.5, obs_noise=0.1))
    assert not np.array_equal(reference[:, 0], reference[:, 1])  # slots differ


def test_seed_restarts_the_draws_and_episodes_differ():
    env = envs.make("matrix_1", num_envs=1, obs_noise=1.0)
    env.reset(5)
    first = env.obs.copy()
    env.reset()
    second = env.obs.copy()
    env.reset(5)
    assert np.array_equal(env.obs, first) and not np.array_equal(first, second)
    env.reset(6)
    assert not np.array_equal(env.obs, first)


@pytest.mark.parametrize("name", NAMES)
def test_snapshot_and_restore_are_exact(name):
    env = envs.make(name, num_envs=3, **EVERYTHING)
    env.reset(5)
    rollout(env, 33)
    saved, obs = env.snapshot(), env.obs.copy()
    first = rollout(env, 30, seed=1)
    other = envs.make(name, num_envs=3, **EVERYTHING)
    for target in (env, other):
        target.restore(saved)
        assert np.array_equal(target.obs, obs)
        assert same(first, rollout(target, 30, seed=1))


def test_restore_refuses_the_snapshot_of_the_bare_environment_and_changes_nothing():
    env, bare = envs.make("3m", **EVERYTHING), envs.make("3m")
    env.reset(0)
    bare.reset(1)
    before = env.snapshot()
    with pytest.raises(ValueError, match="same kind"):
        env.restore(bare.snapshot())
    assert same(before.values(), env.snapshot().values())


def test_finished_slots_keep_their_observation():
    env = envs.make("matrix_1", num_envs=2, **EVERYTHING)
    env.reset(0)
    for _ in range(10):
        env.step(np.zeros((2, 2), int))
    assert env.finished.all()
    kept = env.obs.copy()
    env.step(np.zeros((2, 2), int))
    assert np.array_equal(env.obs, kept)
    env.restore(env.snapshot())
    assert np.array_equal(env.obs, kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"action_failure": 1.5}, "action_failure must lie in .* got 1.5"),
        ({"obs_dropout": -0.1}, "obs_dropout must lie in"),
        ({"obs_dropout": True}, "obs_dropout must lie in"),
        ({"obs_noise": float("nan")}, "obs_noise must be at least 0, got nan"),
        ({"obs_noise": "much"}, "obs_noise must be at least 0, got 'much'"),
        ({"obs_nose": 0.1}, "did you mean 'obs_noise'"),
        ({"action_failures": 0.1}, "did you mean 'action_failure'"),
        ({"sight_scale": 0.5}, "unknown option 'sight_scale'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("matrix_1", **options)


def test_step_needs_a_reset_and_seeds_are_checked():
    env = envs.make("3m", **EVERYTHING)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.ones((1, 3), int))
    with pytest.raises(ValueError, match="seed must lie in"):
        env.reset(-1)
    with pytest.raises(ValueError, match="seed must lie in"):
        envs.make("matrix_1", seed=-1, **EVERYTHING)


def test_without_jitter_a_battle_follows_from_its_start():
    def play(seed, **options):
        env = envs.make("3m", num_envs=2, **options)
        env.reset(seed)
        for _ in range(20):
            env.step_scripted(np.full((2, 3), 6))
        return env.units[:, :6].copy()

    still = play(1, jitter_scale=0.0, placement_jitter=0.0)
    assert np.array_equal(still[0], still[1])
    assert np.array_equal(still, play(2, jitter_scale=0.0, placement_jitter=0.0))
    for options in ({"jitter_scale": 0.0}, {"placement_jitter": 0.0}):  # either kind of jitter tells battles apart
        varied = play(1, **options)
        assert not np.array_equal(varied[0], varied[1])


def test_sight_scale_changes_who_is_seen_and_not_how():
    """Seen rows are those of the whole sight, in its units; the rest is gone."""
    full, half = (envs.make("8m", num_envs=2, sight_scale=s) for s in (1.0, 0.5))
    for env in (full, half):
        env.reset(0)
        for _ in range(6):
            env.step(np.ones((2, 8), int))
    row, cut = (env.obs[:, :, 4:79].reshape(2, 8, 15, 5) for env in (full, half))
    near = (row[..., 1] > 0) & (row[..., 1] < 0.5)
    assert near.any() and (row[..., 1] >= 0.5).any()
    assert np.array_equal(cut, np.where(near[..., None], row, 0.0))


@pytest.mark.parametrize("option", [{"jitter_scale": "no"}, {"jitter_scale": True}, {"scan_interval": 1.5}])
def test_choices_of_the_rules_are_checked(option):
    with pytest.raises(ValueError, match="must be of type"):
        envs.make("3m", **option)
