"""From run directories to evaluations, statistics, figures, tables and a report.

Reads result files only: no learner, no environment and no torch is imported here, so that every figure can be redrawn
from `results/` on a laptop. `python -m analysis --help` lists the commands.
"""
