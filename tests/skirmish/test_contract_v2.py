"""The SMACv2 contract alone: against a plain restatement on random units and options, and its traps by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skirmish.contract import smac as contract
from skirmish.contract import smacv2 as contract_v2
from skirmish.contract.layout import GEN_HEALERS
from skirmish.physics import tables
from skirmish.physics.draws import uniform
from skirmish.scenarios.draw import RACES, Scenario
from skirmish.scenarios.env import GeneratedEnv, ScenarioOptions
from tests.skirmish import reference_v2
from tests.skirmish.reference_v2 import Slow

SEEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SWITCHES = (
    "use_unit_ranges", "obs_own_pos", "conic_fov", "fully_observable", "action_mask", "obs_last_action",
    "obs_timestep_number", "obs_all_health", "obs_own_health", "state_last_action", "state_timestep_number",
    "observe_attack_probability", "observe_health_level", "observe_types", "obs_pathing_grid",
)  # fmt: skip


@st.composite
def cases(draw):
    """Race, team sizes, family, options and a seed of the units."""
    options = {name: draw(st.booleans()) for name in SWITCHES}
    options["prob_obs_enemy"] = draw(st.sampled_from([0.0, 0.5, 1.0]))
    options["enemy_memory"] = draw(st.sampled_from(["faithful", "repaired"]))
    options["num_fov_actions"] = draw(st.sampled_from([4, 7, 12]))
    options["sight_scale"] = draw(st.sampled_from([1.0, 1.0, 0.6]))
    options["min_attack_range"] = draw(st.sampled_from([2.0, 5.5]))
    options["attack_probability"] = draw(st.sampled_from([None, (0.2, 0.9)]))
    options["health_level"] = draw(st.sampled_from([None, (0.1, 0.6)]))
    options["mask_probability"] = draw(st.sampled_from([None, 0.5]))
    race, sizes = draw(st.sampled_from(list(RACES))), (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    return race, sizes, draw(st.sampled_from(["smac", "mazero"])), options, draw(st.integers(0, 2**32 - 1))


def build(race="terran", sizes=(2, 2), family="smac", **options):
    return GeneratedEnv(Scenario("toy", RACES[race], *sizes), observation=family, **options)


def random_units(env, rng):
    """Slow's lists of units of random types, places and states."""
    sides = []
    for count in (env.info.n_agents, env.info.n_enemies):
        side = []
        for _ in range(count):
            name = rng.choice(env.scenario.types)
            side.append(
                {"type": str(name), "shield": 0.0, "energy": rng.uniform(0, 200), "cooldown": rng.uniform(-1, 40)}
            )
            side[-1] |= {"chance": 1.0, "level": 0.0, "facing": 0, "hidden": set()}
        sides.append(side)
    for unit in sides[0]:
        unit["chance"] = rng.uniform(0.2, 0.9) if env.layout.chances else 1.0
        unit["level"] = rng.uniform(0.1, 0.6) if env.layout.levels else 0.0
        if env.options.mask_probability is not None:
            unit["hidden"] = set(np.flatnonzero(rng.random(env.info.n_enemies) < 0.5).tolist())
    return sides


def move_units(units, env, rng):
    """New places (half of them on whole numbers: exact distances, equal coordinates), states and facings; some die."""
    for unit in units[0] + units[1]:
        place = rng.uniform(9, 23, 2) if rng.random() < 0.9 else rng.uniform(0, 32, 2)
        unit["x"], unit["y"] = np.floor(place).tolist() if rng.random() < 0.5 else place.tolist()
        dead = unit.get("health", 1.0) == 0.0 or rng.random() < 0.12
        unit["health"] = 0.0 if dead else rng.uniform(0.01, 1) * reference_v2.HEALTH[unit["type"]]
        unit["shield"] = rng.uniform(0, 1) * reference_v2.SHIELD.get(unit["type"], 0.0)
        unit["facing"] = int(rng.integers(max(1, env.layout.facings)))


def load(env, units):
    """Write Slow's units into slot 0."""
    for u, unit in enumerate(units[0] + units[1]):
        kind = env.spec.row_of(unit["type"], agents=u < env.info.n_agents)
        env.marks[0, tables.KIND, u] = env._kinds[0, u] = kind
        for row, key in ((0, "x"), (1, "y"), (2, "health"), (3, "shield"), (4, "cooldown"), (5, "energy")):
            env.units[0, row, u] = unit[key]
    for i, unit in enumerate(units[0]):
        env.traits.chance[0, i], env.traits.level[0, i] = unit["chance"], unit["level"]
        env.traits.facing[0, i] = unit["facing"]
        env.traits.hidden[0, i] = [e in unit["hidden"] for e in range(env.info.n_enemies)]


def memory_draws(env):
    """The random numbers of the present observation, one after the other."""
    n, m = env.info.n_agents, env.info.n_enemies
    clock = np.array([env.t[0] * (n + m * n), env.clocks[0, tables.EPISODE]])
    return lambda: uniform(clock, contract_v2.MEMORY_SLOTS, env._key, 0.0, 1.0)


@SEEN
@given(cases())
def test_kernels_agree_with_the_plain_restatement(case):
    race, sizes, family, options, seed = case
    env, rng = build(race, sizes, family, **options), np.random.default_rng(seed)
    env._key[:] = seed, 7
    units = random_units(env, rng)
    slow = Slow(*units, env.options, family)
    for t in range(4):
        move_units(units, env, rng)
        load(env, units)
        slow.t = env.t[0] = t
        if t > 0:
            slow.last = rng.integers(env.info.n_actions, size=sizes[0]).tolist()
            env.last_action[0] = slow.last
        slow.forget()
        expected = slow.observe(memory_draws(env))
        env._describe(np.ones(1, np.bool_))
        for i in range(sizes[0]):
            assert set(np.flatnonzero(env.available_actions[0, i]).tolist()) == slow.available(i)
            assert set(np.flatnonzero(env.in_range[0, i]).tolist()) == slow.in_range(units[0][i])
        np.testing.assert_allclose(env.obs[0], np.float32(expected), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(env.state[0], np.float32(slow.state()), rtol=1e-6, atol=1e-6)
        assert [None if h < 0 else h for h in env.memory.holder[0].tolist()] == slow.holder
        assert env.memory.known[0].astype(int).tolist() == slow.flag
    drawn = [
        [u[key] for u in units[0]] for key, on in (("chance", env.layout.chances), ("level", env.layout.levels)) if on
    ]
    bits = [slow.bits(u) for u in units[0]]
    caps = [[*(column[i] for column in drawn), *bits[i]] for i in range(sizes[0])]
    np.testing.assert_allclose(env.capabilities[0], caps, rtol=1e-6)


def scene(allies, enemies, race="terran", **options):
    """One battle from (type, x, y) rows, everybody in full health; described once."""
    env = build(race, (len(allies), len(enemies)), use_unit_ranges=True, **options)
    units = [[], []]
    for side, rows in zip(units, (allies, enemies), strict=True):
        for name, x, y in rows:
            unit = {"type": name, "x": x, "y": y, "health": reference_v2.HEALTH[name], "facing": 0, "hidden": set()}
            side.append(unit | {"shield": 0.0, "energy": 50.0, "cooldown": 0.0, "chance": 1.0, "level": 0.0})
    load(env, units)
    env._describe(np.ones(1, np.bool_))
    return env


def enemy_rows(env):
    """(n, m, 8) enemy rows of the smac family without shields."""
    return env.obs[0, :, 4 : 4 + 8 * env.info.n_enemies].reshape(env.info.n_agents, -1, 8)


def again(env):
    """The next observation of the same units."""
    env.t += 1
    env._describe(np.ones(1, np.bool_))


@pytest.mark.parametrize(
    ("name", "race", "shoot", "sight"),
    [
        ("marine", "terran", 5, 9), ("marauder", "terran", 6, 10), ("stalker", "protoss", 6, 10),
        ("zealot", "protoss", 2, 9), ("colossus", "protoss", 7, 10), ("zergling", "zerg", 2, 8),
        ("hydralisk", "zerg", 5, 9), ("baneling", "zerg", 2, 8),
    ],
)  # fmt: skip
def test_ranges_of_the_types(name, race, shoot, sight):
    """Shooting includes its range, sight does not; distances are shares of the own sight."""
    enemy = {"terran": "marine", "protoss": "zealot", "zerg": "zergling"}[race]
    edges = [shoot, shoot + 1e-9, sight - 1e-9, sight]
    env = scene([(name, 10.0, 16.0)], [(enemy, 10.0 + d, 16.0) for d in edges], race, enemy_memory="repaired")
    assert env.available_actions[0, 0, 6:].tolist() == [True, False, False, False]
    size = 9 if race == "protoss" else 8
    rows = env.obs[0, 0, 4 : 4 + 4 * size].reshape(4, size)
    np.testing.assert_allclose(rows[:3, 1], np.array(edges[:3]) / sight, rtol=1e-6)
    assert rows[:, 0].tolist() == [1, 0, 0, 0] and not rows[3].any()


def test_medivac_heals_within_four_and_sees_eleven():
    allies = [("medivac", 10.0, 16.0), ("marine", 14.0, 16.0), ("marine", 10.0, 20.1), ("medivac", 11.0, 16.0)]
    env = scene(allies, [("marine", 20.9, 16.0), ("marine", 12.0, 16.0)])
    assert env.info.n_actions == 6 + 4
    assert np.flatnonzero(env.available_actions[0, 0, 6:]).tolist() == [1]  # not itself, not the other medivac
    assert np.flatnonzero(env.available_actions[0, 1, 6:]).tolist() == [1]  # a marine aims at enemies
    rows = enemy_rows(env)
    assert rows[0, 0, 1] == pytest.approx(10.9 / 11) and rows[0, 1, 1] == pytest.approx(2 / 11)
    assert rows[0, :, 0].tolist() == [0, 1]  # whether *team mate* 0 and 1 can be healed


def test_unknown_enemy_wipes_the_rows_before_it():
    """Trap: at prob_obs_enemy = 1 too, an enemy out of everybody's sight hides those of smaller index."""
    allies, enemies = [("marine", 10.0, 16.0)], [("marine", 12.0, 16.0), ("marine", 30.0, 30.0), ("marine", 13.0, 16.0)]
    faithful, repaired = (scene(allies, enemies, enemy_memory=kind) for kind in ("faithful", "repaired"))
    assert enemy_rows(faithful)[0, :, 7 - 2].tolist() == [0, 0, 1]  # type bit marine of each row
    assert enemy_rows(repaired)[0, :, 5].tolist() == [1, 0, 1]


def test_dead_enemies_out_of_sight_wipe_those_in_sight_do_not():
    allies = [("marine", 10.0, 16.0)]
    for x, shown in ((12.5, 1), (30.0, 0)):
        env = scene(allies, [("marine", 12.0, 16.0), ("marine", x, 16.0)])
        env.units[0, tables.HEALTH, 2] = 0.0
        again(env)
        assert enemy_rows(env)[0, :, 5].tolist() == [shown, 0]


def test_only_the_finder_sees_with_probability_zero_until_it_dies():
    allies, enemies = [("marine", 10.0, 16.0), ("marine", 10.0, 17.0)], [("marine", 12.0, 16.0)]
    env = scene(allies, enemies, prob_obs_enemy=0.0)
    finder = int(env.memory.holder[0, 0])
    other = 1 - finder
    assert enemy_rows(env)[finder, 0, 5] == 1 and not enemy_rows(env)[other].any()
    for _ in range(5):  # the order of the agents changes, the holder does not
        again(env)
        assert env.memory.holder[0, 0] == finder and not enemy_rows(env)[other].any()
    env.units[0, tables.HEALTH, finder] = 0.0
    again(env)
    assert env.memory.holder[0, 0] == other and enemy_rows(env)[other, 0, 5] == 1


def test_both_agents_come_first_and_half_of_the_others_hear_of_it():
    """Fresh order per observation; prob_obs_enemy = 0.5 (4 standard errors of 600 trials)."""
    first = heard = 0
    env = scene([("marine", 10.0, 16.0), ("marine", 10.0, 17.0)], [("marine", 12.0, 16.0)], prob_obs_enemy=0.5)
    for trial in range(600):
        env.t[0], env.memory.holder[0], env.memory.known[0] = trial, tables.NOBODY, False
        env._describe(np.ones(1, np.bool_))
        first += env.memory.holder[0, 0] == 0
        heard += env.memory.known[0, 0].sum() - 1
    error = math.sqrt(0.25 / 600)
    assert abs(first / 600 - 0.5) < 4 * error and abs(heard / 600 - 0.5) < 4 * error


def test_repaired_memory_at_probability_one_is_plain_sight():
    rng = np.random.default_rng(0)
    env = build("zerg", (4, 5), enemy_memory="repaired", use_unit_ranges=True)
    for _ in range(30):
        units = random_units(env, rng)
        env.memory.holder[:], env.memory.known[:] = tables.NOBODY, False
        for _ in range(4):
            move_units(units, env, rng)
            load(env, units)
            again(env)
            for i, u in enumerate(units[0]):
                seen = [
                    u["health"] > 0 and v["health"] > 0 and Slow.dist(u, v) < reference_v2.SIGHT[u["type"]]
                    for v in units[1]
                ]
                assert enemy_rows(env)[i, :, 5:].any(1).tolist() == seen


def test_cone_looks_ahead_and_at_the_mirror_image():
    """Trap: slopes have no quadrant, so facing east shows what stands in the west, and slivers lie at +-90 degrees."""
    enemies = [("marine", 18.0, 16.0), ("marine", 14.0, 16.0), ("marine", 16.0, 18.0), ("marine", 17.0, 17.1)]
    env = scene([("marine", 16.0, 16.0)], enemies, conic_fov=True, enemy_memory="repaired")
    assert env.info.n_actions == 6 + 12 + 4 and env.first_target == 18
    assert env.available_actions[0, 0, 6:18].all()
    assert env.available_actions[0, 0, 18:].tolist() == [True, True, False, False]
    assert enemy_rows(env)[0, :, 5].tolist() == [1, 1, 0, 0]
    expectations = {3: [0, 0, 1, 0], 9: [0, 0, 0, 0], 6: [1, 1, 0, 0], 2: [0, 0, 1, 1], 8: [0, 0, 0, 0]}
    for facing, expected in expectations.items():
        env.traits.facing[0, 0] = facing
        again(env)
        assert enemy_rows(env)[0, :, 5].tolist() == expected, facing
    own = env.obs[0, 0, -5:-3]
    np.testing.assert_allclose(own, [math.cos(math.pi * 4 / 3), math.sin(math.pi * 4 / 3)], rtol=1e-6)


def test_cone_includes_its_range_unlike_plain_sight():
    far = [("marine", 25.0, 16.0)]
    assert not enemy_rows(scene([("marine", 16.0, 16.0)], far)).any()
    assert enemy_rows(scene([("marine", 16.0, 16.0)], far, conic_fov=True))[0, 0, 1] == 1.0


def orders(env, actions, *, checked=True):
    return env._orders(np.array([actions]), np.ones(1, np.bool_), checked=checked)[0].tolist()


def test_orders_without_action_mask_are_dropped_out_of_range():
    env = scene(
        [("marine", 10.0, 16.0), ("medivac", 12.0, 16.0)], [("marine", 15.0, 16.0), ("marine", 30.0, 16.0)],
        action_mask=False, enemy_memory="repaired",
    )  # fmt: skip
    assert env.available_actions[0, :, 6:].tolist() == [[True, True], [True, False]]
    assert enemy_rows(env)[0, 0, 0] == 1 and env.in_range[0].tolist() == [[True, False], [True, False]]
    assert orders(env, [6, 6]) == [6, 6]
    assert orders(env, [7, 1]) == [0, 1]
    assert orders(env, [7, 1], checked=False) == [7, 1]  # scripts order from any distance


def test_facing_gives_no_order_and_turns():
    env = scene([("marine", 10.0, 16.0), ("marine", 11.0, 16.0)], [("marine", 15.0, 16.0)], conic_fov=True)
    assert orders(env, [6 + 4, 18]) == [0, 6]
    assert env.traits.facing[0].tolist() == [4, 0]


def test_attack_probability_drops_targets_only():
    env = scene([("marine", 10.0, 16.0)] * 2, [("marine", 12.0, 16.0)], attack_probability=(0.5, 0.5))
    env.traits.chance[:] = [0.25, 1.0]
    carried = np.zeros(2)
    for t in range(800):
        env.t[0] = t
        carried += np.array(orders(env, [6, 6])) == 6
        assert orders(env, [1, 2]) == [1, 2]
    assert carried[1] == 800
    assert abs(carried[0] / 800 - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 800)


TERMS = contract.RewardTerms(
    sparse=False, only_positive=True, death_value=10.0, win=200.0, defeat=-3.0, negative_scale=0.5, divisor=99.0
)


@pytest.mark.parametrize(
    ("terms", "health", "reward", "result"),
    [
        (TERMS, [45, 45, 39, 20], 6.0, contract.UNDECIDED),
        (TERMS, [20, 45, 45, 26], 0.0, contract.UNDECIDED),  # regeneration costs nothing and pays nothing
        (TERMS, [45, 45, 30, 26], 9.0, contract.UNDECIDED),
        (TERMS, [0, 0, 45, 26], -3.0, contract.LOSS),
        (TERMS, [45, 45, 0, 0], 20.0 + 65 + 200, contract.WIN),
        (TERMS._replace(only_positive=False), [41, 0, 45, 26], -6.0 - 2 - 22.5 - 5, contract.UNDECIDED),
        (TERMS._replace(sparse=True), [45, 45, 0, 0], 1.0, contract.WIN),
    ],
)
def test_rewards_are_cut_off_at_zero_and_scaled_per_slot(terms, health, reward, result):
    env = scene([("marine", 1.0, 1.0)] * 2, [("marine", 1.0, 1.0)] * 2)
    env.units[0, tables.HEALTH] = health
    got, code = np.zeros(1), np.zeros(1, np.int64)
    contract_v2.settle(
        env.units, env.kinds, env.profile, env.layout, terms, np.array([4.0]), slots=np.ones(1, np.bool_),
        previous=np.array([[45.0, 45.0, 45.0, 20.0]]), flagged=np.zeros((1, 4), np.bool_), reward=got, result=code,
    )  # fmt: skip
    assert (got[0], code[0]) == (pytest.approx(reward / 4.0), result)


@pytest.mark.parametrize(
    ("allies", "enemies", "result"),
    [
        (["marine"], ["medivac", "medivac"], contract.WIN),
        (["marine"], ["marine", "medivac"], contract.UNDECIDED),
        (["medivac"], ["marine"], contract.LOSS),
        (["medivac"], ["medivac"], contract.LOSS),
    ],
)
def test_terran_battles_end_when_only_medivacs_are_left(allies, enemies, result):
    env = scene([(a, 1.0, 1.0) for a in allies], [(e, 1.0, 1.0) for e in enemies])
    assert env.layout.medivac_rules == GEN_HEALERS
    code = np.zeros(1, np.int64)
    total = env.units[:, tables.HEALTH].copy()
    contract_v2.settle(
        env.units, env.kinds, env.profile, env.layout, TERMS, np.ones(1), slots=np.ones(1, np.bool_), previous=total,
        flagged=np.zeros((1, len(allies) + len(enemies)), np.bool_), reward=np.zeros(1), result=code,
    )  # fmt: skip
    assert code[0] == result


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prob_obs_enemy": 1.5}, "prob_obs_enemy must lie in"),
        ({"enemy_memory": "fixed"}, "enemy_memory must be one of faithful, repaired"),
        ({"reward_scale_teams": "all"}, "reward_scale_teams must be one of first, episode"),
        ({"num_fov_actions": 0}, "num_fov_actions must be an integer of at least 1"),
        ({"kill_unit_step_mul": 8}, "kill_unit_step_mul must be an integer in 0..step_mul - 1"),
        ({"attack_probability": (0.9, 0.1)}, "attack_probability must be"),
        ({"attack_probability": 0.5}, "attack_probability must be"),
        ({"health_level": (0.0, 1.0)}, "health_level must be"),
        ({"mask_probability": 2}, "mask_probability must lie in"),
        ({"mask_probability": "half"}, "mask_probability must be a number"),
        ({"conic_fov": 1}, "conic_fov must be True or False"),
        ({"obs_starcraft": False}, "needs obs_timestep_number=True"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ScenarioOptions(**options)


def test_nothing_but_the_time_is_left_without_starcraft():
    for family, size in (("smac", 1), ("mazero", 3)):
        env = build("terran", (2, 3), family, obs_starcraft=False, obs_timestep_number=True)
        assert env.info.obs_size == size
        env.reset(0)
        env.step(np.ones((1, 2), int))
        assert env.obs[0, :, -1].tolist() == [np.float32(1 / 200)] * 2
        assert family == "smac" or env.obs[0, :, :2].tolist() == [[1, 0], [0, 1]]


def test_options_can_be_replaced_one_by_one():
    assert replace(ScenarioOptions(), conic_fov=True).num_fov_actions == 12
