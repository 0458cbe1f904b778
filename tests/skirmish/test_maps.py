"""Map and unit data, and where created units stand."""

import math

import numpy as np
import pytest

from skirmish.data.maps import Group, load_map, load_terrain, map_names, packed_spots
from skirmish.data.units import unit_type
from skirmish.physics.rules import Rules

FACTS = {  # health, shield, armour, speed per second, damage, hits, range, period in loops; of the enemy's units, 4.10
    "marine": (45, 0, 0, 2.25, 6, 1, 5, 13.773),
    "marauder": (125, 0, 1, 2.25, 10, 1, 6, 24),
    "stalker": (80, 80, 1, 2.9531, 13, 1, 6, 29.92),
    "zealot": (100, 50, 1, 2.25, 8, 2, 0.1, 19.2),
    "colossus": (200, 150, 1, 2.25, 10, 2, 7, 24),
    "zergling": (35, 0, 0, 2.9531, 5, 1, 0.1, 11.136),
    "baneling": (30, 0, 0, 2.5, 20, 1, 0.25, 13.328),
    "hydralisk": (90, 0, 0, 2.25, 12, 1, 5, 13.2),
    "spine_crawler": (300, 0, 2, 0, 25, 1, 7, 29.6),
}


@pytest.mark.parametrize("name", FACTS)
def test_unit_facts(name):
    t = unit_type(name)
    w = t.weapon
    speed = t.speed * 16  # 16 loops are one second at game speed normal
    assert (t.health_max, t.shield_max, t.armor, speed, w.damage, w.attacks, w.range, w.period) == FACTS[name]
    assert w.jitter == (-1, 2)


@pytest.mark.parametrize(("agents", "speed", "acceleration"), [(True, 2.75, 2.3125), (False, 2.5, 2.25)])
def test_medivac_facts(agents, speed, acceleration):
    t = unit_type("medivac", agents=agents)
    assert t.weapon is None
    assert (t.health_max, t.energy_start, t.energy_max) == (150, 50, 200)
    assert (t.speed * 16, t.acceleration * 256) == (speed, acceleration)
    assert (t.heal.rate * 16, t.heal.energy_per_health, t.heal.range) == (9, 0.33, 4)


@pytest.mark.parametrize("name", map_names())
def test_maps_are_consistent(name):
    spec = load_map(name)
    assert sum(g.count for g in spec.allies) == spec.n_agents
    assert sum(g.count for g in spec.enemies) == spec.n_enemies
    walkable = spec.terrain.walkable
    assert walkable.shape == spec.terrain.height.shape == spec.terrain.size == (32, 32)
    for group in spec.allies + spec.enemies:
        assert walkable[int(group.x), int(group.y)]


def test_terrains_have_the_published_number_of_walkable_cells():
    """Cells reachable on foot; corridor counts its four opened corners."""
    cells = {"band_32x16": 512, "open_32x32": 1024, "octagon": 352, "ravine": 336, "house": 168, "rounded_box": 152}
    cells |= {"corridor": 336, "diagonal_strip": 300}
    for name, count in cells.items():
        assert load_terrain(name).walkable.sum() == count


def test_standard_layout():
    for name in ("3m", "MMM2", "3s5z_vs_3s6z", "3s_vs_5z", "1c3s5z"):
        spec = load_map(name)
        assert {(g.x, g.y) for g in spec.allies} == {(9, 16)}
        assert {(g.x, g.y) for g in spec.enemies} == {(23, 16)}
        assert spec.enemy_order.points == ((9, 16),)


def test_agents_are_sorted_by_the_order_of_type_ids():
    assert [t.name for t in load_map("MMM").unit_types[:10]] == ["marauder"] * 2 + ["marine"] * 7 + ["medivac"]
    assert [t.name for t in load_map("bane_vs_bane").unit_types[:24]] == ["baneling"] * 4 + ["zergling"] * 20
    assert [k.name for k in load_map("1c3s5z").kinds] == ["colossus", "stalker", "zealot"]


def test_ramps_rise_from_the_low_ground_to_the_plateau():
    height = load_terrain("ravine").height
    assert height[16, 8] == 8
    assert height[16, 16] == 10
    assert height[4:7, 15].tolist() == [8.25, 8.75, 9.25]
    assert height[25:28, 15].tolist() == [9.25, 8.75, 8.25]


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


def test_medivacs_and_colossi_share_ground_with_walkers():
    spots = packed_spots((Group("marine", 1, 9, 16), Group("medivac", 1, 9, 16), Group("colossus", 1, 9, 16)), 0.05)
    np.testing.assert_allclose(spots[1], (9, 16))
    assert math.dist(spots[1], spots[2]) >= 1.5


@pytest.mark.parametrize(
    "change",
    [
        {"scan_interval": 0},
        {"respawn_loops": -1},
        {"jitter_scale": 2.0},
        {"placement_jitter": -0.1},
        {"cliff_clearance": 0.2},
    ],
)
def test_rules_refuse_values_without_a_meaning(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Rules(**change)
