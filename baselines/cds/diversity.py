"""The intrinsic reward of a batch, as a `value_based.learner.Bonus`, and how its predictors learn.

Rewards come from copies of the predictors that are as old as the target network; the predictors themselves then learn
from the same batch. Rows of both are (step, agent): what the agent remembered before the step (zero at the start), what
it saw, what it did.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from baselines.cds.config import CdsConfig
from baselines.cds.predictors import Predictor, learn, minibatches
from baselines.cds.rewards import annealed, log_density, policy_divergence
from baselines.value_based.learner import Unrolled
from baselines.value_based.optimizer import FlatOptimizer
from envs.interface import EnvInfo


class Diversity:
    """A `value_based.learner.Bonus`.

    Args:
      config: settings of CDS.
      info: sizes.
      generator: source of the minibatches' order.
      device: torch device.
    """

    def __init__(self, config: CdsConfig, info: EnvInfo, generator: np.random.Generator, device: str) -> None:
        self._config, self._generator, self._device = config, generator, device
        self._n, self._n_actions = info.n_agents, info.n_actions
        inputs = config.agent.hidden_size + info.obs_size + info.n_actions
        sees_index = {"p": 0, "q": info.n_agents}
        self._live = {
            name: Predictor(inputs, info.obs_size, config.predictor, n_agents=n).to(device)
            for name, n in sees_index.items()
        }
        self._target = {name: copy.deepcopy(net).requires_grad_(False) for name, net in self._live.items()}
        self._optimizers = {name: FlatOptimizer(net, config.predictor) for name, net in self._live.items()}

    def update(self, seen: Unrolled, *, env_steps: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Team rewards (M,), the agents' mean, and facts for the log; then both predictors go over the batch once."""
        x, observation = self.rows(seen)
        agents = torch.arange(self._n, device=self._device).repeat(len(seen.now))
        reward, log = self.rewards(seen, x, observation, agents, env_steps=env_steps)
        losses = self._learn(seen, x, observation, agents)
        return reward, log | {f"predictor_{name}_loss": loss for name, loss in losses.items()}

    def rows(self, seen: Unrolled) -> tuple[Tensor, Tensor]:
        """Inputs (M n, D) and next observations (M n, O) of the predictors, without gradient."""
        memories = seen.memories.detach()
        before = torch.zeros_like(memories)
        before[seen.after] = memories[seen.now]
        actions = nn.functional.one_hot(seen.actions, self._n_actions).to(memories.dtype)
        x = torch.cat([before[seen.now], seen.obs[seen.now], actions], -1)
        return x.flatten(0, 1), seen.obs[seen.after].flatten(0, 1)

    def rewards(
        self, seen: Unrolled, x: Tensor, observation: Tensor, agents: Tensor, *, env_steps: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Team rewards (M,) of what `rows` returned, whose agents are `agents` (M n,), and their parts for the log."""
        settings = self._config.diversity
        with torch.no_grad():
            log_p, log_q = (log_density(self._target[name](x, agents), observation) for name in ("p", "q"))
            observing = (settings.beta1 * log_q - log_p).view(-1, self._n).mean(-1)
            acting = settings.beta2 * policy_divergence(seen.q.detach()[seen.now], settings.beta1).mean(-1)
            left = annealed(env_steps, rate=settings.anneal_rate, after=settings.anneal_after)
            reward = settings.beta * left * (observing + acting)
        means = {"intrinsic": reward, "intrinsic_observation": observing, "intrinsic_policy": acting}
        return reward, {f"{name}_mean": value.mean() for name, value in means.items()}

    def copy_target(self) -> None:
        """Reward with the predictors of now."""
        for name, net in self._target.items():
            net.load_state_dict(self._live[name].state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Predictors, their copies and optimisers."""
        parts = self._parts()
        return {part: {name: copy.deepcopy(x.state_dict()) for name, x in parts[part].items()} for part in parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        for part, items in self._parts().items():
            for name, x in items.items():
                x.load_state_dict(state[part][name])

    def _parts(self) -> dict[str, dict[str, Any]]:
        return {"live": self._live, "target": self._target, "optimizers": self._optimizers}

    def _learn(self, seen: Unrolled, x: Tensor, observation: Tensor, agents: Tensor) -> dict[str, Tensor]:
        """One pass for both predictors, in the same minibatches. Returns: mean losses over its steps."""
        counts = seen.batch.counts
        cells = counts[0] * (len(counts) - 1) * self._n  # with the padding that would fill up every episode
        pieces = minibatches(self._generator, rows=len(x), cells=cells, size=self._config.predictor.minibatch)
        losses: dict[str, list[Tensor]] = {name: [] for name in self._optimizers}
        for piece in pieces:
            index = torch.from_numpy(piece).to(self._device)
            part = (x[index], agents[index], observation[index])
            for name, optimizer in self._optimizers.items():
                losses[name].append(learn(optimizer, self._live[name], *part))
        return {name: torch.stack(each).mean() for name, each in losses.items()}
