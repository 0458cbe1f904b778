"""What a person sees while a run goes on: a bar on a terminal, or one line per evaluation; TensorBoard on request."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from tqdm import tqdm

MODES = ("auto", "bar", "lines", "none")


class Reporter(Protocol):
    """Hears of every record and of the environment steps done."""

    def advance(self, env_steps: int) -> None:
        """`env_steps` have been done in total."""

    def record(self, record: Mapping[str, Any]) -> None:
        """A metrics record was written."""

    def close(self) -> None:
        """The run ends here."""


class Bar:
    """A tqdm bar over environment steps with the last win rate behind it."""

    def __init__(self, title: str, total: int, stream: TextIO) -> None:
        self._bar = tqdm(total=total, desc=title, unit="step", file=stream, dynamic_ncols=True)

    def advance(self, env_steps: int) -> None:
        """Move the bar."""
        self._bar.update(min(env_steps, self._bar.total) - self._bar.n)

    def record(self, record: Mapping[str, Any]) -> None:
        """Show the last evaluation."""
        if record["kind"] == "eval":
            self._bar.set_postfix_str(f"win {record['win_rate']:.2f} return {record['return_mean']:.2f}")

    def close(self) -> None:
        """Leave the finished bar on the screen."""
        self._bar.close()


class Lines:
    """One line per evaluation: fit for logs and for many runs on one terminal."""

    def __init__(self, title: str, total: int, stream: TextIO) -> None:
        self._title, self._total, self._stream = title, total, stream

    def advance(self, env_steps: int) -> None:
        """Lines come with records only."""

    def record(self, record: Mapping[str, Any]) -> None:
        """Print an evaluation."""
        if record["kind"] == "eval":
            self._stream.write(
                f"{self._title}  {record['mark']:>{len(str(self._total))}}/{self._total} steps  "
                f"win {record['win_rate']:.2f}  return {record['return_mean']:7.2f}  {record['wall_seconds']:6.0f} s\n"
            )
            self._stream.flush()
        if record["kind"] == "absolute":
            self._stream.write(
                f"{self._title}  best policy, of step {record['mark']}, again: win {record['win_rate']:.2f}  "
                f"return {record['return_mean']:7.2f}  over {record['num_episodes']} episodes\n"
            )
            self._stream.flush()

    def close(self) -> None:
        """Nothing to close."""


class Unbreakable:
    """Hands on to a reporter that prints; once nobody reads its stream any more, what it prints goes nowhere.

    A run must not die of a closed terminal or log pipe.
    """

    def __init__(self, make: Callable[[], Reporter], stream: TextIO) -> None:
        self._stream = stream
        try:
            self._reporter = make()
        except OSError:
            self._mute()
            self._reporter = make()

    def advance(self, env_steps: int) -> None:
        """Hand on."""
        with self._muting():
            self._reporter.advance(env_steps)

    def record(self, record: Mapping[str, Any]) -> None:
        """Hand on."""
        with self._muting():
            self._reporter.record(record)

    def close(self) -> None:
        """Hand on."""
        with self._muting():
            self._reporter.close()

    @contextmanager
    def _muting(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._mute()

    def _mute(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())  # also for what is still in its buffer
        os.close(nowhere)


class TensorBoard:
    """Every number of every record as a scalar under `eval/`, `train/` or `absolute/`, over environment steps."""

    def __init__(self, directory: Path, *, from_step: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import: only on request

        self._writer = SummaryWriter(str(directory), purge_step=from_step or None)

    def advance(self, env_steps: int) -> None:
        """Scalars come with records only."""

    def record(self, record: Mapping[str, Any]) -> None:
        """Write the scalars of a record."""
        for name, value in record.items():
            if isinstance(value, int | float) and name != "env_steps":
                self._writer.add_scalar(f"{record['kind']}/{name}", value, record.get("env_steps", record.get("mark")))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


def make_reporters(
    mode: str, *, title: str, total: int, tensorboard: Path | None = None, from_step: int = 0
) -> list[Reporter]:
    """Reporters for `mode` (one of MODES; auto: bar on a terminal, else lines) and, if given, TensorBoard."""
    reporters: list[Reporter] = []
    if mode == "auto":
        mode = "bar" if sys.stderr.isatty() else "lines"
    if mode == "bar":
        reporters.append(Unbreakable(lambda: Bar(title, total, sys.stderr), sys.stderr))
    elif mode == "lines":
        reporters.append(Unbreakable(lambda: Lines(title, total, sys.stderr), sys.stderr))
    if tensorboard is not None:
        reporters.append(TensorBoard(tensorboard, from_step=from_step))
    return reporters
