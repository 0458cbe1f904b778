"""Environment throughput, memory and start-up: `python -m tests.benchmarks.bench_envs --json FILE`.

One environment step of one episode counts as one. Timed: the joint random draw over the available actions, `step`
(checks, 8 game loops, reward, availability, observations, state) and `reset_done`. Compilation and a warm-up of one
episode are not timed; the best of several repetitions is reported, as the others measure the machine's other work.

Start-up is measured in fresh processes: the first one compiles all kernels into an empty cache, the second finds them.
Two cores against one: `step` in fresh processes with NUMBA_NUM_THREADS of 1 and 2.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import numba
import numpy as np

import envs
from skirmish.policies import random_actions

MAPS = ("3m", "8m", "2s3z", "MMM2", "10m_vs_11m", "27m_vs_30m", "2c_vs_64zg")
START = "import envs; env = envs.make({name!r}, num_envs=2); env.reset(0); env.step(env.available_actions.argmax(2))"


def steps_per_second(name: str, num_envs: int, observation: str, seconds: float) -> dict[str, float]:
    """Steps per second as a whole and of `step` alone, over about `seconds`."""
    env = envs.make(name, num_envs=num_envs, observation=observation)
    env.reset(0)
    rng = np.random.default_rng(0)
    for _ in range(min(60, env.info.episode_limit)):
        env.step(random_actions(env.available_actions, rng))
        env.reset_done()
    count, stepping = 0, 0.0
    start = time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        actions = random_actions(env.available_actions, rng)
        before = time.perf_counter()
        env.step(actions)
        stepping += time.perf_counter() - before
        env.reset_done()
        count += num_envs
    return {"steps_per_second": count / (now - start), "step_only_per_second": count / stepping}


def bytes_per_episode(name: str, observation: str) -> int:
    """Size of all arrays that grow with the number of episodes, per episode."""

    def size(num_envs: int) -> int:
        env = envs.make(name, num_envs=num_envs, observation=observation)
        return sum(array.nbytes for array in vars(env).values() if isinstance(array, np.ndarray))

    return (size(12) - size(2)) // 10


def start_seconds(name: str) -> dict[str, float]:
    """Seconds of a process from start to the end of its first step, without and with compiled kernels on disk."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        times = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", START.format(name=name)], check=True, env=environment)
            times.append(time.perf_counter() - start)
    return {"compiling": times[0], "cached": times[1]}


def with_threads(threads: int, name: str, num_envs: int, seconds: float) -> float:
    """Steps per second of `step` alone in a fresh process with so many numba threads."""
    code = (
        "from tests.benchmarks.bench_envs import steps_per_second as f; "
        f"print(f({name!r}, {num_envs}, 'smac', {seconds})['step_only_per_second'])"
    )
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="also write the records to this file")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one repetition (default 1)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, the best counts (default 3)")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 64, 256], help="episodes side by side")
    parser.add_argument("--maps", nargs="+", default=list(MAPS))
    parser.add_argument("--no-start", action="store_true", help="leave out start-up and two cores")
    arguments = parser.parse_args()
    records = []
    print(f"{'map':12} {'family':7} {'episodes':>8} {'steps/s':>10} {'step only/s':>12} {'KiB/episode':>12}")
    for name in arguments.maps:
        for num_envs in arguments.num_envs:
            for family in ("smac", "mazero"):
                runs = [steps_per_second(name, num_envs, family, arguments.seconds) for _ in range(arguments.repeat)]
                best = max(runs, key=lambda r: r["steps_per_second"])
                memory = bytes_per_episode(name, family)
                records.append({"map": name, "observation": family, "num_envs": num_envs, "bytes": memory} | best)
                speeds = f"{best['steps_per_second']:10,.0f} {best['step_only_per_second']:12,.0f}"
                print(f"{name:12} {family:7} {num_envs:8d} {speeds} {memory / 1024:12.1f}", flush=True)
    result = {
        "threads": numba.get_num_threads(),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "numba": numba.__version__,
        "records": records,
    }
    if not arguments.no_start:
        start = start_seconds("3m")
        print(f"start of a process, 3m: {start['compiling']:.1f} s compiling, {start['cached']:.1f} s cached")
        ratios = {}
        for name in ("3m", "MMM2", "27m_vs_30m", "2c_vs_64zg"):
            # One and two in turn, so that other work on the machine meets both.
            runs = [
                [with_threads(threads, name, 1024, arguments.seconds) for threads in (1, 2)]
                for _ in range(arguments.repeat)
            ]
            ratios[name] = max(two for _, two in runs) / max(one for one, _ in runs)
            print(f"two cores against one, {name}, 1,024 episodes, step only: {ratios[name]:.2f}", flush=True)
        result |= {"start_seconds": start, "two_cores": ratios}
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
