"""Map and unit data, and where created units stand."""

import math

import numpy as np
import pytest

from envs.skirmish.maps import Group, load_map, map_names, packed_spots
from envs.skirmish.rules import Rules
from envs.skirmish.units import unit_type


def test_marine_facts():
    marine = unit_type("marine")
    assert (marine.health_max, marine.armor, marine.shield_max) == (45, 0, 0)
    assert (marine.weapon_damage, marine.weapon_range, marine.weapon_period) == (6, 5, 13.773)
    assert (marine.jitter_low, marine.jitter_high) == (-1, 2)
    assert marine.speed * 16 == 2.25  # per second at game speed normal
    assert math.ceil(marine.health_max / marine.weapon_damage) == 8


@pytest.mark.parametrize("name", map_names())
def test_maps_are_consistent(name):
    spec = load_map(name)
    assert sum(g.count for g in spec.allies) == spec.n_agents
    assert sum(g.count for g in spec.enemies) == spec.n_enemies
    assert spec.attack_point == (9, 16)
    assert math.dist((spec.allies[0].x, spec.allies[0].y), (spec.enemies[0].x, spec.enemies[0].y)) == 14
    walkable = spec.terrain.walkable
    assert walkable.shape == (32, 32)
    assert walkable[:, 8:24].all()
    assert walkable.sum() == 512


@pytest.mark.parametrize("name", ["3m", "25m", "27m_vs_30m"])
def test_created_units_do_not_overlap_and_stay_close(name):
    spec = load_map(name)
    spots = packed_spots(spec.allies + spec.enemies, Rules().placement_gap)
    n = spec.n_agents
    for points, centre in ((spots[:n], (9, 16)), (spots[n:], (23, 16))):
        distance = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1)) + 9 * np.eye(len(points))
        assert distance.min() > 0.75
        assert np.hypot(*(points - centre).T).max() < 0.8 * math.sqrt(len(points))
    np.testing.assert_allclose(spots[0], (9, 16))


def test_a_small_team_stands_in_a_line_across_the_battle():
    spots = packed_spots((Group("marine", 3, 9.0, 16.0),), 0.05)
    np.testing.assert_allclose(spots, [(9, 16), (9, 16.8), (9, 15.2)])


def test_unknown_names():
    with pytest.raises(ValueError, match="did you mean '8m'"):
        load_map("8n")
    with pytest.raises(ValueError, match="did you mean 'marine'"):
        unit_type("marien")


@pytest.mark.parametrize(
    "change", [{"scan_interval": 0}, {"respawn_loops": -1}, {"jitter_scale": 2.0}, {"placement_jitter": -0.1}]
)
def test_rules_refuse_values_without_a_meaning(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Rules(**change)
