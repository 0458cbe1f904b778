"""`python -m skirmish serve` and `python -m skirmish install-standin DIR`."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skirmish.protocol.server import ParentDied, Server, open_socket

PROTOBUF_CHOICE = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
LOOPBACK = ("127.0.0.1", "localhost")
VERSIONS = ("4.10", "4.6.2")  # of the unit data, as in data/units.py, which takes a moment to load
VALUED = ("-listen", "-port", "-dataDir", "-tempDir", "-displayMode", "-unitData")
HELP = """usage: python -m skirmish serve -port PORT [-listen 127.0.0.1] [-tempDir DIR] [-verbose]
                                [-unitData 4.10|4.6.2]

Serve StarCraft II's API at ws://127.0.0.1:PORT/sc2api with battles of the simulator, until the client leaves.
-port 0 takes a free port and prints it. -tempDir is removed at the end if it is empty. The other flags of the game
(-dataDir, -displayMode, -windowwidth, -dataVersion, -eglpath, ...) are accepted and have no effect.
"""
INSTALL_HELP = """usage: python -m skirmish install-standin DIR

Make a folder that pysc2, smac and smacv2 take for an installation of the game: export SC2PATH=DIR
"""


@dataclass(frozen=True)
class ServeFlags:
    """What matters of the flags that the game's binary is started with."""

    port: int
    temp_dir: str = ""
    version: str = VERSIONS[0]
    verbose: bool = False


def parse_flags(arguments: Sequence[str]) -> ServeFlags:
    """Read the flags of the game. Raises: ValueError for what is no flag, and for values without a meaning."""
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("-") or flag.strip("-") == "":
            raise ValueError(f"expected a flag such as -port, got {flag!r}: see python -m skirmish serve --help")
        takes = bool(rest) and (not rest[0].startswith("-") or (flag in VALUED and rest[0][1:].isdigit()))
        if flag in VALUED and not takes:
            raise ValueError(f"{flag} needs a value, got none")
        found[flag] = rest.pop(0) if takes else ""
    host, port, version = found.get("-listen", LOOPBACK[0]), found.get("-port"), found.get("-unitData", VERSIONS[0])
    if host not in LOOPBACK:
        raise ValueError(f"-listen must be 127.0.0.1, got {host!r}: the stand-in serves this machine only")
    if port is None:
        raise ValueError("-port is missing: pass a number, 0 for a free port")
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"-port must be an integer in [0, 65535], got {port!r}")
    if version not in VERSIONS:
        raise ValueError(f"-unitData must be one of {', '.join(VERSIONS)}, got {version!r}")
    return ServeFlags(int(port), found.get("-tempDir", ""), version, "-verbose" in found)


def serve(arguments: Sequence[str]) -> int:
    """The command `serve`. Returns the exit code: 2 for bad flags, a port that is taken or missing packages."""
    parent = os.getppid()  # asked for at once: it may die while the rest is loaded
    if any(a in ("-h", "-help", "--help") for a in arguments):
        sys.stdout.write(HELP)
        return 0
    # Clients need the slow implementation for their own modules and pass it on; it is read when protobuf is imported.
    os.environ.pop(PROTOBUF_CHOICE, None)
    try:
        flags = parse_flags(arguments)
        listener = open_socket(flags.port)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"skirmish serve: {error}\n")
        return 2
    logging.basicConfig(format="skirmish serve: %(message)s", level=logging.INFO if flags.verbose else logging.WARNING)
    if flags.port == 0 or flags.verbose:
        sys.stdout.write(f"Listening on: 127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
    try:
        from skirmish.protocol.game import QUIT, Game  # imported late: the socket is open already
        from skirmish.protocol.messages import load_messages

        game = Game(load_messages(), flags.version)
        Server(listener, game.answer, lambda: game.status == QUIT, parent).serve()
    except ImportError as error:
        sys.stderr.write(f"skirmish serve: {error}\n")
        return 2
    except (ParentDied, TimeoutError) as error:
        logging.getLogger(__name__).info("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        listener.close()
        if flags.temp_dir:
            with contextlib.suppress(OSError):  # not empty, or gone already
                os.rmdir(flags.temp_dir)
    return 0


def install(arguments: Sequence[str]) -> int:
    """The command `install-standin`. Returns the exit code."""
    if any(a in ("-h", "--help") for a in arguments):
        sys.stdout.write(INSTALL_HELP)
        return 0
    from skirmish.protocol.standin import install_standin

    try:
        if len(arguments) != 1 or arguments[0].startswith("-"):
            raise ValueError(f"expected one folder, got {' '.join(arguments) or 'none'}: install-standin DIR")
        folder = install_standin(Path(arguments[0]))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"export SC2PATH={folder}\n")
    return 0
