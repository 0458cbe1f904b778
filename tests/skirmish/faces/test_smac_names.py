"""Every method and attribute of SMAC's environment class, and what they say of battles put together by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from skirmish import StarCraft2Env
from skirmish.faces.commands import ABILITIES
from skirmish.faces.unit_view import Direction
from tests.skirmish.scenes import WORKED, put

# Read mechanically from SMAC 1.0: the methods of its class, and the attributes that it sets.
METHODS = """
    can_move check_bounds close distance full_restart get_agent_action get_agent_action_heuristic
    get_ally_num_attributes get_avail_actions get_avail_agent_actions get_enemy_num_attributes get_env_info get_obs
    get_obs_agent get_obs_ally_feats_size get_obs_enemy_feats_size get_obs_move_feats_size get_obs_own_feats_size
    get_obs_size get_state get_state_dict get_state_size get_stats get_surrounding_height get_surrounding_pathing
    get_surrounding_points get_total_actions get_unit_by_id get_unit_type_id get_unit_types get_visibility_matrix
    init_units only_medivac_left render reset reward_battle save_replay seed step unit_max_cooldown unit_max_shield
    unit_shoot_range unit_sight_range update_units _launch _restart _init_ally_unit_types
""".split()
ATTRIBUTES = """
    agents ally_state_attr_names baneling_id battles_game battles_won colossus_id continuing_episode death_tracker_ally
    death_tracker_enemy debug defeat_counted difficulty enemies enemy_state_attr_names episode_limit force_restarts
    game_version heuristic_ai heuristic_rest heuristic_targets hydralisk_id last_action last_stats map_name map_type
    map_x map_y marauder_id marine_id max_distance_x max_distance_y max_reward medivac_id n_actions n_actions_move
    n_actions_no_attack n_agents n_enemies n_obs_height n_obs_pathing obs_all_health obs_instead_of_state
    obs_last_action obs_own_health obs_pathing_grid obs_terrain_height obs_timestep_number pathing_grid
    previous_ally_units previous_enemy_units renderer replay_dir replay_prefix reward reward_death_value reward_defeat
    reward_negative_scale reward_only_positive reward_scale reward_scale_rate reward_sparse reward_win
    shield_bits_ally shield_bits_enemy stalker_id state_last_action state_timestep_number terrain_height timeouts
    unit_type_bits win_counted window_size zealot_id zergling_id _agent_race _bot_race _controller _episode_count
    _episode_steps _min_unit_type _move_amount _obs _run_config _sc2_proc _seed _step_mul _total_steps _unit_types
""".split()


def started(name="3m", scene=None, **options):
    env = StarCraft2Env(name, seed=0, **options)
    env.reset()
    if scene:
        put(env.simulator, scene)
        env.update_units()
    return env


def order(action):
    command = action.action_raw.unit_command
    return command.ability_id, command.unit_tags, command.target_world_space_pos, command.target_unit_tag


def test_all_names_are_there():
    env = started(heuristic_ai=True)
    assert [name for name in METHODS if not callable(getattr(env, name, None))] == []
    assert [name for name in ATTRIBUTES if not hasattr(env, name)] == []
    assert not hasattr(env, "_kill_all_units")  # the module says so


def test_values_before_the_first_launch():
    env = StarCraft2Env("3m")
    assert (env.map_x, env.map_y, env.max_distance_x, env.marine_id, env._min_unit_type) == (0, 0, 0, 0, 0)
    assert (env.agents, env.enemies, env._obs, env._unit_types, env.pathing_grid, env.terrain_height) == (
        *({}, {}, None, None, None, None),
    )
    assert env.max_reward == 230  # 3 kills and the win; the enemies' health is not known
    assert (env.reward, env.battles_game, env._episode_count, env._total_steps, env._episode_steps) == (0, 0, 0, 0, 0)
    assert env.previous_ally_units is None and env.last_stats is None and env.renderer is None
    assert (env.window_size, env._move_amount, env._step_mul) == ((1920, 1200), 2, 8)
    assert type(env._move_amount) is int and not env.check_bounds(0, 0)
    assert env.death_tracker_ally.tolist() == [0, 0, 0] == env.death_tracker_enemy.tolist()
    assert not hasattr(env, "heuristic_targets")
    unit = SimpleNamespace(pos=SimpleNamespace(x=1.0, y=1.0))
    assert not env.can_move(unit, Direction.EAST)
    with pytest.raises(RuntimeError, match=r"pathing_grid .* call reset"):
        env.get_surrounding_pathing(unit)


def test_values_after_the_launch():
    env = started("2s3z")
    assert (env.map_x, env.map_y, env.max_distance_x, env.max_distance_y) == (32, 32, 32, 32)
    assert env.pathing_grid.shape == env.terrain_height.shape == (32, 32) and env.pathing_grid.dtype == bool
    assert (env.stalker_id, env.zealot_id, env.marine_id) == (env._min_unit_type, env._min_unit_type + 1, 0)
    assert (env._agent_race, env._bot_race) == ("P", "P")
    assert env.max_reward == 5 * 10 + 200 + 2 * (80 + 80) + 3 * (100 + 50)
    assert env.ally_state_attr_names == ["health", "energy/cooldown", "rel_x", "rel_y", "shield", "type_0", "type_1"]
    units = env._obs.observation.raw_data.units
    assert [u.tag for u in units] == list(range(1, 11)) and [u.owner for u in units] == [1] * 5 + [2] * 5
    assert env._unit_types == env.get_unit_types() == [u.unit_type for u in units]


def test_counters_follow_the_steps():
    env = started()
    env.step([1, 1, 1])
    env.step([1, 1, 1])
    assert (env._episode_steps, env._total_steps, env._episode_count, env.win_counted) == (2, 2, 0, False)
    assert env.reward == 0.0
    put(env.simulator, {3: {"health": 0.0}, 4: {"health": 0.0}, 5: {"health": 0.0}})
    reward, terminated, info = env.step([1, 1, 1])
    assert terminated and info["battle_won"] and env.win_counted and not env.defeat_counted
    assert env.reward == reward
    assert (env._total_steps, env._episode_count, env.battles_won) == (3, 1, 1)
    env.reset()
    assert (env._episode_steps, env._total_steps, env.win_counted) == (0, 3, False)
    put(env.simulator, {i: {"health": 0.0} for i in range(3)})
    env.step([0, 0, 0])
    assert env.defeat_counted and not env.win_counted and env.battles_game == 2


# Units


def test_facts_of_types():
    env = started("1c3s5z")
    agents, enemies = env.agents, env.enemies
    assert [env.unit_max_cooldown(agents[i]) for i in (0, 1, 4)] == [24, 35, 22]
    assert [env.unit_max_shield(agents[i]) for i in (0, 1, 4)] == [150, 80, 50]
    assert env.unit_max_cooldown(enemies[0]) == 15  # enemies' types have none
    assert [env.get_unit_type_id(agents[i], True) for i in (0, 1, 4)] == [0, 1, 2]
    expected = {4: (0, 150), 74: (1, 80), 73: (2, 50)}
    assert {u.unit_type: (env.get_unit_type_id(u, False), env.unit_max_shield(u)) for u in enemies.values()} == expected


def test_types_are_swapped_between_the_sides():
    env = started("2s3z")
    assert [env.get_unit_type_id(env.agents[i], True) for i in (0, 4)] == [0, 1]  # stalker, zealot
    assert {u.unit_type: env.get_unit_type_id(u, False) for u in env.enemies.values()} == {74: 1, 73: 0}


def test_types_of_other_maps():
    env = started("MMM")
    assert [env.unit_max_cooldown(env.agents[i]) for i in (0, 2, 9)] == [25, 15, 200]
    assert {u.unit_type: env.get_unit_type_id(u, False) for u in env.enemies.values()} == {51: 0, 48: 1, 54: 2}
    assert env.unit_max_shield(env.agents[0]) is None
    bane = started("bane_vs_bane")
    assert {u.unit_type: bane.get_unit_type_id(u, False) for u in bane.enemies.values()} == {9: 0, 105: 1}
    with pytest.raises(ValueError, match="'marines'"):
        started("3m").get_unit_type_id(SimpleNamespace(unit_type=48), False)


def test_only_medivac_left():
    env = started("MMM")
    fighters = [k for k, u in env.enemies.items() if u.unit_type != 54]
    assert not env.only_medivac_left(True) and not env.only_medivac_left(False)
    put(env.simulator, {10 + k: {"health": 0.0} for k in fighters})
    env._units = None
    assert env.only_medivac_left(False) and env.update_units() == 1
    put(env.simulator, {10 + k: {"health": 0.0} for k in range(10)})
    env._units = None
    assert not env.only_medivac_left(False)  # nobody is left, not even a medivac
    put(env.simulator, {i: {"health": 0.0} for i in range(9)})
    assert env.update_units() == -1 and env.only_medivac_left(True)  # fighters gone on both sides is a defeat
    assert not started("3m", {i: {"health": 0.0} for i in range(3)}).only_medivac_left(True)


@pytest.mark.parametrize(("dead", "code"), [((), None), ((3, 4, 5), 1), ((0, 1, 2), -1), (range(6), 0), ((0, 3), None)])
def test_update_units_tells_how_the_battle_stands(dead, code):
    env = started()
    put(env.simulator, {u: {"health": 0.0} for u in dead})
    assert env.update_units() == code


def test_previous_units_and_what_was_reported_of_the_dead():
    env = started("3m", WORKED)
    put(env.simulator, {1: {"at": (1.0, 1.0), "health": 0.0}, 4: {"at": (15.0, 18.0), "health": 14.0}})
    env.update_units()
    assert (env.previous_ally_units[1].health, env.previous_enemy_units[1].health) == (45, 20)
    assert (env.agents[1].health, env.agents[1].pos) == (0, (9.5, 14.25))  # not where it died
    assert (env.enemies[1].health, env.enemies[1].pos) == (14, (15, 18))
    assert [u.tag for u in env._obs.observation.raw_data.units] == [1, 3, 4, 5, 6]
    env.update_units()  # nothing has happened since
    assert env.previous_enemy_units[1] == env.enemies[1]


def test_init_units_is_for_beginnings():
    env = started()
    env.init_units()
    put(env.simulator, {0: {"health": 0.0}})
    with pytest.raises(RuntimeError, match=r"3 agents and 3 enemies live, got \(2, 3\)"):
        env.init_units()


# Geometry


def test_distance_and_bounds():
    env = started()
    assert StarCraft2Env.distance(1.0, 2.0, 4.0, 6.0) == env.distance(4, 6, 1, 2) == 5.0
    inside = [env.check_bounds(x, y) for x, y in [(0, 0), (31, 31), (31.9, 0), (32, 0), (0, 32), (-1, 5), (5, -0.1)]]
    assert inside == [True, True, True, False, False, False, False]


def test_moves_ask_for_the_truncated_cell_half_a_move_away():
    env = started()
    env.map_x = env.map_y = 4
    env.pathing_grid = np.ones((4, 4), np.bool_)
    unit = SimpleNamespace(pos=SimpleNamespace(x=0.5, y=3.2))
    # y = 4.2 lies outside; x = -0.5 is truncated to cell 0
    assert [env.can_move(unit, d) for d in Direction] == [False, True, True, True]
    env.pathing_grid[0, 2] = env.pathing_grid[1, 3] = False
    assert [env.can_move(unit, d) for d in Direction] == [False, False, False, True]
    assert [env.can_move(unit, d) for d in (0, 1, 2, 3)] == [False, False, False, True]


def test_surrounding_cells():
    env = started("3m", WORKED)
    points = [(9, 18), (9, 10), (13, 14), (5, 14), (11, 16), (7, 12), (11, 12), (7, 16)]
    assert env.get_surrounding_points(env.agents[1]) == points
    assert env.get_surrounding_points(env.agents[1], include_self=True) == [*points, (9, 14)]
    env.pathing_grid, env.terrain_height = np.zeros((32, 32), np.bool_), np.arange(1024.0).reshape(32, 32)
    env.pathing_grid[13, 14] = True
    assert env.get_surrounding_pathing(env.agents[1]) == [0, 0, 1, 0, 0, 0, 0, 0]
    assert env.get_surrounding_height(env.agents[1])[-1] == 9 * 32 + 14
    corner = SimpleNamespace(pos=SimpleNamespace(x=1.5, y=30.5))
    assert env.get_surrounding_pathing(corner) == [1, 0, 0, 1, 1, 1, 0, 1]  # outside reads 1
    fine = started(move_amount=1.5)
    with pytest.raises(IndexError, match=r"whole move_amount, got 1\.5"):
        fine.get_surrounding_pathing(fine.agents[0])


# Commands


def test_commands():
    env = started("3m", WORKED)
    assert order(env.get_agent_action(1, 1)) == (4, (2,), (0, 0), 0)
    goals = [order(env.get_agent_action(1, a))[2] for a in (2, 3, 4, 5)]
    assert goals == [(9.5, 16.25), (9.5, 12.25), (11.5, 14.25), (7.5, 14.25)]
    assert order(env.get_agent_action(1, 4))[0] == 16
    assert order(env.get_agent_action(1, 7)) == (23, (2,), (0, 0), 5)  # enemy 1 has tag 5
    put(env.simulator, {1: {"health": 0.0}})
    env.update_units()
    assert env.get_agent_action(1, 0) is None


def test_medivacs_are_told_to_heal():
    env = started("MMM")
    put(env.simulator, {9: {"at": (9.0, 16.0)}, 3: {"at": (9.0, 15.0)}})
    env.update_units()
    assert order(env.get_agent_action(9, 6 + 3)) == (ABILITIES["heal"], (10,), (0, 0), 4)


def test_commands_that_are_refused():
    env = started("3m", WORKED)
    with pytest.raises(AssertionError, match=r"agent 1 .* got 6"):
        env.get_agent_action(1, 6)
    with pytest.raises(AssertionError):
        env.get_agent_action(1, 0)
    with pytest.raises(IndexError, match="got 9"):
        env.get_agent_action(1, 9)
    with pytest.raises(KeyError, match="unit -14"):
        env.get_agent_action(1, -8)  # counts from the end to "stop", which is available


def test_script_keeps_its_target_until_it_is_dead():
    env = started("3m", WORKED, heuristic_ai=True)
    env.heuristic_targets = [None] * 3
    command, action = env.get_agent_action_heuristic(1, 1)
    assert (action, order(command)) == (7, (23, (2,), (0, 0), 5))  # enemy 1 is 5.858 away, the others 7.85 and 9.03
    put(env.simulator, {3: {"at": (9.5, 14.0)}})
    env.update_units()
    assert env.get_agent_action_heuristic(1, 1)[1] == 7 and env.heuristic_targets == [None, 1, None]
    put(env.simulator, {4: {"health": 0.0}})
    env.update_units()
    assert env.get_agent_action_heuristic(1, 1)[1] == 6


def test_restricted_script_walks_along_the_longer_axis():
    env = started("3m", {**WORKED, 4: {"health": 0.0}}, heuristic_ai=True, heuristic_rest=True)
    env.heuristic_targets = [None] * 3
    command, action = env.get_agent_action_heuristic(1, 1)  # enemy 0 lies 7.75 east and 1.25 north
    assert (action, order(command)) == (4, (16, (2,), (11.5, 14.25), 0))
    put(env.simulator, {3: {"at": (9.5, 4.0)}})
    env.update_units()
    assert env.get_agent_action_heuristic(1, 1)[1] == 3
    put(env.simulator, {3: {"at": (9.5, 20.0)}})
    env.update_units()
    assert env.get_agent_action_heuristic(1, 1)[1] == 6 and math.hypot(0, 5.75) < 6


def test_script_of_medivacs():
    env = started("MMM", heuristic_ai=True)
    assert env.get_agent_action_heuristic(9, 1) == (None, 0) and env.heuristic_targets[9] is None  # nobody is hurt
    put(env.simulator, {3: {"health": 20.0}, 9: {"health": 20.0}})
    env.update_units()
    command, action = env.get_agent_action_heuristic(9, 1)
    assert (action, order(command)) == (9, (386, (10,), (0, 0), 4))
    put(env.simulator, {3: {"health": 45.0}, 5: {"health": 1.0}})
    env.update_units()
    assert env.get_agent_action_heuristic(9, 1)[1] == 11  # the first patient is well


def test_script_without_its_option():
    env = started()
    with pytest.raises(RuntimeError, match="heuristic_ai=True"):
        env.get_agent_action_heuristic(0, 1)


# Rewards


def test_reward_battle_by_hand():
    env = started("3m", WORKED)
    put(env.simulator, {4: {"health": 14.0}, 1: {"health": 30.0}})
    env.update_units()
    assert env.reward_battle() == 6.0
    put(env.simulator, {4: {"health": 0.0}, 1: {"health": 0.0}})
    env.update_units()
    assert env.reward_battle() == 14.0 + 10.0
    assert (env.death_tracker_ally.tolist(), env.death_tracker_enemy.tolist()) == ([0, 1, 0], [0, 1, 0])
    assert env.reward_battle() == 0.0  # corpses are paid once
    put(env.simulator, {3: {"health": 40.0}, 5: {"health": 45.0}})
    env.update_units()
    put(env.simulator, {3: {"health": 45.0}})
    env.update_units()
    assert env.reward_battle() == 5.0  # as published the absolute value: a healing enemy pays


def test_reward_battle_with_losses():
    env = started("3m", WORKED, reward_only_positive=False)
    put(env.simulator, {4: {"health": 14.0}, 1: {"health": 0.0}, 2: {"health": 30.0}})
    env.update_units()
    assert env.reward_battle() == 6.0 - 0.5 * 10 - 0.5 * 45 - 0.5 * 6
    sparse = started("3m", WORKED, reward_sparse=True)
    put(sparse.simulator, {4: {"health": 0.0}})
    sparse.update_units()
    assert sparse.reward_battle() == 0 and not sparse.death_tracker_enemy.any()
    with pytest.raises(RuntimeError, match=r"call step\(\)"):
        started().reward_battle()


# Launches


def finish(env):
    """Return of the script's play."""
    total, terminated = 0.0, False
    while not terminated:
        reward, terminated, _ = env.step([1] * env.n_agents)
        total += reward
    return total, env.simulator.units[0].tolist()


def test_full_restart_begins_the_battles_of_the_seed_again():
    env = StarCraft2Env("3m", seed=3, heuristic_ai=True)
    env.reset()
    first = finish(env)
    env.reset()
    second = finish(env)
    assert first != second
    units = env.agents
    env.full_restart()
    assert env.agents == units  # still those of the old battle
    with pytest.raises(RuntimeError, match="launched anew"):
        env.step([1, 1, 1])
    env.reset()
    assert finish(env) == first and env.get_stats()["restarts"] == 1
    env.reset()
    assert finish(env) == second
    env._seed = 4  # SMAC's own PettingZoo adapter seeds in this way
    env.full_restart()
    env.reset()
    other = StarCraft2Env("3m", seed=4, heuristic_ai=True)
    other.reset()
    assert finish(env) == finish(other) != first


def test_an_episode_count_set_from_outside_lets_resets_go_on():
    env = StarCraft2Env("3m", seed=3, heuristic_ai=True)
    env._episode_count = 1
    env.reset()  # nothing has been launched: launches
    first = finish(env)
    env.reset()
    assert finish(env) != first
    again = StarCraft2Env("3m", seed=3, heuristic_ai=True)
    again.reset()
    assert finish(again) == first
