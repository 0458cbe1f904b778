"""MAPPO and IPPO: collect a round with the present policy, then several epochs of clipped updates on it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from baselines.mappo.config import AGENT_STATE, CENTRAL, OBS, TEAM_STATE, LearningConfig, PpoConfig
from baselines.mappo.losses import gae_returns, policy_loss, standardized, value_loss
from baselines.mappo.networks import Network, log_policy, standardize
from baselines.mappo.normalization import PopArt, make_norm
from baselines.mappo.policy import PpoPolicy
from baselines.mappo.rollout import Rollout, critic_input_size, living
from envs.interface import EnvInfo, VectorEnv
from training.errors import require_finite
from training.evaluation import evaluate
from training.metrics import RunningMeans
from training.seeding import Streams, draw_seed
from training.throughput import Throughput

PRESETS = Path(__file__).parent / "presets"


def resolve(config: PpoConfig, env: VectorEnv, *, centralized: bool) -> PpoConfig:
    """The config with the critic's input said outright.

    Args: centralized: True for MAPPO, False for IPPO.
    Raises: ValueError for an input that the environment does not have or that belongs to the other algorithm.
    """
    kind = config.critic.input
    if kind == CENTRAL:
        kind = (AGENT_STATE if env.agent_state_size is not None else TEAM_STATE) if centralized else OBS
    if centralized == (kind == OBS):
        name, other = ("mappo", "ippo") if centralized else ("ippo", "mappo")
        raise ValueError(f"critic.input {kind!r} makes {name} another algorithm: use --algorithm {other} for it")
    critic_input_size(env, kind)  # refuses what the environment does not have
    return replace(config, critic=replace(config.critic, input=kind))


class Chunks(NamedTuple):
    """A round cut in N pieces of L steps of one agent: (L, N, ...) arrays, hidden states (N, H)."""

    obs: Tensor  # standardised, as is central
    central: Tensor
    avail: Tensor
    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    active: Tensor  # float
    known: Tensor  # bool, False where the episode was lost: nobody learns from these rows
    mask: Tensor  # float
    value: Tensor  # at collection, in the units the critic had then
    returns: Tensor  # reward units
    actor_hidden: Tensor
    critic_hidden: Tensor


class PpoLearner:
    """A `training.loop.Learner`.

    Args:
      config: settings of the algorithm.
      centralized: True for MAPPO, False for IPPO.
      make_env: called as `make_env(num_envs, observation, seed)`.
      seed: run seed.
      device: torch device of networks and updates.
      eval_episodes: episodes per evaluation.
    """

    def __init__(
        self,
        config: PpoConfig,
        *,
        centralized: bool,
        make_env: Callable[[int, str, int], VectorEnv],
        seed: int,
        device: str,
        eval_episodes: int,
    ) -> None:
        self.env_steps = self.updates = self.episodes = 0
        self._device = device
        self._streams = Streams(seed)
        rollout = config.rollout
        env_seed = draw_seed(self._streams.env)
        self._env = make_env(rollout.num_envs, rollout.observation, env_seed)
        self._env.reset(env_seed)
        self._eval_env = make_env(eval_episodes, rollout.observation, draw_seed(self._streams.eval))
        self._config = config = resolve(config, self._env, centralized=centralized)
        info, network = self._env.info, config.network
        central_size = network.frames * critic_input_size(self._env, config.critic.input)
        # Initial weights are the only torch random numbers of a run; the caller's generator is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw_seed(self._streams.init))
            self._actor = make_actor(config, info).to(device)
            self._critic = Network(central_size, 1, network, gain=1.0).to(device)
        learning = config.learning
        self._actor_optimizer = _adam(self._actor, learning.actor_learning_rate, learning)
        self._critic_optimizer = _adam(self._critic, learning.critic_learning_rate, learning)
        self._norm = make_norm(config.critic.normalization, self._critic.head)
        self._critic_hidden = np.zeros((rollout.num_envs, info.n_agents, network.hidden_size), np.float32)
        self._rollout = Rollout(
            self._env,
            self._policy(),
            config=rollout,
            critic_kind=config.critic.input,
            frames=network.frames,
            generator=self._streams.explore,
        )
        self._means = RunningMeans()
        self._throughput = Throughput()

    @property
    def config(self) -> PpoConfig:
        """The settings, the critic's input said outright."""
        return self._config

    def advance(self) -> None:
        """One step in every slot; if that completes a round, its updates."""
        started, in_env = time.perf_counter(), self._rollout.env_seconds
        finished = self._rollout.step()
        self.env_steps += self._env.num_envs
        for item in finished:
            self.episodes += 1
            self._means.add(
                {
                    "train_return_mean": item.team_return,
                    "train_length_mean": item.length,
                    "train_win_rate": item.won,
                }
            )
        collected, updates_before = time.perf_counter(), self.updates
        if self._rollout.full:
            self._update()
            self._rollout.next_round()
        in_env = self._rollout.env_seconds - in_env
        self._throughput.add(
            self._env.num_envs,
            self.updates - updates_before,
            env=in_env,
            inference=collected - started - in_env,
            learning=time.perf_counter() - collected,
        )

    def evaluate(self, seed: int) -> dict[str, float]:
        """Greedy episodes in an environment of their own."""
        return evaluate(self._policy(), self._eval_env, seed=seed)

    def policy_state(self) -> dict[str, Any]:
        """A copy of the actor."""
        return {"actor": copy.deepcopy(self._actor.state_dict())}

    def load_policy_state(self, state: dict[str, Any]) -> None:
        """Play with this actor from now on."""
        self._actor.load_state_dict(state["actor"])

    def drain_metrics(self) -> dict[str, float]:
        """Means since the last call; see README.md for what each one is."""
        return {**self._means.drain(), **self._throughput.drain()}

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly."""
        return {
            "counts": (self.env_steps, self.updates, self.episodes),
            "actor": copy.deepcopy(self._actor.state_dict()),
            "critic": copy.deepcopy(self._critic.state_dict()),
            "actor_optimizer": copy.deepcopy(self._actor_optimizer.state_dict()),
            "critic_optimizer": copy.deepcopy(self._critic_optimizer.state_dict()),
            "norm": self._norm.state_dict(),
            "critic_hidden": self._critic_hidden.copy(),
            "rollout": self._rollout.state_dict(),
            "streams": self._streams.state_dict(),
            "means": self._means.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.env_steps, self.updates, self.episodes = state["counts"]
        self._actor.load_state_dict(state["actor"])
        self._critic.load_state_dict(state["critic"])
        self._actor_optimizer.load_state_dict(state["actor_optimizer"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])
        self._norm.load_state_dict(state["norm"])
        self._critic_hidden = state["critic_hidden"].copy()
        self._rollout.load_state_dict(state["rollout"])
        self._streams.load_state_dict(state["streams"])
        self._means.load_state_dict(state["means"])

    def _policy(self) -> PpoPolicy:
        n, frames = self._env.info.n_agents, self._config.network.frames
        return PpoPolicy(self._actor, n_agents=n, frames=frames, device=self._device)

    def _update(self) -> None:
        """All gradient steps of a round; none where all of its episodes were lost."""
        if self._rollout.rows["lost"].all():
            return
        chunks, log = self._chunks(), _Sums()
        acting = chunks.active.any(0)  # the others have no weight in the actor's loss
        all_acting = _select(chunks, acting.nonzero().squeeze(-1))
        for part in self._minibatches(len(acting)):
            if part is None:
                self._actor_step(all_acting, log)
            elif acting[part].any():
                self._actor_step(_select(chunks, part[acting[part]]), log)
            if part is None or chunks.known[:, part].any():
                self._critic_step(chunks if part is None else _select(chunks, part), log)
            self.updates += 1
        facts = log.means()
        require_finite(facts)
        self._means.add(facts)

    def _minibatches(self, count: int) -> Iterator[Tensor | None]:
        """Indices of chunks, drawn anew in each epoch; None for all of them, whose order does not matter."""
        learning = self._config.learning
        for _ in range(learning.epochs):
            if learning.minibatches == 1:
                yield None
                continue
            order = self._streams.replay.permutation(count)
            for part in np.array_split(order, learning.minibatches):
                yield torch.from_numpy(part).to(self._device)

    def _actor_step(self, batch: Chunks, log: _Sums) -> None:
        learning = self._config.learning
        logits, _ = self._actor.unroll(batch.obs, batch.actor_hidden, batch.mask)
        rows = (batch.action, batch.log_prob, batch.advantage, batch.active)
        loss, entropy, facts = policy_loss(log_policy(logits, batch.avail), *rows, clip=learning.clip)
        self._actor_optimizer.zero_grad(set_to_none=True)
        (loss - learning.entropy_coefficient * entropy).backward()
        norm = nn.utils.clip_grad_norm_(self._actor.parameters(), learning.grad_clip)
        self._actor_optimizer.step()
        log.add(policy_loss=loss, entropy=entropy, actor_grad_norm=norm, **facts)

    def _critic_step(self, batch: Chunks, log: _Sums) -> None:
        learning, critic = self._config.learning, self._config.critic
        old_value = batch.value
        known = None if batch.known.all() else batch.known
        learned = batch.returns if known is None else batch.returns[known]
        if isinstance(self._norm, PopArt):  # its output changes units with every update, so the old value must follow
            in_rewards = batch.value * self._collected[1] + self._collected[0]
            self._norm.update(learned.cpu().numpy())
            old_value = self._norm.normalize(in_rewards)
        else:
            self._norm.update(learned.cpu().numpy())
        target = self._norm.normalize(batch.returns)
        value = self._critic.unroll(batch.central, batch.critic_hidden, batch.mask)[0].squeeze(-1)
        clip = learning.clip if critic.clip_value else None
        loss = value_loss(value, old_value, target, clip=clip, delta=critic.huber_delta, known=known)
        self._critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._critic.parameters(), learning.grad_clip)
        self._critic_optimizer.step()
        log.add(value_loss=loss, critic_grad_norm=norm)

    def _chunks(self) -> Chunks:
        """Values, returns and advantages of the round, cut in pieces."""
        rows, learning, length = self._rollout.rows, self._config.learning, self._config.chunk
        known = np.broadcast_to(~rows["lost"][..., None], rows["action"].shape)
        active = living(rows["avail"][:-1]) & known
        central, value, critic_hidden = self._values()
        self._collected = (self._norm.mean, self._norm.deviation)  # units of `value`
        returns, advantage = gae_returns(
            rows["reward"][..., None],
            self._norm.denormalize(value),
            rows["mask"][..., None],
            gamma=learning.gamma,
            lam=learning.gae_lambda,
            bad=rows["bad"][..., None] if learning.proper_time_limits else None,
        )
        if not known.all():  # whatever was computed there is of no use
            returns, advantage = np.where(known, returns, 0.0), np.where(known, advantage, 0.0)
        self._means.add({"value_mean": float(self._norm.denormalize(value[:-1]).mean())})
        self._means.add({"target_mean": float(returns.mean(dtype=np.float64))})
        mask = np.broadcast_to(rows["mask"][:-1, :, None], active.shape)

        def cut(array: np.ndarray | Tensor) -> Tensor:
            return _cut(_tensor(array, self._device), length)

        return Chunks(
            obs=standardize(cut(rows["obs"][:-1])),
            central=cut(central[:-1]),
            avail=cut(rows["avail"][:-1]),
            action=cut(rows["action"]),
            log_prob=cut(rows["log_prob"]),
            advantage=cut(standardized(advantage, active).astype(np.float32)),
            active=cut(active.astype(np.float32)),
            known=cut(np.ascontiguousarray(known)),
            mask=cut(np.ascontiguousarray(mask)),
            value=cut(value[:-1]),
            returns=cut(returns.astype(np.float32)),
            actor_hidden=cut(rows["hidden"][:-1])[0],
            critic_hidden=cut(critic_hidden)[0],
        )

    def _values(self) -> tuple[Tensor, np.ndarray, Tensor]:
        """One pass of the critic over the round and the state after it; carries its hidden state to the next round.

        Returns: standardised inputs (T + 1, E, n, F), values (T + 1, E, n) in the critic's units, hidden states
          before each step (T, E, n, H).
        """
        rows = self._rollout.rows
        steps, slots, n, _ = rows["central"].shape
        with torch.no_grad():
            x_hat = standardize(_tensor(rows["central"], self._device))
            mask = _tensor(np.repeat(rows["mask"], n, axis=1), self._device)
            initial = _tensor(self._critic_hidden, self._device).flatten(0, 1)
            value, hidden = self._critic.unroll(x_hat.flatten(1, 2), initial, mask)
            before = torch.cat([initial[None], hidden[:-2]]).view(steps - 1, slots, n, -1)
            after = hidden[-2]  # the state after the last step is seen again at the beginning of the next round
        self._critic_hidden = after.reshape(slots, n, -1).cpu().numpy().copy()
        return x_hat, value.view(steps, slots, n).cpu().numpy(), before


def make_actor(config: PpoConfig, info: EnvInfo) -> Network:
    """The policy network, freshly initialised."""
    inputs = config.network.frames * info.obs_size
    return Network(inputs, info.n_actions, config.network, gain=config.network.output_gain)


def load_policy(config: PpoConfig, info: EnvInfo, state: dict[str, Any], *, device: str) -> PpoPolicy:
    """The greedy policy of a learner's `state_dict`, without building the learner."""
    actor = make_actor(config, info).to(device)
    actor.load_state_dict(state["actor"])
    return PpoPolicy(actor, n_agents=info.n_agents, frames=config.network.frames, device=device)


def _adam(network: Network, learning_rate: float, learning: LearningConfig) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=learning_rate, eps=learning.optimizer_epsilon)


def _tensor(array: np.ndarray | Tensor, device: str) -> Tensor:
    return array.to(device) if isinstance(array, Tensor) else torch.from_numpy(array).to(device)


def _cut(series: Tensor, length: int) -> Tensor:
    """(T, E, n, ...) in pieces of `length` steps: (length, T / length * E * n, ...)."""
    steps, *rest = series.shape
    return series.view(steps // length, length, *rest).transpose(0, 1).flatten(1, 3).contiguous()


def _select(chunks: Chunks, part: Tensor) -> Chunks:
    """Some of the chunks. part: (M,) int64."""
    hidden = ("actor_hidden", "critic_hidden")
    return Chunks(*(array[part] if name in hidden else array[:, part] for name, array in chunks._asdict().items()))


class _Sums:
    """Means of scalar tensors over the updates of a round; read once at its end."""

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    def add(self, **values: Tensor) -> None:
        for name, value in values.items():
            self._values.setdefault(name, []).append(value.detach())

    def means(self) -> dict[str, float]:
        return {name: torch.stack(values).mean().item() for name, values in self._values.items()}
