"""What each command does with each of its flags, in process and compared as a whole."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import envs
from mazero import bench, cli
from mazero.config import PRESETS, MAZeroConfig
from mazero.inference import make_model
from mazero.learner import MAZeroLearner
from mazero.networks import MAZeroNetwork
from mazero.selfplay import NetworkPolicy, SearchPolicy
from skirmish.pictures.watch import Shooting
from tests.mazero.tiny import TINY
from training import checkpoint
from training.config import apply_overrides, from_dict, load_preset
from training.errors import UserError
from training.evaluation import evaluate
from training.identity import run_key

TRAIN = ["train", "--map", "3m", "--seed", "7", "--env-steps", "80", "--env", "reward_scale_rate=10", "--set", *TINY]


def write_run(path, argv=TRAIN):
    """A run directory as training leaves it, with a network that prefers some actions. Returns: network, config."""
    record = cli.record_of([*argv, "--out", str(path)])
    config = from_dict(MAZeroConfig, record["config"])
    info = envs.make(record["map"], observation=config.self_play.observation).info
    torch.manual_seed(6)
    network = MAZeroNetwork(config.network, obs_size=info.obs_size, n_agents=info.n_agents, n_actions=info.n_actions)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    path.mkdir()
    (path / "config.json").write_text(json.dumps(record))
    checkpoint.save(path / "checkpoint.pt", {"run": run_key(record), "learner": {"network": network.state_dict()}})
    return network.eval(), config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return path, *write_run(path)


CHANGES = {"num_sampled_actions": 2, "pb_c_init": 0}


def played(network, config, *, seed, episodes, simulations=None, search=True, changes=None, **options):
    """The result of greedy episodes, put together by hand."""
    env = envs.make("3m", num_envs=episodes, observation="mazero", **options)
    model, config = make_model(network, config.inference), config.evaluated()
    config = dataclasses.replace(config, search=dataclasses.replace(config.search, **changes or {}))
    rng = np.random.default_rng(seed)
    policy = (
        SearchPolicy(model, config, rng=rng, num_simulations=simulations) if search else NetworkPolicy(model, config)
    )
    return evaluate(policy, env, seed=seed)


def answer(capsys, *argv):
    assert cli.run([*argv]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_where_there_is_an_average_of_the_weights_it_plays(tmp_path, capsys):
    network, config = write_run(tmp_path / "run")
    saved = checkpoint.load(tmp_path / "run" / "checkpoint.pt", run=None)
    other = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    saved["learner"] = {"network": other, "average": network.state_dict()}
    checkpoint.save(tmp_path / "run" / "checkpoint.pt", saved)
    found = answer(capsys, "evaluate", "--run", str(tmp_path / "run"), "--episodes", "5", "--seed", "4")
    wanted = played(network, config, seed=4, episodes=5, reward_scale_rate=10)
    assert {name: found[name] for name in wanted} == wanted


def test_evaluate_prints_the_whole_result_and_every_flag_matters(trained, capsys, monkeypatch):
    path, network, config = trained
    made, make_env = [], cli.make_env

    def recorded(*arguments, **how):
        made.append((*arguments, how))
        return make_env(*arguments, **how)

    monkeypatch.setattr(cli, "make_env", recorded)
    changed = {"reward_scale_rate": 20, "obs_noise": 0.5}
    five = ["--episodes", "5", "--seed", "5"]
    cases = [
        ([], {"seed": 0, "episodes": 32}),
        (five, {"seed": 5, "episodes": 5}),
        ([*five, "--num-simulations", "1"], {"seed": 5, "episodes": 5, "simulations": 1}),
        ([*five, "--no-search"], {"seed": 5, "episodes": 5, "search": False}),
        ([*five, "--search", "num_sampled_actions=2", "pb_c_init=0"], {"seed": 5, "episodes": 5, "changes": CHANGES}),
        (["--episodes", "1", "--env", "reward_scale_rate=20", "obs_noise=0.5"], {"seed": 0, "episodes": 1, **changed}),
    ]
    returns = []
    for flags, settings in cases:
        found = answer(capsys, "evaluate", "--run", str(path), *flags)
        options = changed if "obs_noise" in settings else {"reward_scale_rate": 10}
        head = {"run": str(path), "backend": "skirmish", "map": "3m", "env": options, "unit_data": "4.10"}
        head["search"] = "--no-search" not in flags
        if "--search" in flags:
            head["search_settings"] = ["num_sampled_actions=2", "pb_c_init=0"]
        expected = head | played(network, config, **settings | options)
        assert found == expected and list(found) == list(expected)
        how = {"backend": "skirmish", "num_envs": settings["episodes"], "observation": "mazero"}
        assert made.pop() == ("3m", options, how) and not made
        returns.append(found["return_mean"])
    assert len({*returns}) == len(cases), returns


def test_watch_films_the_trained_policy_in_one_slot(trained, capsys, monkeypatch):
    path, network, config = trained
    told = []

    def film(policy, env, how, **rest):
        told.append((type(policy), env.num_envs, env.info.observation, how, rest, evaluate(policy, env, seed=how.seed)))
        return "two films"

    monkeypatch.setattr(cli, "film_policy", film)
    command = ["watch", "--run", str(path), "--out", str(path / "a.gif"), "--out", str(path / "b.gif")]
    assert cli.run(command) == 0
    assert cli.run([*command, "--seed", "2", "--episodes", "2", "--num-simulations", "3", "--agent", "1"]) == 0
    assert cli.run([*command, "--no-search", "--env", "reward_scale_rate=20"]) == 0
    assert capsys.readouterr().out == "two films\n" * 3
    how, one = Shooting(out=(path / "a.gif", path / "b.gif")), {"episodes": 1, "reward_scale_rate": 10}
    other = dataclasses.replace(how, seed=2, episodes=2, agent=1)
    assert told == [
        (SearchPolicy, 1, "mazero", how, {"who": "MAZero"}, played(network, config, seed=0, **one)),
        (SearchPolicy, 1, "mazero", other, {"who": "MAZero"}, played(network, config, seed=2, simulations=3, **one)),
        (NetworkPolicy, 1, "mazero", how, {"who": "MAZero"}, played(network, config, seed=0, episodes=1, search=False)),
    ]


def test_what_cannot_be_filmed_is_told_before_anything_is_loaded(trained, tmp_path):
    write_run(tmp_path / "run", ["train", "--map", "matrix_1", "--seed", "7", "--env-steps", "80", "--set", *TINY])
    (tmp_path / "run" / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match="only runs of the backend skirmish can be filmed, got one of matrix"):
        cli.run(["watch", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "a.gif")])
    with pytest.raises(UserError, match="agent must"):
        cli.run(["watch", "--run", str(trained[0]), "--out", str(tmp_path / "a.gif"), "--agent", "3"])


@pytest.mark.parametrize("command", [["evaluate"], ["watch", "--out", "a.gif"]])
def test_playing_sets_up_threads_and_device_before_it_reads(monkeypatch, tmp_path, command):
    told = []
    monkeypatch.setattr(cli, "set_up_process", lambda threads: told.append(threads))
    monkeypatch.setattr(cli, "check_device", lambda device: told.append(device))
    run = ["--run", str(tmp_path / "none")]
    for flags in ([], ["--threads", "3", "--device", "cuda:1", "--num-simulations", "1"]):
        with pytest.raises(UserError, match="is not a run directory"):
            cli.run([*command, *run, *flags])
    assert told == [1, "cpu", 3, "cuda:1"]
    with pytest.raises(UserError) as error:
        cli.run([*command, *run, "--num-simulations", "0"])
    assert str(error.value) == "num-simulations must be at least 1, got 0: --no-search plays without"


def test_a_run_of_another_program_is_sent_there(tmp_path):
    write_run(tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"program": "baselines"}))
    with pytest.raises(UserError) as error:
        cli.run(["evaluate", "--run", str(tmp_path / "run")])
    assert str(error.value) == f"{tmp_path}/run is a run of baselines: use python -m baselines evaluate"


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    write_run(tmp_path / "run")
    file = tmp_path / "run" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seed": 8}))
    with pytest.raises(UserError, match=r"must be one of run .*'seed': 8}, got one of .*'seed': 7}"):
        cli.run(["evaluate", "--run", str(tmp_path / "run")])


def test_a_network_is_played_on_the_device_of_the_flag(tmp_path, monkeypatch):
    """The fused kernels say where they found the network."""
    monkeypatch.setattr(cli, "check_device", lambda device: None)
    write_run(tmp_path / "run", [*TRAIN, "inference.backend=fused"])
    with pytest.raises(ValueError, match=r"inference.backend fused runs on the CPU, got device meta"):
        cli.run(["evaluate", "--run", str(tmp_path / "run"), "--device", "meta"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--episodes", "0"], "episodes must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be a non-negative integer, got -1"),
    ],
)
def test_numbers_of_episodes_and_seeds_are_checked(trained, flags, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        cli.run(["evaluate", "--run", str(trained[0]), *flags])


def config_of(*overrides, preset):
    return apply_overrides(load_preset(PRESETS, preset, MAZeroConfig), [*overrides])


@pytest.mark.parametrize("preset", [None, "paper"])
def test_train_hands_on_the_resolved_settings_and_the_budget(monkeypatch, preset):
    told = []

    def run_train(arguments, **rest):
        told.append((arguments, rest))
        return 5

    monkeypatch.setattr(cli, "run_train", run_train)
    argv = ["train", "--map", "8m", "--seed", "3", "--out", "runs/a", "--env-steps", "4000", "--set", "replay.start=77"]
    assert cli.run([*argv, *([] if preset is None else ["--preset", preset]), "--set", "search.rho=0.5"]) == 5
    ((arguments, rest),) = told
    make = rest.pop("make_learner")
    assert (make.func, make.args, make.keywords) == (MAZeroLearner, (), {"env_steps": 4000})
    config = config_of("replay.start=77", "search.rho=0.5", preset=preset or "laptop")
    assert rest == {"program": "mazero", "algorithm": "mazero", "config": config, "start": 77}
    assert (arguments.map, arguments.seed, arguments.out, arguments.env_steps) == ("8m", 3, Path("runs/a"), 4000)
    assert arguments.overrides == [["replay.start=77"], ["search.rho=0.5"]]


def test_the_record_is_the_config_json_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("training.cli.train", lambda *_: 0)
    argv = ["train", "--map", "matrix_1", "--seed", "0", "--out", str(tmp_path / "run"), "--preset", "matrix",
            "--env-steps", "80", "--eval-every", "40", "--eval-episodes", "2", "--set", *TINY]  # fmt: skip
    record = cli.record_of(argv)
    assert cli.run(argv) == 0
    assert json.loads(json.dumps(record)) == json.loads((tmp_path / "run" / "config.json").read_text())
    assert (record["program"], record["algorithm"], record["preset"]) == ("mazero", "mazero", "matrix")
    assert from_dict(MAZeroConfig, record["config"]) == config_of(*TINY, preset="matrix")
    with pytest.raises(UserError, match="env-steps must reach the step at which learning starts, 81, got 80"):
        cli.record_of([*argv, "--set", "replay.start=81"])


def test_warm_up_trains_a_little_on_every_map_and_keeps_nothing(monkeypatch):
    told = []

    def run_train(arguments, *, config, **_):
        arguments.out.mkdir()
        told.append((arguments, config))
        return 0

    monkeypatch.setattr(cli, "run_train", run_train)
    assert cli.run(["warmup", "--map", "3m", "--map", "matrix_1"]) == 0
    assert [arguments.map for arguments, _ in told] == ["3m", "matrix_1"]
    for arguments, config in told:
        assert arguments.out.name == "run" and not arguments.out.parent.exists()
        flags = vars(arguments)
        assert (flags["seed"], flags["preset"], flags["device"], flags["threads"]) == (0, "laptop", "cpu", 1)
        # One evaluation at the end, of two episodes: several roots in a chunk, as everywhere.
        assert (flags["env_steps"], flags["eval_every"], flags["eval_episodes"]) == (64, 64, 2)
        assert (flags["progress"], flags["stop_at"], flags["env"], flags["backend"]) == ("none", None, [], None)
        assert config == config_of(
            "self_play.num_envs=4", "replay.start=16", "search.num_simulations=4", "optimiser.batch_size=4",
            "optimiser.updates_per_env_step=0.05", "network.support=50", preset="laptop",
        )  # fmt: skip
    assert told[0][0].out != told[1][0].out


def test_bench_gets_its_flags(monkeypatch):
    told = []

    def bench_run(arguments):
        told.append((arguments.command, arguments.map, arguments.batch, arguments.only))
        return 4

    monkeypatch.setattr(bench, "run", bench_run)
    assert cli.run(["bench", "--map", "3m", "--batch", "2", "--only", "search"]) == 4
    assert told == [("bench", ["3m"], [2], ["search"])]


HELP = """\
usage: python -m mazero [-h] {train,evaluate,watch,diagnose,warmup,bench} ...

`python -m mazero train | evaluate | watch | diagnose | bench | warmup`.

positional arguments:
  {train,evaluate,watch,diagnose,warmup,bench}
    train               train MAZero, or continue a run
    evaluate            play a trained run greedily; prints JSON
    watch               film greedy episodes of a trained run
    diagnose            why a run does not learn (yet): table, figure and summary
    warmup              compile and cache the numba kernels that runs on these maps need
    bench               measure search and learning on this machine

options:
  -h, --help            show this help message and exit
"""


def test_help_names_every_command(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as left:
        cli.run(["--help"])
    assert left.value.code == 0 and capsys.readouterr().out == HELP
    for command in ("evaluate", "watch", "diagnose"):
        with pytest.raises(SystemExit):
            cli.run([command, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "--env KEY=VALUE [KEY=VALUE ...] change an option of the environment against that of the run" in text
        assert text.startswith(f"usage: python -m mazero {command} [-h]")
        assert ", e.g. jitter_scale=0 --threads" in text


@pytest.mark.parametrize("argv", [[], ["play"], ["evaluate"], ["warmup"], ["watch", "--out", "a.gif"]])
def test_what_is_missing_or_unknown_is_told_by_the_parser(argv, capsys):
    with pytest.raises(SystemExit) as left:
        cli.run(argv)
    assert left.value.code == 2
    assert "command" in (err := capsys.readouterr().err) or "required: --" in err


def test_a_search_setting_that_is_not_there_is_refused_before_anything_is_played(trained, monkeypatch):
    monkeypatch.setattr(cli, "evaluate", lambda *_, **__: pytest.fail("played"))
    for flags in (["--search", "roh=0"], ["--search", "roh=0", "--no-search"]):
        with pytest.raises(UserError, match=r"unknown setting 'search.roh': did you mean 'rho'"):
            cli.run(["evaluate", "--run", str(trained[0]), *flags])
