"""The episode TD learner of the value-based family: collect, store, update, copy the target. Mostly the mixer differs.

Order of events after each finished episode, as in PyMARL's runner with one environment: store it; if enough are stored,
do the updates it calls for; copy the target network when 200 episodes have passed since the last copy.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from baselines.value_based.agent import RecurrentAgent, recurrent_agent
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
MakeAgent = Callable[[Any, EnvInfo], RecurrentAgent]
A = TypeVar("A", bound=nn.Module)


class QNetwork(nn.Module):
    """Agent and mixer: what is trained, copied and saved together."""

    def __init__(self, agent: RecurrentAgent, mixer: Mixer) -> None:
        super().__init__()
        self.agent, self.mixer = agent, mixer


@dataclass(frozen=True)
class Unrolled:
    """A batch (see `store.EpisodeBatch`) as tensors, and what the live network makes of its R rows."""

    batch: EpisodeBatch
    inputs: Tensor  # (R, n, D) of the agent
    obs: Tensor  # (R, n, O)
    state: Tensor  # (R, S)
    avail: Tensor  # (R, n, A) bool
    now: Tensor  # (M,) int64, the rows that are steps
    after: Tensor  # (M,) int64, the row that follows each of them
    actions: Tensor  # (M, n) int64
    memories: Tensor  # (R, n, H) the agents' hidden states after each row
    q: Tensor  # (R, n, A)
    penalty: Tensor | None  # of the agent, for the loss


class Bonus(Protocol):
    """A reward of the learner's own beside the task's, with what it needs to find it."""

    def update(self, seen: Unrolled, *, env_steps: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Rewards (M,) of the steps of a batch, without gradient, and facts for the log; then learn from the batch."""

    def copy_target(self) -> None:
        """The target network was copied: copy what belongs to it."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly, but for the generator."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""


def unroll(live: QNetwork, batch: EpisodeBatch, *, device: str) -> Unrolled:
    """The live agent from the start of each episode on, its final observation included."""

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    obs = tensor(batch.obs)
    inputs = live.agent.inputs(obs, tensor(batch.last_action))
    memories = live.agent.unroll_hidden(inputs, batch.counts)
    q, penalty = live.agent.with_penalty(memories)
    return Unrolled(
        batch=batch,
        inputs=inputs,
        obs=obs,
        state=tensor(batch.state),
        avail=tensor(batch.avail),
        now=tensor(batch.now),
        after=tensor(batch.after),
        actions=tensor(batch.actions),
        memories=memories,
        q=q,
        penalty=penalty,
    )


def batch_loss(
    live: QNetwork, target: QNetwork, seen: Unrolled, *, gamma: float, double_q: bool, bonus: Tensor | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """TD loss of a batch; the target network is unrolled as the live one was.

    Args: bonus: (M,), added to the rewards.
    Returns: the scalar loss, penalties included, and means over steps for the log.
    """
    now, after, batch = seen.now, seen.after, seen.batch
    choice = JointChoice(seen.q[now], seen.avail[now], seen.actions, seen.state[now])
    with torch.no_grad():
        q_target = target.agent.unroll(seen.inputs, batch.counts)[after]
    reward, terminated = (torch.from_numpy(array).to(seen.q.device) for array in (batch.reward, batch.terminated))
    rewards = reward if bonus is None else reward + bonus
    outcome = Outcome(rewards, terminated, seen.q[after], q_target, seen.avail[after], seen.state[after])
    loss, log = joint_td(live.mixer, target.mixer, choice, outcome, gamma=gamma, double_q=double_q)
    return (loss if seen.penalty is None else loss + seen.penalty), log


MakeBonus = Callable[[Any, EnvInfo, np.random.Generator, str], Bonus]


class ValueLearner:
    """A `training.loop.Learner`. Methods that a method with more than a mixer may override come first below.

    Args:
      config: settings of the algorithm.
      make_mixer: builds its mixer from config and environment info.
      make_env: called as `make_env(num_envs, observation, seed)`.
      seed: run seed.
      device: torch device of networks and updates.
      eval_episodes: episodes per evaluation.
      make_agent: builds the agent from config and environment info.
      make_bonus: builds, if there is one, the reward beside the task's from these, a random stream and a device.
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
        make_agent: MakeAgent = recurrent_agent,
        make_bonus: MakeBonus | None = None,
    ) -> None:
        self.env_steps = self.updates = self.episodes = 0
        self._config, self._make_mixer, self._make_agent, self._device = config, make_mixer, make_agent, device
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
            network = self._make_network(info)
            self._bonus = make_bonus(config, info, self._streams.replay, device) if make_bonus else None
        self._live = network.to(device)
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
        return QNetwork(self._make_agent(self._config, info), self._make_mixer(self._config, info))

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
        seen = unroll(self._live, batch, device=self._device)
        bonus, more = (None, {}) if self._bonus is None else self._bonus.update(seen, env_steps=self.env_steps)
        gamma, double_q = learning.gamma, learning.double_q
        loss, log = batch_loss(self._live, self._target, seen, gamma=gamma, double_q=double_q, bonus=bonus)
        return loss, log | more

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
        bonus = {} if self._bonus is None else {"bonus": self._bonus.state_dict()}
        return {
            "counts": (self.env_steps, self.updates, self.episodes, self._last_copy),
            "live": copy.deepcopy(self._live.state_dict()),
            "target": copy.deepcopy(self._target.state_dict()),
            "optimizer": copy.deepcopy(self._optimizer.state_dict()),
            "store": self._store.state_dict(),
            "rollout": self._rollout.state_dict(),
            "streams": self._streams.state_dict(),
            "means": self._means.state_dict(),
            **bonus,
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
        if self._bonus is not None:
            self._bonus.load_state_dict(state["bonus"])

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
        if self._bonus is not None:
            self._bonus.copy_target()
        self._last_copy = episode_index


def load_policy(
    config: ValueConfig, info: EnvInfo, state: dict[str, Any], *, device: str, make_agent: MakeAgent = recurrent_agent
) -> RecurrentPolicy:
    """The greedy policy of a learner's `state_dict`, without building the learner."""
    return RecurrentPolicy(load_agent(make_agent(config, info), state).to(device), device=device)


def load_agent(agent: A, state: dict[str, Any]) -> A:
    """`agent` with the weights of that of a learner's `state_dict` or `policy_state`."""
    prefix = "agent."
    weights = {name.removeprefix(prefix): v for name, v in state["live"].items() if name.startswith(prefix)}
    agent.load_state_dict(weights)
    return agent
