"""Settings of MAMBA. Values come from `presets/*.yaml`; sources and departures are noted there."""

from __future__ import annotations

from dataclasses import dataclass, field

from baselines.checks import at_least, fraction, one_of, positive

TIMEOUTS = ("terminal", "bootstrap")
CHOICES = ("mode", "sample")
PRECISIONS = ("float32", "bfloat16")
LARGEST_TEAM = 30  # agents that the reference's table of positions has room for


@dataclass(frozen=True)
class RolloutConfig:
    """How episodes are collected and, in evaluation, played."""

    num_envs: int = 2
    """Episodes that run side by side."""
    observation: str = "smac"
    """Observation family of the environment; MAMBA's authors have the plain one, without id or last action."""
    timeout: str = "terminal"
    """What the step limit means to the continuation head: `terminal` (the end) or `bootstrap` (it goes on)."""
    evaluation_latent: str = "sample"
    """Latent state in evaluations: a seeded `sample` of the posterior, or its `mode`."""
    evaluation_action: str = "sample"
    """Action in evaluations: a seeded `sample` of the policy, as the wins that MAMBA's authors log, or its `mode`."""

    def __post_init__(self) -> None:
        at_least("rollout", 1, num_envs=self.num_envs)
        one_of("rollout", TIMEOUTS, timeout=self.timeout)
        one_of("rollout", CHOICES, evaluation_latent=self.evaluation_latent)
        one_of("rollout", CHOICES, evaluation_action=self.evaluation_action)


@dataclass(frozen=True)
class ModelConfig:
    """The world model all agents share, and the widths of actor and critic."""

    hidden_size: int = 256
    """H, width of every layer, of the GRU's state and of the embedding."""
    categoricals: int = 32
    """K, categorical variables of a latent."""
    classes: int = 32
    """C, classes of each of them."""
    attention_layers: int = 3
    """Transformer layers over agents in the transition; the critic has one."""
    heads: int = 8
    """Attention heads."""
    dropout: float = 0.1
    """Share of activations dropped in those layers while the model is trained."""
    reset_action: bool = False
    """True: an episode begins with no last action in training too, as it does in acting. The reference feeds the
    model the last action of the episode stored before."""

    def __post_init__(self) -> None:
        sizes = ("hidden_size", "categoricals", "classes", "attention_layers", "heads")
        at_least("model", 1, **{name: getattr(self, name) for name in sizes})
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"model.dropout must lie in [0, 1), got {self.dropout}: correct the setting")
        if self.hidden_size % self.heads:
            raise ValueError(
                f"model.heads must divide hidden_size ({self.hidden_size}), got {self.heads}: heads share its entries"
            )


@dataclass(frozen=True)
class ModelLearningConfig:
    """Replay and updates of the world model."""

    capacity_steps: int = 250_000
    """Steps the replay holds, absorbing ones included."""
    start_steps: int = 500
    """Updates begin once so many are stored."""
    sequence_length: int = 20
    """Stored steps of one sequence."""
    batch_sequences: int = 40
    """B, sequences of one update."""
    updates_per_episode: int = 60
    """Gradient steps after each finished episode."""
    learning_rate: float = 2e-4
    """Step size of Adam."""
    kl_balance: float = 0.2
    """Weight of the divergence whose gradient goes to the posterior; the prior's has the rest."""
    grad_clip: float = 100.0
    """Largest global gradient norm."""

    def __post_init__(self) -> None:
        counts = ("capacity_steps", "batch_sequences", "updates_per_episode")
        at_least("model_learning", 1, **{name: getattr(self, name) for name in counts})
        at_least("model_learning", 4, sequence_length=self.sequence_length)
        fraction("model_learning", kl_balance=self.kl_balance)
        positive("model_learning", learning_rate=self.learning_rate, grad_clip=self.grad_clip)
        if not self.sequence_length < self.start_steps <= self.capacity_steps:
            raise ValueError(
                f"model_learning.start_steps must lie between sequence_length ({self.sequence_length}) and "
                f"capacity_steps ({self.capacity_steps}), got {self.start_steps}: sequences must fit in what is stored"
            )


@dataclass(frozen=True)
class BehaviourConfig:
    """Imagination, and PPO on what was imagined."""

    updates_per_episode: int = 4
    """Imagined batches after each finished episode."""
    batch_sequences: int = 40
    """Stored sequences whose latent states imagination starts from."""
    horizon: int = 15
    """Imagined states in a row, the start included."""
    gamma: float = 0.99
    """Discount per environment step."""
    gae_lambda: float = 0.95
    """Lambda of the returns."""
    epochs: int = 5
    """Passes of PPO over an imagined batch."""
    minibatch_rows: int = 2000
    """Imagined states (all agents together) of one gradient step."""
    clip: float = 0.2
    """How far the probability ratio may move before it stops counting."""
    entropy_coefficient: float = 0.001
    """Weight of the entropy bonus at the beginning of the run."""
    entropy_decay: float = 0.99998
    """Factor of that weight after each minibatch."""
    actor_learning_rate: float = 5e-4
    """Step size of the actor's Adam."""
    critic_learning_rate: float = 5e-4
    """Step size of the critic's Adam."""
    weight_decay: float = 1e-5
    """Of the actor, added to its gradient."""
    grad_clip: float = 100.0
    """Largest gradient norm, of actor and critic separately."""

    def __post_init__(self) -> None:
        counts = ("updates_per_episode", "batch_sequences", "epochs", "minibatch_rows")
        at_least("behaviour", 1, **{name: getattr(self, name) for name in counts})
        at_least("behaviour", 2, horizon=self.horizon)
        shares = ("gamma", "gae_lambda", "entropy_decay")
        fraction("behaviour", **{name: getattr(self, name) for name in shares})
        at_least("behaviour", 0, entropy_coefficient=self.entropy_coefficient, weight_decay=self.weight_decay)
        scales = ("clip", "actor_learning_rate", "critic_learning_rate", "grad_clip")
        positive("behaviour", **{name: getattr(self, name) for name in scales})


@dataclass(frozen=True)
class ComputeConfig:
    """How it is computed."""

    precision: str = "float32"
    """Of matrix products: `float32`, or `bfloat16` (weights and sums stay float32), fast where the CPU has it."""

    def __post_init__(self) -> None:
        one_of("compute", PRECISIONS, precision=self.precision)


@dataclass(frozen=True)
class MambaConfig:
    """Settings of MAMBA."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    model_learning: ModelLearningConfig = field(default_factory=ModelLearningConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
