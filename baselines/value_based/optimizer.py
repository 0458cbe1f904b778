"""The optimisers that the value-based family's settings name."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import torch
from torch import nn

from baselines.optimizer import FlatParameters

RMSPROP_SMOOTHING = 0.99  # alpha of PyMARL's RMSprop


class StepConfig(Protocol):
    """The settings that are read here, of `config.LearningConfig` or of another section that has them."""

    @property
    def optimizer(self) -> str:
        """`rmsprop` or `adam`."""

    @property
    def learning_rate(self) -> float:
        """Step size."""

    @property
    def optimizer_epsilon(self) -> float:
        """Added to the denominator."""

    @property
    def grad_clip(self) -> float:
        """Largest global gradient norm."""


class FlatOptimizer(FlatParameters):
    """Clips the global gradient norm and takes the steps of the optimiser a config names.

    Args:
      network: on its device already; its parameters are moved into one array and their gradients into another.
      config: optimiser, step size and norm.
    """

    def __init__(self, network: nn.Module, config: StepConfig) -> None:
        super().__init__(network, partial(_make, config), grad_clip=config.grad_clip)


def _make(config: StepConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, eps=config.optimizer_epsilon)
    return torch.optim.RMSprop(
        parameters, lr=config.learning_rate, alpha=RMSPROP_SMOOTHING, eps=config.optimizer_epsilon
    )
