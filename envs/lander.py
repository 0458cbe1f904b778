"""Gymnasium's LunarLander as an environment of this suite: one agent with 400 actions (Table 9 of the paper).

The continuous lander has two controls in [-1, 1], main engine and side engines. Each is cut into 20 levels, and an
action is a pair of levels: the paper says only that the two dimensions make 400 actions. The main engine is off up to
level 0 and the side engines are within 0.5 of it, so half of the levels of each do the same.

An episode is won if its return reaches 200, from where Gymnasium calls the task solved; what is compared is the return
itself. Engines push with a random error, drawn from the episode's seed. Worlds of Box2D cannot be copied: a snapshot
holds seed and actions of the running episodes, which `restore` plays again.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from envs.interface import EnvInfo, Snapshot, VectorEnv, require_known, restore_arrays
from skirmish.counters import require_seed

LANDERS = {"lunar_lander": "LunarLander-v3"}  # name here -> id in Gymnasium
LEVELS = np.linspace(-1.0, 1.0, 20)  # of each control; no level is exactly 0
ENGINES_OFF = int(np.abs(LEVELS).argmin())  # action: main engine at -1, side engines nearest to 0
FEATURES = 8  # position, velocity, angle, its velocity, contact of each leg
# Shaping adds up to the difference of two potentials: at most 20 at the end, at least -244 at the start (143 for the
# place, 101 for the strongest first push). 100 more are for coming to rest; fuel only costs.
LARGEST_RETURN = 370.0
PACKAGES = ("gymnasium==1.4.0", "box2d==2.3.10", "pygame==2.6.1")  # Gymnasium imports pygame with everything of Box2D


class LanderEnv(VectorEnv):
    """B landings. State and observation are Gymnasium's eight numbers; family `mazero` adds the agent's id, a 1."""

    idle_action = ENGINES_OFF

    def __init__(
        self, name: str, *, num_envs: int = 1, observation: str = "smac", seed: int = 0, reward_scale: float = 1.0
    ) -> None:
        """Build lander `name`; `seed` seeds the first `reset()`, rewards are Gymnasium's times `reward_scale`.

        Raises: ValueError for an unknown name or a scale that is no positive number; ImportError saying what to
          install if Gymnasium or Box2D is missing.
        """
        require_known("environment", name, LANDERS)
        require_seed(seed)
        if isinstance(reward_scale, bool) or not isinstance(reward_scale, int | float):
            raise ValueError(f"reward_scale must be a number, got {reward_scale!r}: 1 leaves rewards as they are")
        if not 0.0 < reward_scale < math.inf:
            raise ValueError(f"reward_scale must be positive and finite, got {reward_scale!r}: 1 is Gymnasium's own")
        self.reward_scale = float(reward_scale)
        world = _world(name)
        ids = 1 if observation == "mazero" else 0
        info = EnvInfo(
            name=name,
            backend="gymnasium",
            observation=observation,
            n_agents=1,
            n_enemies=0,
            n_actions=len(LEVELS) ** 2,
            obs_size=FEATURES + ids,
            state_size=FEATURES,
            episode_limit=world.spec.max_episode_steps,
            deterministic=False,
        )
        self._allocate(info, num_envs)
        self.solved_at = float(world.spec.reward_threshold)  # in Gymnasium's rewards
        self._worlds = [world, *(_world(name) for _ in range(num_envs - 1))]
        self._first_seed = seed
        self._key = np.zeros(1, np.uint64)
        self._episode = np.zeros(num_envs, np.int64)  # (B,) number of the episode in its slot's stream
        self._t = np.zeros(num_envs, np.int64)  # (B,) steps done in it
        self._played = np.zeros((num_envs, info.episode_limit), np.int16)  # actions of these steps
        self._total = np.zeros(num_envs)  # (B,) return so far, in Gymnasium's rewards
        self._started = False

    @property
    def largest_return(self) -> float | None:
        """`LARGEST_RETURN` in units of the reward; returns below its negative are crashes of any kind."""
        return LARGEST_RETURN * self.reward_scale

    def reset(self, seed: int | None = None) -> None:
        """New landings everywhere; see `VectorEnv.reset`."""
        if seed is None and not self._started:
            seed = self._first_seed
        if seed is not None:
            require_seed(seed)
            self._key[:] = seed
            self._episode[:] = 0
        else:
            self._episode += 1
        self._started = True
        self._start(range(self.num_envs))

    def step(self, actions: np.ndarray) -> None:
        """One step, a fiftieth of a second, in every unfinished slot."""
        if not self._started:
            raise RuntimeError("reset must be called before step, got a step first: call reset()")
        actions = self._checked_actions(actions)
        self.reward[:] = 0.0
        for b in np.flatnonzero(~self.finished):
            action = actions[b, 0]
            self.state[b], reward, terminated, truncated, _ = self._worlds[b].step(controls(action))
            self._played[b, self._t[b]] = action
            self._t[b] += 1
            self._total[b] += reward
            self.reward[b] = reward * self.reward_scale
            self.terminated[b], self.truncated[b] = terminated, truncated and not terminated
            self.won[b] = self.finished[b] and self._total[b] >= self.solved_at
        self._observe()

    def reset_done(self) -> None:
        """New landings in finished slots."""
        finished = np.flatnonzero(self.finished)
        self._episode[finished] += 1
        self._start(finished)

    def snapshot(self) -> Snapshot:
        """Seeds and actions of the running episodes, and what they led to."""
        return {key: array.copy() for key, array in self._arrays().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Play the episodes of a snapshot again, up to where they were.

        Raises: ValueError if it does not fit, or if the same actions lead elsewhere; nothing has changed then.
        """
        wanted = {key: array.copy() for key, array in self._arrays().items()}
        restore_arrays(wanted, snapshot)
        worlds = [_world(self.info.name) for _ in range(self.num_envs)]
        for b, world in enumerate(worlds):
            seed = _episode_seed(int(wanted["key"][0]), b, int(wanted["episode"][b]))
            state, _ = world.reset(seed=seed)
            for action in wanted["played"][b, : wanted["t"][b]]:
                state, *_ = world.step(controls(action))
            if not np.array_equal(state, wanted["state"][b]):
                raise ValueError(
                    f"slot {b} must come to {wanted['state'][b].tolist()} by the {wanted['t'][b]} actions of its "
                    f"snapshot, got {state.tolist()}: restore it with the versions it was made with "
                    f"({', '.join(PACKAGES)} unless changed), on the same kind of machine"
                )
        self.close()
        self._worlds = worlds
        restore_arrays(self._arrays(), snapshot)
        self._started = True
        self.available_actions[:] = True
        self._observe()

    def close(self) -> None:
        """Close the worlds."""
        for world in self._worlds:
            world.close()

    def _arrays(self) -> Snapshot:
        return {
            "key": self._key,
            "episode": self._episode,
            "t": self._t,
            "played": self._played,
            "total": self._total,
            "state": self.state,
            "reward": self.reward,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "won": self.won,
        }

    def _start(self, slots: Any) -> None:
        """Begin the present episode of these slots."""
        for b in slots:
            self.state[b], _ = self._worlds[b].reset(
                seed=_episode_seed(int(self._key[0]), int(b), int(self._episode[b]))
            )
            self._t[b], self._total[b], self._played[b] = 0, 0.0, 0
            self.reward[b] = 0.0
            self.terminated[b] = self.truncated[b] = self.won[b] = False
        self.available_actions[:] = True
        self._observe()

    def _observe(self) -> None:
        self.obs[:, 0, :FEATURES] = self.state
        self.obs[:, 0, FEATURES:] = 1.0  # the agent's id, if the family has it


def controls(action: int) -> np.ndarray:
    """(2,) float64 in [-1, 1], main and side engines, of an action 0..399: main level first."""
    main, side = divmod(int(action), len(LEVELS))
    return LEVELS[[main, side]]


def nearest_action(main: float, side: float) -> int:
    """The action whose controls are nearest to these, which may lie outside [-1, 1]."""
    levels = [int(np.abs(LEVELS - value).argmin()) for value in (main, side)]
    return levels[0] * len(LEVELS) + levels[1]


def _episode_seed(key: int, slot: int, episode: int) -> int:
    """Gymnasium's seed of an episode: found by its place, not by what was drawn before."""
    return int(np.random.SeedSequence((key, slot, episode)).generate_state(1, np.uint64)[0])


def _world(name: str) -> Any:
    """A lander of Gymnasium with its step limit. Raises: ImportError saying what to install if a package is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of SWIG, under Box2D: as errors they crash Python
            import Box2D  # noqa: F401 - late, as all three: only who lands needs them
            import gymnasium
            import pygame  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{name} needs {', '.join(PACKAGES)}, got {str(error)!r}: pip install {' '.join(PACKAGES)}", name=error.name
        ) from error
    return gymnasium.make(LANDERS[name], continuous=True, disable_env_checker=True)
