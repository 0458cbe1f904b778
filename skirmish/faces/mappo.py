"""One battle with the interface of the MAPPO authors' environment: one import line changes in their code.

`StarCraft2Env` takes on-policy's argument bundle, which MAT and MAZero's code pass as well, or HARL's mapping, and
deals in three- and six-tuples. Supported are all flags of the bundle with `use_state_agent` off, and with it on what
on-policy's scripts use: `use_mustalive` and `add_center_xy` (the agent-specific state of `agent_state.py`); stacked
frames and observations instead of states with either. Where it differs on purpose, beside what `smac.py` lists:

- The seed None, which fails there, means another battle at every launch.
- `continuing_episode`, which fails there at the first time limit, is refused.
- `get_env_info()`, which fails there, tells the sizes.
- `render()` does nothing there; here `render("rgb_array")` is a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete

from skirmish.contract.agent_state import agent_state_blocks
from skirmish.faces import mappo_state as states
from skirmish.faces import smac
from skirmish.physics.rules import Rules

# Options of the authors' that are fixed here: to them, because the sizes and vectors depend on it.
FIXED = {
    "obs_last_action": True,
    "obs_agent_id": True,
    "state_agent_id": True,
    "state_pathing_grid": False,
    "state_terrain_height": False,
    "continuing_episode": False,
}


class StarCraft2Env(smac.StarCraft2Env):
    """The MAPPO authors' environment class. `stacked_local_obs` and `stacked_global_state` keep the last frames.

    As published, stacks are not cleared between episodes, and hold the frames in the order t-1, t-2, ..., t.
    """

    observation_family = "mazero"

    def __init__(self, args: Any, *, rules: Rules | None = None, **options: Any) -> None:
        """Build the battle; `reset()` starts it.

        Args:
          args: attributes map_name, the flags of `mappo_state.StateFlags`, and stacked_frames where they are stacked;
            or a mapping with map_name and state_type, "FP" or "EP".
          rules: as for `smac.StarCraft2Env`.
          options: SMAC's keywords, and the authors' own (see `FIXED`). `obs_instead_of_state` has no effect:
            the bundle decides.
        Raises:
          AttributeError or KeyError for an incomplete bundle, KeyError for an unknown map; ValueError for an unknown
          option, a value without a meaning, or a combination that is not supported.
        """
        self.family = states.read_bundle(args)
        flags = self.family.flags
        for name, value in vars(flags).items():
            setattr(self, name, value)
        self.stacked_frames = self.family.frames
        options = {**options, "obs_instead_of_state": False}
        for name, value in FIXED.items():
            got = options.pop(name, value)
            if got != value:
                raise ValueError(
                    f"{name} must be {value}, got {got!r}: other vectors of the MAPPO authors' environment are "
                    "not built here; leave the option out"
                )
        if self.family.environment_provided:
            options.setdefault("state_timestep_number", True)
        self._check_combination(options)
        super().__init__(self.family.map_name, rules=rules, **options)
        self.obs_instead_of_state = self.options["obs_instead_of_state"] = flags.use_obs_instead_of_state
        for name, value in FIXED.items():
            self.options[name] = value
            setattr(self, name, value)
        self.action_space: Any = [Discrete(self.n_actions) for _ in range(self.n_agents)]
        self.observation_space: Any = [self.get_obs_size() for _ in range(self.n_agents)]
        self.share_observation_space: Any = [self.get_state_size() for _ in range(self.n_agents)]
        k = self.stacked_frames
        self.stacked_local_obs = np.zeros((self.n_agents, k, self.get_obs_size()[0] // k), np.float32)
        self.stacked_global_state = np.zeros((self.n_agents, k, self.get_state_size()[0] // k), np.float32)

    def _check_combination(self, options: dict[str, Any]) -> None:
        flags = self.family.flags
        whole = flags.use_obs_instead_of_state or self.family.environment_provided
        if flags.use_state_agent and not whole:
            if not (flags.use_mustalive and flags.add_center_xy):
                raise ValueError(
                    "use_state_agent needs use_mustalive and add_center_xy, as in on-policy's scripts, got "
                    f"use_mustalive={flags.use_mustalive}, add_center_xy={flags.add_center_xy}: set both, or switch "
                    "use_state_agent off"
                )
            for name, usual in (("obs_all_health", True), ("obs_pathing_grid", False), ("obs_terrain_height", False)):
                if options.get(name, usual) != usual:
                    raise ValueError(
                        f"use_state_agent needs {name}={usual}, got {not usual}: leave the option out, or switch "
                        "use_state_agent off"
                    )
        if flags.use_stacked_frames and flags.add_local_obs and not flags.use_state_agent and not whole:
            raise ValueError(
                "add_local_obs cannot be stacked, got use_stacked_frames=True: the authors' size counts its frames "
                "twice; switch one of them off"
            )
        if self.family.environment_provided and options.get("state_timestep_number") is False:
            raise ValueError('the state type "EP" holds the time, got state_timestep_number=False: leave it out')

    # Episodes

    def reset(self, seed: int | None = None) -> Any:
        """Begin an episode. Returns: n observations, n central inputs, n availabilities (lists of A zeros and ones).

        Stacked frames come as arrays (n, frames * size).
        """
        self._begin(seed)
        self.death_tracker_ally = self.death_tracker_ally.astype(np.float32)
        self.death_tracker_enemy = self.death_tracker_enemy.astype(np.float32)
        self.last_action = self.last_action.astype(np.float32)
        return (*self._look(), self.get_avail_actions())

    def _launch(self, seed: int | None = None) -> None:
        """As published, every launch first adds 1 to the seed."""
        if seed is None and self._seed is not None:
            self._seed += 1
        super()._launch(seed)

    def step(self, actions: Sequence[int] | np.ndarray) -> Any:
        """One environment step.

        Args: actions: n values or (n, 1), as for `smac.StarCraft2Env.step`.
        Returns: observations, central inputs, rewards [[r]] * n, dones (n,) bool (the battle is over, or the agent is
          dead), infos, availabilities. Infos are n dicts: battles_won, battles_game, battles_draw, restarts,
          bad_transition (the episode was cut by the limit), won.
        Raises: as `smac.StarCraft2Env.step`.
        """
        reward, terminated, _ = super().step(actions)
        dones = np.logical_or(terminated, self.death_tracker_ally > 0.0)
        infos = [
            {
                "battles_won": self.battles_won,
                "battles_game": self.battles_game,
                "battles_draw": self.timeouts,
                "restarts": self.force_restarts,
                "bad_transition": bool(self.simulator.truncated[0]),
                "won": self.win_counted,
            }
            for _ in range(self.n_agents)
        ]
        return (*self._look(), [[reward]] * self.n_agents, dones, infos, self.get_avail_actions())

    def _look(self) -> tuple[Any, Any]:
        """Observations and central inputs; a new frame on the stacks."""
        obs: Any = super().get_obs()
        central: Any = self._central_inputs()
        if self.family.flags.use_stacked_frames:
            for stack, frame in ((self.stacked_local_obs, obs), (self.stacked_global_state, central)):
                stack[:] = np.roll(stack, 1, axis=1)
                stack[:, -1] = np.array(frame)
            obs = self.stacked_local_obs.reshape(self.n_agents, -1)
            central = self.stacked_global_state.reshape(self.n_agents, -1)
            return obs.copy(), central.copy()
        return obs, central

    def seed(self, seed: int | None = None) -> int | None:
        """Set the seed of the launches to come; without an argument tell it."""
        return super().seed(seed)

    # Central inputs

    def _central_inputs(self) -> list[np.ndarray]:
        n = self.n_agents
        if self.family.environment_provided:
            return [self.get_global_state()] * n
        if self.obs_instead_of_state:
            return [self._all_obs()] * n
        if self.family.flags.use_state_agent:
            return [self.get_state_agent(i) for i in range(n)]
        return list(self._relative())

    def get_state(self, agent_id: int = -1) -> np.ndarray:
        """(S,) float32 central input of one agent without use_state_agent, whatever that flag says.

        Raises: KeyError for an agent that does not exist, as the default.
        """
        self._require_started()
        if self.obs_instead_of_state:
            return self._all_obs()
        self.get_unit_by_id(agent_id)  # raises
        row: np.ndarray = self._relative()[agent_id]
        return row

    def get_state_agent(self, agent_id: int) -> np.ndarray:
        """(F,) the agent-specific state, float32, or float64 with state_timestep_number; see `agent_state.py`."""
        self._require_started()
        if self.obs_instead_of_state:
            return self._all_obs()
        row: np.ndarray = self.simulator.agent_state[0, agent_id]
        if not self.options["state_timestep_number"]:
            return row.copy()
        return np.append(row[:-1].astype(np.float64), self.simulator.t[0] / self.episode_limit)

    def get_global_state(self) -> np.ndarray:
        """(S,) float32 HARL's state for everybody, state type "EP"."""
        self._require_started()
        around = [self.get_surrounding_pathing(u) + self.get_surrounding_height(u) for u in self.agents.values()]
        info = [self.map_x, self.map_y, self.max_distance_x, self.max_distance_y, self.unit_sight_range(0)]
        vector = states.global_state(self.simulator, self.last_action, np.array(around, np.float64), info)
        return vector.astype(np.float32)

    def _all_obs(self) -> np.ndarray:
        return np.concatenate(super().get_obs()).astype(np.float32)

    def _relative(self) -> np.ndarray:
        """(n, S) float32."""
        env, flags, n = self.simulator, self.family.flags, self.n_agents
        parts = [states.relative_states(env, flags, self.last_action)]
        if flags.add_move_state:
            parts.append(states.move_states(env))
        if flags.add_local_obs:
            parts.append(np.stack(super().get_obs()))
        if self.options["state_timestep_number"]:
            parts.append(np.full((n, 1), env.t[0] / self.episode_limit))
        if flags.add_agent_id:
            parts.append(np.eye(n))
        return np.concatenate(parts, 1).astype(np.float32)

    # Sizes

    def get_obs_size(self) -> list[Any]:
        """Total length, all stacked frames together, and [rows, features] of allies, enemies, moves, own with id."""
        layout = self.simulator.layout
        blocks = layout.obs_blocks
        own = blocks["own"][1] + blocks["agent_id"][1] + layout.obs_timestep
        parts = [list(blocks["ally"]), list(blocks["enemy"]), [1, blocks["move"][1]], [1, own]]
        return [layout.obs_size * self.stacked_frames, *parts]

    def get_obs_own_feats_size(self) -> int:
        """Entries of the own block, without agent id and time."""
        return self.simulator.layout.obs_blocks["own"][1]

    def get_state_size(self) -> list[Any]:
        """Total length of the central input, all stacked frames together, and [rows, features] of its parts."""
        flags, layout, n, m = self.family.flags, self.simulator.layout, self.n_agents, self.n_enemies
        time = layout.state_timestep
        if self.obs_instead_of_state:
            return [self.get_obs_size()[0] * n, [n, self.get_obs_size()[0]]]
        if self.family.environment_provided:
            ally, enemy, move = states.global_sizes(self.simulator)
            return [n * (ally + move) + m * enemy + 6, [n, ally], [m, enemy], [n, move], [1, 1], [1, 5]]
        if flags.use_state_agent:
            total = self.simulator.agent_state_size
            assert total is not None  # SMAC's maps have one
            own = self.get_state_own_feats_size() + n + time
            parts = [[*self.get_state_ally_feats_size()], [*self.get_state_enemy_feats_size()]]
            return [total * self.stacked_frames, *parts, [1, self.get_state_move_feats_size()], [1, own]]
        ally, enemy = states.relative_sizes(self.simulator, flags)
        move = 4 * flags.add_move_state
        rest = move + layout.obs_size * flags.add_local_obs + time + n * flags.add_agent_id
        return [(n * ally + m * enemy + rest) * self.stacked_frames, [n, ally], [m, enemy], [1, rest]]

    def get_state_ally_feats_size(self) -> tuple[int, int]:
        """Team mates and entries per team mate of the agent-specific state."""
        return agent_state_blocks(self.simulator.layout)["ally"]

    def get_state_enemy_feats_size(self) -> tuple[int, int]:
        """Enemies and entries per enemy of the agent-specific state."""
        return agent_state_blocks(self.simulator.layout)["enemy"]

    def get_state_own_feats_size(self) -> int:
        """Entries of the own block of the agent-specific state, without id and time."""
        return agent_state_blocks(self.simulator.layout)["own"][1]

    def get_state_move_feats_size(self) -> int:
        """Entries of the move block of the central inputs."""
        return self.n_actions_move
