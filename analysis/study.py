"""Study files: which algorithm runs on which map with which seed, and what a study leaves behind.

The one reader of `workflow/studies/*.yaml`, shared by the workflow (which runs to start) and the analysis (which runs
to expect). A file is checked against `workflow/schemas/study.schema.yaml` and then for what a schema cannot say;
every fault is one line.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

SCHEMA = Path(__file__).resolve().parent.parent / "workflow" / "schemas" / "study.schema.yaml"
STUDIES = SCHEMA.parent.parent / "studies"
CLAIMS = STUDIES.parent / "claims.yaml"

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
OWN_MAPS = {"matrix": "matrix_", "gymnasium": "lunar_lander"}  # backend -> what the names of its maps begin with
MATRIX_PRESET = "matrix"  # what the names of presets for matrix games begin with
RUNS = "runs"  # folder of all runs, beside the folders of studies
RESERVED = (
    "warm_up",
    "train",
    "collect",
    "tables",
    "figures",
    "report",
    "films",
    "overview",
    "over_paper",
    "agent_costs",
    "all",
    "estimate",
    "fig1",
    "claims",
    RUNS,
    "reference",
)  # rules and folders
DEFAULT_THRESHOLDS = (0.5, 0.8, 0.95)


class StudyError(ValueError):
    """A study file, or results that do not fit it: one line saying what, got, expected, remedy."""


@dataclass(frozen=True)
class PaperPlace:
    """A curve of the paper."""

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
    part: tuple[str, ...] = ()  # what is drawn and what is left out, where not all runs are finished

    @property
    def over_paper(self) -> bool:
        """Whether a curve of the paper is named, over which it is drawn."""
        return any(algorithm.in_paper for algorithm in self.algorithms.values())

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

        Results of two backends never meet: the moved study is called NAME_BACKEND and so has its own folder.
        Raises: StudyError for another backend.
        """
        if backend not in ("skirmish", "smac"):
            raise StudyError(f"backend must be skirmish or smac, got {backend!r}: the matrix games have only one")
        moved = {
            key: replace(group, backend=backend) if group.backend in ("skirmish", "smac") else group
            for key, group in self.groups.items()
        }
        return self if moved == self.groups else replace(self, name=f"{self.name}_{backend}", groups=moved)


def load_study(path: str | Path) -> Study:
    """Read and check one study file.

    Raises: StudyError, one line naming the file and the key, for anything that is wrong with it.
    """
    path = Path(path)
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml")) or ["none"]
        raise StudyError(f"{path}: no such study file; there are: {', '.join(known)}")
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # a SafeLoader
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    validate(document, SCHEMA, path)
    study = _build(document)
    _check_sense(study, document, path)
    return study


def load_studies(directory: str | Path = STUDIES) -> tuple[dict[str, Study], dict[str, StudyError]]:
    """Every study of a folder by the stem of its file, and what is wrong with those that cannot be read.

    One wrong file, perhaps somebody's draft, must not stand in the way of the others.

    Raises: StudyError if there is no file at all.
    """
    files = sorted(Path(directory).glob("*.yaml"))
    if not files:
        raise StudyError(f"{directory}: no study file (*.yaml) there")
    studies: dict[str, Study] = {}
    faults: dict[str, StudyError] = {}
    for file in files:
        try:
            studies[file.stem] = load_study(file)
        except StudyError as error:
            faults[file.stem] = error
    return studies, faults


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice (YAML's default is that the last one silently wins)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build one mapping. Raises: yaml.constructor.ConstructorError for a repeated key."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _is_integer(checker: Any, value: Any) -> bool:
    """JSON Schema counts 1.0 as an integer; seeds, budgets and episodes are written without a point."""
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


def validate(document: Any, schema_file: Path, path: Path) -> None:
    """Hold a document read from `path` against a schema. Raises: StudyError for its first fault, in one line."""
    schema = yaml.safe_load(schema_file.read_text(encoding="utf-8"))
    error = jsonschema.exceptions.best_match(_Validator(schema).iter_errors(document))
    if error is None:
        return
    where = ".".join(str(part) for part in error.absolute_path) or "top level"
    message = error.message
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = error.schema["properties"]  # only a schema that lists its keys forbids others
        unknown = [key for key in error.instance if key not in known]
        message = f"unknown key {unknown[0]!r}{nearest(str(unknown[0]), list(known))}"
    raise StudyError(f"{path}: {where}: {message}")


def _build(document: dict[str, Any]) -> Study:
    algorithms = {
        key: Algorithm(
            key=key,
            program=item["program"],
            family=item.get("algorithm", item["program"]),
            label=item["label"],
            overrides=item.get("overrides", {}),
            preset=item.get("preset"),
            in_paper=PaperPlace(**item["in_paper"]) if "in_paper" in item else None,
        )
        for key, item in document["algorithms"].items()
    }
    groups = {}
    for key, item in document["groups"].items():
        chosen = item.get("algorithms", list(algorithms))
        groups[key] = Group(
            key=key,
            title=item["title"],
            backend=item["backend"],
            maps=tuple(item["maps"]),
            seeds=tuple(item.get("seeds", document["seeds"])),
            env_steps=item["env_steps"],
            eval_every=item["eval_every"],
            eval_episodes=item["eval_episodes"],
            presets=dict(item["presets"]),
            algorithms=tuple(key for key in algorithms if key in chosen),
            overrides=item.get("overrides", {}),
            thresholds=tuple(item.get("thresholds", DEFAULT_THRESHOLDS)),
            env=item.get("env", {}),
            paper=_paper_scale(item.get("paper")),
        )
    return Study(
        name=document["name"],
        description=document["description"],
        seeds=tuple(document["seeds"]),
        threads=document.get("threads", 1),
        device=document.get("device", "cpu"),
        algorithms=algorithms,
        groups=groups,
        reproduces=document.get("reproduces"),
        agent_costs=document.get("agent_costs", False),
    )


def _paper_scale(item: dict[str, Any] | None) -> PaperScale | None:
    if item is None:
        return None
    seeds = tuple(item.get("seeds", range(10)))  # as many as the paper's main figure has
    return PaperScale(item["env_steps"], item["eval_every"], seeds, dict(item.get("presets", {})))


def _check_sense(study: Study, document: dict[str, Any], path: Path) -> None:
    """What a schema cannot say. Raises: StudyError for the first fault."""

    def refuse(where: str, message: str) -> None:
        raise StudyError(f"{path}: {where}: {message}")

    def unique(where: str, values: Sequence[Any]) -> None:
        twice = sorted({value for value in values if list(values).count(value) > 1})
        if twice:
            refuse(where, f"{', '.join(map(str, twice))} given more than once; each may stand there once")

    if study.name in RESERVED:
        refuse("name", f"{study.name!r} is the name of a rule or folder of the workflow; give the study another")
    if study.name != path.stem:
        refuse("name", f"got {study.name!r}, expected {path.stem!r}, the name of the file")
    unique("seeds", study.seeds)
    unique("algorithms", [algorithm.label for algorithm in study.algorithms.values()])
    families = sorted({algorithm.family for algorithm in study.algorithms.values()})
    for key, algorithm in study.algorithms.items():
        given = "algorithm" in document["algorithms"][key]
        if algorithm.in_paper:
            from analysis.paper_curves import names  # and pandas, only where it is asked for

            curve, known = algorithm.in_paper.curve, names(algorithm.in_paper.figure)
            if curve not in known:
                refuse(f"algorithms.{key}.in_paper", f"unknown curve {curve!r}{nearest(curve, known)}")
        if algorithm.program == "baselines" and not given:
            refuse(f"algorithms.{key}", "program baselines needs `algorithm`, for example `algorithm: qmix`")
        if algorithm.program == "mazero" and given:
            refuse(f"algorithms.{key}", "program mazero takes no `algorithm`; set its variants through `overrides`")
    for key, group in study.groups.items():
        where = f"groups.{key}"
        unique(f"{where}.maps", group.maps)
        unique(f"{where}.seeds", group.seeds)
        for name in document["groups"][key].get("algorithms", []):
            if name not in study.algorithms:
                refuse(f"{where}.algorithms", f"unknown algorithm {name!r}{nearest(name, list(study.algorithms))}")
        for field in ("presets", "overrides"):
            for family in getattr(group, field):
                if family not in families:
                    refuse(f"{where}.{field}", f"unknown algorithm family {family!r}{nearest(family, families)}")
        for name in group.algorithms:
            family, own = study.algorithms[name].family, study.algorithms[name].preset
            if own is None and family not in group.presets:
                refuse(
                    f"{where}.presets",
                    f"no preset for {family!r}, which algorithm {name!r} needs; add `{family}: PRESET`",
                )
            if own is not None and own.startswith(MATRIX_PRESET) != (group.backend == "matrix"):
                refuse(
                    f"{where}.algorithms",
                    f"{name!r} brings its own preset {own!r}, which is not for backend {group.backend!r}; "
                    "list the algorithms of this group without it",
                )
        budgets = [(where, group.env_steps, group.eval_every)]
        if group.paper is not None:
            unique(f"{where}.paper.seeds", group.paper.seeds)
            for family in group.paper.presets:
                if family not in families:
                    refuse(f"{where}.paper", f"unknown algorithm family {family!r}{nearest(family, families)}")
            budgets.append((f"{where}.paper", group.paper.env_steps, group.paper.eval_every))
        for place, steps, every in budgets:
            if every > steps:
                refuse(place, f"eval_every {every} exceeds env_steps {steps}; evaluate at least once")
            if steps % every:
                refuse(place, f"eval_every {every} does not divide env_steps {steps}; the last mark must be the budget")
        homes = {_home(name) for name in group.maps}
        if homes != {group.backend if group.backend in OWN_MAPS else None}:
            refuse(
                f"{where}.maps",
                f"{', '.join(group.maps)} do not all belong to backend {group.backend!r}; use one group per backend",
            )


def _home(name: str) -> str | None:
    """The only backend that has a map; None for StarCraft's, which two have."""
    return next((backend for backend, beginning in OWN_MAPS.items() if name.startswith(beginning)), None)


def _text(value: Any) -> str:
    """A value as the command line reads it: YAML, with quotes where a text would be taken for something else."""
    return value if isinstance(value, str) and yaml.safe_load(value) == value else json.dumps(value)


def nearest(name: str, known: Sequence[str]) -> str:
    """ "; nearest: 'x'" or the list of what is known."""
    close = difflib.get_close_matches(name, known)
    return f"; nearest: {close[0]!r}" if close else f"; known: {', '.join(known)}"
