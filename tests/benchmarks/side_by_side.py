"""This checkout's simulator beside another's: `python -m tests.benchmarks.side_by_side ../other --maps 3m 8m`.

One process per checkout, both with one numba thread and 64 battles of random available actions, takes turns of a fixed
number of steps; `env.step` and `env.reset_done` are timed, in CPU time. Turns are counted in steps, not in seconds, and
start after a warm-up, so that both play whole battles in all their phases. Other programs should rest meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from skirmish.data.maps import map_names

BATTLES, WARM_UP = 64, 150
PLAY = """
import sys, time
import numpy as np
sys.path.insert(0, ".")
import envs
name, battles, warm_up = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
env, rng = envs.make(name, num_envs=battles), np.random.default_rng(0)
env.reset(0)
def turn(steps):
    spent = 0.0
    for _ in range(steps):
        draws = rng.random(env.available_actions.shape, dtype=np.float32) * env.available_actions
        actions = draws.argmax(2)
        start = time.process_time()
        env.step(actions)
        env.reset_done()
        spent += time.process_time() - start
    return spent / (steps * battles) * 1e6
turn(warm_up)
print("ready", flush=True)
for line in sys.stdin:
    print(turn(int(line)), flush=True)
"""


def compare(name: str, checkouts: tuple[Path, Path], *, turns: int, steps: int) -> tuple[list[float], list[float]]:
    """Microseconds of a step and battle in each turn, for both checkouts."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PLAY, name, str(BATTLES), str(WARM_UP)]
    players = [
        subprocess.Popen(
            command,
            cwd=where,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for where in checkouts
    ]
    times: tuple[list[float], list[float]] = [], []
    for player, where in zip(players, checkouts, strict=True):
        if _answer(player) != "ready":
            raise SystemExit(f"error: {where} must hold a checkout that can play {name}: run its tests there")
    for turn in range(turns):
        for k in (0, 1) if turn % 2 else (1, 0):
            assert players[k].stdin is not None
            print(steps, file=players[k].stdin, flush=True)
            times[k].append(float(_answer(players[k])))
    for player in players:
        player.communicate()
    return times


def _answer(player: subprocess.Popen[str]) -> str:
    assert player.stdout is not None
    return player.stdout.readline().strip()


def main() -> None:
    """Print a line per map."""
    parser = argparse.ArgumentParser(description="CPU time of a step, this checkout beside another")
    parser.add_argument("other", type=Path, help="root of the other checkout")
    parser.add_argument("--maps", nargs="+", default=list(map_names()), metavar="MAP")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50, help="of a turn")
    arguments = parser.parse_args()
    print("microseconds of CPU time a step and battle, least of the turns; speed: of this checkout, 1 for the other's")
    for name in arguments.maps:
        other, this = compare(name, (arguments.other, Path.cwd()), turns=arguments.turns, steps=arguments.steps)
        speed = statistics.median(other) / statistics.median(this)
        least = min(other) / min(this)
        print(
            f"{name:18s} other {min(other):6.1f}  this {min(this):6.1f}  speed {least:.2f}, of medians {speed:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
