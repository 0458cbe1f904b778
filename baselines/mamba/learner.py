"""MAMBA's learner: collect; after each finished episode train the world model, then the policy in its imagination."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.mamba.behaviour import Critic, make_actor
from baselines.mamba.config import MambaConfig
from baselines.mamba.imagination import Imagined, imagine
from baselines.mamba.losses import policy_loss
from baselines.mamba.model_loss import model_loss, observe_batch
from baselines.mamba.policy import LatentPolicy
from baselines.mamba.rollout import Finished, Rollout
from baselines.mamba.store import SequenceBatch, StepStore
from baselines.mamba.world_model import FeatureNet, State, WorldModel
from baselines.mappo.networks import log_policy
from baselines.optimizer import FlatParameters
from envs.interface import EnvInfo, VectorEnv
from training.errors import require_finite
from training.evaluation import evaluate
from training.metrics import RunningMeans
from training.seeding import Streams, draw_seed
from training.throughput import Throughput

PRESETS = Path(__file__).parent / "presets"


class MambaLearner:
    """A `training.loop.Learner`.

    Args:
      config: settings of the algorithm.
      make_env: called as `make_env(num_envs, observation, seed)`.
      seed: run seed.
      device: torch device of networks and updates.
      eval_episodes: episodes per evaluation.
    """

    def __init__(
        self,
        config: MambaConfig,
        *,
        make_env: Callable[[int, str, int], VectorEnv],
        seed: int,
        device: str,
        eval_episodes: int,
    ) -> None:
        self.env_steps = self.updates = self.episodes = 0
        self._config, self._device = config, device
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
            self._model = WorldModel(info, config.model).to(device)
            self._actor = make_actor(info, config.model).to(device)
            self._critic = Critic(info, config.model).to(device)
        learning, behaviour = config.model_learning, config.behaviour
        self._model_optimizer = _optimizer(self._model, learning.learning_rate, learning.grad_clip)
        self._actor_optimizer = _optimizer(
            self._actor, behaviour.actor_learning_rate, behaviour.grad_clip, behaviour.weight_decay
        )
        self._critic_optimizer = _optimizer(self._critic, behaviour.critic_learning_rate, behaviour.grad_clip)
        self._entropy_weight = behaviour.entropy_coefficient
        self._store = StepStore(info, learning.capacity_steps)
        self._rollout = Rollout(
            self._env,
            self._policy(),
            timeout_is_terminal=rollout.timeout == "terminal",
            generator=self._streams.explore,
        )
        self._means = RunningMeans()
        self._throughput = Throughput()
        self._seconds = {"model": 0.0, "imagination": 0.0, "ppo": 0.0}  # clock readings, no part of the state

    def advance(self) -> None:
        """One step in every slot, then the updates of the episodes that ended."""
        started = time.perf_counter()
        finished = self._rollout.step()
        self.env_steps += self._env.num_envs
        updates_before, collected = self.updates, time.perf_counter()
        for item in finished:
            self._finish(item)
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
        """A copy of world model and actor: both are needed to act."""
        return {"model": copy.deepcopy(self._model.state_dict()), "actor": copy.deepcopy(self._actor.state_dict())}

    def load_policy_state(self, state: dict[str, Any]) -> None:
        """Play with this model and actor from now on."""
        self._model.load_state_dict(state["model"])
        self._actor.load_state_dict(state["actor"])

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call; see README.md for what each one is."""
        seconds = {f"{name}_seconds": value for name, value in self._seconds.items()}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        means, rates = self._means.drain(), self._throughput.drain()
        return {**means, **rates, **(seconds if rates else {})}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly."""
        return {
            "counts": (self.env_steps, self.updates, self.episodes),
            "entropy_weight": self._entropy_weight,
            **self.policy_state(),
            "critic": copy.deepcopy(self._critic.state_dict()),
            **{name: copy.deepcopy(optimizer.state_dict()) for name, optimizer in self._optimizers().items()},
            "store": self._store.state_dict(),
            "rollout": self._rollout.state_dict(),
            "streams": self._streams.state_dict(),
            "means": self._means.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.env_steps, self.updates, self.episodes = state["counts"]
        self._entropy_weight = state["entropy_weight"]
        self.load_policy_state(state)
        self._critic.load_state_dict(state["critic"])
        for name, optimizer in self._optimizers().items():
            optimizer.load_state_dict(state[name])
        self._store.load_state_dict(state["store"])
        self._rollout.load_state_dict(state["rollout"])
        self._streams.load_state_dict(state["streams"])
        self._means.load_state_dict(state["means"])

    def _optimizers(self) -> dict[str, FlatParameters]:
        return {
            "model_optimizer": self._model_optimizer,
            "actor_optimizer": self._actor_optimizer,
            "critic_optimizer": self._critic_optimizer,
        }

    def _policy(self) -> LatentPolicy:
        return _policy(self._config, self._model, self._actor, self._device)

    def _finish(self, item: Finished) -> None:
        """Store an episode and do the updates it calls for."""
        self._store.add(item.episode)
        self.episodes += 1
        facts = {"train_return_mean": item.team_return, "train_length_mean": item.length, "train_win_rate": item.won}
        self._means.add(facts)
        if len(self._store) < self._config.model_learning.start_steps:
            return
        for _ in range(self._config.model_learning.updates_per_episode):
            self._update_model()
        for _ in range(self._config.behaviour.updates_per_episode):
            self._update_behaviour()

    def _update_model(self) -> None:
        """One gradient step of the world model."""
        started, learning = time.perf_counter(), self._config.model_learning
        batch = self._sample(learning.batch_sequences)
        with self._precision():
            observed = observe_batch(self._model, batch, self._streams.replay, dropout=True)
            loss, terms = model_loss(self._model, batch, observed, balance=learning.kl_balance)
        norm = self._model_optimizer.step(loss)
        self.updates += 1
        self._log({"model_loss": loss.detach(), **terms, "model_grad_norm": norm})
        self._seconds["model"] += time.perf_counter() - started

    def _update_behaviour(self) -> None:
        """One imagined batch, and PPO's epochs on it."""
        started, behaviour = time.perf_counter(), self._config.behaviour
        with self._precision(), torch.no_grad():
            batch = self._sample(behaviour.batch_sequences)
            observed = observe_batch(self._model, batch, self._streams.replay, dropout=False)
            imagined = imagine(
                *(self._model, self._actor, self._critic),
                State(observed.codes.flatten(0, 1), observed.deter[:-1].flatten(0, 1)),
                self._streams.replay,
                horizon=behaviour.horizon,
                gamma=behaviour.gamma,
                lam=behaviour.gae_lambda,
            )
        self._log(imagined.facts)
        dreamt = time.perf_counter()
        self._seconds["imagination"] += dreamt - started
        for _ in range(behaviour.epochs):
            order = torch.from_numpy(self._streams.replay.permutation(len(imagined.action))).to(self._device)
            for part in order.split(behaviour.minibatch_rows):
                self._log(self._minibatch(imagined, part))
        self._seconds["ppo"] += time.perf_counter() - dreamt

    def _minibatch(self, imagined: Imagined, part: Tensor) -> dict[str, Tensor]:
        """A step of the actor, then one of the critic. part: (m,) teams. Returns: means for the log."""
        behaviour = self._config.behaviour

        def rows(x: Tensor) -> Tensor:
            return x[part].flatten(0, 1)

        state = State(rows(imagined.codes), rows(imagined.deter))
        with self._precision():
            log_probs = log_policy(self._actor(state), rows(imagined.avail))
        loss, log = policy_loss(
            log_probs,
            *(rows(imagined.action), rows(imagined.old_log_prob), rows(imagined.advantage)),
            clip=behaviour.clip,
            entropy_weight=self._entropy_weight,
        )
        actor_norm = self._actor_optimizer.step(loss)
        self._entropy_weight *= behaviour.entropy_decay
        with self._precision():
            value = self._critic(state)
        value_loss = (rows(imagined.returns) - value).square().mean() / 2
        critic_norm = self._critic_optimizer.step(value_loss)
        self.updates += 1
        norms = {"actor_grad_norm": actor_norm, "critic_grad_norm": critic_norm}
        return {"policy_loss": loss.detach(), "value_loss": value_loss.detach(), **log, **norms}

    def _sample(self, count: int) -> SequenceBatch:
        config = self._config
        return self._store.sample(
            self._streams.replay,
            count,
            config.model_learning.sequence_length,
            reset_action=config.model.reset_action,
            device=self._device,
        )

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        if self._config.compute.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self._device).type, torch.bfloat16)

    def _log(self, values: dict[str, Tensor]) -> None:
        facts = dict(zip(values, torch.stack([value.float() for value in values.values()]).tolist()))
        require_finite(facts)
        self._means.add(facts)


def load_policy(config: MambaConfig, info: EnvInfo, state: dict[str, Any], *, device: str) -> LatentPolicy:
    """The greedy policy of a learner's `state_dict`, without building the learner."""
    model: WorldModel = WorldModel(info, config.model).to(device)
    actor: FeatureNet = make_actor(info, config.model).to(device)
    model.load_state_dict(state["model"])
    actor.load_state_dict(state["actor"])
    return _policy(config, model, actor, device)


def _policy(config: MambaConfig, model: WorldModel, actor: FeatureNet, device: str) -> LatentPolicy:
    """Plays evaluations as the settings say."""
    latent, action = config.rollout.evaluation_latent, config.rollout.evaluation_action
    return LatentPolicy(model, actor, latent=latent, action=action, device=device)


def _optimizer(network: nn.Module, learning_rate: float, grad_clip: float, weight_decay: float = 0.0) -> FlatParameters:
    make = partial(torch.optim.Adam, lr=learning_rate, weight_decay=weight_decay, fused=True)
    return FlatParameters(network, make, grad_clip=grad_clip, norm_type=torch.float64)
