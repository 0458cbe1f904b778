"""PettingZoo's parallel interface to one battle, after the adapter that is part of SMAC.

Agents are named type_k, k counting within a run of equal types, in SMAC's order. Action a of an agent is SMAC's a + 1:
there is no no-op. Observations are {"observation": float32 vector, "action_mask": int8 availability of those actions}.
An agent leaves in the step in which it dies; the team's reward goes to every agent that acted. The battle's end
terminates, the limit truncates. Infos are SMAC's, the same for every agent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo.utils.conversions import parallel_to_aec
from pettingzoo.utils.env import AECEnv, ParallelEnv

from skirmish.data.maps import MapSpec
from skirmish.faces.smac import StarCraft2Env
from skirmish.physics.tables import NO_OP

Observation = dict[str, np.ndarray]


def parallel_env(
    map_name: str | MapSpec = "8m", *, max_cycles: int | None = None, **options: Any
) -> SkirmishParallelEnv:
    """Build a battle.

    Args:
      map_name, options: as for `StarCraft2Env`.
      max_cycles: truncate after so many steps; None for the map's limit, which holds in any case.
    """
    return SkirmishParallelEnv(map_name, max_cycles=max_cycles, **options)


def env(map_name: str | MapSpec = "8m", **options: Any) -> AECEnv:
    """The same battle behind PettingZoo's turn-based interface; arguments as for `parallel_env`."""
    return parallel_to_aec(parallel_env(map_name, **options))


class SkirmishParallelEnv(ParallelEnv[str, Observation, int]):
    """See the module."""

    metadata: dict[str, Any] = {"name": "skirmish", "render_modes": ["rgb_array"], "is_parallelizable": True}  # noqa: RUF012 - PettingZoo's form
    render_mode = "rgb_array"

    def __init__(self, map_name: str | MapSpec, *, max_cycles: int | None = None, **options: Any) -> None:
        """Arguments as for `parallel_env`. Raises: as `StarCraft2Env`; ValueError if max_cycles < 1."""
        self._take(StarCraft2Env(map_name, **options), max_cycles)

    def _take(self, battle: StarCraft2Env, max_cycles: int | None) -> None:
        """Adapt a battle."""
        self.battle = battle
        self.max_cycles = self.battle.episode_limit if max_cycles is None else max_cycles
        if self.max_cycles < 1:
            raise ValueError(f"max_cycles must be at least 1, got {max_cycles!r}: it is a number of steps")
        self._cycles = 0
        self.possible_agents = _names(self.battle)
        self.agents: list[str] = []
        self._index = {agent: i for i, agent in enumerate(self.possible_agents)}
        info = self.battle.simulator.info
        size, actions = info.obs_size, info.n_actions - 1
        self.observation_spaces = {
            agent: spaces.Dict(
                {
                    "observation": spaces.Box(-1.0, 1.0, (size,), np.float32),
                    "action_mask": spaces.Box(0, 1, (actions,), np.int8),
                }
            )
            for agent in self.possible_agents
        }
        self.action_spaces = {agent: spaces.Discrete(actions) for agent in self.possible_agents}
        # Cooldowns in the state are not clipped and may exceed their nominal maximum.
        self.state_space = spaces.Box(-np.inf, np.inf, (info.state_size,), np.float32)

    def observation_space(self, agent: str) -> spaces.Dict:
        """The same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Discrete:
        """The same object at every call."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begin an episode; a seed restarts the random stream, options are not used."""
        self.battle.reset(seed)
        self._cycles = 0
        self.agents = self.possible_agents[:]
        return self._observe(), {agent: {} for agent in self.agents}

    def step(
        self, actions: dict[str, int | None]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """One step of everybody.

        Args: actions: by agent; a missing entry or None is the no-op that only dead agents may choose, and entries of
          agents that have left are not used. After the end everything is empty.
        Raises: AssertionError for an unavailable action.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        joint = [NO_OP] * self.battle.n_agents
        for agent in self.agents:
            action = actions.get(agent)
            if action is not None:
                joint[self._index[agent]] = int(action) + 1
        reward, terminated, info = self.battle.step(joint)
        self._cycles += 1
        cut = bool(self.battle.simulator.truncated[0]) or (self._cycles >= self.max_cycles and not terminated)
        units = self.battle.agents
        gone = {agent: units[self._index[agent]].health == 0.0 for agent in self.agents}
        terminations = {agent: gone[agent] or (terminated and not cut) for agent in self.agents}
        truncations = {agent: cut and not gone[agent] for agent in self.agents}
        observations = self._observe()
        rewards = dict.fromkeys(self.agents, reward)
        infos = {agent: dict(info) for agent in self.agents}
        self.agents = [agent for agent in self.agents if not (terminations[agent] or truncations[agent])]
        return observations, rewards, terminations, truncations, infos

    def state(self) -> np.ndarray:
        """The global state, float32."""
        return self.battle.get_state()

    def render(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return self.battle.render("rgb_array")

    def close(self) -> None:
        """May be called any number of times."""
        self.battle.close()

    def _observe(self) -> dict[str, Observation]:
        vectors, available = self.battle.get_obs(), self.battle.get_avail_actions()
        return {
            agent: {
                "observation": vectors[i].astype(np.float32, copy=False),
                "action_mask": np.array(available[i][1:], np.int8),
            }
            for agent in self.agents
            for i in [self._index[agent]]
        }


def _names(battle: StarCraft2Env) -> list[str]:
    """type_k for every agent in order."""
    names: list[str] = []
    before, k = "", 0
    for kind in battle.simulator.spec.unit_types[: battle.n_agents]:
        k = k + 1 if kind.name == before else 0
        before = kind.name
        names.append(f"{before}_{k}")
    return names
