"""One battle with the class, method and option names of SMAC 1.0, so that code written for SMAC runs on the simulator.

`StarCraft2Env` takes SMAC's constructor keywords and returns SMAC's types. Where it differs on purpose:

- `game_version` chooses the unit data, "4.10" (the default) or "4.6.2".
- `difficulty`, `window_size_x`, `window_size_y` and `debug` are accepted and have no effect.
- Steps after the end of an episode let no time pass and pay 0; as in SMAC they count the battle once more. `reset()`
  begins the next episode.
- As in SMAC a `reset()` before any episode has ended launches the game anew, with the same battle if a seed was given;
  but `max_reward` counts the enemies' health once, from the construction on.
- `reset(seed=...)` is an addition: a launch with that seed.
- `save_replay()` writes the current episode so far as a GIF; `render` knows the mode "rgb_array" only.
- There is no connection that could break: `restarts` stays 0.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from skirmish.checks import require_known
from skirmish.contract import smac as contract
from skirmish.contract.layout import P_SHOOT, P_SIGHT
from skirmish.contract.options import SkirmishOptions
from skirmish.data.maps import MapSpec, agent_types, map_names
from skirmish.faces.records import FIRST_ALLY_TYPE, Tape, Unit, painter, units_of
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.rules import Rules
from skirmish.physics.tables import FIRST_TARGET, HEALTH, X, Y
from skirmish.policies import make_policy

TYPE_NAMES = (
    *("marine", "marauder", "medivac", "stalker", "zealot"),
    *("colossus", "hydralisk", "zergling", "baneling"),
)  # each has an attribute such as `marine_id`

# SMAC's options that are none of the simulator's, with SMAC's defaults.
FACE_OPTIONS: dict[str, Any] = {
    "seed": None,
    "heuristic_ai": False,
    "heuristic_rest": False,
    "replay_dir": "",
    "replay_prefix": "",
    "window_size_x": 1920,
    "window_size_y": 1200,
    "debug": False,
}


class UnknownMapError(KeyError, ValueError):
    """A map name that is not in the data; SMAC raises a KeyError, the rest of this project ValueErrors."""

    __str__ = Exception.__str__  # a KeyError would print the message in quotes


class StarCraft2Env:
    """SMAC's environment class on the embedded simulator, which is the attribute `simulator`, with one slot."""

    n_actions_no_attack = FIRST_TARGET
    n_actions_move = 4
    force_restarts = 0

    def __init__(self, map_name: str | MapSpec = "8m", *, rules: Rules | None = None, **options: Any) -> None:
        """Build the battle; `reset()` starts it.

        Args:
          map_name: one of SMAC's maps, or a map of your own.
          rules: choices of the simulator where the facts end; None for the documented defaults.
          options: SMAC's keywords: fields of `SkirmishOptions` and keys of `FACE_OPTIONS`.
        Raises:
          KeyError (also a ValueError) for an unknown map; ValueError for an unknown option, with the nearest name, or
          a value without a meaning.
        """
        if isinstance(map_name, str):
            try:
                require_known("map", map_name, map_names())
            except ValueError as error:
                raise UnknownMapError(str(error)) from None
        simulator = {f.name: f.default for f in fields(SkirmishOptions)}
        for option in options:
            require_known("option", option, (*FACE_OPTIONS, *simulator))
        if options.get("game_version", "") is None:  # SMAC's word for the latest
            del options["game_version"]
        self.simulator = SkirmishEnv(map_name, rules=rules, **{k: v for k, v in options.items() if k in simulator})
        self.options: dict[str, Any] = {**FACE_OPTIONS, **simulator, **options}
        self.options["obs_own_health"] |= self.options["obs_all_health"]
        self._seed: int | None = self.options["seed"]
        for name in self.options.keys() - {"seed"}:  # SMAC has its options as attributes; seed is a method
            setattr(self, name, self.options[name])
        self._policy = None
        if self.options["heuristic_ai"]:
            self._policy = make_policy(
                "heuristic_rest" if self.options["heuristic_rest"] else "heuristic", self.simulator
            )

        info, spec = self.simulator.info, self.simulator.spec
        self.map_name = spec.name
        self.n_agents, self.n_enemies, self.n_actions = info.n_agents, info.n_enemies, info.n_actions
        self.episode_limit = info.episode_limit
        self.map_type, self.unit_type_bits = spec.map_type, spec.type_bits
        self.shield_bits_ally, self.shield_bits_enemy = int(spec.ally_shields), int(spec.enemy_shields)
        self.map_x, self.map_y = self.max_distance_x, self.max_distance_y = spec.terrain.size
        self.pathing_grid, self.terrain_height = self.simulator.grids
        self.max_reward = self.simulator.max_reward
        own = agent_types(spec)
        for name in TYPE_NAMES:
            setattr(self, f"{name}_id", FIRST_ALLY_TYPE + own.index(name) if name in own else 0)

        self.battles_won = self.battles_game = self.timeouts = 0
        self.last_action = np.zeros((self.n_agents, self.n_actions))  # (n, A) one-hot
        self._win_counted = False
        self._episodes_ended = self._number = 0
        self._started = False
        self._units: tuple[dict[int, Unit], dict[int, Unit]] | None = None  # of the current time
        self._tape = Tape(self.simulator)
        self._render_mode: str | None = None
        self._painter: Any = None

    # Episodes

    def reset(self, seed: int | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Begin an episode. Returns: observations as of `get_obs`, state.

        Args: seed: None goes on as SMAC does; an integer launches the game with that seed.
        """
        if seed is not None or self._episodes_ended == 0:
            launch = self._seed if seed is None else seed
            self.simulator.reset(_fresh_seed() if launch is None else launch)
        else:
            self.simulator.reset()
        self._started = True
        self._win_counted = False
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        self._units = None
        self._tape.restart()
        self._number = self._episodes_ended
        return self.get_obs(), self.get_state()

    def step(self, actions: Sequence[int] | np.ndarray) -> tuple[float, bool, dict[str, Any]]:
        """One environment step. Returns: team reward, terminated (also by the limit), info.

        Args:
          actions: n values that int() understands. With heuristic_ai they only fill `last_action`, and each is
            overwritten by the id that the script chose.
        Raises:
          AssertionError for an unavailable action, before any time passes; `last_action` holds the attempt then.
          IndexError for an action outside [0, A). ValueError for another number of actions.
        """
        self._require_started()
        joint = self._joint_action(actions)
        self.last_action = np.eye(self.n_actions)[joint]
        orders = joint
        if self._policy is not None:
            orders = self._policy.act()[0]
            for i, order in enumerate(orders.tolist()):
                actions[i] = order  # type: ignore[index]
        else:
            self._assert_available(joint)
        reward = 0.0
        if not self.simulator.finished[0]:
            self._tape.step(orders, self._policy is None)
            reward = float(self.simulator._reward64[0])  # as precise as SMAC's; `reward` is rounded to float32
        self._show_last_action(joint)
        self._units = None
        return reward, bool(self.simulator.finished[0]), self._count_battle()

    def _joint_action(self, actions: Iterable[Any]) -> np.ndarray:
        """(n,) int64."""
        joint = np.array([int(a) for a in actions], np.int64)
        if joint.shape != (self.n_agents,):
            raise ValueError(f"actions must be {self.n_agents} integers, got {joint.size}: pass one per agent")
        for i, a in enumerate(joint.tolist()):
            if not 0 <= a < self.n_actions:
                raise IndexError(
                    f"action of agent {i} must lie in [0, {self.n_actions}), got {a}: choose by availability"
                )
        return joint

    def _assert_available(self, joint: np.ndarray) -> None:
        available = self.simulator.available_actions[0]
        for i, a in enumerate(joint.tolist()):
            if not available[i, a]:
                self._show_last_action(joint)
                raise AssertionError(
                    f"action of agent {i} must be one of the available {np.flatnonzero(available[i]).tolist()}, "
                    f"got {a}: choose by get_avail_agent_actions"
                )

    def _show_last_action(self, joint: np.ndarray) -> None:
        """Make observations and state carry this joint action where it is not the one the simulator played."""
        if not np.array_equal(self.simulator.last_action[0], joint):
            now = self.simulator.snapshot()
            now["last_action"][0] = joint
            self.simulator.restore(now)

    def _count_battle(self) -> dict[str, Any]:
        """Info of the step just made; counts the battle if it is over."""
        health = self.simulator.units[0, HEALTH]
        info: dict[str, Any] = {
            "battle_won": False,
            "dead_allies": int((health[: self.n_agents] <= 0.0).sum()),
            "dead_enemies": int((health[self.n_agents :] <= 0.0).sum()),
        }
        if not self.simulator.finished[0]:
            return info
        self.battles_game += 1
        self._episodes_ended += 1
        if self.simulator.truncated[0]:
            self.timeouts += 1
            if self.options["continuing_episode"]:
                info["episode_limit"] = True
        elif self.simulator.won[0] and not self._win_counted:
            self.battles_won += 1
            self._win_counted = info["battle_won"] = True
        return info

    # What agents see

    def get_obs(self) -> list[np.ndarray]:
        """n vectors, float32, or float64 with obs_timestep_number."""
        return [self.get_obs_agent(i) for i in range(self.n_agents)]

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        """One agent's vector; all zeros if it is dead."""
        self._require_started()
        row: np.ndarray = self.simulator.obs[0, agent_id]
        if not self.options["obs_timestep_number"]:
            return row.copy()
        # SMAC appends the time to the finished float32 vector, which makes it a float64 one.
        return np.append(row[:-1].astype(np.float64), self.simulator.t[0] / self.episode_limit)

    def get_state(self) -> np.ndarray:
        """(S,) float32."""
        self._require_started()
        return self.simulator.state[0].copy()

    def get_state_dict(self) -> dict[str, Any]:
        """Rows of allies (n, fA) and enemies (m, fE), float64; last_action and timestep if they are enabled."""
        self._require_started()
        env, n = self.simulator, self.n_agents
        ally, enemy = self.get_ally_num_attributes(), self.get_enemy_num_attributes()
        layout = env.layout._replace(state_last_action=False, state_timestep=False)
        flat = np.zeros((1, n * ally + self.n_enemies * enemy))
        slots = np.ones(1, np.bool_)
        contract.fill_state(env.units, env.kinds, env.profile, layout, env.last_action, env.t, slots, flat)
        rows: dict[str, Any] = {
            "allies": flat[0, : n * ally].reshape(n, ally),
            "enemies": flat[0, n * ally :].reshape(self.n_enemies, enemy),
        }
        if self.options["state_last_action"]:
            rows["last_action"] = self.last_action
        if self.options["state_timestep_number"]:
            rows["timestep"] = env.t[0] / self.episode_limit
        return rows

    def get_avail_actions(self) -> list[list[int]]:
        """n lists of A zeros and ones."""
        return [self.get_avail_agent_actions(i) for i in range(self.n_agents)]

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """A zeros and ones."""
        self._require_started()
        available: list[int] = self.simulator.available_actions[0, agent_id].astype(int).tolist()
        return available

    def get_visibility_matrix(self) -> np.ndarray:
        """(n, n + m) bool: which living units each living agent sees, itself excepted."""
        self._require_started()
        n, units = self.n_agents, self.simulator.units[0]
        x, y, alive = units[X], units[Y], self.simulator.alive[0]
        near = np.hypot(x - x[:n, None], y - y[:n, None]) < self._agent_facts()[:, P_SIGHT, None]
        visible: np.ndarray = near & alive & alive[:n, None]
        np.fill_diagonal(visible, False)
        return visible

    # Sizes

    def get_total_actions(self) -> int:
        """A."""
        return self.n_actions

    def get_obs_move_feats_size(self) -> int:
        """Entries of the move block."""
        return self.simulator.layout.obs_blocks["move"][1]

    def get_obs_enemy_feats_size(self) -> tuple[int, int]:
        """Enemies and entries per enemy."""
        return self.simulator.layout.obs_blocks["enemy"]

    def get_obs_ally_feats_size(self) -> tuple[int, int]:
        """Team mates and entries per team mate."""
        return self.simulator.layout.obs_blocks["ally"]

    def get_obs_own_feats_size(self) -> int:
        """Entries of the own block; obs_timestep_number makes it one longer."""
        return self.simulator.layout.obs_blocks["own"][1] + self.simulator.layout.obs_timestep

    def get_obs_size(self) -> int:
        """SMAC's size of a vector; with obs_timestep_number the vectors are one longer, there and here."""
        return self.simulator.layout.obs_size - self.simulator.layout.obs_timestep

    def get_ally_num_attributes(self) -> int:
        """Entries of an ally's row of the state."""
        return self.simulator.layout.state_blocks["ally"][1]

    def get_enemy_num_attributes(self) -> int:
        """Entries of an enemy's row of the state."""
        return self.simulator.layout.state_blocks["enemy"][1]

    def get_state_size(self) -> int:
        """SMAC's size of the state, with obs_instead_of_state that of n vectors of `get_obs_size` entries."""
        if self.simulator.layout.obs_instead_of_state:
            return self.n_agents * self.get_obs_size()
        return self.simulator.layout.state_size

    def get_env_info(self) -> dict[str, Any]:
        """Sizes, limit and feature names."""
        types = [f"type_{k}" for k in range(self.unit_type_bits)]
        return {
            "state_shape": self.get_state_size(),
            "obs_shape": self.get_obs_size(),
            "n_actions": self.n_actions,
            "n_agents": self.n_agents,
            "episode_limit": self.episode_limit,
            "agent_features": [
                *("health", "energy/cooldown", "rel_x", "rel_y"),
                *["shield"] * self.shield_bits_ally,
                *types,
            ],
            "enemy_features": [*("health", "rel_x", "rel_y"), *["shield"] * self.shield_bits_enemy, *types],
        }

    # Units

    @property
    def agents(self) -> dict[int, Unit]:
        """Agents by index; empty before the first reset. Records are of one moment: ask again after a step."""
        return self._records()[0]

    @property
    def enemies(self) -> dict[int, Unit]:
        """Enemies by index, as `agents`."""
        return self._records()[1]

    def get_unit_by_id(self, a_id: int) -> Unit:
        """Record of one agent."""
        return self.agents[a_id]

    def get_unit_types(self) -> list[int] | None:
        """Raw type ids, agents first; None and a warning before the first reset."""
        if not self._started:
            warnings.warn("unit types are not known yet: call reset() first", stacklevel=2)
            return None
        return [unit.unit_type for side in self._records() for unit in side.values()]

    def unit_sight_range(self, agent_id: int) -> float:
        """How far SMAC lets the agent see, between centres, exclusive."""
        return float(self._agent_facts()[agent_id, P_SIGHT])

    def unit_shoot_range(self, agent_id: int) -> float:
        """How far SMAC lets the agent aim, between centres, inclusive."""
        return float(self._agent_facts()[agent_id, P_SHOOT])

    def _agent_facts(self) -> np.ndarray:
        facts: np.ndarray = self.simulator.profile[self.simulator.kinds[0, : self.n_agents]]  # (n, NUM_PROFILE)
        return facts

    @property
    def death_tracker_ally(self) -> np.ndarray:
        """(n,) 1 for agents whose death was counted in the reward; with reward_sparse none is."""
        return self._deaths_counted()[: self.n_agents]

    @property
    def death_tracker_enemy(self) -> np.ndarray:
        """(m,) as `death_tracker_ally`."""
        return self._deaths_counted()[self.n_agents :]

    def _deaths_counted(self) -> np.ndarray:
        counted = self._started and not self.options["reward_sparse"]
        deaths: np.ndarray = (~self.simulator.alive[0] & counted).astype(np.float64)
        return deaths

    def _records(self) -> tuple[dict[int, Unit], dict[int, Unit]]:
        if not self._started:
            return {}, {}
        if self._units is None:
            self._units = units_of(self.simulator)
        return self._units

    # The rest of SMAC's interface

    def get_stats(self) -> dict[str, Any]:
        """Counters since construction. Raises: ZeroDivisionError before any battle has ended."""
        return {
            "battles_won": self.battles_won,
            "battles_game": self.battles_game,
            "battles_draw": self.timeouts,
            "win_rate": self.battles_won / self.battles_game,
            "timeouts": self.timeouts,
            "restarts": self.force_restarts,
        }

    def seed(self) -> int | None:
        """The seed given to the constructor."""
        return self._seed

    def render(self, mode: str = "human") -> np.ndarray:
        """(H, W, 3) uint8 picture of the battle with mode "rgb_array".

        Raises:
          RuntimeError for mode "human": the simulator has no window. ValueError for other modes. AssertionError if the
          mode changes between calls.
        """
        self._require_started()
        require_known("render mode", mode, ("rgb_array", "human"))
        if self._render_mode not in (None, mode):
            raise AssertionError(
                f"render mode must stay {self._render_mode!r}, got {mode!r}: build a second environment"
            )
        if mode == "human":
            raise RuntimeError(
                "mode 'human' needs the game's window, which this simulator has not: show the arrays of "
                "render('rgb_array') or write a film with `python -m skirmish watch`"
            )
        self._render_mode = mode
        if self._painter is None:
            self._painter = painter(self.simulator)
        frame: np.ndarray = self._painter.frame()
        return frame

    def save_replay(self) -> str:
        """Write the current episode so far as a GIF and return its path.

        It lies in replay_dir (default: the working directory), named after replay_prefix (default: the map) and the
        number of episodes before it; a file of that name is replaced.
        """
        self._require_started()
        path = Path(self.options["replay_dir"]) / f"{self.options['replay_prefix'] or self.map_name}_{self._number}.gif"
        self._tape.write(path)
        return str(path)

    def close(self) -> None:
        """Nothing is held open; may be called any number of times."""
        self._painter = None
        self.simulator.close()

    def _require_started(self) -> None:
        if not self._started:
            raise RuntimeError("an episode must be started first, got a call before any reset: call reset()")


def _fresh_seed() -> int:
    """Without a seed every launch is another battle, as in SMAC."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
