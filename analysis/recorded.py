"""What a folder of results is a study of: the study file, what the command line made of it, and which part is drawn.

Written when the runs are collected (`variant.json`), so that figures, tables and reports can be made again from the
folder alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis import partial
from analysis.partial import Part
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_study
from analysis.variants import OPTIONS, variant
from training.files import write_json

NAME = "variant.json"
KEYS = {"study", *OPTIONS, "parts"}


def write(root: Path, stem: str, options: Mapping[str, str | None], parts: Mapping[str, Part] | None = None) -> Path:
    """Keep it in the folder of the study, `root`. Returns: the file.

    Args: stem: of the study file.    options: of `variants.variant`.    parts: of `partial.parts_of`, if it is one.
    """
    document = {"study": stem, **options, "parts": partial.to_text(parts) if parts else None}
    write_json(root / NAME, document)
    return root / NAME


@dataclass(frozen=True)
class Held:
    """What a folder holds."""

    stem: str  # of the study file
    options: dict[str, str | None]  # of `variants.variant`; {} if nothing was written
    parts: dict[str, Part] | None
    study: Study


def study_of(root: Path, studies: Path = STUDIES) -> Held:
    """The study that a folder holds, by what was written there or, without that, by its name.

    Raises: StudyError if there is no such study file, or if what was written cannot be understood.
    """
    if not (root / NAME).is_file():
        stem = root.resolve().name
        return Held(stem, {}, None, load_study(studies / f"{stem}.yaml"))
    from analysis.collect import read_json  # and pandas, only where it is needed

    document = read_json(root / NAME)
    if set(document) != KEYS or not all(value is None or isinstance(value, str) for value in document.values()):
        raise StudyError(f"{root / NAME}: expected texts for {', '.join(sorted(KEYS))}, got {document}; collect again")
    options = {name: document[name] for name in OPTIONS}
    study = variant(load_study(studies / f"{document['study']}.yaml"), **options)
    parts = partial.from_text(document["parts"]) if document["parts"] else None
    return Held(document["study"], options, parts, partial.narrowed(study, parts) if parts else study)


def holding(root: Path) -> Path | None:
    """The table of evaluations in a folder, Parquet before CSV; None if there is none."""
    return next((path for path in (root / "evaluations.parquet", root / "evaluations.csv") if path.is_file()), None)


def partly(study: Study, results: Path, studies: Path = STUDIES) -> Study:
    """The part of a study that was collected below `results`; the study itself where it is finished, or nothing is."""
    folder = results / f"{study.name}_partial"
    if holding(results / study.name) or not (folder / NAME).is_file():
        return study
    return study_of(folder, studies).study
