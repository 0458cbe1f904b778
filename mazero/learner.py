"""The learner: self-play, replay, targets and updates in one deterministic sequence (one process, one core)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from envs.interface import VectorEnv
from mazero.config import MAZeroConfig
from mazero.inference import make_model
from mazero.losses import batch_loss
from mazero.networks import MAZeroNetwork
from mazero.reanalyze import make_batch
from mazero.replay import Replay
from mazero.selfplay import NetworkPolicy, SearchPolicy, SelfPlay
from training.evaluation import evaluate
from training.metrics import RunningMeans
from training.seeding import Streams, draw_seed

ROUNDING = 1e-9  # in float64, 0.1 updates a step times 30 steps lies just above 3; other products lie just below
MakeEnv = Callable[[int, str, int], VectorEnv]


class MAZeroLearner:
    """MAZero on one environment.

    Args:
      config: all settings.
      make_env: `make_env(num_envs, observation, seed)` builds an environment.
      seed: run seed; every random stream is spawned from it.
      device: torch device of networks, search and learning.
      eval_episodes: episodes per evaluation.
      env_steps: planned budget; fixes the number of updates over which schedules run.
    """

    def __init__(
        self,
        config: MAZeroConfig,
        *,
        make_env: MakeEnv,
        seed: int,
        device: str,
        eval_episodes: int,
        env_steps: int,
    ) -> None:
        self.config, self.device = config, device
        self.streams = Streams(seed)
        torch.manual_seed(draw_seed(self.streams.init))  # weights and dropout; saved with the checkpoint
        observation = config.self_play.observation
        self.self_play = SelfPlay(
            make_env(config.self_play.num_envs, observation, 0), config, env_seed=draw_seed(self.streams.env)
        )
        self._eval_env = make_env(eval_episodes, observation, 0)
        info = self.self_play.env.info
        self.network = MAZeroNetwork(
            config.network, obs_size=info.obs_size, n_agents=info.n_agents, n_actions=info.n_actions
        ).to(device)
        self.network.eval()
        # The target network in use is one period old: `_next_target` waits for the period to end.
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self._next_target = copy.deepcopy(self.target)
        # As search sees them: these follow the weights of the networks.
        self.model = make_model(self.network, config.inference)
        self.target_model = make_model(self.target, config.inference)
        settings = config.optimiser
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=settings.learning_rate, eps=settings.adam_epsilon, fused=True
        )
        self.replay = Replay(priority_alpha=config.replay.priority_alpha, capacity=config.replay.capacity)
        self.planned_updates = max(1, int(env_steps * settings.updates_per_env_step))
        self.env_steps = self.updates = self.episodes = 0
        self._means = RunningMeans()
        self._seconds = {"self_play": 0.0, "targets": 0.0, "update": 0.0}

    def advance(self) -> None:
        """One vector step of self-play, then the updates it calls for."""
        learning = self.replay.size >= self.config.replay.start
        began = time.perf_counter()
        ended = self.self_play.step(
            self.model, explore=not learning, search_rng=self.streams.search, actor_rng=self.streams.actor
        )
        self._seconds["self_play"] += time.perf_counter() - began
        self.env_steps += self.self_play.env.num_envs
        for episode, outcome in ended:
            self.replay.add(episode, created=self.updates)
            self.episodes += 1
            self._means.add(outcome)
        # Steps played before learning starts are made up for when it does: while the model learns from them, the
        # policy's targets are still those of a uniform search, so it cannot run ahead of a model that knows nothing.
        if self.replay.size >= self.config.replay.start:
            while self.updates < int(self.env_steps * self.config.optimiser.updates_per_env_step + ROUNDING):
                self._update()

    def _update(self) -> None:
        config = self.config
        done = min(1.0, self.updates / self.planned_updates)
        began = time.perf_counter()
        beta = config.replay.beta_start + done * (config.replay.beta_end - config.replay.beta_start)
        positions, importance = self.replay.sample(config.optimiser.batch_size, beta=beta, rng=self.streams.replay)
        batch = make_batch(
            self.replay,
            positions,
            importance,
            target=self.target_model,
            config=config,
            updates=self.updates,
            planned_updates=self.planned_updates,
            rng=self.streams.reanalyze,
            device=self.device,
        )
        middle = time.perf_counter()
        if config.optimiser.final_learning_rate is not None:
            first, last = config.optimiser.learning_rate, config.optimiser.final_learning_rate
            for group in self.optimiser.param_groups:
                group["lr"] = first + done * (last - first)
        self.network.train()
        loss, predicted, means = batch_loss(self.network, batch, config.loss)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), config.optimiser.gradient_norm, error_if_nonfinite=True
        )
        self.optimiser.step()
        self.network.eval()
        self.model.weights_changed()
        self.replay.set_priorities(positions, (predicted - batch.value[:, 0]).cpu().numpy())
        self.updates += 1
        if self.updates % config.targets.target_interval == 0:
            self.target.load_state_dict(self._next_target.state_dict())
            self._next_target.load_state_dict(self.network.state_dict())
            self.target_model.weights_changed()
        self._means.add({name: value.item() for name, value in means.items()})
        self._means.add({"gradient_norm": norm.item(), "value_target": batch.value[:, 0].mean().item()})
        self._seconds["targets"] += middle - began
        self._seconds["update"] += time.perf_counter() - middle

    def evaluate(self) -> dict[str, float]:
        """Greedy episodes with search; without search too, as `policy_win_rate` and `policy_return_mean`."""
        rng = np.random.default_rng(draw_seed(self.streams.eval))
        seed = draw_seed(rng)
        settings = self.config.evaluation
        policy = SearchPolicy(self.model, self.config, rng=rng, num_simulations=settings.num_simulations)
        result = evaluate(policy, self._eval_env, seed=seed)
        if settings.policy_only:
            bare = evaluate(NetworkPolicy(self.model, self.config), self._eval_env, seed=seed)
            result |= {"policy_win_rate": bare["win_rate"], "policy_return_mean": bare["return_mean"]}
        return result

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call, and how the wall time was spent."""
        means = self._means.drain()
        if means:
            means |= {f"{name}_seconds": round(spent, 3) for name, spent in self._seconds.items()}
            self._seconds = dict.fromkeys(self._seconds, 0.0)
        return means

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly."""
        return {
            "network": self.network.state_dict(),
            "target": self.target.state_dict(),
            "next_target": self._next_target.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "self_play": self.self_play.state_dict(),
            "replay": self.replay.state_dict(),
            "streams": self.streams.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "means": self._means.state_dict(),
            "counters": (self.env_steps, self.updates, self.episodes),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.model.weights_changed()
        self.target_model.weights_changed()
        self._next_target.load_state_dict(state["next_target"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.self_play.load_state_dict(state["self_play"])
        self.replay.load_state_dict(state["replay"])
        self.streams.load_state_dict(state["streams"])
        torch.set_rng_state(state["torch_rng"].cpu())
        self._means.load_state_dict(state["means"])
        self.env_steps, self.updates, self.episodes = state["counters"]
