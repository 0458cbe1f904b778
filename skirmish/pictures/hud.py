"""What is written over a battle: step, units left and health of both sides, and the outcome."""

from __future__ import annotations

from skirmish.pictures.pillow import ImageDraw
from skirmish.pictures.sprites import ALLY, ENEMY, INK, SHIELD, WHITE, Colour, font, mix

HUD_SHARE = 0.075  # height of the strip above the battle, as a part of the frame's width
STRIP: Colour = (24, 29, 36)
FAINT: Colour = (160, 170, 182)
TROUGH: Colour = (62, 70, 82)

Team = tuple[int, int, float, float]  # living units, all units, shares of health and of shields


def draw_hud(draw: ImageDraw.ImageDraw, width: int, *, title: str, step: int, limit: int, teams: list[Team]) -> None:
    """The strip above the battle; bars grow from the middle outwards, so that lengths compare like in a mirror."""
    unit = width / 640  # sizes below are pixels of a frame 640 wide
    draw.rectangle((0, 0, width - 1, round(HUD_SHARE * width) - 1), fill=STRIP)
    edge, first, second = 12 * unit, 14 * unit, 35 * unit  # margins, middle of the two lines
    draw.text((edge, first), title, font=font(round(14 * unit), bold=True), fill=WHITE, anchor="lm")
    counter = font(round(13 * unit))
    draw.text((width - edge, first), f"step {step} / {limit}", font=counter, fill=FAINT, anchor="rm")
    count_width, gap, half_height = 60 * unit, 2 * unit, 5 * unit
    longest = width / 2 - edge - count_width - gap
    for team, palette, side in zip(teams, (ALLY, ENEMY), (-1, 1), strict=True):
        alive, of, health, shield = team
        at = edge if side < 0 else width - edge
        look = font(round(13 * unit), bold=True)
        draw.text((at, second), f"{alive} / {of}", font=look, fill=palette.light, anchor="lm" if side < 0 else "rm")
        start = 0.0
        for share, colour in ((health, mix(palette.body, WHITE, 0.15)), (shield, SHIELD), (1.0, TROUGH)):
            stop = min(1.0, start + share)
            ends = sorted(width / 2 + side * (gap + part * longest) for part in (start, stop))
            if ends[1] - ends[0] >= 1.0:
                draw.rectangle((ends[0], second - half_height, ends[1] - 1, second + half_height), fill=colour)
            start = stop


def draw_banner(draw: ImageDraw.ImageDraw, width: int, middle: float, text: str, colour: Colour) -> None:
    """The outcome in large letters on a plate."""
    look = font(round(0.06 * width), bold=True)
    left, top, right, bottom = draw.textbbox((width / 2, middle), text.upper(), font=look, anchor="mm")
    pad = 0.025 * width
    box = (left - 1.6 * pad, top - pad, right + 1.6 * pad, bottom + pad)
    draw.rounded_rectangle(box, radius=0.6 * pad, fill=(*INK, 225), outline=(*mix(colour, WHITE, 0.25), 255), width=4)
    draw.text((width / 2, middle), text.upper(), font=look, fill=mix(colour, WHITE, 0.45), anchor="mm")
