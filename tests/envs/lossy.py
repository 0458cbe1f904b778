"""An environment that loses episodes, as one with games outside the process does, around any other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.interface import Snapshot, VectorEnv


class Lossy(VectorEnv):
    """Episode k of slot b is lost after `at` steps if `doomed(b, k)`. Rewards of doomed episodes are `poison`."""

    def __init__(
        self, env: VectorEnv, doomed: Callable[[int, int], bool], *, at: int = 5, poison: float = np.nan
    ) -> None:
        self.env, self.info, self.num_envs = env, env.info, env.num_envs
        self._doomed, self._at, self._poison = doomed, at, poison
        self.obs, self.state, self.reward, self.won = env.obs, env.state, env.reward.copy(), env.won
        self.available_actions = env.available_actions.copy()
        self.terminated, self.truncated = env.terminated.copy(), env.truncated.copy()
        self._discarded = np.zeros(self.num_envs, bool)
        self._number, self._t = np.zeros(self.num_envs, int), np.zeros(self.num_envs, int)
        self.lost = 0

    @property
    def discarded(self) -> np.ndarray:
        return self._discarded

    def reset(self, seed: int | None = None) -> None:
        self.env.reset(seed)
        self._number[:] = self._number + 1 if seed is None else 0
        self._begin(np.ones(self.num_envs, bool))

    def step(self, actions: np.ndarray) -> None:
        actions = self._checked_actions(actions)
        running = ~self.finished
        played = np.where(running[:, None], actions, self.env.available_actions.argmax(-1))
        self.env.step(played)
        self.available_actions[running] = self.env.available_actions[running]
        self.reward[:] = np.where(running, self.env.reward, 0.0)
        self.terminated[running], self.truncated[running] = self.env.terminated[running], self.env.truncated[running]
        self._t += running
        for slot in np.flatnonzero(running):
            if self._doomed(int(slot), int(self._number[slot])):
                self.reward[slot] = self._poison
                assert not self.env.finished[slot]
                if self._t[slot] == self._at:
                    self._lose(slot)

    def _lose(self, slot: int) -> None:
        self.lost += 1
        self.reward[slot] = 0.0
        self._discarded[slot] = self.truncated[slot] = True
        self.terminated[slot] = False
        self.available_actions[slot] = np.arange(self.info.n_actions) == 0

    def reset_done(self) -> None:
        finished = self.finished
        # The inner episode of a lost one is played to its end; nobody sees that.
        while (finished & ~self.env.finished).any():
            self.env.step(self.env.available_actions.argmax(-1)) if finished.all() else self._skip(finished)
        self.env.reset_done()
        self._number += finished
        self._begin(finished)

    def _skip(self, finished: np.ndarray) -> None:
        """Play on in finished slots alone."""
        before = self.env.snapshot()
        self.env.step(self.env.available_actions.argmax(-1))
        after = self.env.snapshot()
        for name, array in after.items():
            if len(array) == self.num_envs:
                array[~finished] = before[name][~finished]
        self.env.restore(after)

    def _begin(self, slots: np.ndarray) -> None:
        self._t[slots] = self.reward[slots] = 0
        self.terminated[slots] = self.truncated[slots] = self._discarded[slots] = False
        self.available_actions[slots] = self.env.available_actions[slots]

    def snapshot(self) -> Snapshot:
        return {"number": self._number.copy()} | {f"env_{k}": v for k, v in self.env.snapshot().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """As `envs.smac` does: all episodes under way are lost."""
        self.env.restore({k.removeprefix("env_"): v for k, v in snapshot.items() if k != "number"})
        self._number[:] = snapshot["number"]
        for slot in range(self.num_envs):
            self._lose(slot)
