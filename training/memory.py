"""How this process handles freed memory: kept for the next update instead of being given back to the system."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_ARRAY = 1 << 30  # bytes; larger arrays come from the system and go back to it
SPARE = (1 << 31) - 1  # bytes at the end of the heap that may lie unused; the largest int


def keep_freed_memory() -> bool:
    """Lets glibc serve arrays below 1 GiB from memory that was used before.

    An update makes and frees arrays of megabytes. By default the allocator returns such memory to the system each time,
    and the system clears it page by page when it is asked for again: up to a tenth of a baseline's update. The process
    may hold up to 2 GiB more than it uses.

    Returns: whether the allocator took the settings; False without effect where it is not glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    return all(mallopt(*option) == 1 for option in ((M_MMAP_THRESHOLD, LARGEST_ARRAY), (M_TRIM_THRESHOLD, SPARE)))
