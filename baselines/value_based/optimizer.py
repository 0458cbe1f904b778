"""Gradient steps on all parameters at once: as views of one array they need one operation where they needed many."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

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


class FlatOptimizer:
    """Clips the global gradient norm and takes the steps of the optimiser a config names.

    Args:
      network: on its device already; its parameters are moved into one array and their gradients into another.
      config: optimiser, step size and norm.
    """

    def __init__(self, network: nn.Module, config: StepConfig) -> None:
        parameters = list(network.parameters())
        self._clip = config.grad_clip
        if not parameters:
            raise ValueError("network must have parameters, got none: there is nothing to train")
        self._flat = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))
        self._gradient = torch.zeros_like(self._flat)
        self._flat.grad = self._gradient
        sizes = [p.numel() for p in parameters]
        views = zip(parameters, self._flat.detach().split(sizes), self._gradient.split(sizes))
        for parameter, values, gradient in views:
            parameter.data = values.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)  # backward() adds to what it finds here
        self._optimizer = _make([self._flat], config)

    def step(self, loss: Tensor) -> Tensor:
        """Go down the gradient of `loss`. Returns: its global norm before clipping, a scalar."""
        self._gradient.zero_()
        loss.backward()
        norm = self._gradient.norm()
        self._gradient.mul_((self._clip / (norm + 1e-6)).clamp(max=1.0))  # as torch.nn.utils.clip_grad_norm_
        self._optimizer.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """State of the optimiser; the parameters are those of the network."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._optimizer.load_state_dict(state)


def _make(parameters: list[nn.Parameter], config: StepConfig) -> torch.optim.Optimizer:
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, eps=config.optimizer_epsilon)
    return torch.optim.RMSprop(
        parameters, lr=config.learning_rate, alpha=RMSPROP_SMOOTHING, eps=config.optimizer_epsilon
    )
