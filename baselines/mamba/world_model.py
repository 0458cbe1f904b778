"""The world model (MAMBA, section 4): DreamerV2's recurrent state with attention between agents in the transition.

    h_t = GRU(attention(ReLU(W [a_{t-1}, z_{t-1}] + b)), h_{t-1})     prior p(z_t | h_t)     posterior q(z_t | h_t, e_t)

One set of weights serves all agents, each with latents z (see `codes.py`) and h of its own. Row r of an array with R
rows is agent r % n of team r // n.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.mamba.attention import AgentAttention, LayerKeep, xavier
from baselines.mamba.codes import code_linear, draw_codes
from baselines.mamba.config import LARGEST_TEAM, ModelConfig
from envs.interface import EnvInfo

NO_ACTION = -1  # last action at the first step of an episode


class State(NamedTuple):
    """Latent states of R rows: features of every head."""

    codes: Tensor  # (R, K) int32
    deter: Tensor  # (R, H), h
    probs: Tensor | None = None  # (R, Z), what the codes were drawn from, where gradients are to reach it


class Observed(NamedTuple):
    """T steps of recorded sequences. The last one has no posterior: its h belongs to the transition before it."""

    deter: Tensor  # (T, R, H)
    codes: Tensor  # (T - 1, R, K) int32
    probs: Tensor  # (T - 1, R, Z) posterior


class Tables(NamedTuple):
    """Transposed weights of the transition's input layer, made once per use."""

    action: Tensor  # (A + 1, H), row 0 for NO_ACTION, the bias added
    latent: Tensor  # (Z, H)


class FeatureLinear(nn.Linear):
    """A linear layer on features (z, h), z in the first columns."""

    def __init__(self, latent: int, size: int) -> None:
        super().__init__(latent + size, size)
        self.latent = latent

    def forward(self, state: State) -> Tensor:  # type: ignore[override]
        """Returns: (R, H)."""
        table = self.weight[:, : self.latent].t().contiguous()
        return code_linear(table, state.codes, state.probs) + F.linear(
            state.deter, self.weight[:, self.latent :], self.bias
        )


class FeatureNet(nn.Module):
    """Two hidden layers on features (z, h), then a linear one."""

    def __init__(self, latent: int, size: int, outputs: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.first = FeatureLinear(latent, size)
        self.rest = nn.Sequential(activation(), nn.Linear(size, size), activation(), nn.Linear(size, outputs))

    def forward(self, state: State) -> Tensor:
        """Returns: (R, outputs) float32."""
        return self.rest(self.first(state)).float()


class WorldModel(nn.Module):
    """Encoder, transition, prior, posterior, and the heads that read features.

    Args: positions: False leaves agents' indices out of the attention.
    """

    def __init__(self, info: EnvInfo, config: ModelConfig, *, positions: bool = True) -> None:
        super().__init__()
        if info.n_agents > LARGEST_TEAM:
            raise ValueError(
                f"mamba has positions for {LARGEST_TEAM} agents, got {info.n_agents} on {info.name}: use another map"
            )
        size, classes, kinds = config.hidden_size, config.classes, config.categoricals
        latent, actions = kinds * classes, info.n_actions
        self.n_agents, self.n_actions, self.size, self.latent = info.n_agents, actions, size, latent
        self.categoricals, self.classes, self.dropout = kinds, classes, config.dropout
        relu, elu = nn.ReLU, nn.ELU
        self.encoder = nn.Sequential(
            *(nn.Linear(info.obs_size, size), relu(), nn.Linear(size, size), relu()),
            *(nn.Linear(size, size), relu(), nn.Linear(size, size)),
        )
        self.input = nn.Linear(actions + latent, size)
        self.attention = AgentAttention(size, config.heads, config.attention_layers, positions=positions)
        self.cell = nn.GRUCell(size, size)
        self.prior = nn.Sequential(nn.Linear(size, size), relu(), nn.Linear(size, latent))
        self.posterior_in, self.posterior_out = nn.Linear(2 * size, size), nn.Linear(size, latent)
        self.decoder = FeatureNet(latent, size, size, relu)  # its ReLU'd outputs d are what the next two read
        self.observation = nn.Linear(size, info.obs_size)
        self.information = nn.Sequential(
            *(nn.Linear(size, size), elu(), nn.Linear(size, size), relu(), nn.Linear(size, actions))
        )
        self.reward = FeatureNet(latent, size, 1, elu)
        self.continuation = FeatureNet(latent, size, 1, elu)  # logit of going on
        self.legality = FeatureNet(latent, size, actions, elu)  # logits of being legal
        xavier(self)

    def observe(
        self,
        obs: Tensor,
        last_action: Tensor,
        last: Tensor,
        uniforms: Tensor,
        keep: list[list[LayerKeep]] | None = None,
    ) -> Observed:
        """Latent states of recorded sequences, from zeros.

        Args:
          obs: (T, B, n, O).    last_action: (T, B, n) int64, taken before obs; NO_ACTION: none.
          last: (T, B) float, 1 where a step is an episode's last: the state is zeroed behind it.
          uniforms: (T - 1, B n, K) draws of the posterior.    keep: dropout by time and layer, or None.
        """
        steps, batch, n, _ = obs.shape
        rows = batch * n
        into = self.posterior_in
        embedded = self.encoder(obs[:-1].flatten(0, 2))
        embedded = F.linear(embedded, into.weight[:, self.size :], into.bias).view(steps - 1, rows, self.size)
        from_deter = into.weight[:, : self.size]
        tables = self.tables()
        action = last_action.view(steps, rows)
        alive = (1.0 - last).repeat_interleave(n, 1).unsqueeze(-1)  # (T, R, 1)
        deter, latent = embedded.new_zeros(rows, self.size, dtype=torch.float32), None
        deters: list[Tensor] = []
        codes: list[Tensor] = []
        probs: list[Tensor] = []
        for t in range(steps):
            if t:
                latent = code_linear(tables.latent, codes[-1], probs[-1]) * alive[t - 1]
                deter = deter * alive[t - 1]
            deter = self._transit(tables.action, action[t], latent, deter, None if keep is None else keep[t])
            deters.append(deter)
            if t < steps - 1:
                hidden = (F.linear(deter, from_deter) + embedded[t]).relu()
                probs.append(self._probabilities(self.posterior_out(hidden)))
                codes.append(draw_codes(probs[-1].view(rows, self.categoricals, self.classes), uniforms[t]))
        return Observed(torch.stack(deters), torch.stack(codes), torch.stack(probs))

    def tables(self) -> Tables:
        """Weights as `advance` wants them."""
        weight, bias = self.input.weight, self.input.bias
        action = torch.cat([torch.zeros_like(weight[:, :1]), weight[:, : self.n_actions]], 1).t() + bias
        return Tables(action.contiguous(), weight[:, self.n_actions :].t().contiguous())

    def advance(self, tables: Tables, state: State, action: Tensor, alive: Tensor | None = None) -> Tensor:
        """The next h.

        Args:
          state: R rows.    action: (R,) int64.
          alive: (R, 1) float or None: 0 where an episode begins, so that the state before it is zero.
        Returns: (R, H).
        """
        latent, deter = code_linear(tables.latent, state.codes, state.probs), state.deter
        if alive is not None:
            latent, deter = latent * alive, deter * alive
        return self._transit(tables.action, action, latent, deter, None)

    def prior_probs(self, deter: Tensor) -> Tensor:
        """p(z | h). deter: (R, H). Returns: (R, Z) float32."""
        return self._probabilities(self.prior(deter))

    def posterior_probs(self, deter: Tensor, obs: Tensor) -> Tensor:
        """q(z | h, o). deter: (R, H), obs: (R, O). Returns: (R, Z) float32."""
        hidden = self.posterior_in(torch.cat([deter, self.encoder(obs)], -1)).relu()
        return self._probabilities(self.posterior_out(hidden))

    def reconstruct(self, state: State) -> tuple[Tensor, Tensor]:
        """The observation (R, O), and the features d (R, H) it is read from."""
        features = self.decoder(state).relu()
        return self.observation(features).float(), features

    def _transit(
        self, table: Tensor, action: Tensor, latent: Tensor | None, deter: Tensor, keep: list[LayerKeep] | None
    ) -> Tensor:
        x = F.embedding(action + 1, table)
        x = (x if latent is None else x + latent).relu()
        x = self.attention(x.view(-1, self.n_agents, self.size), keep).view(-1, self.size)
        cell = self.cell
        from_x = F.linear(x, cell.weight_ih, cell.bias_ih).float()
        from_h = F.linear(deter, cell.weight_hh, cell.bias_hh).float()
        gates = torch.sigmoid(from_x[:, : 2 * self.size] + from_h[:, : 2 * self.size])
        reset, update = gates.split(self.size, 1)
        candidate = torch.tanh(torch.addcmul(from_x[:, 2 * self.size :], reset, from_h[:, 2 * self.size :]))
        return torch.lerp(candidate, deter, update)

    def _probabilities(self, logits: Tensor) -> Tensor:
        shaped = logits.float().unflatten(-1, (self.categoricals, self.classes))
        return shaped.softmax(-1).flatten(-2)
