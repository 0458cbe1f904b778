"""Bad input to both programs is one line and exit code 2 before anything is written or loaded."""

import pytest

import baselines.__main__
import mazero.cli
from training.cli import main

RUNS = {"mazero": mazero.cli.run, "baselines": baselines.__main__.run}
TRAIN = {
    "mazero": ["--preset", "matrix", "--set", "replay.start=20"],
    "baselines": ["--preset", "matrix", "--algorithm", "qmix"],
}
REAL = {"mazero": "optimiser.learning_rate", "baselines": "learning.learning_rate"}


def refusal(capsys, program, command):
    assert main(RUNS[program], command) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1
    return err


@pytest.mark.parametrize("program", RUNS)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "-1"], "seed must be an integer in 0..2**63 - 1, got -1"),
        (["--seed", str(10**30)], "seed must be an integer in 0..2**63 - 1, got 1000"),
        (["--set", "{real}=["], "value of '{real}=[' is not valid YAML"),
        (["--set", "{real}=.nan"], "value of '{real}=.nan' must be finite, got nan"),
        (["--set", "{real}s=1"], "unknown setting '{real}s': did you mean 'learning_rate'?"),
        (["--set", "k=["], "unknown setting 'k': known: "),
        (["--set", "=3"], "override '=3' is not of the form"),
        (["--set", "a..b=3"], "unknown section 'a' in override 'a..b=3'"),
        (["--eval-every", "0"], "eval_every must lie in 1..env_steps (80), got 0"),
        (["--eval-every", "81"], "eval_every must lie in 1..env_steps (80), got 81"),
        (["--eval-episodes", "-3"], "eval-episodes must be at least 1, got -3"),
        (["--eval-episodes", str(10**12)], "eval-episodes must be at most 100000, got 1000000000000"),
        (
            ["--env-steps", str(10**30), "--eval-every", "7"],
            "env_steps / eval_every must be at most 100000, got 1000000",
        ),
        (["--checkpoint-every", "nan"], "checkpoint_seconds must be positive and finite, got nan"),
        (["--checkpoint-every", "-5"], "checkpoint_seconds must be positive and finite, got -5.0"),
        (["--stop-at", "-1"], "stop_at must not be negative, got -1"),
        (["--preset", "matrxi"], "unknown preset 'matrxi': did you mean 'matrix'?"),
        (["--preset", ""], "unknown preset '': known: "),
        (["--map", "matrix_λ"], "unknown environment 'matrix_λ', expected one of matrix_1"),
        (["--map", "../3m"], "did you mean '3m'?"),
        (["--map", ""], "unknown map ''"),
        (["--backend", "matrx"], "expected one of gymnasium, matrix, skirmish, smac, smacv2: did you mean 'matrix'?"),
        (["--env", "obs_nose=1"], "did you mean 'obs_noise'?"),
        (["--env", "obs_noise=much"], "obs_noise must be at least 0, got 'much'"),
        (["--device", ""], "device '' is not available"),
        (["--device", "meta"], "device 'meta' is not available"),
        (["--threads", "0"], "threads must lie in 1.."),
    ],
)
def test_a_bad_flag_of_train(tmp_path, capsys, program, flags, message):
    real = REAL[program]
    flags, message = [flag.replace("{real}", real) for flag in flags], message.replace("{real}", real)
    command = ["train", "--map", "matrix_1", "--seed", "0", "--out", str(tmp_path / "run"), "--env-steps", "80"]
    assert message in refusal(capsys, program, [*command, *TRAIN[program], *flags])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "nearest"), [("qmxi", "qmix"), ("vdm", "vdn"), ("mapo", "mappo")])
def test_an_unknown_algorithm(tmp_path, capsys, name, nearest):
    command = ["train", "--algorithm", name, "--map", "matrix_1", "--seed", "0", "--out", str(tmp_path / "run")]
    assert f"did you mean '{nearest}'?" in refusal(capsys, "baselines", command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", RUNS)
@pytest.mark.parametrize("command", ["evaluate", "watch"])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "has no config.json"),
        (b"", "config.json is not readable JSON"),
        (b"{", "config.json is not readable JSON"),
        (b"\xff\xfe{}", "config.json is not readable JSON"),
        (b"3", "config.json must be the record of a run, got one without program, algorithm"),
    ],
)
def test_a_record_that_cannot_be_read(tmp_path, capsys, program, command, raw, message):
    if raw is not None:
        (tmp_path / "config.json").write_bytes(raw)
    before = sorted(path.name for path in tmp_path.iterdir())
    flags = [] if command == "evaluate" else ["--out", str(tmp_path / "film.gif")]
    assert message in refusal(capsys, program, [command, "--run", str(tmp_path), *flags])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["evaluate", "watch"])
@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_search_without_simulations(tmp_path, capsys, command, number):
    flags = ["--run", str(tmp_path), "--num-simulations", number]
    flags += [] if command == "evaluate" else ["--out", str(tmp_path / "film.gif")]
    assert f"num-simulations must be at least 1, got {number}" in refusal(capsys, "mazero", [command, *flags])


@pytest.mark.parametrize("program", RUNS)
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--episodes", "0"], "episodes must be at least 1, got 0"),
        (["--episodes", "100001"], "episodes must be at most 100000, got 100001: they are played side by side"),
        (["--seed", "-1"], "seed must be a non-negative"),
    ],
)
def test_a_bad_flag_of_evaluate(tmp_path, capsys, program, flags, message):
    assert message in refusal(capsys, program, ["evaluate", "--run", str(tmp_path), *flags])


def test_names_with_umlauts_are_said_in_full(tmp_path, capsys):
    path = tmp_path / "größe λ"
    assert f"{path} is not a run directory" in refusal(capsys, "mazero", ["evaluate", "--run", str(path)])
