"""Checkpoint files byte by byte: layout, what goes in and comes out of which type, and the words of every refusal."""

import hashlib
import io

import numpy as np
import pytest
import torch

from training import checkpoint
from training.errors import UserError
from training.rows import Growing, RowFiles


class Name(str):
    """A text of its own type."""


def sealed(payload):
    return checkpoint.MAGIC + hashlib.sha256(payload).digest() + payload


def put(path, state):
    """A file with a right checksum, made without `save`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(sealed(buffer.getvalue()))


def test_a_file_is_magic_checksum_and_plain_payload(tmp_path):
    array = np.arange(3, dtype=np.int16)
    checkpoint.save(tmp_path / "c.pt", {"a": array, "b": np.float32(0.5), "c": (1, [None, "x"])})
    raw = (tmp_path / "c.pt").read_bytes()
    assert raw[:8] == b"MZBENCH4" and raw[8:40] == hashlib.sha256(raw[40:]).digest()
    plain = torch.load(io.BytesIO(raw[40:]), weights_only=True)
    assert plain["a"].keys() == {"numpy array"} and plain["a"]["numpy array"].tolist() == [0, 1, 2]
    assert plain["b"].keys() == {"numpy scalar"} and plain["b"]["numpy scalar"].item() == 0.5
    assert plain["c"] == (1, [None, "x"])


def test_everything_comes_back_with_its_type(tmp_path):
    state = {
        "none": None, "bool": True, "int": 2**70, "float": 0.1, "text": "λ", "name": Name("x"), "list": [1, (2, [3])],
        1: {2.5: {True: {None: 4}}}, "tensor": torch.arange(3), "float64": np.float64(0.1), "bool_": np.bool_(True),
        "int8": np.int8(-3), "backward": np.arange(4)[::-1], "frozen": np.frombuffer(b"ab", np.uint8), "empty": {},
    }  # fmt: skip
    checkpoint.save(tmp_path / "c.pt", state)
    back = checkpoint.load(tmp_path / "c.pt")
    assert list(back) == list(state) and type(back["name"]) is str
    assert torch.equal(back.pop("tensor"), state.pop("tensor"))
    for name in ("backward", "frozen"):
        assert back[name].dtype == state[name].dtype and back.pop(name).tolist() == state.pop(name).tolist()
    for name in ("float64", "bool_", "int8"):
        assert type(back[name]) is type(state[name])
    assert back == state and type(back["list"][1]) is tuple


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": {"b": [0, {1}]}}, "state.a.b[1] must be plain data, got set"),
        ([object()], "state[0] must be plain data, got object"),
        ({"a": np.array([{}])}, "state.a must be an array of numbers, got one of objects"),
        ({"a": {(1, 2): 3}}, "state.a must have plain keys, got (1, 2)"),
        ({"numpy array": 3}, "state must have plain keys, got 'numpy array'"),
        ({"a": [{"numpy scalar": 3}]}, "state.a[0] must have plain keys, got 'numpy scalar'"),
        ({"growing table": 3}, "state must have plain keys, got 'growing table'"),
        ({"a": Growing(0, 0, dict)}, "state.a must be plain data, got Growing"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_its_place(tmp_path, state, message):
    with pytest.raises(TypeError) as refusal:
        checkpoint.save(tmp_path / "c.pt", state)
    assert str(refusal.value) == message and list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_read_as_data_only_and_to_the_cpu(tmp_path, monkeypatch):
    asked, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda file, **kwargs: asked.append(kwargs) or load(file, **kwargs))
    checkpoint.save(tmp_path / "c.pt", {"a": 1})
    assert checkpoint.load(tmp_path / "c.pt") == {"a": 1}
    assert asked == [{"map_location": "cpu", "weights_only": True}]


def test_an_array_is_written_without_a_copy_of_it(tmp_path, monkeypatch):
    given, save = [], torch.save
    monkeypatch.setattr(torch, "save", lambda plain, file: given.append(plain["a"]) or save(plain, file))
    array = np.arange(6).reshape(2, 3)
    for value, shared in ((array, True), (array.T, False), (array[:, :2], False)):
        checkpoint.save(tmp_path / "c.pt", {"a": value})
        written = given.pop()["numpy array"].numpy()
        assert np.shares_memory(written, array) == shared and written.tolist() == value.tolist()
        assert written.flags.c_contiguous


REMEDY = "restore it from a copy, or move the run directory away to start the run anew"


def refusal_of(path, **kwargs):
    with pytest.raises(UserError) as refusal:
        checkpoint.load(path, **kwargs)
    return str(refusal.value)


def test_refusals_say_what_was_found_and_what_to_do(tmp_path):
    path = tmp_path / "c.pt"
    assert refusal_of(path) == f"no checkpoint at {path}: give the run directory of a run that was started"
    path.write_bytes(b"MZBENCH1" + bytes(50))
    assert refusal_of(path) == f"checkpoint {path} is of an older version, whose files are not read any more: {REMEDY}"
    checkpoint.save(path, {"a": 1})
    raw = path.read_bytes()
    for damaged in (raw[:-1], raw[:8] + bytes(32) + raw[40:], b"MZBENCH9" + raw[8:], b"", raw + b"x"):
        path.write_bytes(damaged)
        assert refusal_of(path) == f"checkpoint {path} is corrupt ({len(damaged)} bytes, checksum differs): {REMEDY}"
    path.write_bytes(sealed(b"no pickle"))
    assert refusal_of(path) == f"checkpoint {path} must hold data only, got more: do not trust its source"


RUN = {"identity": "ab", "seed": 1}
OTHER = "put back the run's own, or move the run directory away to start it anew"


@pytest.mark.parametrize(
    ("state", "there"),
    [({"run": {"identity": "ab", "seed": 2}}, {"identity": "ab", "seed": 2}), ({"a": 1}, None), ([1, 2], None)],
)
def test_the_checkpoint_of_another_run_says_whose_it_is(tmp_path, state, there):
    path = tmp_path / "c.pt"
    put(path, state)
    assert checkpoint.load(path) == state
    assert refusal_of(path, run=RUN) == f"checkpoint {path} must be one of run {RUN}, got one of {there}: {OTHER}"


def test_tables_are_read_only_where_their_files_are_given(tmp_path):
    numbers = np.arange(5)
    table = Growing(1, 5, lambda since: {"number": numbers[since:]})
    checkpoint.save(tmp_path / "c.pt", {"deep": [{"table": table}], "run": RUN}, rows=RowFiles(tmp_path / "rows"))
    assert checkpoint.load(tmp_path / "c.pt") == {"deep": [{"table": None}], "run": RUN}
    back = checkpoint.load(tmp_path / "c.pt", rows=RowFiles(tmp_path / "rows"), run=RUN)["deep"][0]["table"]
    assert (back.first, back.end, back.read(2)["number"].tolist()) == (1, 5, [2, 3, 4])
