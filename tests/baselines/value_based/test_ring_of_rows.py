"""How the ring of rows grows, wraps around and is laid out anew."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.value_based.store import Episode, EpisodeStore
from envs.interface import EnvInfo


def info(actions: int = 4) -> EnvInfo:
    return EnvInfo("toy", "test", "smac", 2, 1, actions, 3, 5, 6, False)


def episode(rng: np.random.Generator, steps: int, actions: int = 4) -> Episode:
    return Episode(
        obs=rng.random((steps + 1, 2, 3), np.float32),
        state=rng.random((steps + 1, 5), np.float32),
        avail=rng.random((steps + 1, 2, actions)) < 0.5,
        actions=rng.integers(0, actions, (steps, 2)),
        reward=rng.random(steps, np.float32),
        terminated=bool(rng.random() < 0.5),
    )


def room(store: EpisodeStore) -> int:
    (size,) = {len(array) for array in store._rows.values()}
    return size


def test_room_begins_with_1024_rows_and_grows_by_half_when_it_is_needed():
    rng, store = np.random.default_rng(0), EpisodeStore(info(), 100)
    assert (room(store), store.num_rows, len(store)) == (0, 0, 0)
    rooms = []
    for _ in range(7):
        store.add(episode(rng, 255))  # 256 rows
        rooms.append(room(store))
    assert rooms == [1024] * 4 + [1536] * 2 + [2304]
    store.add(episode(rng, 2999))  # more than half as much again: just its room
    assert room(store) == store.num_rows == 7 * 256 + 3000


def test_a_first_episode_longer_than_that_has_just_its_room():
    store = EpisodeStore(info(), 3)
    store.add(episode(np.random.default_rng(0), 1024))
    assert (room(store), store.num_rows) == (1025, 1025)


def test_a_full_ring_of_equal_episodes_never_grows_and_goes_round():
    """Four episodes of 256 rows fill 1024 rows; the fifth takes the place of the first."""
    rng, store, added = np.random.default_rng(1), EpisodeStore(info(), 4), []
    for count in range(1, 12):
        added.append(episode(rng, 255))
        store.add(added[-1])
        assert room(store) == 1024 and len(store) == min(4, count) and store.num_rows == 256 * len(store)
        for entry in range(len(store)):
            newest = max(k for k in range(count) if k % 4 == entry)
            batch, want = store.batch(np.array([entry])), added[newest]
            for name in ("obs", "state", "avail"):
                np.testing.assert_array_equal(getattr(batch, name), getattr(want, name))
            np.testing.assert_array_equal(batch.actions, want.actions)
            np.testing.assert_array_equal(batch.reward, want.reward)
            assert batch.terminated.tolist() == [False] * 254 + [want.terminated]


def test_an_episode_across_the_end_of_the_rows_reads_as_one_piece():
    """The fourth one takes rows 900 to 1023 and 0 to 175; the last one is too long, and everything is laid out anew."""
    rng, store = np.random.default_rng(2), EpisodeStore(info(), 3)
    added = [episode(rng, steps) for steps in (399, 399, 99, 299, 299, 499)]
    for count, one in enumerate(added):
        store.add(one)
        assert room(store) == (1024 if count < 5 else 1536)
        for number in range(max(0, count - 2), count + 1):
            batch = store.batch(np.array([number % 3]))
            np.testing.assert_array_equal(batch.obs, added[number].obs)
            np.testing.assert_array_equal(batch.reward, added[number].reward)
            np.testing.assert_array_equal(batch.last_action[1:], added[number].actions)
            assert (batch.last_action[0] == -1).all()


@pytest.mark.parametrize(("actions", "kind"), [(256, np.uint8), (257, np.int16)])
def test_actions_are_kept_small_and_come_back_as_indices(actions, kind):
    store = EpisodeStore(info(actions), 3)
    one = episode(np.random.default_rng(0), 3, actions)
    one.actions[0, 0] = actions - 1
    store.add(one)
    assert {name: array.dtype.type for name, array in store._rows.items()} == {
        "obs": np.float32, "state": np.float32, "avail": np.bool_, "actions": kind, "reward": np.float32,
    }  # fmt: skip
    state = store.state_dict()
    assert (state["length"].dtype, state["length"].tolist(), state["terminated"].dtype) == (np.int64, [3], np.bool_)
    assert (state["terminated"].tolist(), state["count"]) == ([one.terminated], 1)
    batch = store.batch(np.array([0]))
    np.testing.assert_array_equal(batch.actions, one.actions)
    kinds = {name: getattr(batch, name).dtype.type for name in ("actions", "last_action", "now", "after", "terminated")}
    assert kinds == {**dict.fromkeys(("actions", "last_action", "now", "after"), np.int64), "terminated": np.bool_}
    assert (batch.last_action[0] == -1).all() and batch.last_action[1, 0] == actions - 1


def test_draws_are_distinct_uniform_and_those_of_the_generator():
    rng, store = np.random.default_rng(3), EpisodeStore(info(), 5)
    for _ in range(7):
        store.add(episode(rng, 2))
    for size in (1, 3, 5):
        drawn = store.sample(np.random.default_rng(9), size)
        chosen = np.random.default_rng(9).choice(5, size=size, replace=False)
        np.testing.assert_array_equal(drawn.state, store.batch(chosen).state)
        assert drawn.counts == [size] * 3
