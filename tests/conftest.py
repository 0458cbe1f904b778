"""Settings for all tests: one thread, as in one training run (several threads on busy cores are far slower)."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("SKIRMISH_QUIET", "1")  # tests compare what commands write to stderr

import numba  # noqa: E402 - after the limits are set

numba.set_num_threads(1)
