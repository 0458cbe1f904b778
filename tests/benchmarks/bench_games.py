"""Many games side by side, and games that fail: `python -m tests.benchmarks.bench_games --out DIR [--episodes 2000]`.

The official `smac` on stand-ins, 3m, random legal actions. DIR/load.csv: environment steps a second and memory (each
process's share of what it shares, Pss) by the number of games. DIR/faults.csv: what a game that fails on a schedule
costs. Needs the package on PYTHONPATH and `requirements-starcraft.lock`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import envs
from envs.smac import SmacEnv
from skirmish.policies import random_actions
from skirmish.protocol.standin import install_standin
from tests.envs.smac.left import children
from tests.envs.smac.test_faulty_game import endure, install_faulty

GAMES = (1, 2, 4, 8, 16)
SECONDS = 20.0  # of stepping


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--episodes", type=int, default=2000, help="with faults; 0: none (default: %(default)s)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SC2PATH"] = str(install_standin(folder / "game"))
        rows = [load(games) for games in GAMES]
        pd.DataFrame(rows).round(1).to_csv(arguments.out / "load.csv", index=False)
        if arguments.episodes:
            (folder / "tmp").mkdir()
            install_faulty(folder / "faulty", folder / "counts")
            os.environ["SC2PATH"], tempfile.tempdir = str(folder / "faulty"), str(folder / "tmp")
            found = endure(folder / "counts", folder / "tmp", arguments.episodes)
            pd.DataFrame([found]).to_csv(arguments.out / "faults.csv", index=False)
            tempfile.tempdir = None


def load(games: int) -> dict[str, float]:
    """Start so many games, and step them all."""
    env, rng = envs.make("3m", backend="smac", num_envs=games), np.random.default_rng(0)
    assert isinstance(env, SmacEnv)
    began = time.monotonic()
    env.reset()
    started, steps = time.monotonic(), 0
    while (now := time.monotonic()) < started + SECONDS:
        steps += int((~env.finished).sum())
        env.step(random_actions(env.available_actions, rng))
        env.reset_done()
    workers = [pid for pid in env.processes if pid is not None]
    servers = [child for pid in workers for child in children(pid)]
    row = {
        "games": games,
        "start_seconds": started - began,
        "env_steps_per_second": steps / (now - started),
        "worker_mb": sum(map(_megabytes, workers)) / games,
        "game_mb": sum(map(_megabytes, servers)) / games,
        "faults": env.faults.total,
    }
    env.close()
    return row


def _megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no Pss of process {pid}")


if __name__ == "__main__":
    main()
