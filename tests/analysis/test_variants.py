"""A study at another scale, on fewer maps, with other seeds: what changes, under which name, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import store
from analysis.study import Study, StudyError
from analysis.study_files import STUDIES, load_studies
from analysis.variants import parse_seeds, variant, variants
from tests.analysis.synthetic import make_study, study_document

PAPER = {"env_steps": 4000, "eval_every": 500, "presets": {"mazero": "paper"}}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    document = study_document()
    document["groups"]["smac"]["paper"] = PAPER
    document["groups"]["smac"]["maps"] = ["3m", "8m"]
    document["seeds"] = [0, 1, 2, 3]
    return make_study(tmp_path, document)


def test_without_options_it_is_the_study(study: Study) -> None:
    assert variant(study) is study
    assert variant(study, maps="matrix_2,3m,8m,matrix_1", seeds="0-3", backend="skirmish") is study


def test_the_scale_of_the_paper(study: Study) -> None:
    """Budget, seeds and named presets change; a group that says nothing of the paper stays."""
    paper = variant(study, scale="paper")
    smac = paper.groups["smac"]
    assert (paper.name, smac.env_steps, smac.marks[:2], smac.marks[-1]) == ("toy_paper", 4000, (0, 500), 4000)
    assert smac.seeds == tuple(range(10)) and smac.presets == {"mazero": "paper", "qmix": "published"}
    assert paper.groups["matrix"] == study.groups["matrix"]
    assert smac.overrides == {"mazero": {"replay.start": 100}}


def test_the_tiny_scale_makes_every_run_short(study: Study) -> None:
    tiny = variant(study, scale="tiny")
    for group in tiny.groups.values():
        assert (group.marks, group.eval_episodes, group.seeds) == ((0, 100, 200), 2, (0, 1))
    own = tiny.groups["smac"].overrides["mazero"]
    assert own == {
        "replay.start": 100,
        "search.num_simulations": 4,
        "self_play.num_envs": 2,
    }  # what the study sets itself stays
    run = next(tiny.runs())
    assert tiny.overrides(run)["search.num_simulations"] == 4


def test_an_algorithm_keeps_its_own_settings_at_the_tiny_scale() -> None:
    studies, _ = load_studies(STUDIES)
    tiny = variant(studies["fig10"], scale="tiny")
    settings = {run.algorithm: tiny.overrides(run)["search.num_simulations"] for run in tiny.runs()}
    assert settings == {"mazero": 4, "half": 50}


def test_maps_and_seeds(study: Study) -> None:
    part = variant(study, maps=" 8m,matrix_1", seeds="7,2-3")
    assert part.name == "toy_maps_8m_matrix_1_seeds_7_2_3"
    assert [group.title for group in part.groups.values()] == ["8m", "matrix_1"]
    assert {(run.map, run.seed) for run in part.runs()} == {(m, s) for m in ("8m", "matrix_1") for s in (7, 2, 3)}
    assert [*variant(study, maps="8m").groups] == ["smac"]


def test_options_add_up_and_runs_are_shared_with_the_study(study: Study) -> None:
    part = variant(study, scale="paper", maps="3m", seeds="0", backend="smac")
    assert part.name == "toy_paper_maps_3m_seeds_0_smac"
    assert {(run.backend, run.map, run.seed) for run in part.runs()} == {("smac", "3m", 0)}
    fewer = variant(study, maps="3m", seeds="1,9")
    places = {store.directory(study, run) for run in study.runs()}
    shared = [store.directory(fewer, run) in places for run in fewer.runs()]
    assert shared == [True, False] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "papr"}, "scale must be one of laptop, paper, tiny, got 'papr'; nearest: 'paper'"),
        ({"maps": "2s3z"}, "study toy has no map 2s3z; it has 3m, 8m, matrix_1, matrix_2"),
        ({"seeds": "many"}, "seeds must be numbers and ranges such as 0,1,5-9, got 'many'"),
        ({"seeds": "5-2"}, "seeds must be numbers and ranges such as 0,1,5-9, got '5-2'"),
        ({"seeds": "0-2000"}, "seeds must be numbers and ranges such as 0,1,5-9, got '0-2000'"),
        ({"seeds": "0-2,1"}, "seeds must be different, got '0-2,1'"),
        ({"backend": "sc2"}, "backend must be skirmish or smac, got 'sc2': the matrix games have only one"),
    ],
)
def test_what_cannot_be_had_is_refused(study: Study, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError) as caught:
        variant(study, **options)
    assert str(caught.value) == message


def test_a_map_that_no_study_has_is_refused_and_one_that_some_have_leaves_the_others_out(study: Study) -> None:
    """A slip beside a right name would else go unnoticed."""
    games = variant(study, maps="matrix_1")
    made, faults = variants({"toy": study, "games": games}, maps="3m", seeds=None)
    assert [*made] == ["toy"] and "has no map 3m" in str(faults["games"])
    with pytest.raises(StudyError, match="maps: no study has '3mm'; nearest: '3m'"):
        variants({"toy": study, "games": games}, maps="8m,3mm")


def test_many_seeds_make_no_long_name(study: Study) -> None:
    """A folder's name may have 255 bytes."""
    assert variant(study, seeds="900,0-199,300-301").name == "toy_seeds_900_0_to_199_300_301"


def test_seeds_as_yaml_gives_them() -> None:
    assert parse_seeds("3") == (3,) and parse_seeds("0,4-6, 2") == (0, 4, 5, 6, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eval_every": 3000}, "groups.smac.paper: eval_every 3000 does not divide env_steps 4000"),
        ({"eval_every": 5000}, "groups.smac.paper: eval_every 5000 exceeds env_steps 4000"),
        ({"seeds": [1, 1]}, "groups.smac.paper.seeds: 1 given more than once"),
        ({"presets": {"mazro": "paper"}}, "groups.smac.paper: unknown algorithm family 'mazro'; nearest: 'mazero'"),
    ],
)
def test_a_paper_scale_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    document = study_document()
    document["groups"]["smac"]["paper"] = {**PAPER, **change}
    with pytest.raises(StudyError, match=message):
        make_study(tmp_path, document)
