"""The two predictors of an agent's next observation: p from what it remembers, sees and does, q from its index too.

Both are multi-layer perceptrons; q sees the index twice, beside its input and beside its first hidden layer. Each
learns by squared error, once over the rows of a batch in minibatches (arXiv 2106.02195; sizes and steps of its code).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from baselines.cds.config import PredictorConfig
from baselines.cds.rewards import log_density
from baselines.value_based.optimizer import FlatOptimizer


class Predictor(nn.Module):
    """Linear, ReLU, Linear, ReLU, Linear. Weights begin as Xavier's uniform ones, biases at zero.

    Args:
      inputs, outputs: sizes of a row and of an observation.
      n_agents: entries of the index that is shown, 0 for the predictor that does not see it.
    """

    def __init__(self, inputs: int, outputs: int, config: PredictorConfig, *, n_agents: int = 0) -> None:
        super().__init__()
        width = config.hidden_size
        self.first = nn.Linear(inputs + n_agents, width)
        self.second = nn.Linear(width + n_agents, width)
        self.last = nn.Linear(width, outputs)
        for layer in (self.first, self.second, self.last):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.index_rows: Tensor  # (n, n) one-hots, (1, 0) if there is nothing to see
        self.register_buffer("index_rows", torch.eye(n_agents) if n_agents else torch.zeros(1, 0), persistent=False)
        self.n_agents = n_agents

    def forward(self, x: Tensor, agents: Tensor) -> Tensor:
        """x: (N, D) rows, agents: (N,) int64 whose they are. Returns: (N, O)."""
        if self.n_agents:
            index = self.index_rows[agents]
            hidden = self.first(torch.cat([x, index], -1)).relu_()
            return self.last(self.second(torch.cat([hidden, index], -1)).relu_())
        return self.last(self.second(self.first(x).relu_()).relu_())


def minibatches(generator: np.random.Generator, *, rows: int, cells: int, size: int) -> Iterator[np.ndarray]:
    """The rows of each gradient step of one pass: a random order of all cells, cut into pieces of `size`.

    The authors' batches are filled up to their longest episode, and a piece may hold any number of real rows. So here:
    cells are drawn, those from `rows` on are padding and left out, and a piece of nothing else is no step (there, its
    loss would be 0 / 0).

    Returns: index arrays below `rows`; each row is in exactly one.
    """
    order = generator.permutation(cells)
    for start in range(0, cells, size):
        piece = order[start : start + size]
        real = piece[piece < rows]
        if len(real):
            yield real


def learn(optimizer: FlatOptimizer, predictor: Predictor, x: Tensor, agents: Tensor, observation: Tensor) -> Tensor:
    """One gradient step on the mean squared distance. x: (N, D), observation: (N, O). Returns: the loss before it."""
    loss = -log_density(predictor(x, agents), observation).mean()
    optimizer.step(loss)
    return loss.detach()
