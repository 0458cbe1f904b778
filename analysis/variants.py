"""A study at another scale, or a part of it: other budgets, fewer maps, other seeds, under a name of its own.

Results of a variant never meet those of the study as written: it is called NAME_WHAT and so has its own folder. Runs
that both need are shared (`analysis.store`).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from analysis.study import Group, Study, StudyError, nearest

LAPTOP, TINY = "laptop", "tiny"
SCALES = (LAPTOP, "paper", TINY)
OPTIONS = ("scale", "maps", "seeds", "backend")  # of `variant`, as command lines name them
TINY_STEPS, TINY_EPISODES, TINY_SEEDS = 200, 2, 2
# What lets a learner begin, and end, within so few steps. It says nothing of what the method can do.
# Few episodes side by side, or none ends within the budget and nothing is learned from.
TINY_OVERRIDES = {"mazero": {"replay.start": 50, "search.num_simulations": 4, "self_play.num_envs": 2}}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The options of `variant`, as flags of a command about one study or several."""
    parser.add_argument("--scale", default=LAPTOP, help=f"of a study: {', '.join(SCALES)}")
    parser.add_argument("--maps", help="of a study, these maps only: 3m,8m")
    parser.add_argument("--seeds", help="of a study, these seeds instead of its own: 0,1,5-9")
    parser.add_argument("--backend", help="skirmish or smac: a study moved to this backend")


def options(arguments: argparse.Namespace) -> dict[str, str | None]:
    """What the flags of `add_flags` say."""
    return {name: getattr(arguments, name) for name in OPTIONS}


def variant(
    study: Study,
    *,
    scale: str | None = LAPTOP,
    maps: str | None = None,
    seeds: str | None = None,
    backend: str | None = None,
) -> Study:
    """The study as the options of the command line ask for it.

    Args:
      scale: `laptop`, budgets of the file; `paper`, those under its groups' `paper`; `tiny`, to test the machinery.
      maps: names with commas between them.    seeds: numbers and ranges, "0,1,5-9".    backend: skirmish or smac.
    Raises: StudyError for what is unknown, or if nothing is left of the study.
    """
    changed = at_scale(study, scale or LAPTOP)
    if maps is not None:
        changed = on_maps(changed, [name.strip() for name in maps.split(",")])
    if seeds is not None:
        changed = with_seeds(changed, parse_seeds(seeds))
    return changed if backend is None else changed.on_backend(backend)


def variants(studies: Mapping[str, Study], **options: str | None) -> tuple[dict[str, Study], dict[str, StudyError]]:
    """Every study as `variant` makes it, and what is wrong with those it cannot be made of: one without these maps.

    Raises: StudyError for a map that no study has.
    """
    known = {name for study in studies.values() for group in study.groups.values() for name in group.maps}
    for name in (options.get("maps") or "").split(","):
        if name.strip() and name.strip() not in known:
            raise StudyError(f"maps: no study has {name.strip()!r}{nearest(name.strip(), sorted(known))}")
    made: dict[str, Study] = {}
    faults: dict[str, StudyError] = {}
    for stem, study in studies.items():
        try:
            made[stem] = variant(study, **{name: value for name, value in options.items() if value is not None})
        except StudyError as error:
            faults[stem] = error
    return made, faults


def at_scale(study: Study, scale: str) -> Study:
    """Budgets, seeds and presets of another scale, in every group. Raises: StudyError for an unknown scale."""
    if scale not in SCALES:
        raise StudyError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}{nearest(scale, SCALES)}")
    if scale == LAPTOP:
        return study
    change = _of_the_paper if scale == "paper" else _tiny
    groups = {key: change(group) for key, group in study.groups.items()}
    return study if groups == study.groups else replace(study, name=f"{study.name}_{scale}", groups=groups)


def on_maps(study: Study, maps: Sequence[str]) -> Study:
    """Only these maps. Raises: StudyError if the study has none of them."""
    groups = {key: kept for key, group in study.groups.items() if (kept := group.on_maps(maps))}
    if not groups:
        known = [name for group in study.groups.values() for name in group.maps]
        raise StudyError(f"study {study.name} has no map {', '.join(maps)}; it has {', '.join(known)}")
    named = "_".join(name for group in groups.values() for name in group.maps)
    return study if groups == study.groups else replace(study, name=f"{study.name}_maps_{named}", groups=groups)


def with_seeds(study: Study, seeds: tuple[int, ...]) -> Study:
    """These seeds in every group."""
    groups = {key: replace(group, seeds=seeds) for key, group in study.groups.items()}
    name = f"{study.name}_seeds_{_in_words(seeds)}"
    return study if groups == study.groups else replace(study, name=name, seeds=seeds, groups=groups)


def parse_seeds(text: str) -> tuple[int, ...]:
    """ "0,1,5-9" -> (0, 1, 5, 6, 7, 8, 9). Raises: StudyError for anything else, or a seed given twice."""
    seeds: list[int] = []
    for part in str(text).split(","):
        found = re.fullmatch(r"\s*(\d{1,19})(?:-(\d{1,19}))?\s*", part)
        if not found or (found[2] and not 0 <= int(found[2]) - int(found[1]) < 1000):
            raise StudyError(f"seeds must be numbers and ranges such as 0,1,5-9, got {text!r}")
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    if len(set(seeds)) < len(seeds):
        raise StudyError(f"seeds must be different, got {text!r}")
    return tuple(seeds)


def _in_words(seeds: Sequence[int]) -> str:
    """(7, 0, 1, ..., 199) -> "7_0_to_199": a range is no longer than its ends, for the sake of folder names."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return "_".join(f"{part[0]}_to_{part[-1]}" if len(part) > 2 else "_".join(map(str, part)) for part in parts)


def _of_the_paper(group: Group) -> Group:
    """What a group's file says under `paper`; a group that says nothing there stays as it is."""
    if group.paper is None:
        return group
    return replace(
        group,
        env_steps=group.paper.env_steps,
        eval_every=group.paper.eval_every,
        seeds=group.paper.seeds,
        presets={**group.presets, **group.paper.presets},
        paper=None,
    )


def _tiny(group: Group) -> Group:
    own = {family: {**settings, **group.overrides.get(family, {})} for family, settings in TINY_OVERRIDES.items()}
    return replace(
        group,
        env_steps=TINY_STEPS,
        eval_every=TINY_STEPS // 2,
        eval_episodes=TINY_EPISODES,
        seeds=group.seeds[:TINY_SEEDS],
        overrides={**group.overrides, **own},
        paper=None,
    )
