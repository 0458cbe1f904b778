"""Intervals of packed batches against a walk through each episode."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.rode.intervals import role_intervals
from baselines.value_based.store import Episode, EpisodeStore
from envs.interface import EnvInfo

INFO = EnvInfo("toy", "test", "smac", 2, 1, 4, 3, 5, 40, False)


def batch_of(lengths, ends):
    """Episodes with rewards that tell their steps, longest first; states tell episode and time."""
    store = EpisodeStore(INFO, 100, {"roles": np.uint8})
    for episode, (steps, terminated) in enumerate(zip(lengths, ends)):
        state = np.zeros((steps + 1, 5), np.float32)
        state[:, 0], state[:, 1] = episode, np.arange(steps + 1)
        shape = (steps + 1, 2)
        store.add(
            Episode(
                np.zeros((*shape, 3), np.float32),
                state,
                np.ones((*shape, 4), bool),
                np.zeros((steps, 2), np.int64),
                (100.0 * episode + np.arange(steps)).astype(np.float32),
                terminated,
                {"roles": np.zeros((steps, 2), np.uint8)},
            )
        )
    return store.batch(np.arange(len(lengths)))


@pytest.mark.parametrize("interval", [1, 2, 3, 5, 50])
@pytest.mark.parametrize("seed", range(4))
def test_every_interval_is_that_of_the_walk(interval, seed):
    rng = np.random.default_rng(seed)
    lengths, ends = rng.integers(1, 17, 9), rng.random(9) < 0.6
    batch = batch_of(lengths, ends)
    got = role_intervals(batch, interval)
    where = [tuple(int(x) for x in row[:2]) for row in batch.state]  # (episode, time) of each row
    expected_starts = {(e, t) for e, steps in enumerate(lengths) for t in range(0, steps + 1, interval)}
    starts = [where[row] for row in got.starts]
    assert len(starts) == len(expected_starts) and set(starts) == expected_starts
    for row, (episode, time) in enumerate(where):
        assert starts[got.of_row[row]] == (episode, time - time % interval)
    assert {starts[p] for p in got.begun} == {(e, t) for e, t in expected_starts if t < lengths[e]}
    for position, step in zip(got.begun, got.step):
        assert where[batch.now[step]] == starts[position]
    outcomes = {}
    for episode, steps in enumerate(lengths):
        for time in range(0, steps, interval):
            inside = range(time, min(time + interval, steps))
            over = bool(ends[episode]) and steps - 1 in inside
            if over or time + interval <= steps:
                reward = sum(100.0 * episode + t for t in inside)
                outcomes[episode, time] = (reward, over, None if over else (episode, time + interval))
    seen = {}
    for k, number in enumerate(got.known):
        place = starts[got.begun[number]]
        over = bool(got.terminated[k])
        seen[place] = (float(got.reward[k]), over, None if over else starts[got.following[k]])
    assert seen == outcomes and got.reward.dtype == np.float32


def test_an_interval_cut_by_the_step_limit_has_no_outcome():
    """Seven steps in intervals of five: the second has no next role to ask, unless nothing is worth anything then."""
    for terminated, known in ((False, [0]), (True, [0, 1])):
        assert role_intervals(batch_of([7], [terminated]), 5).known.tolist() == known
    full = role_intervals(batch_of([10], [False]), 5)
    assert full.known.tolist() == [0, 1] and full.starts.tolist() == [0, 5, 10] and full.following.tolist() == [1, 2]
