from __future__ import annotations

import json

import pytest
import yaml

from baselines import registry
from baselines.__main__ import run
from baselines.mappo.config import PpoConfig
from training.cli import main
from training.config import load_preset, to_dict
from training.metrics import read_records

TRAIN = ["train", "--preset", "matrix", "--seed", "0", "--progress", "none"]
PRESETS = registry.find("mappo").presets


@pytest.mark.parametrize("algorithm", ["mappo", "ippo"])
def test_game_4_is_solved_and_can_be_evaluated(tmp_path, capsys, algorithm):
    """Against a uniformly acting team mate the best answers of game 4 are the optimum, so gradients lead there."""
    command = [*TRAIN, "--algorithm", algorithm, "--map", "matrix_4", "--out", str(tmp_path / "run")]
    assert main(run, [*command, "--env-steps", "2400"]) == 0
    last = list(read_records(tmp_path / "run" / "metrics.jsonl", "eval"))[-1]
    assert last["return_mean"] == 100.0 and last["win_rate"] == 1.0
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert config["critic"]["input"] == {"mappo": "team_state", "ippo": "obs"}[algorithm]
    capsys.readouterr()
    assert main(run, ["evaluate", "--run", str(tmp_path / "run"), "--episodes", "3", "--seed", "7"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["return_mean"] == 100.0 and result["algorithm"] == algorithm


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--algorithm", "mapo"], "did you mean 'mappo'?"),
        (["--set", "network.kind=lstm"], "must be one of rnn, mlp, got 'lstm'"),
        (["--set", "critic.input=obs"], "use --algorithm ippo"),
        (["--set", "critic.input=agent_state"], "matrix_4 has none"),
        (["--set", "network.kind=rnn", "rollout.steps=15"], "chunk_length must divide rollout.steps (15), got 10"),
        (["--set", "learning.minibatches=1000"], "minibatches must be at most 80"),
        (["--set", "learning.clip=0"], "learning.clip must be positive, got 0"),
        (["--set", "maps.3m=1"], "unknown section 'maps'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys, change, message):
    out = tmp_path / "run"
    assert main(run, [*TRAIN, "--algorithm", "mappo", "--map", "matrix_4", "--out", str(out), *change]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("preset", ["published", "low_data", "matrix"])
def test_every_preset_names_every_setting(preset):
    config = to_dict(load_preset(PRESETS, preset, PpoConfig))
    written = yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())
    for section, settings in config.items():
        assert set(written[section]) == set(settings)


# kind, epochs, minibatches, clip, gain, frames
DEFAULT = ("rnn", 15, 1, 0.2, 0.01, 1)
PER_MAP = {
    **dict.fromkeys(["3m", "2m_vs_1z", "so_many_baneling", "2s_vs_1sc", "3s_vs_3z", "8m", "MMM", "2s3z"], DEFAULT),
    **dict.fromkeys(["6h_vs_8z", "matrix_1", None], DEFAULT),
    "3s_vs_4z": ("mlp", 15, 1, 0.2, 0.01, 4),
    "3s_vs_5z": ("mlp", 15, 1, 0.05, 0.01, 4),
    "5m_vs_6m": ("rnn", 10, 1, 0.05, 0.01, 1),
    "10m_vs_11m": ("rnn", 10, 1, 0.2, 0.01, 1),
    **dict.fromkeys(["2c_vs_64zg", "3s5z", "27m_vs_30m"], ("rnn", 5, 1, 0.2, 0.01, 1)),
    "corridor": ("mlp", 5, 1, 0.2, 0.01, 1),
    "MMM2": ("rnn", 5, 2, 0.2, 1.0, 1),
}


@pytest.mark.parametrize("name", PER_MAP)
def test_published_settings_by_map(name):
    config = load_preset(PRESETS, "published", PpoConfig, map_name=name)
    learning, network = config.learning, config.network
    got = (network.kind, learning.epochs, learning.minibatches, learning.clip, network.output_gain, network.frames)
    assert got == PER_MAP[name]
    assert (config.rollout.num_envs, config.rollout.steps) == (8, 400)
    assert set(yaml.safe_load((PRESETS / "published.yaml").read_text())["maps"]) <= set(PER_MAP)


def test_a_run_records_the_settings_of_its_map(tmp_path):
    out = tmp_path / "run"
    command = ["train", "--algorithm", "mappo", "--preset", "published", "--map", "3s_vs_5z", "--seed", "0"]
    command += ["--out", str(out), "--env-steps", "16", "--eval-episodes", "1", "--progress", "none"]
    assert main(run, [*command, "--set", "learning.epochs=3"]) == 0
    config = json.loads((out / "config.json").read_text())["config"]
    assert config["network"]["kind"] == "mlp" and config["network"]["frames"] == 4
    assert config["learning"]["clip"] == 0.05 and config["learning"]["epochs"] == 3
    assert config["critic"]["input"] == "agent_state"
