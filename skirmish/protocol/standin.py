"""A folder that looks like an installation of StarCraft II on Linux and starts the simulator instead of the game."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import skirmish
from skirmish.protocol import MARKER
from skirmish.protocol.scene import MAP_FOLDER, SUFFIX, map_files
from skirmish.protocol.views import BUILDS

TEXT = """This folder is not StarCraft II. Its SC2_x64 starts the simulator `skirmish` (python -m skirmish serve), which
speaks the game's API, and its map files are names without content. Results made with it are not StarCraft II results.
Made by: python -m skirmish install-standin. Delete the folder to be rid of it.
"""
LAUNCHER = """#!/bin/sh
# Not StarCraft II: the stand-in of the simulator skirmish.
unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION
PYTHONPATH={root}"${{PYTHONPATH:+:$PYTHONPATH}}"
export PYTHONPATH
exec {python} -P -m skirmish serve -unitData {version} "$@"
"""


def install_standin(folder: Path) -> Path:
    """Make or renew the stand-in in a folder that is new, empty or a stand-in already. Returns: its absolute path.

    Raises: ValueError for any other folder, a real installation above all; nothing is written then.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not is_standin(folder):
        real = (folder / "Versions").exists() or (folder / "Battle.net").exists()
        what = "looks like a real installation of StarCraft II" if real else "holds other files"
        raise ValueError(f"{folder} {what}, which the stand-in never overwrites: name a new folder")
    _write(folder / MARKER, TEXT)
    root = Path(skirmish.__file__).absolute().parents[1]
    for version, (_, build) in BUILDS.items():
        binary = folder / "Versions" / f"Base{build}" / "SC2_x64"
        python = shlex.quote(sys.executable)
        _write(binary, LAUNCHER.format(root=shlex.quote(str(root)), python=python, version=version))
        binary.chmod(0o755)
    for name in map_files():
        _write(folder / "Maps" / MAP_FOLDER / f"{name}{SUFFIX}", f"skirmish stand-in for the map {name}\n")
    return folder


def is_standin(folder: Path) -> bool:
    """Was this folder made by `install_standin`?"""
    return (folder / MARKER).is_file()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
