"""Checkpoints: exact round trip, atomic replacement, damage is noticed."""

import hashlib
import io

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
    with pytest.raises(AttributeError):
        checkpoint.save(path, {"n": lambda: None})
    assert checkpoint.load(path) == {"n": 1}


def test_a_missing_checkpoint_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoint.load(tmp_path / "c.pt")


def test_a_large_array_is_written_as_it_is(tmp_path):
    """Not as text, which would take a third more space, and not held in memory once more beside the pickle."""
    array = np.random.default_rng(0).random(1_000_000, dtype=np.float32)
    checkpoint.save(tmp_path / "c.pt", {"a": array})
    assert array.nbytes < (tmp_path / "c.pt").stat().st_size < 1.01 * array.nbytes
    assert np.array_equal(checkpoint.load(tmp_path / "c.pt")["a"], array)


def test_a_checkpoint_of_the_older_writer_can_be_read(tmp_path):
    buffer = io.BytesIO()
    torch.save({"a": np.arange(3)}, buffer)
    payload = buffer.getvalue()
    (tmp_path / "c.pt").write_bytes(checkpoint.MAGIC + hashlib.sha256(payload).digest() + payload)
    assert checkpoint.load(tmp_path / "c.pt")["a"].tolist() == [0, 1, 2]
