"""CDS the long way: float64, torch's own optimisers, one episode, one step, one agent at a time."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch

from baselines.cds.agent import diverse_agent
from baselines.cds.predictors import Predictor
from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.learner import QNetwork
from envs.interface import EnvInfo
from tests.baselines.value_based.plain import PlainRun, Running


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(v) for v in row]
    return [power / sum(powers) for power in powers]


class PlainCds(PlainRun):
    """What CDS adds to a plain run with QPLEX's mixer."""

    def make_agent(self, info: EnvInfo) -> RecurrentAgent:
        return diverse_agent(self.config, info)

    def begin_bonus(self, info: EnvInfo) -> None:
        settings, inputs = self.config.predictor, self.config.agent.hidden_size + info.obs_size + info.n_actions
        self.predictors = [Predictor(inputs, info.obs_size, settings, n_agents=n).double() for n in (0, info.n_agents)]
        self.copy_bonus()
        self.adams = [
            torch.optim.Adam(net.parameters(), lr=settings.learning_rate, eps=settings.optimizer_epsilon)
            for net in self.predictors
        ]

    def copy_bonus(self) -> None:
        self.copies_of_predictors = copy.deepcopy(self.predictors)

    def head_of(self, net: QNetwork, hidden: torch.Tensor) -> torch.Tensor:
        local = net.agent.local_heads
        return torch.stack([net.agent.head(h) + h @ local.weight[i] + local.bias[i, 0] for i, h in enumerate(hidden)])

    def penalty_of(self, hidden: list[torch.Tensor]) -> torch.Tensor:
        local = self.live.agent.local_heads
        values = [h @ local.weight[i] + local.bias[i, 0] for each in hidden for i, h in enumerate(each)]
        return self.config.diversity.local_penalty * torch.cat(values).abs().mean()

    def predicted(self, net: Predictor, x: torch.Tensor, agent: int) -> torch.Tensor:
        index = torch.zeros(net.n_agents).double()
        if net.n_agents:
            index[agent] = 1.0
        hidden = torch.relu(net.first(torch.cat([x, index])))
        return net.last(torch.relu(net.second(torch.cat([hidden, index]))))

    def bonus_of(self, batch: list[Running]) -> dict[int, list[float]]:
        settings, rewards = self.config.diversity, {}
        rows: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        parts = []
        longest_first = sorted(batch, key=lambda run: -len(run.actions))
        with torch.no_grad():
            for run in longest_first:
                q, hidden = self.unrolled(self.live, run)
                rewards[id(run)] = []
                for t, actions in enumerate(run.actions):
                    policies = [softmax(row.tolist()) for row in q[t]]
                    mean = [sum(column) / self.n for column in zip(*policies)]
                    observing = acting = 0.0
                    for i in range(self.n):
                        before = hidden[t - 1][i] if t else torch.zeros_like(hidden[t][i])
                        action = torch.tensor([float(a == actions[i]) for a in range(self.A)]).double()
                        x, follows = torch.cat([before, run.obs[t][i], action]), run.obs[t + 1][i]
                        rows[t, id(run), i] = x, follows
                        log_p, log_q = (
                            -((self.predicted(net, x, i) - follows) ** 2).sum().item()
                            for net in self.copies_of_predictors
                        )
                        own = softmax([settings.beta1 * v for v in q[t][i].tolist()])
                        observing += (settings.beta1 * log_q - log_p) / self.n
                        divergence = sum(a * math.log(a / b) for a, b in zip(own, mean))
                        acting += settings.beta2 * divergence / self.n
                    share = 1.0
                    if self.env_steps > settings.anneal_after:
                        share = max(0.0, 1 - settings.anneal_rate * (self.env_steps - settings.anneal_after) / 1e6)
                    reward = settings.beta * share * (observing + acting)
                    rewards[id(run)].append(reward)
                    parts.append((reward, observing, acting))
        names = ("intrinsic_mean", "intrinsic_observation_mean", "intrinsic_policy_mean")
        for name, values in zip(names, zip(*parts)):
            self.facts[name].append(float(np.mean(values)))
        self.teach(longest_first, rows)
        return rewards

    def teach(self, batch: list[Running], rows: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Once over the episodes, filled up to the longest, in a random order; padding is skipped."""
        longest = len(batch[0].actions)
        real = [(t, id(run), i) for t in range(longest) for run in batch if t < len(run.actions) for i in range(self.n)]
        order = self.streams.replay.permutation(len(batch) * longest * self.n)
        settings, losses = self.config.predictor, ([], [])
        for start in range(0, len(order), settings.minibatch):
            piece = [real[k] for k in order[start : start + settings.minibatch] if k < len(real)]
            if not piece:
                continue
            for net, adam, each in zip(self.predictors, self.adams, losses):
                distances = [((self.predicted(net, rows[key][0], key[2]) - rows[key][1]) ** 2).sum() for key in piece]
                loss = torch.stack(distances).mean()
                adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), settings.grad_clip)
                adam.step()
                each.append(loss.item())
        for name, each in zip(("predictor_p_loss", "predictor_q_loss"), losses):
            self.facts[name].append(float(np.mean(each)))
