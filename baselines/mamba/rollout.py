"""Collects episodes in E slots that run side by side, with sampled latents and sampled actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.mamba.policy import LatentPolicy
from baselines.mamba.store import ABSORBING_STEPS, Episode
from baselines.mappo.policy import sample
from envs.interface import VectorEnv


@dataclass(frozen=True)
class Finished:
    """An episode that came to its end, and how it went."""

    episode: Episode
    won: bool
    team_return: float
    length: int


class Rollout:
    """The running episodes of training and what was recorded of them.

    Args:
      env: E slots, freshly reset.
      policy: started here.
      timeout_is_terminal: whether an episode cut by the step limit counts as over (`done`).
      generator: source of all exploration, and of the actions of absorbing steps.
    """

    def __init__(
        self, env: VectorEnv, policy: LatentPolicy, *, timeout_is_terminal: bool, generator: np.random.Generator
    ) -> None:
        self._env, self._policy, self._generator = env, policy, generator
        self._timeout_is_terminal = timeout_is_terminal
        slots, limit, n = env.num_envs, env.info.episode_limit, env.info.n_agents
        self._slots = np.arange(slots)
        self._t = np.zeros(slots, np.int64)  # (E,) steps done in each running episode
        self._rows: dict[str, np.ndarray] = {
            "obs": np.zeros((slots, limit, n, env.info.obs_size), np.float32),
            "avail": np.zeros((slots, limit, n, env.info.n_actions), bool),
            "action": np.zeros((slots, limit, n), np.int64),
            "reward": np.zeros((slots, limit), np.float32),
        }
        policy.start(slots)

    def step(self) -> list[Finished]:
        """One step in every slot. Returns: the episodes it ended, by slot; lost ones are left out."""
        env, rows, now = self._env, self._rows, (self._slots, self._t)
        rows["obs"][now], rows["avail"][now] = env.obs, env.available_actions
        uniforms = self._policy.uniforms(self._generator)
        log_probs = self._policy.log_policy(env.obs, env.available_actions, uniforms)
        actions = sample(log_probs, self._generator)
        self._policy.acted(actions)
        env.step(actions)
        rows["action"][now], rows["reward"][now] = actions, env.reward
        self._t += 1
        ended = np.flatnonzero(env.finished)
        if not len(ended):
            return []
        finished = [self._cut(int(slot)) for slot in ended if not env.discarded[slot]]
        env.reset_done()
        self._policy.start_slots(ended)
        self._t[ended] = 0
        return finished

    def _cut(self, slot: int) -> Finished:
        """Copy a finished episode out of its slot, absorbing steps behind it if it ended by itself."""
        steps, over = int(self._t[slot]), bool(self._env.terminated[slot])
        length = steps + ABSORBING_STEPS * over
        fake = np.arange(length) >= steps
        parts = {}
        for name, array in self._rows.items():
            parts[name] = np.zeros((length, *array.shape[2:]), array.dtype)
            parts[name][:steps] = array[slot, :steps]
        team_return = float(parts["reward"].sum(dtype=np.float64))
        if over:
            n, actions = parts["avail"].shape[1:]
            parts["avail"][steps:] = True
            parts["action"][steps:] = self._generator.integers(0, actions, n)  # the same in both, as in the reference
        done = fake.copy()
        done[steps - 1] = over or self._timeout_is_terminal
        return Finished(Episode(**parts, done=done, fake=fake), bool(self._env.won[slot]), team_return, steps)

    def state_dict(self) -> dict[str, Any]:
        """Environment, policy, and the recorded part of the running episodes."""
        longest = int(self._t.max())
        return {
            "env": self._env.snapshot(),
            "policy": self._policy.state_dict(),
            "t": self._t.copy(),
            "rows": {name: array[:, :longest].copy() for name, array in self._rows.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._env.restore(state["env"])
        self._policy.load_state_dict(state["policy"])
        self._t[:] = state["t"]
        for name, array in state["rows"].items():
            self._rows[name][:, : array.shape[1]] = array
