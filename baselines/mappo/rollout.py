"""Collects T steps in E slots for one round of updates. A slot starts its next episode at once, within the round.

The critic is not asked while acting: its weights stand still during a round, so its values follow afterwards from one
pass over the recorded inputs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from baselines.mappo.config import AGENT_STATE, OBS, RolloutConfig
from baselines.mappo.policy import Frames, PpoPolicy, sample
from envs.interface import VectorEnv


def critic_input_size(env: VectorEnv, kind: str) -> int:
    """Length of one agent's critic input, one frame. kind: a resolved `critic.input`."""
    if kind == AGENT_STATE:
        if env.agent_state_size is None:
            raise ValueError(
                f"critic.input is 'agent_state', but {env.info.name} has none: set it to team_state or central"
            )
        return env.agent_state_size
    return env.info.obs_size if kind == OBS else env.info.state_size + env.info.n_agents


def critic_input(env: VectorEnv, kind: str) -> np.ndarray:
    """(B, n, F) float32 what the critic sees of the present step. kind: a resolved `critic.input`."""
    if kind == AGENT_STATE:
        return env.agent_state
    if kind == OBS:
        return env.obs
    n = env.info.n_agents
    result = np.zeros((env.num_envs, n, env.info.state_size + n), np.float32)
    result[..., : env.info.state_size] = env.state[:, None]
    result[..., env.info.state_size :] = np.eye(n, dtype=np.float32)
    return result


def living(avail: np.ndarray) -> np.ndarray:
    """(..., n) bool: agents that can do anything but action 0, the no-op that is all a dead agent has on SMAC's maps.

    avail: (..., n, A) bool.
    """
    return np.logical_or.reduce(avail[..., 1:], axis=-1)


@dataclass(frozen=True)
class Finished:
    """How a training episode went."""

    won: bool
    team_return: float
    length: int


class Rollout:
    """The running episodes of training and the record of the present round.

    Args:
      env: E slots, freshly reset.
      policy: started here.
      critic_kind: a resolved `critic.input`.
      frames: observations (and critic inputs) per input.
      generator: source of all exploration.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: PpoPolicy,
        *,
        config: RolloutConfig,
        critic_kind: str,
        frames: int,
        generator: np.random.Generator,
    ) -> None:
        self._env, self._policy, self._kind, self._generator = env, policy, critic_kind, generator
        self._central = Frames(frames)
        steps, slots, n = config.steps, env.num_envs, env.info.n_agents
        self.steps = steps
        policy.start(slots)
        shape, after = (steps, slots, n), (steps + 1, slots, n)
        self.rows: dict[str, np.ndarray] = {  # entry t of the longer ones belongs to the state before step t
            "obs": np.zeros((*after, frames * env.info.obs_size), np.float32),
            "central": np.zeros((*after, frames * critic_input_size(env, critic_kind)), np.float32),
            "avail": np.zeros((*after, env.info.n_actions), bool),
            "hidden": np.zeros((*after, policy.hidden.shape[-1]), np.float32),  # of the actor
            "mask": np.ones((steps + 1, slots), np.float32),  # 0: an episode begins here
            "bad": np.ones((steps + 1, slots), np.float32),  # 0: the episode before was cut by the step limit
            "action": np.zeros(shape, np.int64),
            "log_prob": np.zeros(shape, np.float32),
            "reward": np.zeros((steps, slots), np.float32),
            "lost": np.zeros((steps, slots), bool),  # the step's episode was lost: nothing is learned from it
        }
        if critic_kind == OBS:
            self.rows["central"] = self.rows["obs"]
        self.t = 0
        self._return = np.zeros(slots)
        self._length = np.zeros(slots, np.int64)
        self.env_seconds = 0.0
        self._observe()

    @property
    def full(self) -> bool:
        """Whether the round is complete."""
        return self.t == self.steps

    def step(self) -> list[Finished]:
        """One step in every slot. Returns: the episodes it ended, by slot; lost ones are left out."""
        env, rows, t = self._env, self.rows, self.t
        log_probs = self._policy.log_policy(rows["obs"][t], rows["avail"][t])
        actions = sample(log_probs, self._generator)
        rows["action"][t] = actions
        rows["log_prob"][t] = np.take_along_axis(log_probs, actions[..., None], -1)[..., 0]
        started = time.perf_counter()
        env.step(actions)
        self.env_seconds += time.perf_counter() - started
        rows["reward"][t] = env.reward
        self._return += env.reward
        self._length += 1
        ended = np.flatnonzero(env.finished)
        rows["mask"][t + 1], rows["bad"][t + 1] = ~env.finished, ~env.truncated
        rows["lost"][t] = False
        for b in np.flatnonzero(env.discarded):
            rows["lost"][max(0, t + 1 - self._length[b]) : t + 1, b] = True
        whole = ended[~env.discarded[ended]]
        finished = [Finished(bool(env.won[b]), float(self._return[b]), int(self._length[b])) for b in whole]
        if len(ended):
            self._return[ended] = self._length[ended] = 0
            started = time.perf_counter()
            env.reset_done()
            self.env_seconds += time.perf_counter() - started
            self._policy.start_slots(ended)
            self._central.start_slots(ended)
        self.t += 1
        self._observe()
        return finished

    def next_round(self) -> None:
        """Forget the round but for the state after its last step, with which the next one begins."""
        for name in ("obs", "central", "avail", "hidden", "mask", "bad"):
            self.rows[name][0] = self.rows[name][self.steps]
        self.t = 0

    def _observe(self) -> None:
        rows, t = self.rows, self.t
        rows["obs"][t] = self._policy.frames.push(self._env.obs)
        rows["avail"][t], rows["hidden"][t] = self._env.available_actions, self._policy.hidden
        if self._kind != OBS:
            started = time.perf_counter()
            central = critic_input(self._env, self._kind)
            self.env_seconds += time.perf_counter() - started
            rows["central"][t] = self._central.push(central)

    def state_dict(self) -> dict[str, Any]:
        """Environment, policy, and the recorded part of the round."""
        known = self.t + 1
        return {
            "env": self._env.snapshot(),
            "policy": self._policy.state_dict(),
            "central": self._central.state_dict(),
            "t": self.t,
            "return": self._return.copy(),
            "length": self._length.copy(),
            "rows": {k: v[:known].copy() for k, v in self.rows.items() if k != "central" or self._kind != OBS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._env.restore(state["env"])
        self._policy.load_state_dict(state["policy"])
        self._central.load_state_dict(state["central"])
        self.t = state["t"]
        self._return[:], self._length[:] = state["return"], state["length"]
        for name, array in state["rows"].items():
            self.rows[name][: len(array)] = array
