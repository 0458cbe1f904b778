"""All maps at the start of a battle, side by side in one figure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skirmish.data.maps import load_map, map_names
from skirmish.data.units import UnitType
from skirmish.extras import needed_for
from skirmish.faces.vector import SkirmishEnv
from skirmish.pictures.film import require_outputs
from skirmish.pictures.ground import GROUND_HIGH, GROUND_LOW, VOID
from skirmish.pictures.render import Painter
from skirmish.pictures.sprites import ALLY, ENEMY, Colour, Sprites

with needed_for("figures", "matplotlib", extra="figures"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

FORMATS = (".png", ".svg", ".pdf")
DPI = 200
COLUMNS = 5
PANEL, GAP, TITLE, EDGE = 1.33, 0.075, 0.27, 0.05  # inches: width of a panel, space, title above it, margin
PIXELS = 532  # width of a panel's picture: twice what a PNG shows
WIDE = 0.7  # panels less high than this part of their width share rows
BAR = 5.0  # world units, the scale bar in every panel
SPRITE_SCALE = 80.0  # pixels per world unit of the legend's pictures
RC: dict[Any, Any] = {"font.family": "DejaVu Sans", "pdf.fonttype": 42, "svg.hashsalt": "gallery"}


def write_gallery(paths: Sequence[Path], *, force: bool = False) -> str:
    """Draw all maps into files.

    Args: paths: .png, .svg or .pdf; force: replace existing files.
    Returns: a line per file for people.
    Raises: ValueError for bad paths, before any work.
    """
    require_outputs(paths, FORMATS, force=force)
    with matplotlib.rc_context(RC):
        figure = gallery(map_names())
        for path in paths:
            save(figure, path)
    return "\n".join(f"{path}: {path.stat().st_size / 1e6:.2f} MB" for path in paths)


def save(figure: Figure, path: Path) -> None:
    """Write a figure without clock readings inside: the same maps give the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    clock: dict[str, Any] = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    figure.savefig(part, dpi=DPI, metadata=clock[path.suffix.lower()])
    os.replace(part, path)


def gallery(names: Sequence[str]) -> Figure:
    """A figure with a panel per map, labelled by the map's name, and two panels that explain them."""
    panels = [(name, *_start(name)) for name in names]
    wide = [p for p in panels if p[1].shape[0] < WIDE * p[1].shape[1]]
    high = [p for p in panels if p[1].shape[0] >= WIDE * p[1].shape[1]]
    blocks = [(block, max(p[1].shape[0] / p[1].shape[1] for p in block)) for block in (wide, high) if block]
    # The explanations fill what the last rows leave free.
    rows = [-(-(len(block) + 1) // COLUMNS) for block, _ in blocks]
    heights = [PANEL * aspect + TITLE + GAP for _, aspect in blocks]
    width = COLUMNS * PANEL + (COLUMNS - 1) * GAP + 2 * EDGE
    height = sum(n * h for n, h in zip(rows, heights, strict=True)) + EDGE
    figure = Figure(figsize=(width, height))
    top = height - EDGE
    for place, ((block, aspect), count, row_height) in enumerate(zip(blocks, rows, heights, strict=True)):
        explain = _explain_ground if place == 0 else _explain_units
        for cell in range(len(block) + 1):
            left = EDGE + (cell % COLUMNS) * (PANEL + GAP)
            upper = top - (cell // COLUMNS) * row_height - TITLE
            here = PANEL * aspect if cell == len(block) else PANEL * block[cell][1].shape[0] / block[cell][1].shape[1]
            axes = figure.add_axes((left / width, (upper - here) / height, PANEL / width, here / height))
            axes.set_axis_off()
            if cell < len(block):
                _draw_panel(axes, *block[cell], unit=TITLE / here)
            else:
                explain(axes, here, list(names))
        top -= count * row_height
    return figure


def _start(name: str) -> tuple[np.ndarray, float]:
    """Picture of a battle's start, without the strip above, and its scale in pixels per world unit."""
    env = SkirmishEnv(name)
    env.reset()
    painter = Painter(env, size=PIXELS)
    return painter.frame()[painter.head :], painter.view.scale * PIXELS / painter.view.size[0]


def _draw_panel(axes: Axes, name: str, picture: np.ndarray, scale: float, *, unit: float) -> None:
    spec = load_map(name)
    axes.set_label(name)
    axes.imshow(picture, aspect="auto", interpolation="antialiased")
    small: dict[str, Any] = {"transform": axes.transAxes, "va": "center"}
    axes.text(0.0, 1 + 0.69 * unit, name, fontsize=7, fontweight="bold", color=_rgb(VOID), **small)
    facts = f"{spec.n_agents} vs {spec.n_enemies} · {spec.episode_limit} steps"
    axes.text(0.0, 1 + 0.25 * unit, facts, fontsize=5.5, color="0.35", **small)
    height, width, _ = picture.shape
    y, right = height - 0.45 * scale, width - 0.6 * scale
    axes.plot([right - BAR * scale, right], [y, y], color="white", linewidth=0.9, solid_capstyle="butt")


def _explain_ground(axes: Axes, inches: float, names: list[str]) -> None:
    """Sides, ground and scale; the data coordinates of the axes are inches."""
    axes.set_xlim(0, PANEL)
    axes.set_ylim(0, inches)
    lines = [
        ("disc", ALLY.body, "agents"),
        ("disc", ENEMY.body, "enemies"),
        ("patch", GROUND_LOW, "ground"),
        ("patch", GROUND_HIGH, "high ground"),
        ("patch", VOID, "void behind cliffs"),
        ("bar", VOID, f"bar: {BAR:g} units of length"),
    ]
    step = inches / len(lines)
    for row, (mark, colour, text) in enumerate(lines):
        y = inches - (row + 0.5) * step
        if mark == "disc":
            axes.plot([0.13], [y], "o", markersize=6.5, color=_rgb(colour), markeredgecolor=_rgb(VOID), mew=0.5)
        else:
            axes.add_patch(
                Rectangle((0.05, y - 0.04), 0.16, 0.08, facecolor=_rgb(colour), edgecolor="0.4", linewidth=0.4)
            )
        if mark == "bar":
            axes.plot([0.08, 0.18], [y, y], color="white", linewidth=0.9, solid_capstyle="butt")
        axes.text(0.29, y, text, fontsize=5.8, color="0.2", va="center")


def _explain_units(axes: Axes, inches: float, names: list[str]) -> None:
    """Every type of unit on the maps, all to one scale; data coordinates are inches."""
    kinds: dict[str, UnitType] = {kind.name: kind for name in names for kind in load_map(name).kinds}
    axes.set_xlim(0, PANEL)
    axes.set_ylim(0, inches)
    axes.text(0.0, inches - 0.06, "unit types, one scale", fontsize=5.8, color="0.35", va="center")
    sprites = Sprites(SPRITE_SCALE)
    in_order = sorted(kinds.values(), key=lambda kind: kind.radius)
    rows = -(-len(in_order) // 2)
    step = (inches - 0.15) / rows
    scale = 0.088  # inches per world unit
    for place, kind in enumerate(in_order):
        x, y = 0.12 + 0.7 * (place // rows), inches - 0.15 - (place % rows + 0.5) * step
        picture = sprites.unit(kind, False, 0.0)
        half = 0.5 * picture.width / SPRITE_SCALE * scale
        axes.imshow(
            np.asarray(picture),
            extent=(x - half, x + half, y - half, y + half),
            aspect="auto",
            interpolation="antialiased",
        )
        label = kind.name.replace("_", "\n")
        axes.text(
            x + (0.13 if place < rows else 0.18), y, label, fontsize=5.2, color="0.2", va="center", linespacing=0.95
        )
    axes.set_xlim(0, PANEL)
    axes.set_ylim(0, inches)


def _rgb(colour: Colour) -> tuple[float, float, float]:
    return colour[0] / 255, colour[1] / 255, colour[2] / 255
