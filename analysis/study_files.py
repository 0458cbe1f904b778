"""Study files: `workflow/studies/*.yaml` -> `analysis.study.Study`, checked.

The one reader of these files, shared by the workflow (which runs to start) and the analysis (which runs to expect). A
file is checked against `workflow/schemas/study.schema.yaml` and then for what a schema cannot say; every fault is one
line.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from analysis.study import AGGREGATES, RUNS, Algorithm, Group, PaperPlace, PaperScale, Study, StudyError, nearest

SCHEMA = Path(__file__).resolve().parent.parent / "workflow" / "schemas" / "study.schema.yaml"
STUDIES = SCHEMA.parent.parent / "studies"
CLAIMS = STUDIES.parent / "claims.yaml"
OWN_MAPS = {"matrix": "matrix_", "gymnasium": "lunar_lander"}  # backend -> what the names of its maps begin with
MATRIX_PRESET = "matrix"  # what the names of presets for matrix games begin with
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
    "all_maps",
    "all",
    "estimate",
    "fig1",
    "claims",
    RUNS,
    "reference",
)  # rules and folders
DEFAULT_THRESHOLDS = (0.5, 0.8, 0.95)


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
    if "runs_of" in document:
        return _with_runs_of(document, path)
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


def _with_runs_of(document: dict[str, Any], path: Path) -> Study:
    """A study whose runs are those of another one, or some of them.

    Raises: StudyError for a fault of either file, or if the other one has no such algorithm or map.
    """
    wanted = document["runs_of"]
    name, stem = document["name"], wanted["study"]
    _check_name(name, path)

    def refuse(key: str, message: str) -> StudyError:
        return StudyError(f"{path}: runs_of.{key}: {message}")

    if stem == name:
        raise refuse("study", f"{stem!r} is the study itself; name another")
    base = load_study(path.with_name(f"{stem}.yaml"))
    if base.runs_of:
        raise refuse("study", f"{stem!r} shows runs of {base.runs_of!r} itself; name that one")
    maps = dict.fromkeys(name for group in base.groups.values() for name in group.maps)
    for key, known in (("algorithms", list(base.algorithms)), ("maps", list(maps))):
        for value in wanted.get(key, []):
            if value not in known:
                raise refuse(key, f"study {stem} has no {value!r}{nearest(value, known)}")
    keys = [key for key in base.algorithms if key in wanted.get("algorithms", base.algorithms)]
    groups = {}
    for key, group in base.groups.items():
        here, shown = group.on_maps(wanted.get("maps", maps)), tuple(name for name in group.algorithms if name in keys)
        if here and shown:
            groups[key] = replace(here, algorithms=shown)
    if not groups:
        raise refuse("algorithms", f"none of them runs on these maps in study {stem}")
    algorithms = {key: base.algorithms[key] for key in keys}
    if "in_paper" in wanted:
        algorithms = {key: _in_figure(algorithm, wanted["in_paper"]) for key, algorithm in algorithms.items()}
    told = {key: document[key] for key in ("name", "description", "reproduces") if key in document}
    return replace(base, **{"reproduces": None, **told}, algorithms=algorithms, groups=groups, runs_of=stem)


def _in_figure(algorithm: Algorithm, figure: str) -> Algorithm:
    """Held against the curve of the same name in another figure; against none if that has no such curve."""
    place = algorithm.in_paper
    there = place is not None and place.curve in curves(figure)
    return replace(algorithm, in_paper=PaperPlace(figure, place.curve) if place and there else None)


def curves(figure: str) -> list[str]:
    """What a figure of the paper shows, as it is written there."""
    from analysis import paper_bars, paper_curves  # and pandas, only where it is asked for

    return paper_bars.names() if figure == AGGREGATES else paper_curves.names(figure)


def _paper_scale(item: dict[str, Any] | None) -> PaperScale | None:
    if item is None:
        return None
    seeds = tuple(item.get("seeds", range(10)))  # as many as the paper's main figure has
    return PaperScale(item["env_steps"], item["eval_every"], seeds, dict(item.get("presets", {})))


def _check_name(name: str, path: Path) -> None:
    """Raises: StudyError if a study cannot be called so."""
    if name in RESERVED:
        raise StudyError(
            f"{path}: name: {name!r} is the name of a rule or folder of the workflow; give the study another"
        )
    if name != path.stem:
        raise StudyError(f"{path}: name: got {name!r}, expected {path.stem!r}, the name of the file")


def _check_sense(study: Study, document: dict[str, Any], path: Path) -> None:
    """What a schema cannot say. Raises: StudyError for the first fault."""

    def refuse(where: str, message: str) -> None:
        raise StudyError(f"{path}: {where}: {message}")

    def unique(where: str, values: Sequence[Any]) -> None:
        twice = sorted({value for value in values if list(values).count(value) > 1})
        if twice:
            refuse(where, f"{', '.join(map(str, twice))} given more than once; each may stand there once")

    _check_name(study.name, path)
    unique("seeds", study.seeds)
    unique("algorithms", [algorithm.label for algorithm in study.algorithms.values()])
    families = sorted({algorithm.family for algorithm in study.algorithms.values()})
    for key, algorithm in study.algorithms.items():
        given = "algorithm" in document["algorithms"][key]
        if algorithm.in_paper:
            curve, known = algorithm.in_paper.curve, curves(algorithm.in_paper.figure)
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
