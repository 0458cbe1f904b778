"""Which steps of a batch share a role: intervals of c steps from the beginning of each episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.value_based.store import EpisodeBatch


@dataclass(frozen=True)
class Intervals:
    """Of a batch with R rows. A role begins in S of them: rows 0, c, 2 c, ... of each episode, the final row included.

    J intervals have an outcome that is known: the episode terminated in them, or what was seen after c steps is there.
    An interval that the step limit cut short without ending the value has none.
    """

    starts: np.ndarray  # (S,) rows
    of_row: np.ndarray  # (R,) the start of each row's interval, a position in `starts`
    begun: np.ndarray  # (I,) positions in `starts` from which a step was taken
    step: np.ndarray  # (I,) that step, a position in `EpisodeBatch.actions`
    known: np.ndarray  # (J,) positions in `begun`
    following: np.ndarray  # (J,) start of the next interval, a position in `starts`; 0 where the episode terminated
    reward: np.ndarray  # (J,) float32, sum over the interval
    terminated: np.ndarray  # (J,) bool


def role_intervals(batch: EpisodeBatch, interval: int) -> Intervals:
    """The intervals of `interval` steps of a batch."""
    counts = np.asarray(batch.counts)
    first_row = np.cumsum(counts) - counts  # of each step
    time = np.repeat(np.arange(len(counts)), counts)  # (R,) as is `episode`
    episode = np.arange(len(time)) - first_row[time]
    length = np.bincount(episode) - 1  # steps of each episode
    starts = np.flatnonzero(time % interval == 0)
    position = np.zeros(len(time), np.int64)
    position[starts] = np.arange(len(starts))
    of_row = position[first_row[time - time % interval] + episode]

    begins, whose = time[starts], episode[starts]
    begun = np.flatnonzero(begins < length[whose])
    begins, whose = begins[begun], whose[begun]
    step_of_row = np.zeros(len(time), np.int64)
    step_of_row[batch.now] = np.arange(len(batch.now))
    of_step = of_row[batch.now]
    reward = np.bincount(of_step, batch.reward, len(starts))[begun]
    terminated = np.bincount(of_step, batch.terminated, len(starts))[begun] > 0
    seen = begins + interval <= length[whose]
    known = np.flatnonzero(terminated | seen)
    next_row = first_row[np.where(seen, begins + interval, 0)] + whose
    return Intervals(
        starts=starts,
        of_row=of_row,
        begun=begun,
        step=step_of_row[starts[begun]],
        known=known,
        following=np.where(seen & ~terminated, position[next_row], 0)[known],
        reward=reward.astype(np.float32)[known],
        terminated=terminated[known],
    )
