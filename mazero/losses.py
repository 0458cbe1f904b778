"""The loss of a batch: the model unrolled U steps from a real observation, every head compared with its target.

L = sum_k [ reward CE (k >= 1) + policy + 0.25 value CE + 2 consistency (k >= 1) ] / U, times the replay's weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mazero.config import LossConfig
from mazero.learning import learned_loss, plan_for
from mazero.networks import MAZeroNetwork
from mazero.transforms import beyond_support, expected_scalar, two_hot


@dataclass(frozen=True, eq=False)
class Batch:
    """Everything the learner needs for one update."""

    obs: Tensor  # (B, U + 1, n, S * O) float32, stacked; beyond the end: the last one again
    action: Tensor  # (B, U, n) int64; beyond the end: random
    reward: Tensor  # (B, U) float32; 0 beyond the end
    value: Tensor  # (B, U + 1) float32; 0 beyond the end
    joint_actions: Tensor  # (B, U + 1, K, n) int64
    policy_weight: Tensor  # (B, U + 1, K) float32; 0 for padding and beyond the end
    real: Tensor  # (B, U + 1) float32, 1 where the position lies inside the episode
    importance: Tensor  # (B,) float32, replay weights


def halve_gradient(x: Tensor) -> Tensor:
    """x forwards, half the gradient backwards (MuZero, appendix G)."""
    return 0.5 * x + 0.5 * x.detach()


def unroll(network: MAZeroNetwork, obs: Tensor, action: Tensor) -> Tensor:
    """Hidden states of the model along a joint action sequence.

    Args:
      obs: (B, n, S * O).    action: (B, U, n).
    Returns: (B, U + 1, n, H); the gradient is halved on the way from one unrolled state into the next.
    """
    hidden = network.represent(obs)
    states = [hidden]
    for k in range(action.shape[1]):
        hidden = network.step(halve_gradient(hidden) if k else hidden, action[:, k])
        states.append(hidden)
    return torch.stack(states, dim=1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """(..., atoms) logits against (..., atoms) distributions -> (...,)."""
    return -(target * F.log_softmax(logits, dim=-1)).sum(dim=-1)


def policy_loss(logits: Tensor, joint_actions: Tensor, weight: Tensor) -> Tensor:
    """- sum_c weight(c) sum_i log p^i(c^i).

    Args:
      logits: (..., n, A).    joint_actions: (..., K, n) int64.    weight: (..., K).
    Returns: (...,).    Source: paper equations 10 and 14.
    """
    log_p = F.log_softmax(logits, dim=-1)
    chosen = log_p.gather(-1, joint_actions.transpose(-1, -2))  # (..., n, K)
    return -(weight * chosen.sum(dim=-2)).sum(dim=-1)


def consistency_loss(network: MAZeroNetwork, states: Tensor, obs: Tensor) -> Tensor:
    """Negative cosine between predicted and encoded joint states, stop-gradient on the encoded side (SimSiam).

    Args:
      states: (B, U, n, H) unrolled k = 1..U.    obs: (B, U, n, S * O) real observations there.
    Returns: (B, U) in [-1, 1].
    """
    batch, steps = obs.shape[:2]
    with torch.no_grad():
        target = network.project(network.represent(obs.flatten(0, 1)))
    online = network.predictor(network.project(states.flatten(0, 1)))
    return -F.cosine_similarity(online.float(), target.float(), dim=-1).view(batch, steps)


def batch_loss(network: MAZeroNetwork, batch: Batch, config: LossConfig) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The scalar to minimise: `plain_loss`, which learning on a CPU in float32 computes by hand (`mazero.learning`).

    Returns: loss (), root values predicted (B,) in reward units (for priorities), and the mean of each part.
    """
    plan = plan_for(network, batch)
    return plain_loss(network, batch, config) if plan is None else learned_loss(plan, batch, config)


def plain_loss(network: MAZeroNetwork, batch: Batch, config: LossConfig) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What `batch_loss` is, by the modules of the network, on any device and in any precision."""
    steps = batch.action.shape[1]
    states = unroll(network, batch.obs[:, 0], batch.action)  # (B, U + 1, n, H)
    bound = network.config.support
    size = batch.value.shape[0]
    reward_states = states[:, 1:]
    if config.halved_gradient == "state":  # the release's hook sits on the output of a step, behind the reward head
        states = torch.cat((states[:, :1], halve_gradient(states[:, 1:])), dim=1)
    # .float(): losses are taken in single precision, whatever the matrix products were.
    value_logits = network.value_logits(states.flatten(0, 1)).float().view(size, steps + 1, -1)
    reward_logits = network.reward_logits(reward_states.flatten(0, 1), batch.action.flatten(0, 1))
    reward_logits = reward_logits.float().view(size, steps, -1)
    policy_logits = network.policy_logits(states).float()  # (B, U + 1, n, A)

    value = cross_entropy(value_logits, two_hot(batch.value, bound)).sum(dim=1)
    reward = cross_entropy(reward_logits, two_hot(batch.reward, bound)).sum(dim=1)
    policy = (policy_loss(policy_logits, batch.joint_actions, batch.policy_weight) * batch.real).sum(dim=1)
    total = config.reward * reward + policy + config.value * value
    parts = {"loss_value": value, "loss_reward": reward, "loss_policy": policy}
    if config.consistency > 0:
        agreement = consistency_loss(network, states[:, 1:], batch.obs[:, 1:])
        if not config.consistency_beyond_end:  # there is no observation to agree with
            agreement = agreement * batch.real[:, 1:]
        consistency = agreement.sum(dim=1)
        total = total + config.consistency * consistency
        parts["loss_consistency"] = consistency
    loss = (batch.importance * total).mean() / steps
    with torch.no_grad(), torch.autocast(loss.device.type, enabled=False):
        predicted = expected_scalar(value_logits[:, 0])
        means = {name: part.mean() / steps for name, part in parts.items()}
        means["loss"] = loss.detach()
        means["targets_clipped"] = torch.cat(
            [beyond_support(batch.value, bound), beyond_support(batch.reward, bound)], dim=1
        ).to(loss.dtype).mean()  # fmt: skip
        log_p = F.log_softmax(policy_logits[:, 0], dim=-1)
        means["policy_entropy"] = -(log_p.exp() * log_p).sum(dim=-1).mean()
    return loss, predicted, means
