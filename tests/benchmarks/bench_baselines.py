"""Environment steps that a baseline trains per second: `python -m tests.benchmarks.bench_baselines --json FILE`.

Any algorithm of the registry: the learner is advanced as in a run, updates included, evaluation left out. Timing begins
once learning has, with the first `--warm-up` updates done. The best of several repetitions is reported, as the others
measure the machine's other work; `median_steps_per_second` tells how busy it was, and `steps_per_cpu_second` counts
only the time this process was given a core.

`environment` is the time inside the environment's `step` and `reset_done`. The rest of what the learner itself calls
collecting is `inference` (acting, recording); what it calls learning is `learning`. The three shares add up to 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from typing import Any

import torch

import envs
from baselines import registry
from training import cli
from training.config import apply_overrides, load_preset

ALGORITHMS = tuple(registry.ALGORITHMS)
MAPS = ("3m", "2s3z")


class Stopwatch:
    """Seconds spent in the wrapped methods of an object."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, name, timed)


def measure(name: str, map_name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One algorithm on one map; see the module for what is reported."""
    algorithm = registry.find(name)
    config = apply_overrides(load_preset(algorithm.presets, args.preset, algorithm.config), args.set)
    watch, made = Stopwatch(), []

    def make_env(num_envs: int, observation: str, seed: int) -> envs.VectorEnv:
        env = envs.make(map_name, num_envs=num_envs, observation=observation, seed=seed)
        for method in ("step", "reset_done"):
            watch.wrap(env, method)
        made.append(env)
        return env

    learner: Any = algorithm.make_learner(config, make_env=make_env, seed=args.seed, device="cpu", eval_episodes=1)
    while learner.updates < args.warm_up:
        learner.advance()
    runs = [repetition(learner, watch, args.env_steps) for _ in range(args.repeats)]
    best = max(runs, key=lambda run: run["steps_per_second"])
    return {
        "algorithm": name,
        "map": map_name,
        "preset": args.preset,
        "set": args.set,
        "num_envs": made[0].num_envs,
        **best,
        "median_steps_per_second": statistics.median(run["steps_per_second"] for run in runs),
    }


def repetition(learner: Any, watch: Stopwatch, env_steps: int) -> dict[str, float]:
    """At least `env_steps` steps, up to the end of an update if there is one, so that no half cycle is counted."""
    learner.drain_metrics()
    before = (learner.env_steps, learner.updates, learner.episodes, watch.seconds)
    start, cpu = time.perf_counter(), time.process_time()
    while True:
        updates = learner.updates
        learner.advance()
        if learner.env_steps - before[0] >= env_steps and learner.updates > updates:
            break
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    steps, updates, episodes = (
        now - then for now, then in zip((learner.env_steps, learner.updates, learner.episodes), before)
    )
    environment, learning = watch.seconds - before[3], learner.drain_metrics()["learning_seconds"]
    return {
        "steps_per_second": steps / seconds,
        "steps_per_cpu_second": steps / cpu,
        "environment": environment / seconds,
        "inference": 1.0 - (environment + learning) / seconds,
        "learning": learning / seconds,
        "update_milliseconds": 1e3 * learning / updates,
        "acting_microseconds_per_step": 1e6 * (seconds - learning) / steps,
        "env_steps": steps,
        "updates": updates,
        "steps_per_episode": steps / max(1, episodes),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS), choices=ALGORITHMS, metavar="NAME")
    parser.add_argument("--maps", nargs="+", default=list(MAPS))
    parser.add_argument("--preset", default="published")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of all algorithms")
    parser.add_argument("--env-steps", type=int, default=1500, help="environment steps per repetition")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=20, help="updates before the first repetition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write the results here as well")
    args = parser.parse_args(argv)
    cli.set_up_process(1)
    results = []
    for map_name in args.maps:
        for name in args.algorithms:
            row = measure(name, map_name, args)
            results.append(row)
            print(
                f"{map_name:6s} {name:6s} {row['steps_per_second']:6.0f} steps/s (median "
                f"{row['median_steps_per_second']:.0f}, per CPU second "
                f"{row['steps_per_cpu_second']:.0f}): environment {row['environment']:.0%}, inference "
                f"{row['inference']:.0%}, learning {row['learning']:.0%}; update {row['update_milliseconds']:.1f} ms",
                flush=True,
            )
    if args.json:
        machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()}
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(
                {"machine": machine, "torch": torch.__version__, "threads": 1, "results": results}, file, indent=1
            )
            file.write("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
