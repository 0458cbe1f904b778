"""Figures of one group: which there are, and how they are saved.

Each function of `DRAW` takes the checked table and returns a matplotlib Figure, so that tests can look at what was
drawn; `draw_all` saves them. Points are means over seeds (per map) or interquartile means over runs and maps (per
group); bands and bars are 95 % stratified bootstrap intervals by rliable (`analysis.aggregates`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figure_curves import episode_return, hours, profile, sample_efficiency, win_rate
from analysis.figure_rows import area, differences, final, improvement
from analysis.figure_thresholds import hours_to, steps_to
from analysis.study import FIGURES, Group, Study, StudyError
from analysis.style import ALL, paper_style, save

DRAW: dict[str, Callable[[pd.DataFrame, Study, Group], Figure]] = {
    "win_rate": win_rate,
    "return": episode_return,
    "hours": hours,
    "sample_efficiency": sample_efficiency,
    "profile": profile,
    "final": final,
    "area": area,
    "improvement": improvement,
    "differences": differences,
    "steps_to": steps_to,
    "hours_to": hours_to,
}


def draw_all(frame: pd.DataFrame, study: Study, directory: Path, *, only: str | None = None) -> list[Path]:
    """Draw every figure of every group (or of group `only`) into directory/<group>/<figure>.{png,pdf,svg}.

    Raises: StudyError if there is no group of that name.
    """
    if only is not None and only not in study.groups:
        raise StudyError(f"unknown group {only!r} in study {study.name}; known: {', '.join(study.groups)}")
    written: list[Path] = []
    for group in study.groups.values():
        if only in (None, group.key):
            with paper_style():
                for name in FIGURES:
                    figure = DRAW[name](frame, study, group)
                    written += save(figure, directory / group.key / name, suffixes=ALL)
    return written
