"""The ring of steps against plain lists."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.mamba.store import Episode, StepStore
from envs.interface import EnvInfo

INFO = EnvInfo("toy", "test", "smac", 2, 1, 4, 3, 5, 9, False)


def episode(rng, steps):
    return Episode(
        obs=rng.random((steps, 2, 3)).astype(np.float32),
        avail=rng.random((steps, 2, 4)) < 0.5,
        action=rng.integers(0, 4, (steps, 2)),
        reward=rng.random(steps).astype(np.float32),
        done=rng.random(steps) < 0.5,
        fake=rng.random(steps) < 0.5,
    )


def filled(capacity, lengths):
    rng, store, steps = np.random.default_rng(0), StepStore(INFO, capacity), []
    for length in lengths:
        item = episode(rng, length)
        store.add(item)
        steps += [
            {name: getattr(item, name)[t] for name in ("obs", "avail", "action", "reward", "done", "fake")}
            | {"last": t == length - 1}
            for t in range(length)
        ]
    return store, steps


def test_starts_before_the_ring_is_full_leave_the_newest_step_out():
    store, _ = filled(100, [7, 8])
    starts = store.starts(np.random.default_rng(1), 500, 6)
    assert set(starts.tolist()) == set(range(9))


def test_starts_in_a_full_ring_never_run_from_the_newest_step_into_the_oldest():
    store, _ = filled(20, [7, 8, 9])
    assert len(store) == 20
    starts = store.starts(np.random.default_rng(1), 1000, 6)
    oldest = 24 % 20
    assert set(starts.tolist()) == {(oldest + k) % 20 for k in range(15)}


def test_too_few_steps_are_refused():
    store, _ = filled(100, [6])
    with pytest.raises(ValueError, match="cannot draw sequences of 6 steps from 6"):
        store.starts(np.random.default_rng(0), 1, 6)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(("capacity", "lengths"), [(100, [5, 4, 6]), (20, [7, 8, 9]), (9, [4, 30])])
def test_batches_are_the_stored_steps(capacity, lengths, reset):
    store, steps = filled(capacity, lengths)
    starts = store.starts(np.random.default_rng(2), 8, 5)
    batch = store.batch(starts, 5, reset_action=reset, device="cpu")
    added = len(steps)
    newest_at = {k % capacity: k for k in range(max(0, added - capacity), added)}
    for b, start in enumerate(starts):
        row = [steps[newest_at[(start + k) % capacity]] for k in range(5)]
        for t in range(4):
            before, now = row[t], row[t + 1]
            np.testing.assert_array_equal(batch.obs[t, b], now["obs"])
            np.testing.assert_array_equal(batch.avail[t, b], now["avail"])
            action = np.full(2, -1) if reset and before["last"] else before["action"]
            np.testing.assert_array_equal(batch.last_action[t, b], action)
            assert (batch.reward[t, b], batch.done[t, b]) == (before["reward"], before["done"])
            assert (batch.fake[t, b], batch.last[t, b]) == (now["fake"], now["last"])


@pytest.mark.parametrize("lengths", [[5, 4, 6], [7, 8, 9]])
def test_a_state_puts_every_step_back_in_its_place(lengths):
    store, _ = filled(20, lengths)
    other, _ = filled(20, [3, 9, 9, 9])
    other.load_state_dict(store.state_dict())
    rng = np.random.default_rng(5)
    more = episode(rng, 6)
    for _ in range(2):
        batches = [s.sample(np.random.default_rng(3), 8, 5, reset_action=False, device="cpu") for s in (store, other)]
        for name, value in vars(batches[0]).items():
            assert (value == getattr(batches[1], name)).all()
        store.add(more), other.add(more)


def test_what_was_dropped_is_not_written():
    store, _ = filled(20, [7, 8, 9])
    table = store.state_dict()["rows"]
    assert (table.first, table.end) == (4, 24)
    assert [len(column) for column in table.read(22).values()] == [2] * 7
