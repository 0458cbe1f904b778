"""A stochastic toy environment with ragged episodes, the two-step game of the QMIX paper, and learners on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from baselines import registry
from baselines.value_based.config import ValueConfig
from envs.interface import EnvInfo, Snapshot, VectorEnv
from training.config import apply_overrides, load_preset


class RaggedEnv(VectorEnv):
    """Noise as observations, random availability, an end with probability 1/4 per step, a time-out after 6 steps."""

    def __init__(self, num_envs: int, seed: int) -> None:
        self._allocate(EnvInfo("ragged", "test", "smac", 2, 1, 4, 3, 5, 6, False), num_envs)
        self._seed(seed)

    def _seed(self, seed: int) -> None:
        self._rng = [np.random.default_rng((seed, b)) for b in range(self.num_envs)]
        self._t = np.zeros(self.num_envs, np.int64)

    def _observe(self, b: int) -> None:
        rng = self._rng[b]
        self.obs[b], self.state[b] = rng.random((2, 3)), rng.random(5)
        self.available_actions[b] = rng.random((2, 4)) < 0.5
        self.available_actions[b, :, 1] = True

    def _start(self, b: int) -> None:
        self._t[b] = self.reward[b] = 0
        self.terminated[b] = self.truncated[b] = self.won[b] = False
        self._observe(b)

    def reset(self, seed: int | None = None) -> None:
        if seed is not None:
            self._seed(seed)
        for b in range(self.num_envs):
            self._start(b)

    def step(self, actions: np.ndarray) -> None:
        actions = self._checked_actions(actions)
        self.reward[:] = 0
        for b in np.flatnonzero(~self.finished):
            self._t[b] += 1
            self.reward[b] = actions[b].sum()
            self.terminated[b] = self.won[b] = self._rng[b].random() < 0.25
            self.truncated[b] = not self.terminated[b] and self._t[b] == self.info.episode_limit
            self._observe(b)

    def reset_done(self) -> None:
        for b in np.flatnonzero(self.finished):
            self._start(b)

    def snapshot(self) -> Snapshot:
        arrays = {name: getattr(self, name).copy() for name in self._names()}
        state = [rng.bit_generator.state["state"] for rng in self._rng]
        words = [[int(w) for v in (s["state"], s["inc"]) for w in (v >> 64, v & (2**64 - 1))] for s in state]
        return {**arrays, "rng": np.array(words, np.uint64)}

    def restore(self, snapshot: Snapshot) -> None:
        for name in self._names():
            getattr(self, name)[...] = snapshot[name]
        for rng, (a, b, c, d) in zip(self._rng, snapshot["rng"].tolist()):
            state = rng.bit_generator.state
            state["state"] = {"state": (a << 64) | b, "inc": (c << 64) | d}
            rng.bit_generator.state = state

    @staticmethod
    def _names() -> tuple[str, ...]:
        return ("obs", "state", "available_actions", "reward", "terminated", "truncated", "won", "_t")


class TwoStepGame(VectorEnv):
    """QMIX paper, section 5: the first agent's first action chooses between a flat game (7) and one that hides 8."""

    PAYOFF = np.array([[[7, 7], [7, 7]], [[0, 1], [1, 8]]], np.float32)

    def __init__(self, num_envs: int) -> None:
        self._allocate(EnvInfo("two_step", "test", "smac", 2, 0, 2, 3, 3, 2, True), num_envs)
        self.available_actions[:] = True
        self._room = np.zeros(num_envs, np.int64)  # 0 start, 1 flat, 2 coordination

    def _observe(self) -> None:
        self.state[:] = np.eye(3)[self._room]
        self.obs[:] = self.state[:, None]

    def reset(self, seed: int | None = None) -> None:
        self._room[:] = 0
        self.terminated[:] = self.won[:] = False
        self._observe()

    def step(self, actions: np.ndarray) -> None:
        at_start, over = self._room == 0, self.finished
        payoff = self.PAYOFF[np.maximum(self._room - 1, 0), actions[:, 0], actions[:, 1]]
        self.reward[:] = np.where(at_start | over, 0.0, payoff)
        self.terminated[:] = over | ~at_start
        self._room[at_start] = 1 + actions[at_start, 0]
        self._observe()

    def reset_done(self) -> None:
        self._room[self.finished] = 0
        self.terminated[:] = False
        self._observe()

    def snapshot(self) -> Snapshot:
        return {"room": self._room.copy(), "terminated": self.terminated.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        self._room[:], self.terminated[:] = snapshot["room"], snapshot["terminated"]
        self._observe()


@pytest.fixture
def info_3m() -> EnvInfo:
    return EnvInfo("3m", "skirmish", "smac", 3, 3, 9, 30, 48, 60, False)


@pytest.fixture
def ragged_env() -> Callable[[int, int], VectorEnv]:
    return RaggedEnv


@pytest.fixture
def small_config() -> Callable[..., ValueConfig]:
    """The matrix preset with settings small enough for tests, and further overrides."""

    def make(*overrides: str, name: str = "qmix") -> ValueConfig:
        algorithm = registry.find(name)
        small = [
            "rollout.num_envs=3", "rollout.epsilon_steps=100", "agent.hidden_size=8", "agent.last_action=true",
            "learning.batch_episodes=4", "learning.start_episodes=6", "learning.updates_per_episode=1",
            "learning.target_every_episodes=10", "learning.capacity_episodes=20",
        ]  # fmt: skip
        return apply_overrides(load_preset(algorithm.presets, "matrix", algorithm.config), [*small, *overrides])

    return make


@pytest.fixture
def make_learner() -> Callable[..., Any]:
    """A learner (QMIX unless told) on the ragged environment or the two-step game."""

    def make(
        config: ValueConfig, *, seed: int = 0, game: str = "ragged", algorithm: str = "qmix", device: str = "cpu"
    ) -> Any:
        def make_env(num_envs: int, observation: str, env_seed: int) -> VectorEnv:
            return RaggedEnv(num_envs, env_seed) if game == "ragged" else TwoStepGame(num_envs)

        return registry.find(algorithm).make_learner(
            config, make_env=make_env, seed=seed, device=device, eval_episodes=4
        )

    return make
