"""Scripted policies, the command line, and how strong the scripts are."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from skirmish import Rules
from skirmish.physics.tables import HEALTH, X, Y
from skirmish.play import ALTERNATIVES, main, play
from skirmish.policies import POLICIES, make_policy, random_actions
from tests.skirmish.scenes import put

NORTH, SOUTH, EAST, WEST = 2, 3, 4, 5
# Agents of MMM: marauders 0 and 1, marines 2 to 8, medivac 9. Enemies are units 10 to 19: marines 0 to 6, marauders 7
# and 8, medivac 9.
MEDIVAC = 9


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("level", ["3m", "8m_vs_9m", "MMM2", "2s3z", "2m_vs_1z"])
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


def spread(agents, enemies, **values):
    """Units in a column each, far from the other side: {unit: values} for `put`."""
    scene = {i: {"at": (4.0, 8.5 + i), **values} for i in range(agents)}
    return scene | {agents + e: {"at": (28.0, 8.5 + e)} for e in range(enemies)}


def scene(level, units):
    env = envs.make(level, num_envs=2)
    env.reset(0)
    put(env, spread(env.info.n_agents, env.info.n_enemies), slot=1)
    put(env, units, slot=1)
    return env


def test_teams_of_mmm_are_as_the_tests_below_assume():
    names = [t.name for t in envs.make("MMM").spec.unit_types]
    assert names[:10] == ["marauder"] * 2 + ["marine"] * 7 + ["medivac"]
    assert names[10:] == ["marine"] * 7 + ["marauder"] * 2 + ["medivac"]


def test_heuristic_takes_the_nearest_and_the_first_among_equals():
    at = {0: (10.0, 16.0), 1: (10.0, 20.0), 2: (20.0, 12.0), 3: (13.0, 16.0), 4: (10.0, 13.0), 5: (19.0, 20.0)}
    env = scene("3m", {u: {"at": place} for u, place in at.items()})
    policy = make_policy("heuristic", env)
    # Agent 0 is 3 from enemies 0 and 1, agent 1 is 5 from enemy 0, agent 2 nearest to enemy 0 (8.06) but for 2 (8.06).
    assert policy.act()[1].tolist() == [6, 6, 6]
    put(env, {3: {"health": 0.0}}, slot=1)
    assert policy.act()[1].tolist() == [7, 7, 8]
    env.restore(env.snapshot() | {"t": np.array([0, 5])})
    put(env, {3: {"health": 45.0}}, slot=1)
    assert policy.act()[1].tolist() == [7, 7, 8]  # nearer ones do not distract
    put(env, {u: {"health": 0.0} for u in (3, 4, 5)}, slot=1)
    assert policy.act()[1].tolist() == [0, 0, 0]


def test_heuristic_medivac_heals_the_nearest_hurt_ally():
    env = scene("MMM", {MEDIVAC: {"at": (8.0, 16.0)}, 0: {"at": (10.0, 16.0)}, 5: {"at": (14.0, 16.0)}})
    policy = make_policy("heuristic", env)

    def order():
        env.restore(env.snapshot() | {"t": np.array([1, 1])})  # targets are forgotten at t = 0 only
        actions = policy.act()[1]
        assert (actions[:MEDIVAC] >= 6).all()
        return int(actions[MEDIVAC])

    assert order() == 0  # nobody is hurt
    put(env, {5: {"health": 44.0}}, slot=1)
    assert order() == 6 + 5
    put(env, {0: {"health": 1.0}}, slot=1)
    assert order() == 6 + 5  # kept, although a worse and nearer case has come up
    put(env, {5: {"health": 45.0}}, slot=1)
    assert order() == 6 + 0  # healed: the next one
    put(env, {0: {"health": 0.0}, MEDIVAC: {"health": 1.0}}, slot=1)
    assert order() == 0  # dead patient; no medivac heals itself
    put(env, {3: {"health": 10.0}, MEDIVAC: {"health": 0.0}}, slot=1)
    assert order() == 6 + 3  # SMAC's script does not skip the dead either: their orders are void


def test_restricted_medivac_walks_to_its_patient():
    env = scene("MMM", {MEDIVAC: {"at": (8.0, 16.0)}, 4: {"at": (14.0, 16.0), "health": 20.0}})
    policy = make_policy("heuristic_rest", env)
    assert policy.act()[1, MEDIVAC] == 6 + 4  # at exactly 6 it may be healed
    put(env, {4: {"at": (14.1, 13.0)}}, slot=1)
    assert policy.act()[1, MEDIVAC] == EAST
    put(env, {4: {"at": (9.0, 9.9)}}, slot=1)
    assert policy.act()[1, MEDIVAC] == SOUTH
    assert (policy.act()[1, :MEDIVAC] == EAST).all()  # the others walk to their enemies


def script_by_definition(env, slot, memory, rest):
    """SMAC's script as a plain loop over agents; `memory` holds their targets and is changed."""
    n, m = env.info.n_agents, env.info.n_enemies
    x, y, health = (env.units[slot, row] for row in (X, Y, HEALTH))
    names = [t.name for t in env.spec.unit_types]
    top = [t.health_max for t in env.spec.unit_types]
    actions = []
    for i in range(n):
        heals = names[i] == "medivac" and env.spec.map_type == "MMM"
        side, old = (0, n)[not heals], memory[i]
        if old is None or health[side + old] == 0 or (heals and health[old] == top[old]):
            memory[i], least = None, math.hypot(32, 32)
            for k in range(n if heals else m):
                u = side + k
                if health[u] == 0 or (heals and (names[u] == "medivac" or health[u] == top[u])):
                    continue
                distance = math.hypot(x[u] - x[i], y[u] - y[i])
                if distance < least:
                    memory[i], least = k, distance
        if memory[i] is None:
            actions.append(0)
            continue
        dx, dy = x[side + memory[i]] - x[i], y[side + memory[i]] - y[i]
        if not rest or env.available_actions[slot, i, 6 + memory[i]]:
            actions.append(6 + memory[i])
        elif abs(dx) > abs(dy):
            actions.append(EAST if dx > 0 else WEST)
        else:
            actions.append(NORTH if dy > 0 else SOUTH)
    return actions


@pytest.mark.parametrize("level", ["MMM2", "2s3z", "5m_vs_6m", "2m_vs_1z"])
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_scripts_follow_the_definition(level, seed):
    """Random scenes one after the other: units on a coarse grid (ties) get hurt, healed, killed, revived."""
    rng = np.random.default_rng(seed)
    env = envs.make(level, num_envs=2)
    env.reset(0)
    names = ("heuristic", "heuristic_rest")
    policies = {name: make_policy(name, env) for name in names}
    memory = {name: [[None] * env.info.n_agents for _ in range(2)] for name in names}
    top = np.array([t.health_max for t in env.spec.unit_types])
    for t in range(6):
        for slot in range(2):
            health = top * rng.choice([0.0, 0.3, 1.0], size=len(top), p=[0.3, 0.3, 0.4])
            places = rng.integers(6, 26, (len(top), 2))
            put(env, {u: {"at": places[u], "health": health[u]} for u in range(len(top))}, slot)
        env.restore(env.snapshot() | {"t": np.array([t, t])})
        for name in names:
            actions = policies[name].act()
            for slot in range(2):
                expected = script_by_definition(env, slot, memory[name][slot], name == "heuristic_rest")
                assert actions[slot].tolist() == expected
        chosen = make_policy("focus_fire", env).act()
        assert np.take_along_axis(env.available_actions, chosen[:, :, None], 2).all()


def test_allies_are_no_targets_of_the_enemy_rule():
    """A medivac's remembered ally 9 of 10 must not be read as enemy 9 by anybody, nor the other way round."""
    env = scene("MMM2", {9: {"at": (8.0, 16.0)}, 8: {"at": (9.0, 16.0), "health": 3.0}})
    policy = make_policy("heuristic", env)
    assert policy.act()[1, 9] == 6 + 8
    put(env, {10 + 8: {"health": 0.0}}, slot=1)
    env.restore(env.snapshot() | {"t": np.array([1, 1])})
    assert policy.act()[1, 9] == 6 + 8


def test_focus_fire_counts_shields():
    env = scene("2s3z", {5: {"health": 30.0, "shield": 50.0}, 6: {"health": 79.0, "shield": 0.0}})
    policy = make_policy("focus_fire", env)
    put(env, {i: {"at": (24.0, 8.5 + i)} for i in range(5)}, slot=1)
    assert policy.act()[1].tolist() == [6 + 1] * 5  # 79 are less than 30 + 50


def test_focus_fire_leaves_medivacs_to_those_who_can_hit_them():
    env = scene("MMM", {10 + 9: {"health": 1.0}, 10 + 3: {"health": 5.0}})
    put(env, {i: {"at": (24.0, 9.0 + i)} for i in range(9)}, slot=1)
    policy = make_policy("focus_fire", env)
    actions = policy.act()[1]
    available = env.available_actions[1]
    assert available[1, 6 + 3] and not available[1, 6 + 9] and available[8, 6 + 9]
    assert actions[1] == 6 + 3  # a marauder shoots at the ground only
    assert actions[8] == 6 + 9
    put(env, {10 + e: {"health": 0.0} for e in range(9)}, slot=1)
    put(env, {0: {"at": (20.0, 18.0)}}, slot=1)
    assert policy.act()[1, 0] == EAST  # nothing left to shoot at: go with the others


def test_focus_fire_medivac():
    hurt = {2: {"at": (8.0, 18.0), "health": 30.0}, 3: {"at": (8.0, 20.0), "health": 20.0}}
    env = scene("MMM", {MEDIVAC: {"at": (8.0, 16.0)}} | hurt | {0: {"at": (14.5, 16.0), "health": 25.0}})
    policy = make_policy("focus_fire", env)
    assert policy.act()[1, MEDIVAC] == 6 + 3  # 25 lost in reach; the marauder has lost 100, but is too far away
    put(env, {2: {"health": 45.0}, 3: {"health": 45.0}}, slot=1)
    assert policy.act()[1, MEDIVAC] == EAST  # to the only one hurt
    put(env, {0: {"health": 125.0}}, slot=1)
    assert policy.act()[1, MEDIVAC] == 1  # nobody hurt, friends near
    put(env, {2: {"at": (8.0, 22.5)}, 3: {"at": (8.0, 23.0)}} | {MEDIVAC: {"at": (12.0, 16.0)}}, slot=1)
    put(env, {i: {"at": (20.0, 16.0 + 0.1 * i)} for i in (0, 1, 4, 5, 6, 7, 8)}, slot=1)
    assert policy.act()[1, MEDIVAC] == NORTH  # nobody in reach: after the nearest, 4 west and 6.5 north
    put(env, {i: {"health": 0.0} for i in range(MEDIVAC)}, slot=1)
    assert policy.act()[1, MEDIVAC] == 1


def test_scripts_are_ordered_on_3m():
    """1,000 episodes: the standard error of a win rate is at most 0.016, that of a difference 0.022."""
    rate = {p: play("3m", policy=p, episodes=1000).win_rate for p in ("random", "heuristic", "focus_fire")}
    assert rate["random"] <= 0.01
    assert rate["heuristic"] > rate["random"] + 0.1
    assert rate["focus_fire"] > rate["heuristic"] + 0.1
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

    The jitter of cooldowns is a fact: without it, volleys of one loop are spilled on the dead, and focus fire is no
    better than the heuristic where places vary. Without any jitter mirrored teams destroy each other exactly, so the
    heuristic only draws.
    """
    if label == "no cooldown jitter":
        change = {**change, "placement_jitter": 0.0}
    rules = replace(Rules(), **change)
    rate = {p: play("3m", policy=p, episodes=1000, rules=rules).win_rate for p in ("random", "heuristic", "focus_fire")}
    assert rate["random"] <= 0.02
    assert rate["focus_fire"] > rate["heuristic"] + 0.05
    assert rate["focus_fire"] > 0.6
    assert rate["heuristic"] > 0.2 or label == "no cooldown jitter"
