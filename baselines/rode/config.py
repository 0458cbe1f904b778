"""Settings of RODE beside those of QMIX. Values come from `presets/*.yaml`; sources and departures are noted there."""

from __future__ import annotations

from dataclasses import dataclass, field

from baselines.checks import at_least
from baselines.value_based.config import QmixConfig


@dataclass(frozen=True)
class RolesConfig:
    """When roles are found, how many there are, and how long an agent keeps one."""

    clusters: int = 5
    """Groups the actions are sorted into; each makes one role, or none if it is too small."""
    interval: int = 5
    """Environment steps for which a role is held."""
    cluster_after: int = 50_000
    """Environment steps after which the next update sorts the actions, once."""
    epsilon_steps: int = 70_000
    """Steps of the second annealing, which begins when `cluster_after` is passed; `rollout.epsilon_steps` before."""
    reselect: bool = False
    """Updates value actions in roles that the present networks choose, as the authors do, not in the recorded ones."""

    def __post_init__(self) -> None:
        at_least("roles", 1, clusters=self.clusters, interval=self.interval, epsilon_steps=self.epsilon_steps)
        at_least("roles", 0, cluster_after=self.cluster_after)


@dataclass(frozen=True)
class EncoderConfig:
    """The network that predicts what an action does; it is trained with the optimiser of section `learning`."""

    action_size: int = 20
    """Width of an action's representation."""
    state_size: int = 32
    """Width of what the prediction keeps of observation and team mates' actions; hidden layers are as wide or twice."""
    reward_weight: float = 10.0
    """Factor of the squared error of the reward beside the error of the next observation."""

    def __post_init__(self) -> None:
        at_least("encoder", 1, action_size=self.action_size, state_size=self.state_size)
        at_least("encoder", 0, reward_weight=self.reward_weight)


@dataclass(frozen=True)
class RodeConfig(QmixConfig):
    """Settings of RODE. Section `mixer` holds for both mixers, that of actions and that of roles."""

    roles: RolesConfig = field(default_factory=RolesConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
