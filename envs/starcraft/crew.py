"""The workers of all slots: games are started a few at a time, faults are counted, what failed is started anew."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from envs.starcraft.faults import Fault, FaultCounts, GivenUpError
from envs.starcraft.frames import Message
from envs.starcraft.process import Guard, Worker, close_all, gather

logger = logging.getLogger(__name__)

MOST_PAUSE = 60.0  # seconds
CLOSE_SECONDS = 10.0  # a game has to end in good order


@dataclass(frozen=True)
class Handling:
    """How games are started and what happens when they fail. Without influence on what is observed."""

    step_timeout: float = 60.0
    """Seconds that a step may take before the game counts as hung."""
    reset_timeout: float = 120.0
    """The same for the beginning of an episode in a running game."""
    start_timeout: float = 300.0
    """The same for the start of a game, its first episode included."""
    starts_at_once: int = 4
    """Games that start at the same time: each start loads a core and the disk."""
    retries: int = 5
    """Faults in a row, no episode of the slot coming to its end between them, after which the run gives up."""
    backoff: float = 1.0
    """Seconds to wait before a second start in a row; doubled with every further one, up to a minute."""

    def __post_init__(self) -> None:
        """Raises: ValueError for values without a meaning."""
        for field in fields(self):
            value, whole = getattr(self, field.name), field.type == "int"
            least = 1 if field.name == "starts_at_once" else 0
            good = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value >= least
            if not good or (field.name.endswith("timeout") and not value > 0):
                raise ValueError(
                    f"{field.name} must be {'an integer' if whole else 'a number'} of at least {least}"
                    f"{' and not 0' if field.name.endswith('timeout') else ''}, got {value!r}: it says how games are "
                    "started and waited for"
                )


class Crew:
    """B workers, none of them started yet.

    Args:
      opening: `opening(slot)` is the request that opens the slot's next game; called once for every attempt.
      check: raises Fault("garbage", ...) for an answer that does not fit the environment.
    """

    def __init__(
        self,
        size: int,
        handling: Handling,
        *,
        opening: Callable[[int], Mapping[str, Any]],
        check: Callable[[Message, str], None],
    ) -> None:
        self.faults = FaultCounts()
        self._handling, self._opening, self._check = handling, opening, check
        self._workers: list[Worker | None] = [None] * size
        self._in_a_row = [0] * size
        self._guard: Guard | None = None

    @property
    def processes(self) -> list[int | None]:
        """Process numbers by slot."""
        return [None if worker is None else worker.pid for worker in self._workers]

    def begin(self, slots: Iterable[int], *, anew: Iterable[int] = ()) -> dict[int, Message]:
        """Bring every one of these slots to the first observation of an episode.

        A game that runs plays on, those in `anew` and those that failed are started; a few at a time.
        Raises: GivenUpError once a slot has failed too often.
        """
        fresh = set(anew)
        queue = [(0.0, slot) for slot in slots]  # (not before, slot)
        begun: dict[int, Message] = {}
        busy: dict[Worker, int] = {}
        phases: dict[int, str] = {}
        deadlines: dict[Worker, float] = {}
        while queue or busy:
            now = time.monotonic()
            for entry in sorted(queue):
                if len(busy) >= self._handling.starts_at_once or entry[0] > now:
                    break
                queue.remove(entry)
                slot = entry[1]
                starts = self._workers[slot] is None or slot in fresh
                fresh.discard(slot)
                phases[slot] = "start" if starts else "reset"
                try:
                    worker = self._hire(slot)
                    worker.ask(self._opening(slot) if starts else {"op": "reset"})
                except Fault as fault:
                    queue.append((self._failed(slot, phases[slot], fault), slot))
                    continue
                seconds = self._handling.start_timeout if starts else self._handling.reset_timeout
                busy[worker], deadlines[worker] = slot, time.monotonic() + seconds
            if not busy:
                time.sleep(max(0.0, min(entry[0] for entry in queue) - time.monotonic()) if queue else 0.0)
                continue
            for worker, result in gather(deadlines):
                slot = busy.pop(worker)
                del deadlines[worker]
                result = self._checked(result, phases[slot])
                if isinstance(result, Fault):
                    queue.append((self._failed(slot, phases[slot], result), slot))
                else:
                    begun[slot] = result
                break  # there is room for the next one
        return begun

    def step(self, actions: Mapping[int, np.ndarray]) -> dict[int, Message | None]:
        """Joint actions by slot. Returns: the answers; None where the episode is lost with its game."""
        answers: dict[int, Message | None] = {}
        slots: dict[Worker, int] = {}
        deadlines: dict[Worker, float] = {}
        for slot, joint in actions.items():
            worker = self._workers[slot]
            assert worker is not None, "a slot without a game has no running episode"
            try:
                worker.ask({"op": "step"}, {"actions": joint})
            except Fault as fault:
                self._failed(slot, "step", fault)
                answers[slot] = None
                continue
            slots[worker], deadlines[worker] = slot, time.monotonic() + self._handling.step_timeout
        for worker, result in gather(deadlines):
            slot = slots[worker]
            result = self._checked(result, "step")
            if isinstance(result, Fault):
                self._failed(slot, "step", result)
                answers[slot] = None
            else:
                answers[slot] = result
        return answers

    def completed(self, slot: int) -> None:
        """An episode of this slot came to its end: what failed before is forgiven."""
        self._in_a_row[slot] = 0

    def close(self) -> None:
        """End all games and processes, and remove all files."""
        if self._guard is None:
            return
        close_all([worker for worker in self._workers if worker is not None], seconds=CLOSE_SECONDS)
        self._workers = [None] * len(self._workers)
        self._guard.close()
        self._guard = None

    def _hire(self, slot: int) -> Worker:
        """The slot's worker; a process is started where there is none."""
        if self._guard is None:
            self._guard = Guard()
        worker = self._workers[slot]
        if worker is None:
            worker = self._workers[slot] = Worker(slot, self._guard)
        return worker

    def _checked(self, result: Message | Fault, phase: str) -> Message | Fault:
        if not isinstance(result, Fault):
            try:
                self._check(result, phase)
            except Fault as fault:
                return fault
        return result

    def _failed(self, slot: int, phase: str, fault: Fault) -> float:
        """Count a fault and end the slot's process. Returns: when to start the next one, as `time.monotonic()`.

        Raises: GivenUpError if there were too many in a row.
        """
        self.faults.add(phase, fault.kind)
        self._in_a_row[slot] += 1
        row = self._in_a_row[slot]
        worker = self._workers[slot]
        assert worker is not None
        worker.kill()
        self._workers[slot] = None
        logger.warning(
            "slot %d: %s in %s (%s)%s; faults so far: %s",
            *(slot, fault.kind, phase, fault, ", its episode is discarded" if phase == "step" else "", self.faults),
        )
        if row > self._handling.retries:
            kept, lines = _keep(worker.log), worker.last_lines()
            self.close()
            raise GivenUpError(
                f"the game of slot {slot} must run, got {row} faults in a row, the last one a {fault.kind} in {phase} "
                f"({fault}): read its log {kept}, which ends with\n{lines}"
            )
        pause = 0.0 if row == 1 else min(MOST_PAUSE, self._handling.backoff * 2.0 ** (row - 2))
        return time.monotonic() + pause


def _keep(log: Path) -> Path:
    """A copy of a log that stays when everything else is removed."""
    handle, name = tempfile.mkstemp(prefix="mazero-bench-game-", suffix=".log")
    with open(handle, "wb") as target, open(log, "rb") as source:
        shutil.copyfileobj(source, target)
    return Path(name)
