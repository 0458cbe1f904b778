"""Settings of CDS: those of QPLEX, and what it adds. Values come from `presets/*.yaml`; sources are noted there."""

from __future__ import annotations

from dataclasses import dataclass, field

from baselines.checks import at_least, one_of, positive
from baselines.value_based.config import OPTIMIZERS, QplexConfig


@dataclass(frozen=True)
class DiversityConfig:
    """What agents get for being different, and what their own heads cost."""

    beta: float = 0.05
    """Factor of the intrinsic reward in the target."""
    beta1: float = 0.5
    """Factor of log q in the intrinsic reward, and of the Q values in the softmax that is an agent's policy there."""
    beta2: float = 0.5
    """Factor of the divergence of policies in the intrinsic reward."""
    local_penalty: float = 0.1
    """Factor of the mean absolute value of the agents' own heads in the loss (lambda)."""
    anneal_rate: float = 0.0
    """Share of the intrinsic reward that goes per million environment steps, until none is left; 0: none goes."""
    anneal_after: int = 1_000_000
    """Environment steps after which it begins to fall."""

    def __post_init__(self) -> None:
        names = ("beta", "beta1", "beta2", "local_penalty", "anneal_rate", "anneal_after")
        at_least("diversity", 0, **{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class PredictorConfig:
    """The two networks that predict an agent's next observation, one without and one with its index."""

    hidden_size: int = 128
    """Width of their two hidden layers."""
    minibatch: int = 256
    """Rows (agent and step, padding counted) of one gradient step; every update passes once over its episodes."""
    optimizer: str = "adam"
    """`adam` (PyTorch's betas) or `rmsprop` (smoothing 0.99)."""
    learning_rate: float = 1e-3
    """Step size."""
    optimizer_epsilon: float = 1e-8
    """Added to the denominator of the optimiser."""
    grad_clip: float = 1.0
    """Largest global gradient norm of each."""

    def __post_init__(self) -> None:
        at_least("predictor", 1, hidden_size=self.hidden_size, minibatch=self.minibatch)
        one_of("predictor", OPTIMIZERS, optimizer=self.optimizer)
        scales = ("learning_rate", "optimizer_epsilon", "grad_clip")
        positive("predictor", **{name: getattr(self, name) for name in scales})


@dataclass(frozen=True)
class CdsConfig(QplexConfig):
    """Settings of CDS."""

    diversity: DiversityConfig = field(default_factory=DiversityConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
