# Studies, checked before any job is planned; wildcards bound to the names they give; one target per study.
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))
from analysis import expected
from analysis.study import FIGURES, RESERVED, TABLES, Run, Study, StudyError, load_studies

RESULTS = str(config.get("results", "results"))  # --config results=DIR
STUDIES_DIRECTORY = Path(str(config.get("studies", "workflow/studies")))  # --config studies=DIR
# `python` in every command is the interpreter that runs Snakemake, or --config python=FILE. It is no parameter of the rules: a
# moved environment must not redo finished runs. A prefix replaces Snakemake's strict mode, hence `set`: without pipefail the
# pipe into `tee` would hide a failed run.
PYTHON_DIRECTORY = Path(str(config.get("python", sys.executable))).parent
# On request (--config tensorboard=true) every run writes TensorBoard events beside its metrics: no parameter either.
TENSORBOARD = "--tensorboard" if config.get("tensorboard") else ""
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(str(PYTHON_DIRECTORY))}:$PATH; TENSORBOARD={shlex.quote(TENSORBOARD)}; "
)

# Wildcards and the names of Snakemake's own path variables cannot be told from such a folder's name.
if RESULTS.startswith("-") or set(RESULTS) & set("{}<>*?\n\r\0"):
    sys.exit(f"error: results must be a folder's name without {{}}<>*?, line breaks and a leading -, got {RESULTS!r}: choose another")

try:
    FILES, FAULTS = load_studies(STUDIES_DIRECTORY)  # file stem -> study, and what is wrong with other files
    if "backend" in config:  # --config backend=smac: under results/<study>_smac
        FILES = {stem: study.on_backend(config["backend"]) for stem, study in FILES.items()}
except StudyError as error:
    sys.exit(f"error: {error}")
if not FILES:
    sys.exit(f"error: {next(iter(FAULTS.values()))}")
for fault in FAULTS.values():
    print(f"warning: study left out: {fault}", file=sys.stderr)
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


for stem, fault in FAULTS.items():
    if not stem.isidentifier() or stem in RESERVED:
        continue

    rule:
        name: stem
        input:
            lambda wc, fault=fault: sys.exit(f"error: {fault}"),
