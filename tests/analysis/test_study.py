"""Study files: what is refused, in one line that names the fault, and what a good one means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import envs
from analysis.study import StudyError
from analysis.study_files import RESERVED, SCHEMA, STUDIES, load_studies, load_study
from skirmish import Rules
from tests.analysis.synthetic import make_study, study_document, write_study


def test_runs_are_every_map_algorithm_and_seed_in_the_order_of_the_file(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    paths = [run.path.as_posix() for run in study.runs()]
    assert len(paths) == (1 + 2) * 3 * 2
    assert paths[:3] == ["skirmish/3m/mazero/seed=0", "skirmish/3m/mazero/seed=1", "skirmish/3m/no_awpo/seed=0"]
    assert paths[-1] == "matrix/matrix_2/qmix/seed=1"
    assert study.reference == "mazero"
    assert study.groups["matrix"].marks == (0, 100, 200)
    assert study.groups["smac"].thresholds == (0.5, 0.8, 0.95)


def test_train_arguments_of_a_baseline_and_of_an_ablation(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    by_path = {run.path.as_posix(): " ".join(study.train_arguments(run)) for run in study.runs()}
    assert by_path["matrix/matrix_1/qmix/seed=1"] == (
        "baselines train --algorithm qmix --map matrix_1 --seed 1 --backend matrix --preset matrix"
        " --env-steps 200 --eval-every 100 --eval-episodes 8 --device cpu"
    )
    assert by_path["skirmish/3m/no_awpo/seed=0"].endswith("--device cpu --set replay.start=100 --set loss.awpo=false")


def test_an_evaluation_is_greedy_but_for_mamba(tmp_path: Path) -> None:
    document = study_document()
    study = make_study(tmp_path, document)
    (group,) = (group for group in study.groups.values() if group.backend == "skirmish")
    assert study.evaluation(group) == f"{group.eval_episodes} greedy episodes"
    drawn = next(group for group in load_study(STUDIES / "fig3.yaml").groups.values())
    text = load_study(STUDIES / "fig3.yaml").evaluation(drawn)
    assert text == f"{drawn.eval_episodes} greedy episodes (MAMBA: with drawn actions)"


def test_environment_options_of_a_group_reach_the_command(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["env"] = {"obs_noise": 0.1, "obs_last_action": True, "difficulty": "7"}
    study = make_study(tmp_path, document)
    by_path = {run.path.as_posix(): " ".join(study.train_arguments(run)) for run in study.runs()}
    wanted = '--device cpu --env obs_noise=0.1 --env obs_last_action=true --env difficulty="7" --set '
    assert by_path["skirmish/3m/no_awpo/seed=0"].endswith(f"{wanted}replay.start=100 --set loss.awpo=false")
    assert "--env " not in by_path["matrix/matrix_1/qmix/seed=1"]


def test_the_schema_knows_the_options_of_the_environments() -> None:
    known = set(envs.option_names("terran_5_vs_5")) | set(envs.option_names("matrix_1"))
    known |= set(envs.option_names("3m", backend="smac"))
    rules = {field.name for field in fields(Rules)}
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    # game_version is no field of SMAC's options there, it chooses the unit data.
    assert set(schema["$defs"]["env"]["properties"]) == known - rules | {"jitter_scale", "game_version"}


def test_overrides_of_a_group_give_way_to_those_of_the_algorithm(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["overrides"] = {"mazero": {"loss.awpo": True, "search.num_simulations": 25}}
    study = make_study(tmp_path, document)
    by_path = {run.path.as_posix(): study.overrides(run) for run in study.runs()}
    assert by_path["skirmish/3m/mazero/seed=0"] == {"loss.awpo": True, "search.num_simulations": 25}
    assert by_path["skirmish/3m/no_awpo/seed=0"] == {"loss.awpo": False, "search.num_simulations": 25}
    assert by_path["skirmish/3m/qmix/seed=0"] == {}
    assert by_path["matrix/matrix_1/mazero/seed=0"] == {"replay.start": 100}


def test_group_may_run_some_of_the_algorithms(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["matrix"]["algorithms"] = ["qmix", "mazero"]
    study = make_study(tmp_path, document)
    assert study.groups["matrix"].algorithms == ("mazero", "qmix")  # the order of the study
    assert len(list(study.runs())) == 3 * 2 + 2 * 2 * 2


def test_moving_to_another_backend_changes_name_and_path_but_not_the_matrix_games(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    moved = study.on_backend("smac")
    assert moved.name == "toy_smac"
    assert [group.backend for group in moved.groups.values()] == ["smac", "matrix"]
    assert study.on_backend("skirmish") == study
    with pytest.raises(StudyError, match="must be skirmish or smac, got 'matrix'"):
        study.on_backend("matrix")


def test_shipped_studies_load() -> None:
    studies, _ = load_studies(STUDIES)
    assert {"quickstart", "reference_3m", "matrix"} <= set(studies)
    assert studies["reference_3m"].groups["smac"].marks == tuple(range(0, 20_001, 1000))


def change(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(document: dict[str, Any]) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return apply


FAULTS = [
    (change("name", value="other"), "name: got 'other', expected 'toy'"),
    (change("sees", value=[1]), "top level: unknown key 'sees'; nearest: 'seeds'"),
    (change("seeds", value=[]), "seeds: "),
    (change("seeds", value=[0, 1, 0]), "seeds: 0 given more than once"),
    (change("seeds", value=[1.0]), "seeds.0: 1.0 is not of type 'integer'"),
    (change("seeds", value=[10**30]), "seeds.0: 1000000000000000000000000000000 is greater than the maximum"),
    (change("groups", "smac", "env_steps", value=100.0), "groups.smac.env_steps: 100.0 is not of type 'integer'"),
    (change("groups", "smac", "eval_episodes", value=True), "groups.smac.eval_episodes: True is not of type 'integer'"),
    (change("algorithms", "qmix", "label", value="a|b"), "algorithms.qmix.label: 'a|b' does not match"),
    (change("seeds", value=[-1]), "seeds.0: -1 is less than the minimum of 0"),
    (change("algorithms", "qmix", "label", value="MAZero"), "algorithms: MAZero given more than once"),
    (
        change("algorithms", "qmix", value={"program": "baselines", "label": "QMIX"}),
        "program baselines needs `algorithm`",
    ),
    (change("algorithms", "mazero", "algorithm", value="x"), "program mazero takes no `algorithm`"),
    (change("algorithms", "mazero", "program", value="pymarl"), "algorithms.mazero.program: 'pymarl' is not one of"),
    (change("algorithms", "no_awpo", "overrides", value={"Loss": 1}), "algorithms.no_awpo.overrides"),
    (change("groups", "smac", "backend", value="starcraft"), "groups.smac.backend: 'starcraft' is not one of"),
    (change("groups", "smac", "maps", value=["3m", "matrix_1"]), "use one group per backend"),
    (change("groups", "smac", "maps", value=["3m", "3m"]), "groups.smac.maps: 3m given more than once"),
    (change("groups", "smac", "eval_every", value=500), "eval_every 500 exceeds env_steps 400"),
    (change("groups", "smac", "eval_every", value=150), "eval_every 150 does not divide env_steps 400"),
    (change("groups", "smac", "eval_every", value=0), "groups.smac.eval_every: 0 is less than the minimum of 1"),
    (
        change("groups", "smac", "presets", value={"mazero": "laptop"}),
        "no preset for 'qmix', which algorithm 'qmix' needs",
    ),
    (
        change("groups", "smac", "presets", "qmxi", value="published"),
        "unknown algorithm family 'qmxi'; nearest: 'qmix'",
    ),
    (change("groups", "smac", "overrides", value={"qplex": {}}), "unknown algorithm family 'qplex'"),
    (change("groups", "smac", "algorithms", value=["mazro"]), "unknown algorithm 'mazro'; nearest: 'mazero'"),
    (change("groups", "smac", "thresholds", value=[1.5]), "groups.smac.thresholds.0: 1.5 is greater than the maximum"),
    (change("groups", "smac", "steps", value=1), "groups.smac: unknown key 'steps'"),
    (
        change("groups", "smac", "env", value={"obs_nose": 0.1}),
        "groups.smac.env: unknown key 'obs_nose'; nearest: 'obs_noise'",
    ),
    (change("groups", "smac", "env", value={"obs_dropout": 2}), "groups.smac.env.obs_dropout: 2 is greater than"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_fault_is_named_in_one_line(tmp_path: Path, fault: Callable[[dict[str, Any]], None], message: str) -> None:
    document = study_document()
    fault(document)
    path = write_study(tmp_path, document).rename(tmp_path / "toy.yaml")
    with pytest.raises(StudyError) as caught:
        load_study(path)
    text = str(caught.value)
    assert message in text
    assert text.startswith(str(path)) and "\n" not in text


def test_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = write_study(tmp_path, study_document())
    path.write_text(path.read_text(encoding="utf-8") + "seeds: [5]\n", encoding="utf-8")
    with pytest.raises(StudyError, match="key 'seeds' given twice"):
        load_study(path)


@pytest.mark.parametrize("name", RESERVED)
def test_a_study_is_not_called_like_a_rule(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match=f"'{name}' is the name of a rule or folder of the workflow"):
        load_study(write_study(tmp_path, study_document(name)))


def test_a_wrong_file_leaves_the_others_readable(tmp_path: Path) -> None:
    write_study(tmp_path, study_document())
    (tmp_path / "draft.yaml").write_text("a: [", encoding="utf-8")
    (tmp_path / "folder.yaml").mkdir()
    studies, faults = load_studies(tmp_path)
    assert list(studies) == ["toy"] and sorted(faults) == ["draft", "folder"]


def test_missing_and_broken_files(tmp_path: Path) -> None:
    write_study(tmp_path, study_document())
    with pytest.raises(StudyError, match="no such study file; there are: toy"):
        load_study(tmp_path / "tyo.yaml")
    (tmp_path / "toy.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(StudyError, match="not valid YAML"):
        load_study(tmp_path / "toy.yaml")
    with pytest.raises(StudyError, match="no study file"):
        load_studies(tmp_path / "nowhere")


def test_studies_beside_real_runs_use_pymarl_protocol_and_its_game_version() -> None:
    studies, _ = load_studies()
    group = studies["real_value_based"].groups["maps"]
    assert {"2s3z", "2s_vs_1sc", "1c3s5z", "5m_vs_6m", "2c_vs_64zg"} == set(group.maps)
    assert group.env_steps >= 500_000 and group.eval_every == 10_000 and group.eval_episodes == 32
    assert group.env == {"game_version": "4.6.2"} and set(group.presets.values()) == {"published"}
    easy = studies["real_easy"]
    assert {name for item in easy.groups.values() for name in item.maps} == {
        "3m",
        "2m_vs_1z",
        "2s_vs_1sc",
        "so_many_baneling",
    }
    assert easy.groups["zealot"].algorithms == ("mappo", "qmix") and easy.groups["easy"].algorithms == ("mappo",)


@pytest.mark.parametrize("name", ["quickstart", "reference_3m", "easy_maps"])
def test_small_budgets_show_qmix_as_published_and_with_settings_for_little_data(name: str) -> None:
    study = load_study(STUDIES / f"{name}.yaml")
    shown = {"qmix": ("published", "QMIX (published)"), "qmix_low_data": ("low_data", "QMIX (low data)")}
    runs = [run for run in study.runs() if run.backend == "skirmish"]
    assert set(shown) <= {run.algorithm for run in runs}
    for run in runs:
        label = study.algorithms[run.algorithm].label
        assert (study.preset(run), label) == shown.get(run.algorithm, ("laptop", label))


def test_easy_maps_is_evaluated_where_others_give_figures() -> None:
    groups = load_study(STUDIES / "easy_maps.yaml").groups
    assert {10_000, 20_000, 25_000, 50_000} <= set(groups["easy"].marks)
    assert {20_000, 100_000} <= set(groups["two_stalkers"].marks) and 200_000 in groups["hard"].marks
    assert [len(group.seeds) for group in groups.values()] == [5, 5, 3]


def test_a_game_version_is_a_text_on_its_way_to_training(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["env"] = {"game_version": 4.10}
    with pytest.raises(StudyError, match="game_version"):
        make_study(tmp_path, document)
    document["groups"]["smac"]["env"] = {"game_version": "4.10"}
    study = make_study(tmp_path, document)
    assert '--env game_version="4.10"' in " ".join(study.train_arguments(next(study.runs())))
