"""How many multiply-adds the network needs, counted from shapes: matrix products and attention, nothing else."""

from __future__ import annotations

from torch import nn

from mazero.grouped import Grouped, GroupedActionLinear, GroupedLinear
from mazero.networks import ActionLinear, MAZeroNetwork, TeamActionLinear


def multiply_adds(network: MAZeroNetwork) -> int:
    """Multiply-adds of one `recurrent_inference` of one sample."""
    return _agents(network) * (_step(network) + _linears(network.policy)) + sum(
        map(_linears, (network.reward, network.value))
    )


def step_multiply_adds(network: MAZeroNetwork, batch: int, steps: int, *, consistency: bool = True) -> int:
    """Multiply-adds of the loss of a batch and of its gradient, as autograd takes it of the plain modules.

    A product X W forwards is two backwards, dX = dY W' and dW = X' dY. The observations that the consistency loss
    compares with are represented and projected forwards only.

    Args:
      batch: B.    steps: U.
    """
    n = _agents(network)
    both = (
        n * _linears(network.representation)
        + steps * (n * _step(network) + _linears(network.reward))
        + (steps + 1) * (_linears(network.value) + n * _linears(network.policy))
    )
    forwards = 0
    if consistency:
        both += steps * (_linears(network.projection) + _linears(network.predictor))
        forwards = steps * (n * _linears(network.representation) + _linears(network.projection))
    return batch * (3 * both + forwards)


def _agents(network: MAZeroNetwork) -> int:
    """Agents that what an agent computes of its own is computed for."""
    return 1 if network.config.structure == "flat" else network.n_agents


def _step(network: MAZeroNetwork) -> int:
    """Multiply-adds of communication and dynamics, for one agent."""
    if network.communication is None:
        return _linears(network.dynamics)
    config = network.config
    attention = config.attention_layers * 2 * network.n_agents * config.hidden_size  # scores and mixture
    return _linears(network.communication) + attention + _linears(network.dynamics)


def _linears(module: nn.Module) -> int:
    """Multiply-adds for a row of input: the sizes of all Linears, those beside a look-up of actions included."""
    kinds = (nn.Linear, ActionLinear, TeamActionLinear, GroupedLinear, GroupedActionLinear)
    parts = [part for part in module.modules() if isinstance(part, kinds)]
    return sum(part.weight.numel() // (part.count if isinstance(part, Grouped) else 1) for part in parts)
