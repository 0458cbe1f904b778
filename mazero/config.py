"""All settings of MAZero, one frozen dataclass per concern. Values live in `presets/*.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mazero.inference import InferenceConfig
from mazero.networks import NetworkConfig
from mazero.search import SearchConfig

PRESETS = Path(__file__).parent / "presets"
VALUE_TARGETS = ("predicted", "searched", "stored")
REUSES = ("draw", "period")
METHODS = ("adam", "sgd")
PADDINGS = ("random", "zero")
HALVINGS = ("dynamics", "state")
POLICY_WEIGHTS = ("visits", "importance")
PRECISIONS = ("float32", "bfloat16")
OF_SEARCH = ("num_simulations", "num_sampled_actions", "pb_c_init", "os_lambda")  # what evaluation may do otherwise


def _require_one_of(settings: object, name: str, known: tuple[str, ...]) -> None:
    if getattr(settings, name) not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(settings, name)!r}")


@dataclass(frozen=True)
class SelfPlayConfig:
    """How experience is collected."""

    num_envs: int = 4
    """Episodes side by side; one vector step adds as many environment steps."""
    temperature: float = 1.0
    """Actions are drawn with probability proportional to visit count ** (1 / temperature)."""
    observation: str = "mazero"
    """Observation family of the environment, `mazero` or `smac`."""

    def __post_init__(self) -> None:
        if self.num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {self.num_envs}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}: 1 samples by visit counts")


@dataclass(frozen=True)
class ReplayConfig:
    """Prioritised replay over transitions (Schaul et al. 2015)."""

    start: int = 300
    """Environment steps of finished episodes before learning starts; until then acting is random among the sampled
    joint actions. Their updates are made up for then (as released: updates follow all transitions collected)."""
    capacity: int | None = None
    """Most environment steps kept (oldest episodes go first); null keeps everything, as the paper's runs do."""
    priority_alpha: float = 0.6
    """Exponent of the priorities; 0 samples uniformly."""
    beta_start: float = 0.4
    """Exponent of the importance weights at the start; it reaches `beta_end` with the last planned update."""
    beta_end: float = 1.0

    def __post_init__(self) -> None:
        if self.start < 1:
            raise ValueError(f"start must be at least 1 environment step, got {self.start}")
        if self.capacity is not None and self.capacity < self.start:
            raise ValueError(f"capacity ({self.capacity}) must not be below start ({self.start})")
        for name in ("priority_alpha", "beta_start", "beta_end"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True)
class TargetConfig:
    """What the networks are trained towards."""

    unroll_steps: int = 5
    """U, model steps per sample."""
    td_steps: int = 5
    """Steps of the value target's return at most; shortened as the data ages."""
    td_age_share: float = 0.3
    """The horizon loses a step for every `td_age_share` x (planned updates) environment steps collected since. The two
    units are the release's: at 0.5 updates a step and a share of 0.3, 0.15 of the budget is worth one step."""
    value_bootstrap: str = "predicted"
    """`predicted`: target network's value at the real observation (the release's "pred-re"); `searched`: root value of
    a fresh search there ("root-re"); `stored`: root value of the search of self-play ("root")."""
    reanalyze_ratio: float = 1.0
    """Share of the samples whose policy targets are searched afresh with the target network."""
    search_reuse: str = "draw"
    """`draw`: a position is searched anew at every draw, as released. `period`: once per target network; later draws
    until the next copy use the same search, which would only have differed by its random draws."""
    period_searches: int = 1
    """With `period`: searches of a position per target network, at most. Draws take them in turn."""
    padding_action: str = "random"
    """Actions that the model is unrolled with beyond an episode's end: `random`, or `zero`, as released."""
    write_back: bool = False
    """Whether fresh searches replace the stored ones (a departure: the release throws them away)."""
    target_interval: int = 200
    """Updates between copies into the target network; the copy used is one period old."""
    prefetch: int = 0
    """Batches made ahead in a second thread while an update runs, 0 or 1. With 1, a batch does not yet know the
    priorities and the target network that the update before it leaves: another run than with 0, as repeatable."""

    def __post_init__(self) -> None:
        for name in ("unroll_steps", "td_steps", "target_interval", "period_searches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.reanalyze_ratio <= 1:
            raise ValueError(
                f"reanalyze_ratio must lie in [0, 1], got {self.reanalyze_ratio}: it is a share of samples"
            )
        if self.td_age_share <= 0:
            raise ValueError(f"td_age_share must be positive, got {self.td_age_share}")
        if self.prefetch not in (0, 1):
            raise ValueError(f"prefetch must be 0 or 1 batches, got {self.prefetch}")
        _require_one_of(self, "value_bootstrap", VALUE_TARGETS)
        _require_one_of(self, "search_reuse", REUSES)
        _require_one_of(self, "padding_action", PADDINGS)


@dataclass(frozen=True)
class LossConfig:
    """Weights and shape of the loss."""

    awpo: bool = True
    """Weigh every searched joint action by its advantage (AWPO); false: behaviour cloning of the search (ablation)."""
    awpo_alpha: float = 3.0
    """Temperature of exp(advantage / alpha)."""
    weight_cap: float = 3.0
    """exp(advantage / alpha) is cut off here."""
    policy_weight: str = "visits"
    """w(c): `visits` = n_c / N (the release's "sharp"); `importance` = pi beta_hat / beta (its "raw")."""
    value: float = 0.25
    reward: float = 1.0
    """More lets rewards be learned where many actions make the policy's loss, on the same features, many times as large
    (70 actions an agent on 2c_vs_64zg: results/reference/tuning/README.md)."""
    consistency: float = 2.0
    consistency_beyond_end: bool = False
    """Whether states beyond an episode's end should agree with its last observation (as released), or are masked."""
    halved_gradient: str = "dynamics"
    """Where the gradient is halved: `dynamics`, on the way into every step of the model (MuZero, appendix G); `state`,
    in every unrolled state, so that its value, policy and consistency losses are halved as well (as released)."""

    def __post_init__(self) -> None:
        for name in ("awpo_alpha", "weight_cap"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("value", "reward", "consistency"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}: it is the weight of a loss")
        _require_one_of(self, "policy_weight", POLICY_WEIGHTS)
        _require_one_of(self, "halved_gradient", HALVINGS)


@dataclass(frozen=True)
class OptimiserConfig:
    """The optimiser and how often it steps."""

    method: str = "adam"
    """`adam`, or `sgd`: stochastic gradient descent with momentum, to compare with (Fig. 9 of the paper)."""
    learning_rate: float = 1e-4
    adam_epsilon: float = 1e-5
    momentum: float = 0.9
    """Of `sgd`."""
    gradient_norm: float = 5.0
    """Global norm at which gradients are clipped."""
    batch_size: int = 256
    updates_per_env_step: float = 0.5
    final_learning_rate: float | None = None
    """Linear decay over all planned updates ends here; null keeps the rate constant."""
    precision: str = "float32"
    """Of the matrix products of an update, `float32` or `bfloat16` (a departure; pays on a GPU only)."""

    def __post_init__(self) -> None:
        for name in ("learning_rate", "adam_epsilon", "gradient_norm", "updates_per_env_step"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        _require_one_of(self, "method", METHODS)
        _require_one_of(self, "precision", PRECISIONS)


@dataclass(frozen=True)
class EvaluationConfig:
    """Greedy play between updates. Episode count and marks are flags of the command line."""

    num_simulations: int | None = None
    """N of the evaluation's search; null: as in training."""
    num_sampled_actions: int | None = None
    """K of the evaluation's search; null: as in training. Priors are shares of K draws: with K = 10 whatever was drawn
    has a prior of at least a tenth, however unlikely the policy thinks it."""
    pb_c_init: float | None = None
    """c1 of the evaluation's search; null: as in training."""
    os_lambda: bool | None = None
    """Whether the evaluation's search is optimistic; null: as in training. False: a node's value is the plain mean."""
    weight_average: float = 0.0
    """Evaluation plays with an average of the weights of past updates, each counting this much less than the next; 0:
    with the last ones."""
    policy_only: bool = True
    """Also play every evaluation without search, each agent taking its most likely action (decentralised execution)."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight_average < 1:
            raise ValueError(
                f"weight_average must lie in [0, 1), got {self.weight_average}: it decays with every update"
            )


@dataclass(frozen=True)
class MAZeroConfig:
    """Everything that decides a MAZero run, besides map, seed and budget."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    self_play: SelfPlayConfig = field(default_factory=SelfPlayConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)

    def __post_init__(self) -> None:
        self.evaluated()  # checks its settings
        if self.inference.backend == "fused" and self.network.structure == "flat":
            raise ValueError(
                "inference.backend fused runs individual dynamics, got network.structure flat: "
                "choose inference.backend auto or eager"
            )

    def evaluated(self) -> MAZeroConfig:
        """The same with the search of evaluation in the place of training's."""
        changed = {name: value for name in OF_SEARCH if (value := getattr(self.evaluation, name)) is not None}
        if not changed:
            return self
        nothing: dict[str, Any] = dict.fromkeys(OF_SEARCH)
        return replace(self, search=replace(self.search, **changed), evaluation=replace(self.evaluation, **nothing))
