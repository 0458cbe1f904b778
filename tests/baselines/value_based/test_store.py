from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.value_based.store import Episode, EpisodeStore
from envs.interface import EnvInfo

INFO = EnvInfo("toy", "test", "smac", 2, 1, 4, 3, 5, 6, False)


def episode(number: int, steps: int, terminated: bool = True) -> Episode:
    """Every entry tells which episode and step it belongs to."""
    t = np.arange(steps + 1, dtype=np.float32)
    mark = 100 * number + t
    return Episode(
        obs=np.tile(mark[:, None, None], (1, 2, 3)),
        state=np.tile(mark[:, None], (1, 5)),
        avail=np.tile((t % 2 == 0)[:, None, None], (1, 2, 4)),
        actions=np.tile(((number + np.arange(steps)) % 4)[:, None], (1, 2)),
        reward=mark[:-1],
        terminated=terminated,
    )


def contents(store: EpisodeStore) -> dict[int, int]:
    """Episode number -> length, read through batches of one."""
    found = {}
    for entry in range(len(store)):
        batch = store.batch(np.array([entry]))
        number, steps = int(batch.state[0, 0]) // 100, len(batch.reward)
        want = episode(number, steps)
        for name in ("obs", "state", "avail"):
            np.testing.assert_array_equal(getattr(batch, name), getattr(want, name))
        np.testing.assert_array_equal(batch.actions, want.actions)
        np.testing.assert_array_equal(batch.reward, want.reward)
        assert batch.terminated.tolist() == [False] * (steps - 1) + [True]
        found[number] = steps
    return found


@settings(deadline=None, max_examples=40)
@given(
    capacity=st.integers(1, 7), lengths=st.lists(st.integers(1, 400), min_size=1, max_size=30), at=st.integers(0, 29)
)
def test_holds_exactly_the_last_episodes_and_survives_saving(capacity, lengths, at):
    store = EpisodeStore(INFO, capacity)
    for number, steps in enumerate(lengths):
        store.add(episode(number, steps))
        if number == at:
            state = store.state_dict()
            store = EpisodeStore(INFO, capacity)
            store.load_state_dict(state)
    kept = list(enumerate(lengths))[-capacity:]
    assert contents(store) == dict(kept)
    assert store.num_rows == sum(steps + 1 for _, steps in kept)


def test_batch_is_packed_longest_first():
    store = EpisodeStore(INFO, 10)
    for number, (steps, terminated) in enumerate([(1, True), (3, False), (2, True)]):
        store.add(episode(number, steps, terminated))
    batch = store.batch(np.array([0, 1, 2]))
    # rows by time:                t=0             t=1            t=2       t=3
    assert batch.state[:, 0].tolist() == [100, 200, 0, 101, 201, 1, 102, 202, 103]
    assert batch.counts == [3, 3, 2, 1]
    assert batch.now.tolist() == [0, 1, 2, 3, 4, 6]
    assert batch.after.tolist() == [3, 4, 5, 6, 7, 8]
    assert batch.reward.tolist() == [100, 200, 0, 101, 201, 102]
    assert batch.actions[:, 0].tolist() == [1, 2, 0, 2, 3, 3]
    assert batch.last_action[:, 0].tolist() == [-1, -1, -1, 1, 2, 0, 2, 3, 3]
    assert batch.terminated.tolist() == [False, False, True, False, True, False]


def test_sample_draws_distinct_episodes_from_its_generator():
    store = EpisodeStore(INFO, 10)
    for number in range(10):
        store.add(episode(number, 2))
    batch = store.sample(np.random.default_rng(0), 10)
    assert sorted(batch.state[:10, 0].tolist()) == [100.0 * k for k in range(10)]
    again = store.sample(np.random.default_rng(0), 10)
    np.testing.assert_array_equal(batch.obs, again.obs)
    with pytest.raises(ValueError, match="cannot draw 11 distinct episodes from 10"):
        store.sample(np.random.default_rng(0), 11)


def test_actions_take_one_byte_and_room_follows_what_is_stored():
    store = EpisodeStore(INFO, 5000)
    store.add(episode(0, 6))
    rows = store.state_dict()["rows"].read(0)
    assert rows["actions"].dtype == np.uint8 and len(rows["reward"]) == 7
