"""Figures and films as a page embeds them: data URIs with their sizes."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from analysis.study import StudyError

CSS_PIXELS = 96 / 72  # of a point
ROOT_ELEMENT = re.compile(r"<svg\b[^>]*>")


@dataclass(frozen=True)
class Plot:
    """One embedded figure."""

    source: str  # data URI
    width: int  # CSS pixels
    height: int
    title: str
    caption: str
    id: str = ""

    @property
    def alt(self) -> str:
        """What it is, for those who do not see it; its numbers stand in the tables."""
        return f"{self.title}. {self.caption}"


def embed(path: Path, *, title: str, caption: str, id: str = "") -> Plot:
    """An SVG file of matplotlib, whole. Raises: StudyError if it is missing, or does not say its size."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StudyError(f"{path}: missing; draw the figures first (`python -m analysis redraw`)") from error
    found = ROOT_ELEMENT.search(text)
    sizes = [re.search(rf'\b{name}="([\d.]+)pt"', found[0]) for name in ("width", "height")] if found else []
    if not all(sizes):
        raise StudyError(f"{path}: no SVG with width and height in points; draw the figures again")
    width, height = (round(float(size[1]) * CSS_PIXELS) for size in sizes if size)
    return Plot(data_uri(text.encode(), "image/svg+xml"), width, height, title, caption, id)


def data_uri(content: bytes, kind: str) -> str:
    """Content of a media type, as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
