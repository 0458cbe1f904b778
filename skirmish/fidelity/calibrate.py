"""Search rules against one half of the maps and report the other half.

Coordinate search: one rule after the other tries its values with all others held, and keeps the value with the least
loss on the fitted maps; rounds go on until nothing changes. The held-out maps are measured twice only, before and
after: looking at them at every try would fit them too. Losses of one try share their random numbers with all others
(same seed), so that differences are differences of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skirmish.checks import require_known
from skirmish.fidelity.measure import KINDS, Options, Record, measurable_maps, measure_all
from skirmish.fidelity.report import loss

Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Try:
    """One setting and its loss on the fitted maps."""

    options: dict[str, Any]
    loss: float
    kept: bool  # better than everything before


@dataclass(frozen=True)
class Calibration:
    """Outcome of a search."""

    fitted_maps: tuple[str, ...]
    held_maps: tuple[str, ...]
    tries: tuple[Try, ...]  # in order; the first one is the start
    options: dict[str, Any]  # the best found
    held_before: float  # loss of the held-out maps, NaN if there are none
    held_after: float


def halves(fit: Sequence[str], kinds: Sequence[str] | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fitted and held-out maps. `fit`: "odd" or "even" (1st, 3rd, ... or 2nd, 4th, ... by name), or names of maps.

    Raises: ValueError for an unknown map or none.
    """
    maps = measurable_maps(kinds)
    if list(fit) in (["odd"], ["even"]):
        chosen = maps[0::2] if fit[0] == "odd" else maps[1::2]
    else:
        for name in fit:
            require_known("map with real values", name, (*maps, "odd", "even"))
        if not fit or not set(fit) <= set(maps):
            raise ValueError(f"fit must be odd, even or names of maps, got {' '.join(fit)!r}: choose from {maps}")
        chosen = tuple(name for name in maps if name in fit)
    return chosen, tuple(name for name in maps if name not in chosen)


def calibrate(
    fit: Sequence[str],
    grid: Grid,
    *,
    start: Options | None = None,
    kinds: Sequence[str] | None = None,
    rounds: int = 2,
    quick: bool = True,
    seed: int = 0,
    measure: Callable[..., list[Record]] = measure_all,
) -> Calibration:
    """Coordinate search over `grid`, {option: values}.

    Args:
      fit: see `halves`; start: options to begin with; kinds: names of `measure.KINDS`, None for all.
      rounds: at most so many passes over the grid; quick, seed: as for `measure_all`.
      measure: stands in for `measure_all`.
    Raises: ValueError for unknown maps or kinds, an empty grid, or options that `skirmish.make` refuses.
    """
    if not grid or not all(len(values) for values in grid.values()):
        raise ValueError(f"grid must name options with at least one value each, got {dict(grid)!r}: pass key=v1,v2")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds!r}: it counts passes over the grid")
    for kind in kinds or ():
        require_known("kind", kind, KINDS)
    fitted, held = halves(fit, kinds)

    def measured(options: Options, maps: Sequence[str]) -> float:
        return loss(measure(options, maps, quick=quick, kinds=kinds, seed=seed)) if maps else float("nan")

    best = dict(start or {})
    least = measured(best, fitted)
    tries = [Try(dict(best), least, True)]
    seen = {_key(best)}
    for _ in range(rounds):
        before = dict(best)
        for option, values in grid.items():
            for value in values:
                options = {**best, option: value}
                if _key(options) in seen:
                    continue
                seen.add(_key(options))
                value_loss = measured(options, fitted)
                tries.append(Try(options, value_loss, value_loss < least))
                if value_loss < least:
                    best, least = options, value_loss
        if best == before:
            break
    return Calibration(
        fitted, held, tuple(tries), best, measured(dict(start or {}), held), measured(best, held)
    )  # fmt: skip


def _key(options: Options) -> str:
    return repr(sorted(options.items()))


def calibration_table(result: Calibration) -> str:
    """What was tried, what was kept, and what it does to the held-out maps."""
    lines = [f"fitted on {len(result.fitted_maps)} maps: {' '.join(result.fitted_maps)}", "    loss  options"]
    for attempt in result.tries:
        lines.append(f"{attempt.loss:8.4f}{'*' if attempt.kept else ' '} {_options(attempt.options)}")
    lines.append(f"{len(result.tries)} settings tried; best: {_options(result.options)}")
    lines.append(
        f"held out, {len(result.held_maps)} maps: {' '.join(result.held_maps)}\n"
        f"loss before {result.held_before:.4f}, after {result.held_after:.4f}"
    )
    return "\n".join(lines)


def _options(options: Options) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items()) or "(start)"
