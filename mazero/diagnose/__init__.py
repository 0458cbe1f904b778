"""Why does a run not learn (yet)? Its policy plays fresh episodes, and every part of the method is held against them.

`play.py` records episodes, `unrolled.py` runs the model along them, `measures.py` holds the definitions as pure
functions, `rows.py` applies them and makes the table, `summary.py` reads it out, `command.py` is
`python -m mazero diagnose`.
"""

from mazero.diagnose.command import add_flags, check, diagnose

__all__ = ["add_flags", "check", "diagnose"]
