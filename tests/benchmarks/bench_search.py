"""Cost of the search tree alone: `python -m tests.benchmarks.bench_search` prints microseconds per simulation and root.

The model is a table look-up that costs next to nothing. The kernels are timed in a loop of their own, with outputs
drawn beforehand; what a search takes beyond that is glue: copies, calls of torch, the look-up.
"""

import argparse
import sys
import time

import numpy as np
import torch

from mazero.search import Root, SearchConfig, Workspace, rounds, search
from mazero.search import tree as trees


def trivial_model(num_roots: int, n_agents: int, n_actions: int, scale: float):
    """A model whose outputs are drawn beforehand, and the roots to go with it."""
    draw = torch.Generator().manual_seed(0)
    pool = [
        (
            torch.randn(num_roots, generator=draw),
            torch.randn(num_roots, generator=draw),
            scale * torch.randn(num_roots, n_agents, n_actions, generator=draw),
        )
        for _ in range(64)
    ]
    calls = 0

    def recurrent_fn(hidden, joint_action):
        nonlocal calls
        calls += 1
        return (hidden, *pool[calls % len(pool)])

    root = Root(torch.zeros(num_roots, n_agents, 1), pool[0][1], pool[0][2])
    return recurrent_fn, root


def measure(num_roots: int, args: argparse.Namespace) -> float:
    """Least seconds of `repeats` searches, after one to compile and warm up."""
    recurrent_fn, root = trivial_model(num_roots, args.agents, args.actions, args.logit_scale)
    config = SearchConfig(num_simulations=args.simulations, num_sampled_actions=args.sampled)
    workspace = Workspace()
    seconds = []
    for repeat in range(args.repeats + 1):
        seeds = np.arange(num_roots, dtype=np.uint64) + np.uint64(repeat * num_roots)
        start = time.perf_counter()
        search(recurrent_fn, root, config, seeds, noise=True, workspace=workspace)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def measure_kernels(num_roots: int, args: argparse.Namespace) -> tuple[float, float, float]:
    """Least seconds of the calls of `begin`, of all N of `descend` and of all N of `extend` that make up one search."""
    b, n, a = num_roots, args.agents, args.actions
    config = SearchConfig(num_simulations=args.simulations, num_sampled_actions=args.sampled)
    tree, const = trees.allocate(b, n, a, config), trees.constants(config)
    draw = np.random.default_rng(0)
    scale = np.concatenate([np.ones(2), np.full(n * a, args.logit_scale)])
    pool = [(draw.standard_normal((b, 2 + n * a)) * scale).astype(args.dtype) for _ in range(32)]
    legal, status, seeds = np.ones((b, n, a), np.bool_), np.empty(b, np.int64), np.arange(b, dtype=np.uint64)
    rows, actions = np.empty(b, np.int64), np.empty((b, n), np.int64)
    outputs = np.empty_like(pool[0])
    descend, extend = rounds.make_descend(tree, const, rows, actions), rounds.make_extend(tree, const, outputs, status)
    least = np.full((3, args.simulations + 1), np.inf)  # the least of each call: others may use the machine, too
    for _ in range(args.repeats + 1):  # the first compiles
        start = time.perf_counter()
        rounds.begin(tree, const, seeds, pool[0], legal, True, status)
        least[0, 0] = min(least[0, 0], time.perf_counter() - start)
        for simulation in range(1, args.simulations + 1):
            outputs[:] = pool[simulation % len(pool)]
            start = time.perf_counter()
            descend(simulation)
            middle = time.perf_counter()
            extend(simulation)
            stop = time.perf_counter()
            least[1, simulation] = min(least[1, simulation], middle - start)
            least[2, simulation] = min(least[2, simulation], stop - middle)
    return float(least[0, 0]), float(least[1, 1:].sum()), float(least[2, 1:].sum())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--roots", type=int, nargs="+", default=[4, 32, 256])
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--actions", type=int, default=9)
    parser.add_argument("--sampled", type=int, default=10, help="K, joint actions drawn per node")
    parser.add_argument("--simulations", type=int, default=50, help="N, simulations per search")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--logit-scale", type=float, default=1.0, help="10 or more: few children, deep trees")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64", help="of the kernels' outputs")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for num_roots in args.roots:
        seconds = measure(num_roots, args)
        per_root = seconds / (num_roots * args.simulations)
        begin, descend, extend = (x / (num_roots * args.simulations) * 1e6 for x in measure_kernels(num_roots, args))
        kernels = begin + descend + extend
        sys.stdout.write(
            f"B={num_roots:4d} N={args.simulations} K={args.sampled} n={args.agents} A={args.actions}: "
            f"{seconds * 1e3:8.2f} ms a search, {per_root * 1e6:6.2f} us per simulation and root, "
            f"{1 / per_root:10.0f} simulations/s; kernels {kernels:.2f} us (begin {begin:.2f}, descend {descend:.2f}, "
            f"extend {extend:.2f}), glue {per_root * 1e6 - kernels:.2f} us\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
