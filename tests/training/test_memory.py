import subprocess
import sys

import pytest

from training.memory import keep_freed_memory

# Touches 32 MiB again and again; memory that went back to the system is faulted in page by page each time.
PROGRAM = """
import resource, sys
import numpy as np
from training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def work():
    first, second = (np.empty(1 << 23, np.float32) for _ in range(2))
    first.fill(1.0), second.fill(1.0)
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    found = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="not glibc's allocator")
def test_kept_memory_is_not_asked_for_again():
    kept, default = faults("kept"), faults("default")
    assert kept < 100 < default
