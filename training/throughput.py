"""How fast a learner goes and where its time does: rates and seconds between two records."""

from __future__ import annotations


class Throughput:
    """Environment steps, updates and seconds since the last drain. Clock readings are no part of a run's state."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._steps = self._updates = 0
        self._seconds: dict[str, float] = {}

    def add(self, steps: int, updates: int, **seconds: float) -> None:
        """Count environment steps, updates, and the seconds they took by what was done, e.g. `learning=0.1`."""
        self._steps, self._updates = self._steps + steps, self._updates + updates
        for name, value in seconds.items():
            self._seconds[name] = self._seconds.get(name, 0.0) + value

    def drain(self) -> dict[str, float]:
        """`env_steps_per_second`, `updates_per_second`, `<name>_seconds`; starts anew. Empty if nothing was counted."""
        if not self._steps:
            return {}
        total = sum(self._seconds.values())
        result = {"env_steps_per_second": self._steps / total, "updates_per_second": self._updates / total}
        result |= {f"{name}_seconds": value for name, value in self._seconds.items()}
        self._start()
        return result
