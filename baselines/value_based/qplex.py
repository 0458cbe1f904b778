"""QPLEX's duplex dueling mixer (Wang et al., ICLR 2021, arXiv 2008.01062).

    Q'_i = w_i(s) Q_i + b_i(s), w_i > 0        V'_i = max over legal a of Q'_i        A'_i = Q'_i - V'_i <= 0
    Q_tot(s, a) = sum_i V'_i + sum_i lambda_i(s, a) A'_i,   lambda_i > 0

A joint action is greedy for Q_tot exactly if each agent's is greedy for Q_i, whatever lambda and w are: every decentral
greedy policy can be represented, and lambda, which sees the whole joint action, bends the rest. As in the authors' code
the factor A'_i of lambda is detached, so that dQ_tot/dQ_i = w_i, and lambda learns only where A'_i < 0.

Two kinds of weights, as in that code: `dmaq_qatten` (SMAC; attention over unit features) and `dmaq` (matrix games).
"""

from __future__ import annotations

from fnmatch import fnmatch
from itertools import pairwise

import torch
from torch import Tensor, nn

from baselines.value_based.config import QplexConfig, QplexMixerConfig
from baselines.value_based.mixers import JointChoice, Mixer
from envs.interface import EnvInfo
from skirmish.data.maps import load_map, map_names
from skirmish.scenarios.draw import SCENARIOS, build_spec
from training.errors import UserError

TINY = 1e-10  # added to weights and kernels that an absolute value keeps from being negative: now they are positive


def qplex(config: QplexConfig, info: EnvInfo) -> Mixer:
    """The mixer of QPLEX for an environment. Raises: UserError if its unit features are not known."""
    mixer = config.mixer
    weighted, nonlinear = (_applies(p, info.name) for p in (mixer.weighted_head, mixer.nonlinear))
    if mixer.kind == "dmaq":
        weights: nn.Module = HyperWeights(info, mixer) if weighted else UnitWeights()
    else:
        width = mixer.unit_features or unit_features(info)
        if info.n_agents * width > info.state_size:
            raise UserError(
                f"mixer.unit_features must be at most {info.state_size // info.n_agents} on {info.name}, got {width}: "
                f"the state of {info.state_size} entries begins with those of {info.n_agents} agents"
            )
        weights = AttentionWeights(info, mixer, width, weighted=weighted, nonlinear=nonlinear)
    return QplexMixer(weights, Importance(info, mixer))


def duplex_dueling(q: Tensor, q_max: Tensor, w: Tensor, b: Tensor, lam: Tensor) -> Tensor:
    """Q_tot = sum_i Q'_i + sum_i (lambda_i - 1) stop(A'_i), which equals sum_i V'_i + sum_i lambda_i A'_i.

    Args:
      q: (..., n) Q of the chosen actions.    q_max: (..., n) the largest legal Q.
      w, b: (..., n), w > 0: Q'_i = w Q_i + b.    lam: (..., n) importance, > 0.
    Returns: (..., 1).
    Source: QPLEX (arXiv 2008.01062), equations 7 to 10, in the form its code computes.
    """
    advantage = (w * (q - q_max)).detach()
    return (w * q + b + (lam - 1.0) * advantage).sum(-1, keepdim=True)


class QplexMixer(Mixer):
    """Duplex dueling over given weights (w, b) and importance (lambda)."""

    def __init__(self, weights: nn.Module, importance: nn.Module) -> None:
        super().__init__()
        self.weights, self.importance = weights, importance

    def forward(self, choice: JointChoice) -> Tensor:
        """Q_tot, (..., 1)."""
        return self.with_penalty(choice)[0]

    def with_penalty(self, choice: JointChoice) -> tuple[Tensor, Tensor | None]:
        """Q_tot, and the attention's regulariser if there is one."""
        q = choice.chosen
        w, b, penalty = self.weights(q, choice.state)
        lam = self.importance(choice.state, choice.actions)
        return duplex_dueling(q, choice.maximum, w, b, lam), penalty


class Importance(nn.Module):
    """lambda_i = sum_k (|key_k(s)| + 1e-10) sigmoid(agent_k,i(s)) sigmoid(action_k,i(s, one-hots of all actions))."""

    def __init__(self, info: EnvInfo, config: QplexMixerConfig) -> None:
        super().__init__()
        self.n_agents, self.n_actions, self.kernels = info.n_agents, info.n_actions, config.kernels
        joint_size = info.state_size + info.n_agents * info.n_actions

        def nets(inputs: int, outputs: int) -> nn.Module:
            return Parallel(config.kernels, inputs, outputs, layers=config.kernel_layers, width=config.kernel_size)

        self.keys = nets(info.state_size, 1)
        self.agents = nets(info.state_size, info.n_agents)
        self.actions = nets(joint_size, info.n_agents)

    def forward(self, state: Tensor, actions: Tensor) -> Tensor:
        """state: (..., S), actions: (..., n) int64. Returns: (..., n), positive."""
        one_hots = nn.functional.one_hot(actions, self.n_actions).flatten(-2).to(state.dtype)
        keys = self.keys(state).abs() + TINY  # (..., K, 1)
        gates = torch.sigmoid(self.agents(state)) * torch.sigmoid(self.actions(torch.cat([state, one_hots], -1)))
        return (keys * gates).sum(-2)


class UnitWeights(nn.Module):
    """w = 1, b = 0: `dmaq` without weighted head."""

    def forward(self, q: Tensor, state: Tensor) -> tuple[Tensor, Tensor, None]:
        """w and b, (..., n) each, and no regulariser."""
        return torch.ones_like(q), torch.zeros_like(q), None


class HyperWeights(nn.Module):
    """w and b from two-layer networks of the state: `dmaq` with weighted head."""

    def __init__(self, info: EnvInfo, config: QplexMixerConfig) -> None:
        super().__init__()
        self.w = two_layers(info.state_size, config.query_size, info.n_agents)
        self.b = two_layers(info.state_size, config.query_size, info.n_agents)

    def forward(self, q: Tensor, state: Tensor) -> tuple[Tensor, Tensor, None]:
        """w and b, (..., n) each, and no regulariser."""
        return self.w(state).abs() + TINY, self.b(state), None


class AttentionWeights(nn.Module):
    """w_i: attention of H heads that ask with the state for the agents' unit features; b_i = V(s) / n.

    `weighted` multiplies the heads by functions of the state. `nonlinear` shows Q_i to the keys, as the authors do on
    one map: w then depends on Q, and the greedy joint action need not be that of the agents.
    """

    def __init__(
        self, info: EnvInfo, config: QplexMixerConfig, unit_width: int, *, weighted: bool, nonlinear: bool
    ) -> None:
        super().__init__()
        self.n_agents, self.unit_width, self.nonlinear = info.n_agents, unit_width, nonlinear
        self.heads, self.embed_size, self.coefficient = config.heads, config.embed_size, config.attention_penalty
        size = info.state_size
        self.queries = nn.ModuleList(
            two_layers(size, config.query_size, config.embed_size, bias=False) for _ in range(config.heads)
        )
        self.keys = nn.Linear(unit_width + nonlinear, config.heads * config.embed_size, bias=False)
        self.head_weights = two_layers(size, config.query_size, config.heads) if weighted else None
        self.value = two_layers(size, config.embed_size, 1)

    def forward(self, q: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """w and b, (..., n) each, and the regulariser c sum_h mean(logit^2)."""
        units = state[..., : self.n_agents * self.unit_width].unflatten(-1, (self.n_agents, self.unit_width))
        if self.nonlinear:
            units = torch.cat([units, q.unsqueeze(-1)], -1)
        queries = torch.stack([query(state) for query in self.queries], -2)  # (..., H, E)
        keys = self.keys(units).unflatten(-1, (self.heads, self.embed_size))  # (..., n, H, E)
        logits = (keys * queries.unsqueeze(-3)).sum(-1)  # (..., n, H)
        attention = torch.softmax(logits / self.embed_size**0.5, -2)
        if self.head_weights is not None:
            attention = attention * self.head_weights(state).abs().unsqueeze(-2)
        penalty = self.coefficient * self.heads * (logits**2).mean()  # the sum of the heads' means
        return attention.sum(-1) + TINY, (self.value(state) / self.n_agents).expand_as(q), penalty


class Parallel(nn.Module):
    """K networks of one shape on the same input, layer by layer side by side; ReLU between layers.

    Weights are (K, inputs, outputs). They begin as `nn.Linear`'s: uniform within 1 / sqrt(number of inputs).
    """

    def __init__(self, count: int, inputs: int, outputs: int, *, layers: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * (layers - 1), outputs]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            bound = before**-0.5
            self.weights.append(torch.empty(count, before, after).uniform_(-bound, bound))
            self.biases.append(torch.empty(count, 1, after).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., inputs). Returns: (..., K, outputs)."""
        count, _, width = self.weights[0].shape
        # All networks see the same input: their first layers are one product, K times as wide.
        joined = self.weights[0].transpose(0, 1).flatten(1)  # (inputs, K * width)
        rows = torch.addmm(self.biases[0].flatten(), x.reshape(-1, x.shape[-1]), joined).view(-1, count, width)
        for weight, bias in zip(self.weights[1:], self.biases[1:]):
            rows = torch.baddbmm(bias, rows.relu().transpose(0, 1), weight).transpose(0, 1)
        return rows.reshape(*x.shape[:-1], *rows.shape[1:])


def two_layers(inputs: int, width: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """Linear, ReLU, Linear; `bias` concerns the last layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs, bias=bias))


def unit_features(info: EnvInfo) -> int:
    """Entries of one agent at the beginning of SMAC's plain state: health, cooldown or energy, x, y, shield?, type.

    Raises: UserError for a map that is not SMAC's or a state of another size: give `mixer.unit_features` then.
    """
    if info.name in map_names():
        spec = load_map(info.name)
    elif info.name in SCENARIOS:
        spec = build_spec(SCENARIOS[info.name])
    else:
        raise UserError(
            f"unit features of {info.name!r} are not known: set mixer.unit_features to the entries of one agent at the "
            f"beginning of the state, or mixer.kind=dmaq, which needs none"
        )
    width = 4 + spec.ally_shields + spec.type_bits
    units = info.n_agents * width + info.n_enemies * (3 + spec.enemy_shields + spec.type_bits)
    tails = {last * info.n_agents * info.n_actions + clock for last in (0, 1) for clock in (0, 1)}
    if info.state_size - units not in tails:
        raise UserError(
            f"the state of {info.name} must have {units} entries of units, then last actions and the time step or not; "
            f"got {info.state_size} in all: set mixer.unit_features to the entries of one agent at its beginning"
        )
    return width


def _applies(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
