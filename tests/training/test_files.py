"""Files are whole at any moment: what is on disk when the writer is killed."""

import errno
import json
import os
import stat

import pytest

from training import checkpoint, provenance
from training.files import clear_leftovers, replacing, write_json, write_text
from training.run import RunDirectory

NEW = {"b": [1, "ü"], "a": None}


def put_json(folder):
    write_json(folder / "file", NEW)


def put_text(folder):
    write_text(folder / "file", "λ = 0.8\n")


def put_checkpoint(folder):
    checkpoint.save(folder / "file", {"a": 1})


def put_session(folder):
    provenance.add_session(folder, {"git_dirty": False}, from_step=0)


def put_end(folder):
    RunDirectory(folder).finish({"a": 1})


def put_config(folder):
    with RunDirectory(folder).claim({"seed": 1}):
        pass


WRITERS = {
    "file": [put_json, put_text, put_checkpoint],
    "provenance.json": [put_session],
    "done.json": [put_end],
    "config.json": [put_config],
}
CASES = [(writer, name) for name, writers in WRITERS.items() for writer in writers]


@pytest.mark.parametrize(("write", "name"), CASES)
def test_a_file_appears_whole_after_it_is_on_disk(tmp_path, monkeypatch, write, name):
    """What lies there while it is forced to disk is the whole file under another name."""
    synced, sync, replace = [], os.fsync, os.replace

    def watching_sync(handle):
        assert not (tmp_path / name).exists()
        (there,) = tmp_path.glob(f".{name}.*.tmp")
        assert os.fstat(handle).st_ino == there.stat().st_ino
        synced.append(there.read_bytes())
        sync(handle)

    def watching_replace(old, new):
        assert len(synced) == 1 and new == tmp_path / name
        replace(old, new)

    monkeypatch.setattr(os, "fsync", watching_sync)
    monkeypatch.setattr(os, "replace", watching_replace)
    write(tmp_path)
    assert synced == [(tmp_path / name).read_bytes()] and not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("write", [put_json, put_text, put_checkpoint])
@pytest.mark.parametrize("where", ["fsync", "replace", "fchmod"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, write, where):
    (tmp_path / "file").write_text("old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, where, full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "old"


def test_an_interrupt_leaves_the_old_file(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "old"


def test_two_writers_do_not_share_a_file(tmp_path):
    with replacing(tmp_path / "file") as first, replacing(tmp_path / "file") as second:
        first.write(b"first")
        second.write(b"second")
    assert (tmp_path / "file").read_bytes() == b"first"  # it is the last one to end


def test_json_is_indented_utf_8_and_ends_its_line(tmp_path):
    put_json(tmp_path)
    text = (tmp_path / "file").read_text(encoding="utf-8")
    assert text == '{\n  "b": [\n    1,\n    "\\u00fc"\n  ],\n  "a": null\n}\n' and json.loads(text) == NEW


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()])
def test_what_is_no_json_is_refused_before_a_file_is_made(tmp_path, bad):
    with pytest.raises((ValueError, TypeError), match=r"JSON"):
        write_json(tmp_path / "file", {"a": bad})
    assert list(tmp_path.iterdir()) == []


def test_a_text_is_written_into_new_folders_and_over_an_old_one(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for text in ("λ = 0.8\n", ""):
        assert write_text(path, text) == path and path.read_bytes() == text.encode("utf-8")


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_mode_that_the_user_wants_for_new_files(tmp_path, mask):
    before = os.umask(mask)
    try:
        put_text(tmp_path)
        assert os.umask(mask) == mask  # it is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_only_leftovers_are_cleared(tmp_path):
    for name in (".a.tmp", ".config.json.x.tmp", "b.tmp", ".hidden", "c.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / ".a.tmp").write_text("x")
    clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "b.tmp", "c.json", "inside"]
    assert (tmp_path / "inside" / ".a.tmp").exists()


def test_a_leftover_that_somebody_else_removes_meanwhile_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setattr(type(tmp_path), "glob", lambda folder, pattern: [folder / ".gone.tmp"])
    clear_leftovers(tmp_path)
