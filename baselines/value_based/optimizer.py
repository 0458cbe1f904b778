"""The optimisers that the value-based family's settings name."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from baselines.optimizer import FlatParameters
from baselines.value_based.config import LearningConfig

RMSPROP_SMOOTHING = 0.99  # alpha of PyMARL's RMSprop


class FlatOptimizer(FlatParameters):
    """Clips the global gradient norm and takes the steps of the optimiser a config names.

    Args:
      network: on its device already; its parameters are moved into one array and their gradients into another.
      config: optimiser, step size and norm.
    """

    def __init__(self, network: nn.Module, config: LearningConfig) -> None:
        super().__init__(network, partial(_make, config), grad_clip=config.grad_clip)


def _make(config: LearningConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, eps=config.optimizer_epsilon)
    return torch.optim.RMSprop(
        parameters, lr=config.learning_rate, alpha=RMSPROP_SMOOTHING, eps=config.optimizer_epsilon
    )
