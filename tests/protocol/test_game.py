"""The status machine and every request, by a client that sends bytes."""

import pytest

pytest.importorskip("s2clientprotocol", reason="needs the packages of requirements-starcraft.lock")

from skirmish.protocol.game import SERVED
from skirmish.protocol.messages import load_messages
from tests.protocol.server import new_game

LAUNCHED, INIT_GAME, IN_GAME, ENDED = 1, 2, 3, 5
STOP, MOVE, ATTACK, HEAL = 4, 16, 23, 386
# ActionResult
SUCCESS, NOT_SUPPORTED, ERROR, CANT_QUEUE, CANT_TARGET, CANT_CONTROL = 1, 2, 3, 4, 36, 87


def leave(client):
    client.ask(leave_game={})


@pytest.fixture
def game(client):
    """3m, just begun."""
    leave(client)
    client.begin("3m")
    yield client
    leave(client)


def test_a_game_goes_through_its_statuses(client):
    leave(client)
    assert client.ask(ping={}).status == LAUNCHED
    assert client.ask(create_game=new_game("3m")).status == INIT_GAME
    joined = client.ask(join_game={"race": 1, "options": {"raw": True}})
    assert (joined.status, joined.join_game.player_id) == (IN_GAME, 1)
    ended = client.ask(debug={"debug": [{"end_game": {"end_result": 1}}]})  # surrender
    assert ended.status == ENDED
    assert [(r.player_id, r.result) for r in client.ask(observation={}).observation.player_result] == [(1, 2), (2, 1)]
    refused = client.ask(step={"count": 1})
    assert refused.error[0].startswith("Game has already ended") and refused.status == ENDED
    assert client.ask(restart_game={}).status == IN_GAME
    assert client.ask(leave_game={}).status == LAUNCHED


def test_requests_are_refused_at_the_wrong_time(client):
    leave(client)
    for name in ("join_game", "restart_game", "step", "observation", "action", "data", "game_info", "save_replay"):
        response = client.ask(**{name: {"race": 1} if name == "join_game" else {}})
        assert f"{name} is not valid while launched" in response.error[0]
        assert response.status == LAUNCHED


def test_what_is_not_served_is_said_and_the_game_goes_on(game):
    names = {field.name for field in load_messages().Request.DESCRIPTOR.oneofs_by_name["request"].fields}
    for name in sorted(names - set(SERVED)):
        assert f"{name} is not served here" in game.ask(**{name: {}}).error[0]
    assert "game_state is not served here" in game.ask(debug={"debug": [{"game_state": 1}]}).error[0]
    assert game.ask(step={"count": 3}).step.simulation_loop == 3


@pytest.mark.parametrize("data", [b"\xff\xfe garbage", b"", b"\x0a"])
def test_bytes_that_are_no_request_are_answered_with_an_error(game, data):
    game.send_bytes(data)
    response = game.messages.Response.FromString(game.receive_bytes())
    assert response.error and response.status == IN_GAME
    game.send_bytes(game.messages.Request(ping={}, id=7).SerializeToString(), opcode=1)  # as pysc2 sends
    assert game.messages.Response.FromString(game.receive_bytes()).id == 7


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"local_map": {"map_path": "SMAC_Maps/4m.SC2Map"}}, 2),
        ({"local_map": {}}, 2),
        ({"local_map": None, "battlenet_map_name": "x"}, 1),
        ({"player_setup": []}, 6),
        ({"player_setup": [{"type": 2}]}, 7),
        ({"player_setup": [{"type": 1}, {"type": 1}]}, 8),
        ({"realtime": True}, 7),
    ],
)
def test_games_that_cannot_be_created(client, change, error):
    leave(client)
    fields = {k: v for k, v in {**new_game("3m"), **change}.items() if v is not None}
    response = client.ask(create_game=fields)
    assert (response.create_game.error, response.status) == (error, LAUNCHED)
    assert response.create_game.error_details


def test_joins_that_are_refused(client):
    leave(client)
    client.ask(create_game=new_game("3m"))
    assert client.ask(join_game={"observed_player_id": 1, "options": {"raw": True}}).join_game.error == 1
    assert client.ask(join_game={"race": 1}).join_game.error == 3
    pixels = {"width": 1.0, "resolution": {"x": 8, "y": 8}, "minimap_resolution": {"x": 8, "y": 8}}
    refused = client.ask(join_game={"race": 1, "options": {"raw": True, "feature_layer": pixels}})
    assert "only the raw interface" in refused.join_game.error_details and refused.status == INIT_GAME
    assert client.ask(join_game={"race": 1, "options": {"raw": True}}).status == IN_GAME
    leave(client)


def test_the_map_is_told_in_the_layout_that_smac_reads(client):
    leave(client)
    client.begin("3m")
    info = client.ask(game_info={}).game_info
    raw = info.start_raw
    assert (raw.map_size.x, raw.map_size.y) == (32, 32)
    corners = raw.playable_area.p0, raw.playable_area.p1
    assert [(p.x, p.y) for p in corners] == [(0, 0), (32, 32)]
    assert raw.pathing_grid.bits_per_pixel == 1 and len(raw.pathing_grid.data) == 32 * 32 // 8
    # 3m is a band from y = 8 to 24, the whole width: rows 8..23 of four bytes are walkable, the others are not.
    rows = [raw.pathing_grid.data[4 * y : 4 * y + 4] for y in range(32)]
    assert [row == b"\xff" * 4 for row in rows] == [8 <= y < 24 for y in range(32)]
    assert all(row == bytes(4) for y, row in enumerate(rows) if not 8 <= y < 24)
    # Ground at 8: 255 * (8 + 16) / 32 = 191.25.
    assert raw.terrain_height.bits_per_pixel == 8 and raw.terrain_height.data[16 * 32 + 16] == 191
    assert [(p.player_id, p.type, p.race_requested) for p in info.player_info] == [(1, 1, 1), (2, 2, 1)]
    leave(client)


def test_units_carry_what_smac_reads(game):
    allies, enemies = game.units()
    assert [u.tag for u in allies + enemies] == [(k << 18) | 1 for k in range(1, 7)]
    for unit in allies + enemies:
        assert (unit.health, unit.health_max, unit.shield, unit.shield_max) == (45, 45, 0, 0)
        assert (unit.weapon_cooldown, unit.energy, unit.radius, unit.build_progress) == (0, 0, 0.375, 1)
        assert unit.display_type == 1 and not unit.is_flying and unit.pos.z == 8
    assert {(u.unit_type, u.owner, u.alliance) for u in allies} == {(2000, 1, 1)}
    assert {(u.unit_type, u.owner, u.alliance) for u in enemies} == {(48, 2, 4)}
    assert all(abs(u.pos.x - 9) < 2 and abs(u.pos.y - 16) < 2 for u in allies)


def test_orders_are_carried_out_and_shown(game):
    (first, second, third), enemies = game.units()
    goal = {"x": first.pos.x, "y": first.pos.y + 2}
    assert game.command(MOVE, first.tag, target_world_space_pos=goal) == SUCCESS
    assert game.command(ATTACK, second.tag, target_unit_tag=enemies[0].tag) == SUCCESS
    assert game.command(MOVE, third.tag, target_unit_tag=enemies[0].tag) == SUCCESS
    assert game.ask(step={"count": 8}).step.simulation_loop == 8
    now = {u.tag: u for u in game.units()[0]}
    assert now[first.tag].pos.y > first.pos.y + 0.5
    assert [o.ability_id for o in now[first.tag].orders] == [MOVE]
    assert [(o.ability_id, o.target_unit_tag) for o in now[second.tag].orders] == [(ATTACK, enemies[0].tag)]
    assert now[second.tag].pos.x > second.pos.x + 0.5 and now[third.tag].pos.x > third.pos.x + 0.5
    assert game.command(STOP, first.tag) == SUCCESS
    assert not next(u for u in game.units()[0] if u.tag == first.tag).orders


def test_only_the_agents_cooldowns_are_told(game):
    allies, enemies = game.units()
    for ally in allies:
        assert game.command(ATTACK, ally.tag, target_unit_tag=enemies[0].tag) == SUCCESS
    told, lost = [], 0.0
    for _ in range(12):
        game.ask(step={"count": 8})
        sides = game.units()
        told.append([any(u.weapon_cooldown > 0.0 for u in side) for side in sides])
        lost = max(lost, 3 * 45.0 - sum(u.health for u in sides[0]))
    assert any(agents for agents, _ in told) and lost > 0.0  # both sides have fired
    assert not any(others for _, others in told)


def test_orders_that_the_game_refuses(game):
    (ally, dead, friend), (enemy, *_) = game.units()
    game.ask(debug={"debug": [{"kill_unit": {"tag": [dead.tag, 12345]}}]})
    point = {"x": 16, "y": 16}
    assert game.command(MOVE, 12345, target_world_space_pos=point) == ERROR
    assert game.command(MOVE, dead.tag, target_world_space_pos=point) == ERROR
    assert game.command(MOVE, enemy.tag, target_world_space_pos=point) == CANT_CONTROL
    assert game.command(ATTACK, ally.tag, target_unit_tag=dead.tag) == CANT_TARGET
    assert game.command(ATTACK, ally.tag, target_unit_tag=friend.tag) == 109  # MustTargetEnemyUnits
    assert game.command(HEAL, ally.tag, target_unit_tag=friend.tag) == NOT_SUPPORTED
    assert game.command(1, ally.tag) == NOT_SUPPORTED
    assert game.command(MOVE, ally.tag, target_world_space_pos=point, queue_command=True) == CANT_QUEUE
    assert game.command(MOVE, ally.tag) == 81  # MustTargetUnit
    assert game.ask(step={"count": 8}).step.simulation_loop == 8


def test_the_killed_are_reported_once_and_armies_come_back(game):
    allies, enemies = game.units()
    game.ask(debug={"debug": [{"kill_unit": {"tag": [allies[0].tag]}}]})
    seen = game.ask(observation={}).observation.observation
    assert list(seen.raw_data.event.dead_units) == [allies[0].tag] and len(seen.raw_data.units) == 5
    assert not game.ask(observation={}).observation.observation.raw_data.event.dead_units
    game.ask(debug={"debug": [{"kill_unit": {"tag": [u.tag for u in allies + enemies]}}]})
    game.ask(step={"count": 2})
    fresh = [u for side in game.units() for u in side]
    assert sorted(u.tag for u in fresh) == [(k << 18) | 2 for k in range(1, 7)]
    assert all(u.health == 45 for u in fresh)


def test_data_end_with_the_agents_own_types(client):
    leave(client)
    client.begin("MMM")
    table = client.ask(data={"unit_type_id": True, "ability_id": True}).data
    assert [u.name for u in table.units[-3:]] == ["Marauder_RL", "Marine_RL", "Medivac_RL"]
    assert [u.unit_id for u in table.units] == list(range(2003)) and table.units[48].name == "Marine"
    assert [a.ability_id for a in table.abilities] == [STOP, MOVE, ATTACK, HEAL]
    leave(client)


def test_units_are_created_on_the_maps_of_smacv2(client):
    leave(client)
    client.begin("32x32_flat")
    assert client.units() == ([], [])
    count = len(client.ask(data={"unit_type_id": True}).data.units)

    def create(unit_type, owner, x, quantity=1):
        unit = {"unit_type": unit_type, "owner": owner, "pos": {"x": x, "y": 16}, "quantity": quantity}
        return client.ask(debug={"debug": [{"create_unit": unit}]}).error

    # Of the last nine types the fifth is the marine, the fourth the marauder: it becomes the first agent.
    assert not create(count - 9 + 4, 1, 8, 2) and not create(count - 9 + 3, 1, 8) and not create(48, 2, 24)
    assert "is not served here" in create(59, 2, 24)[0] and "owner" in create(48, 3, 24)[0]
    client.ask(step={"count": 1})
    allies, enemies = client.units()
    assert [u.unit_type for u in allies] == [count - 6, count - 5, count - 5] and [u.unit_type for u in enemies] == [48]
    client.command(STOP, allies[0].tag)
    assert "in a battle under way" in create(48, 2, 24)[0]
    client.ask(debug={"debug": [{"kill_unit": {"tag": [u.tag for u in allies + enemies]}}]})
    client.ask(step={"count": 2})
    assert client.units() == ([], [])
    assert not create(48, 2, 24)
    assert len(client.units()[1]) == 1
    leave(client)


def test_units_are_not_created_where_a_script_brings_them(game):
    unit = {"unit_type": 48, "owner": 2, "pos": {"x": 8, "y": 16}, "quantity": 1}
    assert "its script brings both armies" in game.ask(debug={"debug": [{"create_unit": unit}]}).error[0]


def test_equal_seeds_give_equal_games_and_others_do_not(client):
    seen = []
    for seed in (1, 1, 2):
        leave(client)
        client.begin("3m", seed)
        seen.append([(u.pos.x, u.pos.y) for side in client.units() for u in side])
    client.ask(restart_game={})
    again = [(u.pos.x, u.pos.y) for side in client.units() for u in side]
    assert seen[0] == seen[1] != seen[2] == again
    leave(client)


def test_a_replay_is_a_film(game):
    pytest.importorskip("PIL", reason="films need pillow")
    tag = game.units()[0][0].tag
    game.command(STOP, tag)
    game.ask(step={"count": 4})
    before = game.units()
    assert game.ask(save_replay={}).save_replay.data.startswith(b"GIF89a")
    assert game.units() == before


def test_the_game_says_what_it_is(client):
    answer = client.ask(ping={}).ping
    assert (answer.game_version, answer.data_version, answer.base_build) == ("4.10.0", "SKIRMISH", 75689)
    assert "SMAC_Maps/27m_vs_30m.SC2Map" in client.ask(available_maps={}).available_maps.local_map_paths


def test_a_step_has_its_limits(game):
    assert "count must be at most" in game.ask(step={"count": 2_000_000_000}).error[0]
    assert game.ask(step={"count": 0}).step.simulation_loop == 0
    assert game.ask(step={}).step.simulation_loop == 1
