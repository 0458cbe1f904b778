"""What a search tree is: flat arrays for B roots, one node per root and simulation, and the numbers of a search.

Source: MAZero (arXiv 2405.11778), sections on sampled search and OS(lambda).
"""

import math
from typing import NamedTuple

import numpy as np

from mazero.search.base import SearchConfig

ROOT = 0  # index of the root among a tree's nodes; simulation t creates node t
UNVISITED = -1  # child index of a joint action that was never taken
FINE = -1  # status of a root whose network outputs are all finite; otherwise the offending column of `outputs`
COUNT_SLACK = 1e-9  # in float64 (1 - 0.7) * 10 lies just above 3; a bare ceil would keep 4 of 10 values
WORD = 63  # bits of a word of a key: int64 without its sign
ADVANTAGE, SHARE = 0, 1  # rows of `Tree.edge`
_LANES = 16  # loops that the compiler turns into vector instructions take this many elements at a time


NODE = np.dtype(
    [
        ("visits", np.int32),  # 1 for a new node, then one more for each later simulation through it
        ("parent", np.int32),
        ("slot", np.int32),  # which of its parent's children it is
        ("depth", np.int32),  # 0 at the root
        ("num_children", np.int32),
        ("height", np.int32),  # largest relative depth at which a value is filed
        ("reward", np.float64),  # predicted on entering the node
        ("predicted", np.float64),  # the network's value v
        ("value", np.float64),  # OS(lambda) value V
    ],
    align=True,
)

LEVEL = np.dtype(
    [
        ("kept_sum", np.float64),  # sum of the values kept
        ("kept", np.int32),  # number of values kept
        ("count", np.int32),  # number of values filed
    ],
    align=True,
)


class Tree(NamedTuple):
    """B trees. C = min(K, A ** n) children per node; node i files values in cells `first_cell(N + 1, i)`, ... of a
    triangle of size P = (N + 1)(N + 2) / 2, because only later nodes can lie below it. Contents are defined up to the
    node counts only; a node without visited children has neither edges nor filed values yet: most nodes stay that way,
    and what they do not have needs no room in the processor's cache. Scratch is shared by all roots, also by parts of
    one `Tree` made with `[:b]`: threads need a tree each.

    A joint action is a key of W = ceil(n / G) words of G = floor(63 / bits) agents, the first agent in the highest
    bits, so that the order of keys is the lexicographic order of joint actions; `joint_actions` reads them.
    """

    nodes: np.ndarray  # (B, N + 1) NODE: what belongs together lies in one cache line
    advantage: np.ndarray  # (B, N + 1) float64: reward + discount * V - predicted value of the parent
    key: np.ndarray  # (B, N + 1, C, W) int64: joint action of each child, in ascending order
    prior: np.ndarray  # (B, N + 1, C) float64
    child: np.ndarray  # (B, N + 1, C) int32: node of each child, or UNVISITED
    edge: np.ndarray  # (B, N + 1, 2, C) float64: advantage of each child (0: not visited), prior / (1 + its visits)
    filed: np.ndarray  # (B, P) float64: values filed at a node, by relative depth, largest first within a depth
    level: np.ndarray  # (B, P) LEVEL: by relative depth
    importance: np.ndarray  # (B, C) float64: prior * pi / beta of the root's children
    log_beta: np.ndarray  # (B, C) float64: of the root's children
    rng: np.ndarray  # (B,) uint64: state of each root's generator
    policy: np.ndarray  # (1, n, A) float64: scratch, policy of a root without noise
    beta: np.ndarray  # (1, n, A) float64: scratch, what a root's actions are drawn from
    weight: np.ndarray  # (1, n * A, rounded up to _LANES) float64: scratch, sampling weights, cumulated for each agent
    score: np.ndarray  # (1, K, rounded up to _LANES) float64: scratch, scores of a node's children, or of its draws
    draw: np.ndarray  # (1, W + 2, K, rounded up to _LANES) int64: scratch, words of the keys drawn, and their order

    @property
    def packing(self) -> tuple[int, int]:
        """Bits of one agent's action in a key, and agents per word of a key."""
        bits = bits_of(self.policy.shape[2])
        return bits, WORD // bits

    def joint_actions(self, node: int) -> np.ndarray:
        """(B, C, n) int16: joint actions of a node's children."""
        bits, group = self.packing
        agent = np.arange(self.policy.shape[1])
        shift = bits * (group - 1 - agent % group)
        return (
            (self.key[:, node, :, agent // group] >> shift[:, None, None] & ((1 << bits) - 1))
            .transpose(1, 2, 0)
            .astype(np.int16)
        )


class Rule(NamedTuple):
    """Numbers of the selection rule."""

    min_max_floor: float
    tie_tolerance: float
    explore: np.ndarray  # (N + 1,) float64: factor of a prior at a node below which there were m visits


class Constants(NamedTuple):
    """Numbers the kernels need, in the form they need them."""

    rule: Rule
    num_sampled_actions: int
    discount: float
    dirichlet_alpha: float
    noise_fraction: float
    kept: np.ndarray  # (N + 2,) int64: how many of m values of one depth are kept, m = 0..N + 1
    weight: np.ndarray  # (N + 1,) float64: lambda ** d
    proposal: str
    score: str


def allocate(num_roots: int, n_agents: int, n_actions: int, config: SearchConfig) -> Tree:
    """Memory for trees of the given size; `begin` makes it valid. The first b of each field (`[:b]`) serve b roots."""
    b, n, a, nodes = num_roots, n_agents, n_actions, config.num_simulations + 1
    k = config.num_sampled_actions
    c = min(k, n_actions**n_agents)  # python integers: no overflow with many agents
    words = -(-n // (WORD // bits_of(a)))
    cells = nodes * (nodes + 1) // 2
    return Tree(
        nodes=np.empty((b, nodes), NODE),
        advantage=np.empty((b, nodes)),
        key=np.empty((b, nodes, c, words), np.int64),
        prior=np.empty((b, nodes, c)),
        child=np.empty((b, nodes, c), np.int32),
        edge=np.empty((b, nodes, 2, c)),
        filed=np.empty((b, cells)),
        level=np.empty((b, cells), LEVEL),
        importance=np.empty((b, c)),
        log_beta=np.empty((b, c)),
        rng=np.empty(b, np.uint64),
        policy=np.empty((1, n, a)),
        beta=np.empty((1, n, a)),
        weight=np.zeros((1, _round_up(n * a, _LANES))),
        score=np.zeros((1, _round_up(k, _LANES))),
        draw=np.zeros((1, words + 2, _round_up(k, _LANES)), np.int64),
    )


def constants(config: SearchConfig) -> Constants:
    """The kernels' view of `config`."""
    n = config.num_simulations
    return Constants(
        rule=Rule(
            min_max_floor=float(config.min_max_floor),
            tie_tolerance=float(config.tie_tolerance),
            explore=np.array([exploration(m, config.pb_c_init, config.pb_c_base) for m in range(n + 1)]),
        ),
        num_sampled_actions=int(config.num_sampled_actions),
        discount=float(config.discount),
        dirichlet_alpha=float(config.dirichlet_alpha),
        noise_fraction=float(config.noise_fraction),
        kept=kept_counts(config.effective_rho, n + 1),
        weight=config.effective_lam ** np.arange(n + 1),
        proposal=config.proposal,
        score=config.score,
    )


def exploration(m: int, pb_c_init: float, pb_c_base: float) -> float:
    """Factor of a prior in the selection rule after m visits below a node: sqrt(m) * (c1 + ln((m + c2 + 1) / c2))."""
    return math.sqrt(m) * (pb_c_init + math.log((m + pb_c_base + 1.0) / pb_c_base))


def kept_counts(rho: float, most: int) -> np.ndarray:
    """(most + 1,) int64: max(1, ceil((1 - rho) * m)) for m = 0..most, free of float64's rounding of (1 - rho) * m."""
    counts = np.ceil((1.0 - rho) * np.arange(most + 1) - COUNT_SLACK)
    return np.maximum(1, counts).astype(np.int64)


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step


def bits_of(n_actions: int) -> int:
    """Bits of one agent's action in a key."""
    return max(1, int(n_actions - 1).bit_length())
