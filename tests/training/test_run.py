"""Run directories: who may write where."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import UserError
from training.files import replacing, write_json
from training.run import RunDirectory, read_config

ROOT = Path(__file__).resolve().parents[2]


def claim(path, record):
    with RunDirectory(path).claim(record):
        pass


def test_the_same_config_continues_and_another_is_refused_by_name(tmp_path):
    claim(tmp_path / "r", {"config": {"rho": 0.25}, "seed": 1})
    claim(tmp_path / "r", {"config": {"rho": 0.25}, "seed": 1})
    with pytest.raises(UserError, match=r"config\.rho: 0\.25 there, 0\.75 here"):
        claim(tmp_path / "r", {"config": {"rho": 0.75}, "seed": 1})
    with pytest.raises(UserError, match=r"seed: 1 there, 2 here"):
        claim(tmp_path / "r", {"config": {"rho": 0.25}, "seed": 2})
    assert json.loads((tmp_path / "r" / "config.json").read_text()) == {"config": {"rho": 0.25}, "seed": 1}


def test_a_directory_with_other_files_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        claim(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write to output directory"):
        claim(tmp_path / "file" / "run", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_directory_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        claim(tmp_path / "r", {})


def test_a_directory_without_config_is_no_run(tmp_path):
    (tmp_path / "seed=0").mkdir()
    with pytest.raises(UserError, match="did you mean 'seed=0'"):
        read_config(tmp_path / "seed=00")


def test_threads_may_change_from_session_to_session(tmp_path):
    claim(tmp_path / "r", {"config": {}, "seed": 1, "threads": 2})
    claim(tmp_path / "r", {"config": {}, "seed": 1, "threads": 1})
    assert json.loads((tmp_path / "r" / "config.json").read_text())["threads"] == 2


@pytest.mark.parametrize("text", ["{", "[]", "", '"run"', "\xff"])
def test_an_unreadable_record_is_refused_and_left_alone(tmp_path, text):
    claim(tmp_path / "r", {"seed": 1})
    (tmp_path / "r" / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="not a readable record"):
        claim(tmp_path / "r", {"seed": 1})
    assert (tmp_path / "r" / "config.json").read_text(encoding="latin-1") == text


def test_two_processes_that_start_on_one_new_folder_take_turns(tmp_path):
    """Both claim the same run; neither fails, and they are never inside together."""
    program = """
import sys, time
from pathlib import Path
from training.run import RunDirectory
with RunDirectory(Path(sys.argv[1])).claim({"seed": 1}):
    begin = time.monotonic(); time.sleep(0.05); print(begin, time.monotonic())
"""
    command = [sys.executable, "-c", program, str(tmp_path / "new")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)]
    spans = sorted(tuple(map(float, process.communicate()[0].split())) for process in both)
    assert [process.returncode for process in both] == [0] * 4
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


def test_what_a_killed_process_left_half_written_is_cleared(tmp_path):
    claim(tmp_path / "r", {"seed": 1})
    (tmp_path / "r" / ".checkpoint.pt.abc.tmp").write_bytes(bytes(100))
    claim(tmp_path / "r", {"seed": 1})
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["config.json", "run.lock"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(OSError, match="full"), replacing(tmp_path / "a.json") as file:
        file.write(b"{")
        raise OSError("disk full")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"] and (
        tmp_path / "a.json"
    ).read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"program": "mazero"}'])
def test_a_record_that_is_none_is_refused_before_a_run_is_played(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(
        UserError, match=r"config\.json (is not readable JSON|must be the record of a run, got one without)"
    ):
        read_config(tmp_path)
