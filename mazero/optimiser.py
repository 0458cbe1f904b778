"""Clipping, Adam and gradient descent as torch does them, without what torch spends on every single parameter.

A network has some fifty parameters, most of them small: torch looks at each several times before it touches a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from mazero.config import OptimiserConfig


def make_optimiser(parameters: Iterable[Tensor], settings: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    if settings.method == "sgd":
        return torch.optim.SGD(parameters, lr=settings.learning_rate, momentum=settings.momentum, fused=True)
    return Adam(parameters, lr=settings.learning_rate, eps=settings.adam_epsilon)


def clip_gradients(parameters: Sequence[Tensor], most: float) -> Tensor:
    """`torch.nn.utils.clip_grad_norm_`: scales all gradients by min(1, most / norm), in place.

    Gradients that lie one behind the other in memory (`mazero.learning` makes them so) are one long vector.

    Returns: norm () of all gradients together, before.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    joined = as_one(gradients)
    if joined is None:
        return torch.nn.utils.clip_grad_norm_(parameters, most)
    norm = torch.linalg.vector_norm(joined)
    joined.mul_((most / (norm + 1e-6)).clamp_(max=1.0))  # 1e-6: torch's
    return norm


def as_one(tensors: Sequence[Tensor]) -> Tensor | None:
    """A flat view of tensors that fill a part of one storage, in any order; None if they do not."""
    if not all(tensor.is_contiguous() or (tensor.dim() == 2 and tensor.t().is_contiguous()) for tensor in tensors):
        return None
    ordered = sorted(tensors, key=Tensor.data_ptr)
    if not ordered:
        return None
    first, total = ordered[0], 0
    begin, size = first.data_ptr(), first.element_size()
    for tensor in ordered:
        if tensor.data_ptr() != begin + total * size or tensor.dtype != first.dtype:
            return None
        total += tensor.numel()
    held = first.untyped_storage().nbytes() // size - first.storage_offset()
    return torch.as_strided(first, (total,), (1,)) if total <= held else None  # else neighbours by chance


class Adam(torch.optim.Adam):
    """torch's fused Adam: the same arithmetic, state and `state_dict`; it looks its tensors up once.

    The counts of steps of all parameters are views of one tensor, which a step adds 1 to.
    """

    _lists: tuple[list[Tensor], ...] | None = None
    _counts: Tensor

    def __init__(self, parameters: Iterable[Tensor], *, lr: float, eps: float) -> None:
        super().__init__(parameters, lr=lr, eps=eps, fused=True)

    def step(self, closure: Any = None) -> Any:
        """One step. Where a parameter has no gradient, and the first time, by torch's own."""
        lists = self._lists
        [group] = self.param_groups
        gradients = [parameter.grad for parameter in group["params"]]
        if closure is not None or lists is None or any(gradient is None for gradient in gradients):
            result = super().step(closure)
            self._lists = self._look_up()
            return result
        averages, squares, counts = lists
        with torch.no_grad():
            self._counts.add_(1)
            torch._fused_adam_(
                group["params"], gradients, averages, squares, [], counts, amsgrad=False, lr=group["lr"],
                beta1=group["betas"][0], beta2=group["betas"][1], weight_decay=0.0, eps=group["eps"], maximize=False,
            )  # fmt: skip
        return None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's."""
        super().load_state_dict(state_dict)
        self._lists = None

    def _look_up(self) -> tuple[list[Tensor], ...] | None:
        """First and second moments and counts of all parameters; None if one has none yet."""
        states = [self.state[parameter] for parameter in self.param_groups[0]["params"]]
        if not all(states):
            return None
        self._counts = torch.stack([state["step"] for state in states])
        for state, count in zip(states, self._counts.unbind(), strict=True):
            state["step"] = count
        return tuple([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
