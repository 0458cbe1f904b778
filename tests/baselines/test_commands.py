"""What each subcommand hands on and prints, as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import envs
from baselines import __main__ as program
from baselines import cds, registry
from baselines.__main__ import build_parser, record_of, run
from baselines.cds.agent import diverse_agent
from baselines.cds.config import CdsConfig
from baselines.cds.diversity import Diversity
from baselines.mappo.config import CriticConfig, PpoConfig
from baselines.mappo.learner import PpoLearner
from baselines.mappo.policy import PpoPolicy
from baselines.rode.config import RodeConfig
from baselines.rode.learner import RodeLearner
from baselines.value_based import mixers, qplex
from baselines.value_based.config import QmixConfig, QplexConfig, ValueConfig
from baselines.value_based.learner import ValueLearner
from skirmish.faces.vector import SkirmishEnv
from training import checkpoint, cli
from training.config import from_dict, to_dict
from training.errors import UserError
from training.evaluation import evaluate

TINY = ["rollout.num_envs=2", "rollout.steps=10", "network.hidden_size=4", "learning.epochs=1"]


@pytest.fixture(autouse=True)
def process_as_it_is(monkeypatch):
    """Threads are a matter of the process: only asked for."""
    asked = []
    monkeypatch.setattr(cli, "set_up_process", asked.append)
    return asked


@pytest.fixture
def trained(tmp_path):
    """A function: the directory of a finished tiny run."""

    def train(name, map_name, *more, settings=()):
        out = tmp_path / f"{name} on {map_name}"
        command = ["train", "--algorithm", name, "--map", map_name, "--preset", "matrix", "--seed", "2"]
        command += ["--out", str(out), "--env-steps", "20", "--eval-every", "20", "--eval-episodes", "1"]
        assert run([*command, "--progress", "none", *more, *(["--set", *settings] if settings else [])]) == 0
        return out

    return train


def test_defaults_of_every_subcommand():
    def parsed(*words):
        return vars(build_parser().parse_args(words))

    common = {"run": Path("r"), "best": False, "env": [], "threads": 1, "device": "cpu"}
    assert parsed("evaluate", "--run", "r") == {"command": "evaluate", "episodes": 32, "seed": 0, **common}
    film = {"out": [], "force": False, "episodes": 1, "seed": 0, "agent": None, "size": 640, "fps": 20}
    assert parsed("watch", "--run", "r") == {"command": "watch", **film, "loops_per_frame": 2, **common}
    train = parsed("train", "--algorithm", "vdn", "--map", "3m", "--seed", "1", "--out", "o")
    assert (train["command"], train["algorithm"], train["preset"], train["map"]) == ("train", "vdn", "published", "3m")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "python -m baselines: error: the following arguments are required: command"),
        ("play", "python -m baselines: error: argument command: invalid choice: 'play'"),
        ("train", "python -m baselines train: error: the following arguments are required: --algorithm"),
        ("evaluate", "python -m baselines evaluate: error: the following arguments are required: --run"),
        ("watch", "python -m baselines watch: error: the following arguments are required: --run"),
    ],
)
def test_what_is_missing_is_asked_for(word, message, capsys):
    with pytest.raises(SystemExit) as left:
        run(word.split())
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_help_says_what_the_program_and_each_subcommand_do(capsys):
    with pytest.raises(SystemExit):
        run(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for text in (
        "Command line of the baselines: `python -m baselines train | evaluate | watch`.",
        "train train one algorithm on one map with one seed",
        "evaluate play greedy episodes with a trained run; prints JSON",
        "watch film greedy episodes of a trained run",
    ):
        assert text in printed
    with pytest.raises(SystemExit):
        run(["train", "--help"])
    assert "--algorithm ALGORITHM one of: iql, vdn, qmix, qplex, cds, rode, mappo, ippo" in " ".join(
        capsys.readouterr().out.split()
    )
    for command in ("evaluate", "watch"):
        with pytest.raises(SystemExit):
            run([command, "--help"])
        assert "change an option of the environment against that of the run, e.g. jitter_scale=0" in " ".join(
            capsys.readouterr().out.split()
        )


def test_train_hands_everything_on(monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "run_train", lambda *a, **k: calls.append((a, k)) or 7)
    words = ["train", "--algorithm", "qmix", "--map", "matrix_1", "--preset", "matrix", "--seed", "3", "--out", "x"]
    words += ["--set", "learning.gamma=0.5", "--set", "mixer.embed_size=3", "rollout.num_envs=2"]
    assert run(words) == 7
    ((arguments,), named) = calls.pop()
    assert vars(arguments) == vars(build_parser().parse_args(words))
    config = named.pop("config")
    assert named == {
        "program": "baselines",
        "algorithm": "qmix",
        "make_learner": registry.ALGORITHMS["qmix"].make_learner,
    }
    assert isinstance(config, QmixConfig)
    assert (config.learning.gamma, config.mixer.embed_size, config.rollout.num_envs) == (0.5, 3, 2)
    assert config.learning.batch_episodes == 32 and config.rollout.epsilon_steps == 500  # the preset's
    record = record_of(words)
    assert (record["program"], record["algorithm"], record["map"], record["seed"]) == (
        "baselines", "qmix", "matrix_1", 3,
    )  # fmt: skip
    assert record["config"] == to_dict(config)


def test_the_critics_input_follows_the_environment_that_was_asked_for(monkeypatch):
    asked, closed = [], []
    make_env = cli.make_env

    def watched(name, options, **named):
        asked.append((name, options, named))
        env = make_env(name, options, **named)
        env.close = lambda: closed.append(name)
        return env

    monkeypatch.setattr(cli, "make_env", watched)
    words = ["train", "--map", "matrix_2", "--preset", "matrix", "--seed", "3", "--out", "x", "--backend", "matrix"]
    words += ["--env", "reward_scale=0.5"]
    for name, kind in (("mappo", "team_state"), ("ippo", "obs")):
        asked.clear()
        assert record_of([*words, "--algorithm", name])["config"]["critic"]["input"] == kind
        assert asked[0] == ("matrix_2", {"reward_scale": 0.5}, {"backend": "matrix", "observation": "mazero"})
        assert closed.pop() == "matrix_2" and not closed
    with pytest.raises(UserError, match=r"critic\.input is 'agent_state', but matrix_2 has none"):
        record_of([*words, "--algorithm", "mappo", "--set", "critic.input=agent_state"])
    assert closed == ["matrix_2"]
    # settings of a map hold on that map
    words = ["train", "--algorithm", "mappo", "--map", "3s_vs_5z", "--seed", "3", "--out", "x"]
    network = record_of(words)["config"]["network"]
    assert (network["kind"], network["frames"]) == ("mlp", 4)


@pytest.mark.parametrize(
    ("name", "settings"), [("mappo", [*TINY, "rollout.observation=smac"]), ("qmix", ["agent.hidden_size=4"])]
)
def test_evaluate_prints_a_result_and_all_it_depends_on(trained, capsys, process_as_it_is, name, settings):
    out = trained(name, "matrix_4", "--env", "reward_scale=0.5", settings=settings)
    saved = checkpoint.load(out / "checkpoint.pt")["learner"]
    process_as_it_is.clear()
    words = ["evaluate", "--run", str(out), "--episodes", "3", "--seed", "9", "--threads", "2"]
    assert run([*words, "--env", "reward_scale=0.25"]) == 0
    assert process_as_it_is == [2]
    env = envs.make("matrix_4", num_envs=3, observation="smac", reward_scale=0.25)
    algorithm = registry.find(name)
    config = from_dict(algorithm.config, json.loads((out / "config.json").read_text())["config"])
    policy = algorithm.load_policy(config, env.info, saved, device="cpu")
    expected = {"algorithm": name, "map": "matrix_4", "backend": "matrix", "unit_data": ""}
    expected |= {"env": {"reward_scale": 0.25}, "seed": 9, **evaluate(policy, env, seed=9)}
    assert json.loads(capsys.readouterr().out) == expected
    assert run([*words, "--episodes", "1", "--seed", "0"]) == 0  # the smallest there are
    assert json.loads(capsys.readouterr().out)["num_episodes"] == 1


def test_evaluate_asks_for_the_environment_of_the_run(trained, monkeypatch):
    out = trained("mappo", "3m", "--env", "jitter_scale=0", settings=TINY)
    asked, closed, make_env = [], [], cli.make_env

    def watched(name, options, **named):
        asked.append((name, options, named))
        env = make_env(name, options, **named)
        env.close = lambda: closed.append(name)
        return env

    monkeypatch.setattr(cli, "make_env", watched)
    assert run(["evaluate", "--run", str(out), "--episodes", "2", "--seed", "5"]) == 0
    named = {"backend": "skirmish", "num_envs": 2, "observation": "mazero", "seed": 5}
    assert asked[-1] == ("3m", {"jitter_scale": 0}, named)
    assert closed == ["3m"]


def test_evaluate_refuses_before_it_looks_at_the_run(trained):
    for words, message in (
        (["--episodes", "0"], "episodes must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be a non-negative integer, got -1"),
        (["--device", "nowhere"], "device 'nowhere' is not available"),
        ([], "nothing is not a run directory"),
    ):
        with pytest.raises(UserError, match=message):
            run(["evaluate", "--run", "nothing", *words])
    out = trained("iql", "matrix_1")
    path = out / "config.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "program": "mazero"}))
    for command in ("evaluate", "watch"):
        with pytest.raises(UserError, match=f"is a run of 'mazero': use python -m mazero {command}"):
            run([command, "--run", str(out)])


def test_a_checkpoint_of_another_run_is_refused(trained):
    out, other = trained("iql", "matrix_1"), trained("iql", "matrix_2")
    (out / "checkpoint.pt").write_bytes((other / "checkpoint.pt").read_bytes())
    with pytest.raises(UserError, match="must be one of run"):
        run(["evaluate", "--run", str(out)])


def test_watch_films_the_runs_policy_on_one_slot_of_its_map(trained, monkeypatch, capsys):
    out = trained("mappo", "3m", "--env", "jitter_scale=0", settings=TINY)
    calls = []
    monkeypatch.setattr(program, "film_policy", lambda *a, **k: calls.append((a, k)) or "filmed")
    words = ["watch", "--run", str(out), "--seed", "6", "--fps", "30", "--out", str(out / "a.gif"), "--episodes", "2"]
    assert run(words) == 0
    assert capsys.readouterr().out.endswith("filmed\n")
    ((policy, env, how), named) = calls.pop()
    assert isinstance(policy, PpoPolicy) and isinstance(env, SkirmishEnv) and named == {"who": "MAPPO"}
    assert (env.info.name, env.num_envs, env.info.observation) == ("3m", 1, "mazero")
    assert (how.seed, how.fps, how.episodes, how.out) == (6, 30, 2, (out / "a.gif",))
    game = trained("iql", "matrix_1")
    with pytest.raises(UserError, match="only runs of the backend skirmish can be filmed, got one of matrix"):
        run(["watch", "--run", str(game), "--out", str(out / "a.gif")])


def test_the_registry_names_every_part_of_an_algorithm():
    value, ppo, roles = (Path(part.PRESETS) for part in (registry.value_based, registry.mappo, registry.rode))
    assert (value.parent.name, ppo.parent.name, roles.parent.name) == ("value_based", "mappo", "rode")
    expected_rode = registry.Algorithm(RodeConfig, roles, RodeLearner, registry.rode.load_policy)
    expected = {
        "iql": (ValueConfig, value, ValueLearner, {"make_mixer": mixers.iql}),
        "vdn": (ValueConfig, value, ValueLearner, {"make_mixer": mixers.vdn}),
        "qmix": (QmixConfig, value, ValueLearner, {"make_mixer": mixers.qmix}),
        "qplex": (QplexConfig, value / "qplex", ValueLearner, {"make_mixer": qplex.qplex}),
        "cds": (
            CdsConfig,
            cds.PRESETS,
            ValueLearner,
            {"make_mixer": qplex.qplex, "make_agent": diverse_agent, "make_bonus": Diversity},
        ),
        "mappo": (PpoConfig, ppo, PpoLearner, {"centralized": True}),
        "ippo": (PpoConfig, ppo, PpoLearner, {"centralized": False}),
    }
    assert list(registry.ALGORITHMS) == ["iql", "vdn", "qmix", "qplex", "cds", "rode", "mappo", "ippo", "mamba"]
    assert registry.find("rode") == expected_rode
    env = envs.make("matrix_1", num_envs=1)
    for name, (config, presets, learner, keywords) in expected.items():
        entry = registry.find(name)
        assert (entry.config, entry.presets) == (config, presets)
        assert (entry.make_learner.func, entry.make_learner.keywords) == (learner, keywords)
        group = registry.mappo if learner is PpoLearner else registry.value_based
        if name == "cds":
            assert (entry.load_policy.func, entry.load_policy.keywords) == (
                group.load_policy,
                {"make_agent": diverse_agent},
            )
        else:
            assert entry.load_policy is group.load_policy
        assert (entry.resolve is None) == (learner is ValueLearner)
        if entry.resolve is not None:
            kind = {"mappo": "team_state", "ippo": "obs"}[name]
            assert entry.resolve(PpoConfig(), env) == PpoConfig(critic=CriticConfig(input=kind))
