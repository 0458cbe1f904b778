"""Drawn scenarios: the distributions of teams and places, sizes, episodes that follow from seed, slot and number."""

import math

import numpy as np
import pytest

import envs
from skirmish.contract import smac as contract
from skirmish.counters import BATTLES, CounterStreams
from skirmish.data.units import unit_type
from skirmish.physics import tables
from skirmish.physics.placement import free_spots
from skirmish.policies import random_actions
from skirmish.scenarios.draw import (
    AGENT_TYPE_ORDER,
    RACES,
    SCENARIOS,
    Scenario,
    draw_battle,
    draw_team,
    find_scenario,
    reflected_positions,
    scenario_names,
    surrounded_positions,
)
from skirmish.scenarios.env import GeneratedEnv

DRAWS = 4000

SIZES = {  # scenario: agents, enemies, obs, state, actions
    "terran_5_vs_5": (5, 5, 82, 120, 11),
    "terran_10_vs_10": (10, 10, 162, 290, 16),
    "terran_20_vs_20": (20, 20, 322, 780, 26),
    "terran_10_vs_11": (10, 11, 170, 306, 17),
    "terran_20_vs_23": (20, 23, 346, 858, 29),
    "protoss_5_vs_5": (5, 5, 92, 130, 11),
    "protoss_10_vs_10": (10, 10, 182, 310, 16),
    "protoss_20_vs_20": (20, 20, 362, 820, 26),
    "protoss_10_vs_11": (10, 11, 191, 327, 17),
    "protoss_20_vs_23": (20, 23, 389, 901, 29),
    "zerg_5_vs_5": (5, 5, 82, 120, 11),
    "zerg_10_vs_10": (10, 10, 162, 290, 16),
    "zerg_20_vs_20": (20, 20, 322, 780, 26),
    "zerg_10_vs_11": (10, 11, 170, 306, 17),
    "zerg_20_vs_23": (20, 23, 346, 858, 29),
}


def near(share, probability, count):
    """Within four standard errors of a share of `count` independent trials."""
    return abs(share - probability) <= 4 * math.sqrt(probability * (1 - probability) / count)


def near_mean(values, low, high):
    """Is the mean that of a uniform distribution, within four standard errors?"""
    values = np.asarray(values)
    return abs(values.mean() - (low + high) / 2) <= 4 * (high - low) / math.sqrt(12 * values.size)


def test_names_and_published_options():
    assert set(scenario_names()) == set(SIZES) | {f"{name}_epo" for name in SIZES}
    assert not set(scenario_names()) & set(envs.available("skirmish"))
    env, epo = envs.make("zerg_5_vs_5"), envs.make("zerg_5_vs_5_epo")
    for options in (env.options, epo.options):
        assert (options.use_unit_ranges, options.min_attack_range, options.obs_own_pos) == (True, 2.0, True)
        assert (options.conic_fov, options.enemy_memory) == (False, "faithful")
    assert (env.options.prob_obs_enemy, env.options.action_mask) == (1.0, True)
    assert (epo.options.prob_obs_enemy, epo.options.action_mask) == (0.0, False)
    assert envs.make("zerg_5_vs_5_epo", action_mask=True).options.action_mask is True


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    for variant in (name, f"{name}_epo"):
        env = envs.make(variant)
        info = env.info
        got = (info.n_agents, info.n_enemies, info.obs_size, info.state_size, info.n_actions)
        assert got == SIZES[name]
        assert (info.episode_limit, info.backend, info.name) == (200, "skirmish", variant)
        assert env.capabilities.shape == (1, info.n_agents, 3)
    n, _, obs, state, actions = SIZES[name]
    cone = envs.make(name, conic_fov=True).info
    assert (cone.n_actions, cone.obs_size, cone.state_size) == (actions + 12, obs + 2, state + 2 * n + 12 * n)
    mazero = envs.make(name, observation="mazero").info
    assert mazero.obs_size == obs + (n - 1) * actions + 4 + actions + n


def test_unknown_names_and_options_are_refused_with_the_nearest_one():
    for call, message in (
        (lambda: envs.make("teran_5_vs_5"), "did you mean 'terran_5_vs_5'"),
        (lambda: find_scenario("zerg_5_vs_6"), "did you mean 'zerg_5_vs_5'"),
        (lambda: envs.make("zerg_5_vs_5", conic_fow=True), "did you mean 'conic_fov'"),
        (lambda: envs.make("3m", conic_fov=True), "unknown option 'conic_fov'"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("race", RACES)
def test_weights_of_the_types(race):
    rng = np.random.default_rng(1)
    teams = np.array([draw_team(RACES[race], 10, rng) for _ in range(DRAWS)])  # whole exceptional teams: 1e-10
    for k, weight in enumerate(RACES[race].weights.values()):
        assert near((teams == k).mean(), weight, teams.size)


def test_whole_teams_of_exceptions_are_drawn_again():
    """Of two terrans one is a medivac with probability 2 * 0.1 * 0.9 / (1 - 0.01); two or a single one never are."""
    rng = np.random.default_rng(2)
    pairs = np.array([(draw_team(RACES["terran"], 2, rng) == 2).sum() for _ in range(DRAWS)])
    assert near((pairs == 1).mean(), 0.18 / 0.99, DRAWS) and (pairs < 2).all()
    assert all(draw_team(RACES["terran"], 1, rng)[0] != 2 for _ in range(500))
    colossi = np.array([draw_team(RACES["protoss"], 1, rng)[0] == 2 for _ in range(DRAWS)])
    assert near(colossi.mean(), 0.1, DRAWS)  # nothing is exceptional there
    banelings = np.array([(draw_team(RACES["zerg"], 2, rng) == 2).sum() for _ in range(DRAWS)])
    assert near((banelings == 1).mean(), 0.18 / 0.99, DRAWS) and (banelings < 2).all()


def test_enemies_are_the_same_team_and_extra_ones_a_team_of_their_own():
    """Trap: one extra enemy is never an exception; of three each one is with (0.1 - 0.001) / (1 - 0.001)."""
    rng = np.random.default_rng(3)
    one, three = [], []
    for _ in range(DRAWS):
        battle = draw_battle(SCENARIOS["terran_10_vs_11"], rng)
        assert np.array_equal(battle.enemy_types[:10], battle.ally_types)
        one.append(battle.enemy_types[10])
        three.append(draw_battle(SCENARIOS["zerg_20_vs_23"], rng).enemy_types[20:])
    assert 2 not in one and near(np.mean(np.array(one) == 0), 0.5, DRAWS)
    exceptional = np.array(three) == 2
    assert not exceptional.all(1).any()
    assert near(exceptional[:, 0].mean(), 0.099 / 0.999, DRAWS)
    fewer = draw_battle(Scenario("toy", RACES["zerg"], 6, 4), rng)
    assert np.array_equal(fewer.enemy_types, fewer.ally_types[:4]) and fewer.enemy_positions.shape == (4, 2)


def test_half_of_the_battles_are_surrounded():
    rng = np.random.default_rng(4)
    battles = [draw_battle(SCENARIOS["protoss_5_vs_5"], rng) for _ in range(DRAWS)]
    assert near(np.mean([(b.ally_positions == 16.0).all() for b in battles]), 0.5, DRAWS)
    for p, surrounded in ((0.0, True), (1.0, False)):
        battle = draw_battle(Scenario("toy", RACES["zerg"], 2, 2, reflect_probability=p), rng)
        assert (battle.ally_positions == 16.0).all() == surrounded


def test_reflected_positions():
    rng = np.random.default_rng(5)
    draws = [reflected_positions(10, 12, rng) for _ in range(400)]
    allies, enemies = (np.array(side) for side in zip(*draws, strict=True))
    np.testing.assert_allclose(enemies[:, :10, 0], 32.0 - allies[:, :, 0])
    assert np.array_equal(enemies[:, :10, 1], allies[:, :, 1])
    assert near_mean(allies[..., 0], 0, 15) and near_mean(allies[..., 1], 0, 32)
    assert near_mean(enemies[:, 10:, 0], 16, 32) and near_mean(enemies[:, 10:, 1], 0, 32)
    for values, low, high in ((allies[..., 0], 0, 15), (enemies[:, 10:, 0], 16, 32)):
        assert values.min() >= low and values.max() < high and values.max() > high - 0.1
    assert near((allies[..., 0] < 5).mean(), 1 / 3, allies[..., 0].size)
    assert reflected_positions(5, 3, rng)[1].shape == (3, 2)


def test_surrounded_positions():
    """Five enemies all stand together with probability sum_G 1/4 G (1/G)^5 = 0.26969."""
    rng = np.random.default_rng(6)
    together, corners, depths, groups = 0, [], [], []
    for _ in range(DRAWS):
        allies, enemies = surrounded_positions(5, 5, rng)
        assert (allies == 16.0).all()
        east = enemies > 16.0  # (5, 2)
        inwards = np.where(east, 32.0 - enemies, enemies) / 14.0  # corner 0, inner point (2 from the centre) 1
        np.testing.assert_allclose(inwards[:, 0], inwards[:, 1], atol=1e-12)
        assert (inwards >= 0).all() and (inwards < 1).all()
        corner = east[:, 0] * 2 + east[:, 1]
        assert len(np.unique(enemies.round(9), axis=0)) == len(set(corner.tolist()))  # one point per corner
        together += len(set(corner.tolist())) == 1
        corners.append(corner[0])
        depths.append(inwards[0, 0])
        groups.append(len(set(corner.tolist())))
    assert near(together / DRAWS, (1 + 2 / 32 + 3 / 243 + 4 / 1024) / 4, DRAWS)
    # All four corners: G = 4 and a multinomial of 5 that leaves nobody out: 240 of 1024 assignments.
    assert near(np.mean(np.array(groups) == 4), 240 / 1024 / 4, DRAWS)
    for c in range(4):
        assert near(np.mean(np.array(corners) == c), 0.25, DRAWS)
    assert near_mean(depths, 0, 1) and near(np.mean(np.array(depths) < 0.25), 0.25, DRAWS)


def test_members_of_a_group_are_neighbours_in_the_list():
    rng = np.random.default_rng(7)
    for _ in range(200):
        _, enemies = surrounded_positions(2, 20, rng)
        changes = (np.diff(enemies, axis=0) != 0).any(1).sum()
        assert changes == len(np.unique(enemies, axis=0)) - 1


@pytest.mark.parametrize("point", [(16.0, 16.0), (0.0, 0.0), (31.9, 12.0)])
def test_units_created_on_one_point_find_free_spots_in_the_map(point):
    names = (["zealot", "stalker", "colossus", "medivac"] * 12)[:43]
    spots = free_spots(np.tile(point, (43, 1)), names, 0.05, (32, 32))
    kinds = [unit_type(name) for name in names]
    for u, a in enumerate(kinds):
        assert (spots[u] >= a.separation).all() and (spots[u] <= 32 - a.separation).all()
        for v in range(u):
            same_layer = names[u] == names[v] or not {names[u], names[v]} & {"colossus", "medivac"}
            same_layer |= {names[u], names[v]} == {"colossus", "medivac"}
            if same_layer:
                assert math.dist(spots[u], spots[v]) >= a.separation + kinds[v].separation - 1e-6
    inside = np.clip(point, 0.375, 31.625)
    assert spots[0].tolist() == inside.tolist()  # the first one stands on the point


@pytest.mark.parametrize("rules", [{"placement_jitter": 0.0}, {}], ids=["exact places", "defaults"])
def test_agents_are_sorted_by_type_id_and_place_and_types_match_the_draw(rules):
    env = envs.make("terran_20_vs_23", num_envs=6, **rules)
    env.reset(11)
    streams = CounterStreams(BATTLES)
    for slot in range(6):
        battle = draw_battle(env.scenario, streams.at(11, slot=slot, episode=0))
        drawn = [[env.scenario.types[k] for k in side] for side in (battle.ally_types, battle.enemy_types)]
        got = [env.spec.kinds[k].name for k in env.kinds[slot]]
        assert got[20:] == drawn[1]  # creation order
        assert sorted(got[:20]) == sorted(drawn[0])
        x, y = env.units[slot, tables.X, :20], env.units[slot, tables.Y, :20]
        rank = [AGENT_TYPE_ORDER.index(name) for name in got[:20]]
        assert rank == sorted(rank)
        assert contract.agent_order(np.array(rank), x, y).tolist() == list(range(20))
        caps = env.capabilities[slot]
        assert [env.scenario.types[k] for k in caps.argmax(1)] == got[:20] and (caps.sum(1) == 1).all()
    strength = np.array([kind.health_max for kind in env.spec.kinds])
    assert np.array_equal(env.units[:, tables.HEALTH], strength[env.kinds])


def test_mirrored_battles_start_mirrored():
    env = GeneratedEnv(Scenario("toy", RACES["protoss"], 3, 3, reflect_probability=1.0), num_envs=20)
    env.reset(0)
    mirrored = 0
    for slot in range(20):
        spots = env._places[slot, :2].T
        allies = {(round(32.0 - x, 6), round(y, 6)) for x, y in spots[:3]}
        mirrored += allies == {(round(x, 6), round(y, 6)) for x, y in spots[3:]}
    assert mirrored >= 18  # all but those whose units collide


def stored(env, steps, seed=0):
    """Everything a learner would store, over some steps of random play."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        env.step(random_actions(env.available_actions, rng))
        arrays = (env.obs, env.state, env.available_actions, env.reward, env.terminated, env.truncated, env.won)
        seen += [array.copy() for array in (*arrays, env.memory.holder, env.memory.known, env.traits.facing)]
        env.reset_done()
    return seen


FULL = {
    "conic_fov": True, "attack_probability": (0.5, 1.0), "health_level": (0.0, 0.4), "mask_probability": 0.5,
    "prob_obs_enemy": 0.5, "obs_timestep_number": True,
}  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [("terran_5_vs_5", {}), ("zerg_10_vs_11_epo", {}), ("zerg_5_vs_5", FULL)])
def test_snapshot_and_restore_are_exact(name, options):
    env = envs.make(name, num_envs=3, **options)
    env.reset(5)
    stored(env, 40)
    saved, obs = env.snapshot(), env.obs.copy()
    first = stored(env, 50, seed=1)
    other = envs.make(name, num_envs=3, **options)
    for target in (env, other):
        target.restore(saved)
        assert np.array_equal(target.obs, obs)
        again = stored(target, 50, seed=1)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_episodes_depend_on_seed_slot_and_number_alone():
    def starts(num_envs, seed):
        env = envs.make("protoss_5_vs_5", num_envs=num_envs)
        env.reset(seed)
        seen = [env.state[:2].copy()]
        env.reset()
        return [*seen, env.state[:2].copy()]

    few, many = starts(2, 7), starts(5, 7)
    assert all(np.array_equal(a, b) for a, b in zip(few, many, strict=True))
    assert not np.array_equal(few[0][0], few[0][1]) and not np.array_equal(few[0], few[1])
    assert not np.array_equal(few[0], starts(2, 8)[0])


def total(env, slot):
    """Health and shields of a slot's enemies at full strength."""
    kinds = [env.spec.kinds[k] for k in env.kinds[slot, env.info.n_agents :]]
    return sum(kind.health_max + kind.shield_max for kind in kinds)


def test_rewards_are_scaled_by_the_first_episode_of_the_slot_or_by_each():
    """Trap: later episodes with stronger enemies pay more than 20 for a win."""
    published, each = (
        envs.make("protoss_5_vs_5", num_envs=8, reward_scale_teams=kind) for kind in ("first", "episode")
    )
    for env in (published, each):
        env.reset(3)
        first = [total(env, b) + 50 + 200 for b in range(8)]
        assert env.max_rewards.tolist() == first and len(set(first)) > 1
        env.reset()
        second = [total(env, b) + 50 + 200 for b in range(8)]
        assert first != second and env.max_rewards.tolist() == (first if env is published else second)
        previous = np.zeros((8, 10))
        previous[:, 5] = np.array(second) - 250  # the enemies' whole strength, wherever it was
        env.units[:, tables.HEALTH, 5:] = 0.0
        env._settle(np.ones(8, np.bool_), previous)
        np.testing.assert_allclose(env._reward64, 20.0 * np.array(second) / env.max_rewards)
    env.reset(4)
    assert env.max_rewards.tolist() == [total(env, b) + 250 for b in range(8)]  # a seed starts a new game


def test_enemies_come_for_the_agents():
    """Nobody moves but the hunters: from anywhere on the map they have killed somebody within 60 steps."""
    env = envs.make("terran_5_vs_5", num_envs=16)
    env.reset(0)
    for _ in range(60):
        env.step(np.where(env.alive[:, :5], 1, 0))
    assert (~env.alive[:, :5]).any(1).all()
    assert env.finished.any() and not env.won.any()


@pytest.mark.parametrize("name", ["terran_5_vs_5", "protoss_10_vs_11", "zerg_5_vs_5_epo"])
def test_random_play_keeps_its_promises(name):
    env = envs.make(name, num_envs=16, observation="mazero")
    env.reset(1)
    rng, ended = np.random.default_rng(0), 0
    for _ in range(120):
        env.step(random_actions(env.available_actions, rng))
        assert np.isfinite(env.obs).all() and np.isfinite(env.state).all() and (env.reward >= 0).all()
        assert env.available_actions.any(2).all() and (env.t <= 200).all()
        x, y = env.units[:, tables.X], env.units[:, tables.Y]
        assert x.min() >= 0 and y.min() >= 0 and x.max() <= 32 and y.max() <= 32
        ended += int(env.finished.sum())
        env.reset_done()
    assert ended > 0


def test_who_is_below_the_health_level_dies_two_loops_before_the_end_of_the_step():
    env = envs.make("terran_5_vs_5", num_envs=2, health_level=(0.3, 0.3))
    env.reset(2)
    assert (env.state[:, 0] == 1).all()  # (1 - L) / (1 - L)
    env.units[:, tables.X, :5], env.units[:, tables.Y, :5] = np.arange(2, 12, 2), 2.0  # far away from each other
    env.units[:, tables.X, 5:], env.units[:, tables.Y, 5:] = np.arange(22, 32, 2), 30.0
    full = env.units[0, tables.HEALTH].copy()
    for unit, share in ((0, 0.29), (1, 0.65), (6, 0.01)):
        env.units[0, tables.HEALTH, unit] = share * full[unit]
    alive = []
    for _ in env.step_loops(np.ones((2, 5), int)):
        alive.append(env.marks[0, tables.ALIVE, 0])
    assert alive == [1, 1, 1, 1, 1, 1, 0, 0]
    assert env.alive[0].tolist() == [False] + [True] * 9  # enemies have no level
    assert env.alive[1].all()
    assert not env.state[0, :8].any()  # 8 entries: health, energy or cooldown, x, y, level, type
    assert env.state[0, 8] == pytest.approx((0.65 - 0.3) / 0.7, abs=1e-6)
    assert env.reward.tolist() == [0.0, 0.0]


def test_drawn_abilities_lie_in_their_ranges_and_change_with_the_episode():
    env = envs.make("zerg_10_vs_10", num_envs=40, attack_probability=[0.2, 0.6], health_level=[0.1, 0.3])
    env.reset(0)
    chance, level = env.traits.chance.copy(), env.traits.level.copy()
    assert near_mean(chance, 0.2, 0.6) and chance.min() >= 0.2 and chance.max() <= 0.6
    assert near_mean(level, 0.1, 0.3) and level.min() >= 0.1 and level.max() <= 0.3
    np.testing.assert_allclose(env.capabilities[:, :, 0], chance, rtol=1e-6)
    np.testing.assert_allclose(env.capabilities[:, :, 1], level, rtol=1e-6)
    assert env.info.obs_size == 162 + 9 * 2 + 2 and env.info.state_size == 290 + 10 * 2
    env.reset()
    assert not np.array_equal(chance, env.traits.chance)


def test_mask_probability_is_the_probability_of_being_shown():
    env = envs.make("zerg_10_vs_10", num_envs=40, mask_probability=0.8)
    env.reset(0)
    assert near(env.traits.hidden.mean(), 0.2, env.traits.hidden.size)


def test_pictures_can_be_taken_between_the_loops():
    options = {"health_level": (0.2, 0.4), "conic_fov": True}
    whole, slow = (envs.make("terran_5_vs_5", num_envs=2, **options) for _ in range(2))
    rng = np.random.default_rng(0)
    for env in (whole, slow):
        env.reset(3)
    for _ in range(25):
        actions = random_actions(whole.available_actions, rng)
        whole.step(actions)
        assert sum(1 for _ in slow.step_loops(actions)) == 8
        assert np.array_equal(whole.obs, slow.obs) and np.array_equal(whole.units, slow.units)
        assert np.array_equal(whole.reward, slow.reward)


def test_scenarios_can_be_perturbed():
    env = envs.make("terran_5_vs_5", num_envs=2, action_failure=1.0, obs_noise=0.1, jitter_scale=0.0)
    env.reset(0)
    env.step(np.where(env.available_actions[:, :, 2], 2, 1))
    assert (env.env.last_action == 1).all() and env.env.rules.jitter_scale == 0.0
