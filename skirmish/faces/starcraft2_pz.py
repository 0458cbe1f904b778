"""SMAC's own PettingZoo adapter, name by name: `env`, `raw_env`, `parallel_env`, `make_env`, `smac_parallel_env`.

It is `pettingzoo.SkirmishParallelEnv` with that adapter's flags and resets: the time limit terminates as well as it
truncates, infos are empty, and every reset but the first goes on to the next battle. Where it differs on purpose:

- `reset()` also returns infos, without which PettingZoo's wrappers of today do not work.
- The battle is launched by the first `reset()`, not by the constructor; `reset(seed=...)` launches it with that seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium.utils import EzPickle, seeding
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec
from pettingzoo.utils.env import AECEnv

from skirmish.faces.pettingzoo import Observation, SkirmishParallelEnv
from skirmish.faces.registry import get_map_params
from skirmish.faces.smac import StarCraft2Env


def parallel_env(max_cycles: int | None = None, **smac_args: Any) -> _parallel_env:
    """Build a battle.

    Args: max_cycles: truncate after so many steps; None for the map's limit. smac_args: as for `StarCraft2Env`.
    Raises: KeyError for an unknown map; ValueError if max_cycles < 1, or as `StarCraft2Env`.
    """
    if max_cycles is None:
        max_cycles = get_map_params(smac_args.get("map_name", "8m"))["limit"]
    return _parallel_env(max_cycles, **smac_args)


def raw_env(max_cycles: int | None = None, **smac_args: Any) -> AECEnv:
    """The same battle behind PettingZoo's turn-based interface; arguments as for `parallel_env`."""
    return parallel_to_aec(parallel_env(max_cycles, **smac_args))


def make_env(raw_env: Callable[..., AECEnv]) -> Callable[..., AECEnv]:
    """A maker of turn-based battles that refuses actions out of bounds and calls out of order."""

    def env_fn(**kwargs: Any) -> AECEnv:
        return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(raw_env(**kwargs)))

    return env_fn


env = make_env(raw_env)


class smac_parallel_env(SkirmishParallelEnv):
    """Parallel interface to a `StarCraft2Env`, which is the attribute `env`."""

    def __init__(self, env: StarCraft2Env, max_cycles: int) -> None:
        """Args: env: the battle; max_cycles: truncate after so many steps. Raises: ValueError if max_cycles < 1."""
        self._take(env, max_cycles)
        self.agents_id = self._index  # agent -> SMAC's index

    @property
    def env(self) -> StarCraft2Env:
        """The battle."""
        return self.battle

    @property
    def frames(self) -> int:
        """Steps of the present episode."""
        return self._cycles

    def get_agent_smac_id(self, agent: str) -> int:
        """SMAC's index of an agent."""
        return self.agents_id[agent]

    def seed(self, seed: int | None = None) -> None:
        """Launch the game anew at the next reset. Args: seed: None draws one."""
        self.battle._seed = seeding.np_random()[1] % 2**32 if seed is None else seed
        self.battle.full_restart()

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        """Begin an episode. Args: seed: launch the game with it; options: not used. Returns: observations, infos."""
        out = super().reset(seed, options)
        self.battle._episode_count = max(1, self.battle._episode_count)  # the next reset goes on
        return out

    def step(
        self, all_actions: dict[str, int | None]
    ) -> tuple[dict[str, Observation], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """One step of everybody; see `SkirmishParallelEnv.step`."""
        observations, rewards, terminations, _, _ = super().step(all_actions)
        over, cut = bool(self.battle.simulator.finished[0]), self._cycles >= self.max_cycles
        terminations = {agent: over or gone for agent, gone in terminations.items()}
        if over or cut:
            self.agents = []
        return observations, rewards, terminations, dict.fromkeys(rewards, cut), {agent: {} for agent in rewards}


class _parallel_env(smac_parallel_env, EzPickle):
    metadata: dict[str, Any] = {"name": "sc2", "render_modes": ["rgb_array"], "is_parallelizable": True}  # noqa: RUF012 - PettingZoo's form

    def __init__(self, max_cycles: int, **smac_args: Any) -> None:
        EzPickle.__init__(self, max_cycles, **smac_args)
        super().__init__(StarCraft2Env(**smac_args), max_cycles)
