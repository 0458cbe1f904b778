from __future__ import annotations

import json

import pytest

from baselines.__main__ import run
from training.cli import main
from training.metrics import read_records

TRAIN = ["train", "--algorithm", "qmix", "--preset", "matrix", "--seed", "0", "--progress", "none"]


def test_monotonic_matrix_game_is_solved_and_can_be_evaluated(tmp_path, capsys):
    """Game 4 (best pay-off 10) has a best joint action that greedy individual values find; 1 500 steps are enough."""
    command = [*TRAIN, "--map", "matrix_4", "--out", str(tmp_path / "run"), "--env-steps", "1500"]
    assert main(run, command) == 0
    last = list(read_records(tmp_path / "run" / "metrics.jsonl", "eval"))[-1]
    assert last["return_mean"] == 100.0 and last["win_rate"] == 1.0 and last["mark"] == 1500
    capsys.readouterr()
    assert main(run, ["evaluate", "--run", str(tmp_path / "run"), "--episodes", "3", "--seed", "7"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["return_mean"] == 100.0 and result["num_episodes"] == 3 and result["algorithm"] == "qmix"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--algorithm", "qmx"], "did you mean 'qmix'?"),
        (["--preset", "publisht"], "did you mean 'published'?"),
        (["--set", "learning.gama=0.9"], "did you mean 'gamma'?"),
        (["--set", "mixer.hypernet_layers=3"], "must be 1 or 2, got 3"),
        (["--set", "learning.start_episodes=8"], "start_episodes must lie between batch_episodes (32)"),
        (["--set", "rollout.timeout=never"], "must be one of terminal, bootstrap, got 'never'"),
        (["--set", "rollout.num_envs=0"], "rollout.num_envs must be at least 1, got 0"),
        (["--map", "matrix_9"], "unknown environment 'matrix_9'"),
        (["--env", "reward_scal=2"], "did you mean 'reward_scale'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, change, message):
    out = tmp_path / "run"
    assert main(run, [*TRAIN, "--map", "matrix_4", "--out", str(out), *change]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


def test_environment_options_are_recorded_and_can_be_changed_for_evaluation(tmp_path, capsys):
    out = tmp_path / "run"
    command = [*TRAIN, "--map", "3m", "--preset", "low_data", "--out", str(out), "--env-steps", "80"]
    command += ["--eval-every", "80", "--eval-episodes", "2", "--env", "sight_scale=0.5", "jitter_scale=0"]
    assert main(run, command) == 0
    assert json.loads((out / "config.json").read_text())["env"] == {"sight_scale": 0.5, "jitter_scale": 0}
    capsys.readouterr()
    evaluate = ["evaluate", "--run", str(out), "--episodes", "2"]
    assert main(run, [*evaluate, "--env", "sight_scale=1.0"]) == 0
    assert json.loads(capsys.readouterr().out)["env"] == {"sight_scale": 1.0, "jitter_scale": 0}
    assert main(run, [*evaluate, "--env", "obs_timestep_number=true"]) == 2
    assert "obs_size must be 30 as in training, got 32" in capsys.readouterr().err


VALUE_BASED = ("iql", "vdn", "qmix", "qplex", "cds")
MORE = {"qplex": ("mixer",), "cds": ("mixer", "diversity", "predictor")}


@pytest.mark.parametrize("preset", ["published", "low_data", "matrix"])
@pytest.mark.parametrize("name", VALUE_BASED)
def test_every_preset_names_every_shared_setting(name, preset):
    import yaml

    from baselines import registry
    from training.config import load_preset, to_dict

    algorithm = registry.find(name)
    config = to_dict(load_preset(algorithm.presets, preset, algorithm.config))
    written = yaml.safe_load((algorithm.presets / f"{preset}.yaml").read_text())
    for section in ("rollout", "agent", "learning", *MORE.get(name, ())):
        assert set(written[section]) == set(config[section])


@pytest.mark.parametrize(
    ("name", "preset"), [(name, "low_data") for name in VALUE_BASED] + [("qplex", "published"), ("cds", "published")]
)
def test_every_algorithm_trains_on_3m_and_its_checkpoint_plays(tmp_path, capsys, name, preset):
    out = tmp_path / "run"
    command = ["train", "--algorithm", name, "--map", "3m", "--preset", preset, "--seed", "0", "--out", str(out)]
    command += ["--env-steps", "400", "--eval-every", "400", "--eval-episodes", "2", "--progress", "none"]
    command += ["--set", "learning.batch_episodes=2", "learning.start_episodes=2"]
    assert main(run, command) == 0
    done = json.loads((out / "done.json").read_text())
    assert done["updates"] > 0 and json.loads((out / "config.json").read_text())["algorithm"] == name
    capsys.readouterr()
    assert main(run, ["evaluate", "--run", str(out), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["num_episodes"] == 2


def test_evaluate_refuses_what_is_no_run(tmp_path, capsys):
    assert main(run, ["evaluate", "--run", str(tmp_path / "nothing")]) == 2
    assert "is not a run directory" in capsys.readouterr().err
