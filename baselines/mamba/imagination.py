"""Imagined play (MAMBA, section 5): the actor acts in the model, all starts side by side, without gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from baselines.mamba.codes import draw_codes, uniform
from baselines.mamba.losses import lambda_returns, standardized
from baselines.mamba.world_model import State, WorldModel
from baselines.mappo.networks import log_policy


@dataclass(frozen=True)
class Imagined:
    """M = S x starts states of whole teams with what was done there; rows of agents stand by team."""

    codes: Tensor  # (M, n, K) int32
    deter: Tensor  # (M, n, H)
    avail: Tensor  # (M, n, A) bool
    action: Tensor  # (M, n) int64
    old_log_prob: Tensor  # (M, n)
    advantage: Tensor  # (M, n) standardised
    returns: Tensor  # (M, n) reward units
    facts: dict[str, Tensor]  # means for the log


@torch.no_grad()
def imagine(
    model: WorldModel,
    actor: nn.Module,
    critic: nn.Module,
    start: State,
    generator: np.random.Generator,
    *,
    horizon: int,
    gamma: float,
    lam: float,
) -> Imagined:
    """Trajectories of `horizon` states.

    Legal actions are drawn from the legality head; where none came out legal, all actions are equally likely. The
    reward of transition (z_k, a_k) is read from (z_k, h_{k+1}) and averaged over the team; d_k is the probability of
    going on.

    Args: start: (M_0 n) rows of whole teams.
    """
    tables, rows, device = model.tables(), len(start.codes), start.deter.device
    states, steps = [start], []
    for _ in range(horizon - 1):
        state = states[-1]
        legal = uniform(generator, rows, model.n_actions, device=device) < model.legality(state).sigmoid()
        log_probs = log_policy(actor(state), legal)
        action = draw_actions(log_probs, uniform(generator, rows, device=device))
        steps.append((legal, action, log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)))
        deter = model.advance(tables, state, action)
        prior = model.prior_probs(deter).view(rows, model.categoricals, model.classes)
        codes = draw_codes(prior, uniform(generator, rows, model.categoricals, device=device))
        states.append(State(codes, deter))
    codes, deters = (torch.stack(parts) for parts in list(zip(*states))[:2])  # (horizon, R, .)
    moved = State(codes[:-1].flatten(0, 1), deters[1:].flatten(0, 1))
    shape = (horizon - 1, rows // model.n_agents, model.n_agents)
    reward = model.reward(moved).view(shape).mean(-1, keepdim=True)
    going_on = model.continuation(moved).sigmoid().view(shape)
    value = critic(State(codes.flatten(0, 1), deters.flatten(0, 1))).view(horizon, *shape[1:])
    returns = lambda_returns(reward, value, going_on, gamma=gamma, lam=lam)
    advantage = standardized(returns - value[:-1])
    legal, action, old_log_prob = (torch.stack(parts) for parts in zip(*steps))

    def teams(x: Tensor) -> Tensor:
        """(S, R, ...) -> (M, n, ...)."""
        return x.reshape(-1, model.n_agents, *x.shape[2:])

    facts = {
        "imagined_reward_mean": reward.mean(),
        "imagined_return_mean": returns.mean(),
        "imagined_continuation_mean": going_on.mean(),
        "value_mean": value.mean(),
        "nothing_legal_fraction": (~legal.any(-1)).float().mean(),
    }
    flat = (advantage.flatten(0, 1), returns.flatten(0, 1), facts)
    return Imagined(teams(codes[:-1]), teams(deters[:-1]), teams(legal), teams(action), teams(old_log_prob), *flat)


def draw_actions(log_probs: Tensor, uniforms: Tensor) -> Tensor:
    """Actions drawn by inverting the distribution function; one of probability 0 is never drawn.

    Args: log_probs: (R, A).    uniforms: (R,) in [0, 1).
    Returns: (R,) int64.
    """
    below = log_probs.double().exp().cumsum(-1)  # double: a product with a number below 1 stays below the total
    return (below <= uniforms.double().unsqueeze(-1) * below[:, -1:]).sum(-1)
