"""The official package on a game that is killed, hangs, closes its socket, talks nonsense, starts slowly and cannot
begin an episode: only faulty episodes are lost, and nothing is left behind."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path

import pytest

import envs
from envs.smac import SmacEnv
from skirmish.protocol.standin import install_standin
from tests.envs.smac.left import alive, children, open_files
from tests.envs.smac.test_official import play, require

ROOT = Path(__file__).resolve().parents[3]
SCHEDULE = "kill@61+5,hang@97+11,close@67+17,garbage@71+23,reset@79+29"
LAUNCHER = """#!/bin/sh
unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION
export FAKE_SCHEDULE={schedule} FAULTY_FOLDER={folder} PYTHONPATH={root}
exec {python} -P -m tests.envs.smac.faulty_game "$@"
"""


def listening() -> set[str]:
    """Ports of this machine that somebody listens on."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines if line.split()[3] == "0A"}


def install_faulty(game: Path, counts: Path) -> None:
    """A stand-in with faults. Args: counts: a new folder for what it counts."""
    counts.mkdir()
    install_standin(game)
    words = {"schedule": SCHEDULE, "folder": str(counts), "root": str(ROOT), "python": sys.executable}
    for binary in game.glob("Versions/*/SC2_x64"):
        binary.write_text(LAUNCHER.format(**{key: shlex.quote(word) for key, word in words.items()}))


def endure(counts: Path, temporary: Path, episodes: int) -> dict[str, int]:
    """Play so many episodes of 3m in four slots. Returns: whole ones, lost ones, faults by phase and by kind.

    SC2PATH is a stand-in with faults. All counts must add up, and nothing may be left afterwards.

    Args: temporary: holds all temporary files.
    """
    files, processes, ports = open_files(), children(), listening()
    env = envs.make("3m", backend="smac", num_envs=4, step_timeout=5.0, backoff=0.0)
    assert isinstance(env, SmacEnv)
    try:
        env.reset()
        whole, lost = play(env, episodes)
        kinds, phases = env.faults.by_kind, env.faults.by_phase
        assert whole + lost >= episodes and lost == phases["step"] == env.losses["episodes_lost"]
        begun = (counts / "episodes").stat().st_size
        assert begun == whole + lost + phases["reset"] + phases["start"] + env.num_envs
        assert (counts / "starts").stat().st_size == env.num_envs + env.faults.total
        groups = [pid for pid in env.processes if pid is not None]
        games = {game for pid in groups for game in children(pid)}
        assert len(games) == env.num_envs and len(children() - processes) == env.num_envs + 1  # and the guard
    finally:
        env.close()
    assert children() == processes and open_files() == files and not [pid for pid in games if alive(pid)]
    assert not os.listdir(temporary) and listening() <= ports
    return {"whole": whole, "lost": lost, **{f"in_{phase}": count for phase, count in phases.items()}, **kinds}


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SC2PATH is a stand-in with faults. Returns: the folder of its counts."""
    require("smac")
    install_faulty(tmp_path / "game", tmp_path / "counts")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("SC2PATH", str(tmp_path / "game"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "counts"


@pytest.mark.starcraft
@pytest.mark.parametrize("episodes", [120, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_faulty_game_costs_the_faulty_episodes_only(faulty: Path, tmp_path: Path, episodes: int) -> None:
    found = endure(faulty, tmp_path / "tmp", episodes)
    assert found["game"] >= 3 and found["hang"] >= 1 and found["garbage"] >= 1 and found["in_reset"] >= 1
    assert found["exception"] == found["crash"] == 0
