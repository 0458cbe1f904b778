"""Colours, type and the pictures of units, all drawn with Pillow.

Allies are dark blue, enemies light orange: told apart with any colour vision and in grey. Every unit is a disc of its
true radius with the marks of its type on it, turned to where the unit looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from skirmish.data.units import UnitType
from skirmish.pictures.pillow import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

HEADINGS = 48  # directions that units are drawn in
REACH = 2.0  # how far the marks of a type may stick out, in radii
FINE = 4  # sprites are drawn this much larger and scaled down
HIGH = 0.82  # opacity of units that can be above others: what is below them shines through
OUTLINE = 0.11  # width of outlines in radii

WHITE: Colour = (255, 255, 255)
INK: Colour = (24, 29, 36)
SHIELD: Colour = (186, 164, 255)
ENERGY: Colour = (236, 200, 64)
ACID: Colour = (190, 214, 47)
HEAL: Colour = (0, 158, 115)
DRAW: Colour = (120, 128, 138)


@dataclass(frozen=True)
class Palette:
    """Colours of one side."""

    body: Colour
    deep: Colour  # outlines, weapons, legs
    light: Colour  # eyes, the glow of shots


ALLY = Palette(body=(36, 106, 178), deep=(10, 37, 74), light=(166, 214, 255))
ENEMY = Palette(body=(240, 138, 36), deep=(98, 41, 4), light=(255, 228, 178))


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib brings it along; without matplotlib Pillow's own, which has no bold."""
    try:
        import matplotlib
    except ImportError:
        plain = ImageFont.load_default(size)
        assert isinstance(plain, ImageFont.FreeTypeFont)  # with a size it is
        return plain
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def mix(a: Colour, b: Colour, part: float) -> Colour:
    """`part` of the way from colour a to colour b."""
    return (
        round(a[0] + part * (b[0] - a[0])),
        round(a[1] + part * (b[1] - a[1])),
        round(a[2] + part * (b[2] - a[2])),
    )


class Pen:
    """Draws in the coordinates of one unit: its centre is the origin, its radius 1, it looks along +x."""

    def __init__(self, pixels_per_radius: float, heading: float, palette: Palette) -> None:
        """Start with nothing drawn; heading in radians, counter-clockwise from east."""
        self.scale, self.palette = pixels_per_radius, palette
        self._cos, self._sin = math.cos(heading), math.sin(heading)
        side = 2 * math.ceil(REACH * pixels_per_radius) + 1
        self.image = Image.new("RGBA", (side, side), (*palette.deep, 0))
        self._draw, self._middle = ImageDraw.Draw(self.image), (side - 1) / 2

    def disc(self, radius: float, fill: Colour, at: Point = (0.0, 0.0)) -> None:
        """A filled circle."""
        (x, y), r = self._pixel(at), radius * self.scale
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)

    def body(self, radius: float = 1.0) -> None:
        """The disc that every unit has."""
        self.disc(radius, self.palette.deep)
        self.disc(radius - OUTLINE, self.palette.body)

    def shape(self, points: Iterable[Point], fill: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon([self._pixel(p) for p in points], fill=fill)

    def line(self, points: Iterable[Point], width: float, fill: Colour) -> None:
        """A polyline with round ends."""
        chain = list(points)
        self._draw.line([self._pixel(p) for p in chain], fill=fill, width=max(1, round(width * self.scale)))
        for point in chain:
            self.disc(width / 2, fill, point)

    def pair(self, points: Iterable[Point], width: float, fill: Colour) -> None:
        """A polyline on the left and its mirror image on the right."""
        chain = list(points)
        self.line(chain, width, fill)
        self.line([(x, -y) for x, y in chain], width, fill)

    def _pixel(self, point: Point) -> Point:
        x, y = point
        return (
            self._middle + self.scale * (x * self._cos - y * self._sin),
            self._middle - self.scale * (x * self._sin + y * self._cos),
        )


def _marine(pen: Pen) -> None:
    pen.line([(0.2, -0.55), (1.5, -0.55)], 0.34, pen.palette.deep)  # rifle
    pen.body()
    pen.pair([(0.52, 0.0), (0.4, 0.36)], 0.3, pen.palette.light)  # visor


def _marauder(pen: Pen) -> None:
    pen.pair([(-0.1, 0.85), (1.1, 0.85)], 0.5, pen.palette.deep)  # a grenade launcher on each arm
    pen.body()
    pen.pair([(-0.4, 0.45), (0.1, 0.45)], 0.2, pen.palette.deep)
    pen.pair([(0.6, 0.0), (0.5, 0.3)], 0.24, pen.palette.light)


def _medivac(pen: Pen) -> None:
    pen.pair([(-0.75, 0.9), (0.45, 0.9)], 0.55, pen.palette.deep)  # engines
    pen.line([(0.6, 0.0), (1.2, 0.0)], 0.7, pen.palette.deep)  # nose
    pen.body()
    pen.disc(0.68, WHITE)
    pen.line([(-0.36, 0.0), (0.36, 0.0)], 0.27, HEAL)
    pen.line([(0.0, -0.36), (0.0, 0.36)], 0.27, HEAL)


def _stalker(pen: Pen) -> None:
    for x, y in ((1.0, 1.05), (-1.05, 0.95)):  # four legs
        pen.pair([(0.0, 0.0), (0.55 * x, 0.95 * y), (1.25 * x, 1.0 * y)], 0.24, pen.palette.deep)
    pen.body(0.92)
    pen.disc(0.36, pen.palette.deep, (0.38, 0.0))
    pen.disc(0.25, pen.palette.light, (0.38, 0.0))


def _zealot(pen: Pen) -> None:
    pen.pair([(0.1, 0.85), (0.75, 0.72)], 0.42, pen.palette.deep)
    pen.pair([(0.75, 0.7), (1.7, 0.45)], 0.3, pen.palette.deep)  # blades
    pen.pair([(0.85, 0.68), (1.6, 0.47)], 0.14, pen.palette.light)
    pen.body(0.95)
    pen.line([(-0.55, 0.0), (0.15, 0.0)], 0.26, pen.palette.deep)
    pen.disc(0.26, pen.palette.light, (0.42, 0.0))


def _colossus(pen: Pen) -> None:
    for x, y in ((0.95, 1.1), (-0.95, 1.1)):  # long legs
        pen.pair([(0.0, 0.2), (0.45 * x, 1.05 * y), (1.2 * x, 1.15 * y)], 0.16, pen.palette.deep)
        pen.pair([(1.1 * x, 1.15 * y), (1.3 * x, 1.15 * y)], 0.24, pen.palette.deep)
    pen.body(0.9)
    pen.disc(0.6, mix(pen.palette.body, pen.palette.deep, 0.35))
    pen.disc(0.42, pen.palette.body)
    pen.pair([(0.62, 0.28), (0.95, 0.28)], 0.24, pen.palette.light)  # lances


def _zergling(pen: Pen) -> None:
    pen.line([(-0.6, 0.0), (-1.45, 0.0)], 0.24, pen.palette.deep)  # tail
    pen.pair([(0.15, 0.7), (0.85, 0.85), (1.45, 0.4)], 0.24, pen.palette.deep)  # claws
    pen.body(0.92)
    pen.shape([(0.75, 0.0), (0.0, 0.45), (0.0, -0.45)], pen.palette.light)


def _baneling(pen: Pen) -> None:
    for turn in range(8):
        angle = math.tau * turn / 8
        pen.disc(0.26, pen.palette.deep, (0.95 * math.cos(angle), 0.95 * math.sin(angle)))
    pen.body()
    pen.disc(0.56, mix(ACID, pen.palette.deep, 0.35))
    pen.disc(0.44, ACID)


def _hydralisk(pen: Pen) -> None:
    pen.line([(-0.6, 0.0), (-1.1, 0.3), (-1.55, 0.15)], 0.3, pen.palette.deep)  # tail
    pen.pair([(0.1, 0.75), (0.75, 1.05), (1.4, 0.75)], 0.2, pen.palette.deep)  # scythes
    pen.body(0.92)
    pen.shape([(0.8, 0.0), (-0.5, 0.62), (-0.25, 0.0), (-0.5, -0.62)], pen.palette.deep)  # crest
    pen.shape([(0.62, 0.0), (-0.1, 0.3), (-0.1, -0.3)], pen.palette.light)


def _spine_crawler(pen: Pen) -> None:
    for turn in range(10):
        angle = math.tau * (turn + 0.5) / 10
        pen.line([(0.0, 0.0), (1.35 * math.cos(angle), 1.35 * math.sin(angle))], 0.22, pen.palette.deep)
    pen.body()
    pen.disc(0.62, mix(pen.palette.body, pen.palette.deep, 0.45))
    pen.line([(-0.4, 0.0), (0.5, 0.0)], 0.42, pen.palette.body)
    pen.shape([(1.5, 0.0), (0.4, 0.3), (0.4, -0.3)], pen.palette.light)  # the spine


def _plain(pen: Pen) -> None:
    pen.body()
    pen.line([(0.2, 0.0), (0.7, 0.0)], 0.25, pen.palette.light)


MARKS: dict[str, Callable[[Pen], None]] = {
    "marine": _marine,
    "marauder": _marauder,
    "medivac": _medivac,
    "stalker": _stalker,
    "zealot": _zealot,
    "colossus": _colossus,
    "zergling": _zergling,
    "baneling": _baneling,
    "hydralisk": _hydralisk,
    "spine_crawler": _spine_crawler,
}


class Sprites:
    """Pictures of units at one scale, drawn when first needed."""

    def __init__(self, pixels_per_unit: float) -> None:
        """Of one scale."""
        self.scale = pixels_per_unit
        self._units: dict[tuple[str, bool, int], Image.Image] = {}
        self._shadows: dict[str, Image.Image] = {}

    def unit(self, kind: UnitType, enemy: bool, heading: float) -> Image.Image:
        """The unit with its centre in the middle; heading in radians, counter-clockwise from east."""
        turn = round(heading / math.tau * HEADINGS) % HEADINGS
        key = (kind.name, enemy, turn)
        if key not in self._units:
            palette = ENEMY if enemy else ALLY
            pen = Pen(FINE * kind.radius * self.scale, math.tau * turn / HEADINGS, palette)
            MARKS.get(kind.name, _plain)(pen)
            sprite = _shrunk(pen.image)
            if kind.mover in ("air", "cliff"):
                sprite.putalpha(sprite.getchannel("A").point([round(HIGH * v) for v in range(256)]))
            self._units[key] = sprite
        return self._units[key]

    def shadow(self, kind: UnitType) -> Image.Image:
        """What the unit's disc takes from the light."""
        if kind.name not in self._shadows:
            pen = Pen(FINE * kind.radius * self.scale, 0.0, ALLY)
            pen.disc(1.06, INK)
            shadow = _shrunk(pen.image)
            shadow.putalpha(shadow.getchannel("A").point([round(0.3 * v) for v in range(256)]))
            self._shadows[kind.name] = shadow
        return self._shadows[kind.name]


def _shrunk(image: Image.Image) -> Image.Image:
    """Scaled down by FINE, with an odd number of pixels each way, so that there is a middle one."""
    half = math.ceil((image.width - 1) / 2 / FINE)
    side = 2 * half + 1
    padded = Image.new("RGBA", (side * FINE, side * FINE), (*INK, 0))
    corner = (side * FINE - image.width) // 2
    padded.paste(image, (corner, corner))
    return padded.reduce(FINE)
