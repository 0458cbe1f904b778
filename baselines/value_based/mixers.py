"""Mixers: from the agents' Q values to what is regressed on the team's return. IQL, VDN and QMIX; QPLEX in `qplex.py`.

A mixer is called as `mixer(choice)` with a `JointChoice` and returns (..., G), the G values that are regressed on the
team reward: G = 1 for a joint value, G = n if every agent is regressed by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from baselines.value_based.config import QmixConfig, QmixMixerConfig, ValueConfig
from baselines.value_based.losses import chosen_values, legal_maximum
from envs.interface import EnvInfo


@dataclass(frozen=True)
class JointChoice:
    """Joint actions and all that a mixer may look at; any leading axes, in training (M,) steps."""

    q: Tensor  # (..., n, A) Q values of every action
    avail: Tensor  # (..., n, A) bool, True = legal
    actions: Tensor  # (..., n) int64, the actions in question
    state: Tensor  # (..., S)

    @property
    def chosen(self) -> Tensor:
        """(..., n) Q values of the actions in question."""
        return chosen_values(self.q, self.actions)

    @property
    def maximum(self) -> Tensor:
        """(..., n) each agent's largest legal Q value, detached."""
        return legal_maximum(self.q.detach(), self.avail)


class Mixer(nn.Module):
    """What the learner asks of a mixer; a mixer with a regulariser overrides `with_penalty`, the others `forward`."""

    def forward(self, choice: JointChoice) -> Tensor:
        """(..., G) values."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(choice)")

    def with_penalty(self, choice: JointChoice) -> tuple[Tensor, Tensor | None]:
        """The values and a scalar that is added to the loss, None for no such term."""
        return self(choice), None


class Independent(Mixer):
    """No mixing: each agent's value is regressed on the team reward (IQL, Tampuu et al., arXiv 1511.08779)."""

    def forward(self, choice: JointChoice) -> Tensor:
        """The chosen values themselves, (..., n)."""
        return choice.chosen


class Sum(Mixer):
    """Q_tot = sum_i Q_i (VDN, Sunehag et al., arXiv 1706.05296)."""

    def forward(self, choice: JointChoice) -> Tensor:
        """(..., 1)."""
        return choice.chosen.sum(-1, keepdim=True)


class QMixer(Mixer):
    """Monotonic mixing network whose weights are functions of the state (QMIX, arXiv 1803.11485)."""

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

    def forward(self, choice: JointChoice) -> Tensor:
        """Q_tot, (..., 1)."""
        state = choice.state
        w1 = self.hyper_w1(state).unflatten(-1, (self.n_agents, self.embed_size))
        b1, w2, v = self.hyper_b1(state), self.hyper_w2(state), self.state_value(state)
        return monotonic_mix(choice.chosen, w1, b1, w2, v)


def monotonic_mix(q: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, v: Tensor) -> Tensor:
    """Q_tot = ELU(q |W1| + b1) . |w2| + V, which no rise of any Q_i can lower.

    Args:
      q: (..., n).    w1: (..., n, E).    b1: (..., E).    w2: (..., E).    v: (..., 1).
    Returns: (..., 1).
    Source: QMIX (arXiv 1803.11485), section 4 and figure 2; ELU and free biases as there.
    """
    hidden = nn.functional.elu((q.unsqueeze(-1) * w1.abs()).sum(-2) + b1)  # (..., E)
    return (hidden * w2.abs()).sum(-1, keepdim=True) + v


def iql(config: ValueConfig, info: EnvInfo) -> Mixer:
    """The mixer of IQL."""
    return Independent()


def vdn(config: ValueConfig, info: EnvInfo) -> Mixer:
    """The mixer of VDN."""
    return Sum()


def qmix(config: QmixConfig, info: EnvInfo) -> Mixer:
    """The mixer of QMIX for an environment."""
    return QMixer(info.n_agents, info.state_size, config.mixer)
