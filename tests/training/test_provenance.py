"""Where a result comes from: one record a session; what git says only where it speaks of our sources."""

import json

import pytest

from tests.training.conftest import git
from training import provenance


def collect(**changes):
    return provenance.collect(**{"backend": "skirmish", "threads": 1, "device": "cpu", "command": ["python"]} | changes)


def test_a_clean_checkout_is_told_by_its_commit(checkout):
    record = collect()
    assert record["git_commit"] == git(checkout, "rev-parse", "HEAD") and record["git_dirty"] is False
    assert len(record["sources_sha256"]) == len(record["lock_sha256"]) == 64


@pytest.mark.parametrize("name", ["mazero/code.py", "training/new.py", "skirmish/data/units.json", provenance.LOCK])
def test_a_change_of_any_source_shows_and_is_kept(checkout, tmp_path, name):
    clean, run = collect(), tmp_path / "run"
    run.mkdir()
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("changed = True\n")
    record = collect()
    assert record["git_dirty"] is True
    assert record[key := "lock_sha256" if name == provenance.LOCK else "sources_sha256"] != clean[key]
    provenance.add_session(run, record, from_step=0)
    git(checkout, "stash", "-q", "--include-untracked")
    git(checkout, "apply", str(run / "uncommitted_0.diff"))
    assert (checkout / name).read_text() == "changed = True\n"


def test_caches_pages_and_results_are_no_sources(checkout):
    clean = collect()
    for name in ("mazero/__pycache__/code.pyc", "results/run/config.json", "mazero/README.md"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("x")
    assert collect()["sources_sha256"] == clean["sources_sha256"]


def test_every_session_has_its_own_record(checkout, tmp_path):
    provenance.add_session(tmp_path, collect(threads=2), from_step=0)
    (checkout / "mazero" / "code.py").write_text("NAME = 'new'\n")
    git(checkout, "commit", "-q", "-a", "-m", "second")
    provenance.add_session(tmp_path, collect(threads=1), from_step=500)
    first, second = json.loads((tmp_path / "provenance.json").read_text())["sessions"]
    assert [first["git_commit"], second["git_commit"]] == git(checkout, "log", "--reverse", "--format=%H").split()
    assert (first["threads"], second["threads"], second["from_env_steps"]) == (2, 1, 500)
    assert first["sources_sha256"] != second["sources_sha256"] and first["started"] <= second["started"]


def test_the_commit_of_a_surrounding_repository_is_not_ours(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", checkout / "mazero")
    record = collect()
    assert record["git_commit"] is None and record["git_dirty"] is None and record["lock_sha256"] is None


def test_without_git_nothing_is_claimed(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    record = collect()
    assert record["git_commit"] is None and record["git_dirty"] is None and len(record["sources_sha256"]) == 64
