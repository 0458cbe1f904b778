"""The one door to numba: kernels of a package are compiled once for its present sources, and kept.

numba files compiled kernels by the source file they are written in. It does not see that a callee in another file has
changed, and fails on a renamed named tuple. So the kernels of a package lie in a folder of their own that is named
after all sources they are made of: changed sources, of a checkout or of an upgraded installation, find an empty one,
and a process that still runs the old sources writes into the old one. The folder lies in NUMBA_CACHE_DIR if that is
set, else in the package's own `__pycache__`, else, if that cannot be written, in the user's folder for caches.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
from numba import prange

__all__ = ["compiler_of", "kernel_folder", "njit", "prange"]

# A source without any of these holds neither kernels nor what they are passed; `jit.py` may hold decorators.
MARKS_OF_KERNELS = (b"njit", b".jit import", b"NamedTuple")
KEPT = 3  # folders of one package, the latest: going back to other sources and forth does not compile anew


def compiler_of(package: Path) -> Callable[..., Any]:
    """`numba.njit` for the kernels of the package in folder `package`; `cache=True` keeps them as described above."""
    folder = kernel_folder(package)

    def compile_later(function: Callable[..., Any] | None = None, *, cache: bool = False, **options: Any) -> Any:
        if function is None:
            return partial(compile_later, cache=cache, **options)
        config: Any = numba.config
        before = config.CACHE_DIR
        config.CACHE_DIR = str(folder or before)  # numba looks here while it decorates, and not again
        try:
            return numba.njit(cache=cache and folder is not None, **options)(function)
        finally:
            config.CACHE_DIR = before

    return compile_later


def kernel_folder(package: Path) -> Path | None:
    """Where compiled kernels of the present sources lie, made if need be; None if nothing can be written anywhere."""
    package = package.absolute()
    prefix = f"{package.name}-{hashlib.sha256(str(package).encode()).hexdigest()[:8]}"
    for base in _bases(package):
        folder = base / f"{prefix}-{_digest(package)}"
        new = not folder.is_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        if new:
            _remove_all_but_the_latest(base, prefix)
        return folder
    return None


def _bases(package: Path) -> list[Path]:
    """Folders that may hold the kernels, best first."""
    chosen: str = numba.config.CACHE_DIR  # type: ignore[attr-defined]  # NUMBA_CACHE_DIR, or empty
    bases = [Path(chosen).absolute()] if chosen else []
    bases.append(package / "__pycache__")
    if sys.platform == "win32":
        user = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        user = "~/Library/Caches"
    else:
        user = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = Path(os.path.expanduser(user))
    if home.is_absolute():  # a user without a home has none
        bases.append(home / package.name)
    return bases


def _digest(package: Path) -> str:
    """Of all sources that kernels are made of."""
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        text = source.read_bytes()
        if any(mark in text for mark in MARKS_OF_KERNELS):
            digest.update(source.relative_to(package).as_posix().encode())
            digest.update(text)
    return digest.hexdigest()[:16]


def _remove_all_but_the_latest(base: Path, prefix: str) -> None:
    def written(folder: Path) -> float:
        try:
            return folder.stat().st_mtime
        except FileNotFoundError:  # another process removed it
            return 0.0

    folders = sorted(base.glob(f"{prefix}-*"), key=written, reverse=True)
    for folder in folders[KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _hush() -> None:
    """Under a root logger at DEBUG numba writes tens of megabytes for one kernel; who wants them sets its level."""
    logger = logging.getLogger("numba")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


_hush()
# Kernels divide by nothing that can be zero; numba's test for it would forbid vector instructions.
njit = partial(compiler_of(Path(__file__).parent), error_model="numpy")
