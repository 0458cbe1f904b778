"""Learning on a CPU in float32: the loss of a batch and its gradient in kernels and a few large matrix products."""

from mazero.learning.loss import learned_loss, plan_for

__all__ = ["learned_loss", "plan_for"]
