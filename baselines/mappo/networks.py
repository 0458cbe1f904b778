"""Actor and critic: LayerNorm, two hidden layers (Linear, ReLU, LayerNorm), GRU and LayerNorm unless "mlp", Linear.

A LayerNorm is followed by a linear layer everywhere, so gain and bias of the former are folded into the weights of the
latter: LN(x) W' + b = x^ (gain * W)' + (W bias + b) with x^ the standardised x. That saves passes over large arrays;
parameters and values are those of the plain layers. Standardised inputs x^ of a whole round are computed once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.mappo.config import NetworkConfig
from baselines.mappo.gru import masked_gru

ILLEGAL = -1e10  # logit of illegal actions; their probability is exactly 0 in float32


def standardize(x: Tensor) -> Tensor:
    """x^: a LayerNorm over the last axis without gain and bias."""
    return F.layer_norm(x, x.shape[-1:])


def after_norm(x_hat: Tensor, norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> Tensor:
    """Linear layer (`weight`, `bias`) behind LayerNorm `norm`, given the standardised input."""
    return F.linear(x_hat, weight * norm.weight, torch.addmv(bias, weight, norm.bias))


class Network(nn.Module):
    """One network, shared by all agents. It keeps no hidden state.

    Args:
      inputs: D, all frames together.    outputs: number of outputs.    gain: of the output layer's initial weights.
    """

    def __init__(self, inputs: int, outputs: int, config: NetworkConfig, *, gain: float) -> None:
        super().__init__()
        size = self.hidden_size = config.hidden_size
        self.norm_input = nn.LayerNorm(inputs)
        self.layer_1, self.norm_1 = nn.Linear(inputs, size), nn.LayerNorm(size)
        self.layer_2, self.norm_2 = nn.Linear(size, size), nn.LayerNorm(size)
        self.rnn: nn.GRUCell | None = None
        if config.kind == "rnn":
            self.rnn, self.norm_3 = nn.GRUCell(size, size), nn.LayerNorm(size)
            for matrix in (self.rnn.weight_ih, self.rnn.weight_hh):
                nn.init.orthogonal_(matrix)
            for vector in (self.rnn.bias_ih, self.rnn.bias_hh):
                nn.init.zeros_(vector)
        self.head = nn.Linear(size, outputs)
        for layer, scale in ((self.layer_1, math.sqrt(2)), (self.layer_2, math.sqrt(2)), (self.head, gain)):
            nn.init.orthogonal_(layer.weight, scale)
            nn.init.zeros_(layer.bias)

    def step(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step. x: (R, D), hidden: (R, H). Returns: outputs (R, O), hidden states after the step (R, H)."""
        encoded = self._encode(standardize(x))
        if self.rnn is None:
            return after_norm(encoded, self.norm_2, self.head.weight, self.head.bias), hidden
        hidden = self.rnn(encoded * self.norm_2.weight + self.norm_2.bias, hidden)
        return after_norm(standardize(hidden), self.norm_3, self.head.weight, self.head.bias), hidden

    def unroll(self, x_hat: Tensor, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """N sequences of L steps.

        Args:
          x_hat: (L, N, D) standardised inputs.    hidden: (N, H) before the first step.
          mask: (L, N) float, 0 where an episode begins: the hidden state before that step is 0.
        Returns: outputs (L, N, O) and hidden states after each step (L, N, H), zeros without a GRU.
        """
        encoded = self._encode(x_hat)
        if self.rnn is None:
            states = hidden.new_zeros(1, 1, 1).expand(*x_hat.shape[:2], self.hidden_size)
            return after_norm(encoded, self.norm_2, self.head.weight, self.head.bias), states
        gates, candidate = self.rnn.bias_hh.split([2 * self.hidden_size, self.hidden_size])
        bias = self.rnn.bias_ih + F.pad(gates, (0, self.hidden_size))
        projected = after_norm(encoded, self.norm_2, self.rnn.weight_ih, bias)
        states = masked_gru(projected, hidden, mask, self.rnn.weight_hh, candidate)
        return after_norm(standardize(states), self.norm_3, self.head.weight, self.head.bias), states

    def _encode(self, x_hat: Tensor) -> Tensor:
        """Both hidden layers; their last LayerNorm lacks gain and bias."""
        x = after_norm(x_hat, self.norm_input, self.layer_1.weight, self.layer_1.bias)
        x = after_norm(standardize(x.relu_()), self.norm_1, self.layer_2.weight, self.layer_2.bias)
        return standardize(x.relu_())


def log_policy(logits: Tensor, avail: Tensor) -> Tensor:
    """Log-probabilities (..., A) of actions; illegal ones get about -1e10. avail: (..., A) bool."""
    return torch.where(avail, logits, ILLEGAL).log_softmax(-1)
