"""How the kernels of the search are compiled.

Kernels loop over roots; the roots share scratch memory and nothing else. They index whole arrays, because a view of one
root's part would cost numba a count of references each time, an atomic operation.
"""

from pathlib import Path

from skirmish.compiled import compiler_of

njit = compiler_of(Path(__file__).parent)

# error_model: no check for divisions by zero, of which there are none; the check would forbid vector instructions.
kernel = njit(cache=True, nogil=True, error_model="numpy")
kernel_of_others = njit(nogil=True, error_model="numpy")  # not kept: sources elsewhere may change unseen
helper = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)  # a call would count references to arrays
