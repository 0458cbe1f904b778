"""The episode loss the long way: one episode, one step, one agent at a time, straight from the equations."""

from __future__ import annotations

import torch

from baselines.value_based.learner import QNetwork
from baselines.value_based.mixers import JointChoice
from baselines.value_based.store import Episode


def q_values(network: QNetwork, episode: Episode) -> torch.Tensor:
    """(L + 1, n, A), with `torch.nn.GRUCell` from a zero state."""
    steps, n = episode.actions.shape
    agent, result = network.agent, []
    for i in range(n):
        h = torch.zeros(1, agent.hidden_size)
        column = []
        for t in range(steps + 1):
            last = torch.zeros(agent.n_actions)
            if t:
                last[episode.actions[t - 1, i]] = 1.0
            x = torch.cat([torch.from_numpy(episode.obs[t, i]), last, torch.eye(n)[i]])
            h = agent.rnn(torch.relu(agent.encoder(x[None])), h)
            column.append(agent.head(h)[0])
        result.append(torch.stack(column))
    return torch.stack(result, dim=1)


def squared_errors(live: QNetwork, target: QNetwork, episode: Episode, gamma: float) -> torch.Tensor:
    """(L, G) squared TD errors with double Q; G = n for independent agents, else 1."""
    steps, n = episode.actions.shape
    state, avail, q = torch.from_numpy(episode.state), torch.from_numpy(episode.avail), q_values(live, episode)
    with torch.no_grad():
        q_target = q_values(target, episode)
    errors = []
    for t in range(steps):
        value = live.mixer(JointChoice(q[t], avail[t], torch.from_numpy(episode.actions[t]), state[t]))
        y = torch.tensor(float(episode.reward[t])).expand(value.shape)
        if t < steps - 1 or not episode.terminated:
            best = []
            for i in range(n):
                legal = [a for a in range(q.shape[-1]) if episode.avail[t + 1, i, a]]
                best.append(max(legal, key=lambda a: q[t + 1, i, a].item()))
            with torch.no_grad():
                y = y + gamma * target.mixer(
                    JointChoice(q_target[t + 1], avail[t + 1], torch.tensor(best), state[t + 1])
                )
        errors.append((value - y) ** 2)
    return torch.stack(errors)
