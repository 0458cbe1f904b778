"""The interface that SMAC's environments share: what a learner of that code base may ask of any of them."""

from __future__ import annotations

from typing import Any


class MultiAgentEnv:
    """Base class with SMAC's method names; code bases use it for annotations and for environments of their own.

    Every method but `get_env_info` raises NotImplementedError until a subclass defines it. A subclass also has the
    attributes `n_agents` and `episode_limit`.
    """

    n_agents: int
    episode_limit: int

    def step(self, actions: Any) -> Any:
        """One step. Returns: reward, terminated, info."""
        raise NotImplementedError(self._lacks("step"))

    def get_obs(self) -> Any:
        """All agents' observations in a list."""
        raise NotImplementedError(self._lacks("get_obs"))

    def get_obs_agent(self, agent_id: int) -> Any:
        """One agent's observation."""
        raise NotImplementedError(self._lacks("get_obs_agent"))

    def get_obs_size(self) -> Any:
        """Length of an observation."""
        raise NotImplementedError(self._lacks("get_obs_size"))

    def get_state(self) -> Any:
        """The global state."""
        raise NotImplementedError(self._lacks("get_state"))

    def get_state_size(self) -> Any:
        """Length of the state."""
        raise NotImplementedError(self._lacks("get_state_size"))

    def get_avail_actions(self) -> Any:
        """All agents' available actions in a list."""
        raise NotImplementedError(self._lacks("get_avail_actions"))

    def get_avail_agent_actions(self, agent_id: int) -> Any:
        """One agent's available actions."""
        raise NotImplementedError(self._lacks("get_avail_agent_actions"))

    def get_total_actions(self) -> int:
        """Number of actions of an agent, available or not."""
        raise NotImplementedError(self._lacks("get_total_actions"))

    def reset(self) -> Any:
        """Begin an episode. Returns: observations, state."""
        raise NotImplementedError(self._lacks("reset"))

    def render(self) -> Any:
        """Show the present moment."""
        raise NotImplementedError(self._lacks("render"))

    def close(self) -> None:
        """Release what is held."""
        raise NotImplementedError(self._lacks("close"))

    def seed(self) -> Any:
        """The seed."""
        raise NotImplementedError(self._lacks("seed"))

    def save_replay(self) -> Any:
        """Write a film of the episode."""
        raise NotImplementedError(self._lacks("save_replay"))

    def get_env_info(self) -> dict[str, Any]:
        """Sizes and limit, asked of the subclass."""
        return {
            "state_shape": self.get_state_size(),
            "obs_shape": self.get_obs_size(),
            "n_actions": self.get_total_actions(),
            "n_agents": self.n_agents,
            "episode_limit": self.episode_limit,
        }

    def _lacks(self, method: str) -> str:
        return f"{type(self).__name__} must define {method}(), got a call of the interface's: override it"
