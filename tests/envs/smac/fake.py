"""Environments with SMAC's method names that fail on a schedule: what a worker process builds in the tests.

No game and no numba: a process starts in a fraction of a second. An episode of `Fragile` has `length` steps; in the
step `at` of every episode whose number (counted over all processes of the slot) is in the schedule it fails. The number
is kept in a file, since what fails loses its memory.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

N, M, ACTIONS, OBS, STATE = 3, 3, 9, 30, 48  # of 3m


class Fragile:
    """3m without fighting. The schedule is an environment variable: "kind@every+first", ... ; see `planned`."""

    length = 3
    at = 1  # step of an episode in which its fault happens

    def __init__(self, *, seed: int, **options: object) -> None:
        self.seed, self.options = seed, options
        self.counter = Path(os.environ["FAKE_COUNTERS"]) / str(os.environ["TMPDIR"]).rpartition("/")[2]
        self.t = 0
        self.pathing_grid = self.terrain_height = None
        self.agents = {i: self._unit(0, i) for i in range(N)}
        self.enemies = {e: self._unit(48, e) for e in range(M)}
        (Path(os.environ["TMPDIR"]) / "left_behind").write_text("a file that a game leaves")
        if os.environ.get("FAKE_SLOW"):
            time.sleep(float(os.environ["FAKE_SLOW"]))
        self.child = None
        if os.environ.get("FAKE_CHILD"):
            import subprocess

            self.child = subprocess.Popen(["sleep", "1000"])  # the game
        self.fault = ""

    def _unit(self, kind: int, k: int) -> SimpleNamespace:
        place = SimpleNamespace(x=8.0 + k, y=16.0)
        rows = {"health": 45.0, "health_max": 45.0, "shield": 0.0, "weapon_cooldown": 0.0, "energy": 0.0}
        return SimpleNamespace(unit_type=kind, pos=place, **rows)

    def reset(self) -> tuple[list[np.ndarray], np.ndarray]:
        number = int(self.counter.read_text()) if self.counter.exists() else 0
        self.counter.write_text(str(number + 1))
        self.t, self.fault = 0, planned(number)
        if self.fault.startswith("reset_"):
            self.fail(self.fault.removeprefix("reset_"))
        return self.get_obs(), self.get_state()

    def step(self, actions: list[int]) -> tuple[float, bool, dict[str, bool]]:
        assert len(actions) == N and all(type(a) is int for a in actions)
        if self.t == self.at and self.fault:
            self.fail(self.fault)
        self.t += 1
        over = self.t == self.length
        return 1.0, over, {"battle_won": over}

    def fail(self, kind: str) -> None:
        """Do it."""
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "exit":
            os._exit(7)
        elif kind == "hang":
            time.sleep(1000)
        elif kind == "raise":
            raise ZeroDivisionError("as planned")
        elif kind == "lost":
            self.full_restart()
        elif kind == "bytes":  # something else writes on the connection
            os.write(int(sys.argv[1]), b"Traceback (most recent call last)")
            time.sleep(1000)
        elif kind == "nan":
            self.fault = "now nan"
        elif kind == "shape":
            self.fault = "now shape"
        else:
            raise AssertionError(kind)

    def full_restart(self) -> None:
        raise AssertionError("the worker replaces this: a lost game is not started anew in silence")

    def get_obs(self) -> list[np.ndarray]:
        if self.fault == "now shape":
            return [np.ones(OBS + 1, np.float32)] * N
        value = np.nan if self.fault == "now nan" else float(self.t)
        return [np.full(OBS, value, np.float32)] * N

    def get_state(self) -> np.ndarray:
        return np.full(STATE, self.t, np.float32)

    def get_avail_actions(self) -> list[list[int]]:
        return [[0] + [1] * (ACTIONS - 1)] * N

    def close(self) -> None:
        if self.child is not None:
            self.child.kill()


class NeverStarts(Fragile):
    def __init__(self, *, seed: int, **options: object) -> None:
        sys.stdout.write("no licence for this game\n")
        raise RuntimeError("the game refuses to start")


def planned(number: int) -> str:
    """Which fault the episode `number` has: the first entry kind@every+first with (number - first) % every == 0."""
    for entry in filter(None, os.environ.get("FAKE_SCHEDULE", "").split(",")):
        kind, _, when = entry.partition("@")
        every, _, first = when.partition("+")
        if number >= int(first) and (number - int(first)) % int(every) == 0:
            return kind
    return ""
