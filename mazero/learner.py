"""The learner: self-play, replay, targets and updates in one deterministic sequence (one process)."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from envs.interface import VectorEnv
from mazero.config import MAZeroConfig
from mazero.inference import make_model, make_player
from mazero.losses import Batch
from mazero.networks import MAZeroNetwork
from mazero.optimiser import make_optimiser
from mazero.reanalyze import make_batch
from mazero.replay import Replay
from mazero.search import Workspace
from mazero.searches import FreshSearches, PeriodSearches
from mazero.selfplay import NetworkPolicy, SearchPolicy, SelfPlay
from mazero.transforms import beyond_support, squash, unsquash
from mazero.update import Optimise, WeightAverage
from mazero.values import TargetValues
from training.errors import UserError, require_finite
from training.evaluation import evaluate
from training.metrics import RunningMeans
from training.seeding import Streams, draw_seed

logger = logging.getLogger(__name__)

ROUNDING = 1e-9  # in float64, 0.1 updates a step times 30 steps lies just above 3; other products lie just below
MakeEnv = Callable[[int, str, int], VectorEnv]


@dataclass(frozen=True, eq=False)
class Drawn:
    """What one update learns from."""

    positions: np.ndarray  # (B,) in the replay
    batch: Batch


def require_support(env: VectorEnv, bound: int) -> None:
    """Raises: UserError if returns may lie beyond the support, where all of them would be worth the same."""
    largest = env.largest_return
    if largest is None or not beyond_support(torch.tensor(largest), bound):
        return
    reach, needed = unsquash(torch.tensor(float(bound))).item(), math.ceil(squash(torch.tensor(largest)).abs().item())
    raise UserError(
        f"returns of {env.info.name} must lie within the support, which ends at {reach:.4g}, got up to {largest:.6g}: "
        f"scale the rewards down (--env reward_scale=...), or --set network.support={needed}"
    )


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
        self._on_gpu = torch.device(device).type == "cuda"
        self.streams = Streams(seed)
        torch.manual_seed(draw_seed(self.streams.init))  # weights and dropout; saved with the checkpoint
        observation = config.self_play.observation
        self.self_play = SelfPlay(
            make_env(config.self_play.num_envs, observation, 0), config, env_seed=draw_seed(self.streams.env)
        )
        require_support(self.self_play.env, config.network.support)
        self._eval_env = make_env(eval_episodes, observation, 0)
        self.network = MAZeroNetwork.for_environment(config.network, self.self_play.env.info).to(device)
        self.network.eval()
        # The target network in use is one period old: `_next_target` waits for the period to end.
        self.target = copy.deepcopy(self.network).requires_grad_(False)
        self._next_target = copy.deepcopy(self.target)
        # As search sees them: these follow the weights of the networks.
        self.model = make_player(self.network, config.inference)
        self.target_model = make_model(self.target, config.inference)
        self.average = WeightAverage(self.network, config.evaluation.weight_average)
        self._evaluated = make_player(self.average.network, config.inference) if self.average.decay else self.model
        self.reanalyze_workspace = Workspace()
        self.searches = self._make_searches()
        self.values = TargetValues(self.target_model, config.network.stacked_observations)
        settings = config.optimiser
        self.optimiser = make_optimiser(self.network.parameters(), settings)
        self.optimise = Optimise(self.network, self.optimiser, config)
        self.replay = Replay(
            priority_alpha=config.replay.priority_alpha,
            capacity=config.replay.capacity,
            searches_change=config.targets.write_back,
        )
        self.planned_updates = max(1, int(env_steps * settings.updates_per_env_step))
        self.env_steps = self.updates = self.episodes = 0
        self._means = RunningMeans()
        self._warned = False
        self._seconds = {"self_play": 0.0, "targets": 0.0, "update": 0.0}

    def _make_searches(self) -> FreshSearches | PeriodSearches:
        """Where policy targets come from."""
        config, rng, workspace = self.config, self.streams.reanalyze, self.reanalyze_workspace
        if config.targets.search_reuse == "draw":
            return FreshSearches(self.target_model, config, rng=rng, workspace=workspace)
        return PeriodSearches(self.target_model, config, seed=draw_seed(rng), workspace=workspace)

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
            self.replay.add(episode)
            self.episodes += 1
            self._means.add(outcome)
        # Steps played before learning starts are made up for when it does: while the model learns from them, the
        # policy's targets are still those of a uniform search, so it cannot run ahead of a model that knows nothing.
        if self.replay.size >= self.config.replay.start:
            self.update_until(int(self.env_steps * self.config.optimiser.updates_per_env_step + ROUNDING))

    def update_until(self, goal: int) -> None:
        """Update until `goal` updates are done.

        With `targets.prefetch` a second thread makes the batch of update u + 1 while update u runs, in this order:
        batch u, then batch u + 1 beside step u, and only when both are done the priorities and the target network that
        u leaves. While both run, the thread alone touches the replay, its random streams and the target network, so
        results do not depend on timing. The first batch of a call is never made ahead: between calls nothing is
        under way. An error of either side ends the call, after the other has finished.
        """
        if self.updates >= goal:
            return
        if not self.config.targets.prefetch:
            while self.updates < goal:
                self._update()
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="targets") as thread:
            drawn = self.draw(self.updates)
            while self.updates < goal:
                ahead = thread.submit(self.draw, self.updates + 1) if self.updates + 1 < goal else None
                outcome = self._step(drawn.batch)
                following = ahead.result() if ahead else drawn
                self._conclude(drawn, *outcome)
                drawn = following

    def _update(self) -> None:
        """One update: draw a batch, step, and let replay and target network know."""
        drawn = self.draw(self.updates)
        self._conclude(drawn, *self._step(drawn.batch))

    def draw(self, update: int) -> Drawn:
        """Positions and targets for update number `update`, counted from 0."""
        config = self.config
        began = time.perf_counter()
        done = min(1.0, update / self.planned_updates)
        beta = config.replay.beta_start + done * (config.replay.beta_end - config.replay.beta_start)
        positions, importance = self.replay.sample(config.optimiser.batch_size, beta=beta, rng=self.streams.replay)
        batch = make_batch(
            self.replay,
            positions,
            importance,
            values=self.values,
            searches=self.searches,
            config=config,
            planned_updates=self.planned_updates,
            rng=self.streams.reanalyze,
            device=self.device,
        )
        self._seconds["targets"] += time.perf_counter() - began
        return Drawn(positions, batch)

    def _step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of the optimiser. Returns the predicted root values (B,) and scalars to log."""
        settings = self.config.optimiser
        began = time.perf_counter()
        if settings.final_learning_rate is not None:
            done = min(1.0, self.updates / self.planned_updates)
            first, last = settings.learning_rate, settings.final_learning_rate
            for group in self.optimiser.param_groups:
                group["lr"] = first + done * (last - first)
        self.network.train()
        predicted, scalars = self.optimise(batch)
        self.network.eval()
        self.model.weights_changed()
        self.average.follow(self.updates)
        self._seconds["update"] += time.perf_counter() - began
        return predicted, scalars

    def _conclude(self, drawn: Drawn, predicted: Tensor, scalars: dict[str, Tensor]) -> None:
        """What an update leaves: priorities, the count, the target network, numbers to log."""
        began = time.perf_counter()
        self.replay.set_priorities(drawn.positions, (predicted - drawn.batch.value[:, 0]).cpu().numpy())
        self.updates += 1
        if self.updates % self.config.targets.target_interval == 0:
            self.target.load_state_dict(self._next_target.state_dict())
            self._next_target.load_state_dict(self.network.state_dict())
            self.target_model.weights_changed()
            self.values.renew()
            if isinstance(self.searches, PeriodSearches):
                self.searches.renew()
        values = torch.stack(list(scalars.values())).tolist()  # one transfer
        facts = dict(zip(scalars, values, strict=True))
        require_finite(facts)
        if facts["targets_clipped"] > 0 and not self._warned:
            self._warned = True
            logger.warning(
                "targets beyond the support, h(x) in -%d..%d, are clipped: their share is logged as targets_clipped",
                *(self.config.network.support,) * 2,
            )
        self._means.add(facts)
        self._seconds["update"] += time.perf_counter() - began

    def evaluate(self, seed: int) -> dict[str, float]:
        """Greedy episodes with search; without search too, as `policy_win_rate` and `policy_return_mean`."""
        rng = np.random.default_rng([seed, 1])  # of the search; the episodes have the seed itself
        self._evaluated.weights_changed()
        policy = SearchPolicy(self._evaluated, self.config.evaluated(), rng=rng)
        result = evaluate(policy, self._eval_env, seed=seed)
        if self.config.evaluation.policy_only:
            bare = evaluate(NetworkPolicy(self._evaluated, self.config), self._eval_env, seed=seed)
            result |= {"policy_win_rate": bare["win_rate"], "policy_return_mean": bare["return_mean"]}
        return result

    def policy_state(self) -> dict[str, Any]:
        """A copy of the network that plays."""
        return {"network": {name: value.clone() for name, value in self.average.network.state_dict().items()}}

    def load_policy_state(self, state: dict[str, Any]) -> None:
        """Play with this network from now on."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["network"])
        self.model.weights_changed()

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call, and how the wall time was spent."""
        means = self._means.drain()
        if means:
            if isinstance(self.searches, PeriodSearches):
                means |= self.searches.drain_counts()
            means["parameters"] = sum(parameter.numel() for parameter in self.network.parameters())
            means |= {f"{name}_seconds": round(spent, 3) for name, spent in self._seconds.items()}
            self._seconds = dict.fromkeys(self._seconds, 0.0)
        return means

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict() if self.average.decay else None,
            "target": self.target.state_dict(),
            "next_target": self._next_target.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "self_play": self.self_play.state_dict(),
            "replay": self.replay.state_dict(),
            "searches": self.searches.state_dict() if isinstance(self.searches, PeriodSearches) else None,
            "values": self.values.state_dict(),
            "streams": self.streams.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(self.device) if self._on_gpu else None,
            "means": self._means.state_dict(),
            "counters": (self.env_steps, self.updates, self.episodes),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        if self.average.decay:
            self.average.network.load_state_dict(state["average"])
        self.target.load_state_dict(state["target"])
        self.model.weights_changed()
        self.target_model.weights_changed()
        self._next_target.load_state_dict(state["next_target"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.optimise = Optimise(self.network, self.optimiser, self.config)  # moments lie elsewhere now
        self.self_play.load_state_dict(state["self_play"])
        self.replay.load_state_dict(state["replay"])
        if isinstance(self.searches, PeriodSearches):
            self.searches.load_state_dict(state["searches"])
        self.values.load_state_dict(state["values"])
        self.streams.load_state_dict(state["streams"])
        torch.set_rng_state(state["torch_rng"].cpu())
        if self._on_gpu and state["cuda_rng"] is not None:  # dropout draws there
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)
        self._means.load_state_dict(state["means"])
        self.env_steps, self.updates, self.episodes = state["counters"]
