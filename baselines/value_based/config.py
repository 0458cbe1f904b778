"""Settings of the value-based family. Values come from `presets/*.yaml`; sources and departures are noted there."""

from __future__ import annotations

from dataclasses import dataclass, field

from baselines.checks import at_least as _at_least
from baselines.checks import fraction as _fraction

OPTIMIZERS = ("rmsprop", "adam")
TIMEOUTS = ("terminal", "bootstrap")
QPLEX_KINDS = ("dmaq_qatten", "dmaq")


@dataclass(frozen=True)
class RolloutConfig:
    """How episodes are collected."""

    num_envs: int = 1
    """Episodes that run side by side. More are faster; the policy of an episode may then miss the last few updates."""
    observation: str = "smac"
    """Observation family of the environment, `smac` or `mazero`."""
    timeout: str = "terminal"
    """What the step limit means to the target: `terminal` (no value after it) or `bootstrap` (from the last state)."""
    epsilon_start: float = 1.0
    """Share of random actions at the beginning of the run."""
    epsilon_finish: float = 0.05
    """Share of random actions after the annealing."""
    epsilon_steps: int = 50_000
    """Environment steps of the linear annealing."""

    def __post_init__(self) -> None:
        _at_least("rollout", 1, num_envs=self.num_envs, epsilon_steps=self.epsilon_steps)
        _fraction("rollout", epsilon_start=self.epsilon_start, epsilon_finish=self.epsilon_finish)
        if self.timeout not in TIMEOUTS:
            raise ValueError(f"rollout.timeout must be one of {', '.join(TIMEOUTS)}, got {self.timeout!r}")


@dataclass(frozen=True)
class AgentConfig:
    """The recurrent network all agents share."""

    hidden_size: int = 64
    """Width of the input layer and of the GRU."""
    last_action: bool = True
    """Append the agent's own last action (one-hot) to its observation."""
    agent_id: bool = True
    """Append the agent's index (one-hot) to its observation."""

    def __post_init__(self) -> None:
        _at_least("agent", 1, hidden_size=self.hidden_size)


@dataclass(frozen=True)
class LearningConfig:
    """Replay, target and optimiser."""

    capacity_episodes: int = 5000
    """Episodes the replay ring holds."""
    batch_episodes: int = 32
    """Distinct episodes of one update."""
    start_episodes: int = 32
    """Updates begin with this episode."""
    updates_per_episode: int = 1
    """Gradient steps after each finished episode."""
    target_every_episodes: int = 200
    """Finished episodes between copies of the live network to the target network."""
    double_q: bool = True
    """The live network chooses the next action, the target network values it."""
    gamma: float = 0.99
    """Discount per environment step."""
    optimizer: str = "rmsprop"
    """`rmsprop` (smoothing 0.99, no momentum) or `adam` (PyTorch's betas)."""
    learning_rate: float = 5e-4
    """Step size."""
    optimizer_epsilon: float = 1e-5
    """Added to the denominator of the optimiser."""
    grad_clip: float = 10.0
    """Largest global gradient norm, agent and mixer together."""

    def __post_init__(self) -> None:
        _at_least(
            "learning",
            1,
            capacity_episodes=self.capacity_episodes,
            batch_episodes=self.batch_episodes,
            updates_per_episode=self.updates_per_episode,
            target_every_episodes=self.target_every_episodes,
        )
        if not self.batch_episodes <= self.start_episodes <= self.capacity_episodes:
            raise ValueError(
                f"learning.start_episodes must lie between batch_episodes ({self.batch_episodes}) and "
                f"capacity_episodes ({self.capacity_episodes}), got {self.start_episodes}: an update draws that many "
                f"distinct episodes"
            )
        _fraction("learning", gamma=self.gamma)
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"learning.optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        for name in ("learning_rate", "optimizer_epsilon", "grad_clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"learning.{name} must be positive, got {getattr(self, name)}: correct the setting")


@dataclass(frozen=True)
class ValueConfig:
    """What every value-based learner has."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)


@dataclass(frozen=True)
class QmixMixerConfig:
    """Monotonic mixing network (QMIX, section 4; sizes of PyMARL's SMAC runs, the same in all presets)."""

    embed_size: int = 32
    """Width of the mixing layer."""
    hypernet_layers: int = 2
    """1: linear hyper-networks for the weights, 2: one hidden layer."""
    hypernet_size: int = 64
    """Width of that hidden layer."""

    def __post_init__(self) -> None:
        _at_least("mixer", 1, embed_size=self.embed_size, hypernet_size=self.hypernet_size)
        if self.hypernet_layers not in (1, 2):
            raise ValueError(f"mixer.hypernet_layers must be 1 or 2, got {self.hypernet_layers}")


@dataclass(frozen=True)
class QmixConfig(ValueConfig):
    """Settings of QMIX."""

    mixer: QmixMixerConfig = field(default_factory=QmixMixerConfig)


@dataclass(frozen=True)
class QplexMixerConfig:
    """Duplex dueling network (QPLEX, section 3; the defaults are the authors' for SMAC)."""

    kind: str = "dmaq_qatten"
    """Weights of the agents: `dmaq_qatten` (attention over unit features) or `dmaq` (functions of the state)."""
    weighted_head: tuple[str, ...] = ("MMM2", "3s5z_vs_3s6z")
    """Maps, or patterns such as `*`, where heads (dmaq_qatten) or agents (dmaq) get weights from the state."""
    nonlinear: tuple[str, ...] = ("MMM2",)
    """Maps, or patterns, where the attention also sees the agents' Q values; dmaq_qatten only."""
    heads: int = 4
    """Attention heads."""
    query_size: int = 64
    """Width of the hidden layer of queries, head weights and dmaq's weights."""
    embed_size: int = 32
    """Width of queries and keys, and of the hidden layer of the state value."""
    attention_penalty: float = 1e-3
    """Factor of the mean squared attention logits in the loss."""
    unit_features: int = 0
    """Entries of one agent at the beginning of the state; 0: those of SMAC's plain state on this map."""
    kernels: int = 4
    """Summands of the importance lambda."""
    kernel_layers: int = 1
    """Layers of each of their networks."""
    kernel_size: int = 64
    """Width of their hidden layers, if they have any."""

    def __post_init__(self) -> None:
        sizes = ("heads", "query_size", "embed_size", "kernels", "kernel_layers", "kernel_size")
        _at_least("mixer", 1, **{name: getattr(self, name) for name in sizes})
        _at_least("mixer", 0, attention_penalty=self.attention_penalty, unit_features=self.unit_features)
        if self.kind not in QPLEX_KINDS:
            raise ValueError(f"mixer.kind must be one of {', '.join(QPLEX_KINDS)}, got {self.kind!r}")
        if self.kind == "dmaq" and self.nonlinear:
            raise ValueError(
                f"mixer.nonlinear must be empty with mixer.kind=dmaq, got {list(self.nonlinear)}: it has no attention"
            )


@dataclass(frozen=True)
class QplexConfig(ValueConfig):
    """Settings of QPLEX."""

    mixer: QplexMixerConfig = field(default_factory=QplexMixerConfig)
