"""IQL, VDN, QMIX and QPLEX the long way: float64, torch's own cell and optimisers, one episode, one step at a time."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import ValueConfig
from baselines.value_based.learner import QNetwork
from baselines.value_based.mixers import JointChoice
from envs.interface import EnvInfo, VectorEnv
from training.seeding import Streams, draw_seed


class Running:
    """An episode as far as it has come. Lists over steps; observations, states and legal actions are one longer."""

    def __init__(self, epsilon: float, n: int, hidden_size: int) -> None:
        self.epsilon = epsilon
        self.obs, self.state, self.avail, self.actions, self.reward = [], [], [], [], []
        self.terminated = False
        self.hidden, self.last = torch.zeros(n, hidden_size).double(), [None] * n

    def see(self, env: VectorEnv, slot: int) -> None:
        self.obs.append(torch.from_numpy(env.obs[slot].astype(np.float64)))
        self.state.append(torch.from_numpy(env.state[slot].astype(np.float64)))
        self.avail.append(torch.from_numpy(env.available_actions[slot].copy()))


class PlainRun:
    """So many calls of `advance`; `metrics` are means over the episodes or updates they belong to."""

    def __init__(
        self,
        config: ValueConfig,
        make_env: Callable[[int, int], VectorEnv],
        *,
        make_mixer: Callable[[Any, Any], Any],
        seed: int,
        calls: int,
    ) -> None:
        self.config, self.streams = config, Streams(seed)
        learning = config.learning
        env_seed = draw_seed(self.streams.env)
        self.env = make_env(config.rollout.num_envs, env_seed)
        self.env.reset(env_seed)
        draw_seed(self.streams.eval)
        info = self.env.info
        self.n, self.A = info.n_agents, info.n_actions
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw_seed(self.streams.init))
            self.live = QNetwork(self.make_agent(info), make_mixer(config, info)).double()
            self.begin_bonus(info)
        self.target = copy.deepcopy(self.live)
        parameters, eps = list(self.live.parameters()), learning.optimizer_epsilon
        if learning.optimizer == "adam":
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=learning.learning_rate, eps=eps)
        else:
            self.optimizer = torch.optim.RMSprop(parameters, lr=learning.learning_rate, alpha=0.99, eps=eps)
        self.env_steps = self.updates = self.episodes = self.last_copy = 0
        self.copies: list[int] = []
        self.ring: list[Running] = []
        self.facts: dict[str, list[float]] = defaultdict(list)
        self.running = [self.begin(0) for _ in range(self.env.num_envs)]
        for _ in range(calls):
            self.advance()
        self.metrics = {name: float(np.mean(values)) for name, values in self.facts.items()}

    def make_agent(self, info: EnvInfo) -> RecurrentAgent:
        return RecurrentAgent(info, self.config.agent)

    def begin_bonus(self, info: EnvInfo) -> None:
        """Another method's further networks, after those of all methods."""

    def copy_bonus(self) -> None:
        """With the target network."""

    def bonus_of(self, batch: list[Running]) -> dict[int, list[float]]:
        """Further rewards of each episode's steps by the episode's `id`, found before the gradient step."""
        return {}

    def penalty_of(self, hidden: list[torch.Tensor]) -> torch.Tensor | float:
        """Another method's further term of the loss, from the hidden states (n, H) of all steps and ends."""
        return 0.0

    def head_of(self, net: QNetwork, hidden: torch.Tensor) -> torch.Tensor:
        return net.agent.head(hidden)

    def begin(self, env_steps: int) -> Running:
        rollout = self.config.rollout
        share = min(1.0, env_steps / rollout.epsilon_steps)
        epsilon = (1 - share) * rollout.epsilon_start + share * rollout.epsilon_finish
        return Running(epsilon, self.n, self.config.agent.hidden_size)

    def step_of(self, net: QNetwork, obs: torch.Tensor, last: list[int | None], hidden: torch.Tensor) -> Any:
        """Q values (n, A) and the next hidden states (n, H)."""
        rows = []
        for i in range(self.n):
            parts = [obs[i]]
            if self.config.agent.last_action:
                parts.append(torch.tensor([float(a == last[i]) for a in range(self.A)]).double())
            if self.config.agent.agent_id:
                parts.append(torch.eye(self.n).double()[i])
            rows.append(torch.cat(parts))
        agent = net.agent
        hidden = agent.rnn(torch.relu(agent.encoder(torch.stack(rows))), hidden)
        return self.head_of(net, hidden), hidden

    def act(self, run: Running, draws: np.ndarray) -> list[int]:
        """Actions in the present state; draws: (2, n)."""
        with torch.no_grad():
            q, run.hidden = self.step_of(self.live, run.obs[-1], run.last, run.hidden)
        actions = []
        for i in range(self.n):
            legal = run.avail[-1][i].nonzero().flatten().tolist()
            if draws[0, i] < run.epsilon:
                actions.append(legal[int(draws[1, i] * len(legal))])
            else:
                actions.append(max(legal, key=lambda a: q[i, a].item()))
        run.last = actions
        return actions

    def advance(self) -> None:
        env, rollout = self.env, self.config.rollout
        draws = self.streams.explore.random((2, env.num_envs, self.n))
        for slot, run in enumerate(self.running):
            if not run.obs:
                run.see(env, slot)
            run.actions.append(self.act(run, draws[:, slot]))
        env.step(np.array([run.actions[-1] for run in self.running]))
        self.env_steps += env.num_envs
        finished = []
        for slot, run in enumerate(self.running):
            run.reward.append(float(env.reward[slot]))
            run.see(env, slot)
            if env.finished[slot]:
                run.terminated = bool(env.terminated[slot]) or rollout.timeout == "terminal"
                finished.append((run, bool(env.won[slot])))
                self.running[slot] = self.begin(self.env_steps)
        env.reset_done()
        for run, won in finished:
            self.store(run, won)

    def store(self, run: Running, won: bool) -> None:
        learning, index = self.config.learning, self.episodes
        if len(self.ring) < learning.capacity_episodes:
            self.ring.append(run)
        else:
            self.ring[index % learning.capacity_episodes] = run
        self.episodes += 1
        facts = (run.epsilon, sum(run.reward), len(run.reward), float(won))
        for name, value in zip(("epsilon", "train_return_mean", "train_length_mean", "train_win_rate"), facts):
            self.facts[name].append(value)
        if len(self.ring) < learning.start_episodes:
            return
        for _ in range(learning.updates_per_episode):
            drawn = self.streams.replay.choice(len(self.ring), size=learning.batch_episodes, replace=False)
            self.update([self.ring[k] for k in drawn])
            if index - self.last_copy >= learning.target_every_episodes:
                self.target.load_state_dict(self.live.state_dict())
                self.copy_bonus()
                self.last_copy = index
                self.copies.append(index)

    def unrolled(self, net: QNetwork, run: Running) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Values (n, A) and hidden states (n, H) of all steps and of the end."""
        hidden, result, hiddens = torch.zeros(self.n, self.config.agent.hidden_size).double(), [], []
        for obs, last in zip(run.obs, [[None] * self.n, *run.actions]):
            q, hidden = self.step_of(net, obs, last, hidden)
            result.append(q)
            hiddens.append(hidden)
        return result, hiddens

    def update(self, batch: list[Running]) -> None:
        learning = self.config.learning
        values, targets, states, seen = [], [], [], []
        bonus = self.bonus_of(batch)
        for run in batch:
            q, hidden = self.unrolled(self.live, run)
            seen += hidden
            with torch.no_grad():
                q_target, _ = self.unrolled(self.target, run)
            for t, actions in enumerate(run.actions):
                states.append(run.state[t])
                choice = JointChoice(q[t], run.avail[t], torch.tensor(actions), run.state[t])
                values.append(self.live.mixer(choice))
                y = torch.tensor(run.reward[t] + (bonus[id(run)][t] if bonus else 0.0)).double()
                if t + 1 < len(run.actions) or not run.terminated:
                    chooser = q[t + 1] if learning.double_q else q_target[t + 1]
                    best = [
                        max(legal.nonzero().flatten().tolist(), key=lambda a: row[a].item())
                        for row, legal in zip(chooser, run.avail[t + 1])
                    ]
                    with torch.no_grad():
                        follows = JointChoice(q_target[t + 1], run.avail[t + 1], torch.tensor(best), run.state[t + 1])
                        y = y + learning.gamma * self.target.mixer(follows)
                targets.append(y.expand(values[-1].shape))
        value, target = torch.stack(values), torch.stack(targets)
        loss = ((value - target) ** 2).mean() + self.penalty_of(seen)
        weights = getattr(self.live.mixer, "weights", None)
        if weights is not None:
            loss = loss + weights(torch.zeros(len(states), self.n).double(), torch.stack(states))[2]
        self.optimizer.zero_grad()
        loss.backward()
        parameters = list(self.live.parameters())
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in parameters))
        for p in parameters:
            p.grad *= min(1.0, learning.grad_clip / (norm + 1e-6))
        self.optimizer.step()
        self.updates += 1
        facts = {
            "loss": loss.item(),
            "grad_norm": norm,
            "q_tot_mean": value.mean().item(),
            "target_mean": target.mean().item(),
            "td_error_abs": (value - target).abs().mean().item(),
        }
        for name, fact in facts.items():
            self.facts[name].append(fact)

    def evaluate(self, env: VectorEnv, seed: int) -> dict[str, float]:
        """Greedy episodes."""
        env.reset(seed)
        runs = [Running(0.0, self.n, self.config.agent.hidden_size) for _ in range(env.num_envs)]
        while not env.finished.all():
            actions = np.zeros((env.num_envs, self.n), np.int64)
            running = ~env.finished
            for slot in np.flatnonzero(running):
                runs[slot].see(env, slot)
                actions[slot] = self.act(runs[slot], np.ones((2, self.n)))
            env.step(actions)
            for slot in np.flatnonzero(running):
                runs[slot].reward.append(float(env.reward[slot]))
        returns, lengths = ([f(run.reward) for run in runs] for f in (sum, len))
        return {
            "num_episodes": env.num_envs,
            "win_rate": float(env.won.mean()),
            "return_mean": float(np.mean(returns)),
            "return_std": float(np.std(returns)),
            "length_mean": float(np.mean(lengths)),
        }
