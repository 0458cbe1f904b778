"""Acting with search: self-play that fills the replay, and greedy play for evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.interface import VectorEnv
from mazero.config import MAZeroConfig
from mazero.inference import Model
from mazero.replay import FIELDS, Episode
from mazero.search import SearchResult, Workspace
from mazero.searches import search_fields, search_observations
from training.greedy import best_of


class ObservationStack:
    """The last `depth` observations of every slot, oldest first; a new episode repeats its first one."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._frames: np.ndarray | None = None  # (depth, B, n, O)

    def push(self, obs: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Add obs (B, n, O); `fresh` (B,) bool marks slots whose episode starts here. Returns (B, n, depth * O)."""
        if self._frames is None:
            self._frames = np.repeat(obs[None], self.depth, axis=0).copy()
        else:
            self._frames = np.concatenate((self._frames[1:], obs[None]))
            self._frames[:, fresh] = obs[fresh]
        return np.concatenate(tuple(self._frames), axis=-1)

    def state_dict(self) -> dict[str, Any]:
        """The frames."""
        return {"frames": None if self._frames is None else self._frames.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._frames = None if state["frames"] is None else state["frames"].copy()


def draw_children(result: SearchResult, *, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """One child per root, with probability proportional to visit count ** (1 / temperature). Returns (B,) int64."""
    share = np.where(result.mask, result.visit_counts, 0.0)
    share /= share.max(axis=1, keepdims=True)
    return _draw(share ** (1.0 / temperature), rng)


def draw_uniformly(result: SearchResult, rng: np.random.Generator) -> np.ndarray:
    """One of the sampled joint actions of each root, all equally likely. Returns (B,) int64."""
    return _draw(result.mask.astype(np.float64), rng)


def greedy_children(result: SearchResult, rng: np.random.Generator) -> np.ndarray:
    """The most visited child of each root, of these the one with the largest q, of equals any. Returns (B,) int64."""
    most = result.visit_counts == result.visit_counts.max(axis=1, keepdims=True)
    return best_of(result.q, most & result.mask, rng)


def _draw(mass: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Index per row of mass (B, K) >= 0, drawn in proportion."""
    cumulative = mass.cumsum(axis=1)
    return (cumulative <= rng.random(len(mass))[:, None] * cumulative[:, -1:]).sum(axis=1)


class SelfPlay:
    """B episodes side by side; one call of `step` advances all of them.

    Args:
      env: vectorised environment, owned from here on.    config: of the run.    env_seed: seed of its episodes.
    """

    def __init__(self, env: VectorEnv, config: MAZeroConfig, *, env_seed: int) -> None:
        self.env, self.config = env, config
        self.env.reset(env_seed)
        self._stack = ObservationStack(config.network.stacked_observations)
        self._fresh = np.ones(env.num_envs, np.bool_)
        self._rows: list[list[dict[str, np.ndarray]]] = [[] for _ in range(env.num_envs)]
        self._workspace = Workspace()

    def step(
        self, model: Model, *, explore: bool, search_rng: np.random.Generator, actor_rng: np.random.Generator
    ) -> list[tuple[Episode, dict[str, float]]]:
        """Search, act, and return the episodes that ended with their outcome (return, length, won); lost ones are left
        out.

        Args:
          explore: act at random among the sampled joint actions (before learning starts).
        """
        env = self.env
        obs = self._stack.push(env.obs, self._fresh)
        result = search_observations(
            model,
            obs,
            env.available_actions,
            self.config,
            seeds=search_rng.integers(0, 2**64, env.num_envs, dtype=np.uint64),
            noise=True,
            workspace=self._workspace,
        )
        if explore:
            child = draw_uniformly(result, actor_rng)
        else:
            child = draw_children(result, temperature=self.config.self_play.temperature, rng=actor_rng)
        action = result.joint_actions[np.arange(env.num_envs), child]  # (B, n)
        before = {"obs": env.obs.copy(), "available": env.available_actions.copy(), "action": action.astype(np.int16)}
        before.update(search_fields(result))
        env.step(action)
        before["reward"] = env.reward.copy()
        for slot, rows in enumerate(self._rows):
            rows.append({name: values[slot] for name, values in before.items()})
        finished = env.finished.copy()
        for lost in np.flatnonzero(env.discarded):
            self._rows[int(lost)] = []
        ended = [self._collect(int(slot)) for slot in np.flatnonzero(finished & ~env.discarded)]
        env.reset_done()
        self._fresh = finished
        return ended

    def _collect(self, slot: int) -> tuple[Episode, dict[str, float]]:
        rows, self._rows[slot] = self._rows[slot], []
        episode = Episode(**{name: np.stack([row[name] for row in rows]) for name in FIELDS})
        outcome = {
            "episode_return": float(episode.reward.sum(dtype=np.float64)),
            "episode_length": float(len(rows)),
            "episode_won": float(self.env.won[slot]),
        }
        return episode, outcome

    def state_dict(self) -> dict[str, Any]:
        """Environment, open episodes and observation stack."""
        return {
            "env": self.env.snapshot(),
            "stack": self._stack.state_dict(),
            "fresh": self._fresh.copy(),
            "rows": [[{k: v.copy() for k, v in row.items()} for row in rows] for rows in self._rows],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.env.restore(state["env"])
        self._stack.load_state_dict(state["stack"])
        self._fresh = state["fresh"].copy()
        self._rows = [list(rows) for rows in state["rows"]]


class SearchPolicy:
    """Greedy play with search: the most visited joint action, no root noise."""

    def __init__(
        self,
        model: Model,
        config: MAZeroConfig,
        *,
        rng: np.random.Generator,
        num_simulations: int | None = None,
    ) -> None:
        self._model, self._config, self._rng = model, config, rng
        self._num_simulations = num_simulations
        self._stack = ObservationStack(config.network.stacked_observations)
        self._workspace = Workspace()

    def start(self, num_envs: int) -> None:
        """Forget the observations of earlier episodes."""
        self._stack = ObservationStack(self._stack.depth)

    def act(self, env: VectorEnv) -> np.ndarray:
        """Joint actions (B, n); finished slots are not searched and get action 0."""
        obs = self._stack.push(env.obs, np.zeros(env.num_envs, np.bool_))
        running = np.flatnonzero(~env.finished)
        result = search_observations(
            self._model,
            np.ascontiguousarray(obs[running]),
            np.ascontiguousarray(env.available_actions[running]),
            self._config,
            seeds=self._rng.integers(0, 2**64, env.num_envs, dtype=np.uint64)[running],
            noise=False,
            num_simulations=self._num_simulations,
            workspace=self._workspace,
        )
        actions = np.zeros((env.num_envs, env.info.n_agents), np.int64)
        actions[running] = result.joint_actions[np.arange(len(running)), greedy_children(result, self._rng)]
        return actions


class NetworkPolicy:
    """Decentralised execution: every agent takes its own most likely available action, without search."""

    def __init__(self, model: Model, config: MAZeroConfig) -> None:
        self._model, self._depth = model, config.network.stacked_observations
        self.start(0)

    def start(self, num_envs: int) -> None:
        """Forget the observations of earlier episodes."""
        self._stack = ObservationStack(self._depth)
        self._rng = np.random.default_rng(0)  # for equal logits: the same episodes are played the same way

    def act(self, env: VectorEnv) -> np.ndarray:
        """Joint actions (B, n)."""
        obs = self._stack.push(env.obs, np.zeros(env.num_envs, np.bool_))
        logits = self._model.roots(obs).policy_logits.cpu().numpy()
        return best_of(logits, env.available_actions, self._rng)
