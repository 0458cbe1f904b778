"""The scripts do what they say, on battles put together by hand."""

import numpy as np
import pytest

import skirmish
from skirmish.fidelity.scripts import (
    STEP_OUTS,
    AlternatingFirePolicy,
    AttackClosestPolicy,
    KitingPolicy,
    ShieldRetreatPolicy,
    StepOutPolicy,
)
from skirmish.fidelity.study import KeepingStudyEnv, StudyEnv, UnlimitedEnv
from skirmish.physics import tables
from skirmish.physics.tables import EAST, NO_OP, NORTH, SHIELD, SOUTH, STOP, WEST
from tests.skirmish.scenes import put

ATTACK = 6  # on the first enemy


def battle(name, units, *, slots=1, **options):
    env = skirmish.make(name, num_envs=slots, **options)
    env.reset(0)
    for slot in range(slots):
        put(env, units, slot)
    return env


def test_closest_is_chosen_anew_where_the_heuristic_sticks():
    env = battle("3m", {0: {"at": (10, 16)}, 3: {"at": (14, 16)}, 4: {"at": (18, 16)}, 5: {"at": (20, 16)}})
    policy = AttackClosestPolicy(env)
    assert policy.act()[0, 0] == ATTACK
    put(env, {4: {"at": (12, 16)}})
    assert policy.act()[0, 0] == ATTACK + 1


def marines(x, *, opened=False, health=45.0):
    """Marines at x = 13 and 19 on one line with a zealot."""
    env = battle("2m_vs_1z", {0: {"at": (13, 12), "health": health}, 1: {"at": (19, 12)}, 2: {"at": (x, 12)}})
    policy = AlternatingFirePolicy(env)
    policy.opened[:] = opened
    env.t[:] = 1
    return policy


@pytest.mark.parametrize(
    ("x", "opened", "actions"),
    [
        (26.0, False, [STOP, STOP]),  # 7 from the nearer one: wait
        (24.0, False, [STOP, ATTACK]),  # the nearer one opens
        (17.0, True, [ATTACK, STOP]),  # then the further one fires
        (15.0, True, [STOP, ATTACK]),
        (13.9, True, [STOP, ATTACK]),  # touching the first
        (18.1, True, [ATTACK, STOP]),  # touching the second
    ],
)
def test_alternating_fire(x, opened, actions):
    assert marines(x, opened=opened).act().tolist() == [actions]


def test_alternating_fire_opens_once_and_the_dead_give_no_orders():
    policy = marines(17.5)
    assert policy.act().tolist() == [[STOP, ATTACK]]
    assert policy.act().tolist() == [[ATTACK, STOP]]
    assert marines(15.0, opened=True, health=0.0).act().tolist() == [[NO_OP, ATTACK]]


def test_shield_retreat():
    crawler = (13.92, 20.0397)
    near, far = (13.92, 13.0), (13.92, 10.9)  # 7.04 and 9.14 away
    env = battle("2s_vs_1sc", {0: {"at": near, "shield": 29.0}, 1: {"at": far, "shield": 30.0}, 2: {"at": crawler}})
    policy = ShieldRetreatPolicy(env)
    assert policy.act().tolist() == [[SOUTH, ATTACK]]
    put(env, {0: {"at": far}, 1: {"shield": 0.0}})
    assert policy.act().tolist() == [[STOP, STOP]]


def kiters(stalker, zealot, cooldown):
    far = {1: {"health": 0.0}, 2: {"health": 0.0}, 4: {"health": 0.0}, 5: {"health": 0.0}}
    return battle("3s_vs_3z", {**far, 0: {"at": stalker, "cooldown": cooldown}, 3: {"at": zealot}})


@pytest.mark.parametrize(
    ("stalker", "zealot", "cooldown", "action"),
    [
        ((16.0, 16.0), (20.0, 16.0), 0.0, ATTACK),  # ready and in range
        ((16.0, 16.0), (20.0, 16.0), 20.0, WEST),  # reloading: run
        ((16.0, 16.0), (18.0, 16.0), 0.0, WEST),  # too near to shoot
        ((16.0, 16.0), (16.0, 12.0), 20.0, NORTH),
        ((16.0, 16.0), (25.0, 16.0), 0.0, EAST),  # out of range: approach
        ((16.0, 16.0), (21.5, 16.0), 20.0, ATTACK),  # reloading at a distance: keep the order
    ],
)
def test_kiting(stalker, zealot, cooldown, action):
    actions = KitingPolicy(kiters(stalker, zealot, cooldown)).act()
    assert actions.tolist() == [[action, NO_OP, NO_OP]]


def test_kiting_bends_along_the_edge_of_the_map():
    """Chased into the west edge a stalker must not run into it."""
    env = kiters((1.2, 16.0), (4.2, 16.0), 20.0)
    assert KitingPolicy(env).act()[0, 0] in (NORTH, SOUTH)


def test_noise_is_a_fraction_of_random_available_actions():
    env = battle("2m_vs_1z", {0: {"at": (13, 12)}, 1: {"at": (19, 12)}, 2: {"at": (16, 12)}}, slots=64)
    clean = KitingPolicy(env).act()
    noisy = KitingPolicy(env, noise=0.1)
    drawn = np.array([noisy.act() for _ in range(50)])
    counts = env.available_actions.sum(2)
    assert (drawn != clean).mean() == pytest.approx(0.1 * (1 - 1 / counts).mean(), abs=0.01)  # 6,400 draws
    assert np.take_along_axis(np.broadcast_to(env.available_actions, (50, 64, 2, 7)), drawn[..., None], 3).all()
    assert (KitingPolicy(env, noise=0.0).act() == clean).all()


def stepping(cooldown, shields):
    """Both stalkers in range south of the crawler; what they do first, and after their shields have become these."""
    at = {0: {"at": (12.9, 14.5), "cooldown": cooldown}, 1: {"at": (14.9, 14.5), "cooldown": cooldown}}
    env = battle("2s_vs_1sc", at)
    policy = StepOutPolicy(env, **STEP_OUTS[0])
    first = policy.act()
    env.t[:] = 1
    put(env, {i: {"shield": s} for i, s in enumerate(shields)})
    return first, policy.act(), policy


def test_step_out():
    first, after, policy = stepping(20.0, (50.0, 80.0))
    assert first.tolist() == [[ATTACK, ATTACK]]
    assert after.tolist() == [[SOUTH, ATTACK]]  # who was hit and has less left goes, its weapon reloading
    assert policy.act().tolist() == [[ATTACK, ATTACK]]  # one step, and back


def test_step_out_waits_for_a_shot_that_is_due():
    _, after, policy = stepping(5.0, (50.0, 80.0))
    assert after.tolist() == [[ATTACK, ATTACK]]
    put(policy.env, {0: {"cooldown": 25.0}})
    assert policy.act().tolist() == [[SOUTH, ATTACK]]


def test_step_out_stays_when_the_partner_has_less():
    _, after, _ = stepping(20.0, (50.0, 20.0))
    assert after.tolist() == [[ATTACK, SOUTH]]


def test_the_studys_enemy_heads_for_the_agents_centre_and_chooses_anew():
    env = StudyEnv("3m", num_envs=2, step_mul=8)
    env.reset(0)
    put(env, {0: {"at": (4.0, 20.0)}, 1: {"at": (6.0, 14.0)}, 2: {"health": 0.0}}, slot=1)
    env.step(np.array([[STOP] * 3, [STOP, STOP, NO_OP]]))
    goal = env.units[:, [tables.ORDER_X, tables.ORDER_Y], 3:]
    np.testing.assert_allclose(goal[1], np.broadcast_to([[5.0], [17.0]], (2, 3)))  # of the living only
    assert (env.marks[:, tables.ORDER, 3:] == tables.ATTACK_MOVE).all()
    # In SMAC's own battle the order stays what it was: the creation point, in formation.
    stock = UnlimitedEnv("3m", step_mul=8)
    stock.reset(0)
    before = stock.units[:, [tables.ORDER_X, tables.ORDER_Y], 3:].copy()
    stock.step(np.full((1, 3), STOP))
    np.testing.assert_array_equal(stock.units[:, [tables.ORDER_X, tables.ORDER_Y], 3:], before)


def test_the_study_has_no_step_limit():
    assert StudyEnv("3m", step_mul=2).info.episode_limit == 8000
    assert skirmish.make("3m", step_mul=2).info.episode_limit == 60
    env = skirmish.make("2s_vs_1sc", on_map=StudyEnv, step_mul=2)
    assert env.units.shape[2] == 3 and SHIELD == 3


@pytest.mark.parametrize(("board", "kept"), [(StudyEnv, False), (KeepingStudyEnv, True)])
def test_what_a_fresh_order_leaves(board, kept):
    """Two game loops in which nobody is in sight: the trigger comes in the second one."""
    env = board("3m", step_mul=2)
    env.reset(0)
    now = env.snapshot()
    now["units"][0, tables.BACKSWING, 3:] = 9.0
    now["marks"][0, tables.TARGET, 3:] = 1
    now["marks"][0, tables.PROVOKED, 3:] = True
    env.restore(now)
    env.step(np.full((1, 3), STOP))
    assert (env.units[0, tables.BACKSWING, 3:] > 0.0).all() == kept
    assert (env.marks[0, tables.TARGET, 3:] == 1).all() == kept
