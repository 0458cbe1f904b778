"""Metrics file: schema, flushing, cut lines, running means."""

import json
from contextlib import closing

import pytest

from training.metrics import MetricsWriter, RunningMeans, read_records, validate, without_clock

EVAL = {
    "kind": "eval", "mark": 10, "env_steps": 12, "updates": 1, "episodes": 2, "wall_seconds": 0.5, "num_episodes": 4,
    "win_rate": 0.25, "return_mean": 1.0, "return_std": 0.0, "length_mean": 3.0,
}  # fmt: skip


def test_a_record_is_on_disk_as_soon_as_it_is_written(tmp_path):
    with closing(MetricsWriter(tmp_path / "m.jsonl")) as writer:
        writer.write(EVAL)
        assert list(read_records(tmp_path / "m.jsonl")) == [EVAL]


BAD = [{"win_rate": float("nan")}, {"mark": 1.5}, {"kind": "test"}, {"episodes": True}]
BAD += [{"win_rate": 1.01}, {"win_rate": -0.01}]


@pytest.mark.parametrize("change", BAD)
def test_a_bad_record_is_refused_and_not_written(tmp_path, change):
    with closing(MetricsWriter(tmp_path / "m.jsonl")) as writer, pytest.raises(ValueError, match="record"):
        writer.write(EVAL | change)
    assert (tmp_path / "m.jsonl").read_text() == ""


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match="lacks 'win_rate'"):
        validate({k: v for k, v in EVAL.items() if k != "win_rate"})


def test_a_line_cut_by_a_kill_is_left_out_but_a_broken_line_is_an_error(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(EVAL) + "\n" + json.dumps(EVAL)[:40])
    assert len(list(read_records(path))) == 1
    path.write_text("{oops\n" + json.dumps(EVAL) + "\n")
    with pytest.raises(ValueError, match=r"m\.jsonl:1"):
        list(read_records(path))


def test_a_resumed_writer_cuts_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "m.jsonl"
    with closing(MetricsWriter(path)) as writer:
        writer.write(EVAL)
        kept = writer.sync()
        writer.write(EVAL | {"mark": 20})
    with closing(MetricsWriter(path, kept=kept)) as writer:
        writer.write(EVAL | {"mark": 30})
    assert [r["mark"] for r in read_records(path, "eval")] == [10, 30]


def test_clock_readings_are_told_apart():
    assert without_clock({"a_seconds": 1, "steps_per_second": 2, "seconds_left": 3}) == {"seconds_left": 3}


def test_running_means_by_hand_and_through_a_checkpoint():
    means = RunningMeans()
    means.add({"loss": 1.0, "rare": 7.0})
    means.add({"loss": 2.0})
    other = RunningMeans()
    other.load_state_dict(means.state_dict())
    assert other.drain() == means.drain() == {"loss": 1.5, "rare": 7.0}
    assert means.drain() == {}
