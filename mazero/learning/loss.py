"""The door to the kernels of learning: which batches they take, and their loss as a node of torch's graph."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mazero.config import LossConfig
from mazero.learning.layers import usable
from mazero.learning.step import LearningStep, Weights
from mazero.networks import MAZeroNetwork
from mazero.transforms import unsquash

if TYPE_CHECKING:
    from mazero.losses import Batch

logger = logging.getLogger(__name__)

# The plan last used for a network: memory for batches of one size.
_plans: WeakKeyDictionary[MAZeroNetwork, LearningStep] = WeakKeyDictionary()
_refused: WeakSet[MAZeroNetwork] = WeakSet()  # networks of other parts, of which one line was said


def plan_for(network: MAZeroNetwork, batch: Batch) -> LearningStep | None:
    """Memory and plan for a batch, or None where plain torch has to do it: elsewhere than in training on a CPU."""
    obs = batch.obs
    if not network.training or not usable(obs) or obs.requires_grad or network in _refused:
        return None
    size, steps = batch.action.shape[:2]
    plan = _plans.get(network)
    if plan is None or not plan.serves(network, size, steps):
        _plans.pop(network, None)  # its memory, before there is more
        try:
            plan = LearningStep(network, size, steps)
        except ValueError as error:
            _refused.add(network)
            logger.warning("learning in plain torch, which is slower: %s", error)
            return None
        _plans[network] = plan
    return plan


def learned_loss(plan: LearningStep, batch: Batch, config: LossConfig) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What `mazero.losses.batch_loss` returns. The gradient is computed at once, unless gradients are off."""
    consistency, learns = config.consistency > 0, torch.is_grad_enabled()
    plan.forward(batch.obs.contiguous().numpy(), batch.action, consistency=consistency)
    real = batch.real.contiguous().numpy()
    targets = (batch.value, batch.reward, batch.joint_actions, batch.policy_weight)
    parts = plan.objective(
        tuple(target.contiguous().numpy() for target in targets),
        batch.importance.numpy(),
        real,
        np.ones_like(real) if config.consistency_beyond_end else real,
        Weights(config.value, config.reward, config.consistency),
    )
    steps, size = plan.steps, plan.batch
    names, factors = ["loss_value", "loss_reward", "loss_policy"], [config.value, config.reward, 1.0]
    if consistency:
        names.append("loss_consistency")
        factors.append(config.consistency)
    of_parts = parts.sums[: len(names)] / np.float32(steps)  # (parts, B)
    loss = np.dot(batch.importance.numpy(), np.dot(np.array(factors, np.float32), of_parts)) / size
    scalars = [*of_parts.mean(axis=1), loss, parts.clipped / (size * (2 * steps + 1)), parts.entropy / (size * plan.n)]
    logged = dict(
        zip([*names, "loss", "targets_clipped", "policy_entropy"], torch.tensor(scalars).unbind(), strict=True)
    )
    result = logged["loss"]
    if learns:
        plan.backward(consistency=consistency, halved_heads=config.halved_gradient == "state")
        result = _Known.apply(result, plan.known.slopes.clone(), plan.known.views, *plan.known.tensors)
    return result, unsquash(torch.from_numpy(parts.root)), logged


class _Known(torch.autograd.Function):
    """A scalar whose gradient is known."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, slopes: Tensor, views: Any, *parameters: Tensor) -> Tensor:
        ctx.slopes, ctx.views = slopes, views
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *ctx.views(ctx.slopes * gradient)
