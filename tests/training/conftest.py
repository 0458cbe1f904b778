"""A checkout to take the place of ours."""

import os
import subprocess

import pytest

from training import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small checkout, committed, in the place of ours."""
    root = tmp_path / "checkout"
    for name in provenance.SOURCES:
        (root / name).mkdir(parents=True)
        (root / name / "code.py").write_text(f"NAME = {name!r}\n")
    (root / provenance.LOCK).write_text("numpy==2.4.6\n")
    (root / ".gitignore").write_text("results/\n*.log\n")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        git(root, *command)
    monkeypatch.setattr(provenance, "ROOT", root)
    return root


def git(root, *arguments):
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    done = subprocess.run(
        ["git", *arguments], cwd=root, check=True, capture_output=True, text=True, env=os.environ | who
    )
    return done.stdout.strip()
