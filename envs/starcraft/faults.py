"""What can go wrong with a game, and how often it did."""

from __future__ import annotations

from collections import Counter

# crash: the process that holds the game ended. game: it lives, but the game or the connection to it is gone. hang: no
# answer in time. exception: the package raised something. garbage: an answer that is none.
KINDS = ("crash", "game", "hang", "exception", "garbage")
PHASES = ("start", "reset", "step")


class Fault(Exception):
    """One fault. `kind` is of `KINDS`; the text says what happened."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        assert kind in KINDS
        self.kind = kind


class GivenUpError(RuntimeError):
    """A slot whose games fail again and again: the run cannot go on."""


class FaultCounts:
    """Faults by phase and kind. Those in a step cost an episode, the others only time."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, phase: str, kind: str) -> None:
        """Count one."""
        assert phase in PHASES
        self._counts[phase, kind] += 1

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self._counts.values())

    @property
    def by_kind(self) -> dict[str, int]:
        """Counts of all kinds, whatever the phase."""
        return {kind: sum(self._counts[phase, kind] for phase in PHASES) for kind in KINDS}

    @property
    def by_phase(self) -> dict[str, int]:
        """Counts of all phases, whatever the kind."""
        return {phase: sum(self._counts[phase, kind] for kind in KINDS) for phase in PHASES}

    def __str__(self) -> str:
        told = [f"{count} {kind} in {phase}" for (phase, kind), count in sorted(self._counts.items())]
        return ", ".join(told) or "none"
