"""Which battles are filmed, how small, and that what cannot be filmed stops nothing; `watch` is stood in for."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis import films
from analysis.films import Shot
from analysis.store import place
from analysis.study import Study
from tests.analysis.synthetic import make_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results" / "toy"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What `watch` was called with; films of more than 320 pixels are large, seed 2 wins and nothing is lost."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        calls.append(command[4:])
        told = dict(zip(command[4::2], command[5::2], strict=False))
        if "lost" in command:
            return SimpleNamespace(returncode=2, stdout="", stderr="a line\nerror: none of 64 battles is lost\n")
        size = int(command[command.index("--size") + 1])
        Path(told["--out"]).write_bytes(b"x" * (films.MOST_BYTES + (size > 320)))
        end = f"{told['--out']}: 121 frames of {size} x {size // 2}, 0.05 MB; win after 24 steps\n"
        return SimpleNamespace(returncode=0, stdout=f"won: episode seed 2\n{end}", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def finish(study: Study, root: Path, name: str, *, keep: bool = True) -> Path:
    run = next(run for run in study.runs() if run.path.as_posix() == name)
    directory = place(study, run, root)
    directory.mkdir(parents=True)
    (directory / "done.json").touch()
    if keep:
        (directory / "checkpoint.pt").touch()
    return directory


def test_the_first_finished_seed_is_filmed_small_enough(study: Study, root: Path, commands: list[list[str]]) -> None:
    """Seed 0 is not finished; QMIX and the matrix games are not filmed; the second size fits, of the same battle."""
    directory = finish(study, root, "skirmish/3m/mazero/seed=1")
    finish(study, root, "skirmish/3m/qmix/seed=0")
    finish(study, root, "matrix/matrix_1/mazero/seed=0")
    assert films.make(study, root) == root / "films" / "films.json"
    won, lost = films.read(root)
    assert won == Shot(
        "SMAC", "3m", "MAZero, seed 1", "won", "films/smac_3m_won.mp4", 320, 160, "win after 24 steps, episode seed 2"
    )
    assert lost == Shot("SMAC", "3m", "MAZero, seed 1", "lost", text="none of 64 battles is lost")
    assert [command[command.index("--size") + 1] for command in commands] == ["480", "320", "480"]
    assert [command[command.index("--seed") + 1] for command in commands] == ["0", "2", "0"]
    assert all(command[:2] == ["--run", str(directory)] for command in commands)
    assert won.embedded(root)["caption"].startswith("Won. 3m (SMAC), MAZero, seed 1: win after 24 steps")


def test_a_policy_that_was_not_kept_is_said(study: Study, root: Path, commands: list[list[str]]) -> None:
    finish(study, root, "skirmish/3m/mazero/seed=0", keep=False)
    films.make(study, root)
    assert [shot.text for shot in films.read(root)] == ["the policy of the run was not kept (checkpoint.pt)"] * 2
    assert not commands


def test_a_film_that_stays_too_large_is_left_out(
    study: Study, root: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(study, root, "skirmish/3m/mazero/seed=0")
    monkeypatch.setattr(films, "MOST_BYTES", 10)
    monkeypatch.setattr(films, "SIZES", (480, 400))
    films.make(study, root)
    assert films.read(root)[0].file == "" and not list((root / "films").glob("*.mp4"))


def test_runs_of_another_study_are_filmed_there(study: Study, root: Path, commands: list[list[str]]) -> None:
    finish(study, root, "skirmish/3m/mazero/seed=1")
    shown = replace(study, runs_of="other")
    films.make(shown, root)
    assert not commands and films.read(root) == []


def test_without_a_run_the_list_is_empty(study: Study, root: Path, commands: list[list[str]]) -> None:
    films.make(study, root)
    assert films.read(root) == [] and not commands
