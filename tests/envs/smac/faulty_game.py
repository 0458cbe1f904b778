"""The stand-in's game with faults on a schedule: `python -P -m tests.envs.smac.faulty_game FLAGS...` in the place of
`python -P -m skirmish serve FLAGS...`.

FAULTY_FOLDER has the files that say how many games were started and how many episodes were begun so far, by all games
together; FAKE_SCHEDULE says which episodes get a fault ("kind@every+first", ...; see `fake.planned`). Every seventh
start is slow.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from skirmish.protocol import commands, server
from tests.envs.smac.fake import planned

AT = 2  # agent step of an episode that has the fault
STEP_LOOPS = 8  # of an agent's step; those of a restart are fewer
SLOW_SECONDS = 4.0


def number_of(what: str) -> int:
    """How often this was asked before, over all processes: a file grows by a byte each time."""
    handle = os.open(Path(os.environ["FAULTY_FOLDER"]) / what, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, b".")
        return os.lseek(handle, 0, os.SEEK_CUR) - 1  # behind the byte that this process wrote
    finally:
        os.close(handle)


class FaultyServer(server.Server):
    """Answers like the game until a fault is due."""

    def __init__(self, listener: socket.socket, answer: Callable[[bytes], bytes], *more: Any) -> None:
        super().__init__(listener, self.faulty, *more)
        from skirmish.protocol.messages import load_messages

        self._honest, self._messages = answer, load_messages()
        self._fault, self._steps = "", 0

    def _talk(self, client: socket.socket, limit: float) -> bool:
        self._client = client
        return super()._talk(client, limit)

    def faulty(self, received: bytes) -> bytes:
        """The honest answer, or none."""
        request = self._messages.Request.FromString(received)
        if request.HasField("join_game") or request.HasField("debug"):
            self._fault, self._steps = planned(number_of("episodes")), 0
            if self._fault == "reset":
                self._fault = ""
                return bytes(self._messages.Response(error=["as planned"]).SerializeToString())
        if request.HasField("step") and request.step.count == STEP_LOOPS:
            self._steps += 1
            if self._steps == AT and self._fault:
                self.fail()
                return b"\xff\xfe this is no answer"
        return self._honest(received)

    def fail(self) -> None:
        """Do what is planned; a kind that returns leaves a garbage reply to the caller."""
        if self._fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._fault == "hang":
            time.sleep(1000)
        elif self._fault == "close":
            self._client.shutdown(socket.SHUT_RDWR)
            time.sleep(1000)
        elif self._fault != "garbage":
            raise AssertionError(self._fault)


if __name__ == "__main__":
    if number_of("starts") % 7 == 3:
        time.sleep(SLOW_SECONDS)
    commands.Server = FaultyServer  # type: ignore[misc]
    sys.exit(commands.serve(sys.argv[1:]))
