"""Where a result comes from: versions, sources, commit, machine, threads, command; one record a session of a run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from training.errors import UserError
from training.files import write_json

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("mazero", "baselines", "envs", "skirmish", "training")  # what decides how a run goes
LOCK = "requirements.lock"
OURS = ("--", *SOURCES, LOCK)  # as git takes paths
PACKAGES = ("torch", "numpy", "numba", "pandas", "rliable", "snakemake", "gymnasium", "box2d")


def collect(
    *,
    backend: str,
    threads: int,
    device: str,
    command: list[str],
    unit_data: str = "",
    starcraft: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One JSON-ready record of everything that could explain a difference between two runs.

    What git says is None where there is no git, or where the sources are not the root of a repository: the commit of
    a repository that happens to lie around them would be a lie.

    Args:
      unit_data: which the simulator fights with, e.g. "4.10", or the game that plays; empty (null in the record) for
        other backends.
      starcraft: game and packages (`envs.provenance`); the record has no such entry for backends without them.
    """
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    gpu = torch.cuda.get_device_name(0) if device.startswith("cuda") and torch.cuda.is_available() else None
    changes = _git("status", "--porcelain", *OURS)
    return {
        "backend": backend,
        "unit_data": unit_data or None,
        "command": command,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "sources_sha256": sources_digest(),
        "lock_sha256": _digest([ROOT / LOCK]) if (ROOT / LOCK).is_file() else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "gpu": gpu,
        "threads": threads,
        "device": device,
        "versions": versions,
        **({} if starcraft is None else {"starcraft": starcraft}),
    }


def add_session(directory: Path, record: dict[str, Any], *, from_step: int) -> None:
    """Add a session to the provenance.json of a run directory, and keep its uncommitted changes beside it.

    A run that goes on under another commit, on another machine or with other threads says so: each session has its
    record, its time of day (UTC) and the environment steps it went on from.
    """
    path = directory / "provenance.json"
    sessions = _sessions(path) if path.is_file() else []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if record["git_dirty"]:
        (directory / f"uncommitted_{len(sessions)}.diff").write_bytes(_uncommitted())
    write_json(path, {"sessions": [*sessions, {"started": now, "from_env_steps": from_step, **record}]})


def _sessions(path: Path) -> list[Any]:
    """The sessions written down so far. Raises: UserError if the file is damaged."""
    try:
        sessions = json.loads(path.read_text())["sessions"]
        if isinstance(sessions, list) and all(isinstance(session, dict) for session in sessions):
            return sessions
    except (ValueError, RecursionError, KeyError, TypeError):
        pass
    raise UserError(f"{path} must hold the sessions of a run, got something else: restore it from a copy, or delete it")


def sources_digest() -> str:
    """SHA-256 of all files that decide what a run does: code, presets and data of our packages, by path and content."""
    files = [p for name in SOURCES for p in sorted((ROOT / name).rglob("*")) if p.is_file()]
    return _digest([p for p in files if "__pycache__" not in p.parts and p.suffix != ".md"])


def command_line(module: str) -> list[str]:
    """The command as a person would type it."""
    return ["python", "-m", module, *sys.argv[1:]]


def _digest(files: list[Path]) -> str:
    sha256 = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        sha256.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode() + content)
    return sha256.hexdigest()


def _uncommitted() -> bytes:
    """The sources' changes against the last commit, new files included, as `git apply` takes them."""
    new = (_git_bytes("ls-files", "-z", "--others", "--exclude-standard", *OURS) or b"").split(b"\0")[:-1]
    parts = [_git_bytes("diff", "--binary", "HEAD", *OURS)]
    parts += [_git_bytes("diff", "--binary", "--no-index", "--", os.devnull, os.fsdecode(name)) for name in new]
    return b"".join(part or b"" for part in parts)


def _git(*arguments: str) -> str | None:
    """What git answers about our sources, or None: also where they are not the root of a repository of ours."""
    root = _git_bytes("rev-parse", "--show-toplevel")
    if root is None or Path(os.fsdecode(root.rstrip(b"\n"))).resolve() != ROOT:
        return None
    answer = _git_bytes(*arguments)
    return None if answer is None else os.fsdecode(answer).strip()


def _git_bytes(*arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    fine = 1 if "--no-index" in arguments else 0  # 1 says that the files differ
    return done.stdout if done.returncode == fine else None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
