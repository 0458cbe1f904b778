"""The websocket that the game listens on: one client, request in, response out, until either side leaves.

The socket is opened before anything slow is loaded, so that a client that starts the game and connects at once need
not try again. The process ends when its client leaves, when its parent dies, and when nobody comes at all.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from skirmish.extras import needed_for

logger = logging.getLogger(__name__)

PATH = "/sc2api"
LOOK_AROUND = 0.5  # seconds between two looks for the parent while nothing arrives
WAIT_FOR_CLIENT = 600.0  # seconds; pysc2 gives up after 360
READ = 1 << 16  # bytes
LARGEST_REQUEST = 64 << 20  # bytes: create_game may carry a map


def open_socket(port: int) -> socket.socket:
    """Listen on a port of the loopback interface, 0 for a free one. Raises: OSError if it is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(8)
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener


class ParentDied(Exception):
    """The process that started the server is gone."""


class Server:
    """Serves one client after the handshake; those who ask for another path get 404 and do not count."""

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[bytes], bytes],
        finished: Callable[[], bool],
        parent: int,
    ) -> None:
        """Bind to an open socket.

        Args:
          answer: a request's bytes -> the response's.
          finished: True once the client has asked to quit.
          parent: id of the process without which the server ends.
        """
        with needed_for("games served to other programs", "websockets", extra="protocol"):
            from websockets.server import ServerProtocol

        self._protocol: Any = ServerProtocol
        self._listener, self._answer, self._finished = listener, answer, finished
        self._parent = parent

    def serve(self) -> None:
        """Until the client leaves. Raises: ParentDied; TimeoutError if no client comes."""
        limit = time.monotonic() + WAIT_FOR_CLIENT
        with self._listener:
            while True:
                self._await(self._listener, limit)
                client, _ = self._listener.accept()
                with client:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if self._talk(client, limit):
                        return

    def _await(self, wanted: socket.socket, limit: float | None = None) -> None:
        while not select.select([wanted], [], [], LOOK_AROUND)[0]:
            if os.getppid() != self._parent:
                raise ParentDied("the process that started the stand-in is gone")
            if limit is not None and time.monotonic() > limit:
                raise TimeoutError(f"no client came within {WAIT_FOR_CLIENT:.0f} seconds")

    def _talk(self, client: socket.socket, limit: float) -> bool:
        """Speak with one client until it leaves. Returns: False if it never was one."""
        from websockets.frames import Frame, Opcode
        from websockets.http11 import Request
        from websockets.protocol import State

        protocol, was_client, parts = self._protocol(max_size=LARGEST_REQUEST), False, []
        while True:
            self._await(client, None if was_client else limit)
            try:
                received = client.recv(READ)
            except ConnectionError:
                received = b""
            if received:
                protocol.receive_data(received)
            else:
                protocol.receive_eof()
            for event in protocol.events_received():
                if isinstance(event, Request):
                    was_client = self._greet(protocol, event)
                elif isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
                    # pysc2 sends its requests in frames that say they were text.
                    parts.append(bytes(event.data))
                    if event.fin:
                        whole, parts = b"".join(parts), []
                        response = self._answer(whole)
                        if protocol.state is State.OPEN:  # else the client asked to quit and hung up at once
                            protocol.send_binary(response)
                            if self._finished():
                                protocol.send_close()
            if not self._send(client, protocol) or not received or protocol.state is State.CLOSED:
                return was_client
            if self._finished():
                return True

    def _greet(self, protocol: Any, request: Any) -> bool:
        """Answer the handshake. Returns: True if it is a client of the game."""
        response = (
            protocol.accept(request) if request.path == PATH else protocol.reject(404, "only /sc2api is served\n")
        )
        protocol.send_response(response)
        return bool(response.status_code == 101)

    def _send(self, client: socket.socket, protocol: Any) -> bool:
        """Send what is due. Returns: False if the connection is over."""
        for data in protocol.data_to_send():
            try:
                if not data:  # the protocol's sign to close the writing side
                    client.shutdown(socket.SHUT_WR)
                else:
                    client.sendall(data)
            except OSError:
                return False
        return True
