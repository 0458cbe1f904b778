"""Checkpoints: exact round trip, atomic replacement, damage is noticed."""

import hashlib
import io
import os
import pickle

import numpy as np
import pytest
import torch

from training import checkpoint
from training.errors import UserError


def test_round_trip_of_tensors_arrays_and_generator_states(tmp_path):
    rng = np.random.default_rng(3)
    state = {"w": torch.randn(3), "a": np.arange(4, dtype=np.int16), "rng": rng.bit_generator.state, "n": 5}
    checkpoint.save(tmp_path / "c.pt", state)
    back = checkpoint.load(tmp_path / "c.pt")
    assert torch.equal(back["w"], state["w"])
    assert back["a"].dtype == np.int16
    assert back["rng"] == state["rng"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign"])
def test_damage_is_refused_and_the_file_is_left_alone(tmp_path, damage):
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"w": torch.zeros(100)})
    raw = bytearray(path.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 1
    raw = {"flip": raw, "cut": raw[:-10], "empty": b"", "foreign": b"PK" + bytes(200)}[damage]
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"corrupt.*restore it"):
        checkpoint.load(path)
    assert path.read_bytes() == bytes(raw)


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"n": 1})
    for odd, where in (
        ({"n": lambda: None}, r"state\.n"),
        ({"a": [1, {2}]}, r"state\.a\[1\]"),
        ({(1,): 2}, "plain keys"),
    ):
        with pytest.raises(TypeError, match=where):
            checkpoint.save(path, odd)
    assert checkpoint.load(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_missing_checkpoint_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint.load(tmp_path / "c.pt")


def test_a_large_array_is_written_as_it_is(tmp_path):
    """Not as text, which would take a third more space, and not held in memory once more beside the pickle."""
    array = np.random.default_rng(0).random(1_000_000, dtype=np.float32)
    checkpoint.save(tmp_path / "c.pt", {"a": array})
    assert array.nbytes < (tmp_path / "c.pt").stat().st_size < 1.01 * array.nbytes
    assert np.array_equal(checkpoint.load(tmp_path / "c.pt")["a"], array)


def sealed(payload, magic=checkpoint.MAGIC):
    """A file with a right checksum, as anybody can make it."""
    return magic + hashlib.sha256(payload).digest() + payload


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(tmp_path, writer):
    buffer, path = io.BytesIO(), tmp_path / "c.pt"
    state = {"learner": Evil(tmp_path / "ran")}
    torch.save(state, buffer) if writer == "torch" else pickle.dump(state, buffer)
    path.write_bytes(sealed(buffer.getvalue()))
    with pytest.raises(UserError, match="must hold data only"):
        checkpoint.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("magic", checkpoint.OLDER)
def test_a_checkpoint_of_an_older_version_is_refused_unread(tmp_path, magic):
    buffer = io.BytesIO()
    torch.save({"a": Evil(tmp_path / "ran")}, buffer)
    (tmp_path / "c.pt").write_bytes(sealed(buffer.getvalue(), magic))
    with pytest.raises(UserError, match=r"older version.*start the run anew"):
        checkpoint.load(tmp_path / "c.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "uint16", "int64", "uint64", "float16", "float32", "float64"]
)
def test_arrays_of_all_kinds_and_shapes_come_back(tmp_path, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    frozen = array.copy()
    frozen.flags.writeable = False
    state = {
        "whole": array,
        "turned": array.T,
        "part": array[:, 1:2],
        "none": array[:0],
        "one": array[0, 0, 1],
        "frozen": frozen,
    }
    checkpoint.save(tmp_path / "c.pt", state)
    back = checkpoint.load(tmp_path / "c.pt")
    assert all(np.array_equal(back[k], state[k]) and np.asarray(back[k]).dtype == dtype for k in state if k != "one")
    assert back["one"] == state["one"] and type(back["one"]) is type(state["one"])


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint.save(tmp_path / "c.pt", {"run": {"identity": "ab", "seed": 1}})
    assert checkpoint.load(tmp_path / "c.pt", run={"identity": "ab", "seed": 1})
    with pytest.raises(UserError, match=r"must be one of run .*'seed': 2.*got one of .*'seed': 1"):
        checkpoint.load(tmp_path / "c.pt", run={"identity": "ab", "seed": 2})
