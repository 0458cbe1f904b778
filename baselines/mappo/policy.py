"""Acting with the actor: greedy for evaluation, sampled for collection. Hidden states and frames of B episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.mappo.networks import Network, log_policy
from envs.interface import VectorEnv
from training.greedy import best_of


class Frames:
    """The last k inputs of B episodes in a row, oldest first; zeros before an episode's beginning."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._past: np.ndarray | None = None  # (B, n, (k - 1) D)

    def start_slots(self, slots: np.ndarray) -> None:
        """New episodes begin in `slots` (an index array or a bool mask)."""
        if self._past is not None:
            self._past[slots] = 0.0

    def start(self) -> None:
        """New episodes begin everywhere, of any number."""
        self._past = None

    def push(self, x: np.ndarray) -> np.ndarray:
        """Inputs with their past. x: (B, n, D), this step's. Returns: (B, n, k D); x itself for k = 1."""
        if self._count == 1:
            return x
        if self._past is None:
            self._past = np.zeros((*x.shape[:2], (self._count - 1) * x.shape[2]), np.float32)
        result = np.concatenate([self._past, x], -1)
        self._past = result[..., x.shape[2] :].copy()
        return result

    def state_dict(self) -> dict[str, Any]:
        """The past inputs."""
        return {"past": None if self._past is None else self._past.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._past = None if state["past"] is None else state["past"].copy()


class PpoPolicy:
    """The actor of all agents in B slots, one network call per step. Greedy when asked to `act`.

    Args: n_agents: n.    frames: observations per input.
    """

    def __init__(self, actor: Network, *, n_agents: int, frames: int, device: str) -> None:
        self._actor, self._n, self._device = actor, n_agents, device
        self.frames = Frames(frames)
        self.start(0)

    def start(self, num_envs: int) -> None:
        """New episodes begin in all slots."""
        self.hidden = np.zeros((num_envs, self._n, self._actor.hidden_size), np.float32)  # before the next step
        self.frames.start()
        self._rng = np.random.default_rng(0)  # for equal probabilities: the same episodes are played the same way

    def start_slots(self, slots: np.ndarray) -> None:
        """New episodes begin in `slots`, an index array."""
        self.hidden[slots] = 0.0
        self.frames.start_slots(slots)

    def log_policy(self, inputs: np.ndarray, avail: np.ndarray) -> np.ndarray:
        """One step of the network. inputs: (B, n, D) from `frames`, avail: (B, n, A). Returns: (B, n, A)."""

        def rows(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self._device).flatten(0, 1)

        with torch.no_grad():
            logits, hidden = self._actor.step(rows(inputs), rows(self.hidden))
            result = log_policy(logits, rows(avail))
        self.hidden = hidden.view(self.hidden.shape).cpu().numpy()
        return result.view(avail.shape).cpu().numpy()

    def act(self, env: VectorEnv) -> np.ndarray:
        """Greedy joint actions (B, n)."""
        log_policy = self.log_policy(self.frames.push(env.obs), env.available_actions)
        return best_of(log_policy, env.available_actions, self._rng)

    def state_dict(self) -> dict[str, Any]:
        """Hidden states and frames of the running episodes."""
        return {"hidden": self.hidden.copy(), "frames": self.frames.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.hidden = state["hidden"].copy()
        self.frames.load_state_dict(state["frames"])


def sample(log_probs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Actions drawn from policies, by the largest of log-probability plus Gumbel noise. (..., A) -> (...) int64."""
    return (log_probs + generator.gumbel(size=log_probs.shape)).argmax(-1)
