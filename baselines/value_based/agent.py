"""The recurrent Q network shared by all agents (DRQN; as in PyMARL): Linear, ReLU, GRU, Linear.

Inputs of agent i at step t: its observation, the one-hot of its own last action (zero at t = 0), the one-hot of i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from baselines.value_based.config import AgentConfig, ValueConfig
from baselines.value_based.gru import gru_sequence
from envs.interface import EnvInfo

NO_ACTION = -1  # last action at the first step of an episode


class RecurrentTrunk(nn.Module):
    """Everything but the last layer: a hidden state of one agent from what it has seen since the episode's start."""

    def __init__(self, info: EnvInfo, config: AgentConfig) -> None:
        super().__init__()
        self.n_agents, self.n_actions = info.n_agents, info.n_actions
        self.last_action, self.agent_id = config.last_action, config.agent_id
        self.hidden_size = config.hidden_size
        self.input_size = info.obs_size + config.last_action * info.n_actions + config.agent_id * info.n_agents
        self.encoder = nn.Linear(self.input_size, config.hidden_size)
        self.rnn = nn.GRUCell(config.hidden_size, config.hidden_size)
        no_action = torch.zeros(1, info.n_actions)
        self.action_rows: Tensor  # (A + 1, A): row 0 for NO_ACTION, row a + 1 the one-hot of a
        self.id_rows: Tensor  # (n, n)
        self.register_buffer("action_rows", torch.cat([no_action, torch.eye(info.n_actions)]), persistent=False)
        self.register_buffer("id_rows", torch.eye(info.n_agents), persistent=False)

    def inputs(self, obs: Tensor, last_action: Tensor) -> Tensor:
        """Network inputs.

        Args:
          obs: (..., n, O) float32.    last_action: (..., n) int64, NO_ACTION at the start of an episode.
        Returns: (..., n, D) float32.
        """
        parts = [obs]
        if self.last_action:
            parts.append(self.action_rows[last_action + 1])
        if self.agent_id:
            parts.append(self.id_rows.expand(*obs.shape[:-1], self.n_agents))
        return torch.cat(parts, -1)

    def step_hidden(self, inputs: Tensor, hidden: Tensor) -> Tensor:
        """One step. inputs: (N, D), hidden: (N, H). Returns: the next hidden state (N, H)."""
        following: Tensor = self.rnn(self.encoder(inputs).relu_(), hidden)
        return following

    def unroll_hidden(self, inputs: Tensor, counts: Sequence[int]) -> Tensor:
        """Whole episodes from a zero hidden state.

        Args:
          inputs: (R, n, D) of packed episodes (see `store.EpisodeBatch`).    counts: episodes at each step, R in all.
        Returns: hidden states after each row (R, n, H).
        """
        rows, n, _ = inputs.shape
        encoded = self.encoder(inputs.flatten(0, 1)).relu_()  # (R n, H)
        projected = nn.functional.linear(encoded, self.rnn.weight_ih, self.rnn.bias_ih)
        hidden = gru_sequence(projected, self.rnn.weight_hh, self.rnn.bias_hh, [n * count for count in counts])
        return hidden.view(rows, n, self.hidden_size)


class RecurrentAgent(RecurrentTrunk):
    """Q values of one agent from what it has seen since the start of the episode."""

    def __init__(self, info: EnvInfo, config: AgentConfig) -> None:
        super().__init__(info, config)
        self.head = nn.Linear(config.hidden_size, info.n_actions)

    def step(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step of N = B n agents. inputs: (N, D), hidden: (N, H). Returns: Q (N, A) and the next hidden state."""
        hidden = self.step_hidden(inputs, hidden)
        return self.values(hidden.unflatten(0, (-1, self.n_agents))).flatten(0, 1), hidden

    def unroll(self, inputs: Tensor, counts: Sequence[int]) -> Tensor:
        """Q values (R, n, A) of whole episodes; arguments as of `unroll_hidden`."""
        return self.values(self.unroll_hidden(inputs, counts))

    def values(self, hidden: Tensor) -> Tensor:
        """Q values (B, n, A) of hidden states (B, n, H)."""
        return self.with_penalty(hidden)[0]

    def with_penalty(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Q values (B, n, A) of hidden states (B, n, H), and a scalar for the loss, None for no such term."""
        return self.head(hidden), None


def recurrent_agent(config: ValueConfig, info: EnvInfo) -> RecurrentAgent:
    """The agent of all value-based learners that bring none of their own."""
    return RecurrentAgent(info, config.agent)
