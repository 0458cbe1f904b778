"""A study drawn before all of its runs are finished: on request only, under a name of its own, and called so.

Statistics need whole grids. Of each group algorithms, maps and seeds are left out, one at a time, whichever lacks the
largest share of its runs, until every run of what remains is finished; a group without a finished run is left out as a
whole. What is drawn and what is not stands in `Study.part` for the report, and in `Group.part` for the figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.study import Group, Run, Study, StudyError

NOW = "finished"  # instead of parts: those that are finished now
AXES = ("seeds", "algorithms", "maps")  # what is left out first where shares are equal


@dataclass(frozen=True)
class Part:
    """What of a group is drawn, and how many of its runs are finished."""

    algorithms: tuple[str, ...]
    maps: tuple[str, ...]
    seeds: tuple[int, ...]
    finished: int
    planned: int

    @property
    def drawn(self) -> int:
        """Runs."""
        return len(self.algorithms) * len(self.maps) * len(self.seeds)


def finished_runs(study: Study, root: Path) -> set[Run]:
    """Runs that have ended, of a study whose own folder is `root` (results/<study>). Raises: as `store.directory`."""
    from analysis import store  # asks the training programs, and so needs torch

    return {run for run in study.runs() if (store.place(study, run, root) / "done.json").is_file()}


def parts_of(study: Study, finished: Collection[Run]) -> dict[str, Part]:
    """Group -> part, of the groups with a finished run. Raises: StudyError if there is none."""
    done = set(finished)
    found = {
        key: _largest(group, lambda *axes, key=key, backend=group.backend: Run(key, backend, *axes) in done)
        for key, group in study.groups.items()
        if any(run.group == key for run in done)
    }
    if not found:
        raise StudyError(f"study {study.name}: none of its {len(list(study.runs()))} runs is finished: nothing to draw")
    return found


def narrowed(study: Study, parts: Mapping[str, Part]) -> Study:
    """The study with these parts of its groups, called NAME_partial; the study itself if they are all of it.

    Raises: StudyError if a part names what its group does not have.
    """
    groups = {key: _group(study, key, part) for key, part in parts.items()}
    if groups == study.groups:
        return study
    planned = len(list(study.runs()))
    finished, drawn = (sum(getattr(part, name) for part in parts.values()) for name in ("finished", "drawn"))
    lines = [
        f"{finished} of {planned} runs are finished. Drawn are {drawn} of them, those of which every algorithm, map "
        "and seed shown is complete."
    ]
    for key, group in study.groups.items():
        lines.append(f"{group.title}: {_told(study, group, parts.get(key))}.")
    groups = {
        key: replace(group, part=f"{parts[key].drawn} of {parts[key].planned} runs") for key, group in groups.items()
    }
    return replace(study, name=f"{study.name}_partial", groups=groups, part=tuple(lines))


def to_text(parts: Mapping[str, Part]) -> str:
    """As command lines carry it."""
    return json.dumps({key: vars(part) for key, part in parts.items()}, separators=(",", ":"))


def from_text(text: str) -> dict[str, Part]:
    """What `to_text` made. Raises: StudyError for anything else."""
    try:
        return {key: _part(**item) for key, item in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise StudyError(f"partial must be {NOW!r} or the parts that the workflow names, got {text!r}") from error


def _part(*, algorithms: list[str], maps: list[str], seeds: list[int], finished: int, planned: int) -> Part:
    return Part(tuple(algorithms), tuple(maps), tuple(seeds), finished, planned)


def _largest(group: Group, is_done: Callable[..., bool]) -> Part:
    """Leaves out what lacks most until nothing is lacking."""
    axes: dict[str, list[Any]] = {axis: list(getattr(group, axis)) for axis in AXES}

    def lacking(axis: str, value: Any) -> float:
        cells = [
            is_done(name, algorithm, seed)
            for name in (axes["maps"] if axis != "maps" else [value])
            for algorithm in (axes["algorithms"] if axis != "algorithms" else [value])
            for seed in (axes["seeds"] if axis != "seeds" else [value])
        ]
        return 1 - sum(cells) / len(cells)

    everything = [(name, key, seed) for name in group.maps for key in group.algorithms for seed in group.seeds]
    finished = sum(is_done(*cell) for cell in everything)
    while True:
        shares = {(axis, value): lacking(axis, value) for axis in AXES for value in reversed(axes[axis])}
        if not any(shares.values()):
            break
        candidates = {place: share for place, share in shares.items() if len(axes[place[0]]) > 1}
        axis, value = max(candidates, key=lambda place: candidates[place])  # the first of equals: the last seed
        axes[axis].remove(value)
    return Part(tuple(axes["algorithms"]), tuple(axes["maps"]), tuple(axes["seeds"]), finished, len(everything))


def _group(study: Study, key: str, part: Part) -> Group:
    if key not in study.groups:
        raise StudyError(f"partial: study {study.name} has no group {key!r}; it has {', '.join(study.groups)}")
    group = study.groups[key]
    kept: dict[str, Any] = {}
    for axis in AXES:
        kept[axis] = tuple(value for value in getattr(group, axis) if value in getattr(part, axis))
        if len(kept[axis]) != len(getattr(part, axis)) or not kept[axis]:
            raise StudyError(
                f"partial: {axis} of group {key} must be among {getattr(group, axis)}, got {getattr(part, axis)}"
            )
    return replace(group, **kept)


def _told(study: Study, group: Group, part: Part | None) -> str:
    """What of a group is drawn."""
    if part is None:
        return "no run is finished"
    out = {axis: [value for value in getattr(group, axis) if value not in getattr(part, axis)] for axis in AXES}
    out["algorithms"] = [study.algorithms[key].label for key in out["algorithms"]]
    left = "; ".join(f"{axis} {', '.join(map(str, values))}" for axis, values in out.items() if values)
    return f"{part.finished} of {part.planned} runs finished, " + (f"without {left}" if left else "all drawn")
