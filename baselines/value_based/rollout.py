"""Collects episodes in E slots that run side by side; a slot starts its next episode as soon as one is over.

Epsilon belongs to an episode: it follows from the environment steps done before the episode began (as in PyMARL).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.value_based.policy import RecurrentPolicy
from baselines.value_based.store import Episode
from envs.interface import VectorEnv


@dataclass(frozen=True)
class Finished:
    """An episode that came to its end, and how it went."""

    episode: Episode
    epsilon: float
    won: bool


class Rollout:
    """The running episodes of training and what was recorded of them.

    Args:
      env: E slots, freshly reset.
      policy: chooses actions; started here.
      epsilon_at: share of random actions of an episode that begins after so many environment steps.
      timeout_is_terminal: whether an episode cut by the step limit counts as terminated.
      generator: source of all exploration.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: RecurrentPolicy,
        *,
        epsilon_at: Callable[[int], float],
        timeout_is_terminal: bool,
        generator: np.random.Generator,
    ) -> None:
        self._env, self._policy, self._epsilon_at, self._generator = env, policy, epsilon_at, generator
        self._timeout_is_terminal = timeout_is_terminal
        slots, limit, n = env.num_envs, env.info.episode_limit, env.info.n_agents
        self._slots = np.arange(slots)
        self._t = np.zeros(slots, np.int64)  # (E,) steps done in each running episode
        self._epsilon = np.full(slots, epsilon_at(0))  # (E,)
        self._rows: dict[str, np.ndarray] = {
            "obs": np.zeros((slots, limit + 1, n, env.info.obs_size), np.float32),
            "state": np.zeros((slots, limit + 1, env.info.state_size), np.float32),
            "avail": np.zeros((slots, limit + 1, n, env.info.n_actions), bool),
            "actions": np.zeros((slots, limit, n), np.int64),
            "reward": np.zeros((slots, limit), np.float32),
            **{name: np.zeros((slots, limit, n), kind) for name, kind in policy.NOTES.items()},
        }
        policy.start(slots)

    def step(self, env_steps: int) -> list[Finished]:
        """One step in every slot. env_steps: count before it.

        Returns: the episodes it ended, by slot; lost ones are left out.
        """
        env, rows, now = self._env, self._rows, (self._slots, self._t)
        self._observe(now)
        actions = self._policy.explore(env.obs, env.available_actions, self._epsilon, self._generator)
        env.step(actions)
        rows["actions"][now], rows["reward"][now] = actions, env.reward
        for name, note in self._policy.notes().items():
            rows[name][now] = note
        self._t += 1
        ended = np.flatnonzero(env.finished)
        if not len(ended):
            return []
        self._observe((self._slots, self._t))
        finished = [self._cut(int(slot)) for slot in ended if not env.discarded[slot]]
        env.reset_done()
        self._policy.start_slots(ended)
        self._t[ended] = 0
        self._epsilon[ended] = self._epsilon_at(env_steps + env.num_envs)
        return finished

    def _observe(self, at: tuple[np.ndarray, np.ndarray]) -> None:
        self._rows["obs"][at] = self._env.obs
        self._rows["state"][at] = self._env.state
        self._rows["avail"][at] = self._env.available_actions

    def _cut(self, slot: int) -> Finished:
        """Copy a finished episode out of its slot."""
        steps = int(self._t[slot])
        seen = {name: self._rows[name][slot, : steps + 1].copy() for name in ("obs", "state", "avail")}
        done = {name: self._rows[name][slot, :steps].copy() for name in ("actions", "reward")}
        notes = {name: self._rows[name][slot, :steps].copy() for name in self._policy.NOTES}
        terminated = bool(self._env.terminated[slot]) or self._timeout_is_terminal
        episode = Episode(**seen, **done, terminated=terminated, notes=notes)
        return Finished(episode, float(self._epsilon[slot]), bool(self._env.won[slot]))

    def state_dict(self) -> dict[str, Any]:
        """Environment, policy, and the recorded part of the running episodes."""
        longest = int(self._t.max()) + 1
        return {
            "env": self._env.snapshot(),
            "policy": self._policy.state_dict(),
            "t": self._t.copy(),
            "epsilon": self._epsilon.copy(),
            "rows": {name: array[:, :longest].copy() for name, array in self._rows.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._env.restore(state["env"])
        self._policy.load_state_dict(state["policy"])
        self._t[:], self._epsilon[:] = state["t"], state["epsilon"]
        for name, array in state["rows"].items():
            self._rows[name][:, : array.shape[1]] = array
