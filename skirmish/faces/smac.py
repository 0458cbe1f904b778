"""One battle with the class, method and option names of SMAC 1.0, so that code written for SMAC runs on the simulator.

`StarCraft2Env` takes SMAC's constructor keywords and returns SMAC's types. Where it differs on purpose:

- `game_version` chooses the unit data, "4.10" (None, the default) or "4.6.2".
- `difficulty`, `window_size_x`, `window_size_y` and `debug` are accepted and have no effect.
- Steps after the end of an episode let no time pass and pay 0; as in SMAC they count the battle once more. `reset()`
  begins the next episode.
- As in SMAC a `reset()` before any episode has ended launches the game anew, with the same battle if a seed was given;
  but `max_reward` counts the enemies' health once.
- `reset(seed=...)` is an addition: a launch with that seed.
- `save_replay()` writes the current episode so far as a GIF; `render` knows the mode "rgb_array" only.
- There is no connection that could break: `restarts` counts calls of `full_restart()` alone.
- Nothing can be asked of the game program, which does not exist: `_controller`, `_sc2_proc` and `_run_config` are None,
  and SMAC's debug command that kills all units (`_kill_all_units`) is missing.
- Rewards and availability are the simulator's: a subclass that overrides `reward_battle`, `get_agent_action` or
  `update_units` does not change what `step` does.

The class is built in layers: `unit_view.py` (units), `commands.py` (actions), `feature_view.py` (what is observed).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skirmish.checks import require_known
from skirmish.data.maps import MapSpec
from skirmish.faces.commands import CommandView
from skirmish.faces.feature_view import FeatureView
from skirmish.faces.records import FIRST_ALLY_TYPE, Tape, Unit, painter
from skirmish.faces.registry import UnknownMapError
from skirmish.faces.unit_view import FACE_OPTIONS, Direction
from skirmish.physics.rules import Rules
from skirmish.physics.tables import HEALTH

LOST, WON, DRAWN = -1, 1, 0  # SMAC's codes of a battle's end

__all__ = ["FACE_OPTIONS", "Direction", "StarCraft2Env", "UnknownMapError"]


class ActionCountError(ValueError, KeyError):
    """Not one action per agent; SMAC raises a KeyError if there are too many of them."""

    __str__ = Exception.__str__


class StarCraft2Env(CommandView, FeatureView):
    """SMAC's environment class on the embedded simulator, which is the attribute `simulator`, with one slot."""

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
        super().__init__(map_name, rules, options)
        self.max_reward = self.n_enemies * self.options["reward_death_value"] + self.options["reward_win"]
        self.battles_won = self.battles_game = self.timeouts = self.force_restarts = 0
        self.reward: float = 0  # of the last step
        self.win_counted = self.defeat_counted = False
        self.death_tracker_ally = np.zeros(self.n_agents)  # (n,) 1 for deaths that the reward has counted
        self.death_tracker_enemy = np.zeros(self.n_enemies)  # (m,)
        self._episode_count = self._total_steps = self._number = 0
        self._relaunch = False
        self._tape = Tape(self.simulator)
        self._render_mode: str | None = None
        self.renderer: Any = None

    # Episodes

    def reset(self, seed: int | None = None) -> Any:
        """Begin an episode. Returns: observations as of `get_obs`, state.

        Args: seed: None goes on as SMAC does; an integer launches the game with that seed.
        """
        self._begin(seed)
        return self.get_obs(), self.get_state()

    def _begin(self, seed: int | None) -> None:
        if seed is not None or self._episode_count == 0 or self._relaunch or not self._started:
            self._launch(seed)
        else:
            self._restart()
        self._started = True
        self.win_counted = self.defeat_counted = False
        self.death_tracker_ally = np.zeros(self.n_agents)
        self.death_tracker_enemy = np.zeros(self.n_enemies)
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        if self.options["heuristic_ai"]:
            self.heuristic_targets = [None] * self.n_agents
        self.init_units()
        self._tape.restart()
        self._number = self._episode_count

    def _launch(self, seed: int | None = None) -> None:
        """Begin the series of battles of a seed, the constructor's for None, and read the map."""
        launch = self._seed if seed is None else seed
        self.simulator.reset(_fresh_seed() if launch is None else launch)
        self._relaunch = False
        self.map_x, self.map_y = self.max_distance_x, self.max_distance_y = self.simulator.spec.terrain.size
        self.pathing_grid, self.terrain_height = self.simulator.grids

    def _restart(self) -> None:
        """Begin the next battle of the series."""
        self.simulator.reset()

    def full_restart(self) -> None:
        """Close the game and launch it anew: the next reset begins the battles of the present seed again.

        Until then the units are the old ones, and no step is possible.
        """
        self._relaunch = True
        self.force_restarts += 1

    def init_units(self) -> None:
        """Look at the units of an episode that has just begun; `reset` calls it.

        Raises: RuntimeError before the first reset and once a unit has died: SMAC would wait for it for ever.
        """
        self._require_started()
        if self._alive() != (self.n_agents, self.n_enemies):
            raise RuntimeError(
                f"units can be initialised while all {self.n_agents} agents and {self.n_enemies} enemies live, got "
                f"{self._alive()}: call reset()"
            )
        self._units = self._previous = self._known = None
        self._known = self._reported()
        if self._episode_count == 0 or self._min_unit_type == 0:
            self._init_ally_unit_types(FIRST_ALLY_TYPE)
        self.max_reward = self._largest_return()

    def _largest_return(self) -> float:
        """Of an episode without regeneration; what rewards are scaled by."""
        return self.simulator.max_reward

    def step(self, actions: Sequence[int] | np.ndarray) -> Any:
        """One environment step. Returns: team reward, terminated (also by the limit), info.

        Args:
          actions: n values that int() understands. With heuristic_ai they only fill `last_action`, and each is
            overwritten by the id that the script chose.
        Raises:
          AssertionError for an unavailable action, before any time passes; `last_action` holds the attempt then.
          IndexError for an action outside [-A, A), KeyError for a negative one that counts from the end to an
          available action. ValueError for another number of actions, also a KeyError.
        """
        self._require_started()
        if self._relaunch:
            raise RuntimeError("the game was launched anew, got a step of the old battle: call reset()")
        joint = self._joint_action(actions)
        self.last_action = np.eye(self.n_actions)[joint]
        orders = self._orders(actions, joint)
        reward = 0.0
        if not self.simulator.finished[0]:
            self._tape.step(orders, not self.options["heuristic_ai"])
            reward = float(self.simulator._reward64[0])  # as precise as SMAC's; `reward` is rounded to float32
            self._total_steps += 1
        self._show_last_action(joint)
        self._units = None
        self.reward = reward
        info = self._count_battle(self.update_units())
        return reward, bool(self.simulator.finished[0]), info

    def _joint_action(self, actions: Iterable[Any]) -> np.ndarray:
        """(n,) int64."""
        # Learners pass (n, 1) too; numpy does not make an int of an array with an axis any more.
        joint = np.array([int(a.item() if isinstance(a, np.ndarray) else a) for a in actions], np.int64)
        for i, a in enumerate(joint.tolist()):
            if not -self.n_actions <= a < self.n_actions:
                raise IndexError(
                    f"action of agent {i} must lie in [0, {self.n_actions}), got {a}: choose by availability"
                )
        if joint.shape != (self.n_agents,):
            raise ActionCountError(f"actions must be {self.n_agents} integers, got {joint.size}: pass one per agent")
        return joint

    def _orders(self, actions: Any, joint: np.ndarray) -> np.ndarray:
        """(n,) int64 what the agents do: the script's choices, or their own if they may."""
        if self.options["heuristic_ai"]:
            for i, action in enumerate(joint.tolist()):
                actions[i] = self.get_agent_action_heuristic(i, action)[1]
            return np.array([int(a) for a in actions], np.int64)
        allowed = self.simulator.available_actions[0][np.arange(self.n_agents), joint] & (joint >= 0)
        if not allowed.all():
            self._show_last_action(joint % self.n_actions)
            first = int(allowed.argmin())
            self.get_agent_action(first, int(joint[first]))  # raises
        return joint

    def _show_last_action(self, joint: np.ndarray) -> None:
        """Make observations and state carry this joint action where it is not the one the simulator played."""
        if not np.array_equal(self.simulator.last_action[0], joint):
            now = self.simulator.snapshot()
            now["last_action"][0] = joint
            self.simulator.restore(now)

    def update_units(self) -> int | None:
        """Take the present units as known and those known so far as the previous ones; `step` calls it.

        Returns: how the battle stands: 1 won, -1 lost, 0 both sides gone, None not decided.
        """
        self._require_started()
        self._previous, self._known = self._known, self._reported()
        self._units = None
        allies, enemies = self._alive()
        if (allies == 0 and enemies > 0) or self.only_medivac_left(ally=True):
            return LOST
        if (allies > 0 and enemies == 0) or self.only_medivac_left(ally=False):
            return WON
        return DRAWN if allies == enemies == 0 else None

    def _count_battle(self, code: int | None) -> dict[str, Any]:
        """Info of the step just made; counts deaths, and the battle if it is over."""
        dead = self.simulator.units[0, HEALTH] <= 0.0
        allies, enemies = dead[: self.n_agents], dead[self.n_agents :]
        if not self.options["reward_sparse"]:
            self.death_tracker_ally[allies] = 1.0
            self.death_tracker_enemy[enemies] = 1.0
        info: dict[str, Any] = {
            "battle_won": False,
            "dead_allies": int(allies.sum()),
            "dead_enemies": int(enemies.sum()),
        }
        if not self.simulator.finished[0]:
            return info
        self.battles_game += 1
        self._episode_count += 1
        if code is None:
            self.timeouts += 1
            if self.options["continuing_episode"]:
                info["episode_limit"] = True
        elif code == WON and not self.win_counted:
            self.battles_won += 1
            self.win_counted = info["battle_won"] = True
        elif code == LOST:
            self.defeat_counted = True
        return info

    def reward_battle(self) -> float:
        """Reward of the last step before scaling and without what the battle's end pays; 0 with reward_sparse.

        Counts deaths in `death_tracker_ally` and `death_tracker_enemy`: a unit whose death has been counted, as `step`
        does, pays nothing more.

        Raises: RuntimeError before an episode's first step.
        """
        if self.options["reward_sparse"]:
            return 0
        before_allies, before_enemies = self.previous_ally_units, self.previous_enemy_units
        if before_allies is None or before_enemies is None:
            raise RuntimeError("a reward compares two moments, got a call before the first step: call step()")
        value, scale = self.options["reward_death_value"], self.options["reward_negative_scale"]
        penalty, own = self._losses(self.agents, before_allies, self.death_tracker_ally, value * scale, scale)
        bounty, damage = self._losses(self.enemies, before_enemies, self.death_tracker_enemy, value, 1)
        return self._reward_of(bounty, damage, penalty, own)

    def _reward_of(self, bounty: float, damage: float, penalty: float, own: float) -> float:
        """Kills, damage to enemies, agents' deaths and damage to agents, all as positive values, in one number."""
        if self.options["reward_only_positive"]:
            return abs(damage + bounty)
        return damage + (bounty - penalty) - own

    def _losses(
        self, now: dict[int, Unit], before: dict[int, Unit], tracker: np.ndarray, death_value: float, scale: float
    ) -> tuple[float, float]:
        """Values of the deaths not counted so far, and of the health and shields of those whose death was not."""
        deaths, lost = 0.0, 0.0
        for k, unit in now.items():
            if tracker[k]:
                continue
            had = before[k].health + before[k].shield
            if unit.health == 0:
                tracker[k] = 1
                deaths += death_value
                lost += had * scale
            else:
                lost += scale * (had - unit.health - unit.shield)
        return deaths, lost

    @property
    def _episode_steps(self) -> int:
        """Steps of the present episode."""
        return int(self.simulator.t[0]) if self._started else 0

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

    def seed(self, seed: int | None = None) -> int | None:
        """The seed of the launches, the constructor's. Args: seed: a new one, from the next launch on."""
        if seed is not None:
            self._seed = seed
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
        if self.renderer is None:
            self.renderer = painter(self.simulator)
        frame: np.ndarray = self.renderer.frame()
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
        self.renderer = None
        self.simulator.close()


def _fresh_seed() -> int:
    """Without a seed every launch is another battle, as in SMAC."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
