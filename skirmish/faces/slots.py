"""Episodes side by side: what is fixed about them, the arrays they are read from, the check of joint actions.

The arrays are allocated once and overwritten by every reset and step; whoever wants to keep a value copies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skirmish.faces.bookkeeping import first_illegal


@dataclass(frozen=True)
class EnvInfo:
    """What is fixed about an environment.

    `backend` labels every result made with it; results of different backends are never mixed.
    """

    name: str
    backend: str
    observation: str  # observation family: "smac" or "mazero"
    n_agents: int
    n_enemies: int
    n_actions: int  # A
    obs_size: int  # O, length of one agent's observation
    state_size: int  # S
    episode_limit: int  # environment steps
    deterministic: bool  # True: the next state follows from state and actions alone
    unit_data: str = ""  # game version of the unit data; empty for environments without units
    agent_types: tuple[str, ...] = ()  # (n,) unit types of the agents; empty where there are none or they are drawn


class Slots:
    """The arrays of B episodes and the checks that need nothing else."""

    info: EnvInfo
    num_envs: int  # B
    obs: np.ndarray  # (B, n, O) float32
    state: np.ndarray  # (B, S) float32
    available_actions: np.ndarray  # (B, n, A) bool
    reward: np.ndarray  # (B,) float32, of the last step
    terminated: np.ndarray  # (B,) bool, the episode came to an end of its own
    truncated: np.ndarray  # (B,) bool, the episode was cut by the step limit
    won: np.ndarray  # (B,) bool, the finished episode was won

    @property
    def agent_state_size(self) -> int | None:
        """F, length of one agent's central input (`agent_state`); None if the environment has none."""
        return None

    @property
    def agent_state(self) -> np.ndarray:
        """(B, n, F) float32, MAPPO's agent-specific central input, made when it is asked for.

        Raises: ValueError if the environment has none.
        """
        raise ValueError(
            f"{self.info.name} has no agent-specific state, got a request for one: "
            "use `state` with the agent's id (agent_state_size is None)"
        )

    @property
    def largest_return(self) -> float | None:
        """Return that no policy exceeds, in units of the reward, but for what regenerates; None if it is not known."""
        return None

    def _allocate(self, info: EnvInfo, num_envs: int) -> None:
        """Set `info`, `num_envs` and the arrays. Raises: ValueError if num_envs < 1."""
        if num_envs < 1:
            raise ValueError(
                f"num_envs must be at least 1, got {num_envs!r}: it is the number of episodes side by side"
            )
        b, n = num_envs, info.n_agents
        self.info, self.num_envs = info, num_envs
        self.obs = np.zeros((b, n, info.obs_size), np.float32)
        self.state = np.zeros((b, info.state_size), np.float32)
        self.available_actions = np.zeros((b, n, info.n_actions), np.bool_)
        self.reward = np.zeros(b, np.float32)
        self.terminated = np.zeros(b, np.bool_)
        self.truncated = np.zeros(b, np.bool_)
        self.won = np.zeros(b, np.bool_)

    @property
    def finished(self) -> np.ndarray:
        """(B,) bool: terminated or truncated."""
        return self.terminated | self.truncated

    def close(self) -> None:
        """Free what is held; arrays are nothing that needs it."""

    def _checked_actions(self, actions: Any) -> np.ndarray:
        """(B, n) int64 copy-free view of `actions` after all checks.

        Finished slots may hold anything. Raises: ValueError naming slot, agent, action and the available actions.
        """
        actions = np.asarray(actions)
        expected = (self.num_envs, self.info.n_agents)
        if actions.shape != expected or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be integers of shape {expected}, got {actions.dtype} {actions.shape}: "
                "pass one action per agent"
            )
        actions = np.ascontiguousarray(actions, np.int64)
        bad = first_illegal(actions, self.available_actions, self.finished)
        if bad >= 0:
            b, i = divmod(int(bad), self.info.n_agents)
            allowed = np.flatnonzero(self.available_actions[b, i]).tolist()
            raise ValueError(
                f"action of agent {i} in episode slot {b} must be one of the available {allowed}, "
                f"got {int(actions[b, i])}: choose by available_actions"
            )
        return actions
