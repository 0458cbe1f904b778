"""Pictures of a battle: one frame from the state of one episode, and what it takes to tell the story between frames.

A state shows where units are, missiles fly and beams burn. Shots, hits, explosions and deaths are moments:
`Painter.look` finds them by comparing the state with the one it saw before, so films look after every game loop and
draw now and then.
"""

from __future__ import annotations

import math

import numpy as np

from skirmish.contract.smac import DRAW, LOSS, WIN
from skirmish.data.units import UnitType
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.rules import SHOOT_RANGE, SIGHT_RANGE
from skirmish.physics.tables import (
    ALIVE,
    BEAM_AGE,
    BEAM_DX,
    BEAM_DY,
    BEAM_X,
    BEAM_Y,
    ENERGY,
    HEALING,
    HEALTH,
    MISSILE_TARGET,
    MISSILE_X,
    MISSILE_Y,
    NOBODY,
    SHIELD,
    X,
    Y,
)
from skirmish.pictures.ground import VOID, fitting_view, paint_ground
from skirmish.pictures.hud import HUD_SHARE, draw_banner, draw_hud
from skirmish.pictures.moments import Moment, Moments
from skirmish.pictures.pillow import Image, ImageDraw
from skirmish.pictures.sprites import ACID, ALLY, ENEMY, HEAL, INK, WHITE, Colour, Palette, Sprites, mix
from skirmish.pictures.sprites import ENERGY as ENERGY_COLOUR
from skirmish.pictures.sprites import SHIELD as SHIELD_COLOUR

SMOOTH = 2  # everything is drawn this much larger and scaled down
SIZES = (160, 1920)  # least and greatest width of a frame
BANNERS = {WIN: "win", LOSS: "defeat", DRAW: "draw"}

# Lengths in world units.
SHADOW = {"ground": (0.06, -0.08), "none": (0.06, -0.08), "cliff": (0.16, -0.24), "air": (0.34, -0.46)}
BAR_HEIGHT, BAR_LEAST, BAR_GAP = 0.15, 0.8, 0.16
TRACER, CORE = 0.15, 0.06  # width of a shot and of its bright middle
FLASH_ALPHA = 105  # of 255, over a unit that was just hit
MISSILE = 0.13  # radius
BEAM = 0.2  # width
TENTACLE = 0.24
DASHES = 60  # of the sight circle
LINK = 0.13  # width of the line from healer to patient
BANNER_AT = 0.17  # of the battle's height, from above or below
LAYERS = ("ground", "none", "cliff", "air")  # movers in the order in which they are drawn


class Painter:
    """Draws one slot of an environment; keeps what moved, fired and died there in mind."""

    def __init__(
        self, env: SkirmishEnv, slot: int = 0, *, size: int = 640, agent: int | None = None, title: str | None = None
    ) -> None:
        """Prepare the picture of the terrain.

        Args:
          size: width of the frames in pixels, made even.
          agent: whose sight and attack circles are drawn, or None.
          title: top left in the frame; None for the map's name.
        Raises: ValueError for a slot, size or agent out of range.
        """
        _require("slot", slot, 0, env.num_envs - 1, "it is the number of an episode side by side")
        _require("size", size, *SIZES, "it is the width of a frame in pixels")
        if agent is not None:
            _require("agent", agent, 0, env.info.n_agents - 1, f"{env.info.name} has {env.info.n_agents} agents")
        self.env, self.slot, self.agent = env, slot, agent
        self.title = env.info.name if title is None else title
        self._width = size + size % 2
        self._moments = Moments(env.spec.n_agents)
        view = fitting_view(env.spec.terrain, SMOOTH * self._width)
        head, below = round(HUD_SHARE * self._width), view.size[1] / SMOOTH
        self._height = 2 * math.ceil((head + below) / 2)  # films need even sizes
        self._top = SMOOTH * (self._height - math.ceil(below))  # of the view
        self.view = view
        self._ground = Image.new("RGB", (SMOOTH * self._width, SMOOTH * self._height), VOID)
        self._ground.paste(paint_ground(env.spec.terrain, view), (0, self._top))
        self._sprites = Sprites(view.scale)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a frame: height, width, 3."""
        return self._height, self._width, 3

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """Column and row of the frame's pixel on a point of the world."""
        column, row = self._at(x, y)
        return math.floor(column / SMOOTH), math.floor(row / SMOOTH)

    @property
    def head(self) -> int:
        """Rows of a frame above the battle."""
        return self._top // SMOOTH

    def look(self) -> None:
        """Notice what has happened since the last look."""
        env, b = self.env, self.slot
        self._moments.look(env.units[b], env.marks[b], env.clocks[b], self._kinds())

    def frame(self) -> np.ndarray:
        """(H, W, 3) uint8: look, and draw what there is to see."""
        self.look()
        f, s, kinds = self.env.units[self.slot], self.env.marks[self.slot], self._kinds()
        image = self._ground.copy()
        draw = ImageDraw.Draw(image, "RGBA")
        self._draw_traces(draw)
        self._draw_circles(draw, f, s)
        self._draw_links(draw, f, s)
        self._draw_units(image, draw, f, s, kinds)
        self._draw_beams(draw, f, s, kinds)
        self._draw_shots(draw)
        self._draw_missiles(draw, f, s, kinds)
        self._draw_bars(draw, f, s, kinds)
        draw_hud(
            draw,
            image.width,
            title=self.title,
            step=int(self.env.t[self.slot]),
            limit=self.env.info.episode_limit,
            teams=self._teams(f, s, kinds),
        )
        outcome = self.outcome
        if outcome:
            colour = {"win": ALLY.body, "defeat": ENEMY.body}.get(outcome, INK)
            draw_banner(draw, image.width, self._top + self._banner_at(f, s) * self.view.size[1], outcome, colour)
        return np.array(image.reduce(SMOOTH))

    @property
    def outcome(self) -> str | None:
        """How the episode ended: win, defeat, draw or time-out; None while it runs."""
        if self.env.truncated[self.slot]:
            return "time-out"
        return BANNERS.get(int(self.env.result[self.slot]))

    def _kinds(self) -> list[UnitType]:
        known = self.env.spec.kinds
        return [known[k] for k in self.env.kinds[self.slot]]

    def _at(self, x: float, y: float) -> tuple[float, float]:
        """Point of the world -> point of the large picture."""
        column, row = self.view.pixel(x, y)
        return column, row + self._top

    def _banner_at(self, f: np.ndarray, s: np.ndarray) -> float:
        """Where the outcome is written, as a part of the height from above: away from who is left."""
        alive = s[ALIVE] > 0
        middle = self.view.bottom + 0.5 * self.view.height
        return 1.0 - BANNER_AT if alive.any() and f[Y, alive].mean() > middle else BANNER_AT

    def _palette(self, unit: int) -> Palette:
        return ALLY if unit < self.env.spec.n_agents else ENEMY

    def _teams(self, f: np.ndarray, s: np.ndarray, kinds: list[UnitType]) -> list[tuple[int, int, float, float]]:
        """Of each side: living units, all units, shares of health and of shields in what all had at most."""
        n, teams = self.env.spec.n_agents, []
        for team in (slice(0, n), slice(n, None)):
            most = sum(k.health_max + k.shield_max for k in kinds[team])
            alive = s[ALIVE, team] > 0
            health, shield = (float(f[row, team][alive].sum()) / most for row in (HEALTH, SHIELD))
            teams.append((int(alive.sum()), len(alive), health, shield))
        return teams

    def _disc(self, draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, **look: object) -> None:
        column, row = self._at(x, y)
        r = radius * self.view.scale
        draw.ellipse((column - r, row - r, column + r, row + r), **look)  # type: ignore[arg-type]

    def _line(
        self,
        draw: ImageDraw.ImageDraw,
        a: tuple[float, float],
        b: tuple[float, float],
        colour: Colour,
        *,
        width: float,
        alpha: float = 1.0,
    ) -> None:
        """A line between two points of the world; width in world units, alpha in [0, 1]."""
        thick = max(1, round(width * self.view.scale))
        draw.line([self._at(*a), self._at(*b)], fill=(*colour, round(255 * alpha)), width=thick)

    def _draw_traces(self, draw: ImageDraw.ImageDraw) -> None:
        """What lies on the ground: marks of the dead, scorched lines, explosions."""
        line = max(1, round(0.09 * self.view.scale))
        for moment in self._moments.of("death"):
            fade, r = 1.0 - moment.part, 0.8 * moment.size
            palette = self._palette(moment.unit)
            colour = (*mix(palette.body, palette.deep, 0.4), round(190 * fade))
            for turn in (1.0, -1.0):
                ends = [self._at(moment.x + d * r, moment.y + turn * d * r) for d in (-1.0, 1.0)]
                draw.line(ends, fill=colour, width=2 * line)
            self._disc(draw, moment.x, moment.y, moment.size, outline=colour, width=line)
        for moment in self._moments.of("scorch"):
            start, stop = (moment.x - moment.dx, moment.y - moment.dy), (moment.x + moment.dx, moment.y + moment.dy)
            self._line(draw, start, stop, INK, width=0.8 * BEAM, alpha=0.45 * (1.0 - moment.part))
        for moment in self._moments.of("burst"):
            fade = (1.0 - moment.part) ** 1.5
            grown = moment.size * (1.0 - (1.0 - min(1.0, 2.5 * moment.part + 0.3)) ** 2)
            self._disc(draw, moment.x, moment.y, grown, fill=(*ACID, round(110 * fade)))
            rim = mix(ACID, self._palette(moment.unit).deep, 0.55)
            self._disc(draw, moment.x, moment.y, moment.size, outline=(*rim, round(230 * fade)), width=2 * line)

    def _draw_circles(self, draw: ImageDraw.ImageDraw, f: np.ndarray, s: np.ndarray) -> None:
        """How far the chosen agent sees and shoots."""
        i = self.agent
        if i is None or not s[ALIVE, i]:
            return
        x, y = f[X, i], f[Y, i]
        line = max(SMOOTH, round(0.07 * self.view.scale))
        self._disc(draw, x, y, SHOOT_RANGE, outline=(*ALLY.body, 220), width=line)
        for k in range(DASHES):
            dash = (math.tau * (k + part) / DASHES for part in (0.0, 0.5))
            ends = [self._at(x + SIGHT_RANGE * math.cos(a), y + SIGHT_RANGE * math.sin(a)) for a in dash]
            draw.line(ends, fill=(*INK, 170), width=line)

    def _draw_links(self, draw: ImageDraw.ImageDraw, f: np.ndarray, s: np.ndarray) -> None:
        for i in np.flatnonzero((s[HEALING] != NOBODY) & (s[ALIVE] > 0)).tolist():
            j = s[HEALING, i]
            ends = (f[X, i], f[Y, i]), (f[X, j], f[Y, j])
            self._line(draw, *ends, WHITE, width=2.2 * LINK, alpha=0.55)
            self._line(draw, *ends, HEAL, width=LINK, alpha=0.95)
            self._disc(draw, *ends[1], 1.3 * self._kinds()[j].radius, fill=(*HEAL, 90))

    def _draw_units(
        self, image: Image.Image, draw: ImageDraw.ImageDraw, f: np.ndarray, s: np.ndarray, kinds: list[UnitType]
    ) -> None:
        alive = [i for i in np.flatnonzero(s[ALIVE]).tolist() if kinds[i].mover in LAYERS]
        for i in sorted(alive, key=lambda i: (LAYERS.index(kinds[i].mover), -f[Y, i])):
            x, y, kind = float(f[X, i]), float(f[Y, i]), kinds[i]
            shift_x, shift_y = SHADOW[kind.mover]
            self._paste(image, self._sprites.shadow(kind), x + shift_x, y + shift_y)
            if i == self.agent:
                self._disc(draw, x, y, kind.radius + 0.3, outline=(*INK, 255), width=round(0.2 * self.view.scale))
                self._disc(draw, x, y, kind.radius + 0.25, outline=(*WHITE, 255), width=round(0.1 * self.view.scale))
            sprite = self._sprites.unit(kind, i >= self.env.spec.n_agents, self._moments.heading[i])
            self._paste(image, sprite, x, y)
            hit = self._moments.flash(i)
            if hit > 0.0:
                shielded = f[SHIELD, i] > 0.0
                colour = SHIELD_COLOUR if shielded else WHITE
                self._disc(
                    draw, x, y, kind.radius * (1.2 if shielded else 0.95), fill=(*colour, round(FLASH_ALPHA * hit))
                )

    def _paste(self, image: Image.Image, sprite: Image.Image, x: float, y: float) -> None:
        column, row = self._at(x, y)
        corner = math.floor(column) - sprite.width // 2, math.floor(row) - sprite.height // 2
        image.paste(sprite, corner, sprite)

    def _draw_beams(self, draw: ImageDraw.ImageDraw, f: np.ndarray, s: np.ndarray, kinds: list[UnitType]) -> None:
        """Both rays of a sweep, and the line they have burnt so far."""
        for i in np.flatnonzero(s[BEAM_AGE] >= 0).tolist():
            weapon = kinds[i].weapon
            if weapon is None or weapon.beam is None:
                continue
            beam, light = weapon.beam, self._palette(i).light
            last = beam.samples - 1
            along = beam.half_length * (2.0 * min(last, s[BEAM_AGE, i] / beam.sample_period) / last - 1.0)
            for side in (1.0, -1.0):
                start, here = (
                    (f[BEAM_X, i] + side * d * f[BEAM_DX, i], f[BEAM_Y, i] + side * d * f[BEAM_DY, i])
                    for d in (-beam.half_length, along)
                )
                self._line(draw, start, here, self._palette(i).body, width=1.6 * BEAM, alpha=0.8)
                self._line(draw, (f[X, i], f[Y, i]), here, self._palette(i).body, width=BEAM, alpha=0.85)
                self._line(draw, (f[X, i], f[Y, i]), here, light, width=0.4 * BEAM)
                self._disc(draw, *here, 1.1 * BEAM, fill=(*light, 255))

    def _draw_shots(self, draw: ImageDraw.ImageDraw) -> None:
        for moment in self._moments.of("shot"):
            fade, palette = 1.0 - moment.part, self._palette(moment.unit)
            ends = (moment.x, moment.y), (moment.x + moment.dx, moment.y + moment.dy)
            self._line(draw, *ends, palette.body, width=TRACER, alpha=0.85 * fade)
            self._line(draw, *ends, WHITE, width=CORE, alpha=fade)
            self._spark(draw, moment, *ends[0], 0.22, palette.light)
        for moment in self._moments.of("hit"):
            self._spark(draw, moment, moment.x, moment.y, moment.size, self._palette(moment.unit).light)

    def _spark(
        self, draw: ImageDraw.ImageDraw, moment: Moment, x: float, y: float, size: float, colour: Colour
    ) -> None:
        """A small star that fades."""
        r = size * (0.7 + 0.5 * moment.part)
        for k in range(3):
            angle = math.pi * (k / 3 + 0.1)
            dx, dy = r * math.cos(angle), r * math.sin(angle)
            self._line(draw, (x - dx, y - dy), (x + dx, y + dy), colour, width=0.1, alpha=1.0 - moment.part)
        self._disc(draw, x, y, 0.45 * r, fill=(*WHITE, round(255 * (1.0 - moment.part))))

    def _draw_missiles(self, draw: ImageDraw.ImageDraw, f: np.ndarray, s: np.ndarray, kinds: list[UnitType]) -> None:
        for i in np.flatnonzero(s[MISSILE_TARGET] != NOBODY).tolist():
            weapon, palette, j = kinds[i].weapon, self._palette(i), s[MISSILE_TARGET, i]
            x, y = float(f[MISSILE_X, i]), float(f[MISSILE_Y, i])
            if weapon is not None and weapon.flight > 0.0:  # a tentacle stays in one piece
                self._line(draw, (f[X, i], f[Y, i]), (x, y), palette.deep, width=TENTACLE)
                self._line(draw, (f[X, i], f[Y, i]), (x, y), palette.body, width=0.5 * TENTACLE)
            else:
                dx, dy = f[X, j] - x, f[Y, j] - y
                length = max(1e-9, math.hypot(dx, dy))
                tail = x - 0.6 * dx / length, y - 0.6 * dy / length
                self._line(draw, tail, (x, y), palette.body, width=MISSILE, alpha=0.6)
            self._disc(draw, x, y, 1.5 * MISSILE, fill=(*palette.deep, 255))
            self._disc(draw, x, y, MISSILE, fill=(*palette.light, 255))

    def _draw_bars(self, draw: ImageDraw.ImageDraw, f: np.ndarray, s: np.ndarray, kinds: list[UnitType]) -> None:
        """Above units: shields, health and energy, where anything is missing or the unit is the chosen one."""
        for i in np.flatnonzero(s[ALIVE]).tolist():
            kind, bars = kinds[i], []
            if kind.shield_max > 0.0:
                bars.append((f[SHIELD, i] / kind.shield_max, SHIELD_COLOUR))
            bars.append((f[HEALTH, i] / kind.health_max, mix(self._palette(i).body, WHITE, 0.3)))
            if all(part > 1.0 - 1e-6 for part, _ in bars) and i != self.agent:
                continue
            if kind.energy_max > 0.0:
                bars.append((f[ENERGY, i] / kind.energy_max, ENERGY_COLOUR))
            self._bars(draw, f[X, i], f[Y, i] + kind.radius + BAR_GAP, max(BAR_LEAST, 1.7 * kind.radius), bars)

    def _bars(
        self, draw: ImageDraw.ImageDraw, x: float, y: float, width: float, bars: list[tuple[float, Colour]]
    ) -> None:
        """Bars on top of each other, the last one lowest, above the point (x, y); edges lie between pixels."""
        column, row = self._at(x, y)
        wide, high = _snap(width * self.view.scale), max(2 * SMOOTH, _snap(BAR_HEIGHT * self.view.scale))
        left, bottom = _snap(column - wide / 2), _snap(row)
        top = bottom - len(bars) * high
        draw.rectangle((left - SMOOTH, top - SMOOTH, left + wide + SMOOTH - 1, bottom + SMOOTH - 1), fill=(*INK, 235))
        for part, colour in bars:
            filled = _snap(wide * min(1.0, max(0.0, part)))
            if filled > 0:
                draw.rectangle((left, top, left + filled - 1, top + high - 1), fill=(*colour, 255))
            top += high


def _snap(length: float) -> int:
    """Nearest length in the large picture that is whole pixels of the frame."""
    return SMOOTH * round(length / SMOOTH)


def _require(what: str, got: int, least: int, most: int, meaning: str) -> None:
    if not least <= got <= most:
        raise ValueError(f"{what} must lie in {least}..{most}, got {got!r}: {meaning}")
