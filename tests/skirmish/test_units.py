"""What every unit type does in a fight, against numbers worked out from the unit data."""

import math

import numpy as np
import pytest

from skirmish import Rules, SkirmishEnv
from skirmish.data.maps import load_map
from skirmish.data.units import unit_type
from skirmish.physics import combat, tables
from skirmish.physics.tables import ALIVE, DEALT, ENERGY, HEALTH, ORDER, OVERKILL, RESTORED, SHIELD, TAKEN, X, Y
from tests.skirmish.scenes import EAST, NO_OP, STOP, TARGET, WEST, field, order, wait

# attacker, defender, attacks to kill (no regeneration); shields take whole hits, life what armour leaves. For example
# stalker against colossus: 18 a hit on 150 shields, the ninth takes 6 and 12 - 1, 189 are left for 17 each: 9 + 12.
# Colossus against zealot: 15 a beam on 50 shields, the fourth takes 5 and 10 - 1, 91 are left for 14: 4 + 7 = 11 beams.
ATTACKS_TO_KILL = [
    ("marine", "marine", 8), ("marine", "zealot", 29), ("marine", "marauder", 25), ("marine", "medivac", 30),
    ("marauder", "marine", 5), ("marauder", "marauder", 7), ("stalker", "zealot", 13), ("stalker", "stalker", 10),
    ("stalker", "colossus", 21), ("stalker", "spine_crawler", 19), ("zealot", "marine", 3), ("zealot", "stalker", 11),
    ("zealot", "zealot", 11), ("zealot", "colossus", 24), ("zealot", "zergling", 3), ("zealot", "baneling", 2),
    ("zealot", "hydralisk", 6), ("hydralisk", "zealot", 14), ("zergling", "zealot", 35), ("zergling", "zergling", 7),
    ("zergling", "baneling", 6), ("zergling", "colossus", 80), ("baneling", "zealot", 5), ("baneling", "zergling", 1),
    ("baneling", "baneling", 2), ("colossus", "zergling", 2), ("colossus", "zealot", 6), ("colossus", "stalker", 9),
    ("colossus", "colossus", 19), ("spine_crawler", "stalker", 6),
]  # fmt: skip


@pytest.mark.parametrize(("attacker", "defender", "attacks"), ATTACKS_TO_KILL)
def test_attacks_to_kill(attacker, defender, attacks):
    env = field({attacker: [(5, 5)]}, {defender: [(25, 25)]})
    f, s = env.units[0], env.marks[0]
    count = 0
    while f[HEALTH, 1] > 0:
        count += 1
        for _ in range(unit_type(attacker).weapon.attacks):
            combat.hit(f, s, env._facts, env._choices, 0, 1)
    assert count == attacks
    assert (
        f[DEALT, 0] == f[TAKEN, 1] == unit_type(defender).health_max + unit_type(defender).shield_max + f[OVERKILL, 1]
    )


def test_zealot_hits_twice_per_period():
    env = field({"zealot": [(10, 10)]}, {"spine_crawler": [(11.4, 10)]})  # edges 0.025 apart
    order(env, TARGET)
    times, last = [], 0
    for loop in range(1, 46):
        wait(env, 1)
        hits = env.marks[0, tables.HITS_TAKEN, 1]
        if hits > last:
            times.append(loop)
            last = hits
    # Attacks start at loops 0, 20, 39 (multiples of 19.2, rounded up); hits land 0 and 4.48 loops later, in the next
    # strike after that: 1 and 5 loops after the start.
    assert [t - times[0] for t in times] == [0, 4, 20, 24, 39, 43]
    assert env.units[0, TAKEN, 1] == 6 * (8 - 2)  # armour counts for each hit


def test_second_hit_is_lost_when_the_attacker_is_ordered_away():
    env = field({"zealot": [(10, 10)]}, {"zealot": [(11.05, 10)]})
    env.marks[0, ORDER, 1] = tables.IDLE
    order(env, TARGET)
    wait(env, 1)
    assert env.marks[0, tables.HITS_TAKEN, 1] == 1
    order(env, WEST)
    wait(env, 6)
    assert env.marks[0, tables.HITS_TAKEN, 1] == 1
    assert env.units[0, tables.COOLDOWN, 0] > 0  # the first hit has been spent


@pytest.mark.parametrize(
    ("name", "speed", "damage_point", "radius"),
    [("stalker", 18.75, 2.672, 0.5), ("marauder", 20, 0, 0.5), ("hydralisk", 40, 3.328, 0.5)],
)
def test_missiles_take_their_time(name, speed, damage_point, radius):
    """From start to hit: the damage point, then the way to the target's edge at the missile's speed."""
    distance = 5.0
    env = field({name: [(10, 10)]}, {"zealot": [(10 + distance, 10)]})
    env.marks[0, tables.SCAN_WAIT, 1] = 10**6  # keeps it standing
    loops = 0
    while env.units[0, TAKEN, 1] == 0:
        order(env, TARGET)
        loops += 1
        assert loops < 30
    flight = (distance - radius) / (speed / 16)
    assert loops == 1 + max(1, math.ceil(damage_point)) + math.ceil(flight)


def test_missiles_on_a_dead_target_are_wasted():
    env = field({"stalker": [(10, 10), (10, 12)]}, {"zergling": [(15, 11), (30, 30)]})
    env.units[0, HEALTH, 2] = 5.0
    env.marks[0, tables.SCAN_WAIT, 2] = 10**6
    order(env, TARGET, NO_OP)
    order(env, TARGET, TARGET)
    wait(env, 3)
    assert (env.marks[0, tables.MISSILE_TARGET, :2] == 2).all()
    wait(env, 8)
    assert not env.alive[0, 2]
    # The second missile left a loop later and arrives a loop later: its target is gone.
    assert env.units[0, DEALT, :2].tolist() == [13, 0]
    assert env.units[0, OVERKILL, 2] == pytest.approx(8, abs=0.3)  # 13 on 5 and what grew back
    assert env.marks[0, tables.MISSILE_TARGET, 1] == tables.NOBODY


def test_hydralisk_uses_its_claws_on_neighbours():
    env = field({"hydralisk": [(10, 10)]}, {"zealot": [(11.3, 10)]})
    env.marks[0, tables.SCAN_WAIT, 1] = 10**6
    order(env, TARGET)
    assert env.marks[0, tables.MELEE_SHOT, 0]
    wait(env, 5)  # damage point 4.8
    assert env.units[0, TAKEN, 1] == 12
    assert env.marks[0, tables.MISSILE_TARGET, 0] == tables.NOBODY


@pytest.mark.parametrize(("x", "starts"), [(11.3, [0, 12, 24, 36]), (15.0, [0, 14, 27, 40])])
def test_claws_and_spines_have_their_own_periods(x, starts):
    """Claws every 12 loops, spines at multiples of 13.2, rounded up."""
    env = field({"hydralisk": [(10, 10)]}, {"spine_crawler": [(x + 0.375, 10)]})
    env.marks[0, tables.SCAN_WAIT, 1] = 10**6
    seen = []
    for loop in range(42):
        before = env.units[0, tables.COOLDOWN, 0]
        order(env, TARGET)
        if env.units[0, tables.COOLDOWN, 0] > before:
            seen.append(loop)
    assert seen == starts


def test_shields_return_after_ten_seconds():
    env = field({"stalker": [(5, 5)]}, {"zealot": [(25, 25)]})
    env.units[0, SHIELD, 0] = 10.0
    env.marks[0, tables.SINCE_HIT, 0] = 0
    wait(env, 160)
    assert env.units[0, SHIELD, 0] == 10.0
    wait(env, 16)
    assert env.units[0, SHIELD, 0] == pytest.approx(12.0)  # 2 per second
    wait(env, 1000 - 200)
    assert env.units[0, SHIELD, 0] == 80.0
    assert env.units[0, RESTORED, 0] == pytest.approx(70.0)


def test_zerg_life_returns_at_once():
    env = field({"hydralisk": [(5, 5)]}, {"zealot": [(25, 25)]})
    env.units[0, HEALTH, 0] = 10.0
    wait(env, 160)
    assert env.units[0, HEALTH, 0] == pytest.approx(10 + 10 * 0.2734)


def test_medivac_heals_nine_per_second_for_a_third_of_energy_each():
    env = field({"marine": [(10, 10)], "medivac": [(13, 10)]}, {"zealot": [(28, 28)]}, map_type="MMM")
    env.units[0, HEALTH, 0] = 5.0
    order(env, NO_OP, TARGET + 0)
    assert env.units[0, HEALTH, 0] == pytest.approx(5 + 9 / 16)
    wait(env, 15)
    assert env.units[0, HEALTH, 0] == pytest.approx(14.0)
    assert env.units[0, ENERGY, 1] == pytest.approx(50 + 16 * 0.5625 / 16 - 9 * 0.33)
    wait(env, 80)
    assert env.units[0, HEALTH, 0] == 45.0
    assert env.marks[0, ORDER, 1] == tables.IDLE  # cured: the order ends


def test_medivac_without_energy_heals_as_it_regains_it():
    env = field({"marine": [(10, 10)], "medivac": [(13, 10)]}, {"zealot": [(28, 28)]}, map_type="MMM")
    env.units[0, HEALTH, 0], env.units[0, ENERGY, 1] = 5.0, 0.33
    order(env, NO_OP, TARGET + 0)
    wait(env, 31)
    gained = (0.33 + 31 * 0.5625 / 16) / 0.33
    assert env.units[0, HEALTH, 0] == pytest.approx(5 + gained)


def test_one_healer_per_patient_and_no_machines():
    env = field({"marine": [(10, 10)], "medivac": [(13, 10), (7, 10)]}, {"zealot": [(28, 28), (28, 25), (28, 22)]})
    env.units[0, HEALTH, 0] = 5.0
    order(env, NO_OP, TARGET + 0, TARGET + 0)
    assert env.units[0, HEALTH, 0] == pytest.approx(5 + 9 / 16)
    env.units[0, HEALTH, 2] = 50.0
    order(env, NO_OP, TARGET + 2, NO_OP)  # a medivac is no living being: refused, the marine is healed on
    assert env.marks[0, tables.ORDER_TARGET, 1] == 0
    assert env.units[0, HEALTH, 2] == 50.0


def test_medivac_accelerates():
    env = field({"medivac": [(10, 10)]}, {"zealot": [(28, 28)]})
    order(env, EAST)
    step = 2.3125 / 256
    assert env.units[0, X, 0] == pytest.approx(10 + step)
    order(env, EAST)
    assert env.units[0, X, 0] == pytest.approx(10 + 3 * step)
    for _ in range(30):
        order(env, EAST)
    before = env.units[0, X, 0]
    order(env, EAST)
    assert env.units[0, X, 0] - before == pytest.approx(2.75 / 16)  # top speed after 19 loops


def test_zealots_and_marauders_cannot_shoot_flyers():
    env = field({"marauder": [(10, 10)], "marine": [(10, 12)]}, {"medivac": [(13, 11)]})
    order(env, WEST, TARGET)
    order(env, TARGET, TARGET)  # refused: the marauder goes on westwards
    assert env.marks[0, ORDER, 0] == tables.MOVE
    wait(env, 10)
    assert env.units[0, DEALT, 0] == 0
    assert env.units[0, DEALT, 1] == 5  # 6 less 1 armour


def test_enemy_medivac_follows_its_army_and_heals_it_or_stays():
    for follows in (True, False):
        env = SkirmishEnv("MMM", rules=Rules(enemy_medivac_follows=follows))
        env.reset(0)
        marine, medivac = 10, 19
        assert env.spec.unit_types[medivac].name == "medivac"
        env.units[0, HEALTH, marine] = 20.0
        order_all = np.where(env.alive[:, :10], STOP, 0)
        env.step(order_all)
        assert env.units[0, HEALTH, marine] == pytest.approx(20 + 8 * 9 / 16, abs=9 / 16 + 1e-9)
        env.units[0, HEALTH, marine] = 45.0
        for _ in range(3):
            env.step(order_all)
        assert (env.units[0, X, medivac] < 22.5) == follows


def test_colossus_burns_a_line_across_its_target():
    """Two beams of 15 on light units; those within 1.25 + 0.15 + radius along the line are hit, further ones not."""
    line = [(15.0, 16.0 + d) for d in (0.0, 0.8, -1.6, 2.1)]
    env = field({"colossus": [(10, 16)]}, {"zergling": line})
    env.marks[0, tables.SCAN_WAIT, 1:] = 10**6
    env.units[0, HEALTH, 3] = 20.0
    order(env, TARGET)
    for _ in range(20):
        wait(env, 1)
        env.marks[0, tables.TARGET, 1:] = tables.NOBODY  # they do not fight back
    # 1.25 + 0.15 + 0.375 = 1.775: 0.8 and 1.6 are reached, 2.1 is not.
    assert env.units[0, TAKEN, 1:].tolist() == [30, 30, 30, 0]
    assert env.alive[0, 1:].tolist() == [True, True, False, True]
    assert env.units[0, OVERKILL, 3] == pytest.approx(10, abs=0.5)  # 30 on 20, less what grew back before


def test_beams_hit_four_loops_after_they_touch_target_and_neighbour_alike():
    """Sample s of 0 to 10 comes int(0.3632 s) loops after the sweep's start, at -1.25 + 0.25 s, mirrored for beam two.

    The zealot in the middle (0.15 + 0.5) is touched first by sample 3, in loop 1, by both beams. The zergling one north
    of it (0.15 + 0.375) lies in the way of samples 7 to 10 of one beam, loop 2, and 0 to 2 of the other, loop 0.
    """
    env = field({"colossus": [(10, 16)]}, {"zealot": [(15, 16)], "zergling": [(15, 17)]})
    start = 1 + 2 + 1  # loop of the order, damage point 1.331 rounded up, the sweep's loop 0
    hits = []
    for _ in range(20):
        env.marks[0, tables.SCAN_WAIT, 1:], env.marks[0, tables.TARGET, 1:] = 10**6, tables.NOBODY  # they stand
        order(env, TARGET)
        hits.append(env.marks[0, tables.HITS_TAKEN, 1:].tolist())
    first = [next(hits.index(row) + 1 for row in hits if row[v] >= count) for v in (0, 1) for count in (1, 2)]
    assert first == [start + 1 + 4, start + 1 + 4, start + 0 + 4, start + 2 + 4]
    assert env.units[0, TAKEN].tolist() == [0, 30, 30]


def test_colossus_does_not_burn_flyers_or_friends():
    env = field({"colossus": [(10, 16)], "marine": [(15, 17.0)]}, {"zealot": [(15, 16)], "medivac": [(15, 15.5)]})
    env.marks[0, tables.SCAN_WAIT, 2] = 10**6
    order(env, TARGET, NO_OP)
    wait(env, 25)
    assert env.units[0, TAKEN, 2] == 30
    assert env.units[0, TAKEN, 1] == env.units[0, TAKEN, 3] == 0


def test_baneling_explodes_on_attack_and_on_death():
    allies = {"zealot": [(10, 10), (10, 12.6), (10, 13.85)], "marine": [(5, 10)]}
    env = field(allies, {"baneling": [(10.9, 10), (11.5, 10.8)]})
    env.marks[0, tables.SCAN_WAIT, 4:] = 10**6
    # The second one dies: it explodes and hurts agents within 2.2 of its centre (to their edges), not its own side.
    env.units[0, HEALTH, 5] = 1.0
    order(env, TARGET + 1, NO_OP, NO_OP, NO_OP)
    while env.alive[0, 5]:
        wait(env, 1)
    x, y = env.units[0, X], env.units[0, Y]
    for agent in range(3):
        near = math.hypot(x[agent] - x[5], y[agent] - y[5]) - 0.5 <= 2.2
        assert env.units[0, TAKEN, agent] == (35 if near else 0), agent
    assert env.marks[0, tables.BURST, 5] == 1
    assert env.units[0, TAKEN, 4] == 0
    env.marks[0, tables.SCAN_WAIT, 4] = 0  # now the other one attacks
    wait(env, 30)
    assert not env.alive[0, 4]
    # 35 twice; the second finds 15 shield, and 1 of what is left is stopped by armour.
    assert env.units[0, TAKEN, 0] == 69


def test_exploding_neighbours_go_off_in_one_loop():
    env = field({"baneling": [(10, 10), (10, 11)], "marine": [(3, 3)]}, {"baneling": [(10.5, 10), (10.5, 11)]})
    env.units[0, HEALTH] = 5.0
    env.marks[0, tables.SCAN_WAIT, 3:] = 10**6
    order(env, TARGET, NO_OP, NO_OP)
    wait(env, 1)
    assert env.alive[0].tolist() == [False, False, True, False, False]
    assert (env.marks[0, tables.BURST] == [1, 1, 0, 1, 1]).all()


def test_spine_crawler_stands_and_misses_who_leaves_its_range():
    env = field({"stalker": [(10, 10)]}, {"spine_crawler": [(18.4, 10)]})  # edges 6.9 apart
    wait(env, 1)
    assert env.marks[0, tables.TARGET, 1] == 0
    for _ in range(12):
        order(env, WEST)
    assert env.units[0, TAKEN, 0] == 0  # it left before the hit
    assert env.units[0, X, 1] == 18.4
    for _ in range(200):
        order(env, TARGET)
    assert env.units[0, TAKEN, 0] > 0
    assert env.units[0, X, 1] == 18.4


def test_a_stalker_outruns_a_zealot_and_a_marine_does_not():
    for name, gains in (("stalker", True), ("marine", False)):
        env = field({name: [(20, 16)]}, {"zealot": [(22.2, 16)]})
        for _ in range(80):
            order(env, WEST)
        gap = env.units[0, X, 1] - env.units[0, X, 0]
        assert env.marks[0, tables.TARGET, 1] == 0  # in pursuit until the end
        assert gap == pytest.approx(2.2 + 80 * (2.9531 - 2.25) / 16 if gains else 2.2, abs=0.01)


def test_the_group_order_names_the_nearest_colossus_and_ends_with_it():
    env = SkirmishEnv("2c_vs_64zg")
    env.reset(0)
    orders = env.marks[0, tables.ORDER_TARGET, 2:]
    x, y = env.units[0, X], env.units[0, Y]
    nearest = np.hypot(x[None, :2] - x[2:, None], y[None, :2] - y[2:, None]).argmin(1)
    np.testing.assert_array_equal(orders, nearest)
    victim = int(np.bincount(orders, minlength=2).argmax())
    env.units[0, HEALTH, victim] = env.units[0, SHIELD, victim] = 0.0
    env.step_scripted(np.array([[1, 1]]))
    assert (env.marks[0, ORDER, 2:][orders == victim] == tables.IDLE).all()


def test_the_zealot_of_2m_vs_1z_walks_to_a_random_point_between_the_marines():
    env = SkirmishEnv("2m_vs_1z", num_envs=400)
    env.reset(0)
    goal_x, goal_y = env.units[:, tables.ORDER_X, 2], env.units[:, tables.ORDER_Y, 2]
    assert (goal_y == 12).all()
    assert goal_x.min() >= 13
    assert goal_x.max() <= 19
    assert goal_x.mean() == pytest.approx(16, abs=0.35)  # standard error 0.087
    assert goal_x.std() == pytest.approx(6 / math.sqrt(12), abs=0.2)


def test_one_more_loop_of_life_is_not_given_to_the_dead():
    env = SkirmishEnv("so_many_baneling")
    assert load_map("so_many_baneling").n_enemies == 32
    env.reset(0)
    env.units[0, HEALTH, 10] = 0.0
    before = env.units[0, X, 10]
    env.step_scripted(np.ones((1, 7), int))
    assert not env.marks[0, ALIVE, 10]
    assert env.units[0, X, 10] == before
