"""Tables as people read them: cells of Markdown, LaTeX and HTML, made of one DataFrame with plain number columns.

X, X_low and X_high become one cell, `x [low, high]`; an empty number becomes a dash.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

EMPTY = "-"
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "≥": r"$\geq$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
}
LATEX_TABLE = str.maketrans(LATEX)


class Cell(NamedTuple):
    """One cell: what it says and what it is sorted by."""

    text: str
    interval: str = ""  # "[0.1, 0.9]" of an estimate
    number: float | None = None  # None: a text, or an empty number

    @property
    def whole(self) -> str:
        """Estimate and interval."""
        return f"{self.text} {self.interval}".rstrip()


class Column(NamedTuple):
    """The head of a column."""

    text: str
    numeric: bool


def cells(table: pd.DataFrame) -> tuple[list[Column], list[list[Cell]]]:
    """Heads and rows of a table. The key of an algorithm gives way to its label where there is one."""
    shown = [name for name in table.columns if not name.endswith(("_low", "_high")) and name != "algorithm"]
    numeric = {name for name in shown if pd.api.types.is_numeric_dtype(table[name])}
    heads = [Column("algorithm" if name == "label" else name.replace("_", " "), name in numeric) for name in shown]
    return heads, [[_cell(row, name) for name in shown] for row in table.to_dict("records")]


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table."""
    heads, rows = cells(table)
    lines = ["| " + " | ".join(head.text for head in heads) + " |", "|" + "|".join(" --- " for _ in heads) + "|"]
    lines += ["| " + " | ".join(cell.whole.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def latex(table: pd.DataFrame) -> str:
    """A LaTeX tabular with the rules of booktabs; numbers to the right."""
    heads, rows = cells(table)
    columns = "".join("r" if head.numeric else "l" for head in heads)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(head.text for head in heads), r"\midrule"]
    lines += [_latex_row(cell.whole for cell in row) for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(texts: Any) -> str:
    # An empty group first: a bracket that opens a row would be read as an argument of the \\ before it.
    return "{}" + " & ".join(text.translate(LATEX_TABLE) for text in texts) + r" \\"


def _cell(row: dict[Any, Any], column: str) -> Cell:
    value = row[column]
    if isinstance(value, float):
        if np.isnan(value):
            return Cell(EMPTY)
        interval = ""
        if f"{column}_low" in row:
            interval = f"[{_number(row[f'{column}_low'])}, {_number(row[f'{column}_high'])}]"
        return Cell(_number(value), interval, float(value))
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return Cell(str(value), number=float(value))
    return Cell(str(value))


def _number(value: float) -> str:
    if np.isnan(value):
        return EMPTY
    return f"{round(value, 2) + 0.0:.2f}" if abs(value) < 100 else f"{value:,.0f}"  # + 0.0: no minus before zero
