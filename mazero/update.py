"""One step of the optimiser, on a GPU as one CUDA graph, and an average of the weights that steps leave."""

from __future__ import annotations

import copy
from dataclasses import fields

import torch
from torch import Tensor

from mazero.captured import Captured
from mazero.config import MAZeroConfig
from mazero.losses import Batch, batch_loss
from mazero.networks import MAZeroNetwork
from mazero.optimiser import clip_gradients
from training.errors import require_finite

NAMES = tuple(field.name for field in fields(Batch))


def optimise(
    network: MAZeroNetwork, optimiser: torch.optim.Optimizer, batch: Batch, config: MAZeroConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step on `batch` with clipped gradients; the network is in training mode.

    Returns: predicted root values (B,) before the step, and scalars () to log.
    Raises: Diverged if the gradient is not finite.
    """
    predicted, scalars = _gradient(network, optimiser, batch, config)
    require_finite({name: scalars[name].item() for name in ("loss", "gradient_norm")})
    optimiser.step()
    return predicted, scalars


def _gradient(
    network: MAZeroNetwork, optimiser: torch.optim.Optimizer, batch: Batch, config: MAZeroConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """Leaves the clipped gradient in the parameters. Returns: as `optimise`."""
    settings = config.optimiser
    with torch.autocast(batch.obs.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        loss, predicted, scalars = batch_loss(network, batch, config.loss)
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    norm = clip_gradients(parameters, settings.gradient_norm)
    return predicted, scalars | {"gradient_norm": norm, "value_target": batch.value[:, 0].mean()}


class Optimise:
    """`optimise` for one network, step after step. Batches have the same shapes.

    On a GPU a step is one CUDA graph, unless the learning rate changes, which a graph keeps, or batches are prefetched:
    no other thread may use the GPU while a graph is recorded. Whether the gradient was finite is then seen when the
    step is done (in what it returns), not before.
    """

    def __init__(self, network: MAZeroNetwork, optimiser: torch.optim.Optimizer, config: MAZeroConfig) -> None:
        self._network, self._optimiser, self._config = network, optimiser, config
        on_gpu = next(network.parameters()).device.type == "cuda"
        suits = config.optimiser.final_learning_rate is None and not config.targets.prefetch
        self._captured = Captured(self._step, "an update") if on_gpu and suits else None
        self._names: list[str] = []

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """See `optimise`."""
        if self._captured is None:
            return optimise(self._network, self._optimiser, batch, self._config)
        predicted, *scalars = self._captured(*(getattr(batch, name) for name in NAMES))
        return predicted, dict(zip(self._names, scalars, strict=True))

    def _step(self, *tensors: Tensor) -> list[Tensor]:
        batch = Batch(**dict(zip(NAMES, tensors, strict=True)))
        predicted, scalars = _gradient(self._network, self._optimiser, batch, self._config)
        self._optimiser.step()
        self._names = list(scalars)
        return [predicted.detach(), *(scalar.detach() for scalar in scalars.values())]


class WeightAverage:
    """The network that evaluation plays with: an average over updates, or the network itself.

    Args:
      network: that learns.    decay: how much less an update counts than the next; 0: no average.
    Attributes:
      network: that plays.
    """

    def __init__(self, network: MAZeroNetwork, decay: float) -> None:
        self.decay = decay
        self._latest: list[Tensor] = list(network.parameters())
        self.network = copy.deepcopy(network).eval().requires_grad_(False) if decay else network
        self._average: list[Tensor] = list(self.network.parameters())

    def follow(self, updates: int) -> None:
        """After update number `updates`, counted from 0; the first ones weigh more, so that the start is forgotten."""
        if self.decay:
            decay = min(self.decay, (1 + updates) / (10 + updates))
            with torch.no_grad():
                torch._foreach_lerp_(self._average, self._latest, 1 - decay)
