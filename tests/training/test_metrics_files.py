"""Metrics files: what every field must be, what is on disk, what a checkpoint vouches for, words of refusals."""

import hashlib
import json
import os
from contextlib import closing

import pytest

from training.errors import UserError
from training.metrics import Kept, MetricsWriter, RunningMeans, read_records, validate, without_clock

COUNTS = {"env_steps": 12, "updates": 1, "episodes": 2}
RESULT = {"num_episodes": 4, "win_rate": 0.25, "return_mean": 1.0, "return_std": 0.0, "length_mean": 3.0}
RUN = {"kind": "run", "identity": "abc", "seed": 0}
EVAL = {"kind": "eval", "mark": 10, **COUNTS, "wall_seconds": 0.5, **RESULT}
TRAIN = {"kind": "train", **COUNTS, "wall_seconds": 0.5, "loss": 0.25}
ABSOLUTE = {"kind": "absolute", "mark": 10, "wall_seconds": 0.5, **RESULT}
RECORDS = [RUN, EVAL, TRAIN, ABSOLUTE]


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_of_a_record_is_needed_and_has_its_type(record):
    """But for `loss`, which is of the learner."""
    validate(record)
    kind = record["kind"]
    for name, value in record.items():
        if name in ("kind", "loss"):
            continue
        rest = {k: v for k, v in record.items() if k != name}
        with pytest.raises(ValueError) as refusal:
            validate(rest)
        assert str(refusal.value) == f"{kind} record lacks {name!r}: it has {', '.join(rest)}"
        wanted = {str: "a text", int: "a finite int", float: "a finite float"}[type(value)]
        bad = {str: [1, None, True], int: [1.0, "1", None, True], float: ["1", None, False, float("nan"), float("inf")]}
        for other in bad[type(value)]:
            with pytest.raises(ValueError) as refusal:
                validate(record | {name: other})
            assert str(refusal.value) == f"{kind} record field {name!r} must be {wanted}, got {other!r}"


def test_whole_numbers_are_floats_and_a_win_rate_is_a_share():
    for good in ({"wall_seconds": 0, "return_mean": -3}, {"win_rate": 0}, {"win_rate": 1}, {"win_rate": 1.0}):
        validate(EVAL | good)
    for bad in (-0.001, 1.001, 2):
        with pytest.raises(ValueError) as refusal:
            validate(ABSOLUTE | {"win_rate": bad})
        assert str(refusal.value) == f"absolute record field 'win_rate' must lie in 0..1, got {bad!r}"


@pytest.mark.parametrize("record", [{}, {"kind": "test"}, {"kind": None}, {"kind": 3}])
def test_there_are_four_kinds_of_records(record):
    with pytest.raises(ValueError) as refusal:
        validate(record)
    got = record.get("kind")
    assert str(refusal.value) == f"record kind must be one of run, eval, train, absolute, got {got!r}"


def test_clock_readings_are_left_out():
    record = {"a_seconds": 1, "b_per_second": 2, "seconds": 3, "_seconds": 4, "per_second_c": 5, "mark": 6}
    assert without_clock(record) == {"seconds": 3, "per_second_c": 5, "mark": 6}


def written(path, records, kept=None):
    """Write records and say what was vouched for after each."""
    with closing(MetricsWriter(path, kept=kept)) as writer:
        vouched = []
        for record in records:
            writer.write(record)
            vouched.append(writer.sync())
    return vouched


def test_what_is_vouched_for_is_size_and_hash_of_the_file_also_in_a_second_session(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("of somebody else\n")
    whole = [json.dumps(record).encode() + b"\n" for record in RECORDS]
    heads = [b"".join(whole[: k + 1]) for k in range(4)]
    expected = [Kept(len(head), hashlib.sha256(head).hexdigest()) for head in heads]
    assert written(path, RECORDS[:3]) == expected[:3]
    assert written(path, RECORDS[2:], expected[1]) == expected[2:]  # the third record is written again
    assert path.read_bytes() == heads[3]
    assert list(read_records(path)) == RECORDS
    assert [list(read_records(path, kind)) for kind in ("run", "eval", "train", "absolute")] == [[r] for r in RECORDS]
    assert written(path, [], expected[0]) == [] and path.read_bytes() == heads[0]
    assert written(path, []) == [] and path.read_bytes() == b""


def test_records_are_forced_to_disk_when_they_are_vouched_for(tmp_path, monkeypatch):
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size) or sync(handle))
    (kept,) = written(tmp_path / "m.jsonl", [EVAL])
    assert synced == [kept.bytes] == [len(json.dumps(EVAL)) + 1]


def test_a_number_of_the_learner_that_is_not_finite_is_refused_and_leaves_nothing(tmp_path):
    with closing(MetricsWriter(tmp_path / "m.jsonl")) as writer:
        before = writer.sync()
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.write(TRAIN | {"loss": float("nan")})
        assert writer.sync() == before == Kept(0, hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize(
    ("head", "got"), [(None, "0 bytes"), (b"", "0 bytes"), (b"abc", "3 bytes"), (b"abcX", "others of that number")]
)
def test_a_file_that_begins_otherwise_is_refused_and_left_as_it_is(tmp_path, head, got):
    path = tmp_path / "run" / "m.jsonl"
    path.parent.mkdir()
    if head is not None:
        path.write_bytes(head)
    with pytest.raises(UserError) as refusal:
        MetricsWriter(path, kept=Kept(4, hashlib.sha256(b"abcd").hexdigest()))
    assert str(refusal.value) == (
        f"{path} must begin with the 4 bytes that this run's checkpoint was written after, got {got}: "
        f"restore it from a copy, or move {path.parent} away to start the run anew"
    )
    assert path.exists() == (head is not None) and (head is None or path.read_bytes() == head)


def test_a_checkpoint_before_the_first_record_vouches_for_an_empty_file(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"more")
    (kept,) = written(path, [RUN], Kept(0, hashlib.sha256(b"").hexdigest()))
    assert path.read_bytes() == json.dumps(RUN).encode() + b"\n" and kept.bytes == path.stat().st_size


@pytest.mark.parametrize("bad", ["{oops", "3", "[1]", json.dumps({k: v for k, v in EVAL.items() if k != "mark"}), ""])
def test_a_broken_line_is_named_by_its_number(tmp_path, bad):
    path = tmp_path / "m.jsonl"
    path.write_text(f"{json.dumps(RUN)}\n{bad}\n{json.dumps(EVAL)}\n")
    reader = read_records(path)
    assert next(reader) == RUN
    with pytest.raises(ValueError, match=rf"^{path}:2: not a metrics record: "):
        next(reader)


def test_means_are_taken_name_by_name_and_start_anew():
    means = RunningMeans()
    assert means.drain() == {}
    for values in ({"loss": 1.0, "rare": 7}, {"loss": 2.0}, {"loss": 6.0, "late": -1.0}):
        means.add(values)
    state = means.state_dict()
    assert state == {"sums": {"loss": 9.0, "rare": 7.0, "late": -1.0}, "counts": {"loss": 3, "rare": 1, "late": 1}}
    assert list(means.drain().items()) == [("loss", 3.0), ("rare", 7.0), ("late", -1.0)]
    assert means.drain() == {} and state["counts"] == {"loss": 3, "rare": 1, "late": 1}
    other = RunningMeans()
    other.load_state_dict(state)
    other.add({"loss": 3.0})
    assert other.drain() == {"loss": 3.0, "rare": 7.0, "late": -1.0} and state["sums"]["loss"] == 9.0
