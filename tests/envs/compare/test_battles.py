"""Recorded battles: a file gives back what was written, and says so if it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.compare.battles import ARRAYS, join, load
from tests.envs.compare.drawn import battle
from training.errors import UserError


def test_episodes_of_any_length_lie_one_after_another() -> None:
    short = battle([[1, 2], [1, 0]], n=1, rewards=[3.0], won=True)
    long = battle([[5, 6], [4, 6], [3, 6], [0, 6]], n=1, rewards=[0.5, 0.25, 0.0])
    both = join([short, long, short])
    assert len(both) == 3 and both.lengths.tolist() == [1, 3, 1]
    assert both.start.tolist() == [0, 2, 6, 8]
    assert both.won.tolist() == [True, False, True]
    assert both.reward.tolist() == [3.0, 0.0, 0.5, 0.25, 0.0, 0.0, 3.0, 0.0]
    assert both.actions[:, 0].tolist() == [0, -1, 0, 1, 2, -1, 0, -1]
    assert both.states[2:6, 2].tolist() == [[5, 6], [4, 6], [3, 6], [0, 6]]
    two = both.first(2)
    for name in ARRAYS:
        assert np.array_equal(getattr(two, name), getattr(join([short, long]), name)), name


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    written = battle([[0.1, 2.5], [0.0, 2.25]], n=1, shield=[[7, 0], [0, 0]], won=False)
    written.save(tmp_path / "b.npz", {"map": "3m", "kinds": ["a", "b"]})
    read, header = load(tmp_path / "b.npz")
    assert header == {"format": "mazero-bench battles 1", "map": "3m", "kinds": ["a", "b"]}
    for name in ARRAYS:
        there, here = getattr(written, name), getattr(read, name)
        assert there.dtype == here.dtype and np.array_equal(there, here), name


@pytest.mark.parametrize("damage", ["cut", "text", "other format", "gone"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "b.npz"
    battle([[1, 2], [1, 0]], n=1).save(path, {"map": "3m"})
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("no battles")
    elif damage == "other format":
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, "header": np.array('{"format": "something else"}')})
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"b\.npz must (hold recorded battles|be of the format)"):
        load(path)
