"""How the kernels of learning are compiled: for the present sources of the whole package, as they use inference's."""

from pathlib import Path

from skirmish.compiled import compiler_of

REORDER = {"reassoc", "contract", "nsz"}  # sums may be taken in vector order, as torch takes them
njit = compiler_of(Path(__file__).parent.parent)
