"""Settings for all tests: one thread, as in one training run (several threads on busy cores are far slower)."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "2" if name == "NUMBA_NUM_THREADS" else "1")
