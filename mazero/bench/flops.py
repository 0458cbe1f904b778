"""How many multiply-adds the network needs, counted from shapes: matrix products and attention, nothing else."""

from __future__ import annotations

import itertools

from torch import nn

from mazero.networks import ActionLinear, MAZeroNetwork


def multiply_adds(network: MAZeroNetwork) -> int:
    """Multiply-adds of one `recurrent_inference` of one sample."""
    config, n = network.config, network.n_agents
    width, head, atoms = config.hidden_size, config.head_size, 2 * config.support + 1
    attention = config.attention_layers * (6 * width * width + 2 * n * width)
    sizes = (2 * width, *config.mlp_sizes, width)
    dynamics = sum(a * b for a, b in itertools.pairwise(sizes))
    policy = width * head + head * network.n_actions
    return n * (width * width + attention + dynamics + policy) + 2 * (n * width * head + head * atoms)


def step_multiply_adds(network: MAZeroNetwork, batch: int, steps: int, *, consistency: bool = True) -> int:
    """Multiply-adds of the loss of a batch and of its gradient, as autograd takes it of the plain modules.

    A product X W forwards is two backwards, dX = dY W' and dW = X' dY. The observations that the consistency loss
    compares with are represented and projected forwards only.

    Args:
      batch: B.    steps: U.
    """
    n, config = network.n_agents, network.config
    attention = config.attention_layers * 2 * n * config.hidden_size  # scores and mixture, for each agent
    inside = _linears(network.communication) + _linears(network.dynamics) + attention
    team = network.reward.weight.numel() + _linears(network.reward)
    both = (
        n * _linears(network.representation)
        + steps * (n * inside + team)
        + (steps + 1) * (_linears(network.value) + n * _linears(network.policy))
    )
    forwards = 0
    if consistency:
        both += steps * (_linears(network.projection) + _linears(network.predictor))
        forwards = steps * (n * _linears(network.representation) + _linears(network.projection))
    return batch * (3 * both + forwards)


def _linears(module: nn.Module) -> int:
    """Multiply-adds for a row of input: the sizes of all Linears, those beside a look-up of actions included."""
    parts = [part for part in module.modules() if isinstance(part, nn.Linear | ActionLinear)]
    return sum(part.weight.numel() for part in parts)
