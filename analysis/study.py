"""Studies: which algorithm runs on which map with which seed, and what a study leaves behind.

`analysis.study_files` reads them from `workflow/studies/*.yaml`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

FIGURES = (
    "win_rate",
    "return",
    "hours",
    "sample_efficiency",
    "profile",
    "final",
    "area",
    "improvement",
    "differences",
    "steps_to",
    "hours_to",
)  # drawn once per group
TABLES = (
    "runs",
    "final",
    "search",
    "published",
    "returns",
    "aggregate",
    "improvement",
    "differences",
    "steps_to",
)  # written once per study
AGGREGATES = "Figs. 7 and 8"  # in `in_paper.figure`
RUNS = "runs"  # folder of all runs, beside the folders of studies
STARCRAFT = ("smac", "smacv2")  # backends that play through the official packages
DRAWN = r"(terran|protoss|zerg)_\d+_vs_\d+(_epo)?"  # names of drawn battles
SAMPLED = {"mamba"}  # families whose presets evaluate with drawn actions on battles


class StudyError(ValueError):
    """A study file, or results that do not fit it: one line saying what, got, expected, remedy."""


@dataclass(frozen=True)
class PaperPlace:
    """A curve of the paper, or what Figs. 7 and 8 say of a method."""

    figure: str  # e.g. Fig. 3
    curve: str  # as the paper writes it


@dataclass(frozen=True)
class Algorithm:
    """One line of a legend: a learner with its settings."""

    key: str
    program: str  # mazero | baselines
    family: str  # mazero, qmix, ...: the key of a group's presets
    label: str
    overrides: dict[str, Any]  # dotted configuration key -> value
    preset: str | None = None  # its own; None: that of its family in the group
    in_paper: PaperPlace | None = None  # the curve that it is drawn over


@dataclass(frozen=True)
class PaperScale:
    """What a group becomes at the scale of the paper."""

    env_steps: int
    eval_every: int
    seeds: tuple[int, ...]
    presets: dict[str, str]  # family -> preset, of those that change


@dataclass(frozen=True)
class Group:
    """Maps that share a backend, a budget and an evaluation protocol."""

    key: str
    title: str
    backend: str
    maps: tuple[str, ...]
    seeds: tuple[int, ...]
    env_steps: int
    eval_every: int  # environment steps; divides env_steps
    eval_episodes: int
    presets: dict[str, str]  # family -> preset
    algorithms: tuple[str, ...]  # keys, in the order of the study
    overrides: dict[str, dict[str, Any]]  # family -> dotted key -> value
    thresholds: tuple[float, ...]  # win rates
    env: dict[str, Any]  # option of the environment -> value
    paper: PaperScale | None = None
    part: str = ""  # "4 of 12 runs" where it is drawn before all of them are finished (analysis/partial.py)

    @property
    def marks(self) -> tuple[int, ...]:
        """Scheduled evaluation points 0, eval_every, ..., env_steps."""
        return tuple(range(0, self.env_steps + 1, self.eval_every))

    def on_maps(self, maps: Collection[str]) -> Group | None:
        """These of its maps alone, by which it is called then; itself if they are all, None if it has none of them."""
        kept = tuple(name for name in self.maps if name in maps)
        if kept == self.maps:
            return self
        return replace(self, maps=kept, title=", ".join(kept)) if kept else None


@dataclass(frozen=True)
class Run:
    """One job: one algorithm, one map, one seed."""

    group: str
    backend: str
    map: str
    algorithm: str
    seed: int

    @property
    def path(self) -> Path:
        """What messages call it: backend, map, algorithm and seed. `analysis.store` knows where it lies."""
        return Path(self.backend) / self.map / self.algorithm / f"seed={self.seed}"


@dataclass(frozen=True)
class Study:
    """A whole study, checked."""

    name: str
    description: str
    seeds: tuple[int, ...]  # of every group that names none
    threads: int
    device: str
    algorithms: dict[str, Algorithm]
    groups: dict[str, Group]
    reproduces: str | None = None  # what of the paper, or which open question; None: no part of target `all`
    agent_costs: bool = False  # whether costs are drawn over the number of agents
    runs_of: str | None = None  # study whose runs it shows otherwise; None: its own
    part: tuple[str, ...] = ()  # what is drawn and what is left out, where not all runs are finished

    @property
    def over_paper(self) -> bool:
        """Whether a curve of the paper is named, over which it is drawn."""
        return any(place.figure != AGGREGATES for place in self._in_paper())

    @property
    def all_maps(self) -> bool:
        """Whether its groups are taken together, beside what Figs. 7 and 8 say of a method."""
        wanted = any(place.figure == AGGREGATES for place in self._in_paper())
        return wanted and bool(self.shared("algorithms")) and bool(self.shared("seeds"))

    def evaluation(self, group: Group) -> str:
        """What is played at a mark, for people. MAMBA's actions are drawn (`baselines/mamba/README.md`)."""
        drawn = {self.algorithms[key].family for key in group.algorithms} & SAMPLED
        exception = f" ({', '.join(sorted(drawn)).upper()}: with drawn actions)" if drawn else ""
        return f"{group.eval_episodes} greedy episodes{exception}"

    def shared(self, axis: str) -> tuple[Any, ...]:
        """What all groups have. Args: axis: `algorithms` or `seeds`."""
        first, *others = (getattr(group, axis) for group in self.groups.values())
        return tuple(value for value in first if all(value in other for other in others))

    def _in_paper(self) -> Iterator[PaperPlace]:
        return (algorithm.in_paper for algorithm in self.algorithms.values() if algorithm.in_paper)

    @property
    def reference(self) -> str:
        """Key of the algorithm that the others are compared with: the first of the file."""
        return next(iter(self.algorithms))

    def runs(self) -> Iterator[Run]:
        """Every run of the study, in the order of the file."""
        for group in self.groups.values():
            for name in group.maps:
                for algorithm in group.algorithms:
                    for seed in group.seeds:
                        yield Run(group.key, group.backend, name, algorithm, seed)

    def overrides(self, run: Run) -> dict[str, Any]:
        """Settings of one run: the group's for the family, then the algorithm's own."""
        algorithm = self.algorithms[run.algorithm]
        return {**self.groups[run.group].overrides.get(algorithm.family, {}), **algorithm.overrides}

    def preset(self, run: Run) -> str:
        """Preset of one run: the algorithm's own, else the group's for its family."""
        algorithm = self.algorithms[run.algorithm]
        return algorithm.preset or self.groups[run.group].presets[algorithm.family]

    def train_arguments(self, run: Run) -> list[str]:
        """Arguments after `python -m` that make this run, without those that cannot change its outcome.

        Returns: e.g. ["mazero", "train", "--map", "3m", ..., "--set", "search.os_lambda=false"].
        """
        algorithm, group = self.algorithms[run.algorithm], self.groups[run.group]
        arguments = [algorithm.program, "train"]
        if algorithm.program != algorithm.family:
            arguments += ["--algorithm", algorithm.family]
        arguments += ["--map", run.map, "--seed", str(run.seed), "--backend", run.backend, "--preset", self.preset(run)]
        arguments += ["--env-steps", str(group.env_steps), "--eval-every", str(group.eval_every)]
        arguments += ["--eval-episodes", str(group.eval_episodes), "--device", self.device]
        for flag, settings in (("--env", group.env), ("--set", self.overrides(run))):
            for key, value in settings.items():
                arguments += [flag, f"{key}={_text(value)}"]
        return arguments

    def on_backend(self, backend: str) -> Study:
        """The same study with every StarCraft group moved to `backend` (skirmish or smac), under a name of its own.

        Results of two backends never meet: the moved study is called NAME_BACKEND and so has its own folder. Groups
        with drawn battles go to `smacv2` where the others go to `smac`.
        Raises: StudyError for another backend.
        """
        if backend not in ("skirmish", "smac"):
            raise StudyError(f"backend must be skirmish or smac, got {backend!r}: the matrix games have only one")
        moved = {
            key: replace(group, backend="smacv2" if backend == "smac" and _drawn(group) else backend)
            if group.backend in ("skirmish", *STARCRAFT)
            else group
            for key, group in self.groups.items()
        }
        return self if moved == self.groups else replace(self, name=f"{self.name}_{backend}", groups=moved)


def _drawn(group: Group) -> bool:
    """Whether the group's battles are drawn, as SMACv2's are."""
    return all(re.fullmatch(DRAWN, name) for name in group.maps)


def _text(value: Any) -> str:
    """A value as the command line reads it: YAML, with quotes where a text would be taken for something else."""
    return value if isinstance(value, str) and yaml.safe_load(value) == value else json.dumps(value)


def nearest(name: str, known: Sequence[str]) -> str:
    """ "; nearest: 'x'" or the list of what is known."""
    close = difflib.get_close_matches(name, known)
    return f"; nearest: {close[0]!r}" if close else f"; known: {', '.join(known)}"
