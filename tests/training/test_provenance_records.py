"""What a record of a session holds, field by field, and what is kept of uncommitted changes."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch

from tests.training.conftest import git
from training import provenance
from training.errors import UserError

ASKED = {"backend": "skirmish", "threads": 3, "device": "cpu", "command": ["python", "-m", "mazero"]}


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose every answer is known; returns the text of its /proc/cpuinfo."""
    cpus = tmp_path / "cpuinfo"
    cpus.write_text("processor\t: 0\nmodel name\t: Fast: 9000 @ 3 GHz \nflags : fpu\nmodel name\t: Slow\n")
    monkeypatch.setattr(provenance, "Path", lambda path: cpus if path == "/proc/cpuinfo" else Path(path))

    def version(name):
        if name == "rliable":
            raise provenance.metadata.PackageNotFoundError(name)
        return f"1.{len(name)}"

    monkeypatch.setattr(provenance.metadata, "version", version)
    monkeypatch.setattr(provenance.platform, "python_version", lambda: "3.11.99")
    monkeypatch.setattr(provenance.platform, "platform", lambda: "Linux-of-tests")
    monkeypatch.setattr(provenance.os, "cpu_count", lambda: 77)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: {0: "Fast GPU"}[index])
    return cpus


def digest(root, *names):
    """SHA-256 over path, size and content of each file."""
    texts = [(name, (root / name).read_bytes()) for name in names]
    return hashlib.sha256(b"".join(f"{name} {len(text)}\n".encode() + text for name, text in texts)).hexdigest()


def test_a_record_says_everything_about_code_machine_and_command(checkout, machine):
    sources = [f"{name}/code.py" for name in ("mazero", "baselines", "envs", "skirmish", "training")]
    record = {
        "backend": "skirmish",
        "unit_data": None,
        "command": ["python", "-m", "mazero"],
        "git_commit": git(checkout, "rev-parse", "HEAD"),
        "git_dirty": False,
        "sources_sha256": digest(checkout, *sources),
        "lock_sha256": digest(checkout, "requirements.lock"),
        "python": "3.11.99",
        "platform": "Linux-of-tests",
        "cpu": "Fast: 9000 @ 3 GHz",
        "cpu_count": 77,
        "gpu": None,
        "threads": 3,
        "device": "cpu",
        "versions": {
            "torch": "1.5", "numpy": "1.5", "numba": "1.5", "pandas": "1.6", "rliable": "not installed",
            "snakemake": "1.9", "gymnasium": "1.9", "box2d": "1.5",
        },
    }  # fmt: skip
    assert provenance.collect(**ASKED) == record
    on_gpu = {"unit_data": "4.10", "device": "cuda:0"}
    assert provenance.collect(**ASKED | on_gpu) == record | on_gpu | {"gpu": "Fast GPU"}


def test_sources_are_ordered_files_of_our_packages_without_caches_and_pages(checkout):
    for name in ("mazero/b.yaml", "mazero/a/z.py", "mazero/__pycache__/code.pyc", "envs/README.md", "other/code.py"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(name)
    mazero = ["mazero/a/z.py", "mazero/b.yaml", "mazero/code.py"]
    rest = [f"{name}/code.py" for name in ("baselines", "envs", "skirmish", "training")]
    assert provenance.sources_digest() == digest(checkout, *mazero, *rest)


def test_a_gpu_that_is_not_there_has_no_name(checkout, machine, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert provenance.collect(**ASKED | {"device": "cuda"})["gpu"] is None


@pytest.mark.parametrize("text", [None, "processor : 0\n"])
@pytest.mark.parametrize(("processor", "name"), [("x86_64", "x86_64"), ("", "unknown")])
def test_a_machine_that_does_not_name_its_cpu(checkout, machine, monkeypatch, text, processor, name):
    machine.unlink() if text is None else machine.write_text(text)
    monkeypatch.setattr(provenance.platform, "processor", lambda: processor)
    assert provenance.collect(**ASKED)["cpu"] == name


def test_a_lock_that_is_not_there_has_no_digest(checkout):
    (checkout / provenance.LOCK).unlink()
    record = provenance.collect(**ASKED)
    assert record["lock_sha256"] is None and record["git_dirty"] is True


@pytest.mark.parametrize("code", [0, 1, 128])
def test_only_a_git_that_succeeds_is_believed(checkout, tmp_path, monkeypatch, code):
    """It names our folder, then answers with it to every question."""
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho {checkout}\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    record = provenance.collect(**ASKED)
    answers = (str(checkout), True) if code == 0 else (None, None)
    assert (record["git_commit"], record["git_dirty"]) == answers


def test_a_git_that_hangs_is_given_up(checkout, monkeypatch):
    def hanging(command, *, timeout, **kwargs):
        assert 1 <= timeout <= 30
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hanging)
    record = provenance.collect(**ASKED)
    assert record["git_commit"] is None and record["git_dirty"] is None


def test_the_command_is_what_a_person_would_type(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/mazero/__main__.py", "train", "--map", "3m"])
    assert provenance.command_line("mazero") == ["python", "-m", "mazero", "train", "--map", "3m"]


def files(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }


def test_all_uncommitted_changes_together_can_be_put_back(checkout, tmp_path):
    """Changed, binary, staged, removed and new files, names with blanks and umlauts, a package that is gone."""
    (checkout / "mazero" / "data.bin").write_bytes(bytes(range(256)))
    git(checkout, "add", "mazero/data.bin")
    git(checkout, "commit", "-q", "-m", "data")
    (checkout / "mazero" / "data.bin").write_bytes(bytes(range(255, -1, -1)))
    (checkout / "mazero" / "code.py").write_text("changed\n")
    (checkout / "training" / "staged.py").write_text("staged\n")
    git(checkout, "add", "training/staged.py")
    (checkout / "baselines" / "new.py").write_text("new\n")
    (checkout / "baselines" / "größe mit leer.py").write_text("λ = 0.8\n")
    (checkout / "baselines" / "new.bin").write_bytes(bytes(range(256)))
    (checkout / "baselines" / "empty.py").write_text("")
    (checkout / provenance.LOCK).write_text("numpy==9\n")
    (checkout / "envs" / "code.py").unlink()
    (checkout / "envs").rmdir()
    changed = files(checkout)
    (checkout / "baselines" / "ignored.log").write_text("ignored\n")
    (checkout / "thesis.tex").write_text("not ours\n")
    run = tmp_path / "run"
    run.mkdir()
    provenance.add_session(run, provenance.collect(**ASKED), from_step=0)
    git(checkout, "reset", "-q", "--hard")
    git(checkout, "clean", "-q", "-f", "-d", "-x")
    git(checkout, "apply", str(run / "uncommitted_0.diff"))
    assert files(checkout) == changed


def test_without_a_first_commit_everything_is_new(checkout, tmp_path):
    (checkout / ".git").rename(tmp_path / "old")
    git(checkout, "init", "-q")
    record, whole = provenance.collect(**ASKED), files(checkout)
    assert record["git_commit"] is None and record["git_dirty"] is True
    provenance.add_session(tmp_path, record, from_step=0)
    assert (tmp_path / "uncommitted_0.diff").read_bytes().startswith(b"diff --git")
    for name in (*provenance.SOURCES, provenance.LOCK):
        (checkout / name).rename(tmp_path / name)
    git(checkout, "apply", str(tmp_path / "uncommitted_0.diff"))
    assert files(checkout) == whole


def test_a_session_keeps_what_was_collected_and_says_when_and_where_it_began(tmp_path):
    records = [{"git_dirty": False, "threads": threads} for threads in (1, 2)]
    before = datetime.now(UTC) - timedelta(seconds=1)
    for record, step in zip(records, (0, 40)):
        provenance.add_session(tmp_path, record, from_step=step)
    assert [path.name for path in tmp_path.iterdir()] == ["provenance.json"]
    (only,) = json.loads((tmp_path / "provenance.json").read_text()).items()
    assert only[0] == "sessions"
    for session, record, step in zip(only[1], records, (0, 40), strict=True):
        started = session.pop("started")
        assert before <= datetime.fromisoformat(started) <= datetime.now(UTC)
        assert len(started) == len("2026-01-01T00:00:00+00:00")
        assert session == record | {"from_env_steps": step}


def test_changes_are_kept_by_the_number_of_the_session(checkout, tmp_path):
    (checkout / "mazero" / "code.py").write_text("changed\n")
    run = tmp_path / "run"
    run.mkdir()
    for dirty in (False, True, True):
        provenance.add_session(run, {"git_dirty": dirty}, from_step=0)
    assert sorted(path.name for path in run.iterdir()) == [
        "provenance.json",
        "uncommitted_1.diff",
        "uncommitted_2.diff",
    ]
    assert (run / "uncommitted_1.diff").read_bytes() == (run / "uncommitted_2.diff").read_bytes() != b""


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"sessions": 3}', '{"sessions": {}}', '{"sessions": [{}, 1]}', "\xff"]
)
def test_a_damaged_record_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "provenance.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"provenance\.json must hold the sessions of a run"):
        provenance.add_session(tmp_path, {"git_dirty": False}, from_step=0)
    assert path.read_text(encoding="latin-1") == text
