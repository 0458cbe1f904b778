"""Search from many roots at once: the kernels of `rounds.py` around one batched model call per simulation."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from mazero.search import rounds
from mazero.search import tree as trees
from mazero.search.base import InPlaceModel, RecurrentFn, Root, SearchConfig, SearchResult
from mazero.search.outcome import empty_result, read


class Workspace:
    """Memory of a search, kept for the next one: trees, hidden states (N + 1, B, n, H) and transfer buffers.

    Grows to the largest B it has seen and serves smaller ones from the same memory; another n, A, H, N, K, dtype or
    device makes it start anew. Not safe to share between threads. A search leaves its trees in `tree` (if roots were
    searched in chunks, those of the last one).

    Attributes:
      seconds: wall time spent so far in `inference`, `tree` and `glue` (everything else). Chunks of several threads
        add up, so that the sum may exceed the time that passed.
      roots: roots searched so far.
    """

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._capacity = 0
        self._helpers: list[Workspace] = []
        self.tree: trees.Tree | None = None
        self.roots = 0
        self.seconds = {"inference": 0.0, "tree": 0.0, "glue": 0.0}

    def prepare(self, root: Root, config: SearchConfig) -> None:
        """Makes the attributes fit `root` and `config`; their contents are undefined."""
        b, n, a = root.policy_logits.shape
        size, dtype, device = root.hidden.shape[2], root.hidden.dtype, root.hidden.device
        nodes = config.num_simulations + 1
        key = (n, a, size, nodes, config.num_sampled_actions, dtype, root.value.dtype, device)
        if key != self._key or b > self._capacity:
            self._key, self._capacity = key, b
            pinned = device.type == "cuda"
            self._trees = trees.allocate(b, n, a, config)
            self._hidden = torch.empty(nodes * b * n * size, dtype=dtype, device=device)
            self._gathered = torch.empty((b, n, size), dtype=dtype, device=device)
            self._outputs = torch.empty((b, 2 + n * a), dtype=root.value.dtype, pin_memory=pinned)
            self._selected = torch.empty(b * (1 + n), dtype=torch.int64, pin_memory=pinned)
        self.tree = trees.Tree(*(field[:b] for field in self._trees))
        self.hidden = self._hidden[: nodes * b * n * size].view(nodes * b, n, size)  # row node * B + b
        self.gathered = self._gathered[:b]  # (B, n, H): hidden states of the nodes to expand
        self.outputs = self._outputs[:b]  # (B, 2 + n * A): reward, value, policy logits
        self.selected = self._selected[: b * (1 + n)]  # rows of `hidden` (B,), then joint actions (B, n)
        self.status = np.empty(b, np.int64)

    def helpers(self, count: int) -> list[Workspace]:
        """This workspace and count - 1 others, for as many threads."""
        while len(self._helpers) < count - 1:
            helper = Workspace()
            helper.seconds = self.seconds
            self._helpers.append(helper)
        return [self, *self._helpers[: count - 1]]


def search(
    model: RecurrentFn | InPlaceModel,
    root: Root,
    config: SearchConfig,
    seeds: np.ndarray,
    *,
    noise: bool,
    workspace: Workspace | None = None,
    threads: int = 1,
) -> SearchResult:
    """Runs N simulations from each of B roots, all in lock-step: one model call of B rows per simulation.

    A model with `roots_at_once` gets the roots in chunks: an `InPlaceModel`, so that trees and hidden states stay in
    the processor's caches, or one whose step has a fixed size and may be called by several threads. A root's result
    depends on nothing but itself, its seed and the model, so neither chunks nor threads change it.

    Args:
      model: one step of the model, a `RecurrentFn` (called under `torch.inference_mode`) or an `InPlaceModel`.
      root: the roots. The search runs on the device of `root.hidden` and in its dtype; values are float64 inside.
      seeds: (B,) uint64, one per root.
      noise: mix Dirichlet noise into the root policies (training), or not (evaluation).
      workspace: memory to use again; None allocates.
      threads: chunks searched at the same time, by a model that wants chunks (`roots_at_once`).
    Returns: a `SearchResult` that owns its arrays.
    Raises: ValueError if shapes disagree, an agent has no available action, or the model returns NaN or infinity.
    """
    b, n, _ = root.check()
    seeds = np.asarray(seeds)
    if seeds.shape != (b,) or seeds.dtype != np.uint64:
        raise ValueError(f"seeds must be uint64 of shape ({b},), got {seeds.dtype} {seeds.shape}: one for each root")
    space = Workspace() if workspace is None else workspace
    in_place = hasattr(model, "step_in_place")
    if in_place and {(x.dtype, x.device.type) for x in (root.hidden, root.value)} != {(torch.float32, "cpu")}:
        raise ValueError(
            f"an in-place model needs roots in float32 on the CPU, got hidden states in {root.hidden.dtype} on "
            f"{root.hidden.device} and values in {root.value.dtype}"
        )
    size: int = getattr(model, "roots_at_once", b)
    chunks = [slice(start, start + size) for start in range(0, b, size)]
    config = config.for_team(n)
    const, result = trees.constants(config), empty_result(b, n, config)
    jobs = [_Job(_part(root, chunk), seeds[chunk], config, const, noise, chunk.start, result) for chunk in chunks]
    workers = min(threads, len(jobs))
    space.roots += b

    def work(worker: int, own: Workspace) -> None:
        for job in jobs[worker::workers]:
            _search(model, job, own)

    if workers == 1:
        work(0, space)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers), space.helpers(workers)))  # raises what a worker raised
    return result


class _Job(NamedTuple):
    """Roots that are searched together."""

    root: Root
    seeds: np.ndarray
    config: SearchConfig
    const: trees.Constants
    noise: bool
    first: int  # position of these roots among all
    result: SearchResult  # of all roots


def _part(root: Root, chunk: slice) -> Root:
    available = None if root.available_actions is None else root.available_actions[chunk]
    return Root(root.hidden[chunk], root.value[chunk], root.policy_logits[chunk], available)


@torch.inference_mode()
def _search(model: RecurrentFn | InPlaceModel, job: _Job, space: Workspace) -> None:
    """One chunk of roots; fills its rows of the result."""
    root, config, const = job.root, job.config, job.const
    b, n, a = root.policy_logits.shape
    began, clock = time.perf_counter(), time.perf_counter
    inference = in_tree = 0.0
    space.prepare(root, config)
    tree, status = space.tree, space.status
    assert tree is not None
    outputs, selected = space.outputs.numpy(), space.selected.numpy()
    rows, actions = selected[:b], selected[b:].reshape(b, n)
    step = _in_place(model, space) if hasattr(model, "step_in_place") else _copying(model, space, root)

    space.hidden[:b].copy_(root.hidden)
    _pack(space.outputs, torch.zeros_like(root.value), root.value, root.policy_logits)
    if rounds.begin(tree, const, job.seeds, outputs, _legal(root), bool(job.noise), status):
        raise _not_finite(status, outputs, a, 0, job.first)
    descend = rounds.make_descend(tree, const, rows, actions)
    extend = rounds.make_extend(tree, const, outputs, status)
    for simulation in range(1, config.num_simulations + 1):
        t0 = clock()
        descend(simulation)
        t1 = clock()
        step(simulation)
        t2 = clock()
        bad = extend(simulation)
        t3 = clock()
        inference += t2 - t1
        in_tree += t1 - t0 + t3 - t2
        if bad:
            raise _not_finite(status, outputs, a, simulation, job.first)
    read(tree, config.discount, job.result, job.first)
    space.seconds["inference"] += inference
    space.seconds["tree"] += in_tree
    space.seconds["glue"] += clock() - began - inference - in_tree


def _in_place(model: Any, space: Workspace) -> Callable[[int], None]:
    """Expansion of one node per root by a model that reads and writes the workspace itself."""
    hidden, outputs, selected = space.hidden.numpy(), space.outputs.numpy(), space.selected.numpy()
    model.begin(hidden)
    b = len(outputs)
    rows, actions = selected[:b], selected[b:].reshape(b, -1)

    def step(simulation: int) -> None:
        model.step_in_place(hidden, rows, actions, simulation * b, outputs)

    return step


def _copying(model: RecurrentFn, space: Workspace, root: Root) -> Callable[[int], None]:
    """Expansion of one node per root by a function of tensors, on any device."""
    b, n, _ = root.policy_logits.shape
    device = root.hidden.device

    def step(simulation: int) -> None:
        index = space.selected.to(device, non_blocking=True)
        torch.index_select(space.hidden, 0, index[:b], out=space.gathered)
        hidden, reward, value, logits = model(space.gathered, index[b:].view(b, n))
        if simulation == 1:
            _check_shapes(hidden, reward, value, logits, root)
        space.hidden[simulation * b : (simulation + 1) * b].copy_(hidden)
        _pack(space.outputs, reward, value, logits)

    return step


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
    parts = (
        ("next hidden", hidden, root.hidden.shape),
        ("reward", reward, (b,)),
        ("value", value, (b,)),
        ("policy_logits", logits, root.policy_logits.shape),
    )
    for name, found, shape in parts:
        if tuple(found.shape) != tuple(shape):
            raise ValueError(f"the model must return a {name} of shape {tuple(shape)}, got {tuple(found.shape)}")


def _not_finite(status: np.ndarray, outputs: np.ndarray, n_actions: int, simulation: int, first: int) -> ValueError:
    b = int(np.argmax(status != trees.FINE))
    column = int(status[b])
    name = ("reward", "value")[column] if column < 2 else f"policy logits of agent {(column - 2) // n_actions}"
    when = f"simulation {simulation}" if simulation else "the root itself"
    return ValueError(
        f"network output is not finite: {name} is {outputs[b, column]} for root {first + b} at {when}; "
        "finite numbers are expected, check the network's weights and inputs"
    )
