"""What all programs share of their command lines, with a toy learner: flags, records, checks, and what is handed on."""

import argparse
import fcntl
import hashlib
import io
import json
import logging
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest
import torch

from tests.training.toy import Toy
from training import cli, provenance
from training.cli import add_train_flags, describe, env_options, evaluation_options, run_train
from training.errors import UserError
from training.loop import EXIT_DIVERGED, Schedule
from training.metrics import read_records


@dataclass(frozen=True)
class Config:
    """Settings of the toy learner."""

    sizes: tuple[int, ...] = (8, 4)
    rate: float = 0.5


def parse(*flags, preset="tiny"):
    parser = argparse.ArgumentParser()
    add_train_flags(parser, default_preset=preset)
    return parser.parse_args([*flags])


def arguments(out="runs/run", **changes):
    """Flags of a short run of 30 steps on a matrix game."""
    flags = parse("--map", "matrix_1", "--seed", "5", "--out", str(out), "--env-steps", "30", "--progress", "none")
    return argparse.Namespace(**vars(flags) | changes)


DESCRIBED = {"program": "toy", "algorithm": "toy_algorithm", "config": Config()}


def test_every_flag_has_its_default_and_its_type():
    assert vars(parse("--map", "3m", "--seed", "7", "--out", "a/b")) == {
        "map": "3m",
        "seed": 7,
        "out": Path("a/b"),
        "preset": "tiny",
        "overrides": [],
        "backend": None,
        "env": [],
        "env_steps": 50_000,
        "eval_every": None,
        "eval_episodes": 32,
        "threads": 1,
        "device": "cpu",
        "progress": "auto",
        "tensorboard": False,
        "checkpoint_every": 60.0,
        "stop_at": None,
    }


def test_every_flag_is_read():
    flags = "--map 3m --seed 7 --out a --preset p --set a=1 b=2 --set c=3 --backend skirmish --env x=1 --env y=2 z=3"
    flags += " --env-steps 9 --eval-every 3 --eval-episodes 4 --threads 2 --device cuda --progress bar --tensorboard"
    flags += " --checkpoint-every 2.5 --stop-at 6"
    assert vars(parse(*flags.split())) == {
        "map": "3m",
        "seed": 7,
        "out": Path("a"),
        "preset": "p",
        "overrides": [["a=1", "b=2"], ["c=3"]],
        "backend": "skirmish",
        "env": [["x=1"], ["y=2", "z=3"]],
        "env_steps": 9,
        "eval_every": 3,
        "eval_episodes": 4,
        "threads": 2,
        "device": "cuda",
        "progress": "bar",
        "tensorboard": True,
        "checkpoint_every": 2.5,
        "stop_at": 6,
    }
    assert cli.flat_overrides(parse(*flags.split())) == ["a=1", "b=2", "c=3"]


def test_help_says_what_environment_options_are_for(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert (
        "KEY=VALUE [KEY=VALUE ...] option of the environment, e.g. obs_noise=0.1; training and evaluation get" in text
    )
    assert "named settings (default: tiny)" in text


def test_environment_options_are_yaml_and_the_last_of_a_name_counts():
    groups = [["a=1", "b=x=y"], ["a=2.5", " c =true", "game_version=4.10", "d=4.10", "e='4.10'", "f=1e-3"]]
    assert env_options(argparse.Namespace(env=groups)) == {
        "a": 2.5,
        "b": "x=y",
        "c": True,
        "game_version": "4.10",
        "d": 4.1,
        "e": "4.10",
        "f": 0.001,
    }
    assert env_options(argparse.Namespace(env=[[" game_version = 4.10 "]])) == {"game_version": "4.10"}
    assert env_options(argparse.Namespace(env=[["game_version='4.10'"]])) == {"game_version": "4.10"}


@pytest.mark.parametrize("item", ["a", "=1", "a=", "a=null", "="])
def test_environment_options_of_another_form_are_refused(item):
    with pytest.raises(UserError, match=r"environment option '.*' is not of the form key=value"):
        env_options(argparse.Namespace(env=[["b=1"], [item]]))


@pytest.mark.parametrize("item", ["a=[", "a=.inf"])
def test_a_value_that_cannot_be_read_is_named_with_its_option(item):
    with pytest.raises(UserError, match="^value of " + re.escape(repr(item))):
        env_options(argparse.Namespace(env=[[item]]))


@pytest.fixture
def made(monkeypatch):
    """Environments that are asked for, as `envs.make` hears of them; their sizes and unit data are options."""
    calls = []

    def make(name, **kwargs):
        calls.append({"name": name} | kwargs)
        sizes = {size: kwargs.get(size, 3) for size in ("obs_size", "n_actions")}
        info = SimpleNamespace(backend=f"{kwargs['backend']}!", unit_data=kwargs.get("units", ""), **sizes)
        return SimpleNamespace(info=info, close=lambda: None, losses={})

    options = ("obs_size", "n_actions", "units", "noise")
    names = {"toy_map": {"toy_backend": options, "toy_backend!": options}}
    monkeypatch.setattr(cli.envs, "make", make)
    monkeypatch.setattr(cli.envs, "option_names", lambda name, backend: names[name][backend])
    return calls


def test_an_environment_is_made_as_it_is_asked_for(made):
    cli.make_env("toy_map", {"noise": 0.5}, backend="toy_backend", num_envs=4, observation="mazero", seed=9)
    cli.make_env("toy_map", {}, backend="toy_backend")
    common = {"name": "toy_map", "backend": "toy_backend"}
    assert made == [
        {**common, "num_envs": 4, "observation": "mazero", "seed": 9, "noise": 0.5},
        {**common, "num_envs": 1, "observation": "smac", "seed": 0},
    ]


def test_an_unknown_option_is_refused_with_the_nearest_name(made):
    with pytest.raises(UserError, match=r"^unknown environment option 'nose', expected .*: did you mean 'noise'\?$"):
        cli.make_env("toy_map", {"nose": 1}, backend="toy_backend")
    assert made == []


def test_what_an_environment_refuses_is_a_mistake_of_the_user():
    with pytest.raises(UserError, match="matrix_9"):
        cli.make_env("matrix_9", {}, backend="matrix")
    with pytest.raises(UserError, match=r"obs_dropout must lie in \[0, 1\], got 2"):
        cli.make_env("matrix_1", {"obs_dropout": 2}, backend=None)


RECORD = {"map": "toy_map", "backend": "toy_backend"}


def played(record, *options):
    return evaluation_options(argparse.Namespace(env=[list(options)]), record, observation="mazero")


def test_packages_that_an_environment_lacks_are_named_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(UserError, match=r"lunar_lander needs gymnasium==.* pip install gymnasium=="):
        cli.make_env("lunar_lander", {}, backend=None)


def test_a_run_is_played_with_its_own_options_changed_by_those_of_the_command(made, caplog):
    recorded = {"noise": 0.5, "obs_size": 7}
    assert played(RECORD | {"env": recorded}, "noise=0.25") == {"noise": 0.25, "obs_size": 7}
    assert played(RECORD, "noise=0.25") == {"noise": 0.25} and played(RECORD) == {}
    common = {"name": "toy_map", "backend": "toy_backend", "num_envs": 1, "observation": "mazero", "seed": 0}
    assert made[:2] == [common | recorded, common | recorded | {"noise": 0.25}]
    assert not caplog.records


@pytest.mark.parametrize("size", ["obs_size", "n_actions"])
def test_options_under_which_the_networks_do_not_fit_are_refused(made, size):
    with pytest.raises(UserError, match=f"^{size} must be 7 as in training, got 8 with the given --env: leave out"):
        played(RECORD | {"env": {size: 7}}, f"{size}=8")


@pytest.mark.parametrize(
    ("recorded", "trained_on", "option", "message"),
    [
        ({}, "A", ["units=B"], "trained with unit data A, played with B"),
        ({}, None, ["units=B"], "trained with unit data of unknown origin, played with B"),
        ({}, "A", [], "trained with unit data A, played with of unknown origin"),
        ({}, "B", ["units=B"], None),
        ({"units": "A"}, "A", ["units=B"], "trained with unit data A, played with B"),
        ({"units": "A"}, "B", ["units=B"], None),
        ({}, None, [], None),
    ],
)
def test_other_unit_data_than_in_training_are_named(made, caplog, recorded, trained_on, option, message):
    played(RECORD | {"env": recorded} | ({} if trained_on is None else {"unit_data": trained_on}), *option)
    assert [record.message for record in caplog.records] == ([] if message is None else [message])


def test_a_process_uses_the_threads_it_was_given_and_keeps_its_memory(monkeypatch):
    heard = []
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: heard.append(("torch", n)))
    monkeypatch.setattr(numba, "set_num_threads", lambda n: heard.append(("numba", n)))
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: heard.append("memory"))
    for threads in (1, 3):
        cli.set_up_process(threads)
        assert heard == [("torch", threads), ("numba", threads), "memory"]
        heard.clear()
    for threads in (0, 4, -1):
        with pytest.raises(UserError, match=rf"^threads must lie in 1\.\.3 \(cores, .*\), got {threads}$"):
            cli.set_up_process(threads)
    assert heard == []


def test_a_device_is_tried_before_it_is_used(monkeypatch):
    cli.check_device("cpu")
    with pytest.raises(UserError, match=r"^device 'gpu' is not available \(.*\): use --device cpu$"):
        cli.check_device("gpu")

    with pytest.raises(UserError, match=r"^device 'meta' is not available \(.*\): use --device cpu$"):
        cli.check_device("meta")  # holds shapes without numbers

    def lacking(*size, device):
        raise AssertionError(f"no {device} in this build\nlong\nexplanation")

    monkeypatch.setattr(torch, "zeros", lacking)
    with pytest.raises(UserError, match=r"^device 'cuda' is not available \(no cuda in this build\): use --device cpu"):
        cli.check_device("cuda")


RESOLVED = {
    "program": "toy",
    "algorithm": "toy_algorithm",
    "preset": "tiny",
    "map": "matrix_1",
    "backend": "matrix",
    "seed": 5,
    "threads": 1,
    "device": "cpu",
    "budget": {"env_steps": 30},
    "evaluation": {"every": 3, "episodes": 32},
    "config": {"sizes": [8, 4], "rate": 0.5},
}


def identity_by_hand(record):
    """SHA-256 of compact JSON with sorted keys of all but name of the preset, seed and threads."""
    part = {"env": {}} | {k: v for k, v in record.items() if k not in ("preset", "seed", "threads")}
    text = json.dumps(part, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_record_of_a_run_says_everything():
    record = describe(arguments(), **DESCRIBED)
    assert record == {"identity": identity_by_hand(RESOLVED), **RESOLVED}
    assert list(record) == ["identity", *RESOLVED]


def test_the_record_of_a_run_holds_options_and_unit_data_where_there_are_any(made):
    flags = arguments(map="toy_map", backend="toy_backend", env=[["units=4.10", "noise=1"]], device="gpu", threads=9)
    flags = argparse.Namespace(**vars(flags) | {"eval_every": 7, "eval_episodes": 1, "preset": "mine", "seed": 0})
    resolved = RESOLVED | {
        "map": "toy_map", "backend": "toy_backend!", "device": "gpu", "threads": 9, "preset": "mine", "seed": 0,
        "evaluation": {"every": 7, "episodes": 1, "battles": "later"},
        "env": {"units": 4.1, "noise": 1}, "unit_data": "4.1",
    }  # fmt: skip
    assert describe(flags, **DESCRIBED) == {"identity": identity_by_hand(resolved), **resolved}
    assert made == [
        {"name": "toy_map", "backend": "toy_backend", "num_envs": 1, "observation": "smac", "seed": 0}
        | {"units": 4.1, "noise": 1}
    ]


@pytest.mark.parametrize(("env_steps", "every"), [(1, 1), (5, 1), (19, 1), (25, 2), (110, 11), (50_000, 5_000)])
def test_a_run_is_evaluated_ten_times_by_default(env_steps, every):
    assert describe(arguments(env_steps=env_steps), **DESCRIBED)["evaluation"]["every"] == every


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_the_least_and_the_largest_seed_are_seeds(seed):
    assert describe(arguments(seed=seed), **DESCRIBED)["seed"] == seed


def test_a_budget_that_just_reaches_the_start_is_enough(tmp_path, session):
    assert describe(arguments(), **DESCRIBED, start=30)["budget"] == {"env_steps": 30}
    assert describe(arguments(env_steps=1), **DESCRIBED)["budget"] == {"env_steps": 1}
    flags = arguments(tmp_path / "run", env_steps=1, stop_at=0)
    assert run_train(flags, **DESCRIBED, make_learner=lambda *a, **k: Toy()) == 0


BAD = [
    ({"seed": -1}, {}, r"^seed must be an integer in 0\.\.2\*\*63 - 1, got -1$"),
    ({"seed": 2**63}, {}, r"^seed must be an integer"),
    ({"eval_episodes": 0}, {}, r"^eval-episodes must be at least 1, got 0$"),
    (
        {},
        {"start": 31},
        r"^env-steps must reach the step at which learning starts, 31, got 30: nothing would be learned",
    ),
    ({"env_steps": 0}, {}, "^env_steps must be at least 1, got 0"),
    ({"eval_every": 0}, {}, r"^eval_every must lie in 1\.\.env_steps \(30\), got 0"),
    ({"eval_every": 31}, {}, r"^eval_every must lie in 1\.\.env_steps \(30\), got 31"),
    ({"checkpoint_every": float("nan")}, {}, "^checkpoint_seconds must be positive and finite, got nan"),
    ({"stop_at": -1}, {}, "^stop_at must not be negative, got -1"),
    ({"map": "matrix_9"}, {}, "matrix_9"),
    ({"backend": "matrx"}, {}, "did you mean 'matrix'"),
    ({"env": [["obs_nose=1"]]}, {}, "did you mean 'obs_noise'"),
    ({"env": [["obs_noise"]]}, {}, "is not of the form key=value"),
    ({"threads": 0}, {}, r"^threads must lie in 1\.\."),
    ({"device": "gpu"}, {}, "^device 'gpu' is not available"),
]


@pytest.mark.parametrize(("changes", "more", "message"), BAD)
def test_bad_input_is_refused_before_anything_is_made_or_written(tmp_path, changes, more, message):
    with pytest.raises(UserError, match=message):
        run_train(arguments(tmp_path / "run", **changes), **DESCRIBED, **more, make_learner=None)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def session(monkeypatch):
    """What is found out about a session, shortened to what was asked; the command line; the threads that were set."""
    heard = SimpleNamespace(threads=[], devices=[])
    monkeypatch.setattr(provenance, "collect", lambda **asked: {"git_dirty": False, **asked})
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", "train", "--seed", "5"])
    monkeypatch.setattr(cli, "set_up_process", heard.threads.append)
    monkeypatch.setattr(cli, "check_device", heard.devices.append)
    return heard


def locked(path):
    """Whether somebody holds the lock of a run directory."""
    with open(path / "run.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def test_a_run_trains_the_learner_it_was_given_under_lock_and_leaves_its_files(tmp_path, session):
    run, asked, locks = tmp_path / "tiny" / "run", [], []

    class Watching(Toy):
        def advance(self):
            super().advance()
            locks.append(locked(run))

    def make_learner(config, **kwargs):
        asked.append((config, kwargs))
        return Watching()

    flags, config = arguments(run, threads=3, device="cpu", stop_at=14, eval_episodes=6), Config(rate=0.25)
    described = {"program": "toy", "algorithm": "toy_algorithm", "config": config}
    assert run_train(flags, **described, make_learner=make_learner) == 0
    ((given, kwargs),) = asked
    assert given is config
    make = kwargs.pop("make_env")
    assert kwargs == {"seed": 5, "device": "cpu", "eval_episodes": 6}
    assert (make(2, "smac", 0).num_envs, make(2, "smac", 0).info.name) == (2, "matrix_1")
    assert session.threads == [3] and session.devices == ["cpu"]
    assert len(locks) == 5 and all(locks) and not locked(run)
    assert json.loads((run / "config.json").read_text()) == describe(flags, **described)
    assert [r["mark"] for r in read_records(run / "metrics.jsonl", "eval")] == [0, 3, 6, 9, 12, 15]
    flags.stop_at = None
    assert run_train(flags, **described, make_learner=make_learner) == 0
    assert (run / "done.json").is_file() and len(locks) == 10
    first, second = json.loads((run / "provenance.json").read_text())["sessions"]
    collected = {
        "git_dirty": False,
        "backend": "matrix",
        "threads": 3,
        "device": "cpu",
        "unit_data": "",
        "starcraft": None,
    }
    collected |= {"command": ["python", "-m", "toy", "train", "--seed", "5"]}
    for found, step in ((first, 0), (second, 15)):
        assert found.pop("started") and found == {"from_env_steps": step} | collected


def test_a_learner_makes_the_environments_of_the_run(tmp_path, made, session):
    flags = arguments(tmp_path / "run", map="toy_map", backend="toy_backend", env=[["noise=0.5", "units=A"]])
    flags.stop_at = 0

    def make_learner(config, *, make_env, **kwargs):
        made.clear()
        make_env(4, "mazero", 11)
        return Toy()

    assert run_train(flags, **DESCRIBED, make_learner=make_learner) == 0
    assert made == [
        {"name": "toy_map", "backend": "toy_backend!", "num_envs": 4, "observation": "mazero", "seed": 11}
        | {"noise": 0.5, "units": "A"}
    ]
    (found,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["sessions"]
    assert (found["unit_data"], found["backend"]) == ("A", "toy_backend!")


@pytest.mark.parametrize("tensorboard", [False, True])
def test_reporters_are_told_what_to_show(tmp_path, monkeypatch, session, tensorboard):
    asked, run = [], tmp_path / "tiny" / "run"

    class Reporter:
        def __init__(self):
            self.steps, self.kinds, self.closed = [], [], False

        def advance(self, env_steps):
            self.steps.append(env_steps)

        def record(self, record):
            self.kinds.append(record["kind"])

        def close(self):
            self.closed = True

    reporter = Reporter()
    monkeypatch.setattr(cli, "make_reporters", lambda *a, **k: asked.append((a, k)) or [reporter])
    flags = arguments(run, progress="bar", eval_every=30, tensorboard=tensorboard, stop_at=14)
    for step in (0, 15):
        assert run_train(flags, **DESCRIBED, make_learner=lambda *a, **k: Toy()) == 0
        flags.stop_at = None
        shown = {"title": "matrix_1 toy_algorithm seed=5 (tiny)", "total": 30, "from_step": step}
        assert asked.pop() == (("bar",), shown | {"tensorboard": run / "tensorboard" if tensorboard else None})
    assert reporter.steps == list(range(3, 31, 3)) and reporter.closed
    assert reporter.kinds == ["eval", "train", "eval", "absolute"]


def test_a_run_of_a_relative_folder_lies_in_the_working_directory(tmp_path, monkeypatch, session):
    (tmp_path / "größe").mkdir()
    monkeypatch.chdir(tmp_path / "größe")
    titles = []
    monkeypatch.setattr(cli, "make_reporters", lambda *a, title, **k: titles.append(title) or [])
    assert run_train(arguments("run", stop_at=0), **DESCRIBED, make_learner=lambda *a, **k: Toy()) == 0
    assert titles == ["matrix_1 toy_algorithm seed=5 (größe)"]
    assert (tmp_path / "größe" / "run" / "checkpoint.pt").is_file()


def test_a_run_keeps_to_the_schedule_that_was_asked_for(tmp_path, monkeypatch, session):
    heard, learner = [], Toy()
    monkeypatch.setattr(cli, "train", lambda *given: heard.append(given) or 77)
    flags = arguments(tmp_path / "run", eval_every=10, checkpoint_every=2.5, stop_at=14)
    assert run_train(flags, **DESCRIBED, make_learner=lambda *a, **k: learner) == 77
    ((trained, run, schedule, _, losses),) = heard
    assert trained is learner and run.path == tmp_path / "run" and run.key["seed"] == 5
    assert schedule == Schedule(env_steps=30, eval_every=10, checkpoint_seconds=2.5, stop_at=14)
    assert losses() == {}


def test_the_exit_code_of_a_run_is_handed_on(tmp_path, session):
    flags = arguments(tmp_path / "run")
    assert run_train(flags, **DESCRIBED, make_learner=lambda *a, **k: Toy(diverges_at=12)) == EXIT_DIVERGED


def test_a_run_of_other_settings_is_refused_and_nothing_is_trained(tmp_path, session):
    flags = arguments(tmp_path / "run", stop_at=0)
    assert run_train(flags, **DESCRIBED, make_learner=lambda *a, **k: Toy()) == 0
    flags.eval_episodes, learner = 31, Toy()
    with pytest.raises(UserError, match=r"another config \(evaluation\.episodes: 32 there, 31 here\)"):
        run_train(flags, **DESCRIBED, make_learner=lambda *a, **k: learner)
    assert learner.env_steps == 0 and learner.seeds == []


def test_a_program_logs_bare_messages_and_answers_with_its_exit_code(monkeypatch):
    configured, heard = [], []
    monkeypatch.setattr(logging, "basicConfig", lambda **kwargs: configured.append(kwargs))
    monkeypatch.setattr(sys, "argv", ["program", "a", "b"])
    assert cli.main(lambda argv: heard.append(argv) or 4, ["x"]) == 4
    assert cli.main(lambda argv: heard.append(argv) or 0) == 0
    assert heard == [["x"], ["a", "b"]]
    assert configured == [{"level": logging.INFO, "format": "%(message)s", "stream": sys.stderr}] * 2


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(logging, "basicConfig", lambda **kwargs: None)
    assert cli.main(lambda argv: sys.stdout.write("größe λ\n") * 0, []) == 0
    sys.stdout.flush()
    assert raw.getvalue() == rb"gr\xf6\xdfe \u03bb" + b"\n"


def test_a_mistake_of_the_user_is_one_line_and_exit_code_2_and_nothing_else_is_caught(capsys):
    def mistaken(argv):
        raise UserError("this is\n  wrong:\ttry  that")

    def broken(argv):
        raise ValueError("a bug")

    assert cli.main(mistaken, []) == 2
    assert capsys.readouterr() == ("", "error: this is wrong: try that\n")
    with pytest.raises(ValueError, match="a bug"):
        cli.main(broken, [])
