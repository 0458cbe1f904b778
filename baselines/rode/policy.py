"""Acting in roles: an agent chooses a role every c steps, and actions within the role's set in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from baselines.rode.agent import RodeAgent
from baselines.rode.losses import ROLES
from baselines.value_based.policy import RecurrentPolicy, epsilon_greedy, random_actions
from envs.interface import VectorEnv
from training.greedy import best_of


def soft_epsilon_greedy(
    q: np.ndarray, avail: np.ndarray, allowed: np.ndarray, epsilon: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Greedy within the role, random among all legal actions; random too where the role has no legal action.

    Args:
      q: (B, n, A).    avail, allowed: (B, n, A) bool, legal actions and those of the role.    epsilon: (B,).
      generator: two draws per agent are taken, and more if Q values are equal.
    Returns: (B, n) int64.
    """
    draws = generator.random((2, *avail.shape[:2]))
    within = avail & allowed
    stuck = ~within.any(-1)
    greedy = best_of(q, np.where(stuck[..., None], avail, within), generator)
    return np.where(stuck | (draws[0] < epsilon[:, None]), random_actions(avail, draws[1]), greedy)


class RodePolicy(RecurrentPolicy):
    """Keeps roles and clocks of B episodes beside hidden states and last actions.

    Args:
      agent: the network.    interval: c, steps for which a role is held.    device: where the network is.
    """

    NOTES: ClassVar[Mapping[str, Any]] = {ROLES: np.uint8}

    def __init__(self, agent: RodeAgent, *, interval: int, device: str) -> None:
        self._roles_of, self._interval = agent, interval
        super().__init__(agent, device=device)

    def start(self, num_envs: int) -> None:
        """New episodes begin in all slots."""
        super().start(num_envs)
        self._t = np.zeros(num_envs, np.int64)  # (B,) steps done in each episode
        self._roles = np.zeros((num_envs, self._roles_of.n_agents), np.int64)

    def start_slots(self, slots: np.ndarray) -> None:
        """New episodes begin in `slots`, an index array."""
        super().start_slots(slots)
        self._t[slots] = 0

    def notes(self) -> dict[str, np.ndarray]:
        """The roles (B, n) in which the last actions were chosen."""
        return {ROLES: self._roles}

    def explore(
        self, obs: np.ndarray, avail: np.ndarray, epsilon: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Joint actions (B, n) of collection; roles and actions are each random with probability epsilon (B,)."""
        agent, batch = self._roles_of, len(obs)
        values = self.q_values(obs)
        role_q = values[..., : agent.n_roles]
        q = values[..., agent.n_roles :].reshape(batch, agent.n_agents, agent.n_roles, -1)
        new = np.flatnonzero(self._t % self._interval == 0)
        if len(new):
            active = np.broadcast_to(agent.active.cpu().numpy(), role_q[new].shape)
            self._roles[new] = epsilon_greedy(role_q[new], active, epsilon[new], generator)
        in_role = np.take_along_axis(q, self._roles[..., None, None], 2).squeeze(2)
        allowed = agent.action_sets.cpu().numpy()[self._roles]
        actions = soft_epsilon_greedy(in_role, avail, allowed, epsilon, generator)
        self._t += 1
        self.acted(actions)
        return actions

    def act(self, env: VectorEnv) -> np.ndarray:
        """Greedy joint actions (B, n)."""
        return self.explore(env.obs, env.available_actions, np.zeros(env.num_envs), self._rng)

    def state_dict(self) -> dict[str, Any]:
        """Roles and clocks too."""
        return super().state_dict() | {"t": self._t.copy(), "roles": self._roles.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        super().load_state_dict(state)
        self._t, self._roles = state["t"].copy(), state["roles"].copy()
