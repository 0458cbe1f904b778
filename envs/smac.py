"""StarCraft II through the official packages `smac` and `smacv2`, behind the interface of this suite.

Every slot has a process of its own with one official environment (`envs/starcraft/worker.py`). A game that crashes,
hangs or answers nonsense costs its episode, which is marked `discarded`, and is started anew; see `VectorEnv`. Three
things are other than with the simulator:

- Slot b's games are started with seeds that follow from (seed, b) and the number of the slot's start. What a game does
  with its seed is its own matter: StarCraft II is not promised to repeat itself.
- `reset(seed)` starts all games anew, since a running one cannot be seeded; `reset()`, `reset_done()` and, once there
  are games, `reset_later(seed)` go on in them.
- There is no snapshot of a game: `restore` leaves every slot finished and discarded, and new episodes begin.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from typing import Any

import numpy as np

from envs.interface import EnvInfo, Snapshot, VectorEnv, require_known, restore_arrays
from envs.starcraft import installation
from envs.starcraft.crew import Crew, Handling
from envs.starcraft.faults import Fault, FaultCounts
from envs.starcraft.frames import Message
from envs.starcraft.options import BACKENDS, FACTORIES, FACTORY, HANDLING, Battle, describe, names_of, option_names
from envs.starcraft.views import TOLD, DrawnViews, MapViews
from skirmish.contract import smac as contract
from skirmish.contract.layout import Layout
from skirmish.counters import require_seed
from skirmish.data.maps import MapSpec
from skirmish.physics.tables import HEALTH

__all__ = ["BACKENDS", "SmacEnv", "build", "names_of", "option_names", "provenance"]

logger = logging.getLogger(__name__)

NO_OP, STOP = 0, 1  # action ids


class SmacEnv(VectorEnv):
    """B official environments. Games start with the first `reset`; `close` ends them, and so does the end of the run.

    Args:
      battle: what is played.    label: the game behind it, for `EnvInfo.unit_data`.
      factory: "module:name" of the class that a worker builds.    seed: seeds the first `reset()`.
    """

    idle_action = STOP

    def __init__(
        self,
        battle: Battle,
        *,
        backend: str,
        num_envs: int,
        observation: str,
        seed: int,
        factory: str,
        handling: Handling,
        label: str,
    ) -> None:
        require_seed(seed)
        layout, told = battle.layout, battle.package_layout
        info = EnvInfo(
            name=battle.name,
            backend=backend,
            observation=observation,
            n_agents=layout.n,
            n_enemies=layout.m,
            n_actions=layout.n_actions,
            obs_size=layout.obs_size,
            state_size=layout.state_size,
            episode_limit=layout.episode_limit,
            deterministic=False,
            unit_data=label,
            agent_types=battle.agent_types,
        )
        self._allocate(info, num_envs)
        self._battle, self._factory, self._seed = battle, factory, seed
        views = MapViews if backend == "smac" else DrawnViews
        self._views: MapViews | DrawnViews = views(battle, num_envs, mazero=observation == "mazero")
        self._told = np.zeros((num_envs, layout.n, told.obs_size), np.float32)  # what the package shows
        self._sizes = (layout.n, layout.m, told.obs_size, told.state_size, layout.n_actions)
        self._discarded = np.zeros(num_envs, np.bool_)
        self.t = np.zeros(num_envs, np.int64)  # (B,) steps done
        self.orders = np.full((num_envs, layout.n), -1, np.int64)  # (B, n) of the package's script, see `scripted`
        self._last_action = np.full((num_envs, layout.n), -1, np.int64)
        self._agent_state: np.ndarray | None = None
        self._key = np.zeros(1, np.uint64)
        self._starts = np.zeros(num_envs, np.int64)  # (B,) games that were started in each slot for this seed
        self.first_of_game = np.ones(num_envs, np.bool_)  # (B,) its battle is the first one of its game
        self._restartable = np.zeros(num_envs, np.bool_)  # (B,) its game has brought an episode to its end
        self._started = False
        self._crew = Crew(num_envs, handling, opening=self._opening_of(), check=_Check(self._sizes))
        self.close_at_end = weakref.finalize(self, self._crew.close)

    @property
    def discarded(self) -> np.ndarray:
        """(B,) bool, see `VectorEnv`."""
        return self._discarded

    @property
    def losses(self) -> dict[str, int]:
        """Faults of games, and episodes that ended with them."""
        return {"game_faults": self.faults.total, "episodes_lost": self.faults.by_phase["step"]}

    @property
    def faults(self) -> FaultCounts:
        """What went wrong so far."""
        return self._crew.faults

    @property
    def processes(self) -> list[int | None]:
        """Process numbers of the workers by slot; each leads a group with its game."""
        return self._crew.processes

    @property
    def spec(self) -> MapSpec:
        """The map. Raises, as `layout`, `profile`, `units`, `kinds`, `alive` do: ValueError for drawn battles."""
        return self._on_map.spec

    @property
    def layout(self) -> Layout:
        """What agents see and may do on this map."""
        return self._on_map.layout

    @property
    def profile(self) -> np.ndarray:
        """(K, NUM_PROFILE) facts of the map's unit types; the largest health is the game's."""
        return self._on_map.profile

    @property
    def units(self) -> np.ndarray:
        """(B, 6, U) x, y, health, shield, cooldown (agents only), energy, as the game tells them; 0 health: dead."""
        return self._on_map.units[:, :TOLD]

    @property
    def kinds(self) -> np.ndarray:
        """(B, U) types of the units, as rows of `spec.kinds` and `profile`."""
        return self._on_map.kinds

    @property
    def alive(self) -> np.ndarray:
        """(B, U) bool, agents first."""
        return self.units[:, HEALTH] > 0.0

    @property
    def _on_map(self) -> MapViews:
        if not isinstance(self._views, MapViews):
            raise ValueError(
                f"unit states are told on SMAC's maps, got the drawn battles {self.info.name}: choose one of the maps"
            )
        return self._views

    @property
    def agent_state_size(self) -> int | None:
        """F, on SMAC's maps."""
        return self._views.agent_state_size

    @property
    def agent_state(self) -> np.ndarray:
        """(B, n, F) float32 central inputs, made at every request."""
        size = self.agent_state_size
        if size is None:
            return super().agent_state  # raises
        if self._agent_state is None:
            self._agent_state = np.zeros((self.num_envs, self.info.n_agents, size), np.float32)
        self._views.agent_state(self.available_actions, self._last_action, self.t, self._agent_state)
        return self._agent_state

    @property
    def largest_return(self) -> float | None:
        """Return of an episode in which every enemy dies, by our unit data; None with drawn teams."""
        return self._battle.largest_return

    def reset(self, seed: int | None = None) -> None:
        """New episodes everywhere; a seed also means new games. Raises: GivenUpError if a game cannot be started."""
        if seed is None and not self._started:
            seed = self._seed
        if seed is not None:
            require_seed(seed)
            self._key[:] = seed
            self._starts[:] = 0
            self._restartable[:] = False
        self._started = True
        self._begin(np.ones(self.num_envs, np.bool_))

    def reset_later(self, seed: int | None = None) -> None:
        """Later battles everywhere; of a game that has just been started the first one is lost standing still.

        A seed is that of the games to be started; those that run go on without it.
        Raises: GivenUpError if a game cannot be started.
        """
        if self._started:
            self._begin(np.ones(self.num_envs, np.bool_))
        else:
            self.reset(seed)
        while self.first_of_game.any():
            first = self.first_of_game.copy()
            while (running := first & ~self.finished).any():
                self._step(np.where(self.available_actions[:, :, STOP], STOP, NO_OP), running)
            self._begin(first)

    def step(self, actions: np.ndarray) -> None:
        """One step; see `VectorEnv.step`. Raises: GivenUpError for a slot whose games fail again and again."""
        if not self._started:
            raise RuntimeError("episodes must be started first, got a step before any reset: call reset()")
        self._step(self._checked_actions(actions), ~self.finished)

    def _step(self, actions: np.ndarray, running: np.ndarray) -> None:
        """One step of the slots marked True."""
        self.reward[:] = 0.0
        answers = self._crew.step({int(b): actions[b] for b in np.flatnonzero(running)})
        seen = np.zeros(self.num_envs, np.bool_)
        for slot, message in answers.items():
            if message is None:
                self._discard(slot)
                continue
            head, arrays = message
            self._last_action[slot] = actions[slot]
            self.t[slot] += 1
            seen[slot] = True
            self._read(slot, arrays)
            self.reward[slot] = head["reward"]
            self.orders[slot] = arrays.get("orders", -1)
            self.won[slot] = head["won"]
            self.terminated[slot], self.truncated[slot] = head["terminated"], head["truncated"]
            if self.terminated[slot] or self.truncated[slot]:
                self._restartable[slot] = True
                self._crew.completed(slot)
        self._describe(seen)

    def reset_done(self) -> None:
        """New episodes in finished slots; games that failed are started anew."""
        finished = self.finished
        if finished.any():
            self._begin(finished)

    def snapshot(self) -> Snapshot:
        """Seed and number of games so far: what keeps a resumed run from playing the same games again."""
        return {"smac_key": self._key.copy(), "smac_starts": self._starts.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go on after a snapshot, with new games: every slot is finished and discarded until `reset_done`."""
        restore_arrays({"smac_key": self._key, "smac_starts": self._starts}, snapshot)
        logger.warning(
            "%s: games of StarCraft II cannot be restored: the %d episodes under way are discarded, new ones begin",
            *(self.info.name, self.num_envs),
        )
        self._started = True
        self._restartable[:] = False
        self.reward[:] = 0.0
        self.obs[:] = self.state[:] = 0.0
        for slot in range(self.num_envs):
            self._discard(slot)

    def close(self) -> None:
        """End all games and processes, and remove what they left."""
        self.close_at_end()

    def _discard(self, slot: int) -> None:
        """The slot's episode is lost: it ends, and its agents can do nothing any more."""
        self._discarded[slot] = self.truncated[slot] = True
        self.terminated[slot] = self.won[slot] = self._restartable[slot] = False
        self.available_actions[slot] = False
        self.available_actions[slot, :, NO_OP] = True

    def _begin(self, slots: np.ndarray) -> None:
        """Start the next episode of the slots marked True."""
        chosen = [int(b) for b in np.flatnonzero(slots)]
        # A reset before the end of a game's first episode would start another game inside the package, and count the
        # enemies' health twice in its rewards: such a game is opened anew.
        anew = [slot for slot in chosen if not self._restartable[slot]]
        starts = self._starts.copy()
        for slot, (_, arrays) in self._crew.begin(chosen, anew=anew).items():
            self.first_of_game[slot] = self._starts[slot] > starts[slot]
            self._restartable[slot] = slot not in anew and self._restartable[slot]
            self._views.begin(slot, arrays)
            self._read(slot, arrays)
        self._discarded[slots] = False
        self.terminated[slots] = self.truncated[slots] = self.won[slots] = False
        self.reward[slots] = 0.0
        self.t[slots] = 0
        self._last_action[slots] = -1
        self._describe(slots)

    def _read(self, slot: int, arrays: dict[str, np.ndarray]) -> None:
        self._views.see(slot, arrays)
        self._told[slot] = arrays["obs"]
        self.available_actions[slot] = arrays["available"]
        if not self._battle.layout.obs_instead_of_state:
            self.state[slot] = arrays["state"]

    def _describe(self, slots: np.ndarray) -> None:
        """Observations, and a state that is made of them, of the slots marked True."""
        self._views.compose(slots, self._told, self.available_actions, self._last_action, self.t, self.obs)
        if self._battle.layout.obs_instead_of_state:
            contract.fill_state_from_obs(self.obs, slots, self.state)

    def _opening_of(self) -> Any:
        """A function of the slot that makes the request for its next game, without a reference to this object."""
        key, starts, wants = self._key, self._starts, self._views.wants_grids
        request = {
            "op": "open",
            "factory": self._factory,
            "options": dict(self._battle.options),
            "sizes": self._sizes,
            "grids": wants,
        }

        def opening(slot: int) -> dict[str, Any]:
            seed = game_seed(int(key[0]), slot, int(starts[slot]))
            starts[slot] += 1
            return {**request, "seed": seed}

        return opening


class _Check:
    """Holds a worker's answers against the sizes that the environment has (n, m, O, S, A)."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        n, m, obs, state, actions = sizes
        self._always = {"obs": (n, obs), "state": (state,), "available": (n, actions), "units": (6, n + m)}
        self._first = {"types": (n + m,), "health_max": (n + m,)}

    def __call__(self, message: Message, phase: str) -> None:
        head, arrays = message
        shapes = self._always if phase == "step" else self._always | self._first
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                got = arrays[name].shape if name in arrays else "none"
                raise Fault("garbage", f"{name} must be finite and of shape {shape}, got {got}")
        if "orders" in arrays and arrays["orders"].shape != self._always["obs"][:1]:
            raise Fault("garbage", f"there is an order for each agent, got shape {arrays['orders'].shape}")
        if phase == "step" and not (
            isinstance(head.get("reward"), float)
            and all(isinstance(head.get(name), bool) for name in ("terminated", "truncated", "won"))
        ):
            raise Fault("garbage", f"a step has a reward and flags, got {str(head)[:200]}")


def game_seed(seed: int, slot: int, start: int) -> int:
    """31-bit seed of the game that a slot starts as its `start`-th (from 0) for the environment's seed."""
    return int(np.random.SeedSequence((seed, slot, start)).generate_state(1)[0] >> 1)


def build(
    name: str,
    *,
    backend: str,
    num_envs: int,
    observation: str,
    seed: int,
    options: dict[str, Any],
    scripted: bool = False,
) -> SmacEnv:
    """Check that everything is there, and describe B battles; nothing is started.

    Args:
      options: `option_names(backend)`.
      scripted: the package's own script (`heuristic_ai`) commands the agents: a step takes any available actions,
        plays others, and tells them in `orders`, each as the action that aims at the agent's target (0: it has none).
    Raises: ValueError with the nearest name for what is unknown, or for a value without a meaning; ImportError saying
      what to install where the package, the game or the map is missing.
    """
    require_known("map", name, names_of(backend))
    options = dict(options)
    handling = Handling(**{key: options.pop(key) for key in HANDLING if key in options})
    factory = options.pop(FACTORY, "")
    battle = describe(name, backend, observation, options)
    if scripted:
        battle = replace(battle, options={**battle.options, "heuristic_ai": True})
    if factory:
        if not isinstance(factory, str) or len(factory.split(":")) != 2:
            raise ValueError(f"factory must be of the form module:name, got {factory!r}: name a class or function")
        label = f"no StarCraft II (factory {factory})"
    else:
        installation.require_package(backend)
        game = installation.find_game(options.get("game_version"))
        installation.require_map(game.folder, battle.map_file)
        factory, label = FACTORIES[backend], game.label
    how = {"backend": backend, "num_envs": num_envs, "observation": observation, "seed": seed}
    return SmacEnv(battle, **how, factory=factory, handling=handling, label=label)  # type: ignore[arg-type]


def provenance(backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """What a run's record says of game and packages. Raises: ImportError as `build`."""
    if options.get(FACTORY):
        return {"game": f"no StarCraft II (factory {options[FACTORY]})"}
    return installation.record(backend, options.get("game_version"))
