"""The process that holds one game: it builds an environment of the official packages and answers requests about it.

    python -m envs.starcraft.worker FD

FD is one end of a socket pair; the other is the run's. Requests (heads of `frames.py`) and answers:

- {op: open, factory: "module:name", options: {...}, seed, sizes}: build an environment, begin an episode;
- {op: reset}: begin the next one;    {op: step} with array `actions` (n,);    {op: close}: end the game, and leave.

An answer to `open` and `reset` is {ok: true} with what is seen: obs (n, O), state (S,), available (n, A), units (6, U)
(rows x, y, health, shield, cooldown, energy; agents first), types (U,) the game's type ids and health_max (U,). That to
`step` has no types, and says reward, terminated, truncated and won; where the package's own script commands
(`heuristic_ai`) it has `orders` (n,) too: the action that names an agent's target, or 0. {ok: false, kind, text}: it
failed; whoever asked ends this process then. Every answer repeats the number `n` of its request.

The process leads a group of its own, to which its game belongs. It ends when the run does: then the socket closes.
Whatever is printed goes into a log. Only numpy is imported before the factory's module.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.starcraft.frames import Message, Reader, pack, receive

UNIT_ROWS = ("health", "shield", "weapon_cooldown", "energy")  # after x and y
PR_SET_PDEATHSIG = 1
MOST_TEXT = 2000  # characters of an error that are sent on


class GameLost(Exception):
    """The connection to the game broke."""


class GarbageError(Exception):
    """The environment returned something that no environment may."""


class Game:
    """One environment and what is read from it.

    Args:
      request: head of an `open` request: factory, options, seed, and sizes (n, m, O, S, A).
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        module, _, name = request["factory"].partition(":")
        factory = getattr(importlib.import_module(module), name)
        _parse_flags()
        seed, options = int(request["seed"]), dict(request["options"])
        _seed_everything(seed)
        self.env = factory(**options, seed=seed)
        self.inner = getattr(self.env, "env", self.env)  # SMACv2's wrapper holds the environment
        self.inner.full_restart = _lost  # the packages would launch another game by themselves, and tell nobody
        for index, generator in enumerate(_generators(self.env)):
            generator.rng = np.random.default_rng((seed, index))  # SMACv2 draws teams from sources without a seed
        self.sizes = tuple(int(size) for size in request["sizes"])

    def reset(self) -> Message:
        """Begin an episode."""
        first = self.env.reset()
        # SMACv2's wrapper returns None where it had to try again; its observations are no function of the state, so
        # they are asked for once.
        obs, state = (self.env.get_obs(), self.env.get_state()) if first is None else first
        units = self._units()
        types = np.array([unit.unit_type for unit in units], np.int64)
        health = np.array([unit.health_max for unit in units], np.float64)
        return {"ok": True}, self._seen(obs, state) | {"types": types, "health_max": health}

    def step(self, actions: np.ndarray) -> Message:
        """Play a joint action (n,)."""
        reward, terminated, info = self.env.step([int(a) for a in actions])
        if terminated and not info:
            raise GameLost("the package ended the episode without a result")
        truncated = bool(terminated and info.get("episode_limit", False))
        head = {
            "ok": True,
            "reward": float(reward),
            "terminated": bool(terminated) and not truncated,
            "truncated": truncated,
            "won": bool(info.get("battle_won", False)),
        }
        if not np.isfinite(head["reward"]):
            raise GarbageError(f"a reward must be finite, got {reward!r}")
        return head, self._seen(self.env.get_obs(), self.env.get_state()) | self._orders()

    def grids(self) -> dict[str, np.ndarray]:
        """walkable (X, Y) bool and height (X, Y) float64 as the package read them from the game."""
        walkable, height = self.inner.pathing_grid, self.inner.terrain_height
        if walkable is None or height is None:
            return {}
        return {"walkable": np.asarray(walkable, np.bool_), "height": np.asarray(height, np.float64)}

    def _orders(self) -> dict[str, np.ndarray]:
        targets = getattr(self.inner, "heuristic_targets", None)  # only with heuristic_ai
        if targets is None:
            return {}
        first = int(self.inner.n_actions_no_attack)
        return {"orders": np.array([0 if target is None else first + target for target in targets], np.int64)}

    def close(self) -> None:
        """End the game."""
        self.env.close()

    def _seen(self, obs: Any, state: Any) -> dict[str, np.ndarray]:
        n, m, obs_size, state_size, n_actions = self.sizes
        arrays = {
            "obs": _array("observations", obs, (n, obs_size), np.float32),
            "state": _array("state", state, (state_size,), np.float32),
            "available": _array("available actions", self.env.get_avail_actions(), (n, n_actions), np.float32) > 0,
            "units": np.empty((6, n + m)),
        }
        if not arrays["available"].any(1).all():
            raise GarbageError("every agent must have an available action, got none for some")
        for u, unit in enumerate(self._units()):
            arrays["units"][:2, u] = unit.pos.x, unit.pos.y
            arrays["units"][2:, u] = [getattr(unit, name) for name in UNIT_ROWS]
        return arrays

    def _units(self) -> list[Any]:
        n, m = self.sizes[:2]
        agents, enemies = self.inner.agents, self.inner.enemies
        if len(agents) != n or len(enemies) != m:
            raise GarbageError(f"there must be {n} agents and {m} enemies, got {len(agents)} and {len(enemies)}")
        return [agents[i] for i in range(n)] + [enemies[e] for e in range(m)]


def main(fd: int) -> None:
    """Answer until told to leave, or until the run is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the run, which ends us in good order
    os.set_inheritable(fd, False)
    _tie_children()
    with socket.socket(fileno=fd) as connection:
        reader, game = Reader(), None
        while (message := receive(connection, reader)) is not None:
            head, arrays = message
            if head["op"] == "close":
                break
            try:
                if head["op"] == "open":
                    if game is not None:
                        game.close()
                    game = Game(head)
                    answer, views = game.reset()
                    views |= game.grids() if head["grids"] else {}
                elif game is None:
                    raise RuntimeError(f"a game must be opened first, got {head['op']!r}")
                else:
                    answer, views = game.reset() if head["op"] == "reset" else game.step(arrays["actions"])
            except Exception as error:
                traceback.print_exc()
                answer, views = {"ok": False, "kind": _kind(error), "text": _text(error)}, {}
            try:
                connection.sendall(pack({**answer, "n": head["n"]}, views))
            except (BrokenPipeError, ConnectionResetError):
                message = None
                break
        if message is None:  # the run is gone: there is no time for good manners, and nobody to wait for
            os.killpg(0, signal.SIGKILL)
        if game is not None:
            with contextlib.suppress(Exception):
                game.close()


def _lost(*arguments: Any) -> None:
    raise GameLost("the package lost the connection to its game")


def _kind(error: Exception) -> str:
    """Which of the faults an exception is."""
    # What the game sent may be no message at all; protobuf is not imported for the sake of its error's type.
    if isinstance(error, GarbageError) or type(error).__module__.startswith("google.protobuf"):
        return "garbage"
    foreign = type(error).__module__.startswith(("pysc2.lib.protocol", "pysc2.lib.remote_controller", "websocket"))
    return "game" if foreign or isinstance(error, GameLost | ConnectionError) else "exception"


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MOST_TEXT]


def _array(what: str, values: Any, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Raises: GarbageError unless these are finite numbers of this shape."""
    try:
        array = np.asarray(values, kind)
    except (ValueError, TypeError) as error:
        raise GarbageError(f"{what} must be numbers of shape {shape}, got {str(values)[:200]}") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise GarbageError(f"{what} must be finite numbers of shape {shape}, got shape {array.shape}")
    return array


def _parse_flags() -> None:
    """pysc2 reads command-line flags of its own when it starts a game; there are none here."""
    if "absl.flags" in sys.modules:
        flags = sys.modules["absl.flags"].FLAGS
        if not flags.is_parsed():
            flags(sys.argv[:1])


def _seed_everything(seed: int) -> None:
    """The global generators, which the packages draw from."""
    import random

    random.seed(seed)
    np.random.seed(seed % 2**32)


def _generators(env: Any) -> list[Any]:
    """SMACv2's sources of teams and places, inner ones included, in a fixed order."""
    found: list[Any] = []
    stack = list(reversed(list(getattr(env, "env_key_to_distribution_map", {}).values())))
    while stack:
        item = stack.pop()
        found += [item] if hasattr(item, "rng") else []
        inner = [value for _, value in sorted(vars(item).items()) if hasattr(value, "generate")]
        stack += reversed(inner)
    return found


def _tie_children() -> None:
    """Processes started from here, the game above all, are killed when this one dies, however it does."""
    libc = ctypes.CDLL(None, use_errno=True)

    def tie() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    class Tied(subprocess.Popen):
        """A process that does not outlive this one."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            if options.get("preexec_fn") is None and sys.platform == "linux":
                options["preexec_fn"] = tie
            super().__init__(*arguments, **options)

    subprocess.Popen = Tied  # type: ignore[misc]


if __name__ == "__main__":
    main(int(sys.argv[1]))
