"""Figures, tables and reports again, from result files alone: neither torch nor numba is needed, nor the runs.

A folder of a study holds what that takes: evaluations.csv or .parquet, evidence.json (or the COMMAND.md of a published
study) and, where the command line made another study of it, variant.json.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pandas as pd

from analysis import (
    agent_costs,
    all_maps,
    claims,
    collect,
    evidence,
    figures,
    films,
    over_paper,
    overview,
    page,
    recorded,
    report,
    style,
    tables,
)
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_studies
from training.files import write_text

SOURCES = (
    "evaluations.csv",
    "evaluations.parquet",
    evidence.NAME,
    evidence.PUBLISHED,
    recorded.NAME,
    "films",
    agent_costs.TABLE,
)


def studies_in(results: Path) -> list[Path]:
    """Folders of studies below a folder of results; [] if it is something else."""
    return (
        sorted(path for path in results.glob("*/") if recorded.holding(path)) if not recorded.holding(results) else []
    )


def copied(root: Path, out: Path) -> Path:
    """The result files of a study, and nothing that is drawn, in another folder. Returns: that folder."""
    out.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        if (root / name).is_dir():
            shutil.copytree(root / name, out / name, dirs_exist_ok=True)
        elif (root / name).is_file():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, out / name)
    return out


def one(study: Study, root: Path, *, stem: str, scale: str, claims_file: Path = claims.CLAIMS) -> list[Path]:
    """A study whose folder is `root`: its figures, tables and both reports. Returns: what was written.

    Args: stem: of the study file, by which claims name the study.    scale: as of `analysis.variants`.
    Raises: StudyError if a result file is missing or does not fit the study.
    """
    frame = collect.read(recorded.holding(root) or root / "evaluations.csv", study)
    evidence.read(root)  # refused before anything is drawn
    written = figures.draw_all(frame, study, root / "figures")
    if study.over_paper:
        written += style.save(over_paper.of_study(frame, study), root / "figures" / over_paper.NAME, suffixes=style.ALL)
    if study.all_maps:
        written += all_maps.write_all(frame, study, root)
    written += tables.write_all(frame, study, root / "tables")
    if study.agent_costs and (root / agent_costs.TABLE).is_file():
        written += agent_costs.redraw(study, root, made_by=collect.study_made_by(frame, study))
    return written + write_reports(frame, study, root, stem=stem, scale=scale, claims_file=claims_file)


def write_reports(
    frame: pd.DataFrame, study: Study, root: Path, *, stem: str, scale: str, claims_file: Path = claims.CLAIMS
) -> list[Path]:
    """report.md and report.html of figures that are drawn already; arguments as for `one`. Returns: the files."""
    found = evidence.read(root)
    made = {name: tables.make(name, frame, study) for name in tables.MAKE}
    verdicts = claims.of_study(claims.load(claims_file), stem, study, frame, scale=scale)
    table = root / "evaluations.csv"
    seal = hashlib.sha256(table.read_bytes()).hexdigest() if table.is_file() else None
    markdown = report.compose(frame, study, found, made, sha256=seal)
    html = page.compose(frame, study, found, made, verdicts=verdicts, shots=films.read(root), root=root, sha256=seal)
    return [
        write_text(root / "report.md", markdown),
        write_text(root / "report.html", html),
    ]


def everything(
    results: Path, *, studies: Path = STUDIES, claims_file: Path = claims.CLAIMS
) -> tuple[list[Path], list[str]]:
    """All studies below a folder of results, then its claims and the report on all.

    Returns: what was written, and a line for each study that could not be drawn; the report is on the others.
    """
    written: list[Path] = []
    faults: list[str] = []
    drawn: list[Study] = []
    for root in studies_in(results):
        try:
            held = recorded.study_of(root, studies)
            scale = held.options.get("scale") or "laptop"
            written += one(held.study, root, stem=held.stem, scale=scale, claims_file=claims_file)
        except StudyError as error:
            faults.append(f"{root.name}: {error}")
        else:
            drawn.append(held.study)
    if drawn:
        known = {stem: recorded.partly(study, results, studies) for stem, study in load_studies(studies)[0].items()}
        verdicts = claims.evaluate(claims.load(claims_file), known, results)
        written += claims.write(verdicts, results / "claims")
        written.append(overview.write(drawn, results, results / "report.html", verdicts=verdicts))
    return written, faults
