"""Claims held against runs: verdicts by hand, the rival that counts, the paper's own difference, what is not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis import claim_scores, claims, collect
from analysis.claims import INCONCLUSIVE, NOT_REPRODUCED, NOT_RUN, REPRODUCED, Claim, decide, judge
from analysis.paper_curves import paper_curve
from analysis.statistics import Estimate, area_under_curve
from analysis.study import Run, Study, StudyError
from analysis.study_files import STUDIES, load_studies
from tests.analysis.synthetic import make_runs, make_study, study_document

CLAIM = Claim("c", "A text.", "Fig. 3", "toy", "mazero", ("no_awpo", "qmix"), "final", 0.1)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two maps on the simulator and two games, four seeds; MAZero and QMIX over Fig. 3."""
    document = study_document()
    document["seeds"] = [0, 1, 2, 3]
    document["groups"]["smac"] |= {"maps": ["3m", "2m_vs_1z"], "env_steps": 20000, "eval_every": 10000}
    for key, curve in (("mazero", "MAZero"), ("qmix", "QMIX")):
        document["algorithms"][key]["in_paper"] = {"figure": "Fig. 3", "curve": curve}
    return make_study(tmp_path, document)


def collected(study: Study, tmp_path: Path, win_rate: Callable[[Run, int], float]) -> pd.DataFrame:
    root = tmp_path / "results" / "toy"
    make_runs(study, root, win_rate)
    frame = collect.collect(study, root)
    collect.write(frame, root / "evaluations.csv")
    return frame


@pytest.mark.parametrize(
    ("kind", "estimate", "verdict"),
    [
        ("more", (0.30, 0.05, 0.50), REPRODUCED),
        ("more", (0.30, -0.01, 0.50), INCONCLUSIVE),  # perhaps nothing
        ("more", (0.05, 0.01, 0.15), INCONCLUSIVE),  # ahead, perhaps by less than counts
        ("more", (0.05, 0.01, 0.09), NOT_REPRODUCED),
        ("more", (-0.30, -0.50, -0.05), NOT_REPRODUCED),
        ("no_less", (-0.05, -0.09, 0.30), REPRODUCED),
        ("no_less", (-0.05, -0.11, 0.30), INCONCLUSIVE),
        ("no_less", (-0.30, -0.50, -0.11), NOT_REPRODUCED),
    ],
)
def test_verdicts_on_a_difference(kind: str, estimate: tuple[float, float, float], verdict: str) -> None:
    claim = replace(CLAIM, kind=kind)
    assert decide(claim, Estimate(*estimate), seeds=3) == verdict
    assert decide(claim, Estimate(*estimate), seeds=2) == INCONCLUSIVE


def test_the_closest_rival_counts_over_all_maps(study: Study, tmp_path: Path) -> None:
    """MAZero wins 0.9, without AWPO 0.4 on two maps and 0.8 on two, QMIX 0.5 everywhere."""

    def win_rate(run: Run, mark: int) -> float:
        base = {"mazero": 0.9, "qmix": 0.5, "no_awpo": 0.4 if run.backend == "skirmish" else 0.8}[run.algorithm]
        return (base + 0.01 * (run.seed - 1.5)) * (mark > 0)

    frame = collected(study, tmp_path, win_rate)
    found = judge(CLAIM, study, frame)
    assert found.verdict == REPRODUCED and found.against == "without AWPO" and found.ours is not None
    assert found.ours.value == pytest.approx(0.9 - 0.6) and 0.27 < found.ours.low < 0.3 < found.ours.high < 0.33
    assert found.paper is None and found.seeds == 4  # the paper has no such curve
    assert found.scope == (
        "3m, 2m_vs_1z, matrix_1, matrix_2; 200 to 20,000 steps; 4 seeds; presets: mazero laptop, qmix published, "
        "mazero matrix, qmix matrix; skirmish, unit data 4.10, matrix"
    )
    found = judge(replace(CLAIM, maps=("matrix_1",)), study, frame)
    assert found.ours is not None and found.ours.value == pytest.approx(0.1) and found.against == "without AWPO"
    found = judge(replace(CLAIM, groups=("matrix",)), study, frame)
    assert (
        found.ours is not None
        and found.ours.value == pytest.approx(0.1)
        and found.scope.startswith("matrix_1, matrix_2;")
    )
    behind = judge(replace(CLAIM, better="qmix", than=("mazero",)), study, frame)
    assert behind.verdict == NOT_REPRODUCED and behind.ours is not None and behind.ours.value == pytest.approx(-0.4)


def test_the_interval_is_that_of_runs_resampled_within_map_and_algorithm() -> None:
    """Exact over all draws of two runs of each side on one map: the difference of means takes five values."""
    estimate = claim_scores.difference("final", [(np.array([0.0, 1.0]), np.array([0.0, 1.0]))])
    assert (estimate.value, estimate.low, estimate.high) == (0.0, -1.0, 1.0)
    two = claim_scores.difference("final", [(np.array([1.0, 1.0]), np.array([0.2])), (np.array([0.4]),) * 2])
    assert (two.value, two.low, two.high) == pytest.approx((0.4, 0.4, 0.4))


def test_the_paper_is_measured_up_to_our_budget(study: Study, tmp_path: Path) -> None:
    frame = collected(study, tmp_path, lambda run, mark: 0.5)
    claim = replace(CLAIM, than=("qmix",), maps=("3m", "2m_vs_1z"))
    ours, rival = ([paper_curve(m, name, figure="Fig. 3") for m in claim.maps] for name in ("MAZero", "QMIX"))
    assert None not in ours + rival
    final = np.mean([a.at(20000) - b.at(20000) for a, b in zip(ours, rival) if a and b])
    assert judge(claim, study, frame).paper == pytest.approx(final)
    marks = np.array([0, 10000, 20000])
    areas = [area_under_curve(marks, a.at(marks) - b.at(marks)) for a, b in zip(ours, rival) if a and b]
    found = judge(replace(claim, metric="area"), study, frame)
    assert found.paper == pytest.approx(np.mean(areas)) and found.verdict == NOT_REPRODUCED  # all are equal here
    absolute = judge(replace(claim, metric="absolute"), study, frame)
    assert absolute.paper is None and absolute.ours == Estimate(0.0, 0.0, 0.0)
    assert judge(replace(claim, maps=("3m", "matrix_1")), study, frame).paper is None  # one of the two is not there


@pytest.mark.parametrize(
    ("change", "scope"),
    [
        ({"than": ("mamba",)}, "study toy has no mamba"),
        ({"maps": ("8m",)}, "study toy has none of its maps with all of these algorithms"),
        ({"at_least": 1000}, "says something from 1,000 steps on; study toy has 200"),
        ({"study": "other"}, "there is no study other"),
    ],
)
def test_what_is_not_run_says_why(study: Study, tmp_path: Path, change: dict[str, Any], scope: str) -> None:
    collected(study, tmp_path, lambda run, mark: 0.5)
    (found,) = claims.evaluate([replace(CLAIM, **change)], {"toy": study}, tmp_path / "results")
    assert (found.verdict, found.scope, found.ours) == (NOT_RUN, scope, None)


def test_the_tiny_scale_settles_nothing(study: Study, tmp_path: Path) -> None:
    collected(study, tmp_path, lambda run, mark: 0.9 if run.algorithm == "mazero" else 0.2)
    for scale, verdict in (("laptop", REPRODUCED), ("tiny", INCONCLUSIVE)):
        (found,) = claims.evaluate([CLAIM], {"toy": study}, tmp_path / "results", scale=scale)
        assert found.verdict == verdict and found.ours is not None and found.ours.value == pytest.approx(0.7)
    (absent,) = claims.evaluate([replace(CLAIM, than=("mamba",))], {"toy": study}, tmp_path / "results", scale="tiny")
    assert absent.verdict == NOT_RUN


def test_a_study_that_is_not_finished_is_not_run(study: Study, tmp_path: Path) -> None:
    (found,) = claims.evaluate([CLAIM], {"toy": study}, tmp_path / "nowhere")
    assert (found.verdict, found.scope) == (NOT_RUN, "study toy is not finished")


def test_the_command_writes_a_page_and_a_table(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collected(study, tmp_path, lambda run, mark: 0.9 if run.algorithm == "mazero" else 0.2)
    items = [
        {"id": "ahead", "text": "Ahead.", "source": "Fig. 3", "study": "toy", "better": "mazero", "than": ["qmix"]},
        {
            "id": "open",
            "text": "Open.",
            "source": "open question",
            "study": "toy",
            "better": "qmix",
            "than": ["mazero"],
        },
        {"id": "absent", "text": "Absent.", "source": "Fig. 6", "study": "toy", "better": "mazero", "than": ["flat"]},
    ]
    file = tmp_path / "claims.yml"  # beside study files, which end in .yaml
    file.write_text(yaml.safe_dump({"claims": [{**item, "metric": "final", "margin": 0.1} for item in items]}))
    options = ["--claims", str(file), "--studies", str(tmp_path), "--results", str(tmp_path / "results")]
    assert claims.main([*options, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "3 claims: 1 reproduced, 1 does not hold, 1 not run." in text
    assert "| Open. | open question | does not hold | final | 0.10 | MAZero | -0.70 [-0.70, -0.70] | - |" in text
    assert "| Ahead. | Fig. 3 | reproduced | final | 0.10 | QMIX | 0.70 [0.70, 0.70] | - |" in text
    assert "| Absent. | Fig. 6 | not run | final | 0.10 |  | - | - | study toy has no flat |" in text
    table = pd.read_csv(tmp_path / "out.csv").set_index("id")
    assert table.loc["ahead", "difference"] == pytest.approx(0.7) and np.isnan(table.loc["absent", "difference"])
    assert claims.main([*options[2:], "--claims", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "o")]) == 2
    assert "none.yaml: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "finnal"}, "claims.0.metric: 'finnal' is not one of"),
        ({"margin": 2}, "claims.0.margin: 2 is greater than the maximum of 1"),
        ({"marg": 2}, "claims.0: unknown key 'marg'; nearest: 'margin'"),
        ({"than": []}, "claims.0.than: "),
        ({"id": "b"}, "claims: b given more than once"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    item = {"id": "a", "text": "T.", "source": "S", "study": "toy", "better": "x", "than": ["y"], "metric": "final"}
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [{**item, "margin": 0.1, **change}, {**item, "id": "b", "margin": 0.1}]}))
    with pytest.raises(StudyError) as caught:
        claims.load(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_committed_claims_fit_the_studies_that_exist() -> None:
    """A study that is there has the algorithms that a claim names, or they are rivals that do not exist yet."""
    studies, _ = load_studies(STUDIES)
    loaded = claims.load()
    assert {claim.study for claim in loaded} <= {*studies}
    for claim in loaded:
        unknown = {claim.better, *claim.than} - {*studies[claim.study].algorithms}
        assert unknown <= {"rode", "cds", "mamba"}, claim.id
        assert {*claim.groups} <= {*studies[claim.study].groups}, claim.id
