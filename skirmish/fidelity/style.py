"""What the figures of this room share: their look, and how they are written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
DPI = 200
OURS = "#c44e00"  # the simulator
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "fidelity",
}


def write_figure(path: Path, make: Callable[[], Figure]) -> None:
    """Write the figure that `make` makes in this look, whole or not at all, without clock readings inside.

    Raises: ValueError for another kind of file, before anything is drawn.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"figure must be one of {', '.join(FORMATS)}, got {path.name!r}: choose another --out")
    clock: dict[str, Any] = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    with matplotlib.rc_context(RC):
        make().savefig(part, dpi=DPI, metadata=clock[path.suffix.lower()])
    os.replace(part, path)
