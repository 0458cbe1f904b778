"""The one-step TD error of joint choices through a mixer: of actions, or of anything else that agents choose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from baselines.value_based.losses import bootstrap_actions, td_loss, td_targets
from baselines.value_based.mixers import JointChoice, Mixer


@dataclass(frozen=True)
class Outcome:
    """What came of M joint choices, and the agents' values of what they can choose next."""

    reward: Tensor  # (M,)
    terminated: Tensor  # (M,) bool; where it is True the other fields but the reward do not matter
    q_live: Tensor  # (M, n, A) values of the live network
    q_target: Tensor  # (M, n, A) values of the target network
    avail: Tensor  # (M, n, A) bool, at least one choice of each agent is legal
    state: Tensor  # (M, S)


def joint_td(
    live: Mixer, target: Mixer, choice: JointChoice, outcome: Outcome, *, gamma: float, double_q: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean squared TD error of `choice`, and the mixer's penalty if it has one.

    Args:
      live, target: mixers of the live and the target network.
      gamma: discount from one choice to the next.
      double_q: the live network chooses what the target network values.
    Returns: the scalar loss, and means over choices for the log.
    """
    value, penalty = live.with_penalty(choice)  # (M, G)
    with torch.no_grad():
        best = bootstrap_actions(outcome.q_live, outcome.q_target, outcome.avail, double_q=double_q)
        next_value = target(JointChoice(outcome.q_target, outcome.avail, best, outcome.state))
        y = td_targets(outcome.reward.unsqueeze(-1), outcome.terminated.unsqueeze(-1), next_value, gamma)
        log = {"q_tot_mean": value.mean(), "target_mean": y.mean(), "td_error_abs": (value - y).abs().mean()}
    loss = td_loss(value, y)
    return (loss if penalty is None else loss + penalty), log
