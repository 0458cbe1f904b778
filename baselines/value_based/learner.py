"""The episode TD learner of the value-based family: collect, store, update, copy the target. Only the mixer differs.

Order of events after each finished episode, as in PyMARL's runner with one environment: store it; if enough are stored,
do the updates it calls for; copy the target network when 200 episodes have passed since the last copy.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import ValueConfig
from baselines.value_based.mixers import JointChoice, Mixer
from baselines.value_based.optimizer import FlatOptimizer
from baselines.value_based.policy import RecurrentPolicy, linear_epsilon
from baselines.value_based.rollout import Rollout
from baselines.value_based.store import EpisodeBatch, EpisodeStore
from baselines.value_based.td import Outcome, joint_td
from envs.interface import EnvInfo, VectorEnv
from training.errors import require_finite
from training.evaluation import evaluate
from training.metrics import RunningMeans
from training.seeding import Streams, draw_seed
from training.throughput import Throughput

PRESETS = Path(__file__).parent / "presets"
MakeMixer = Callable[[Any, EnvInfo], Mixer]
A = TypeVar("A", bound=nn.Module)


class QNetwork(nn.Module):
    """Agent and mixer: what is trained, copied and saved together."""

    def __init__(self, agent: RecurrentAgent, mixer: Mixer) -> None:
        super().__init__()
        self.agent, self.mixer = agent, mixer


def batch_loss(
    live: QNetwork, target: QNetwork, batch: EpisodeBatch, *, gamma: float, double_q: bool, device: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """TD loss of a batch; both networks are unrolled from the start of each episode, its final observation included.

    Returns: the scalar loss, and means over steps for the log.
    """

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    now, after = tensor(batch.now), tensor(batch.after)
    state, avail = tensor(batch.state), tensor(batch.avail)
    inputs = live.agent.inputs(tensor(batch.obs), tensor(batch.last_action))
    q = live.agent.unroll(inputs, batch.counts)  # (R, n, A)
    choice = JointChoice(q[now], avail[now], tensor(batch.actions), state[now])
    with torch.no_grad():
        q_target = target.agent.unroll(inputs, batch.counts)[after]
    reward, terminated = tensor(batch.reward), tensor(batch.terminated)
    outcome = Outcome(reward, terminated, q[after], q_target, avail[after], state[after])
    return joint_td(live.mixer, target.mixer, choice, outcome, gamma=gamma, double_q=double_q)


class ValueLearner:
    """A `training.loop.Learner`. Methods that a method with more than a mixer may override come first below.

    Args:
      config: settings of the algorithm.
      make_mixer: builds its mixer from config and environment info.
      make_env: called as `make_env(num_envs, observation, seed)`.
      seed: run seed.
      device: torch device of networks and updates.
      eval_episodes: episodes per evaluation.
    """

    def __init__(
        self,
        config: ValueConfig,
        *,
        make_mixer: MakeMixer,
        make_env: Callable[[int, str, int], VectorEnv],
        seed: int,
        device: str,
        eval_episodes: int,
    ) -> None:
        self.env_steps = self.updates = self.episodes = 0
        self._config, self._make_mixer, self._device = config, make_mixer, device
        self._streams = Streams(seed)
        rollout = config.rollout
        env_seed = draw_seed(self._streams.env)
        self._env = make_env(rollout.num_envs, rollout.observation, env_seed)
        self._env.reset(env_seed)
        self._eval_env = make_env(eval_episodes, rollout.observation, draw_seed(self._streams.eval))
        info = self._env.info
        # Initial weights are the only torch random numbers of a run; the caller's generator is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw_seed(self._streams.init))
            self._live = self._make_network(info).to(device)
        self._target = copy.deepcopy(self._live).requires_grad_(False)
        self._optimizer = FlatOptimizer(self._live, config.learning)
        self._last_copy = 0  # index of the episode after which the target was copied
        policy = self._policy()
        self._store = EpisodeStore(info, config.learning.capacity_episodes, policy.NOTES)
        self._rollout = Rollout(
            self._env,
            policy,
            epsilon_at=self._epsilon_at,
            timeout_is_terminal=rollout.timeout == "terminal",
            generator=self._streams.explore,
        )
        self._means = RunningMeans()
        self._throughput = Throughput()

    def _make_network(self, info: EnvInfo) -> Any:
        """The network that is trained, copied and saved, freshly initialised."""
        return QNetwork(RecurrentAgent(info, self._config.agent), self._make_mixer(self._config, info))

    def _policy(self) -> RecurrentPolicy:
        """A policy of the live network."""
        return RecurrentPolicy(self._live.agent, device=self._device)

    def _epsilon_at(self, env_steps: int) -> float:
        """Share of random actions of an episode that begins after so many environment steps."""
        rollout = self._config.rollout
        start, finish = rollout.epsilon_start, rollout.epsilon_finish
        return linear_epsilon(env_steps, start=start, finish=finish, steps=rollout.epsilon_steps)

    def _loss(self, batch: EpisodeBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss of a batch, and scalars for the log."""
        learning = self._config.learning
        gamma, double_q = learning.gamma, learning.double_q
        return batch_loss(self._live, self._target, batch, gamma=gamma, double_q=double_q, device=self._device)

    def _after_step(self, batch: EpisodeBatch, episode_index: int) -> dict[str, float]:
        """What else is learned from a batch, after the gradient step on `_loss`. Returns: facts for the log."""
        return {}

    def advance(self) -> None:
        """One step in every slot, then the updates of the episodes that ended."""
        started = time.perf_counter()
        finished = self._rollout.step(self.env_steps)
        self.env_steps += self._env.num_envs
        updates_before, collected = self.updates, time.perf_counter()
        for item in finished:
            self._store.add(item.episode)
            index = self.episodes
            self.episodes += 1
            self._means.add(
                {
                    "epsilon": item.epsilon,
                    "train_return_mean": float(item.episode.reward.sum(dtype=np.float64)),
                    "train_length_mean": len(item.episode.reward),
                    "train_win_rate": item.won,
                }
            )
            if len(self._store) >= self._config.learning.start_episodes:
                for _ in range(self._config.learning.updates_per_episode):
                    self._update(index)
        self._throughput.add(
            self._env.num_envs,
            self.updates - updates_before,
            collecting=collected - started,
            learning=time.perf_counter() - collected,
        )

    def evaluate(self, seed: int) -> dict[str, float]:
        """Greedy episodes in an environment of their own."""
        return evaluate(self._policy(), self._eval_env, seed=seed)

    def policy_state(self) -> dict[str, Any]:
        """A copy of the live network."""
        return {"live": copy.deepcopy(self._live.state_dict())}

    def load_policy_state(self, state: dict[str, Any]) -> None:
        """Play with this network from now on."""
        self._live.load_state_dict(state["live"])

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call; see README.md for what each one is."""
        return {**self._means.drain(), **self._throughput.drain()}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly."""
        return {
            "counts": (self.env_steps, self.updates, self.episodes, self._last_copy),
            "live": copy.deepcopy(self._live.state_dict()),
            "target": copy.deepcopy(self._target.state_dict()),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "store": self._store.state_dict(),
            "rollout": self._rollout.state_dict(),
            "streams": self._streams.state_dict(),
            "means": self._means.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.env_steps, self.updates, self.episodes, self._last_copy = state["counts"]
        self._live.load_state_dict(state["live"])
        self._target.load_state_dict(state["target"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._store.load_state_dict(state["store"])
        self._rollout.load_state_dict(state["rollout"])
        self._streams.load_state_dict(state["streams"])
        self._means.load_state_dict(state["means"])

    def _update(self, episode_index: int) -> None:
        """One gradient step, then perhaps a copy of the target. episode_index: 0-based number of the last episode."""
        learning = self._config.learning
        batch = self._store.sample(self._streams.replay, learning.batch_episodes)
        loss, log = self._loss(batch)
        norm = self._optimizer.step(loss)
        self.updates += 1
        facts = {"loss": loss.item(), "grad_norm": norm.item(), **{name: value.item() for name, value in log.items()}}
        facts |= self._after_step(batch, episode_index)
        require_finite(facts)
        self._means.add(facts)
        if episode_index - self._last_copy >= learning.target_every_episodes:
            self._copy_target(episode_index)

    def _copy_target(self, episode_index: int) -> None:
        """The target network becomes the live one; the episodes until the next copy count from here."""
        self._target.load_state_dict(self._live.state_dict())
        self._last_copy = episode_index


def load_policy(config: ValueConfig, info: EnvInfo, state: dict[str, Any], *, device: str) -> RecurrentPolicy:
    """The greedy policy of a learner's `state_dict`, without building the learner."""
    return RecurrentPolicy(load_agent(RecurrentAgent(info, config.agent), state).to(device), device=device)


def load_agent(agent: A, state: dict[str, Any]) -> A:
    """`agent` with the weights of that of a learner's `state_dict` or `policy_state`."""
    prefix = "agent."
    weights = {name.removeprefix(prefix): v for name, v in state["live"].items() if name.startswith(prefix)}
    agent.load_state_dict(weights)
    return agent
