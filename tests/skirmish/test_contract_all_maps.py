"""The observation contract on all 23 maps: published sizes, and the slow reference on random battles and options."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skirmish.contract import smac as contract
from skirmish.contract.layout import P_COOLDOWN_MAX, P_HEALTH_MAX, P_SHIELD_MAX, Grids
from skirmish.contract.options import (
    SkirmishOptions,
    build_kinds,
    build_layout,
    build_profile,
    build_reward_terms,
)
from skirmish.data.maps import load_map, map_names
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, NUM_FLOATS, SHIELD, X, Y
from tests.skirmish import reference_contract as reference

RESULTS = {None: contract.UNDECIDED, 1: contract.WIN, -1: contract.LOSS, 0: contract.DRAW}
SWITCHES = [f.name for f in dataclasses.fields(SkirmishOptions) if f.type == "bool"]
BORDERS = (-1.0, -0.5, 0.0, 0.5, 0.99, 1.0, 2.5, 4.0, 28.0, 31.0, 31.5, 31.99, 32.0, 33.0)
# Offsets of exactly (along the axes) or nearly 6 and 9.
TIES = ((6, 0), (0, -6), (3.6, 4.8), (-4.8, 3.6), (9, 0), (0, 9), (-5.4, 7.2), (7.2, 5.4), (0, 0))


@pytest.mark.parametrize("name", reference.MAPS)
def test_published_sizes(name):
    facts, spec = reference.MAPS[name], load_map(name)
    sizes = build_layout(spec, SkirmishOptions())
    assert (sizes.n, sizes.m, sizes.n_actions) == (facts["n_agents"], facts["n_enemies"], facts["n_actions"])
    assert (sizes.episode_limit, sizes.bits) == (facts["episode_limit"], facts["unit_type_bits"])
    assert (sizes.obs_size, sizes.state_size) == (facts["obs_size"], facts["state_size"])
    assert _plain(sizes.obs_blocks) == facts["obs_blocks"]
    assert list(sizes.obs_blocks) == ["move", "enemy", "ally", "own"]
    assert _plain(sizes.state_blocks) == facts["state_blocks"]
    fork = build_layout(spec, SkirmishOptions(), mazero=True)
    assert (fork.obs_size, fork.state_size) == (facts["mazero"]["obs_size"], facts["state_size"])
    assert _plain(fork.obs_blocks) == facts["mazero"]["obs_blocks"]
    assert list(fork.obs_blocks) == ["ally", "enemy", "move", "own", "agent_id"]


@pytest.mark.parametrize("name", reference.MAPS)
def test_published_rewards_and_teams(name):
    spec = load_map(name)
    allies, enemies = reference.unit_types(name)
    assert [kind.name for kind in spec.unit_types] == allies + enemies
    kinds, profile = build_kinds(spec), build_profile(spec)
    assert [spec.kinds[k].name for k in kinds] == allies + enemies
    assert (
        contract.max_reward(profile, kinds[spec.n_agents :], 10.0, 200.0) == reference.MAPS[name]["nominal_max_reward"]
    )


def test_all_23_maps_are_there():
    assert len(reference.MAPS) == 23
    assert set(reference.MAPS) <= set(map_names())


def _plain(blocks):
    """As in sizes.json: [rows, features], or features alone of blocks that are one row."""
    single = ("move", "own", "agent_id")
    return {key: size[1] if key in single else list(size) for key, size in blocks.items()}


@st.composite
def options_of_smac(draw):
    values = {name: draw(st.booleans()) for name in SWITCHES}
    values["reward_death_value"] = draw(st.sampled_from([10.0, 0.0, 3.7]))
    values["reward_win"] = draw(st.sampled_from([200.0, 12.3]))
    values["reward_defeat"] = draw(st.sampled_from([0.0, -5.1]))
    values["reward_negative_scale"] = draw(st.sampled_from([0.5, 0.3, 0.0]))
    values["reward_scale_rate"] = draw(st.sampled_from([20.0, 7.0]))
    whole = values["obs_pathing_grid"] or values["obs_terrain_height"]
    values["move_amount"] = draw(st.sampled_from([2, 3.0, 1] if whole else [2, 1.5, 0.7]))
    return values


@pytest.mark.parametrize("name", reference.MAPS)
@settings(max_examples=25, derandomize=True, deadline=None, database=None)
@given(values=options_of_smac(), mazero=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_everything_equals_the_reference(name, values, mazero, seed):
    """Two battles side by side, bit for bit."""
    rng, spec = np.random.default_rng(seed), load_map(name)
    options = SkirmishOptions(**values)
    sizes, profile = build_layout(spec, options, mazero=mazero), build_profile(spec)
    grids = Grids(rng.random((32, 32)) < 0.7, rng.integers(0, 256, (32, 32)) / 255.0)
    kinds = np.stack([build_kinds(spec)] * 2)
    before = np.stack([_random_units(rng, profile[k]) for k in kinds])
    after = np.stack([_one_step_later(rng, units, profile[k], sizes.n) for units, k in zip(before, kinds, strict=True)])
    last = rng.integers(-1 if rng.random() < 0.2 else 0, sizes.n_actions, (2, sizes.n))
    t = rng.integers(0, sizes.episode_limit + 1, 2)
    battles = [
        reference.Battle(
            name=name,
            options=dataclasses.asdict(options),
            walkable=grids.walkable,
            height=grids.height,
            allies=_reported(spec, after[b])[: sizes.n],
            enemies=_reported(spec, after[b])[sizes.n :],
            last_action=[None if a < 0 else a for a in last[b].tolist()],
            t=int(t[b]),
            mazero=mazero,
        )
        for b in range(2)
    ]

    available = contract.available_actions(after, kinds, profile, sizes, grids)
    expected = [[reference.availability(battle, i) for i in range(sizes.n)] for battle in battles]
    assert available.astype(int).tolist() == expected

    obs = contract.observations(after, kinds, profile, sizes, grids, available=available, last_action=last, t=t)
    expected = [[reference.observation(battle, i) for i in range(sizes.n)] for battle in battles]
    assert obs.dtype == np.float32
    np.testing.assert_array_equal(obs, np.array(expected, np.float32))
    if not mazero:
        assert sizes.obs_size == reference.declared_obs_size(battles[0]) + options.obs_timestep_number

    state = contract.states(after, kinds, profile, sizes, last_action=last, t=t, obs=obs)
    assert state.dtype == np.float32
    np.testing.assert_array_equal(state, np.array([reference.state(battle) for battle in battles], np.float32))

    flagged = (before[:, HEALTH] == 0) & (rng.random((2, sizes.n + sizes.m)) < 0.9)
    expected_flags = flagged.tolist()
    reward, result = np.zeros(2), np.zeros(2, np.int64)
    worth = contract.max_reward(profile, kinds[0, sizes.n :], options.reward_death_value, options.reward_win)
    assert worth == reference.max_reward(name, values)
    terms = build_reward_terms(options, worth)
    previous, slots = before[:, HEALTH] + before[:, SHIELD], np.ones(2, np.bool_)
    contract.settle(after, kinds, profile, sizes, terms, slots, previous, flagged, reward, result)
    for b, battle in enumerate(battles):
        had = before[b, [HEALTH, SHIELD]].T.tolist()
        assert reward[b] == reference.reward(battle, had, expected_flags[b])
        assert result[b] == RESULTS[reference.result(battle)]
    assert flagged.tolist() == expected_flags


def _random_units(rng, facts):
    """(NUM_FLOATS, U) a heap of units with stragglers on borders, at exact distances and on one another; some dead.

    Values are float32, as the game reports them, so that distances do not hang on the last bit of a square root.
    """
    count = len(facts)
    units = np.zeros((NUM_FLOATS, count))
    units[X], units[Y] = rng.uniform(0, 32, (2, 1)) + rng.normal(0, rng.choice([1.0, 4.0, 8.0]), (2, count))
    if rng.random() < 0.5:  # halves are exact, so that sums of them are, too
        units[[X, Y]] = np.round(2 * units[[X, Y]]) / 2
    for u in range(count):
        kind = rng.random()
        if kind < 0.15:
            units[rng.choice([X, Y]), u] = rng.choice(BORDERS)
        elif kind < 0.5:
            units[[X, Y], u] = units[[X, Y], rng.integers(count)] + TIES[rng.integers(len(TIES))]
    units[HEALTH] = facts[:, P_HEALTH_MAX] * rng.choice([1.0, rng.random()], count)
    units[HEALTH, rng.random(count) < rng.choice([0.0, 0.2, 0.9])] = 0.0
    units[SHIELD] = facts[:, P_SHIELD_MAX] * rng.random(count)
    units[ENERGY] = rng.uniform(0, 200, count)
    units[COOLDOWN] = facts[:, P_COOLDOWN_MAX] * rng.uniform(-0.1, 1.3, count)
    return units.astype(np.float32).astype(np.float64)


def _one_step_later(rng, units, facts, n):
    """The same units a step later: some hit, some dead, some regenerated; ends of battles are common."""
    later = units.copy()
    count = units.shape[1]
    share = rng.choice([0.5, 1.0, 1.0, 1.2], count)
    later[HEALTH] = np.minimum(later[HEALTH] * share, facts[:, P_HEALTH_MAX])
    shields = np.minimum(later[SHIELD] * share, facts[:, P_SHIELD_MAX])
    later[SHIELD] = np.where(later[HEALTH] > 0, shields, later[SHIELD])
    later[HEALTH, rng.random(count) < rng.choice([0.0, 0.1])] = 0.0
    for side in (np.arange(n), np.arange(n, count)):
        left = rng.choice(["all", "all", "none", "last"])  # the last unit is the medivac on MMM maps
        later[HEALTH, side[:-1] if left == "last" else side[: len(side) * (left == "none")]] = 0.0
        if left == "last" and rng.random() < 0.8:
            later[HEALTH, side[-1]] = facts[side[-1], P_HEALTH_MAX]
    return later.astype(np.float32).astype(np.float64)


def _reported(spec, units):
    allies, enemies = reference.unit_types(spec.name)
    rows = units[[X, Y, HEALTH, SHIELD, ENERGY, COOLDOWN]].T.tolist()
    return [reference.Unit(kind, *row) for kind, row in zip(allies + enemies, rows, strict=True)]
