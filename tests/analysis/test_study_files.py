"""Study files: every key in its place, the whole command of a run, and every refusal word for word."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from analysis import collect, progress
from analysis.store import place
from analysis.study import Algorithm, Group, Run, Study, StudyError
from analysis.study_files import load_studies, load_study
from tests.analysis.synthetic import make_runs, make_study, study_document, write_study
from tests.analysis.test_study import change

FULL: dict[str, Any] = {
    "name": "full",
    "description": "Every key.",
    "seeds": [7, 3],
    "threads": 4,
    "device": "cuda",
    "algorithms": {
        "first": {"program": "mazero", "label": "First", "overrides": {"loss.awpo": False, "loss.name": "3"}},
        "second": {"program": "baselines", "algorithm": "vdn", "label": "Second"},
        "third": {"program": "baselines", "algorithm": "qmix", "label": "Third", "overrides": {"a.b": None}},
        "fourth": {"program": "baselines", "algorithm": "qmix", "label": "Fourth", "preset": "own"},
    },
    "groups": {
        "one": {
            "title": "Group one",
            "backend": "skirmish",
            "maps": ["3m", "8m"],
            "env_steps": 300,
            "eval_every": 100,
            "eval_episodes": 5,
            "presets": {"mazero": "small", "qmix": "large"},
            "algorithms": ["fourth", "third", "first"],
            "overrides": {"mazero": {"loss.awpo": True, "search.n": 2.5}, "qmix": {"c": "word"}},
            "thresholds": [0.25, 1],
            "env": {"game_version": "4.10", "obs_noise": 0.1, "obs_last_action": True},
        },
        "two": {
            "title": "Group two",
            "backend": "matrix",
            "maps": ["matrix_1"],
            "seeds": [1],
            "env_steps": 10,
            "eval_every": 10,
            "eval_episodes": 1,
            "presets": {"mazero": "m", "vdn": "v", "qmix": "q"},
            "algorithms": ["first", "second", "third"],
        },
    },
}


def test_every_key(tmp_path: Path) -> None:
    study = make_study(tmp_path, FULL)
    assert study == Study(
        name="full",
        description="Every key.",
        seeds=(7, 3),
        threads=4,
        device="cuda",
        algorithms={
            "first": Algorithm("first", "mazero", "mazero", "First", {"loss.awpo": False, "loss.name": "3"}),
            "second": Algorithm("second", "baselines", "vdn", "Second", {}),
            "third": Algorithm("third", "baselines", "qmix", "Third", {"a.b": None}),
            "fourth": Algorithm("fourth", "baselines", "qmix", "Fourth", {}, "own"),
        },
        groups={
            "one": Group(
                key="one",
                title="Group one",
                backend="skirmish",
                maps=("3m", "8m"),
                seeds=(7, 3),
                env_steps=300,
                eval_every=100,
                eval_episodes=5,
                presets={"mazero": "small", "qmix": "large"},
                algorithms=("first", "third", "fourth"),
                overrides={"mazero": {"loss.awpo": True, "search.n": 2.5}, "qmix": {"c": "word"}},
                thresholds=(0.25, 1),
                env={"game_version": "4.10", "obs_noise": 0.1, "obs_last_action": True},
            ),
            "two": Group(
                key="two",
                title="Group two",
                backend="matrix",
                maps=("matrix_1",),
                seeds=(1,),
                env_steps=10,
                eval_every=10,
                eval_episodes=1,
                presets={"mazero": "m", "vdn": "v", "qmix": "q"},
                algorithms=("first", "second", "third"),
                overrides={},
                thresholds=(0.5, 0.8, 0.95),
                env={},
            ),
        },
    )
    assert study.groups["one"].marks == (0, 100, 200, 300) and study.groups["two"].marks == (0, 10)
    without = {key: value for key, value in FULL.items() if key not in ("threads", "device")}
    study = make_study(tmp_path, without)
    assert (study.threads, study.device) == (1, "cpu")


def test_runs_presets_and_commands(tmp_path: Path) -> None:
    study = make_study(tmp_path, FULL)
    runs = list(study.runs())
    of_one = product(("3m", "8m"), ("first", "third", "fourth"), (7, 3))
    of_two = product(("matrix_1",), ("first", "second", "third"), (1,))
    assert runs == [
        *(Run("one", "skirmish", *rest) for rest in of_one),
        *(Run("two", "matrix", *rest) for rest in of_two),
    ]
    assert [study.preset(run) for run in runs] == ["small", "small", "large", "large", "own", "own"] * 2 + [*"mvq"]
    assert [run.path.as_posix() for run in runs[2:4]] == ["skirmish/3m/third/seed=7", "skirmish/3m/third/seed=3"]
    options = '--env game_version="4.10" --env obs_noise=0.1 --env obs_last_action=true'.split()
    fixed = "--env-steps 300 --eval-every 100 --eval-episodes 5 --device cuda".split()
    assert study.train_arguments(runs[0]) == [
        *"mazero train --map 3m --seed 7 --backend skirmish --preset small".split(),
        *fixed,
        *options,
        *'--set loss.awpo=false --set search.n=2.5 --set loss.name="3"'.split(),
    ]
    assert study.train_arguments(runs[9]) == [
        *"baselines train --algorithm qmix --map 8m --seed 3 --backend skirmish --preset large".split(),
        *fixed,
        *options,
        *"--set c=word --set a.b=null".split(),
    ]
    assert study.train_arguments(runs[11]) == [
        *"baselines train --algorithm qmix --map 8m --seed 3 --backend skirmish --preset own".split(),
        *fixed,
        *options,
        *"--set c=word".split(),
    ]
    assert study.train_arguments(runs[-2]) == (
        "baselines train --algorithm vdn --map matrix_1 --seed 1 --backend matrix --preset v"
        " --env-steps 10 --eval-every 10 --eval-episodes 1 --device cuda"
    ).split()  # fmt: skip


def test_other_backend_and_back(tmp_path: Path) -> None:
    """Only groups of StarCraft move, in both directions, and the name says where to."""
    study = make_study(tmp_path, FULL)
    there = study.on_backend("smac")
    assert (there.name, [group.backend for group in there.groups.values()]) == ("full_smac", ["smac", "matrix"])
    back = there.on_backend("skirmish")
    assert back.name == "full_smac_skirmish" and back.groups == study.groups
    assert there.on_backend("smac") is there and (there.algorithms, there.seeds) == (study.algorithms, study.seeds)
    document = study_document()
    del document["groups"]["smac"]
    alone = make_study(tmp_path, document)
    assert alone.on_backend("smac") is alone


SMAC = ("groups", "smac")
REFUSALS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (change("name", value="other"), "name: got 'other', expected 'toy', the name of the file"),
    (change("seeds", value=[4, 1, 0, 1, 4]), "seeds: 1, 4 given more than once; each may stand there once"),
    (change("seeds", value=[4, 4, 4]), "seeds: 4 given more than once; each may stand there once"),
    (
        change("algorithms", "qmix", "label", value="MAZero"),
        "algorithms: MAZero given more than once; each may stand there once",
    ),
    (
        change("algorithms", "qmix", value={"program": "baselines", "label": "QMIX"}),
        "algorithms.qmix: program baselines needs `algorithm`, for example `algorithm: qmix`",
    ),
    (
        change("algorithms", "mazero", "algorithm", value="mazero"),
        "algorithms.mazero: program mazero takes no `algorithm`; set its variants through `overrides`",
    ),
    (
        change(*SMAC, "maps", value=["3m", "8m", "3m"]),
        "groups.smac.maps: 3m given more than once; each may stand there once",
    ),
    (
        change(*SMAC, "algorithms", value=["mazero", "mazro"]),
        "groups.smac.algorithms: unknown algorithm 'mazro'; nearest: 'mazero'",
    ),
    (
        change(*SMAC, "algorithms", value=["x"]),
        "groups.smac.algorithms: unknown algorithm 'x'; known: mazero, no_awpo, qmix",
    ),
    (
        change(*SMAC, "presets", "qmxi", value="published"),
        "groups.smac.presets: unknown algorithm family 'qmxi'; nearest: 'qmix'",
    ),
    (
        change(*SMAC, "overrides", value={"no_awpo": {}}),
        "groups.smac.overrides: unknown algorithm family 'no_awpo'; known: mazero, qmix",
    ),
    (
        change("groups", "matrix", "presets", value={"qmix": "matrix"}),
        "groups.matrix.presets: no preset for 'mazero', which algorithm 'mazero' needs; add `mazero: PRESET`",
    ),
    (
        change("groups", "matrix", "seeds", value=[3, 1, 3]),
        "groups.matrix.seeds: 3 given more than once; each may stand there once",
    ),
    (
        change("algorithms", "qmix", "preset", value="low_data"),
        "groups.matrix.algorithms: 'qmix' brings its own preset 'low_data', which is not for backend 'matrix'; "
        "list the algorithms of this group without it",
    ),
    (
        change("algorithms", "no_awpo", "preset", value="matrix_long"),
        "groups.smac.algorithms: 'no_awpo' brings its own preset 'matrix_long', which is not for backend 'skirmish'; "
        "list the algorithms of this group without it",
    ),
    (
        change("algorithms", "qmix", "preset", value="../x"),
        "algorithms.qmix.preset: '../x' does not match '^[A-Za-z0-9][A-Za-z0-9_-]*$'",
    ),
    (
        change(*SMAC, "eval_every", value=401),
        "groups.smac: eval_every 401 exceeds env_steps 400; evaluate at least once",
    ),
    (
        change(*SMAC, "eval_every", value=150),
        "groups.smac: eval_every 150 does not divide env_steps 400; the last mark must be the budget",
    ),
    (
        change(*SMAC, "maps", value=["3m", "matrix_3"]),
        "groups.smac.maps: 3m, matrix_3 do not all belong to backend 'skirmish'; use one group per backend",
    ),
    (
        change("groups", "matrix", "maps", value=["matrix_3", "8m"]),
        "groups.matrix.maps: matrix_3, 8m do not all belong to backend 'matrix'; use one group per backend",
    ),
    (
        change(*SMAC, "maps", value=["matrix_3"]),
        "groups.smac.maps: matrix_3 do not all belong to backend 'skirmish'; use one group per backend",
    ),
    (
        change("groups", "matrix", "maps", value=["8m"]),
        "groups.matrix.maps: 8m do not all belong to backend 'matrix'; use one group per backend",
    ),
    (change("sees", value=[1]), "top level: unknown key 'sees'; nearest: 'seeds'"),
    (
        change("zzz", value=[1]),
        "top level: unknown key 'zzz'; known: name, description, reproduces, runs_of, seeds, threads, device, "
        "agent_costs, algorithms, groups",
    ),
    (change(*SMAC, "env_stepz", value=1), "groups.smac: unknown key 'env_stepz'; nearest: 'env_steps'"),
    (change("seeds", value=[0, True]), "seeds.1: True is not of type 'integer'"),
    (change(*SMAC, "env_steps", value=400.0), "groups.smac.env_steps: 400.0 is not of type 'integer'"),
]


@pytest.mark.parametrize(("fault", "message"), REFUSALS, ids=[message for _, message in REFUSALS])
def test_refusal_word_for_word(tmp_path: Path, fault: Callable[[dict[str, Any]], None], message: str) -> None:
    document = study_document()
    fault(document)
    path = write_study(tmp_path, document).rename(tmp_path / "toy.yaml")
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert str(caught.value) == f"{path}: {message}"


def test_what_is_just_allowed(tmp_path: Path) -> None:
    """One evaluation after the first, a family that some other group uses, the same map on two backends."""
    document = study_document()
    document["groups"]["smac"] |= {"eval_every": 400, "algorithms": ["qmix"]}
    document["groups"]["other"] = document["groups"]["smac"] | {"backend": "smac"}
    study = make_study(tmp_path, document)
    assert study.groups["smac"].marks == (0, 400) and study.groups["other"].maps == study.groups["smac"].maps


def test_a_preset_of_its_own_needs_none_of_its_family(tmp_path: Path) -> None:
    """Presets of matrix games in their group, others in the other; one algorithm without its own needs the family's."""
    document = study_document()
    document["algorithms"]["qmix"]["preset"] = "low_data"
    long = {"program": "baselines", "algorithm": "qmix", "label": "long", "preset": "matrix_long"}
    document["algorithms"]["qmix_long"] = long
    document["groups"]["smac"] |= {"presets": {"mazero": "laptop"}, "algorithms": ["mazero", "qmix"]}
    document["groups"]["matrix"] |= {"presets": {"mazero": "matrix"}, "algorithms": ["mazero", "qmix_long"]}
    study = make_study(tmp_path, document)
    presets = {(run.group, run.algorithm): study.preset(run) for run in study.runs()}
    assert presets == {
        ("smac", "mazero"): "laptop",
        ("smac", "qmix"): "low_data",
        ("matrix", "mazero"): "matrix",
        ("matrix", "qmix_long"): "matrix_long",
    }
    del document["algorithms"]["qmix"]["preset"]
    with pytest.raises(StudyError, match=r"groups\.smac\.presets: no preset for 'qmix', which algorithm 'qmix' needs"):
        make_study(tmp_path, document)


def test_names_of_rules_are_refused_word_for_word(tmp_path: Path) -> None:
    path = write_study(tmp_path, study_document("tables"))
    with pytest.raises(StudyError) as caught:
        load_study(path)
    wanted = "name: 'tables' is the name of a rule or folder of the workflow; give the study another"
    assert str(caught.value) == f"{path}: {wanted}"


def refusal(path: Path) -> str:
    with pytest.raises(StudyError) as caught:
        load_study(path)
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "toy.yaml"
    assert refusal(path) == f"{path}: no such study file; there are: none"
    for name in ("b.yaml", "a.yaml", "c.txt"):
        (tmp_path / name).touch()
    assert refusal(path) == f"{path}: no such study file; there are: a, b"
    path.write_bytes("name: é".encode("latin-1"))
    assert refusal(path) == f"{path}: not UTF-8 text (byte 6): save it as UTF-8"
    path.write_text("a:\n  b: 1\n  b: 2\n", encoding="utf-8")
    assert refusal(path) == (
        f"{path}: not valid YAML: key 'b' given twice in \"<unicode string>\", line 2, column 3: b: 1 ^"
    )
    path.write_text("seeds:\n  - [1\n", encoding="utf-8")
    assert refusal(path).startswith(f"{path}: not valid YAML: while parsing a flow sequence in ")
    path.write_text("- 1\n", encoding="utf-8")
    assert refusal(path) == f"{path}: top level: [1] is not of type 'object'"

    def unreadable(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", unreadable)
    assert refusal(path) == f"{path}: cannot be read (Permission denied)"


def test_studies_by_the_stem_of_their_file(tmp_path: Path) -> None:
    good = load_study(write_study(tmp_path, study_document()))
    (tmp_path / "broken.yaml").write_text("- 1\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("- 1\n", encoding="utf-8")
    studies, faults = load_studies(tmp_path)
    assert studies == {"toy": good}
    wanted = f"{tmp_path}/broken.yaml: top level: [1] is not of type 'object'"
    assert {name: str(error) for name, error in faults.items()} == {"broken": wanted}


def test_files_are_utf8_whatever_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Study, metrics and table hold texts beyond ASCII; a run that says ASCII is Python's own default here."""
    document = study_document()
    document["algorithms"]["mazero"]["label"] = "MAZéro"
    study = make_study(tmp_path, document)
    root = tmp_path / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    run = next(study.runs())
    (root / "plain.json").write_text('{"text": "é"}', encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")
        assert load_study(tmp_path / "toy.yaml") == study
        assert collect.read_json(root / "plain.json") == {"text": "é"}
        frame = collect.collect(study, root)
        collect.write(frame, root / "evaluations.csv")
        assert "MAZéro" in set(collect.read(root / "evaluations.csv", study)["label"])
        path = place(study, run, root) / "metrics.jsonl"
        path.write_text('{"kind": "run", "é": 1, "env_steps": 5}\n', encoding="utf-8")
        (path.parent / "done.json").write_text('["é"]', encoding="utf-8")
        assert progress.progress(study, root)[0].env_steps == 5
        with pytest.raises(StudyError, match=r"metrics\.jsonl:1: run record lacks 'identity'"):
            collect.read_evaluations(path)
