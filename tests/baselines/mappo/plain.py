"""MAPPO and IPPO the long way: float64, layers one after the other, one slot, one agent, one step at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from baselines.mappo.config import PpoConfig
from baselines.mappo.networks import Network
from envs.interface import VectorEnv
from training.seeding import Streams, draw_seed


def layers(net: Network, x: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and the next hidden states. x: (R, D), hidden: (R, H)."""
    y = net.norm_1(torch.relu(net.layer_1(net.norm_input(x))))
    y = net.norm_2(torch.relu(net.layer_2(y)))
    if net.rnn is not None:
        hidden = net.rnn(y, hidden)
        y = net.norm_3(hidden)
    return net.head(y), hidden


def legal_log_softmax(logits: torch.Tensor, avail: torch.Tensor) -> torch.Tensor:
    return logits.masked_fill(~avail, -1e10).log_softmax(-1)


class Moments:
    """ValueNorm, PopArt or none, as numbers."""

    def __init__(self, kind: str, head: torch.nn.Linear) -> None:
        self.kind, self.head = kind, head
        self.sums = [0.0, 0.0, 0.0]  # mean, mean of squares, weight

    def units(self) -> tuple[float, float]:
        """Mean and deviation."""
        mean, square, weight = self.sums
        if self.kind == "none":
            return 0.0, 1.0
        if weight == 0:
            return 0.0, 0.1
        return mean / weight, math.sqrt(max(square / weight - (mean / weight) ** 2, 0.01))

    def update(self, returns: np.ndarray) -> None:
        old_mean, old = self.units()
        news = (returns.mean(), (returns**2).mean(), 1.0)
        self.sums = [0.99999 * past + 0.00001 * float(new) for past, new in zip(self.sums, news)]
        mean, deviation = self.units()
        if self.kind == "popart":
            with torch.no_grad():
                self.head.weight *= old / deviation
                self.head.bias.copy_((old * self.head.bias + old_mean - mean) / deviation)


class PlainRun:
    """A run of so many rounds; `metrics` are means over the episodes, updates or rounds they belong to."""

    def __init__(
        self, config: PpoConfig, make_env: Callable[[int, int], VectorEnv], *, seed: int, kind: str, rounds: int
    ) -> None:
        self.config, self.kind, self.streams = config, kind, Streams(seed)
        self.E, self.T, self.H = config.rollout.num_envs, config.rollout.steps, config.network.hidden_size
        env_seed = draw_seed(self.streams.env)
        self.env = make_env(self.E, env_seed)
        self.env.reset(env_seed)
        draw_seed(self.streams.eval)
        info, frames = self.env.info, config.network.frames
        self.n = info.n_agents
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw_seed(self.streams.init))
            inputs = frames * info.obs_size
            self.actor = Network(inputs, info.n_actions, config.network, gain=config.network.output_gain).double()
            self.critic = Network(frames * len(self.seen_by_critic(0, 0)), 1, config.network, gain=1.0).double()
        learning = config.learning
        eps = learning.optimizer_epsilon
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr=learning.actor_learning_rate, eps=eps)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=learning.critic_learning_rate, eps=eps)
        self.moments = Moments(config.critic.normalization, self.critic.head)
        pairs = [(e, i) for e in range(self.E) for i in range(self.n)]
        self.pairs = pairs
        self.pasts: dict[Any, list[np.ndarray]] = {}  # inputs since the episode began, of actor and critic
        self.actor_hidden = {pair: torch.zeros(1, self.H).double() for pair in pairs}
        self.critic_hidden = {pair: torch.zeros(1, self.H).double() for pair in pairs}
        self.started = [True] * self.E  # whether a slot's episode begins with the present state
        self.sums = [[0.0, 0] for _ in range(self.E)]  # return and length of the running episodes
        self.env_steps = self.updates = self.episodes = 0
        self.facts: dict[str, list[float]] = defaultdict(list)
        for turn in range(rounds):
            self.round(first=turn == 0)
        self.metrics = {name: float(np.mean(values)) for name, values in self.facts.items()}

    def seen_by_critic(self, slot: int, agent: int) -> np.ndarray:
        if self.kind == "agent_state":
            return self.env.agent_state[slot, agent]
        if self.kind == "obs":
            return self.env.obs[slot, agent]
        return np.concatenate([self.env.state[slot], np.eye(self.n)[agent]])

    def stacked(self, who: str, pair: tuple[int, int], x: np.ndarray) -> torch.Tensor:
        """The last inputs of a network in a row, zeros before the episode's beginning."""
        past = self.pasts.setdefault((who, pair), [])
        past.append(x.astype(np.float64))
        frames = self.config.network.frames
        padded = [np.zeros_like(past[0])] * frames + past
        return torch.from_numpy(np.concatenate(padded[-frames:]))[None]

    def look(self) -> dict[tuple[int, int], dict[str, Any]]:
        """What actor and critic say of the present state, for every agent of every slot."""
        rows = {}
        for e, i in self.pairs:
            if self.started[e]:
                self.pasts[("actor", (e, i))], self.pasts[("critic", (e, i))] = [], []
                self.actor_hidden[e, i], self.critic_hidden[e, i] = (torch.zeros(1, self.H).double() for _ in "ab")
            row = {
                "obs": self.stacked("actor", (e, i), self.env.obs[e, i]),
                "central": self.stacked("critic", (e, i), self.seen_by_critic(e, i)),
                "avail": torch.from_numpy(self.env.available_actions[e, i].copy()),
                "begins": self.started[e],
            }
            rows[e, i] = row
        return rows

    def ask(self, rows: dict[tuple[int, int], dict[str, Any]]) -> None:
        with torch.no_grad():
            before = [torch.cat([hidden[pair] for pair in rows]) for hidden in (self.actor_hidden, self.critic_hidden)]
            obs, central = (torch.cat([row[name] for row in rows.values()]) for name in ("obs", "central"))
            logits, actor_after = layers(self.actor, obs, before[0])
            values, critic_after = layers(self.critic, central, before[1])
        for k, row in enumerate(rows.values()):
            row["actor_hidden"], row["critic_hidden"] = before[0][k : k + 1], before[1][k : k + 1]
            row["actor_after"], row["critic_after"] = actor_after[k : k + 1], critic_after[k : k + 1]
            row["log_probs"], row["value"] = legal_log_softmax(logits[k], row["avail"]), values[k].item()

    def round(self, *, first: bool) -> None:
        history = []
        rows = self.look() if first else self.last
        for _ in range(self.T):
            self.ask(rows)
            for pair, row in rows.items():
                self.actor_hidden[pair], self.critic_hidden[pair] = row["actor_after"], row["critic_after"]
            noise = self.streams.explore.gumbel(size=(self.E, self.n, self.env.info.n_actions))
            actions = np.zeros((self.E, self.n), np.int64)
            for (e, i), row in rows.items():
                actions[e, i] = row["action"] = int(np.argmax(row["log_probs"].numpy() + noise[e, i]))
            self.env.step(actions)
            self.env_steps += self.E
            for e in range(self.E):
                self.sums[e][0] += float(self.env.reward[e])
                self.sums[e][1] += 1
                self.started[e] = bool(self.env.finished[e])
                for i in range(self.n):
                    row = rows[e, i]
                    row["reward"], row["ended"] = float(self.env.reward[e]), self.started[e]
                    row["cut"] = bool(self.env.truncated[e])
                if self.started[e]:
                    self.episodes += 1
                    self.facts["train_return_mean"].append(self.sums[e][0])
                    self.facts["train_length_mean"].append(self.sums[e][1])
                    self.facts["train_win_rate"].append(float(self.env.won[e]))
                    self.sums[e] = [0.0, 0]
            self.env.reset_done()
            history.append(rows)
            rows = self.look()
        self.ask(rows)  # for the value behind the last step; the next round asks again, with other weights
        self.last = rows
        self.label(history, rows)
        self.learn(history)

    def label(self, history: list[Any], last: Any) -> None:
        """Returns and advantages in reward units, and who is alive."""
        learning, (mean, deviation) = self.config.learning, self.moments.units()
        self.collected = mean, deviation
        for pair in self.pairs:
            follows, later = last[pair]["value"] * deviation + mean, 0.0
            for rows in reversed(history):
                row = rows[pair]
                value = row["value"] * deviation + mean
                on = 0.0 if row["ended"] else 1.0
                advantage = row["reward"] + learning.gamma * on * (follows + learning.gae_lambda * later) - value
                if learning.proper_time_limits and row["cut"]:
                    advantage = 0.0
                row["return"], row["raw"] = advantage + value, advantage
                row["active"] = bool(row["avail"][1:].any())
                later, follows = advantage, value
        every = [row for rows in history for row in rows.values()]
        living = np.array([row["raw"] for row in every if row["active"]])
        for row in every:
            row["advantage"] = (row["raw"] - living.mean()) / (living.std() + 1e-5)
        self.facts["value_mean"].append(np.mean([row["value"] for row in every]) * deviation + mean)
        self.facts["target_mean"].append(np.mean([row["return"] for row in every]))

    def learn(self, history: list[Any]) -> None:
        learning = self.config.learning
        length = learning.chunk_length if self.config.network.kind == "rnn" else 1
        chunks = [
            [history[start + k][pair] for k in range(length)]
            for start in range(0, self.T, length)
            for pair in self.pairs
        ]
        log: dict[str, list[float]] = defaultdict(list)
        for _ in range(learning.epochs):
            parts = [np.arange(len(chunks))]
            if learning.minibatches > 1:
                parts = np.array_split(self.streams.replay.permutation(len(chunks)), learning.minibatches)
            for part in parts:
                batch = [chunks[k] for k in part]
                if any(row["active"] for chunk in batch for row in chunk):
                    self.actor_step(batch, log)
                self.critic_step(batch, log)
                self.updates += 1
        for name, values in log.items():
            self.facts[name].append(float(np.mean(values)))

    def unrolled(self, net: Network, batch: list[Any], inputs: str, hidden: str) -> list[tuple[torch.Tensor, ...]]:
        """Outputs (., O) of every row of every chunk; an episode that begins has no past."""
        h, outputs = torch.cat([chunk[0][hidden] for chunk in batch]), []
        for rows in zip(*batch):
            goes_on = torch.tensor([[0.0 if row["begins"] else 1.0] for row in rows]).double()
            y, h = layers(net, torch.cat([row[inputs] for row in rows]), h * goes_on)
            outputs.append(y.unbind())
        return list(zip(*outputs))

    def actor_step(self, batch: list[Any], log: dict[str, list[float]]) -> None:
        learning = self.config.learning
        surrogates, entropies, clipped, divergences = [], [], [], []
        for chunk, outputs in zip(batch, self.unrolled(self.actor, batch, "obs", "actor_hidden")):
            for row, logits in zip(chunk, outputs):
                if not row["active"]:
                    continue
                log_probs = legal_log_softmax(logits, row["avail"])
                log_ratio = log_probs[row["action"]] - row["log_probs"][row["action"]]
                ratio = log_ratio.exp()
                inside = ratio.clamp(1 - learning.clip, 1 + learning.clip)
                surrogates.append(torch.minimum(ratio * row["advantage"], inside * row["advantage"]))
                entropies.append(-sum(p.exp() * p for p in log_probs[row["avail"]]))
                clipped.append(float(abs(ratio.item() - 1) > learning.clip))
                divergences.append((ratio - 1 - log_ratio).item())
        loss, entropy = -torch.stack(surrogates).mean(), torch.stack(entropies).mean()
        norm = self.descend(self.actor, self.actor_adam, loss - learning.entropy_coefficient * entropy)
        for name, value in (("policy_loss", loss.item()), ("entropy", entropy.item()), ("actor_grad_norm", norm)):
            log[name].append(value)
        log["clip_fraction"].append(float(np.mean(clipped)))
        log["kl_estimate"].append(float(np.mean(divergences)))

    def critic_step(self, batch: list[Any], log: dict[str, list[float]]) -> None:
        learning, critic = self.config.learning, self.config.critic
        self.moments.update(np.array([row["return"] for chunk in batch for row in chunk]))
        mean, deviation = self.moments.units()
        losses = []
        for chunk, outputs in zip(batch, self.unrolled(self.critic, batch, "central", "critic_hidden")):
            for row, (value,) in zip(chunk, outputs):
                target, old = (row["return"] - mean) / deviation, row["value"]
                if critic.normalization == "popart":
                    old = (old * self.collected[1] + self.collected[0] - mean) / deviation
                loss = self.huber(target - value)
                if critic.clip_value:
                    moved = old + (value - old).clamp(-learning.clip, learning.clip)
                    loss = torch.maximum(loss, self.huber(target - moved))
                losses.append(loss)
        loss = torch.stack(losses).mean()
        log["critic_grad_norm"].append(self.descend(self.critic, self.critic_adam, loss))
        log["value_loss"].append(loss.item())

    def huber(self, error: torch.Tensor) -> torch.Tensor:
        delta = self.config.critic.huber_delta
        return error**2 / 2 if error.abs() <= delta else delta * (error.abs() - delta / 2)

    def descend(self, net: Network, adam: torch.optim.Adam, loss: torch.Tensor) -> float:
        """One step. Returns: the gradient's norm before it is cut."""
        adam.zero_grad()
        loss.backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in net.parameters()))
        for p in net.parameters():
            p.grad *= min(1.0, self.config.learning.grad_clip / (norm + 1e-6))
        adam.step()
        return norm

    def evaluate(self, env: VectorEnv, seed: int) -> dict[str, float]:
        """Greedy episodes, one after the other."""
        env.reset(seed)
        returns, lengths = np.zeros(env.num_envs), np.zeros(env.num_envs)
        pasts = {(e, i): [] for e in range(env.num_envs) for i in range(self.n)}
        hidden = {pair: torch.zeros(1, self.H).double() for pair in pasts}
        frames = self.config.network.frames
        while not env.finished.all():
            actions = np.zeros((env.num_envs, self.n), np.int64)
            for (e, i), past in pasts.items():
                past.append(env.obs[e, i].astype(np.float64))
                x = np.concatenate(([np.zeros_like(past[0])] * frames + past)[-frames:])
                with torch.no_grad():
                    logits, hidden[e, i] = layers(self.actor, torch.from_numpy(x)[None], hidden[e, i])
                legal = np.flatnonzero(env.available_actions[e, i])
                actions[e, i] = max(legal, key=lambda a: logits[0, a].item())
            running = ~env.finished
            env.step(actions)
            returns[running] += env.reward[running]
            lengths[running] += 1
        return {
            "num_episodes": env.num_envs,
            "win_rate": float(env.won.mean()),
            "return_mean": float(returns.mean()),
            "return_std": float(returns.std()),
            "length_mean": float(lengths.mean()),
        }
