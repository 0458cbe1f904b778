"""CDS's agent: a recurrent network that all agents share, and a linear head of each agent's own beside the shared one.

    Q_i(tau_i, a) = Q_shared(g, a) + Q_local,i(g, a),   g the GRU's state of agent i    (arXiv 2106.02195)

The local values cost lambda times their mean absolute value, so that agents differ where it pays only.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.cds.config import CdsConfig
from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import AgentConfig
from envs.interface import EnvInfo


class LocalHeads(nn.Module):
    """One linear layer per agent. Weights (n, H, A) and biases (n, 1, A) begin as those of `nn.Linear`."""

    def __init__(self, n_agents: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(n_agents, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_agents, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, n, H), each agent's for its own layer. Returns: (B, n, A)."""
        return torch.baddbmm(self.bias, x.transpose(0, 1), self.weight).transpose(0, 1)


class DiverseAgent(RecurrentAgent):
    """The recurrent agent with local heads."""

    def __init__(self, info: EnvInfo, config: AgentConfig, *, local_penalty: float) -> None:
        super().__init__(info, config)
        self.local_penalty = local_penalty
        self.local_heads = LocalHeads(info.n_agents, config.hidden_size, info.n_actions)

    def with_penalty(self, memories: Tensor) -> tuple[Tensor, Tensor]:
        """Q values (B, n, A) of hidden states (B, n, H), and lambda times the mean absolute local value."""
        local = self.local_heads(memories)
        return self.head(memories) + local, self.local_penalty * local.abs().mean()


def diverse_agent(config: CdsConfig, info: EnvInfo) -> DiverseAgent:
    """The agent of CDS for an environment."""
    return DiverseAgent(info, config.agent, local_penalty=config.diversity.local_penalty)
