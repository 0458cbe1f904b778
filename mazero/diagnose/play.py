"""Episodes with everything a diagnosis compares: what was seen, done and earned, and what search said about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from envs.interface import VectorEnv
from mazero.config import MAZeroConfig
from mazero.inference import Model
from mazero.search import SearchResult, Workspace
from mazero.searches import search_observations
from mazero.selfplay import ObservationStack, draw_children, greedy_children
from mazero.targets import value_targets
from training.evaluation import Policy

STEP_FIELDS = ("reward", "action", "available", "hidden", "value", "logits", "child", "search_value", "num_children",
               "joint_actions", "visit_counts", "q", "model_q", "prior")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outcome:
    """How E episodes ended."""

    won: np.ndarray  # (E,) bool
    returns: np.ndarray  # (E,) float64, undiscounted
    length: np.ndarray  # (E,) int64, environment steps


@dataclass(frozen=True, eq=False)
class Recording:
    """E episodes, their M steps one after the other: all of episode 0, then all of episode 1, ..."""

    outcome: Outcome
    episode: np.ndarray  # (M,) int64, which episode
    step: np.ndarray  # (M,) int64, which step of it, from 0
    reward: np.ndarray  # (M,) float64, of the step taken
    action: np.ndarray  # (M, n) int64, taken
    available: np.ndarray  # (M, n, A) bool
    hidden: np.ndarray  # (M, n, H) float32, the encoded real observation
    value: np.ndarray  # (M,) float64, predicted there
    logits: np.ndarray  # (M, n, A) float32
    child: np.ndarray  # (M,) int64, the child of the root that was taken
    search_value: np.ndarray  # (M,) float64, V of the root
    num_children: np.ndarray  # (M,) int32
    joint_actions: np.ndarray  # (M, K, n) int16
    visit_counts: np.ndarray  # (M, K) int32
    q: np.ndarray  # (M, K) float64, reward + discount * V(child), V of the search
    model_q: np.ndarray  # (M, K) float64, the same with the value the network predicts for the child
    prior: np.ndarray  # (M, K) float64

    @property
    def num_episodes(self) -> int:
        """E."""
        return len(self.outcome.length)

    @property
    def remaining(self) -> np.ndarray:
        """(M,) int64: steps from here to the end of the episode, the one taken here included; at least 1."""
        return self.outcome.length[self.episode] - self.step

    @cached_property
    def mask(self) -> np.ndarray:
        """(M, K) bool, True where a child exists."""
        return np.arange(self.q.shape[1]) < self.num_children[:, None]

    def padded(self, x: np.ndarray, more: int = 0) -> np.ndarray:
        """x (M,) as (E, T + more) with zeros after the ends, T the longest episode."""
        out = np.zeros((self.num_episodes, int(self.outcome.length.max()) + more))
        out[self.episode, self.step] = x
        return out

    def n_step(self, horizon: int, *, discount: float) -> np.ndarray:
        """(M,) float64: value targets of that horizon, bootstrapped with the values predicted at real observations."""
        steps = np.full(self.num_episodes, horizon)
        reward, value = self.padded(self.reward, horizon), self.padded(self.value, horizon + 1)
        return value_targets(reward, value, horizon=steps, discount=discount)[self.episode, self.step]


def play(policy: Policy, env: VectorEnv, *, seed: int) -> Outcome:
    """One episode in every slot, as `training.evaluation.evaluate` plays them."""
    env.reset_later(seed)
    policy.start(env.num_envs)
    returns, length = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)
    while not env.finished.all():
        running = ~env.finished
        env.step(policy.act(env))
        returns += np.where(running, env.reward, 0.0)
        length += running
    return Outcome(env.won.copy(), returns, length)


def record(
    model: Model,
    env: VectorEnv,
    config: MAZeroConfig,
    *,
    seed: int,
    rng: np.random.Generator,
    explore: bool,
    num_simulations: int | None = None,
) -> Recording:
    """Play one episode in every slot with search, and keep every step.

    Args:
      seed: of the episodes.    rng: of the searches and of the choices among children.
      explore: True acts as self-play does once it learns (root noise, drawn by visit counts), False as evaluation does
        (no noise, the most visited child): the same episodes as `SearchPolicy` plays with the same `rng`.
      num_simulations: N, if other than the config's.
    """
    env.reset_later(seed)
    stack, workspace = ObservationStack(config.network.stacked_observations), Workspace()
    steps: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    while not env.finished.all():
        running = np.flatnonzero(~env.finished)
        obs = stack.push(env.obs, np.zeros(env.num_envs, np.bool_))[running]
        available = np.ascontiguousarray(env.available_actions[running])
        obs = np.ascontiguousarray(obs)
        root = model.roots(obs, available)
        result = search_observations(
            model,
            obs,
            available,
            config,
            seeds=rng.integers(0, 2**64, env.num_envs, dtype=np.uint64)[running],
            noise=explore,
            num_simulations=num_simulations,
            workspace=workspace,
        )
        child = _choose(result, config, rng, explore=explore)
        taken = result.joint_actions[np.arange(len(running)), child]
        actions = np.zeros((env.num_envs, env.info.n_agents), np.int64)
        actions[running] = taken
        env.step(actions)
        row = {
            "reward": env.reward[running].astype(np.float64),
            "action": taken.astype(np.int64),
            "available": available,
            "hidden": root.hidden.cpu().numpy(),
            "value": root.value.cpu().numpy().astype(np.float64),
            "logits": root.policy_logits.cpu().numpy(),
            "child": child,
            "search_value": result.value,
            "model_q": result.reward + config.search.discount * result.child_value,
        }
        for name in ("num_children", "joint_actions", "visit_counts", "q", "prior"):
            row[name] = getattr(result, name)
        steps.append((running, row))
    return _assembled(steps, env.won.copy(), env.num_envs)


def _choose(result: SearchResult, config: MAZeroConfig, rng: np.random.Generator, *, explore: bool) -> np.ndarray:
    """(B,) int64."""
    if explore:
        return draw_children(result, temperature=config.self_play.temperature, rng=rng)
    return greedy_children(result, rng)


def _assembled(steps: list[tuple[np.ndarray, dict[str, np.ndarray]]], won: np.ndarray, num_episodes: int) -> Recording:
    """From (slots that were running, their rows) per vector step to episodes one after the other."""
    episode = np.concatenate([running for running, _ in steps])
    step = np.repeat(np.arange(len(steps)), [len(running) for running, _ in steps])
    order = np.lexsort((step, episode))
    fields = {name: np.concatenate([row[name] for _, row in steps])[order] for name in STEP_FIELDS}
    returns = np.bincount(episode[order], fields["reward"], num_episodes)
    outcome = Outcome(won, returns, np.bincount(episode, minlength=num_episodes))
    return Recording(outcome=outcome, episode=episode[order], step=step[order], **fields)
