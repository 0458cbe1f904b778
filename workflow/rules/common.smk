# Studies, checked before any job is planned; wildcards bound to the names they give; one target per study.
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))
from analysis import expected
from analysis.study import FIGURES, TABLES, Run, Study, StudyError, load_studies

RESULTS = config.get("results", "results")  # --config results=DIR
STUDIES_DIRECTORY = Path(config.get("studies", "workflow/studies"))  # --config studies=DIR
# `python` in every command is the interpreter that runs Snakemake, or --config python=FILE. It is no parameter of the rules: a
# moved environment must not redo finished runs. A prefix replaces Snakemake's strict mode, hence `set`: without pipefail the
# pipe into `tee` would hide a failed run.
PYTHON_DIRECTORY = Path(config.get("python", sys.executable)).parent
# On request (--config tensorboard=true) every run writes TensorBoard events beside its metrics: no parameter either.
TENSORBOARD = "--tensorboard" if config.get("tensorboard") else ""
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(str(PYTHON_DIRECTORY))}:$PATH; TENSORBOARD={shlex.quote(TENSORBOARD)}; "
)

try:
    FILES = load_studies(STUDIES_DIRECTORY)  # file stem -> study
    if "backend" in config:  # --config backend=smac: under results/<study>_smac
        FILES = {stem: study.on_backend(config["backend"]) for stem, study in FILES.items()}
except StudyError as error:
    sys.exit(f"error: {error}")
STUDIES = {study.name: study for study in FILES.values()}  # folder under results/ -> study
STUDY_FILES = {study.name: str(STUDIES_DIRECTORY / f"{stem}.yaml") for stem, study in FILES.items()}


def either(names) -> str:
    """A wildcard constraint: exactly one of these names."""
    return "|".join(sorted({re.escape(str(name)) for name in names}))


def run_of(wildcards) -> Run:
    """The run that a path names."""
    group = STUDIES[wildcards.study].group_of(wildcards.backend, wildcards.map)
    return Run(group.key, wildcards.backend, wildcards.map, wildcards.algorithm, int(wildcards.seed))


def identity_of(wildcards) -> str:
    """The identity of the configuration that a run resolves to now; ends the plan with one line if it is refused."""
    try:
        return expected.identity(STUDIES[wildcards.study], run_of(wildcards))
    except StudyError as error:
        sys.exit(f"error: {error}")


def group_of(wildcards):
    """The group of a run's map."""
    return STUDIES[wildcards.study].group_of(wildcards.backend, wildcards.map)


def warm_up_command(wildcards) -> str:
    """What compiles the kernels of a study's maps; nothing has to be where all of them are StarCraft's."""
    groups = [group for group in STUDIES[wildcards.study].groups.values() if group.backend != "smac"]
    maps = [f"--map {name}" for group in groups for name in group.maps]
    return " ".join(["python -m mazero warmup", *maps]) if maps else "true"


def study_options(wildcards) -> str:
    """Options that tell `python -m analysis` which study file, on which backend."""
    backend = f" --backend {config['backend']}" if "backend" in config else ""
    return f"--study {shlex.quote(STUDY_FILES[wildcards.study])}{backend}"


pathvars:
    results=RESULTS,


wildcard_constraints:
    study=either(STUDIES),
    group=either(group for study in STUDIES.values() for group in study.groups),
    backend=either(group.backend for study in STUDIES.values() for group in study.groups.values()),
    map=either(name for study in STUDIES.values() for group in study.groups.values() for name in group.maps),
    algorithm=either(key for study in STUDIES.values() for key in study.algorithms),
    seed=r"\d+",


for stem, study in FILES.items():

    rule:
        name: stem
        input:
            f"{RESULTS}/{study.name}/report.md",
