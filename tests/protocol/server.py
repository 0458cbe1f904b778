"""A server in a process of its own, and the smallest client that can talk to it."""

import base64
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from skirmish.protocol.messages import load_messages

ROOT = Path(__file__).parents[2]
PARTICIPANT, COMPUTER = 1, 2
TERRAN = 1
SECONDS = 120  # a loaded machine that compiles kernels is slow; nothing here should hang for ever


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def start(*flags: str, **options) -> tuple[subprocess.Popen, int]:
    """A server on a free port. Returns: process, port."""
    command = [sys.executable, "-m", "skirmish", "serve", "-listen", "127.0.0.1", "-port", "0", *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), **options)
    line = process.stdout.readline()
    assert line.startswith("Listening on: 127.0.0.1:"), line
    return process, int(line.rsplit(":", 1)[1])


class Client:
    """A websocket by hand: frames of the client are masked, those of the server are not."""

    def __init__(self, port: int, path: str = "/sc2api") -> None:
        self.messages = load_messages()
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            got = self.socket.recv(1)
            if not got:
                break
            head += got
        self.greeting = head.split(b"\r\n")[0].decode()

    def send_bytes(self, data: bytes, opcode: int = 2) -> None:
        length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + struct.pack(">H", len(data))
        mask = os.urandom(4)
        masked = bytes(b ^ mask[k % 4] for k, b in enumerate(data))
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def receive_bytes(self) -> bytes:
        first, length = self._read(2)
        if length == 126:
            length = struct.unpack(">H", self._read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._read(8))[0]
        data = self._read(length)
        assert first & 0x0F in (1, 2), f"the server closed: {data!r}"
        return data

    def ask(self, **request):
        """One request, e.g. `ask(step={"count": 8})`. Returns: the whole Response."""
        self.send_bytes(self.messages.Request(**request).SerializeToString())
        return self.messages.Response.FromString(self.receive_bytes())

    def begin(self, name: str, seed: int = 1, race: int = TERRAN):
        """Create and join a game. Returns: response to the join."""
        created = self.ask(create_game=new_game(name, seed))
        assert not created.error and not created.create_game.HasField("error"), created
        return self.ask(join_game={"race": race, "options": {"raw": True}})

    def units(self):
        """Agents and enemies of an observation."""
        units = self.ask(observation={}).observation.observation.raw_data.units
        return [u for u in units if u.owner == 1], [u for u in units if u.owner == 2]

    def command(self, ability: int, unit: int, **target) -> int:
        """Order one unit by its tag. Returns: the ActionResult."""
        order = {"ability_id": ability, "unit_tags": [unit], **target}
        return self.ask(action={"actions": [{"action_raw": {"unit_command": order}}]}).action.result[0]

    def close(self) -> None:
        self.socket.close()

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            got = self.socket.recv(count - len(data))
            if not got:
                raise ConnectionError("the server hung up")
            data += got
        return data


def new_game(name: str, seed: int = 1) -> dict:
    """Fields of RequestCreateGame."""
    return {
        "local_map": {"map_path": f"SMAC_Maps/{name}.SC2Map"},
        "player_setup": [{"type": PARTICIPANT}, {"type": COMPUTER, "race": TERRAN, "difficulty": 7}],
        "random_seed": seed,
    }
