"""Where a result comes from: versions, commit, machine, threads, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "numpy", "numba", "pandas", "rliable", "snakemake")


def collect(*, backend: str, threads: int, device: str, command: list[str], unit_data: str = "") -> dict[str, Any]:
    """One JSON-ready record of everything that could explain a difference between two runs.

    Args: unit_data: which the simulator fights with, e.g. "4.10"; empty (null in the record) for other backends.
    """
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    gpu = torch.cuda.get_device_name(0) if device.startswith("cuda") and torch.cuda.is_available() else None
    return {
        "backend": backend,
        "unit_data": unit_data or None,
        "command": command,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "gpu": gpu,
        "threads": threads,
        "device": device,
        "versions": versions,
    }


def command_line(module: str) -> list[str]:
    """The command as a person would type it."""
    return ["python", "-m", module, *sys.argv[1:]]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
