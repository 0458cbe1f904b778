"""Environment throughput: `python -m tests.benchmarks.bench_envs --json FILE`.

One environment step of one episode counts as one. Timed: the joint random draw over the available actions, `step`
(checks, 8 game loops, reward, availability, observations, state) and `reset_done`. Compilation and a warm-up of one
episode are not timed; the best of several repetitions is reported, as the others measure the machine's other work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time

import numba
import numpy as np

import envs
from envs.skirmish.policies import random_actions

MAPS = ("3m", "8m", "25m", "5m_vs_6m", "10m_vs_11m", "27m_vs_30m")


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="also write the records to this file")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one repetition (default 1)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions, the best counts (default 3)")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 8, 256], help="episodes side by side")
    parser.add_argument("--maps", nargs="+", default=list(MAPS))
    arguments = parser.parse_args()
    records = []
    print(f"{'map':12} {'family':7} {'episodes':>8} {'steps/s':>10} {'step only/s':>12}")
    for name in arguments.maps:
        for num_envs in arguments.num_envs:
            for family in ("smac", "mazero"):
                runs = [steps_per_second(name, num_envs, family, arguments.seconds) for _ in range(arguments.repeat)]
                best = max(runs, key=lambda r: r["steps_per_second"])
                records.append({"map": name, "observation": family, "num_envs": num_envs} | best)
                speeds = f"{best['steps_per_second']:10,.0f} {best['step_only_per_second']:12,.0f}"
                print(f"{name:12} {family:7} {num_envs:8d} {speeds}")
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        result = {
            "threads": numba.get_num_threads(),
            "machine": machine,
            "numba": numba.__version__,
            "records": records,
        }
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
