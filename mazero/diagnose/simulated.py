"""Greedy play that looks ahead in the simulator itself: what search could gain if its model made no mistake.

At every step K joint actions are drawn from the policy, the simulator tries each, follows the policy greedily for the
steps left, and the value speaks for what comes behind. The simulator goes back by snapshots, which hold its random
streams too: it knows chance as well as consequence, so the gain is the most that a model could bring. The model is run
along the same actions, so that its rewards can be compared with the real ones, draw against draw from the same root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from envs.interface import VectorEnv
from mazero.config import MAZeroConfig
from mazero.diagnose.measures import legal_policy
from mazero.diagnose.play import Outcome
from mazero.inference import Model
from mazero.networks import MAZeroNetwork
from mazero.selfplay import ObservationStack
from mazero.transforms import expected_scalar

BRANCHES_AT_ONCE = 512  # as in `unrolled`


@dataclass(frozen=True, eq=False)
class Lookahead:
    """E episodes played with D steps of the simulator from M roots, and what the model said about the K draws there.

    The M roots are those of which no branch ended within D steps.
    """

    outcome: Outcome
    episode: np.ndarray  # (M,) int64
    reward: np.ndarray  # (M, K, D) real rewards along each branch
    predicted: np.ndarray  # (M, K, D) the model's for the same actions


@torch.inference_mode()
def look_ahead(
    network: MAZeroNetwork,
    model: Model,
    env: VectorEnv,
    config: MAZeroConfig,
    *,
    seed: int,
    rng: np.random.Generator,
    depth: int,
) -> Lookahead:
    """Play one episode in every slot, each step the draw that promises most by D = `depth` steps of the simulator.

    Args:
      network: what `model` was made of.    seed: of the episodes.
      rng: of the draws: K = `config.search.num_sampled_actions` a root, the policy's most likely joint action and K - 1
        drawn from it.
    """
    env.reset_later(seed)
    stack, draws = ObservationStack(config.network.stacked_observations), config.search.num_sampled_actions
    returns, length = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)
    slots, rewards, predictions = [], [], []
    while not env.finished.all():
        running = ~env.finished
        obs = _observe(stack, env)
        policy = _policy(model, obs, env)
        before, frames = env.snapshot(), stack.state_dict()
        branches = []
        for k in range(draws):
            env.restore(before)
            stack.load_state_dict(frames)
            first = _drawn(policy, rng) if k else policy.argmax(axis=-1)
            branches.append(_follow(model, env, stack, first, depth=depth, discount=config.search.discount))
        env.restore(before)
        stack.load_state_dict(frames)
        actions, reward, promise, whole = (np.stack(parts, axis=1) for parts in zip(*branches, strict=True))
        best = promise.argmax(axis=1)  # of equals the first: the policy's own
        env.step(actions[np.arange(env.num_envs), best, 0])
        returns += np.where(running, env.reward, 0.0)
        length += running
        if (roots := np.flatnonzero(whole.all(axis=1))).size:
            slots.append(roots)
            rewards.append(reward[roots])
            predictions.append(_predicted(network, obs[roots], actions[roots]))
    empty = np.zeros((0, draws, depth))
    return Lookahead(
        Outcome(env.won.copy(), returns, length),
        np.concatenate([np.zeros(0, np.int64), *slots]),
        np.concatenate([empty, *rewards]),
        np.concatenate([empty, *predictions]),
    )


def _follow(
    model: Model, env: VectorEnv, stack: ObservationStack, first: np.ndarray, *, depth: int, discount: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Take `first` (B, n), then the policy's most likely joint actions.

    Returns: actions (B, D, n), rewards (B, D), discounted sum with the value at the end (B,), and whether no episode
    ended on the way (B,).
    """
    actions, rewards = [], []
    promise, action = np.zeros(env.num_envs), first
    for d in range(depth):
        running = ~env.finished
        env.step(action)
        actions.append(action)
        rewards.append(np.where(running, env.reward, 0.0).astype(np.float64))
        promise += discount**d * rewards[-1]
        root = model.roots(_observe(stack, env), np.ascontiguousarray(env.available_actions))
        action = legal_policy(root.policy_logits.cpu().numpy(), env.available_actions).argmax(axis=-1)
    promise += np.where(env.finished, 0.0, discount**depth * root.value.cpu().numpy())
    return np.stack(actions, axis=1), np.stack(rewards, axis=1), promise, ~env.finished


def _predicted(network: MAZeroNetwork, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Rewards of the model. Args: obs: (m, n, S * O).    actions: (m, K, D, n).    Returns: (m, K, D)."""
    roots, draws, depth, agents = actions.shape
    device = next(network.parameters()).device
    encoded = network.represent(torch.from_numpy(obs).to(device)).repeat_interleave(draws, dim=0)
    joint = torch.from_numpy(actions.reshape(roots * draws, depth, agents).astype(np.int64)).to(device)
    out = np.empty((roots * draws, depth))
    for first in range(0, len(out), BRANCHES_AT_ONCE):
        rows = slice(first, first + BRANCHES_AT_ONCE)
        hidden = encoded[rows]
        for d in range(depth):
            hidden = network.step(hidden, joint[rows, d])
            logits = network.reward_logits(hidden, joint[rows, d])
            out[rows, d] = expected_scalar(logits.float()).cpu().numpy()
    return out.reshape(roots, draws, depth)


def _observe(stack: ObservationStack, env: VectorEnv) -> np.ndarray:
    """(B, n, S * O)."""
    return np.ascontiguousarray(stack.push(env.obs, np.zeros(env.num_envs, np.bool_)))


def _policy(model: Model, obs: np.ndarray, env: VectorEnv) -> np.ndarray:
    """(B, n, A), over the available actions."""
    available = np.ascontiguousarray(env.available_actions)
    return legal_policy(model.roots(obs, available).policy_logits.cpu().numpy(), available)


def _drawn(policy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A joint action per slot, every agent's from its own policy. Returns: (B, n)."""
    cumulative = policy.cumsum(axis=-1)
    drawn = (cumulative <= rng.random((*policy.shape[:-1], 1)) * cumulative[..., -1:]).sum(axis=-1)
    return np.minimum(drawn, policy.shape[-1] - 1)
