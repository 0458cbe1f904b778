"""Command line: bad input is one line, exit code 2, and nothing is written; a run leaves its files."""

import json

import pytest

from analysis.study_files import STUDIES, load_study
from mazero.bench.flops import multiply_adds
from mazero.bench.search_speed import search_line
from mazero.bench.update_speed import update_anchors, update_line
from mazero.cli import run
from mazero.networks import MAZeroNetwork, NetworkConfig
from tests.mazero.tiny import TINY
from training.cli import main


def train(tmp_path, *flags):
    return main(run, ["train", "--map", "matrix_1", "--seed", "0", "--out", str(tmp_path / "run"), *flags])


def contents(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


SMALL = ["--preset", "matrix", "--env-steps", "80", "--eval-every", "40", "--eval-episodes", "2", "--set", *TINY]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--map", "3mm"], "3m"),
        (["--backend", "skirmisch"], "skirmish"),
        (["--preset", "labtop"], "laptop"),
        (["--set", "search.rho=1.0"], "rho must lie in [0, 1), got 1.0"),
        (["--set", "search.num_sampled_actions=0"], "num_sampled_actions must be"),
        (["--set", "search.nmu_simulations=3"], "did you mean 'num_simulations'"),
        (["--env-steps", "0"], "env_steps must be at least 1"),
        (["--env-steps", "400"], "env-steps must reach the step at which learning starts, 500, got 400"),
        (["--eval-every", "0"], "eval_every must lie in 1..env_steps"),
        (["--checkpoint-every", "nan"], "checkpoint_seconds must be positive and finite, got nan"),
        (["--set", "search.rho=["], "value of 'search.rho=[' is not valid YAML"),
        (["--set", "search.rho=.nan"], "value of 'search.rho=.nan' must be finite, got nan"),
        (["--set", "optimiser.learning_rate=1e999"], "must be finite, got inf"),
        (["--env", "obs_noise=.inf"], "value of 'obs_noise=.inf' must be finite, got inf"),
        (["--seed", str(10**30)], "seed must be an integer in 0..2**63 - 1"),
        (["--env-steps", "100", "--eval-every", "101"], "eval_every must lie in 1..env_steps"),
        (["--threads", "0"], "threads must lie in 1.."),
        (["--seed", "-1"], "seed must be"),
        (["--device", "cuda:7"], "use --device cpu"),
        (["--env", "obs_nose=0.1"], "unknown environment option 'obs_nose'"),
        (["--env", "obs_nose=0.1"], "did you mean 'obs_noise'?"),
        (["--env", "seed=3"], "unknown environment option 'seed'"),
        (["--env", "obs_noise"], "is not of the form key=value"),
        (["--env", "obs_noise="], "is not of the form key=value"),
        (["--env", "obs_noise=[1"], "is not valid YAML"),
        (["--env", "obs_dropout=2"], "obs_dropout must lie in [0, 1], got 2"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, flags, message):
    assert train(tmp_path, *flags) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and message in err
    assert not (tmp_path / "run").exists()


def test_a_run_leaves_its_files_and_can_be_evaluated(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--progress", "lines") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "win" in line]) == 4  # at 0, 40 and 80; the best policy again
    out = tmp_path / "run"
    names = {p.name for p in out.iterdir()}
    assert names >= {"config.json", "provenance.json", "metrics.jsonl", "checkpoint.pt", "done.json"}
    assert json.loads((out / "provenance.json").read_text())["sessions"][0]["backend"] == "matrix"
    assert main(run, ["evaluate", "--run", str(out), "--episodes", "3", "--seed", "4"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["num_episodes"] == 3 and answer["map"] == "matrix_1" and answer["search"] is True


def test_environment_options_reach_training_and_evaluation_and_are_recorded(tmp_path, capsys):
    options = ["--env", "action_failure=0.5", "reward_scale=0.1", "--env", "action_failure=1.0"]
    assert train(tmp_path, *SMALL, *options, "--progress", "none") == 0
    out = tmp_path / "run"
    assert json.loads((out / "config.json").read_text())["env"] == {"action_failure": 1.0, "reward_scale": 0.1}
    # Whatever is chosen, uniformly random actions are played: nobody wins, and 10 steps pay less than -1 in the mean.
    evals = [record for record in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "mark" in record]
    assert all(record["win_rate"] == 0 and abs(record["return_mean"]) <= 12 for record in evals)
    assert len({record["return_mean"] for record in evals}) == len(evals)
    capsys.readouterr()
    command = ["evaluate", "--run", str(out), "--episodes", "2"]
    answers = []
    for change in ([], ["--env", "action_failure=0.0"], ["--env", "action_failure=0.0", "reward_scale=1.0"]):
        assert main(run, [*command, *change]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0]["env"] == {"action_failure": 1.0, "reward_scale": 0.1}
    assert answers[1]["env"] == {"action_failure": 0.0, "reward_scale": 0.1}
    assert answers[2]["return_mean"] == pytest.approx(10 * answers[1]["return_mean"])
    assert main(run, [*command, "--env", "obs_nose=1"]) == 2
    assert "did you mean 'obs_noise'" in capsys.readouterr().err


def test_a_run_without_options_is_recorded_as_before_and_options_make_another_run(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--stop-at", "40", "--progress", "none") == 0
    assert "env" not in json.loads((tmp_path / "run" / "config.json").read_text())
    assert train(tmp_path, *SMALL, "--env", "obs_noise=0.1") == 2
    assert "env.obs_noise: 'absent' there, 0.1 here" in capsys.readouterr().err


def test_another_config_is_refused_and_nothing_is_overwritten(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--stop-at", "40", "--progress", "none") == 0
    before = contents(tmp_path / "run")
    assert train(tmp_path, *SMALL, "loss.awpo=false") == 2
    assert "config.loss.awpo: True there, False here" in capsys.readouterr().err
    assert contents(tmp_path / "run") == before


def test_a_corrupt_checkpoint_is_refused_and_nothing_is_overwritten(tmp_path, capsys):
    assert train(tmp_path, *SMALL, "--stop-at", "40", "--progress", "none") == 0
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"garbage")
    before = contents(tmp_path / "run")
    assert train(tmp_path, *SMALL) == 2
    assert "corrupt" in capsys.readouterr().err
    assert contents(tmp_path / "run") == before


def test_an_unwritable_output_directory_is_refused(tmp_path, capsys):
    (tmp_path / "run").write_text("a file, not a directory")
    assert train(tmp_path, *SMALL) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "run").read_text() == "a file, not a directory"


def test_tensorboard_events_are_written_on_request(tmp_path):
    assert train(tmp_path, *SMALL, "--progress", "none", "--tensorboard") == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_a_stopped_run_with_perturbations_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    options = ["--env", "action_failure=0.3", "obs_noise=0.1", "--progress", "none"]
    assert train(tmp_path / "whole", *SMALL, *options) == 0
    assert train(tmp_path / "parts", *SMALL, *options, "--stop-at", "40") == 0
    assert train(tmp_path / "parts", *SMALL, *options) == 0
    records = []
    for name in ("whole", "parts"):
        lines = (tmp_path / name / "run" / "metrics.jsonl").read_text().splitlines()
        records.append([{k: v for k, v in json.loads(line).items() if not k.endswith("seconds")} for line in lines])
    assert records[0] == records[1] and len(records[0]) >= 3


BENCH = ["bench", "--map", "3m", "--preset", "laptop", "--repeats", "1", "--num-simulations", "4", "--set",
         "network.hidden_size=8", "network.mlp_sizes=[8]", "network.attention_heads=2", "optimiser.batch_size=4",
         "self_play.num_envs=2"]  # fmt: skip


def test_bench_writes_what_it_prints(tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert main(run, [*BENCH, "--batch", "2", "17", "--json", str(out)]) == 0
    record = json.loads(out.read_text())
    assert [row["batch"] for row in record["search"]] == [2, 17]
    for row in record["search"]:
        assert row["simulations_per_second"] == pytest.approx(row["batch"] * 4 / row["seconds"])
        assert sum(row["share"].values()) == pytest.approx(1.0)
        assert "anchor_simulations_per_second" not in row  # nobody measured the authors' code at N = 4
        assert row["eager_simulations_per_second"] > 0
    update = record["update"]
    assert set(update["seconds"]) == {"self_play", "inference", "tree", "glue", "targets", "loss", "backward"}
    assert sum(update["seconds"].values()) == pytest.approx(1 / update["updates_per_second"])
    assert update["updates_per_second"] > 0 and sum(update["share"].values()) == pytest.approx(1.0)
    assert update["roots_searched"] <= 4 * 6
    assert record["provenance"]["threads"] == 1 and record["speed_of_machine"]["matmul_gflops"] > 0
    printed = capsys.readouterr().out
    assert printed.count("search ") == 2 and printed.count("update ") == 1
    assert printed.count("x the eager network here") == 2


def test_warm_up_plays_every_kind_of_map_of_the_quickstart(capsys):
    """Matrix games have returns beyond the support of the preset that the warm-up uses."""
    study = load_study(STUDIES / "quickstart.yaml")
    maps = [name for group in study.groups.values() for name in group.maps]
    assert {"3m", "matrix_1"} <= {*maps}
    assert main(run, ["warmup", *(word for name in maps for word in ("--map", name))]) == 0, capsys.readouterr().err


def test_figures_of_another_machine_are_told_without_a_ratio():
    row = {"map": "3m", "batch": 4, "num_simulations": 100, "num_sampled_actions": 10, "simulations_per_second": 2090.0,
           "share": {"tree": 1.0}, "inference_gflops": 1.0, "anchor_simulations_per_second": 1045}  # fmt: skip
    line = search_line(row)
    assert "authors' code, 2-core Xeon 2.5 GHz: 1,045/s" in line and " x " not in line
    row = {"map": "3m", "num_simulations": 50, "batch": 256, "updates_per_env_step": 0.5, "target_seconds": 3.75,
           "optimisation_step_seconds": 0.23, "updates_per_second": 0.2, "env_steps_per_second": 0.4,
           "share": {"targets": 1.0}}  # fmt: skip
    line = update_line(row | update_anchors(row))
    assert "2-core Xeon 2.5 GHz: targets 7.50 s, step 0.46 s, all 8.08 s" in line and " x " not in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch", "0"], "--batch takes positive integers, got 0"),
        (["--repeats", "0"], "--repeats must be at least 1"),
        (["--end-to-end", "0"], "--end-to-end takes a budget of at least 1 environment step, got 0"),
        (["--map", "3mm"], "an update is measured on one map"),
        (["--map", "3mm", "--only", "search"], "3m"),
        (["--num-simulations", "4", "8"], "4, 8: give one of each, or --only search"),
        (["--json", "nowhere/bench.json"], "--json needs an existing folder"),
    ],
)
def test_bench_refuses_bad_input(tmp_path, capsys, flags, message):
    assert main(run, [*BENCH, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_multiply_adds_by_hand():
    """H = 8, one attention layer, n = 3, A = 9, one hidden layer of 8, heads of 32, 11 atoms."""
    network = MAZeroNetwork(
        NetworkConfig(hidden_size=8, mlp_sizes=(8,), attention_layers=1, attention_heads=2),
        obs_size=5, n_agents=3, n_actions=9,
    )  # fmt: skip
    per_agent = 8 * 8 + (6 * 8 * 8 + 2 * 3 * 8) + (16 * 8 + 8 * 8) + (8 * 32 + 32 * 9)
    assert multiply_adds(network) == 3 * per_agent + 2 * (3 * 8 * 32 + 32 * 11)
