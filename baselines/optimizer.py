"""Gradient steps on all parameters at once: as views of one array they need one operation where they needed many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class FlatParameters:
    """Clips the global gradient norm of a network and takes the steps of an optimiser.

    Args:
      network: on its device already; its parameters are moved into one array and their gradients into another.
      make: the optimiser of a list of parameters.
      grad_clip: largest global gradient norm.
      norm_type: what that norm is added up in; None: as the gradient is. Millions of float32 squares in a row lose
        its fourth digit.
    """

    def __init__(
        self,
        network: nn.Module,
        make: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
        *,
        grad_clip: float,
        norm_type: torch.dtype | None = None,
    ) -> None:
        parameters = list(network.parameters())
        self._clip, self._norm_type = grad_clip, norm_type
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
        self._optimizer = make([self._flat])

    def step(self, loss: Tensor) -> Tensor:
        """Go down the gradient of `loss`. Returns: its global norm before clipping, a scalar."""
        self._gradient.zero_()
        loss.backward()
        norm = torch.linalg.vector_norm(self._gradient, dtype=self._norm_type).to(self._gradient.dtype)
        self._gradient.mul_((self._clip / (norm + 1e-6)).clamp(max=1.0))  # as torch.nn.utils.clip_grad_norm_
        self._optimizer.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        """State of the optimiser; the parameters are those of the network."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._optimizer.load_state_dict(state)
