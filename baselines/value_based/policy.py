"""Acting with the recurrent agent: greedy for evaluation, epsilon-greedy for collection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from baselines.value_based.agent import NO_ACTION
from envs.interface import VectorEnv
from training.greedy import best_of


def linear_epsilon(env_steps: int, *, start: float, finish: float, steps: int) -> float:
    """Share of random actions after `env_steps`: from `start` down (or up) to `finish` over `steps`, constant after."""
    return start + (finish - start) * min(1.0, env_steps / steps)


def random_actions(avail: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Legal actions, uniformly chosen by `draws` (B, n) in [0, 1). avail: (B, n, A) bool. Returns: (B, n)."""
    rank = np.floor(draws * avail.sum(-1)).astype(np.int64)  # which of the legal ones
    return (avail.cumsum(-1) > rank[..., None]).argmax(-1)


def epsilon_greedy(q: np.ndarray, avail: np.ndarray, epsilon: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each agent by itself acts at random among its legal actions with the probability of its episode.

    Args:
      q: (B, n, A).    avail: (B, n, A) bool.    epsilon: (B,).
      generator: two draws per agent are taken, whatever epsilon is, and more if Q-values are equal.
    Returns: (B, n) int64.
    """
    draws = generator.random((2, *avail.shape[:2]))
    return np.where(draws[0] < epsilon[:, None], random_actions(avail, draws[1]), best_of(q, avail, generator))


class SteppedAgent(Protocol):
    """What a policy asks of its network, N = B n."""

    n_agents: int
    hidden_size: int

    def inputs(self, obs: Tensor, last_action: Tensor) -> Tensor:
        """Network inputs (B, n, D) from obs (B, n, O) and last_action (B, n) int64."""

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Values (N, K) of what can be chosen and the next hidden state (N, H). inputs: (N, D), hidden: (N, H)."""


class RecurrentPolicy:
    """Keeps hidden states and last actions of B episodes beside the (shared) network. Greedy when asked to `act`."""

    NOTES: ClassVar[Mapping[str, Any]] = {}
    """What is stored of each step and agent beside the action: names and numpy types."""

    def __init__(self, agent: SteppedAgent, *, device: str) -> None:
        self._agent, self._device = agent, device
        self.start(0)

    def start(self, num_envs: int) -> None:
        """New episodes begin in all slots."""
        self._rng = np.random.default_rng(0)  # for equal Q-values: the same episodes are played the same way
        shape = (num_envs, self._agent.n_agents)
        self._hidden = torch.zeros(*shape, self._agent.hidden_size, device=self._device)
        self._last_action = np.full(shape, NO_ACTION, dtype=np.int64)

    def start_slots(self, slots: np.ndarray) -> None:
        """New episodes begin in `slots`, an index array."""
        self._hidden[torch.from_numpy(slots)] = 0.0
        self._last_action[slots] = NO_ACTION

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """One step of the network. obs: (B, n, O). Returns: (B, n, A). Report what was done to `acted`."""
        batch, n, _ = obs.shape
        with torch.no_grad():
            inputs = self._agent.inputs(
                torch.from_numpy(obs).to(self._device), torch.from_numpy(self._last_action).to(self._device)
            )
            q, hidden = self._agent.step(inputs.flatten(0, 1), self._hidden.flatten(0, 1))
        self._hidden = hidden.view(batch, n, -1)
        return q.view(batch, n, -1).cpu().numpy()

    def acted(self, actions: np.ndarray) -> None:
        """Remember the actions (B, n) that were taken: they are inputs of the next step."""
        self._last_action[:] = actions

    def notes(self) -> dict[str, np.ndarray]:
        """The arrays (B, n) that `NOTES` names, of the actions chosen last."""
        return {}

    def explore(
        self, obs: np.ndarray, avail: np.ndarray, epsilon: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Joint actions (B, n) of collection. obs: (B, n, O).    avail: (B, n, A) bool.    epsilon: (B,)."""
        actions = epsilon_greedy(self.q_values(obs), avail, epsilon, generator)
        self.acted(actions)
        return actions

    def act(self, env: VectorEnv) -> np.ndarray:
        """Greedy joint actions (B, n)."""
        actions = best_of(self.q_values(env.obs), env.available_actions, self._rng)
        self.acted(actions)
        return actions

    def state_dict(self) -> dict[str, Any]:
        """Hidden states and last actions of the running episodes."""
        return {"hidden": self._hidden.cpu().numpy().copy(), "last_action": self._last_action.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._hidden = torch.from_numpy(state["hidden"].copy()).to(self._device)
        self._last_action = state["last_action"].copy()
