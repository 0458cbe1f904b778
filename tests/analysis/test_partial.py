"""A study drawn before its runs are finished: what of it, under which name, and that it is said everywhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import figures, partial, recorded
from analysis.__main__ import main
from analysis.partial import Part
from analysis.store import place
from analysis.study import Study, StudyError
from tests.analysis.synthetic import make_runs, make_study, study_document, write_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Of group smac 3 algorithms x 1 map x 2 seeds, of group matrix 3 x 2 x 2: 18 runs."""
    return make_study(tmp_path)


def without(study: Study, *names: str) -> set:
    """All runs but those whose path begins with one of these names."""
    return {run for run in study.runs() if not run.path.as_posix().startswith(names)}


def test_what_lacks_most_is_left_out_until_nothing_is_lacking(study: Study) -> None:
    """QMIX lacks both runs on 3m, seed 1 lacks one of four on the matrix games."""
    done = without(study, "skirmish/3m/qmix", "matrix/matrix_2/qmix/seed=1")
    parts = partial.parts_of(study, done)
    assert parts["smac"] == Part(("mazero", "no_awpo"), ("3m",), (0, 1), finished=4, planned=6)
    assert parts["smac"].drawn == 4
    # One of 12 is missing: an algorithm lacks 1 of 4, a seed 1 of 6, a map 1 of 6, so QMIX goes.
    assert parts["matrix"] == Part(("mazero", "no_awpo"), ("matrix_1", "matrix_2"), (0, 1), finished=11, planned=12)


def test_of_equal_shares_the_last_seed_goes_first(study: Study) -> None:
    one = replace(study, groups={"smac": replace(study.groups["smac"], algorithms=("mazero", "qmix"))})
    done = {run for run in one.runs() if (run.algorithm, run.seed) != ("qmix", 1)}
    assert partial.parts_of(one, done)["smac"] == Part(("mazero", "qmix"), ("3m",), (0,), finished=3, planned=4)


def test_a_single_run_is_enough_and_none_is_refused(study: Study) -> None:
    run = next(run for run in study.runs() if run.path.as_posix() == "matrix/matrix_2/qmix/seed=1")
    assert partial.parts_of(study, {run}) == {"matrix": Part(("qmix",), ("matrix_2",), (1,), finished=1, planned=12)}
    with pytest.raises(StudyError, match="study toy: none of its 18 runs is finished: nothing to draw"):
        partial.parts_of(study, set())


def test_a_part_has_a_name_of_its_own_and_says_what_it_is(study: Study) -> None:
    parts = partial.parts_of(study, without(study, "skirmish", "matrix/matrix_2/mazero/seed=1"))
    part = partial.narrowed(study, parts)
    assert (part.name, list(part.groups)) == ("toy_partial", ["matrix"])
    assert part.groups["matrix"].algorithms == ("no_awpo", "qmix") and part.groups["matrix"].part == "8 of 12 runs"
    assert part.part == (
        "11 of 18 runs are finished. Drawn are 8 of them, those of which every algorithm, map and seed shown is "
        "complete.",
        "SMAC: no run is finished.",
        "Matrix games: 11 of 12 runs finished, without algorithms MAZero.",
    )
    assert partial.narrowed(study, partial.from_text(partial.to_text(parts))) == part  # by way of a command line


def test_a_study_that_is_finished_is_no_part(study: Study) -> None:
    assert partial.narrowed(study, partial.parts_of(study, set(study.runs()))) is study


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finishd", "partial must be 'finished' or the parts that the workflow names, got 'finishd'"),
        ("[]", "partial must be"),
        ('{"smac": {"maps": ["3m"]}}', "partial must be"),
    ],
)
def test_parts_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        partial.from_text(text)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("samc", {}, "study toy has no group 'samc'; it has smac, matrix"),
        ("smac", {"seeds": (0, 7)}, r"seeds of group smac must be among \(0, 1\), got \(0, 7\)"),
        ("smac", {"maps": ()}, r"maps of group smac must be among \('3m',\), got \(\)"),
    ],
)
def test_parts_of_another_study_are_refused(study: Study, key: str, change: dict, message: str) -> None:
    part = replace(Part(("mazero",), ("3m",), (0,), 1, 6), **change)
    with pytest.raises(StudyError, match=message):
        partial.narrowed(study, {key: part})


def test_only_on_request_and_called_so_in_figures_and_reports(
    tmp_path: Path, study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of six runs are not there: the study is refused, and drawn as a part when that is asked for."""
    document = study_document()
    del document["groups"]["matrix"]
    path = write_study(tmp_path, document)
    study = make_study(tmp_path, document)
    root = tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5 if mark else 0.0)
    for run in study.runs():
        if run.algorithm == "qmix":
            shutil.rmtree(place(study, run, root))
    assert main(["collect", str(root), "--study", str(path)]) == 2
    assert "2 of 6 runs are missing or unfinished" in capsys.readouterr().err
    monkeypatch.setattr(figures, "FIGURES", ("final",))
    monkeypatch.setattr("analysis.page.FIGURES", ("final",))
    assert main(["redraw", str(root), "--study", str(path), "--partial"]) == 0
    part = tmp_path / "results" / "toy_partial"
    banner = "4 of 6 runs are finished. Drawn are 4 of them"
    for name in ("report.md", "report.html"):
        text = (part / name).read_text(encoding="utf-8")
        assert banner in text and "SMAC: 4 of 6 runs finished, without algorithms QMIX." in text
    assert not (root / "report.md").exists() and not (root / "figures").exists()
    held = recorded.study_of(part, tmp_path)
    assert held.study.name == "toy_partial" and held.stem == "toy"
    [axes, *_] = figures.final(_frame(part, held.study), held.study, held.study.groups["smac"]).texts[1:]
    assert axes.get_text() == "backend skirmish, unit data 4.10 · partial: 4 of 6 runs"
    assert recorded.partly(study, root.parent, tmp_path) == held.study  # as claims and the report on all take it
    assert recorded.partly(study, tmp_path / "elsewhere", tmp_path) is study


def _frame(root: Path, study: Study):
    from analysis import collect

    return collect.read(root / "evaluations.csv", study)
