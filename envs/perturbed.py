"""Perturbations for robustness studies, around any environment: failing actions, lost and noisy observations.

Learners see the perturbed values through the usual arrays, so replay and search store them too. Random numbers follow
from (seed, slot, episode, step) and the kind of perturbation alone: they are part of a snapshot, do not depend on the
number of slots, and switching one perturbation on leaves the others' as they were.

- A failed action becomes the one that does nothing (`idle_action`): `stop` of a living SMAC agent, engines off of a
  lander. Matrix games have no such action: there it becomes an available action drawn uniformly (the chosen one
  included). Last-action entries of later observations show what was done, rewards are those of what was done.
- A lost observation is zero, like that of a dead agent: what is not sensed (the agent's id of the mazero family, the
  time step) stays. State and availability are never perturbed.
- Noise is added to every sensed entry that is not exactly 0, flags and one-hots included. Zero means absent in these
  observations (units out of sight, other types, dead agents), so noise never makes somebody appear.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from envs.interface import Snapshot, VectorEnv, restore_arrays
from skirmish.counters import ACTION_FAILURES, OBS_DROPOUTS, OBS_NOISE, CounterStreams, require_seed


@dataclass(frozen=True)
class Perturbation:
    """How much goes wrong; everything is off by default."""

    action_failure: float = 0.0  # probability per agent and step
    obs_dropout: float = 0.0  # probability per agent and observation
    obs_noise: float = 0.0  # standard deviation, in units of the (normalised) features

    def __post_init__(self) -> None:
        """Raises: ValueError for values without a meaning."""
        for name in ("action_failure", "obs_dropout"):
            value = getattr(self, name)
            if not _is_number(value) or not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {value!r}: it is a probability")
        if not _is_number(self.obs_noise) or self.obs_noise < 0.0:
            raise ValueError(f"obs_noise must be at least 0, got {self.obs_noise!r}: it is a standard deviation")

    @property
    def active(self) -> bool:
        """Whether anything is perturbed at all."""
        return any(getattr(self, field.name) > 0.0 for field in fields(self))


class Perturbed(VectorEnv):
    """`env` under a perturbation. The environment itself is `env`; step and reset only this one."""

    def __init__(self, env: VectorEnv, perturbation: Perturbation, *, seed: int = 0) -> None:
        """Wrap `env`, which must not have been started; `seed` seeds the first `reset()`."""
        require_seed(seed)
        self.env, self.perturbation = env, perturbation
        self.info = replace(env.info, deterministic=env.info.deterministic and not perturbation.active)
        self.num_envs = env.num_envs
        self.obs = np.zeros_like(env.obs)
        self.state, self.available_actions, self.reward = env.state, env.available_actions, env.reward
        self.terminated, self.truncated, self.won = env.terminated, env.truncated, env.won
        self._sensed = env.info.obs_size - _unsensed_entries(env)  # entries before it are sensed
        self._failures, self._dropouts = CounterStreams(ACTION_FAILURES), CounterStreams(OBS_DROPOUTS)
        self._noise = CounterStreams(OBS_NOISE)
        self._first_seed = seed
        self._key = np.zeros(1, np.uint64)
        self._episode = np.zeros(env.num_envs, np.int64)  # (B,) number of the episode in its slot's stream
        self._t = np.zeros(env.num_envs, np.int64)  # (B,) steps done in it
        self._started = False

    @property
    def discarded(self) -> np.ndarray:
        """Those of the environment."""
        return self.env.discarded

    @property
    def losses(self) -> dict[str, int]:
        """Those of the environment."""
        return self.env.losses

    @property
    def agent_state_size(self) -> int | None:
        """That of the environment."""
        return self.env.agent_state_size

    @property
    def agent_state(self) -> np.ndarray:
        """That of the environment: like the state it is never perturbed."""
        return self.env.agent_state

    @property
    def largest_return(self) -> float | None:
        """That of the environment."""
        return self.env.largest_return

    def reset(self, seed: int | None = None) -> None:
        """New episodes everywhere; see `VectorEnv.reset`."""
        self._reset(self.env.reset, seed)

    def reset_later(self, seed: int | None = None) -> None:
        """Episodes that are not the first of a game; see `VectorEnv.reset_later`."""
        self._reset(self.env.reset_later, seed)

    def _reset(self, reset: Callable[[int | None], None], seed: int | None) -> None:
        if seed is None and not self._started:
            seed = self._first_seed
        if seed is not None:
            require_seed(seed)
        reset(seed)
        self._started = True
        if seed is not None:
            self._key[:] = seed
            self._episode[:] = 0
        else:
            self._episode += 1
        self._t[:] = 0
        self._observe(np.ones(self.num_envs, np.bool_))

    def step(self, actions: np.ndarray) -> None:
        """One step of what the agents really do; the chosen actions are checked as always."""
        if not self._started:
            raise RuntimeError("episodes must be started first, got a step before any reset: call reset()")
        actions = self._checked_actions(actions)
        running = ~self.finished
        self.env.step(self._executed(actions, running))
        self._t += running
        self._observe(running)

    def reset_done(self) -> None:
        """New episodes in finished slots."""
        finished = self.finished.copy()
        self.env.reset_done()
        self._episode[finished] += 1
        self._t[finished] = 0
        self._observe(finished)

    def snapshot(self) -> Snapshot:
        """The environment's snapshot and the counters."""
        return self.env.snapshot() | {key: array.copy() for key, array in self._counters().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises: ValueError if it does not fit; nothing has changed then."""
        counters = self._counters()
        own = {key: snapshot[key] for key in counters if key in snapshot}
        restore_arrays({key: array.copy() for key, array in counters.items()}, own)  # refuses before anything changes
        self.env.restore({key: value for key, value in snapshot.items() if key not in own})
        restore_arrays(counters, own)
        self._started = True
        self._observe(np.ones(self.num_envs, np.bool_))

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def _counters(self) -> Snapshot:
        return {"perturbed_key": self._key, "perturbed_episode": self._episode, "perturbed_t": self._t}

    def _draw(self, streams: CounterStreams, slot: int) -> np.random.Generator:
        """The generator of the slot's present step."""
        place = {"slot": slot, "episode": int(self._episode[slot]), "step": int(self._t[slot])}
        return streams.at(int(self._key[0]), **place)

    def _executed(self, actions: np.ndarray, running: np.ndarray) -> np.ndarray:
        """(B, n) what the agents do instead of `actions` in the running slots."""
        if self.perturbation.action_failure == 0.0:
            return actions
        executed = actions.copy()
        n = self.info.n_agents
        for slot in np.flatnonzero(running):
            draws = self._draw(self._failures, int(slot)).random((2, n))
            failed = draws[0] < self.perturbation.action_failure
            available = self.available_actions[slot]  # (n, A)
            idle = self.env.idle_action
            if idle is None:
                rank = (draws[1] * available.sum(1)).astype(np.int64)  # among the available ones
                instead = (available.cumsum(1) <= rank[:, None]).sum(1)
            else:
                instead = np.where(available[:, idle], idle, actions[slot])  # the dead go on doing nothing
            executed[slot] = np.where(failed, instead, actions[slot])
        return executed

    def _observe(self, slots: np.ndarray) -> None:
        """Perturb the observations of the slots marked True."""
        self.obs[slots] = self.env.obs[slots]
        dropout, noise = self.perturbation.obs_dropout, self.perturbation.obs_noise
        if dropout == 0.0 and noise == 0.0:
            return
        n, sensed = self.info.n_agents, self._sensed
        for slot in np.flatnonzero(slots):
            view = self.obs[slot, :, :sensed]
            if dropout > 0.0:
                view[self._draw(self._dropouts, int(slot)).random(n) < dropout] = 0.0
            if noise > 0.0:
                normal = self._draw(self._noise, int(slot)).standard_normal(view.shape, dtype=np.float32)
                view += np.where(view != 0.0, np.float32(noise) * normal, np.float32(0.0))


def _unsensed_entries(env: VectorEnv) -> int:
    """How many entries at the end of an observation are no perception: the time step, and before it the agent's id."""
    ids = env.info.n_agents if env.info.observation == "mazero" else 0
    options = getattr(env, "options", None)
    return ids + int(bool(getattr(options, "obs_timestep_number", False)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
