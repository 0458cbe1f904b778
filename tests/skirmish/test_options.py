"""SMAC's options and the tables built from maps."""

import dataclasses

import numpy as np
import pytest

from skirmish.contract import layout as lay
from skirmish.contract import smac as contract
from skirmish.contract.options import (
    SkirmishOptions,
    build_grids,
    build_kinds,
    build_layout,
    build_profile,
    build_reward_terms,
)
from skirmish.data.maps import Group, load_map


def test_defaults_are_those_of_smac():
    o = SkirmishOptions()
    assert (o.step_mul, o.move_amount, o.difficulty, o.continuing_episode) == (8, 2, "7", False)
    assert (o.obs_all_health, o.obs_own_health, o.obs_last_action) == (True, True, False)
    assert (o.obs_pathing_grid, o.obs_terrain_height, o.obs_timestep_number) == (False, False, False)
    assert (o.obs_instead_of_state, o.state_last_action, o.state_timestep_number) == (False, True, False)
    assert (o.reward_sparse, o.reward_only_positive, o.reward_scale) == (False, True, True)
    assert (o.reward_death_value, o.reward_win, o.reward_defeat) == (10, 200, 0)
    assert (o.reward_negative_scale, o.reward_scale_rate) == (0.5, 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_mul": 0}, "step_mul must be an integer of at least 1, got 0"),
        ({"step_mul": 2.5}, "step_mul must be an integer of at least 1, got 2.5"),
        ({"move_amount": 0}, "move_amount must be positive, got 0"),
        ({"move_amount": float("nan")}, "move_amount must be a finite number, got nan"),
        ({"difficulty": "10"}, 'difficulty must be "1" to "9" or "A", got \'10\''),
        ({"difficulty": 7}, 'difficulty must be "1" to "9" or "A", got 7'),
        ({"obs_all_health": "yes"}, "obs_all_health must be True or False, got 'yes'"),
        ({"reward_win": "200"}, "reward_win must be a finite number, got '200'"),
        ({"reward_defeat": True}, "reward_defeat must be a finite number, got True"),
        ({"reward_scale_rate": 0.0}, "reward_scale_rate must be positive, got 0.0"),
        ({"move_amount": 1.5, "obs_pathing_grid": True}, "move_amount must be a whole number"),
        ({"move_amount": 1.5, "obs_terrain_height": True}, "move_amount must be a whole number"),
    ],
)
def test_values_without_a_meaning_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SkirmishOptions(**change)


def test_values_with_a_meaning_are_taken():
    for level in "123456789A":
        assert SkirmishOptions(difficulty=level).difficulty == level
    assert SkirmishOptions(move_amount=1.5).move_amount == 1.5
    assert SkirmishOptions(move_amount=3.0, obs_pathing_grid=True).move_amount == 3
    assert SkirmishOptions(step_mul=np.int64(4), obs_last_action=np.bool_(True)).step_mul == 4


def test_every_option_about_observation_and_state_changes_the_layout():
    spec = load_map("3m")
    default = build_layout(spec, SkirmishOptions())
    for option in dataclasses.fields(SkirmishOptions):
        if option.type == "bool" and option.name.startswith(("obs_", "state_")) and option.name != "obs_own_health":
            changed = SkirmishOptions(**{option.name: not option.default})
            assert build_layout(spec, changed) != default, option.name
    assert not build_layout(spec, SkirmishOptions(obs_all_health=False, obs_own_health=False)).own_health
    assert build_layout(spec, SkirmishOptions(obs_own_health=False)) == default  # obs_all_health switches it on
    assert build_layout(spec, SkirmishOptions(), mazero=True).obs_last_action


def test_action_ids_of_maps_with_medivacs():
    assert build_layout(load_map("MMM2"), SkirmishOptions()).medivac_rules == lay.MMM_HEALERS
    assert build_layout(load_map("MMM2"), SkirmishOptions()).n_actions == 6 + 12
    outnumbering = dataclasses.replace(load_map("MMM"), map_type="terran_gen", n_enemies=5)
    assert build_layout(outnumbering, SkirmishOptions()).medivac_rules == lay.GEN_HEALERS
    assert build_layout(outnumbering, SkirmishOptions()).n_actions == 6 + 10


def test_profile_by_hand():
    spec = load_map("MMM")
    # The enemy's medivac flies otherwise than the agents' copy and has a row of its own; SMAC describes both alike.
    assert [kind.name for kind in spec.kinds] == ["marauder", "marine", "medivac", "medivac"]
    assert build_profile(spec).tolist() == [
        [125, 0, 25, 0, 0, 9, 6, 0],
        [45, 0, 15, 1, 1, 9, 6, 0],
        [150, 0, 200, 2, 2, 9, 6, 1],
        [150, 0, 200, 2, 2, 9, 6, 1],
    ]
    assert build_kinds(spec).tolist() == [0] * 2 + [1] * 7 + [2] + [1] * 7 + [0] * 2 + [3]
    spec = load_map("1c3s5z")
    assert build_profile(spec)[:, :5].tolist() == [
        [200, 150, 24, 0, 0],
        [80, 80, 35, 1, 1],
        [100, 50, 22, 2, 2],
    ]
    elsewhere = dataclasses.replace(load_map("MMM"), map_type="marines", type_bits=0)
    assert build_profile(elsewhere)[2].tolist() == [150, 0, 15, 0, 0, 9, 6, 0]  # no medivac rules there


def test_maps_that_cannot_be_described_are_refused():
    spec = dataclasses.replace(load_map("3s_vs_3z"), enemies=(Group("marine", 3, 23.0, 16.0),))
    with pytest.raises(ValueError, match="units of a Protoss side need shields, got 'marine'"):
        build_profile(spec)
    with pytest.raises(ValueError, match="no order is known for map_type 'marines'"):
        build_profile(dataclasses.replace(load_map("3m"), type_bits=2))


def test_walkable_cells_are_upright_and_heights_upside_down():
    """The ravine's plateau lies off the middle; the game's 4.10 format turns it over for SMAC's heights only."""
    spec = load_map("2c_vs_64zg")
    grids = build_grids(spec)
    np.testing.assert_array_equal(grids.walkable, spec.terrain.walkable)
    encoded = np.round(255 * grids.height).astype(int)
    np.testing.assert_array_equal(encoded / 255, grids.height)
    assert set(np.unique(encoded)) >= {191, 207}
    world = spec.terrain.height
    assert (world != world[:, ::-1]).any()
    for cell in ((16, 16), (16, 9), (5, 15), (2, 2), (30, 25)):
        x, y = cell
        assert encoded[x, 31 - y] == int(255 * (world[x, y] + 16) / 32)
    assert world[16, 16] == 10
    assert encoded[16, 15] == 207
    assert grids.height.flags.c_contiguous


def test_heights_follow_the_games_encoding():
    terrain = dataclasses.replace(load_map("3m").terrain, height=np.full((32, 32), 8.0))
    terrain.height[3, :4] = 0.0, -16.0, 16.0, 40.0
    grids = build_grids(dataclasses.replace(load_map("3m"), terrain=terrain))
    assert grids.height[3, 28:].tolist() == [1.0, 1.0, 0.0, 127 / 255]
    assert grids.height[0, 0] == 191 / 255
    np.testing.assert_allclose(-16 + 32 * grids.height[0, 0], 8.0, atol=32 / 255)  # what bots read


def test_reward_terms():
    spec = load_map("2s3z")
    worth = contract.max_reward(build_profile(spec), build_kinds(spec)[5:], 10.0, 200.0)
    assert worth == 5 * 10 + 200 + 2 * 160 + 3 * 150 == 1020
    assert build_reward_terms(SkirmishOptions(), worth) == (False, True, 10, 200, 0, 0.5, 51)
    unscaled = SkirmishOptions(reward_scale=False, reward_sparse=True, reward_only_positive=False, reward_defeat=-1)
    assert build_reward_terms(unscaled, worth) == (True, False, 10, 200, -1, 0.5, 1)
    with pytest.raises(ValueError, match="largest return must be positive"):
        build_reward_terms(SkirmishOptions(reward_win=-2000.0), -1180.0)
