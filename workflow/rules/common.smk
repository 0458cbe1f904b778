# Studies, checked before any job is planned; wildcards bound to the names they give; where each run lies.
import os
import re
import shlex
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir) if (Path(workflow.basedir) / "workflow").is_dir() else Path(workflow.basedir).parent
sys.path[:0] = [str(ROOT), str(ROOT / "workflow")]
import alone
from analysis import estimate, store, variants
from analysis import partial as parts  # Snakemake needs the plain name for itself
from analysis.resources import SHORT_SECONDS, is_short, memory_mb, runtime_minutes
from analysis.study import FIGURES, RUNS, STARCRAFT, TABLES, Run, Study, StudyError
from analysis.study_files import RESERVED, load_studies

RESULTS = str(config.get("results", "results"))  # --config results=DIR
# --config studies=DIR
STUDIES_DIRECTORY = Path(str(config.get("studies", os.path.relpath(ROOT / "workflow" / "studies"))))
# What --config makes of every study: another scale, these maps, these seeds, another backend.
OPTIONS = {name: str(config[name]) for name in variants.OPTIONS if name in config}
# On request, of studies that are not finished what is finished is drawn, in folders <study>_partial; no run is started.
PARTIAL = {"true": True, "false": False}.get(str(config.get("partial", False)).lower())
if PARTIAL is None:
    sys.exit(f"error: partial must be true or false, got {config['partial']!r}: true draws the runs that are finished")
# `python` in every command is the interpreter that runs Snakemake, or --config python=FILE. It is no parameter of the rules: a
# moved environment must not redo finished runs. With --sdm conda it is that of environment.yml. A prefix replaces Snakemake's strict mode, hence `set`: without pipefail the
# pipe into `tee` would hide a failed run. The packages are found in whatever folder Snakemake works (--directory).
BY_CONDA = "python" not in config and DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PYTHON_DIRECTORY = "" if BY_CONDA else f"{Path(str(config.get('python', sys.executable))).parent}:"
# On request (--config tensorboard=true) every run writes TensorBoard events beside its metrics: no parameter either.
TENSORBOARD = "--tensorboard" if config.get("tensorboard") else ""
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(PYTHON_DIRECTORY)}$PATH TENSORBOARD={shlex.quote(TENSORBOARD)}"
    f" PYTHONPATH={shlex.quote(str(ROOT))}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
)

# Runs estimated below it share jobs of a cluster: --config short_runs=SECONDS, 0 gives each its own.
try:
    SHORT_RUNS = float(config.get("short_runs", SHORT_SECONDS))
except ValueError:
    sys.exit(f"error: short_runs must be seconds, got {config['short_runs']!r}: 0 gives every run a job of its own")

# A job that fails, perhaps because its machine did, is tried again, by the Snakemake that was started: those inside a cluster's
# jobs would each try again too.
RETRIES = 1 if workflow.is_main_process else 0

# Wildcards and the names of Snakemake's own path variables cannot be told from such a folder's name.
if RESULTS.startswith("-") or set(RESULTS) & set("{}<>*?\n\r\0"):
    sys.exit(
        f"error: results must be a folder's name without {{}}<>*?, line breaks and a leading -, got {RESULTS!r}: choose another"
    )


try:
    FILES, FAULTS = load_studies(STUDIES_DIRECTORY)  # file stem -> study, and what is wrong with other files
    FILES, unfit = variants.variants(FILES, **OPTIONS)
except StudyError as error:
    sys.exit(f"error: {error}")
for fault in FAULTS.values():
    print(f"warning: study left out: {fault}", file=sys.stderr)
FAULTS |= unfit  # a study that cannot be had so, for want of the map: a fault of that one
if not FILES:
    sys.exit(f"error: {next(iter(FAULTS.values()))}")
PARTS: dict[str, str] = (
    {}
)  # study that is not finished -> what of it is, as command lines carry it (--config partial=true)
if PARTIAL:
    for stem, study in [*FILES.items()]:
        try:
            found = parts.parts_of(study, parts.finished_runs(study, Path(RESULTS) / study.name))
        except StudyError as error:  # nothing of it is finished: a fault of that one
            FAULTS[stem] = error
            del FILES[stem]
            continue
        FILES[stem] = parts.narrowed(study, found)
        if FILES[stem].part:
            PARTS[FILES[stem].name] = parts.to_text(found)
    if not FILES:
        sys.exit("error: partial=true draws what is finished, and no run of any study is")
STUDIES = {study.name: study for study in FILES.values()}  # folder under results/ -> study
STUDY_FILES = {study.name: str(STUDIES_DIRECTORY / f"{stem}.yaml") for stem, study in FILES.items()}
# And of that whose runs it shows, where they are not its own.
BASE_FILES = {study.name: [f"{STUDIES_DIRECTORY / study.runs_of}.yaml"] for study in FILES.values() if study.runs_of}
CLAIMS = str(config.get("claims", ROOT / "workflow" / "claims.yaml"))  # --config claims=FILE
SUFFIX = "".join(f"_{re.sub(r'[^A-Za-z0-9]+', '_', f'{name}_{value}')}" for name, value in OPTIONS.items())
SUFFIX += "_partial" * PARTIAL
CLAIMS_NAME, REPORT_NAME = f"claims{SUFFIX}", f"report{SUFFIX}"
# Directory of a run -> the first study that asked for it, and what it calls it.
PLACES: dict[str, tuple[Study, Run]] = {}


def either(names) -> str:
    """A wildcard constraint: exactly one of these names."""
    return "|".join(sorted({re.escape(str(name)) for name in names}))


def places(study: Study) -> list[str]:
    """The directory of each run of a study; ends the plan with one line if a run is refused."""
    found = []
    for run in study.runs():
        try:
            found.append(f"{RESULTS}/{store.directory(study, run)}")
        except StudyError as error:
            sys.exit(f"error: {error}")
        PLACES.setdefault(found[-1], (study, run))
    return found


def asked_for(directory: str) -> tuple[Study, Run]:
    """The study and run that a directory belongs to; a target on the command line may name one that no study asked for yet."""
    if directory not in PLACES:
        for study in STUDIES.values():
            places(study)
    if directory not in PLACES:
        sys.exit(f"error: {directory} is no run of a study as it is now: `python -m analysis progress` lists them")
    return PLACES[directory]


def run_directory(wildcards) -> str:
    """The directory that the wildcards of a run name."""
    return f"{RESULTS}/{RUNS}/{wildcards.backend}/{wildcards.map}/{wildcards.variant}/seed={wildcards.seed}"


def train_command(wildcards) -> str:
    """The command of a run, as the first study that asked for it words it."""
    study, run = asked_for(run_directory(wildcards))
    return shlex.join(study.train_arguments(run))


def budget(wildcards) -> int:
    """Environment steps of a run."""
    study, run = asked_for(run_directory(wildcards))
    return study.groups[run.group].env_steps


def growing(amount: int):
    """An amount of a resource that grows with each attempt, for rules that make no runs."""
    return lambda wildcards, attempt: attempt * amount


def group_of(wildcards) -> str | None:
    """The group of a run on a cluster: `short`, or none for a run that has a job of its own."""
    return "short" if is_short(*asked_for(run_directory(wildcards)), seconds=SHORT_RUNS) else None


def outcomes(study: Study) -> list[str]:
    """What a study leaves behind: its report, which needs figures and tables, and its runs in the format of marl-eval."""
    root = f"{RESULTS}/{study.name}"
    return [f"{root}/report.md", f"{root}/report.html", *(f"{root}/marl_eval/{group}.json" for group in study.groups)]


def tell_plan(wildcards_of_runs) -> None:
    """On the terminal, what the runs that are to be made will take."""
    runs = [asked_for(run_directory(wildcards)) for wildcards in wildcards_of_runs]
    if runs:
        machine = estimate.slowness(min(workflow.cores or 1, os.cpu_count() or 1))
        lines = estimate.plan(runs, Path(RESULTS), slowness=machine)
        at_once = workflow.cores if workflow.local_exec else workflow.nodes  # cores, or jobs of a cluster
        print(estimate.render(lines, cores=at_once or 1, slowness=machine), file=sys.stderr)


def warm_up_command(wildcards) -> str:
    """What compiles the kernels of a study's maps; nothing has to be where all of them are StarCraft's, or no run starts."""
    if wildcards.study in PARTS:
        return "true"
    groups = [group for group in STUDIES[wildcards.study].groups.values() if group.backend not in STARCRAFT]
    maps = dict.fromkeys(f"--map {name}" for group in groups for name in group.maps)
    return " ".join(["python -m mazero warmup", *maps]) if maps else "true"


def variant_options() -> str:
    """What --config makes of every study, as options of the command lines."""
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in OPTIONS.items())


def all_options() -> str:
    """The same, of commands about all studies: whether parts count too."""
    return f"{variant_options()}{' --partial' * PARTIAL}".strip()


def study_inputs(wildcards) -> list[str]:
    """Files that say what the study is."""
    return [STUDY_FILES[wildcards.study], *BASE_FILES.get(wildcards.study, [])]


def study_options(wildcards) -> str:
    """Options that tell `python -m analysis` which study file, what was made of it, and which part is drawn."""
    part = f"--partial {shlex.quote(PARTS[wildcards.study])}" if wildcards.study in PARTS else ""
    return f"--study {shlex.quote(STUDY_FILES[wildcards.study])} {variant_options()} {part}".strip()


pathvars:
    results=RESULTS,


wildcard_constraints:
    study=either(STUDIES),
    group=either(group for study in STUDIES.values() for group in study.groups),
    backend=either(group.backend for study in STUDIES.values() for group in study.groups.values()),
    map=either(name for study in STUDIES.values() for group in study.groups.values() for name in group.maps),
    variant=r"[a-z][a-z0-9_]*-[0-9a-f]+",
    seed=r"\d+",


for stem, fault in FAULTS.items():
    if not stem.isidentifier() or stem in RESERVED:
        continue

    rule:
        name:
            stem
        input:
            lambda wc, fault=fault: sys.exit(f"error: {fault}"),
