"""One worker process seen from the run: started, asked, waited for, killed. And the guard that outlives the run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import numpy as np

from envs.starcraft import guard
from envs.starcraft.faults import Fault
from envs.starcraft.frames import PIECE, BadFrame, Message, Reader, pack

ROOT = Path(__file__).resolve().parents[2]
WORKER = "envs.starcraft.worker"
LAST_LINES = 15  # of a log, in messages
MOST_LOG = 2**20  # bytes of a log that a new process still adds to


class Guard:
    """A folder for logs and temporary files, and a process that cleans it and the games up if the run is killed."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mazero-bench-games-"))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(guard.__file__), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """This process group is to die with the run."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """It is gone."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Remove the folder. Every group must have been forgotten."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)  # where the guard itself was killed

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # somebody killed the guard: workers still see that their socket closes
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


class Worker:
    """A process that holds one game at a time.

    Args: slot: its number, for names of files.    guard: told of the process.
    """

    def __init__(self, slot: int, guard: Guard) -> None:
        self.log = guard.folder / f"slot{slot}.log"
        self._guard, self._reader, self._asked = guard, Reader(), 0
        self._folder = guard.folder / f"slot{slot}"
        self._folder.mkdir(exist_ok=True)
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        fresh = not self.log.exists() or self.log.stat().st_size > MOST_LOG
        with theirs, open(self.log, "wb" if fresh else "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, str(theirs.fileno())],
                cwd=os.getcwd(),
                env=_environment(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a group of its own, which the game joins
            )
        guard.watch(self.pid)

    @property
    def pid(self) -> int:
        """Number of the process and of its group."""
        return self._process.pid

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def ask(self, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> None:
        """Send a request, one at a time. Raises: Fault."""
        self._asked += 1
        try:
            self._socket.sendall(pack({**head, "n": self._asked}, arrays))
        except BlockingIOError as error:
            raise Fault("hang", "it does not read its requests") from error
        except OSError as error:
            raise Fault("crash", self._ending()) from error

    def answer(self) -> Message | None:
        """What has come; None if it is not whole yet. Raises: Fault."""
        try:
            data = self._socket.recv(PIECE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Fault("crash", self._ending()) from error
        if not data:
            raise Fault("crash", self._ending())
        self._reader.feed(data)
        try:
            message = self._reader.next()
        except BadFrame as error:
            raise Fault("garbage", str(error)) from error
        if message is None:
            return None
        if message[0].get("n") != self._asked:
            raise Fault("garbage", f"request {self._asked} was not answered, got {str(message[0])[:200]}")
        if message[0].get("ok") is True:
            return message
        kind, text = message[0].get("kind"), message[0].get("text")
        if kind not in ("game", "exception", "garbage"):
            raise Fault("garbage", f"an answer is ok or says what failed, got {str(message[0])[:200]}")
        raise Fault(kind, str(text))

    def kill(self) -> None:
        """End the process and its game at once, and remove what they left in their folder."""
        # The group goes before its leader is waited for: its number cannot have been given to anybody else then.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._guard.forget(self.pid)
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def last_lines(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        return ""

    def _ending(self) -> str:
        """How the process ended; it has closed its socket, so it is about to, or does not deserve to live."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self._process.wait()
        return f"its process ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


def gather(deadlines: Mapping[Worker, float]) -> Iterator[tuple[Worker, Message | Fault]]:
    """Answers as they come.

    Args: deadlines: workers that were asked, and the `time.monotonic()` at which each counts as hung.
    Yields: every worker once, with its answer or its fault.
    """
    waiting = dict(deadlines)
    with DefaultSelector() as selector:
        for worker in waiting:
            selector.register(worker, EVENT_READ, worker)
        while waiting:
            left = min(waiting.values()) - time.monotonic()
            for key, _ in selector.select(max(0.0, left)):
                worker = key.data
                try:
                    result: Message | Fault | None = worker.answer()
                except Fault as fault:
                    result = fault
                if result is not None:
                    selector.unregister(worker)
                    del waiting[worker]
                    yield worker, result
            now = time.monotonic()
            for worker in [worker for worker, deadline in waiting.items() if deadline <= now]:
                selector.unregister(worker)
                del waiting[worker]
                yield worker, Fault("hang", "no answer in time")


def close_all(workers: Iterable[Worker], *, seconds: float) -> None:
    """Let the games end in good order within so many seconds, then see to it."""
    workers = list(workers)
    asked = {}
    for worker in workers:
        with contextlib.suppress(Fault):
            worker.ask({"op": "close"})
            asked[worker] = time.monotonic() + seconds
    for _ in gather(asked):  # each answers by closing its socket
        pass
    for worker in workers:
        worker.kill()


def _environment(folder: Path) -> dict[str, str]:
    """Of a worker: our packages importable, temporary files in its folder, one thread, protobuf as pysc2 needs it."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "PYTHONPATH": os.pathsep.join(paths),
        "TMPDIR": str(folder),
        "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
        "PYTHONUNBUFFERED": "1",
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    return {**os.environ, **threads, **own}
