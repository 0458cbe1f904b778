"""Replay: layout, priorities, weighted draws, stacking at episode starts, forgetting."""

import numpy as np
import pytest

from mazero.replay import SEARCH_FIELDS, Episode, Replay

N, OBS, A, K = 2, 3, 4, 5


def episode(length, mark):
    """Episode whose observations say (mark, step)."""
    obs = np.zeros((length, N, OBS), np.float32)
    obs[..., 0], obs[..., 1] = mark, np.arange(length)[:, None]
    return Episode(
        obs=obs,
        available=np.ones((length, N, A), np.bool_),
        action=np.full((length, N), mark % A, np.int16),
        reward=np.arange(length, dtype=np.float32),
        search_value=np.zeros(length, np.float32),
        predicted_value=np.zeros(length, np.float32),
        num_children=np.full(length, K, np.int32),
        joint_actions=np.zeros((length, K, N), np.int16),
        visit_counts=np.ones((length, K), np.int32),
        q=np.zeros((length, K), np.float32),
        importance=np.ones((length, K), np.float32),
    )


def filled(*lengths, **options):
    replay = Replay(**({"priority_alpha": 0.6} | options))
    for mark, length in enumerate(lengths):
        replay.add(episode(length, mark))
    return replay


def test_every_transition_knows_its_episode():
    replay = filled(3, 2)
    assert len(replay) == 5
    assert replay.episode_start.tolist() == [0, 0, 0, 3, 3]
    assert replay.episode_end.tolist() == [3, 3, 3, 5, 5]
    assert replay.age(np.arange(5)).tolist() == [5, 4, 3, 2, 1]


def test_draws_follow_the_priorities_without_repetition():
    replay = filled(4)
    replay.set_priorities(np.arange(4), np.array([0.0, 1.0, 2.0, 5.0]))
    rng = np.random.default_rng(0)
    rounds = 20_000
    counts = np.zeros(4)
    for _ in range(rounds):
        positions, _ = replay.sample(1, beta=0.4, rng=rng)
        counts[positions] += 1
    mass = np.array([1e-6, 1 + 1e-6, 2 + 1e-6, 5 + 1e-6]) ** 0.6
    expected = mass / mass.sum()
    # four standard errors of a binomial share
    assert (np.abs(counts / rounds - expected) <= 4 * np.sqrt(expected * (1 - expected) / rounds) + 1e-9).all()
    positions, _ = replay.sample(3, beta=0.4, rng=rng)
    assert len(set(positions.tolist())) == 3


def test_importance_weights_by_hand():
    replay = filled(2)
    replay.set_priorities(np.array([0, 1]), np.array([1.0, 4.0]))
    positions, weights = replay.sample(2, beta=0.5, rng=np.random.default_rng(0))
    mass = np.array([1.0, 4.0]) ** 0.6
    raw = (2 * mass / mass.sum()) ** -0.5
    np.testing.assert_allclose(weights, (raw / raw.max())[positions], rtol=1e-5)


def test_new_episodes_enter_at_the_highest_priority():
    replay = filled(2)
    replay.set_priorities(np.array([0, 1]), np.array([7.0, 0.1]))
    replay.add(episode(2, 1))
    assert replay.priority[2:].tolist() == [7.0 + 1e-6] * 2


def test_stacking_repeats_the_first_observation_and_never_crosses_episodes():
    replay = filled(3, 3)
    out = replay.stacked_obs(np.array([3, 4, 2]), 2)  # (3, N, 2 * OBS)
    marks_and_steps = out[:, 0].reshape(3, 2, OBS)[..., :2].tolist()
    assert marks_and_steps == [[[1, 0], [1, 0]], [[1, 0], [1, 1]], [[0, 1], [0, 2]]]


def test_forgetting_drops_whole_episodes_and_keeps_indices_right():
    replay = filled(*[10] * 11, capacity=100, priority_alpha=0.6)
    assert len(replay) == 90
    assert replay.obs[0, 0, 0] == 2  # episodes 0 and 1 are gone
    starts = replay.episode_start
    assert (replay.obs[starts, 0, 1] == 0).all()
    assert replay.episode_end[-1] == 90


@pytest.mark.parametrize("searches_change", [False, True])
def test_state_round_trip_goes_on_equally(searches_change):
    replay = filled(3, 4, searches_change=searches_change)
    other = Replay(priority_alpha=0.6, searches_change=searches_change)
    other.load_state_dict(replay.state_dict())
    for each in (replay, other):
        each.add(episode(2, 5))
    a = replay.sample(4, beta=0.4, rng=np.random.default_rng(1))
    b = other.sample(4, beta=0.4, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(replay.obs, other.obs)


def test_write_search_replaces_only_the_searches():
    replay = filled(3, searches_change=True)
    fresh = {name: getattr(replay, name)[[1]].copy() for name in SEARCH_FIELDS}
    fresh["q"] = np.full((1, K), 2.5, np.float32)
    replay.write_search(np.array([1]), fresh)
    assert replay.q[:, 0].tolist() == [0.0, 2.5, 0.0]
    with pytest.raises(AttributeError, match="no field 'pq'"):
        replay.pq  # noqa: B018


def test_stacking_equals_plain_frames_for_positions_of_any_shape():
    replay, rng = filled(3, 1, 5), np.random.default_rng(0)
    replay.obs[:] = rng.normal(size=replay.obs.shape)
    positions = rng.integers(0, 9, (4, 3))
    for depth in (1, 2, 4):
        found = replay.stacked_obs(positions, depth)
        assert found.shape == (4, 3, N, depth * OBS) and found.dtype == np.float32
        for place, t in np.ndenumerate(positions):
            frames = [replay.obs[max(t - back, replay.episode_start[t])] for back in range(depth - 1, -1, -1)]
            np.testing.assert_array_equal(found[place], np.concatenate(frames, axis=-1))
    assert replay.stacked_obs(np.empty((0, 2), np.int64), 2).shape == (0, 2, N, 2 * OBS)
