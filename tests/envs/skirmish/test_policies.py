"""Scripted policies, the command line, and how strong the scripts are."""

from dataclasses import replace

import numpy as np
import pytest

import envs
from envs.skirmish import Rules
from envs.skirmish.play import ALTERNATIVES, main, play
from envs.skirmish.policies import POLICIES, make_policy, random_actions


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("level", ["3m", "8m_vs_9m"])
def test_every_policy_plays_to_the_end(name, level):
    env = envs.make(level, num_envs=3)
    env.reset(0)
    policy = make_policy(name, env)
    for _ in range(env.info.episode_limit):
        policy.play_step()
    assert env.finished.all()


def test_random_actions_are_uniform_over_the_available_ones():
    available = np.array([[[0, 1, 1, 0, 1], [1, 0, 0, 0, 0]]], np.bool_)
    drawn = np.array([random_actions(available, rng)[0] for rng in [np.random.default_rng(0)] for _ in range(3000)])
    assert (drawn[:, 1] == 0).all()
    values, counts = np.unique(drawn[:, 0], return_counts=True)
    assert values.tolist() == [1, 2, 4]
    np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.05)


def test_heuristic_sticks_to_its_target_until_it_dies():
    env = envs.make("8m", num_envs=4)
    env.reset(0)
    policy = make_policy("heuristic", env)
    before = None
    while not env.finished.any():
        policy.act()
        target = policy.target.copy()
        if before is not None:
            alive = np.take_along_axis(env.alive[:, 8:], np.maximum(before, 0), 1) & (before >= 0)
            assert (target[alive] == before[alive]).all()
        before = target
        policy.play_step()


def test_focus_fire_orders_one_target_per_team():
    env = envs.make("3m", num_envs=16)
    env.reset(0)
    policy = make_policy("focus_fire", env)
    while not env.finished.any():
        actions = policy.act()
        assert np.take_along_axis(env.available_actions, actions[:, :, None], 2).all()
        for row in actions:
            assert len(set(row[row >= 6])) <= 1
        policy.play_step()


def test_scripts_are_ordered_on_3m():
    """1,000 episodes: the standard error of a win rate is at most 0.016."""
    assert play("3m", policy="random", episodes=500).win_rate <= 0.01
    assert 0.35 < play("3m", policy="heuristic", episodes=1000).win_rate < 0.65
    assert play("3m", policy="focus_fire", episodes=500).win_rate > 0.9
    stop = play("3m", policy="stop", episodes=100)
    assert (stop.win_rate, stop.return_mean, stop.draw_or_timeout_rate) == (0, 0, 0)


def test_the_survey_is_written_as_a_table(tmp_path, capsys):
    path = tmp_path / "out" / "play.csv"
    assert main(["play", "--map", "3m", "--policy", "stop", "--episodes", "4", "--csv", str(path)]) == 0
    head, row = path.read_text().splitlines()
    assert head.startswith("case,episodes,win_rate") and row.startswith("3m stop,4,0.0,")
    assert "3m stop" in capsys.readouterr().out


def test_command_line(capsys):
    assert main(["play", "--map", "3m", "--policy", "stop", "--episodes", "10"]) == 0
    out = capsys.readouterr().out
    assert "win rate" in out
    assert "3m stop" in out
    assert main(["maps"]) == 0
    assert "27m_vs_30m" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--map", "3n"], ["--policy", "heuristc"], ["--episodes", "0"]])
def test_command_line_refuses_bad_input_in_one_line(arguments, capsys):
    assert main(["play", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.slow
@pytest.mark.parametrize(("label", "change"), ALTERNATIVES)
def test_ordering_survives_other_choices(label, change):
    """Random < heuristic < focus fire must not hang on a hole of the facts.

    Without any jitter mirrored teams destroy each other exactly, so the heuristic only draws.
    """
    rules = replace(Rules(), **change)
    rate = {p: play("3m", policy=p, episodes=1000, rules=rules).win_rate for p in ("random", "heuristic", "focus_fire")}
    assert rate["random"] <= 0.02
    assert rate["focus_fire"] > rate["heuristic"] + 0.05
    assert rate["focus_fire"] > 0.6
    assert rate["heuristic"] > 0.2 or label == "no cooldown jitter"
