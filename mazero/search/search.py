"""Search from many roots at once: the tree kernels of `tree.py` around one batched model call per simulation."""

import numpy as np
import torch

from mazero.search import tree as trees
from mazero.search.base import RecurrentFn, Root, SearchConfig, SearchResult


class Workspace:
    """Memory of a search, kept for the next one: trees, hidden states (N + 1, B, n, H) and transfer buffers.

    Grows to the largest B it has seen and serves smaller ones from the same memory; another n, A, H, N, K, dtype or
    device makes it start anew. Not safe to share between threads. A search leaves its trees in `tree`.
    """

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._capacity = 0
        self.tree: trees.Tree | None = None

    def prepare(self, root: Root, config: SearchConfig) -> None:
        """Makes the attributes fit `root` and `config`; their contents are undefined."""
        b, n, a = root.policy_logits.shape
        size, dtype, device = root.hidden.shape[2], root.hidden.dtype, root.hidden.device
        nodes = config.num_simulations + 1
        key = (n, a, size, nodes, config.num_sampled_actions, dtype, device)
        if key != self._key or b > self._capacity:
            self._key, self._capacity = key, b
            pinned = device.type == "cuda"
            self._trees = trees.allocate(b, n, a, config)
            self._hidden = torch.empty(nodes * b * n * size, dtype=dtype, device=device)
            self._gathered = torch.empty((b, n, size), dtype=dtype, device=device)
            self._outputs = torch.empty((b, 2 + n * a), dtype=torch.float64, pin_memory=pinned)
            self._selected = torch.empty(b * (1 + n), dtype=torch.int64, pin_memory=pinned)
        self.tree = trees.Tree(*(field[:b] for field in self._trees))
        self.hidden = self._hidden[: nodes * b * n * size].view(nodes * b, n, size)  # row node * B + b
        self.gathered = self._gathered[:b]  # (B, n, H): hidden states of the nodes to expand
        self.outputs = self._outputs[:b]  # (B, 2 + n * A): reward, value, policy logits
        self.selected = self._selected[: b * (1 + n)]  # rows of `hidden` (B,), then joint actions (B, n)
        self.status = np.empty(b, np.int64)


def search(
    recurrent_fn: RecurrentFn,
    root: Root,
    config: SearchConfig,
    seeds: np.ndarray,
    *,
    noise: bool,
    workspace: Workspace | None = None,
) -> SearchResult:
    """Runs N simulations from each of B roots, all in lock-step: one model call of B rows per simulation.

    Args:
      recurrent_fn: the model; see `RecurrentFn`. Called under `torch.inference_mode`.
      root: the roots. The search runs on the device of `root.hidden` and in its dtype; values are float64 inside.
      seeds: (B,) uint64, one per root. A root's result depends on nothing but itself, its seed and the model.
      noise: mix Dirichlet noise into the root policies (training), or not (evaluation).
      workspace: memory to use again; None allocates.
    Returns: a `SearchResult` that owns its arrays.
    Raises: ValueError if shapes disagree, an agent has no available action, or the model returns NaN or infinity.
    """
    b, n, a = root.check()
    seeds = np.asarray(seeds)
    if seeds.shape != (b,) or seeds.dtype != np.uint64:
        raise ValueError(f"seeds must be uint64 of shape ({b},), got {seeds.dtype} {seeds.shape}: one for each root")
    space = Workspace() if workspace is None else workspace
    const = trees.constants(config)
    with torch.inference_mode():
        space.prepare(root, config)
        tree, status, device = space.tree, space.status, root.hidden.device
        assert tree is not None
        outputs, selected = space.outputs.numpy(), space.selected.numpy()
        rows, actions = selected[:b], selected[b:].reshape(b, n)

        space.hidden[:b].copy_(root.hidden)
        _pack(space.outputs, torch.zeros_like(root.value), root.value, root.policy_logits)
        if trees.begin(tree, const, seeds, outputs, _legal(root), bool(noise), status):
            raise _not_finite(status, outputs, a, 0)
        for simulation in range(1, config.num_simulations + 1):
            trees.descend(tree, const, simulation, rows, actions)
            index = space.selected.to(device, non_blocking=True)
            torch.index_select(space.hidden, 0, index[:b], out=space.gathered)
            hidden, reward, value, logits = recurrent_fn(space.gathered, index[b:].view(b, n))
            if simulation == 1:
                _check_shapes(hidden, reward, value, logits, root)
            space.hidden[simulation * b : (simulation + 1) * b].copy_(hidden)
            _pack(space.outputs, reward, value, logits)
            if trees.extend(tree, const, simulation, outputs, status):
                raise _not_finite(status, outputs, a, simulation)
    return _result(tree, config)


def _legal(root: Root) -> np.ndarray:
    if root.available_actions is None:
        return np.ones(tuple(root.policy_logits.shape), np.bool_)
    return np.ascontiguousarray(root.available_actions)


def _pack(out: torch.Tensor, reward: torch.Tensor, value: torch.Tensor, logits: torch.Tensor) -> None:
    """One transfer to the host for all three, waiting for it: out (B, 2 + n * A)."""
    out.copy_(torch.cat([reward[:, None], value[:, None], logits.flatten(1)], dim=1))


def _check_shapes(
    hidden: torch.Tensor, reward: torch.Tensor, value: torch.Tensor, logits: torch.Tensor, root: Root
) -> None:
    b = root.value.shape[0]
    wanted = {
        "next hidden": root.hidden.shape,
        "reward": (b,),
        "value": (b,),
        "policy_logits": root.policy_logits.shape,
    }
    for (name, shape), found in zip(wanted.items(), (hidden, reward, value, logits), strict=True):
        if tuple(found.shape) != tuple(shape):
            raise ValueError(f"recurrent_fn must return a {name} of shape {tuple(shape)}, got {tuple(found.shape)}")


def _not_finite(status: np.ndarray, outputs: np.ndarray, n_actions: int, simulation: int) -> ValueError:
    b = int(np.argmax(status != trees.FINE))
    column = int(status[b])
    name = ("reward", "value")[column] if column < 2 else f"policy logits of agent {(column - 2) // n_actions}"
    when = f"simulation {simulation}" if simulation else "the root itself"
    return ValueError(
        f"network output is not finite: {name} is {outputs[b, column]} for root {b} at {when}; "
        "finite numbers are expected, check the network's weights and inputs"
    )


def _result(tree: trees.Tree, config: SearchConfig) -> SearchResult:
    """Reads the statistics of the roots' children out of the trees; (B, C) padded to (B, K)."""
    nodes, root, k = tree.nodes, trees.ROOT, config.num_sampled_actions
    b, c = tree.beta_hat.shape
    num_children = nodes["num_children"][:, root].copy()
    exists = np.arange(c) < num_children[:, None]  # (B, C)
    visited = exists & (tree.child[:, root] != trees.UNVISITED)
    node = np.where(visited, tree.child[:, root], root)  # (B, C)

    def of_child(field: np.ndarray, otherwise: float | np.ndarray = 0.0) -> np.ndarray:
        return np.where(visited, np.take_along_axis(field, node, axis=1), otherwise)

    def padded(values: np.ndarray, dtype: type = np.float64) -> np.ndarray:
        out = np.zeros((b, k, *values.shape[2:]), dtype)
        out[:, :c][exists] = values[exists]
        return out

    reward = of_child(nodes["reward"])
    predicted = nodes["predicted"][:, root].copy()
    q = np.where(visited, reward + config.discount * of_child(nodes["value"]), predicted[:, None])
    return SearchResult(
        value=nodes["value"][:, root].copy(),
        predicted_value=predicted,
        num_children=num_children,
        joint_actions=padded(tree.joint_actions(root), np.int16),
        visit_counts=padded(of_child(nodes["visits"]), np.int32),
        q=padded(q),
        prior=padded(tree.prior[:, root]),
        beta_hat=padded(tree.beta_hat),
        log_beta=padded(tree.log_beta),
        reward=padded(reward),
        child_value=padded(of_child(nodes["predicted"])),
    )
