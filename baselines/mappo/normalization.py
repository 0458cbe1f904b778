"""Scaling of value targets: running moments of the returns (ValueNorm) and PopArt, which keeps the output in step.

PopArt: van Hasselt et al. 2016 (arXiv 1602.07714).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

BETA = 0.99999  # weight of the past per update
VARIANCE_FLOOR = 0.01


class ValueNorm:
    """Running mean and mean square of everything it was shown, debiased by the weight accumulated so far."""

    def __init__(self) -> None:
        self._mean = self._mean_square = self._weight = 0.0

    @property
    def mean(self) -> float:
        """Mean of the returns; 0 before the first update."""
        return self._mean / self._weight if self._weight else 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of the returns, at least 0.1 (and 0.1 before the first update)."""
        variance = self._mean_square / self._weight - self.mean**2 if self._weight else 0.0
        return math.sqrt(max(variance, VARIANCE_FLOOR))

    def update(self, returns: np.ndarray) -> None:
        """Count a batch of returns, of any shape, once."""
        wide = returns.astype(np.float64)
        self._mean = BETA * self._mean + (1 - BETA) * float(wide.mean())
        self._mean_square = BETA * self._mean_square + (1 - BETA) * float((wide * wide).mean())
        self._weight = BETA * self._weight + (1 - BETA)

    def normalize(self, x: Any) -> Any:
        """From reward units (array or tensor)."""
        return (x - self.mean) / self.deviation

    def denormalize(self, x: Any) -> Any:
        """To reward units."""
        return x * self.deviation + self.mean

    def state_dict(self) -> dict[str, float]:
        """The moments."""
        return {"mean": self._mean, "mean_square": self._mean_square, "weight": self._weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Put back what `state_dict` returned."""
        self._mean, self._mean_square, self._weight = state["mean"], state["mean_square"], state["weight"]


class PopArt(ValueNorm):
    """ValueNorm that rescales the output layer at every update, so that values in reward units do not jump.

    W <- W s_old / s_new, b <- (s_old b + m_old - m_new) / s_new, in place: the optimiser keeps its parameters.
    """

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self._head = head

    def update(self, returns: np.ndarray) -> None:
        """Count a batch of returns, and keep the output."""
        mean, deviation = self.mean, self.deviation
        super().update(returns)
        with torch.no_grad():
            self._head.weight.mul_(deviation / self.deviation)
            self._head.bias.mul_(deviation).add_(mean - self.mean).div_(self.deviation)


class NoNorm(ValueNorm):
    """Values in reward units: nothing is scaled."""

    mean = 0.0
    deviation = 1.0


def make_norm(name: str, head: nn.Linear) -> ValueNorm:
    """The normaliser a config names, for a critic with output layer `head`."""
    if name == "popart":
        return PopArt(head)
    return ValueNorm() if name == "valuenorm" else NoNorm()
