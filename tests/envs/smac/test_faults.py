"""Games that crash, hang, raise and talk nonsense: only their episodes are lost, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from envs.smac import SmacEnv
from envs.starcraft.faults import GivenUpError
from tests.envs.smac.left import alive, children, open_files

STOP = 1


def play(env: SmacEnv, episodes: int) -> tuple[int, int]:
    """Play until so many episodes are over. Returns: whole ones, lost ones."""
    whole = lost = 0
    length = np.zeros(env.num_envs, int)
    while whole + lost < episodes:
        running = np.ones(env.num_envs, bool)
        env.step(np.where(env.available_actions[..., STOP], STOP, 0))
        length += running
        for slot in np.flatnonzero(env.finished):
            if env.discarded[slot]:
                lost += 1
                assert env.truncated[slot] and not env.terminated[slot] and not env.won[slot]
                assert env.reward[slot] == 0 and length[slot] == 2
                assert (
                    env.available_actions[slot].sum() == env.info.n_agents and env.available_actions[slot, :, 0].all()
                )
            else:
                whole += 1
                assert env.terminated[slot] and env.won[slot] and env.reward[slot] == 1 and length[slot] == 3
                assert (env.obs[slot] == 3).all()
            length[slot] = 0
        env.reset_done()
        assert not env.finished.any() and (env.obs[length == 0] == 0).all()
    return whole, lost


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("kill", "crash"),
        ("exit", "crash"),
        ("raise", "exception"),
        ("lost", "game"),
        ("hang", "hang"),
        ("bytes", "garbage"),
        ("nan", "garbage"),
        ("shape", "garbage"),
    ],
)
def test_a_fault_in_a_step_costs_its_episode(fragile, what: str, kind: str, caplog) -> None:
    env = fragile(f"{what}@3+1", num_envs=2, step_timeout=1.0 if what == "hang" else 20.0)
    env.reset()
    whole, lost = play(env, 12)
    assert (whole, lost) == (8, 4)
    assert env.faults.by_kind[kind] == env.faults.total == env.faults.by_phase["step"] == 4
    assert f"{kind} in step" in caplog.text and "its episode is discarded" in caplog.text


@pytest.mark.parametrize(("what", "kind"), [("kill", "crash"), ("raise", "exception"), ("hang", "hang")])
def test_a_fault_in_a_reset_costs_no_episode(fragile, what: str, kind: str) -> None:
    quick = {"reset_timeout": 1.0, "start_timeout": 10.0} if what == "hang" else {}
    env = fragile(f"reset_{what}@4+2", num_envs=2, **quick)
    env.reset()
    assert play(env, 8) == (8, 0)
    assert env.faults.by_kind[kind] == env.faults.total == env.faults.by_phase["reset"] > 0


def test_a_fault_of_one_slot_leaves_the_others_alone(fragile, tmp_path: Path) -> None:
    env = fragile("", num_envs=3)
    env.reset()
    before = env.processes
    os.kill(before[1], signal.SIGKILL)
    env.step(np.full((3, 3), STOP))
    assert env.discarded.tolist() == env.finished.tolist() == [False, True, False]
    assert env.reward.tolist() == [1, 0, 1] and (env.obs[:, 0, 0] == [1, 0, 1]).all()
    env.step(np.full((3, 3), [[STOP], [0], [STOP]]))
    env.reset_done()
    assert env.obs[:, 0, 0].tolist() == [2, 0, 2]
    after = env.processes
    assert (after[0], after[2]) == (before[0], before[2]) and after[1] != before[1]


@pytest.mark.parametrize("episodes", [400, pytest.param(5000, marks=pytest.mark.slow)])
def test_many_episodes_lose_nothing_but_the_faulty_ones(fragile, tmp_path: Path, episodes: int) -> None:
    files, processes = open_files(), children()
    env = fragile("kill@97+5,raise@89+7,lost@101+11,nan@83+13,reset_raise@103+17,hang@199+41", 4, step_timeout=0.5)
    env.reset()
    whole, lost = play(env, episodes)
    assert whole + lost >= episodes and lost == env.faults.by_phase["step"]
    begun = sum(int(path.read_text()) for path in (tmp_path / "counters").iterdir())
    assert begun == whole + lost + env.faults.by_phase["reset"] + env.faults.by_phase["start"] + env.num_envs
    assert min(env.faults.by_kind[kind] for kind in ("crash", "exception", "game", "garbage", "hang")) >= 1
    assert len(children() - processes) == env.num_envs + 1  # the workers and their guard
    env.close()
    assert children() == processes and open_files() == files and not any((tmp_path / "tmp").iterdir())


def test_a_game_that_never_runs_ends_the_run_with_its_log(fragile, tmp_path: Path) -> None:
    processes = children()
    env = fragile(factory="fake:NeverStarts", retries=2)
    with pytest.raises(GivenUpError, match=r"got 3 faults in a row, the last one a exception in start") as error:
        env.reset()
    assert "no licence for this game" in str(error.value) and "the game refuses to start" in str(error.value)
    (log,) = (tmp_path / "tmp").iterdir()  # the only thing that is left
    assert str(log) in str(error.value) and "no licence" in log.read_text()
    assert children() == processes and env.processes == [None]


def test_a_game_that_never_finishes_an_episode_ends_the_run_too(fragile) -> None:
    env = fragile("raise@1+0", retries=3)
    env.reset()
    with pytest.raises(GivenUpError, match="4 faults in a row, the last one a exception in step"):
        play(env, 100)


def test_a_slow_start_is_waited_for_and_a_slower_one_is_a_fault(fragile, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_SLOW", "1.0")
    env = fragile("", step_timeout=0.5, reset_timeout=0.5)
    env.reset()
    assert env.faults.total == 0
    env = fragile("", start_timeout=0.5, retries=1)
    with pytest.raises(GivenUpError, match="2 faults in a row, the last one a hang in start"):
        env.reset()


def test_games_are_started_a_few_at_a_time(fragile, monkeypatch) -> None:
    monkeypatch.setenv("FAKE_SLOW", "0.3")
    env = fragile("", num_envs=4, starts_at_once=2)
    began, most = time.monotonic(), 0

    ask = type(env._crew)._hire

    def counted(self, slot):
        nonlocal most
        worker = ask(self, slot)
        most = max(most, sum(pid is not None for pid in self.processes))
        return worker

    monkeypatch.setattr(type(env._crew), "_hire", counted)
    env.reset()
    assert time.monotonic() - began > 0.6 and most == 4


def test_waiting_before_another_start_grows(fragile, monkeypatch) -> None:
    env = fragile(factory="fake:NeverStarts", retries=3, backoff=0.2)
    began = time.monotonic()
    with pytest.raises(GivenUpError):
        env.reset()
    assert time.monotonic() - began > 0.2 + 0.4


SCRIPT = """
import os, sys, time
import envs
env = envs.make("3m", backend="smac", num_envs=2, factory="fake:Fragile")
env.reset()
print(*env.processes, env._crew._guard._process.pid, env._crew._guard.folder, flush=True)
{then}
"""


@pytest.mark.parametrize(("schedule", "episodes", "games"), [("", 2, 1), ("kill@100+0", 3, 2), ("kill@100+1", 2, 1)])
def test_first_battles_are_over_before_later_ones_begin(
    fragile, tmp_path: Path, schedule: str, episodes: int, games: int
) -> None:
    """Also if a game fails in its first battle; games stay open from one evaluation to the next."""
    env = fragile(schedule, num_envs=2)
    env.reset_later(3)
    assert not (env.first_of_game.any() or env.finished.any() or env.discarded.any() or env.t.any())
    assert [path.read_text() for path in (tmp_path / "counters").iterdir()] == [str(episodes)] * 2
    assert env._starts.tolist() == [games] * 2 and env.faults.total == 2 * (games - 1)
    processes = env.processes
    for _ in range(2):
        env.step(np.full((2, 3), STOP))
    if schedule != "kill@100+1":
        env.reset_later(4)
        assert env.processes == processes and not env.first_of_game.any() and not env.t.any()
        return
    assert env.discarded.all()  # the second battle's fault
    env.reset_later()
    assert not (env.first_of_game.any() or env.discarded.any()) and env._starts.tolist() == [2, 2]
    assert [path.read_text() for path in (tmp_path / "counters").iterdir()] == ["4"] * 2


@pytest.mark.parametrize(
    ("then", "number"), [("time.sleep(1000)", signal.SIGKILL), ("time.sleep(1000)", signal.SIGTERM), ("", None)]
)
def test_everything_dies_with_the_run(fragile, monkeypatch, tmp_path: Path, then: str, number: int | None) -> None:
    """Workers, their games and the guard, the folder too; the last case forgets to close."""
    monkeypatch.setenv("FAKE_CHILD", "1")
    monkeypatch.setenv("FAKE_SCHEDULE", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    run = subprocess.Popen([sys.executable, "-c", SCRIPT.format(then=then)], stdout=subprocess.PIPE, text=True, cwd=".")
    assert run.stdout is not None
    *pids, folder = run.stdout.readline().split()
    workers, guard = [int(pid) for pid in pids[:2]], int(pids[2])
    everybody = {*workers, guard}
    if number is not None:
        games = {child for worker in workers for child in children(worker)}
        assert len(games) == 2
        everybody |= games
        run.send_signal(number)
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (any(alive(pid) for pid in everybody) or Path(folder).exists()):
        time.sleep(0.05)
    assert not [pid for pid in everybody if alive(pid)] and not Path(folder).exists()


def test_a_game_dies_with_its_process(fragile, monkeypatch) -> None:
    """Also if run, guard and worker are killed together."""
    monkeypatch.setenv("FAKE_CHILD", "1")
    env = fragile("")
    env.reset()
    (game,) = children(env.processes[0])
    os.kill(env._crew._guard._process.pid, signal.SIGKILL)
    os.kill(env.processes[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(game) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(game)
    env.step(np.full((1, 3), STOP))
    assert env.discarded.all()
    env.close()
    assert not list(Path(tempfile.gettempdir()).glob("mazero-bench-games-*"))
