"""Cost of the search tree alone: `python -m tests.benchmarks.bench_search` prints microseconds per simulation and root.

The model is a table look-up that costs next to nothing; its share is measured without the kernels and reported too.
"""

import argparse
import sys
import time

import numpy as np
import torch

from mazero.search import Root, SearchConfig, Workspace, search


def trivial_model(num_roots: int, n_agents: int, n_actions: int):
    """A model whose outputs are drawn beforehand, and the roots to go with it."""
    draw = torch.Generator().manual_seed(0)
    pool = [
        (
            torch.randn(num_roots, generator=draw),
            torch.randn(num_roots, generator=draw),
            torch.randn(num_roots, n_agents, n_actions, generator=draw),
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
    recurrent_fn, root = trivial_model(num_roots, args.agents, args.actions)
    config = SearchConfig(num_simulations=args.simulations, num_sampled_actions=args.sampled)
    workspace = Workspace()
    seconds = []
    for repeat in range(args.repeats + 1):
        seeds = np.arange(num_roots, dtype=np.uint64) + np.uint64(repeat * num_roots)
        start = time.perf_counter()
        search(recurrent_fn, root, config, seeds, noise=True, workspace=workspace)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--roots", type=int, nargs="+", default=[4, 32, 256])
    parser.add_argument("--agents", type=int, default=3)
    parser.add_argument("--actions", type=int, default=9)
    parser.add_argument("--sampled", type=int, default=10, help="K, joint actions drawn per node")
    parser.add_argument("--simulations", type=int, default=50, help="N, simulations per search")
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for num_roots in args.roots:
        seconds = measure(num_roots, args)
        per_root = seconds / (num_roots * args.simulations)
        sys.stdout.write(
            f"B={num_roots:4d} N={args.simulations} K={args.sampled} n={args.agents} A={args.actions}: "
            f"{seconds * 1e3:8.2f} ms a search, {per_root * 1e6:6.2f} us per simulation and root, "
            f"{1 / per_root:10.0f} simulations/s\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
