"""Writes films: GIF and MP4, chosen by the name of the file.

A film is written beside its place and moved there when it is complete, so a file under its final name is never half.
"""

from __future__ import annotations

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from skirmish.extras import DISTRIBUTION
from skirmish.pictures.ground import GROUND_HIGH, GROUND_LOW
from skirmish.pictures.pillow import Image, ImageChops, getdata, getheader
from skirmish.pictures.sprites import ACID, ALLY, ENEMY, ENERGY, HEAL, INK, SHIELD, WHITE, mix

CENTISECONDS = 100  # per second: the unit of a GIF's delays
TRANSPARENT = 255  # index of the colour that leaves a pixel as it was
CRF = 20  # quality of H.264: 0 is lossless, 23 the usual choice, less is better


def require_outputs(paths: Sequence[Path], suffixes: Iterable[str], *, force: bool) -> None:
    """Check that files can be written.

    Args: paths: where to; suffixes: the formats there are, e.g. ".gif"; force: existing files may be replaced.
    Raises: ValueError for no file, one named twice, another suffix, a missing folder, or an existing file.
    """
    known = list(suffixes)
    if not paths:
        raise ValueError(f"no output given: name a file with --out that ends in {' or '.join(known)}")
    if len({path.absolute() for path in paths}) < len(paths):
        raise ValueError(f"output files must differ, got {', '.join(map(str, paths))}: name each file once")
    for path in paths:
        if path.suffix.lower() not in known:
            raise ValueError(f"unknown format of {path}, expected a name that ends in {' or '.join(known)}")
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file")
        if path.exists() and not force:
            raise ValueError(f"{path} exists: choose another name, or replace it with --force")
        folder = next(p for p in path.absolute().parents if p.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ValueError(f"cannot write {path}: {folder} is not a folder that can be written to")
        if path.suffix.lower() == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
            raise ValueError(
                f"cannot write {path}: MP4 needs the package imageio-ffmpeg, which is not installed: "
                f"write a .gif, or pip install '{DISTRIBUTION}[films]'"
            )


class Film(ABC):
    """One film being written."""

    def __init__(self, path: Path, fps: int) -> None:
        """Nothing is written before the first frame."""
        self.path, self.fps = path, fps
        self.frames = 0
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")

    def add(self, frame: np.ndarray, seconds: float | None = None) -> None:
        """Show a frame, (H, W, 3) uint8 of the same even size each time, for `seconds` (None: 1 / fps)."""
        if self.frames == 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write(frame, 1.0 / self.fps if seconds is None else seconds)

    def finish(self, *, complete: bool) -> None:
        """Close the file and put it in its place, or remove it."""
        self._close()
        if complete and self.frames:
            os.replace(self._part, self.path)
        else:
            self._part.unlink(missing_ok=True)

    @abstractmethod
    def _write(self, frame: np.ndarray, seconds: float) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class Gif(Film):
    """Frames of one palette, each holding only what differs from the one before."""

    def __init__(self, path: Path, fps: int) -> None:
        """See `Film`; a GIF's frames last whole centiseconds."""
        super().__init__(path, fps)
        self._file: IO[bytes] | None = None
        self._palette = self._last = Image.new("P", (1, 1))

    def _write(self, frame: np.ndarray, seconds: float) -> None:
        picture = Image.fromarray(frame)
        delay: dict[str, Any] = {"duration": 1000 * round(CENTISECONDS * seconds) / CENTISECONDS}
        if self._file is None:
            self._palette = _palette(picture)
            self._last = picture.quantize(palette=self._palette, dither=Image.Dither.NONE)
            self._file = open(self._part, "wb")
            blocks, _ = getheader(self._last, info={"loop": 0})
            blocks += getdata(self._last, **delay)
        else:
            now = picture.quantize(palette=self._palette, dither=Image.Dither.NONE)
            same = ImageChops.subtract_modulo(now, self._last).point([255] + 255 * [0], "L")
            box = ImageChops.invert(same).getbbox() or (0, 0, 1, 1)
            change = now.copy()
            change.paste(TRANSPARENT, mask=same)
            self._last = now
            blocks = getdata(change.crop(box), box[:2], transparency=TRANSPARENT, disposal=1, **delay)
        for block in blocks:
            self._file.write(block)
        self.frames += 1

    def _close(self) -> None:
        if self._file is not None:
            self._file.write(b";")
            self._file.close()
            self._file = None


class Mp4(Film):
    """H.264 that every browser plays."""

    def __init__(self, path: Path, fps: int) -> None:
        """See `Film`; a frame that lasts longer is repeated."""
        super().__init__(path, fps)
        self._encoder: Any = None

    def _write(self, frame: np.ndarray, seconds: float) -> None:
        if self._encoder is None:
            import imageio_ffmpeg

            height, width, _ = frame.shape
            self._encoder = imageio_ffmpeg.write_frames(
                str(self._part),
                (width, height),
                fps=self.fps,
                codec="libx264",
                macro_block_size=2,
                output_params=["-crf", str(CRF), "-preset", "fast", "-movflags", "+faststart"],
            )
            self._encoder.send(None)
        for _ in range(max(1, round(seconds * self.fps))):
            self._encoder.send(np.ascontiguousarray(frame))
            self.frames += 1

    def _close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()
            self._encoder = None


FORMATS: dict[str, type[Film]] = {".gif": Gif, ".mp4": Mp4}


class Films:
    """Several films of the same frames. As a context manager it finishes them, or removes them after an error."""

    def __init__(self, paths: Sequence[Path], fps: int) -> None:
        """Formats by suffix; the paths were checked by `require_outputs`."""
        self.files = [FORMATS[path.suffix.lower()](path, fps) for path in paths]

    def add(self, frame: np.ndarray, seconds: float | None = None) -> None:
        """See `Film.add`."""
        for film in self.files:
            film.add(frame, seconds)

    def __enter__(self) -> Films:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for film in self.files:
            film.finish(complete=kind is None)


def _palette(first: Image.Image) -> Image.Image:
    """255 colours: those that units and effects are made of, on their own and mixed, and the first frame's."""
    signs = [c for side in (ALLY, ENEMY) for c in (side.body, side.deep, side.light)]
    signs += [SHIELD, ENERGY, ACID, HEAL, INK, WHITE]
    colours = [mix(sign, paper, part) for sign in signs for paper in (GROUND_LOW, GROUND_HIGH) for part in (0.33, 0.66)]
    colours += signs + [mix(sign, WHITE, 0.5) for sign in signs]
    colours += [mix(side.body, side.deep, part) for side in (ALLY, ENEMY) for part in (0.33, 0.66)]
    colours += [mix(WHITE, INK, part) for part in (0.25, 0.5, 0.75)]
    own = list(dict.fromkeys(colours))
    free = TRANSPARENT - len(own)
    found = first.quantize(free, method=Image.Quantize.MEDIANCUT).getpalette("RGB") or []
    flat = [channel for colour in own for channel in colour] + found[: 3 * free]
    palette = Image.new("P", (1, 1))
    palette.putpalette(flat + flat[:3] * (TRANSPARENT + 1 - len(flat) // 3))
    return palette
