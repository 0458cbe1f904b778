"""Mixers: from the agents' chosen Q values to what is regressed on the team's return.

A mixer is a module called as `mixer(q, state)` with q (..., n) and state (..., S); it returns (..., G), the G values
that are regressed on the team reward (G = 1 for a joint value).
"""

from __future__ import annotations

from torch import Tensor, nn

from baselines.value_based.config import QmixConfig, QmixMixerConfig
from envs.interface import EnvInfo


def qmix(config: QmixConfig, info: EnvInfo) -> nn.Module:
    """The mixer of QMIX for an environment."""
    return QMixer(info.n_agents, info.state_size, config.mixer)


def monotonic_mix(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, v: Tensor) -> Tensor:
    """Q_tot = ELU(q |W1| + b1) . |w2| + V, which no rise of any Q_i can lower.

    Args:
      q: (..., n).    w1: (..., n, E).    b1: (..., E).    w2: (..., E).    v: (..., 1).
    Returns: (..., 1).
    Source: QMIX (arXiv 1803.11485), section 4 and figure 2; ELU and free biases as there.
    """
    hidden = nn.functional.elu((q.unsqueeze(-1) * w1.abs()).sum(-2) + b1)  # (..., E)
    return (hidden * w2.abs()).sum(-1, keepdim=True) + v


class QMixer(nn.Module):
    """Monotonic mixing network whose weights are functions of the state."""

    def __init__(self, n_agents: int, state_size: int, config: QmixMixerConfig) -> None:
        super().__init__()
        self.n_agents, self.embed_size = n_agents, config.embed_size

        def hyper(outputs: int, width: int) -> nn.Module:
            return nn.Sequential(nn.Linear(state_size, width), nn.ReLU(), nn.Linear(width, outputs))

        if config.hypernet_layers == 1:
            self.hyper_w1: nn.Module = nn.Linear(state_size, n_agents * config.embed_size)
            self.hyper_w2: nn.Module = nn.Linear(state_size, config.embed_size)
        else:
            self.hyper_w1 = hyper(n_agents * config.embed_size, config.hypernet_size)
            self.hyper_w2 = hyper(config.embed_size, config.hypernet_size)
        self.hyper_b1 = nn.Linear(state_size, config.embed_size)
        self.state_value = hyper(1, config.embed_size)

    def forward(self, q: Tensor, state: Tensor) -> Tensor:
        """q: (..., n), state: (..., S). Returns: Q_tot (..., 1)."""
        w1 = self.hyper_w1(state).unflatten(-1, (self.n_agents, self.embed_size))
        return monotonic_mix(q, w1, self.hyper_b1(state), self.hyper_w2(state), self.state_value(state))
