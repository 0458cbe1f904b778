"""Keeps numba's cache of this package honest.

numba files compiled kernels by the time stamp of the one source file they are written in. It does not see that a callee
in another file has changed, and fails on a renamed named tuple. So all kernels of the package are thrown away when any
of the sources that kernels are made of has changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

STAMP = "kernels.sha256"
# A source without any of these holds neither kernels nor what they are passed; `jit.py` may hold decorators.
MARKS_OF_KERNELS = (b"njit", b".jit import", b"NamedTuple")


def forget_stale_kernels(package: Path) -> bool:
    """Delete the cached kernels under `package` unless they were compiled from its present sources.

    Returns: True if the caches were out of date. A folder that cannot be written holds no caches (numba then uses
    a folder of the user, which this does not reach).
    """
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        text = source.read_bytes()
        if any(mark in text for mark in MARKS_OF_KERNELS):
            digest.update(source.relative_to(package).as_posix().encode())
            digest.update(text)
    stamp = package / "__pycache__" / STAMP
    try:
        if stamp.read_text(encoding="ascii") == digest.hexdigest():
            return False
    except (OSError, UnicodeDecodeError):
        pass  # no stamp yet: treat whatever is there as stale
    try:
        for pattern in ("*.nbi", "*.nbc"):
            for kernel in package.rglob(f"__pycache__/{pattern}"):
                kernel.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest(), encoding="ascii")
    except OSError:
        pass
    return True
