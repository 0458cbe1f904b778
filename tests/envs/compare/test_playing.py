"""Rounds of episodes: whole, the same after a kill, none of them the first battle of its game."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from envs.compare import playing
from envs.compare.battles import ARRAYS, Battles
from envs.compare.players import Legal, OwnScript, Player
from envs.compare.playing import play
from envs.smac import SmacEnv
from skirmish.policies import HeuristicPolicy, make_policy

FACE = "skirmish.env:StarCraft2Env"
HEADER: dict[str, Any] = {"map": "3m"}


def nothing(whole: int) -> None:
    pass


def simulated(script: str = "focus_fire", slots: int = 4, name: str = "3m") -> Player:
    env = envs.make(name, num_envs=slots, seed=3)
    return OwnScript(env) if script == "heuristic" else Legal(env, script)


def equal(first: Battles, second: Battles) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


def test_episodes_are_the_slots_second_battles(tmp_path: Path) -> None:
    played = play(simulated(), tmp_path, HEADER, episodes=4, seed=7, progress=nothing)
    env: Any = envs.make("3m", num_envs=4, seed=0)
    env.reset(7)
    for _ in range(2):  # the first battle, then the second
        env.reset_done()
        script, rows, rewards = make_policy("focus_fire", env), [env.units[:, :6].copy()], np.zeros(4)
        while not env.finished.all():
            script.play_step()
            rows.append(env.units[:, :6].copy())
            rewards += env.reward
    battles = played.battles
    assert played.discarded == 0 and played.faults == {}
    np.testing.assert_array_equal(battles.won, env.won)
    np.testing.assert_array_equal(battles.lengths, env.t)
    for b in range(4):
        states = battles.states[battles.start[b] : battles.start[b + 1]]
        expected = np.array(rows)[: len(states), b]
        expected[:, 4, 3:] = 0.0  # a game does not tell the enemies' cooldowns
        np.testing.assert_array_equal(states, expected.astype(np.float32))
        assert battles.reward[battles.start[b] : battles.start[b + 1]].sum() == pytest.approx(rewards[b])


@pytest.mark.parametrize("script", ["focus_fire", "random", "heuristic"])
def test_a_kill_between_rounds_changes_nothing(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play(simulated(script), tmp_path / "whole", HEADER, episodes=11, seed=7, progress=nothing)
    assert len(whole.battles) == 11

    def killed(path: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        seen: list[int] = []

        def progress(count: int) -> None:
            seen.append(count)
            if len(seen) == 2:
                raise KeyboardInterrupt

        play(simulated(script), tmp_path / "cut", HEADER, episodes=11, seed=7, progress=progress)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(playing, "replacing", killed)  # between the file of round 2 and the state after it
        play(simulated(script), tmp_path / "cut", HEADER, episodes=11, seed=7, progress=nothing)
    counts: list[int] = []
    on = play(simulated(script), tmp_path / "cut", HEADER, episodes=11, seed=7, progress=counts.append)
    assert counts == [11]
    equal(on.battles, whole.battles)


@pytest.mark.parametrize(("script", "name"), [("focus_fire", "3m"), ("heuristic", "MMM"), ("stop", "2s3z")])
def test_the_packages_face_plays_the_same_battles(tmp_path: Path, script: str, name: str) -> None:
    """Behind worker processes, one slot: its seeds, units and orders are those of the simulator directly."""
    if script == "heuristic":
        from envs import smac

        options: dict[str, Any] = {"factory": FACE}
        how: dict[str, Any] = {"backend": "smac", "num_envs": 1, "observation": "smac", "seed": 3}
        there: Any = smac.build(name, options=options, scripted=True, **how)
    else:
        there = envs.make(name, backend="smac", num_envs=1, seed=3, factory=FACE)
    from envs.smac import game_seed

    here: Any = envs.make(name, num_envs=1, seed=0)
    try:
        player = OwnScript(there) if script == "heuristic" else Legal(there, script)
        battles = play(player, tmp_path, HEADER, episodes=2, seed=5, progress=nothing).battles
    finally:
        there.close()
    here.reset(game_seed(5, 0, 0))
    for number in range(3):
        here.reset_done()
        board = HeuristicPolicy(here) if script == "heuristic" else make_policy(script, here)
        states, orders = [here.units[0, :6].copy()], []
        while not here.finished.all():
            orders.append(board.act()[0])
            step = here.step_scripted if script == "heuristic" else here.step
            step(orders[-1][None])
            states.append(here.units[0, :6].copy())
        if number == 0:
            continue  # the game's first battle
        rows = slice(int(battles.start[number - 1]), int(battles.start[number]))
        mine, theirs = np.array(states, np.float32), battles.states[rows]
        assert mine.shape == theirs.shape
        np.testing.assert_array_equal(theirs[:, 2], mine[:, 2])
        alive = mine[:, 2] > 0.0
        for row in (0, 1, 3, 5):
            np.testing.assert_array_equal(theirs[:, row][alive], mine[:, row][alive], err_msg=str(row))
        acting = alive[:-1, : here.info.n_agents]
        np.testing.assert_array_equal(battles.actions[rows][:-1][acting], np.array(orders)[acting])


def test_lost_episodes_are_counted_and_played_again(tmp_path: Path, fragile: Callable[..., SmacEnv]) -> None:
    env = fragile("kill@5+3", num_envs=2)
    played = play(Legal(env, "stop"), tmp_path, HEADER, episodes=6, seed=1, progress=nothing)
    assert len(played.battles) == 6 and (played.battles.lengths == 3).all()
    # A slot needs its first battle and three more, its fourth is killed: then a first one of the next game and another.
    assert played.discarded == 2
    assert played.faults == {"crash": 2, "game": 0, "hang": 0, "exception": 0, "garbage": 0}


def test_games_that_are_started_anew_play_a_battle_that_does_not_count(
    tmp_path: Path, fragile: Callable[..., SmacEnv]
) -> None:
    class Killed(Exception):
        pass

    def killed(whole: int) -> None:
        raise Killed

    first = fragile("", num_envs=2)
    with pytest.raises(Killed):
        play(Legal(first, "stop"), tmp_path / "parts", HEADER, episodes=6, seed=1, progress=killed)
    first.close()
    again = fragile("", num_envs=2)
    counts: list[int] = []
    played = play(Legal(again, "stop"), tmp_path / "parts", HEADER, episodes=6, seed=1, progress=counts.append)
    assert counts == [4, 6] and len(played.battles) == 6 and played.discarded == 0
    # In each slot 1 + 1 battles before the kill and 1 + 2 after it, the first of each game not counted.
    begun = [int(path.read_text()) for path in (tmp_path / "counters").iterdir()]
    assert begun == [5, 5]
