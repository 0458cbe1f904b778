"""What must be there before a game is started: the packages, the game, its maps. And what is there, for the record.

Nothing is imported or started: everything is found out from files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

from skirmish.protocol import MARKER

REPOSITORIES = {
    "smac": "git+https://github.com/oxwhirl/smac",
    "smacv2": "git+https://github.com/oxwhirl/smacv2",
}  # package -> where pip finds it; neither is on PyPI
MAPS = "SMAC_Maps"  # folder of both packages' maps in the game's folder Maps
DEFAULT_FOLDER = "~/StarCraftII"  # where pysc2 looks without SC2PATH
BINARY = "SC2_x64"
GAME_PACKAGES = ("pysc2", "s2clientprotocol")
# Builds of game versions that Linux packages exist for, as Blizzard's list of versions has them.
VERSION_OF_BUILD = {
    55958: "3.16.1", 56787: "3.17", 60321: "4.1.2", 67926: "4.6.1", 69232: "4.6.2", 70154: "4.7.1", 75689: "4.10",
}  # fmt: skip


class NotInstalledError(ImportError):
    """Something that StarCraft II needs is missing."""


@dataclass(frozen=True)
class Installation:
    """The game that will be started, and what plays it."""

    folder: Path
    build: int
    stand_in: bool  # made by `python -m skirmish install-standin`

    @property
    def label(self) -> str:
        """What results must say: the game and its version, or that it is none."""
        version = VERSION_OF_BUILD.get(self.build)
        if self.stand_in:
            return f"stand-in, not StarCraft II (skirmish {version})"
        return f"StarCraft II {version} (build {self.build})" if version else f"StarCraft II (build {self.build})"


def require_package(backend: str) -> None:
    """Raises: NotInstalledError unless the package `backend` is the StarCraft one, with what it needs."""
    remedy = f"pip install --no-deps '{REPOSITORIES[backend]}', and pysc2 with it (docs/starcraft.md)"
    found = util.find_spec(backend)
    if found is None:
        raise NotInstalledError(f"backend {backend} needs the StarCraft package {backend!r}, got none: {remedy}")
    if not any((Path(place) / "env" / "starcraft2").is_dir() for place in found.submodule_search_locations or ()):
        raise NotInstalledError(
            f"backend {backend} needs the StarCraft package {backend!r}, got another one at {found.origin}"
            f"{' (the PyPI package of that name is a tool for AutoML)' if backend == 'smac' else ''}: pip uninstall "
            f"{backend}, then {remedy}"
        )
    for name in GAME_PACKAGES:
        if util.find_spec(name) is None:
            raise NotInstalledError(
                f"backend {backend} needs the package {name}, got none: pip install pysc2==4.0.0 "
                "s2clientprotocol==5.0.17.98310.0 (docs/starcraft.md)"
            )


def find_game(game_version: str | None = None) -> Installation:
    """The game in SC2PATH that pysc2 starts for this version (None: the latest that is there).

    Raises: NotInstalledError if there is none.
    """
    given = os.environ.get("SC2PATH")
    folder = Path(given or DEFAULT_FOLDER).expanduser()
    remedy = (
        "set SC2PATH to the folder of StarCraft II, which holds Versions and Maps (docs/starcraft.md), or to a stand-in"
    )
    if not folder.is_dir():
        raise NotInstalledError(f"SC2PATH must name a folder, got {given!r} ({folder}): {remedy}")
    builds = sorted(
        int(match[1])
        for path in folder.glob("Versions/Base*")
        if (match := re.fullmatch(r"Base(\d+)", path.name)) and (path / BINARY).is_file()
    )
    if not builds:
        raise NotInstalledError(f"{folder} must hold Versions/Base<build>/{BINARY}, got none: {remedy}")
    build = builds[-1]
    if game_version is not None:
        wanted = [number for number, version in VERSION_OF_BUILD.items() if _same(version, game_version)]
        if wanted and wanted[0] not in builds:
            raise NotInstalledError(
                f"game_version {game_version} needs {folder}/Versions/Base{wanted[0]}, got "
                f"{', '.join(f'Base{number}' for number in builds)}: install that version or leave game_version out"
            )
        build = wanted[0] if wanted else build
    stand_in = (folder / MARKER).exists()
    if stand_in:
        _require_interpreter(folder, folder / f"Versions/Base{build}" / BINARY)
    return Installation(folder, build, stand_in)


def require_map(folder: Path, name: str) -> None:
    """Raises: NotInstalledError unless the map file `name` is where pysc2 looks for it."""
    path = folder / "Maps" / MAPS / f"{name}.SC2Map"
    if not path.is_file():
        raise NotInstalledError(
            f"map {name} needs the file {path}, got none: unpack the maps of the smac package's releases there "
            "(docs/starcraft.md)"
        )


def record(backend: str, game_version: str | None) -> dict[str, Any]:
    """JSON-ready facts for the provenance of a run. Raises: NotInstalledError as above."""
    game = find_game(game_version)
    return {
        "game": game.label,
        "build": game.build,
        "stand_in": game.stand_in,
        "packages": {name: _version(name) for name in GAME_PACKAGES},
        backend: _origin(backend),
    }


def _require_interpreter(folder: Path, launcher: Path) -> None:
    """Raises: NotInstalledError if the Python that a stand-in starts is not there any more."""
    for line in launcher.read_text().splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["exec"] and not Path(words[1]).exists():
            raise NotInstalledError(
                f"the stand-in in {folder} must start a Python that exists, got {words[1]}: make it anew with "
                f"python -m skirmish install-standin {folder}"
            )


def _same(version: str, other: str) -> bool:
    """4.10 and 4.10.0 are the same."""
    return version.removesuffix(".0") == other.removesuffix(".0")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed by pip"


def _origin(package: str) -> dict[str, Any]:
    """Where an official package comes from: the commit that pip installed, and a hash of its environment's source."""
    facts: dict[str, Any] = {"commit": None}
    try:
        text = metadata.distribution(package).read_text("direct_url.json")
        facts["commit"] = json.loads(text)["vcs_info"]["commit_id"] if text else None
    except (metadata.PackageNotFoundError, ValueError, KeyError):
        pass
    found = util.find_spec(package)
    for place in (found.submodule_search_locations or ()) if found else ():
        source = Path(place) / "env" / "starcraft2" / "starcraft2.py"
        if source.is_file():
            facts["source_sha256"] = hashlib.sha256(source.read_bytes()).hexdigest()
    return facts
