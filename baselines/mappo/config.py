"""Settings of MAPPO and IPPO. Values come from `presets/*.yaml`; sources and departures are noted there."""

from __future__ import annotations

from dataclasses import dataclass, field

from baselines.checks import at_least, fraction, one_of, positive

NETWORKS = ("rnn", "mlp")
CENTRAL, AGENT_STATE, TEAM_STATE, OBS = "central", "agent_state", "team_state", "obs"
CRITIC_INPUTS = (CENTRAL, AGENT_STATE, TEAM_STATE, OBS)
VALUE_NORMS = ("valuenorm", "popart", "none")


@dataclass(frozen=True)
class RolloutConfig:
    """How data are collected for one round of updates."""

    num_envs: int = 8
    """E, episodes that run side by side."""
    steps: int = 400
    """T, environment steps per episode slot and round; a round crosses the ends of episodes."""
    observation: str = "mazero"
    """Observation family of the environment; `mazero` is also that of MAPPO's authors."""

    def __post_init__(self) -> None:
        at_least("rollout", 1, num_envs=self.num_envs, steps=self.steps)


@dataclass(frozen=True)
class NetworkConfig:
    """The networks of actor and critic, which share nothing but these settings."""

    kind: str = "rnn"
    """`rnn` (GRU behind two hidden layers) or `mlp` (without it)."""
    hidden_size: int = 64
    """H, width of the hidden layers and of the GRU."""
    frames: int = 1
    """Observations in a row that make one input, the present one last; zeros before the episode's beginning."""
    output_gain: float = 0.01
    """Gain of the orthogonal initial weights of the actor's output."""

    def __post_init__(self) -> None:
        one_of("network", NETWORKS, kind=self.kind)
        at_least("network", 1, hidden_size=self.hidden_size, frames=self.frames)
        positive("network", output_gain=self.output_gain)


@dataclass(frozen=True)
class CriticConfig:
    """What the critic sees and how its targets are scaled."""

    input: str = CENTRAL
    """`agent_state`, `team_state` (state and agent id) or `obs`. `central` is replaced before the run starts: by
    `agent_state` if the environment has one, else by `team_state`; with IPPO by `obs`."""
    normalization: str = "valuenorm"
    """`valuenorm` (running moments of the returns), `popart` (the same, the output layer kept in step) or `none`."""
    clip_value: bool = True
    """Take the larger of the errors with and without clipping the change of the value."""
    huber_delta: float = 10.0
    """Errors above it count linearly, in normalised units."""

    def __post_init__(self) -> None:
        one_of("critic", CRITIC_INPUTS, input=self.input)
        one_of("critic", VALUE_NORMS, normalization=self.normalization)
        positive("critic", huber_delta=self.huber_delta)


@dataclass(frozen=True)
class LearningConfig:
    """Returns, losses and optimisers."""

    gamma: float = 0.99
    """Discount per environment step."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    proper_time_limits: bool = False
    """False: the step limit is an end like any other. True: nothing is learned from the step that ran into it."""
    epochs: int = 15
    """Passes over the data of a round."""
    minibatches: int = 1
    """Parts of the data, drawn anew in each epoch; each is one gradient step of the actor and one of the critic."""
    chunk_length: int = 10
    """L, steps through which gradients flow back in the GRU; the hidden state before a chunk is the one acted with."""
    clip: float = 0.2
    """c, how far the probability ratio (and the value) may move before it stops counting."""
    entropy_coefficient: float = 0.01
    """Weight of the entropy bonus."""
    actor_learning_rate: float = 5e-4
    """Step size of the actor's Adam."""
    critic_learning_rate: float = 5e-4
    """Step size of the critic's Adam."""
    optimizer_epsilon: float = 1e-5
    """Added to Adam's denominator."""
    grad_clip: float = 10.0
    """Largest gradient norm, of actor and critic separately."""

    def __post_init__(self) -> None:
        at_least("learning", 1, epochs=self.epochs, minibatches=self.minibatches, chunk_length=self.chunk_length)
        fraction("learning", gamma=self.gamma, gae_lambda=self.gae_lambda)
        at_least("learning", 0, entropy_coefficient=self.entropy_coefficient)
        scales = ("clip", "actor_learning_rate", "critic_learning_rate", "optimizer_epsilon", "grad_clip")
        positive("learning", **{name: getattr(self, name) for name in scales})


@dataclass(frozen=True)
class PpoConfig:
    """Settings of MAPPO and IPPO; the two differ in `critic.input` only."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)

    def __post_init__(self) -> None:
        if self.network.kind == "rnn" and self.rollout.steps % self.learning.chunk_length:
            raise ValueError(
                f"learning.chunk_length must divide rollout.steps ({self.rollout.steps}), got "
                f"{self.learning.chunk_length}: the steps of a round are cut in chunks of that length"
            )
        pieces = self.rollout.num_envs * self.rollout.steps // self.chunk
        if self.learning.minibatches > pieces:
            raise ValueError(
                f"learning.minibatches must be at most {pieces} (chunks of one agent in a round), got "
                f"{self.learning.minibatches}: no minibatch may be empty"
            )

    @property
    def chunk(self) -> int:
        """Steps of the pieces that minibatches are made of: chunk_length, or 1 without a GRU."""
        return self.learning.chunk_length if self.network.kind == "rnn" else 1
