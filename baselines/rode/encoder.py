"""Action representations: what an action does to the agent's next observation and to the reward (RODE, section 3.1).

    z_a = encoder(one-hot of a)
    o'_i, r = decoders(context(o_i, actions of the others), z_{a_i})
    loss = mean |o'_i predicted - o'_i| + 10 mean (r predicted - r)^2,   means over steps and agents

The representations are the rows of one small table: it is computed once and looked up for every agent and step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from baselines.rode.config import EncoderConfig
from baselines.value_based.qplex import two_layers
from envs.interface import EnvInfo


class ActionEncoder(nn.Module):
    """The representations of all actions and the forward model they are learned by."""

    def __init__(self, info: EnvInfo, config: EncoderConfig) -> None:
        super().__init__()
        n, state, action = info.n_agents, config.state_size, config.action_size
        self.obs_size, self.n_actions = info.obs_size, info.n_actions
        self.context = nn.Linear(info.obs_size + (n - 1) * info.n_actions, 2 * state)
        self.context_out = nn.Linear(2 * state, state)
        self.next_obs = two_layers(state + action, state, info.obs_size)
        self.action = two_layers(info.n_actions, 2 * state, action)
        self.reward = two_layers(state + action, state, 1)
        # The k-th team mate of agent i, and where the k-th one-hot begins among the inputs.
        others = torch.tensor([[j for j in range(n) if j != i] for i in range(n)], dtype=torch.int64)
        self.others: Tensor  # (n, n - 1)
        self.places: Tensor  # (n - 1,)
        self.one_hots: Tensor  # (A, A)
        self.register_buffer("others", others.view(n, n - 1), persistent=False)
        self.register_buffer("places", info.n_actions * torch.arange(n - 1), persistent=False)
        self.register_buffer("one_hots", torch.eye(info.n_actions), persistent=False)

    def representations(self) -> Tensor:
        """z of every action, (A, D)."""
        z: Tensor = self.action(self.one_hots)
        return z

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions of what follows.

        Args: obs: (M, n, O).    actions: (M, n) int64, of all agents.
        Returns: next observations (M, n, O) and rewards (M, n).
        """
        by_obs, by_actions = self.context.weight[:, : self.obs_size], self.context.weight[:, self.obs_size :]
        hidden = nn.functional.linear(obs, by_obs, self.context.bias)
        if len(self.places):  # a one-hot picks a column of the weights: summing these is the product, without one-hots
            columns = (actions[:, self.others] + self.places).flatten(0, 1)  # (M n, n - 1)
            hidden = hidden + nn.functional.embedding_bag(columns, by_actions.t(), mode="sum").view_as(hidden)
        together = torch.cat([self.context_out(hidden.relu()), self.representations()[actions]], -1)
        return self.next_obs(together), self.reward(together).squeeze(-1)


def encoder_loss(
    encoder: ActionEncoder, obs: Tensor, actions: Tensor, next_obs: Tensor, reward: Tensor, *, reward_weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """How far the predictions are off.

    Args: obs, next_obs: (M, n, O).    actions: (M, n) int64.    reward: (M,), of the team: every agent predicts it.
    Returns: the scalar loss, and its two parts for the log.
    Source: RODE (arXiv 2010.01523), equation 1; the norm is not squared and the weight is 10, as in the authors' code.
    """
    obs_pred, reward_pred = encoder(obs, actions)
    obs_error = torch.linalg.vector_norm(obs_pred - next_obs, dim=-1).mean()
    reward_error = ((reward_pred - reward.unsqueeze(-1)) ** 2).mean()
    log = {"encoder_obs_error": obs_error.detach(), "encoder_reward_error": reward_error.detach()}
    return obs_error + reward_weight * reward_error, log
