"""How fast search and learning run here, and where the time goes: `python -m mazero bench`."""

from mazero.bench.command import add_flags, run

__all__ = ["add_flags", "run"]
