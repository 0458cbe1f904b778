"""RODE: QMIX's learner on two levels, and before it the learning of action representations.

Order of events, as in the authors' learner with one environment: after each finished episode one or more updates, each
a step on both TD errors and, until the actions are clustered, a step of the encoder on the same batch. The first update
after `roles.cluster_after` environment steps clusters, freezes the encoder for good and copies the target networks.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines.rode.agent import RodeAgent, RodeNetwork
from baselines.rode.clustering import action_sets
from baselines.rode.config import RodeConfig
from baselines.rode.encoder import ActionEncoder, encoder_loss
from baselines.rode.intervals import role_intervals
from baselines.rode.losses import batch_loss
from baselines.rode.policy import RodePolicy
from baselines.value_based import mixers
from baselines.value_based.learner import ValueLearner, load_agent
from baselines.value_based.optimizer import FlatOptimizer
from baselines.value_based.policy import linear_epsilon
from baselines.value_based.store import EpisodeBatch
from envs.interface import EnvInfo, VectorEnv
from training.errors import require_finite
from training.seeding import draw_seed

PRESETS = Path(__file__).parent / "presets"
logger = logging.getLogger(__name__)


class RodeLearner(ValueLearner):
    """A `training.loop.Learner`.

    Args:
      config: settings of the algorithm.
      make_env: called as `make_env(num_envs, observation, seed)`.
      seed: run seed.
      device: torch device of networks and updates.
      eval_episodes: episodes per evaluation.
    """

    _config: RodeConfig

    def __init__(
        self,
        config: RodeConfig,
        *,
        make_env: Callable[[int, str, int], VectorEnv],
        seed: int,
        device: str,
        eval_episodes: int,
    ) -> None:
        self._clustered = False
        self._restarted_at: int | None = None  # environment steps at which the second annealing began
        super().__init__(
            config, make_mixer=mixers.qmix, make_env=make_env, seed=seed, device=device, eval_episodes=eval_episodes
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw_seed(self._streams.init))
            self._encoder = ActionEncoder(self._env.info, config.encoder).to(device)
        self._encoder_optimizer = FlatOptimizer(self._encoder, config.learning)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly; action sets and representations are part of the networks."""
        return super().state_dict() | {
            "encoder": copy.deepcopy(self._encoder.state_dict()),
            "encoder_optimizer": copy.deepcopy(self._encoder_optimizer.state_dict()),
            "phase": (self._clustered, self._restarted_at),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        super().load_state_dict(state)
        self._encoder.load_state_dict(state["encoder"])
        self._encoder_optimizer.load_state_dict(state["encoder_optimizer"])
        self._clustered, self._restarted_at = state["phase"]

    def _make_network(self, info: EnvInfo) -> RodeNetwork:
        agent = RodeAgent(info, self._config)
        return RodeNetwork(agent, self._make_mixer(self._config, info), self._make_mixer(self._config, info))

    def _policy(self) -> RodePolicy:
        return RodePolicy(self._live.agent, interval=self._config.roles.interval, device=self._device)

    def _epsilon_at(self, env_steps: int) -> float:
        """Annealed from 0 on, and once more from the first episode that begins after `roles.cluster_after` steps."""
        rollout, roles = self._config.rollout, self._config.roles
        if self._restarted_at is None and env_steps > roles.cluster_after:
            self._restarted_at = env_steps
        begun, steps = (
            (0, rollout.epsilon_steps) if self._restarted_at is None else (self._restarted_at, roles.epsilon_steps)
        )
        start, finish = rollout.epsilon_start, rollout.epsilon_finish
        return linear_epsilon(env_steps - begun, start=start, finish=finish, steps=steps)

    def _loss(self, batch: EpisodeBatch) -> tuple[Tensor, dict[str, Tensor]]:
        learning, roles = self._config.learning, self._config.roles
        intervals = role_intervals(batch, roles.interval)
        shape = (2, 2, len(intervals.starts), self._env.info.n_agents)
        return batch_loss(
            self._live,
            self._target,
            batch,
            intervals,
            gamma=learning.gamma,
            double_q=learning.double_q,
            device=self._device,
            draws=self._streams.replay.random(shape) if roles.reselect else None,
        )

    def _after_step(self, batch: EpisodeBatch, episode_index: int) -> dict[str, float]:
        """A step of the encoder, and perhaps the clustering."""
        if self._clustered:
            return {}
        loss, log = encoder_loss(
            self._encoder,
            *(
                torch.from_numpy(array).to(self._device)
                for array in (batch.obs[batch.now], batch.actions, batch.obs[batch.after], batch.reward)
            ),
            reward_weight=self._config.encoder.reward_weight,
        )
        norm = self._encoder_optimizer.step(loss)
        facts = {"encoder_grad_norm": norm.item(), **{name: value.item() for name, value in log.items()}}
        require_finite(facts)
        if self.env_steps > self._config.roles.cluster_after:
            self._find_roles()
            self._copy_target(episode_index)
        return facts

    def _find_roles(self) -> None:
        """Cluster the actions; the encoder is not trained any more."""
        self._clustered = True
        with torch.no_grad():
            representations = self._encoder.representations()
        sets = action_sets(representations.cpu().numpy(), self._config.roles.clusters)
        self._live.agent.set_roles(torch.from_numpy(sets).to(self._device), representations)
        listed = "; ".join(" ".join(map(str, members.nonzero()[0])) for members in sets)
        logger.info("roles after %d environment steps, by their actions: %s", self.env_steps, listed)


def load_policy(config: RodeConfig, info: EnvInfo, state: dict[str, Any], *, device: str) -> RodePolicy:
    """The greedy policy of a learner's `state_dict`, without building the learner."""
    agent = load_agent(RodeAgent(info, config), state).to(device)
    return RodePolicy(agent, interval=config.roles.interval, device=device)
