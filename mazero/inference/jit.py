"""How the kernels of inference are compiled: for the present sources of all of them."""

from pathlib import Path

from skirmish.compiled import compiler_of

njit = compiler_of(Path(__file__).parent)
