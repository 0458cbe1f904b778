"""Identity by hand, differences by name, and a run directory's lock, names and refusals."""

import fcntl
import hashlib
import json
import logging
import os

import pytest

from tests.training.test_cli import identity_by_hand, locked
from training import run as run_module
from training.errors import UserError
from training.identity import first_difference, identity, run_key, settings
from training.run import RECORD, RunDirectory, read_config

WHOLE = {
    "identity": "x", "program": "mazero", "algorithm": "mazero", "preset": "größe", "map": "3m", "backend": "skirmish",
    "unit_data": "4.10", "seed": 3, "threads": 2, "device": "cpu", "budget": {"env_steps": 100},
    "evaluation": {"every": 10, "episodes": 32}, "env": {"obs_noise": 0.1, "text": "λ"},
    "config": {"sizes": (8, 4), "rate": 1e-4, "off": None},
}  # fmt: skip


def test_the_identity_is_a_hash_of_all_settings_but_seed_threads_and_names():
    text = (
        '{"algorithm":"mazero","backend":"skirmish","budget":{"env_steps":100},'
        '"config":{"off":null,"rate":0.0001,"sizes":[8,4]},"device":"cpu","env":{"obs_noise":0.1,"text":"λ"},'
        '"evaluation":{"episodes":32,"every":10},"map":"3m","program":"mazero","unit_data":"4.10"}'
    )
    expected = hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
    assert identity(WHOLE) == expected
    assert run_key(WHOLE) == {"identity": expected, "seed": 3}
    left_out = ("identity", "preset", "seed", "threads")
    assert settings(WHOLE) == {k: v for k, v in WHOLE.items() if k not in left_out} | {
        "config": {"sizes": [8, 4], "rate": 1e-4, "off": None}
    }
    assert settings({"a": 1}) == {"a": 1, "env": {}} and run_key({"a": 1})["seed"] is None


@pytest.mark.parametrize("key", [key for key in WHOLE if key not in ("identity", "preset", "seed", "threads")])
def test_every_setting_is_part_of_the_identity(key):
    other = WHOLE[key] | {"more": 1} if isinstance(WHOLE[key], dict) else "other"
    assert identity(WHOLE | {key: other}) != identity(WHOLE)
    assert identity({k: v for k, v in WHOLE.items() if k != key}) != identity(WHOLE)


def test_numbers_that_are_not_finite_have_no_identity():
    with pytest.raises(ValueError, match="not JSON compliant"):
        identity({"config": {"rate": float("nan")}})


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ("b", 2, 3)),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ("a.b.c", 1, 2)),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}, ("a.c", "absent", None)),
        ({"a": {"b": 1, "c": None}}, {"a": {"b": 1}}, ("a.c", None, "absent")),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, ("b", 1, 2)),
        ({"a": 1}, {"a": 1.0}, ("a", 1, 1.0)),
        ({"a": {"b": 1}}, {"a": 3}, ("a", {"b": 1}, 3)),
        ({"a": 3}, {"a": {"b": 1}}, ("a", 3, {"b": 1})),
        ({1: {2: 3}}, {1: {2: 4}}, ("1.2", 3, 4)),
        ({"a": [1]}, {"a": [2]}, ("a", [1], [2])),
        ({"a": {"b": [1]}, "c": "x"}, {"c": "x", "a": {"b": [1]}}, None),
        (1, 2, ("", 1, 2)),
    ],
)
def test_the_first_difference_is_found_by_its_dotted_key(old, new, found):
    assert first_difference(old, new) == found


def test_a_run_directory_has_its_file_names(tmp_path):
    run = RunDirectory(tmp_path)
    names = {name: path.relative_to(tmp_path).as_posix() for name, path in vars(run).items() if name.endswith("_path")}
    assert names == {
        "config_path": "config.json",
        "provenance_path": "provenance.json",
        "metrics_path": "metrics.jsonl",
        "checkpoint_path": "checkpoint.pt",
        "rows_path": "rows",
        "done_path": "done.json",
    }
    assert run.path == tmp_path and run.key == {}


def test_a_claimed_run_knows_its_key_holds_the_lock_and_says_whose_its_end_is(tmp_path):
    run = RunDirectory(tmp_path / "a" / "b")
    with run.claim(WHOLE):
        assert run.key == {"identity": identity(WHOLE), "seed": 3} and locked(run.path)
        assert not run.finished
        run.finish({"final": 1})
    assert not locked(run.path) and run.finished
    assert json.loads(run.done_path.read_text()) == {"identity": identity(WHOLE), "seed": 3, "final": 1}
    assert json.loads(run.config_path.read_text()) == json.loads(json.dumps(WHOLE))


def test_the_lock_is_free_again_after_an_error(tmp_path):
    run = RunDirectory(tmp_path)
    with pytest.raises(RuntimeError, match="inside"), run.claim(WHOLE):
        raise RuntimeError("inside")
    assert not locked(tmp_path)


@pytest.mark.parametrize("other", [None, WHOLE | {"map": "8m"}])
def test_a_second_process_waits_and_sees_what_the_first_one_wrote(tmp_path, monkeypatch, caplog, other):
    """The first one goes when the second one says that it waits."""
    first = open(tmp_path / "run.lock", "w")
    fcntl.flock(first, fcntl.LOCK_EX)
    (tmp_path / ".metrics.jsonl.0.tmp").write_text("of the first")

    def gone(message, path):
        assert message == "another process is working in %s: waiting for it to finish" and path == tmp_path
        assert (tmp_path / ".metrics.jsonl.0.tmp").exists() and not (tmp_path / "config.json").exists()
        if other is not None:
            (tmp_path / "config.json").write_text(json.dumps(other))
        first.close()

    monkeypatch.setattr(run_module.logger, "warning", gone)
    run = RunDirectory(tmp_path)
    if other is None:
        with run.claim(WHOLE):
            assert locked(tmp_path) and not (tmp_path / ".metrics.jsonl.0.tmp").exists()
    else:
        with pytest.raises(UserError, match=r"another config \(map: '8m' there, '3m' here\)"), run.claim(WHOLE):
            pass
    assert first.closed


def test_nothing_is_said_where_nobody_else_works(tmp_path, caplog):
    with caplog.at_level(logging.INFO), RunDirectory(tmp_path).claim(WHOLE):
        pass
    assert not caplog.records


@pytest.mark.parametrize("name", ["a.txt", "config.jsonl", "zconfig.json", "run.lock2", "metrics.jsonl"])
def test_files_of_somebody_else_are_named_and_left_alone(tmp_path, name):
    (tmp_path / name).write_text("x")
    (tmp_path / "zzz").write_text("x")
    with pytest.raises(UserError, match=f"holds '{name}' but no config.json"), RunDirectory(tmp_path).claim(WHOLE):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "zzz"]


@pytest.mark.parametrize("name", [".config.json.abc.tmp", "run.lock"])
def test_what_a_process_that_was_killed_at_once_left_is_not_somebody_elses(tmp_path, name):
    (tmp_path / name).write_text("")
    with RunDirectory(tmp_path).claim(WHOLE):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "run.lock"]


def test_a_folder_that_must_not_be_written_is_refused(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)) or False)
    with pytest.raises(
        UserError, match=r"cannot write to output directory .*\(Permission denied\): choose another --out"
    ):
        with RunDirectory(tmp_path / "run").claim(WHOLE):
            pass
    assert asked == [(tmp_path / "run", os.W_OK | os.X_OK)] and list((tmp_path / "run").iterdir()) == []


PLAYABLE = {key: WHOLE[key] for key in RECORD}


def test_the_record_of_a_run_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PLAYABLE))
    assert read_config(tmp_path) == json.loads(json.dumps(PLAYABLE))


@pytest.mark.parametrize("key", RECORD)
def test_a_record_that_lacks_something_is_refused_by_name(tmp_path, key):
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in PLAYABLE.items() if k != key}))
    with pytest.raises(UserError, match=f"must be the record of a run, got one without {key}: restore it from a copy"):
        read_config(tmp_path)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"\x00"])
def test_a_record_that_is_no_text_is_refused(tmp_path, raw):
    (tmp_path / "config.json").write_bytes(raw)
    with pytest.raises(UserError, match=r"config\.json is not readable JSON \(.*\): restore it from a copy"):
        read_config(tmp_path)


def test_a_record_that_is_no_mapping_lacks_everything(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(list(RECORD)))
    with pytest.raises(UserError, match=f"got one without {', '.join(RECORD)}: restore"):
        read_config(tmp_path)


def test_a_folder_that_is_no_run_is_named_with_its_nearest_neighbour(tmp_path):
    with pytest.raises(UserError) as refusal:
        read_config(tmp_path / "nowhere" / "run")
    reason = "is not a run directory, it has no config.json"
    assert str(refusal.value) == f"{tmp_path / 'nowhere' / 'run'} {reason}: give the --out of a training run"
    for name in ("seed0", "other"):
        (tmp_path / name).mkdir()
    for name, hint in (("seed1", "did you mean 'seed0'?"), ("xyz", "known: other, seed0")):
        with pytest.raises(UserError) as refusal:
            read_config(tmp_path / name)
        assert str(refusal.value) == f"{tmp_path / name} {reason} ({hint}): give the --out of a training run"


def test_the_identity_that_is_recorded_is_the_one_that_is_checked():
    assert identity_by_hand({k: v for k, v in WHOLE.items() if k != "identity"}) == identity(WHOLE)
