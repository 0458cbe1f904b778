"""Speed of whole runs: the replay it is measured with, one target period, and how the parts make a whole."""

import json

import numpy as np
import pytest

from mazero import cli
from mazero.bench import whole_run
from mazero.bench.whole_run import fill, run_speed
from mazero.replay import FIELDS
from tests.mazero.tiny import TINY, tiny_config, tiny_learner
from training.errors import UserError

PERIOD = ("targets.search_reuse=period", "targets.reanalyze_ratio=1.0", "targets.target_interval=5")


def test_a_replay_is_filled_with_whole_episodes_again_and_again(monkeypatch):
    monkeypatch.setattr(whole_run, "SEED_STEPS", 80)
    learner = tiny_learner()
    fill(learner, 333)
    replay = learner.replay
    assert replay.size == 340  # episodes of ten steps
    assert (replay.episode_end - replay.episode_start == 10).all()
    episodes = 8  # in 80 steps of four slots, copied in turn
    for name in FIELDS:
        values = getattr(replay, name)
        np.testing.assert_array_equal(values[10 * episodes :], values[: -10 * episodes], err_msg=name)
    assert len({replay.action[10 * i : 10 * i + 10].tobytes() for i in range(episodes)}) == episodes


def test_a_replay_with_a_capacity_is_filled_too():
    learner = tiny_learner("replay.capacity=100")
    fill(learner, 333)
    assert learner.replay.dropped + learner.replay.size == 340 and 90 <= learner.replay.size <= 100


def test_a_run_is_as_slow_as_its_parts():
    lines = []
    config = tiny_config(*PERIOD)
    row = run_speed(config, "matrix_1", 600, device="cpu", report=lines.append)
    assert [part["replay_size"] for part in row["parts"]] == [100, 300, 500]
    rates = []
    for part in row["parts"]:
        assert part["env_steps"] >= 5 / 0.1 - 4  # five updates at a tenth of one per step, four steps at a time
        assert sum(part["share"].values()) == pytest.approx(1) and set(part["share"]) == set(whole_run.PHASES)
        assert part["env_steps_per_hour"] == 3600 * part["env_steps"] / part["wall_seconds"] > 0
        assert part["env_steps_per_cpu_hour"] == 3600 * part["env_steps"] / part["cpu_seconds"] > 0
        assert part["peak_memory_mb"] > 100
        made, asked = part["searches_made_per_env_step"], part["searches_asked_per_env_step"]
        assert 0 < made < asked and part["searches_saved"] == pytest.approx(1 - made / asked)
        rates.append(part["env_steps_per_hour"])
    assert row["env_steps_per_hour"] == pytest.approx(3 / sum(1 / rate for rate in rates))
    assert len(lines) == 4 and lines[-1].startswith("matrix_1: ")


def test_a_run_may_be_measured_at_other_places():
    row = run_speed(tiny_config(), "matrix_1", 600, device="cpu", report=[].append, at=[200, 50])
    assert [part["replay_size"] for part in row["parts"]] == [200, 50]
    assert "env_steps_per_hour" not in row


@pytest.mark.parametrize("words", [["--at", "100"], ["--end-to-end", "300", "--at", "100", "0"]])
def test_places_need_a_run_and_are_positive(words):
    with pytest.raises(UserError, match="--at takes numbers of environment steps"):
        cli.run(["bench", "--preset", "matrix", "--map", "matrix_1", *words])


@pytest.mark.parametrize("settings", [(), (*PERIOD, "targets.reanalyze_ratio=0.0")])
def test_where_no_searches_are_counted_none_are_told(settings):
    lines = []
    row = run_speed(tiny_config(*settings), "matrix_1", 150, device="cpu", report=lines.append)
    assert not any("searches" in key for part in row["parts"] for key in part)
    assert "searches" not in "".join(lines) and "update" in lines[0]


def test_the_command_takes_the_preset_as_it_is(tmp_path, capsys):
    out = tmp_path / "speed.json"
    words = ["bench", "--end-to-end", "300", "--preset", "matrix", "--map", "matrix_1", "--repeats", "1"]
    assert cli.run([*words, "--json", str(out), "--set", *TINY, *PERIOD]) == 0
    record = json.loads(out.read_text())
    assert record["preset"] == "matrix" and record["peak_memory_mb"] > 100
    assert [row["budget"] for row in record["end_to_end"]] == [300]
    assert "env steps/hour over 300 steps on 1 thread(s), " in capsys.readouterr().out
