"""What goes into a search and what comes out of it: settings, roots, the model's contract and the result.

The method is sampled MCTS over joint actions with OS(lambda) values: Liu et al., *Efficient Multi-agent Reinforcement
Learning by Planning*, ICLR 2024 (arXiv 2405.11778). Axes: B roots, n agents, A actions per agent, K sampled joint
actions, N simulations, H hidden units per agent.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from mazero.search import rules


@dataclass(frozen=True)
class SearchConfig:
    """Settings of one search. `rho` is the share of values thrown away: 0.75 in the paper's table, 0.25 as released.

    Raises: ValueError naming the field, the value found and the values allowed.
    """

    num_simulations: int = 100  # N: network calls per search, one new node per root each
    num_sampled_actions: int = 10  # K: joint actions drawn at every node
    discount: float = 0.99  # gamma, per environment step
    rho: float = 0.75  # OS(lambda): share of the values of each depth that is thrown away, smallest first
    lam: float = 0.8  # OS(lambda): weight of depth d is lam ** d
    os_lambda: bool = True  # False: a node's value is the plain mean of its backups (ablation); rho, lam are ignored
    pb_c_init: float = 1.25  # c1 of the selection rule (MuZero)
    pb_c_base: float = 19652.0  # c2 of the selection rule (MuZero)
    dirichlet_alpha: float = 0.3  # concentration of the root noise, one draw per agent
    noise_fraction: float = 0.25  # share of noise in what the root's joint actions are drawn from, if there is noise
    clean_share: float | None = None  # share of joint draws that noise leaves alone, instead of a noise_fraction
    min_max_floor: float = 0.01  # least range by which advantages are normalised
    tie_tolerance: float = 1e-6  # children this close to the best score are equal; one of them is drawn
    proposal: str = "policy"  # which joint actions a node gets, see `rules`
    score: str = "puct"  # which child a simulation goes to next, see `rules`

    def __post_init__(self) -> None:
        for name in ("num_simulations", "num_sampled_actions"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        if not isinstance(self.os_lambda, (bool, np.bool_)):
            raise ValueError(f"os_lambda must be true or false, got {self.os_lambda!r}")
        rules.check_name("proposal", self.proposal, rules.PROPOSALS)
        rules.check_name("score", self.score, rules.SCORES)
        _require(self, "discount", lambda x: 0.0 < x <= 1.0, "lie in (0, 1]", "it is the discount per environment step")
        _require(self, "rho", lambda x: 0.0 <= x < 1.0, "lie in [0, 1)", "it is the fraction of values thrown away")
        _require(self, "lam", lambda x: 0.0 < x <= 1.0, "lie in (0, 1]", "values at depth d weigh lam ** d")
        _require(self, "noise_fraction", lambda x: 0.0 <= x <= 1.0, "lie in [0, 1]", "it is the noise in the policy")
        if self.clean_share is not None:
            _require(self, "clean_share", lambda x: 0.0 < x <= 1.0, "lie in (0, 1]", "it is a share of joint draws")
        _require(self, "pb_c_init", lambda x: 0.0 <= x < np.inf, "be at least 0", "it weighs the priors")
        _require(self, "tie_tolerance", lambda x: 0.0 <= x < np.inf, "be at least 0", "scores this close are tied")
        _require(
            self, "pb_c_base", lambda x: 0.0 < x < np.inf, "be above 0", "priors gain weight over this many visits"
        )
        _require(self, "dirichlet_alpha", lambda x: 0.0 < x < np.inf, "be above 0", "it is a concentration")
        _require(self, "min_max_floor", lambda x: 0.0 < x < np.inf, "be above 0", "advantages are divided by it")

    @property
    def effective_rho(self) -> float:
        """rho as the search uses it: 0 (keep everything) without OS(lambda)."""
        return float(self.rho) if self.os_lambda else 0.0

    @property
    def effective_lam(self) -> float:
        """lambda as the search uses it: 1 (all depths weigh the same) without OS(lambda)."""
        return float(self.lam) if self.os_lambda else 1.0

    def for_team(self, n_agents: int) -> "SearchConfig":
        """The same with the noise of each of n agents spelt out.

        With a fraction f of noise in each policy, (1 - f) ** n of the joint draws hold none: 0.56 with 2 agents and
        f = 0.25, but 0.10 with 8. `clean_share` fixes that share, f = 1 - clean_share ** (1 / n).
        """
        if self.clean_share is None:
            return self
        return replace(self, noise_fraction=1.0 - self.clean_share ** (1.0 / n_agents), clean_share=None)


def _require(config: SearchConfig, name: str, holds, expected: str, meaning: str) -> None:
    value = getattr(config, name)
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not holds(value):
        raise ValueError(f"{name} must {expected}, got {value!r}: {meaning}")


@dataclass(frozen=True, eq=False)
class Root:
    """The states to search from, as the initial inference returns them.

    Attributes:
      hidden: (B, n, H) float32 or float64 tensor; its device is where the model runs.
      value: (B,) tensor, predicted values.
      policy_logits: (B, n, A) tensor, finite.
      available_actions: (B, n, A) bool array, True = allowed; None: everything is, which is the same as a mask of ones
        (the release adds no `LEGAL_BONUS` where it gets no mask).
    """

    hidden: torch.Tensor
    value: torch.Tensor
    policy_logits: torch.Tensor
    available_actions: np.ndarray | None = None

    def check(self) -> tuple[int, int, int]:
        """Returns (B, n, A). Raises: ValueError if the shapes disagree or an agent has no action."""
        if self.policy_logits.ndim != 3:
            raise ValueError(f"root.policy_logits must have shape (B, n, A), got {tuple(self.policy_logits.shape)}")
        b, n, a = self.policy_logits.shape
        if min(b, n, a) < 1:
            raise ValueError(f"root.policy_logits must have no empty axis, got {(b, n, a)}: search at least one root")
        if self.hidden.ndim != 3 or tuple(self.hidden.shape[:2]) != (b, n):
            raise ValueError(f"root.hidden must have shape ({b}, {n}, H), got {tuple(self.hidden.shape)}")
        if tuple(self.value.shape) != (b,):
            raise ValueError(f"root.value must have shape ({b},), got {tuple(self.value.shape)}")
        if a > np.iinfo(np.int16).max:
            raise ValueError(f"at most {np.iinfo(np.int16).max} actions per agent are supported, got {a}")
        if self.available_actions is not None:
            available = np.asarray(self.available_actions)
            if available.shape != (b, n, a) or available.dtype != np.bool_:
                raise ValueError(
                    f"root.available_actions must be bool of shape {(b, n, a)}, got {available.dtype} {available.shape}"
                )
            if not available.any(axis=2).all():
                root, agent = np.argwhere(~available.any(axis=2))[0]
                raise ValueError(f"agent {agent} of root {root} has no available action: give it a no-op")
        return b, n, a


class RecurrentFn(Protocol):
    """The model, one step ahead. All tensors live on the device of `Root.hidden`."""

    def __call__(
        self, hidden: torch.Tensor, joint_action: torch.Tensor, /
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Takes one joint action in each of B hidden states.

        Args:
          hidden: (B, n, H), in the dtype of `Root.hidden`; valid only during the call.
          joint_action: (B, n) int64.
        Returns: next hidden (B, n, H), reward (B,), value of the next state (B,), its policy logits (B, n, A).
        """
        ...


class InPlaceModel(Protocol):
    """A model that works in the search's own memory (CPU, float32), which saves the copies in and out of it."""

    @property
    def roots_at_once(self) -> int:
        """How many roots it likes to be searched together; the others wait for their turn."""
        ...

    def begin(self, hidden: np.ndarray) -> None:
        """A search of this thread starts in the memory `hidden` (R, n, H), whose contents are new."""
        ...

    def step_in_place(
        self, hidden: np.ndarray, rows: np.ndarray, actions: np.ndarray, first: int, outputs: np.ndarray
    ) -> None:
        """Takes one joint action in each of B hidden states; may be called from several threads at once.

        Args:
          hidden: (R, n, H) float32, as given to `begin`, all states of the search: row rows[b] is read, row first + b
            is written.
          rows: (B,) int64, all different.    actions: (B, n) int64.    first: int.
          outputs: (B, 2 + n * A) float32, filled: reward, value of the next state, its policy logits.
        """
        ...


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found out about each root. Children stand in lexicographic order of their joint actions.

    Entries of children that do not exist (see `mask`) are 0. A child that exists but was never visited (possible only
    if N < K) has visit count 0, reward 0 and q equal to the root's predicted value, i.e. advantage 0.
    """

    value: np.ndarray  # (B,) float64: V(root), the OS(lambda) value
    predicted_value: np.ndarray  # (B,) float64: the network's value of the root
    num_children: np.ndarray  # (B,) int32: different joint actions drawn, at most K
    joint_actions: np.ndarray  # (B, K, n) int16
    visit_counts: np.ndarray  # (B, K) int32, sum N
    q: np.ndarray  # (B, K) float64: reward + discount * V(child)
    prior: np.ndarray  # (B, K) float64: beta_hat, the share of the K draws (or what the proposal says), sum 1
    importance: np.ndarray  # (B, K) float64: prior * pi / beta, pi without and beta with noise
    log_beta: np.ndarray  # (B, K) float64: log of the probability beta of a single draw
    reward: np.ndarray  # (B, K) float64: predicted reward
    child_value: np.ndarray  # (B, K) float64: the network's value of the child (0 if never visited)

    @property
    def mask(self) -> np.ndarray:
        """(B, K) bool, True where a child exists."""
        return np.arange(self.visit_counts.shape[1]) < self.num_children[:, None]

    def marginal_visits(self, n_actions: int) -> np.ndarray:
        """(B, n, A) int64: how often each agent took each of its actions at the root; sums to N over A."""
        b, k, n = self.joint_actions.shape
        cell = np.arange(b * n).reshape(b, 1, n) * n_actions + self.joint_actions  # (B, K, n)
        weight = np.broadcast_to(self.visit_counts[:, :, None], (b, k, n))
        return np.bincount(cell.ravel(), weight.ravel(), b * n * n_actions).astype(np.int64).reshape(b, n, n_actions)
