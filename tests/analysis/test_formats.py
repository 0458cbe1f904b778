"""Cells of tables in Markdown, LaTeX and HTML."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import formats
from analysis.formats import Cell, Column

TABLE = pd.DataFrame(
    {
        "algorithm": ["a", "b"],
        "label": ["A & B_1", "OS(λ) 50%"],
        "x": [0.5, np.nan],
        "x_low": [0.25, np.nan],
        "x_high": [0.75, np.nan],
        "env_steps": [12345.0, np.nan],
        "seeds": [3, 10],
    }
)


def test_cells_hold_what_is_shown_and_what_it_is_sorted_by() -> None:
    heads, rows = formats.cells(TABLE)
    assert heads == [Column("algorithm", False), Column("x", True), Column("env steps", True), Column("seeds", True)]
    assert rows[0] == [
        Cell("A & B_1"),
        Cell("0.50", "[0.25, 0.75]", 0.5),
        Cell("12,345", "", 12345.0),
        Cell("3", "", 3.0),
    ]
    assert rows[1] == [Cell("OS(λ) 50%"), Cell("-"), Cell("-"), Cell("10", "", 10.0)]


def test_latex() -> None:
    assert formats.latex(TABLE) == (
        "\\begin{tabular}{lrrr}\n\\toprule\n{}algorithm & x & env steps & seeds \\\\\n\\midrule\n"
        "{}A \\& B\\_1 & 0.50 [0.25, 0.75] & 12,345 & 3 \\\\\n"
        "{}OS($\\lambda$) 50\\% & - & - & 10 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )
    odd = formats.latex(pd.DataFrame({"text": ["\\{}~^<>|#$"]})).splitlines()[4]
    assert odd == (
        r"{}\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}"
        r"\textless{}\textgreater{}\textbar{}\#\$ \\"
    )


def test_markdown() -> None:
    assert formats.markdown(TABLE.assign(label=["a|b", "c"])) == (
        "| algorithm | x | env steps | seeds |\n| --- | --- | --- | --- |\n"
        "| a\\|b | 0.50 [0.25, 0.75] | 12,345 | 3 |\n| c | - | - | 10 |\n"
    )
