"""What a battle looks like to the game's clients: answers to game_info, data, observation and ping."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skirmish.data.maps import Terrain, load_terrain
from skirmish.data.units import unit_data
from skirmish.physics.tables import (
    ATTACK_MOVE,
    ATTACK_UNIT,
    COOLDOWN,
    ENERGY,
    FACING_X,
    FACING_Y,
    HEAL_UNIT,
    HEALTH,
    MOVE,
    ORDER,
    ORDER_TARGET,
    ORDER_X,
    ORDER_Y,
    SHIELD,
    X,
    Y,
)
from skirmish.protocol.battle import Battle
from skirmish.protocol.messages import Messages
from skirmish.protocol.orders import ABILITIES, ATTACK_ABILITY, HEAL_ABILITY, MOVE_ABILITY, wire
from skirmish.protocol.scene import Scene
from skirmish.scenarios.draw import TERRAIN

BUILDS = {"4.10": ("4.10.0", 75689), "4.6.2": ("4.6.2", 69232)}  # version and build that go with the unit data
DATA_VERSION = "SKIRMISH"  # where the game has a hash: nobody shall take one for the other
SELF, ENEMY = 1, 4  # alliances
VISIBLE, NOT_CLOAKED = 1, 3
ORDER_ABILITIES = {
    MOVE: MOVE_ABILITY,
    ATTACK_MOVE: ATTACK_ABILITY,
    ATTACK_UNIT: ATTACK_ABILITY,
    HEAL_UNIT: HEAL_ABILITY,
}
RACES = {"T": 1, "Z": 2, "P": 3}


def ping(messages: Messages, version: str) -> Any:
    """Response to ping."""
    name, build = BUILDS[version]
    return messages.ResponsePing(game_version=name, data_version=DATA_VERSION, data_build=build, base_build=build)


def game_info(messages: Messages, scene: Scene, players: list[dict[str, int]], options: Any) -> Any:
    """Response to game_info. Args: players: fields of PlayerInfo; options: InterfaceOptions of the join."""
    terrain = scene.spec.terrain if scene.spec else load_terrain(TERRAIN)
    width, height = terrain.size
    info = messages.ResponseGameInfo(map_name=scene.name, local_map_path=f"{scene.name}.SC2Map")
    for fields in players:
        info.player_info.add(**fields)
    info.options.CopyFrom(options)
    raw = info.start_raw
    raw.map_size.x, raw.map_size.y = width, height
    walkable, heights = terrain_images(terrain)
    for grid, bits, data in (
        (raw.pathing_grid, 1, walkable),
        (raw.terrain_height, 8, heights),
        (raw.placement_grid, 1, walkable),
    ):
        grid.bits_per_pixel = bits
        grid.size.x, grid.size.y = width, height
        grid.data = data
    raw.playable_area.p0.x, raw.playable_area.p0.y = 0, 0
    raw.playable_area.p1.x, raw.playable_area.p1.y = width, height
    return info


def terrain_images(terrain: Terrain) -> tuple[bytes, bytes]:
    """Walkable cells, a bit each, most significant bit first, and heights, a byte each.

    Rows go from south to north, as in the game since 4.9; 1 is walkable.
    """
    walkable = np.packbits(terrain.walkable.T, axis=1).tobytes()
    share = (terrain.height.T + 16.0) / 32.0  # (Y, X); a byte for world heights from -16 to 16
    return walkable, np.clip(np.floor(255.0 * share), 0.0, 255.0).astype(np.uint8).tobytes()


def data(messages: Messages, scene: Scene, request: Any) -> Any:
    """Response to data: a unit table that ends with the agents' own types, and the abilities that are served.

    As in the game every id up to the last has an entry; only those of types that there are have a name.
    """
    response = messages.ResponseData()
    if request.ability_id:
        for number, name in sorted(ABILITIES.items()):
            response.abilities.add(
                ability_id=number, link_name=name, friendly_name=name.capitalize(), available=True, hotkey=""
            )
    if request.unit_type_id:
        names = unit_data(scene.version)["units"]
        known = {scene.enemy_id(name): (name.capitalize(), name) for name in names}
        known |= {scene.ally_id(name): (f"{name.capitalize()}_RL", name) for name in scene.ally_names}
        for number in range(max(known) + 1):
            unit = response.units.add(unit_id=number)
            if number in known:
                label, name = known[number]
                facts = names[name]
                unit.name, unit.available, unit.race = label, True, RACES[facts["race"]]
                unit.armor, unit.sight_range = facts["armor"], facts["sight"]
                unit.movement_speed = 16.0 * facts["speed"]  # a second of normal speed has 16 loops
    return response


class Observer:
    """Observations of one game; remembers who was seen last, because the game reports deaths since then."""

    def __init__(self, messages: Messages, scene: Scene) -> None:
        """Nobody has been seen."""
        self._messages, self._scene = messages, scene
        self._terrain = scene.spec.terrain if scene.spec else load_terrain(TERRAIN)
        self._units: dict[int, Any] = {}  # by tag: messages, of which only what changes is written again
        self._fill = (0, 0)  # which units these are
        self._living: set[int] = set()

    def observe(self, battle: Battle, player_result: list[tuple[int, int]], response: Any) -> None:
        """Fill a ResponseObservation. Args: player_result: (player, Result) of a game that has ended."""
        seen = response.observation
        seen.game_loop = battle.game_loop
        common = seen.player_common
        common.player_id = 1
        raw = seen.raw_data
        raw.player.camera.x, raw.player.camera.y, raw.player.camera.z = 16.0, 16.0, 0.0
        living: set[int] = set()
        if self._fill != (battle.filled, len(battle.tags)):
            self._fill, self._units = (battle.filled, len(battle.tags)), {}
        for u, alive in enumerate(battle.living.tolist()):
            if alive:
                living.add(battle.tags[u])
                raw.units.append(self._unit(battle, u))
        common.army_count = int(battle.living[: battle.n_agents].sum())
        raw.event.dead_units.extend(sorted(self._living - living))
        self._living = living
        for player, result in player_result:
            response.player_result.add(player_id=player, result=result)

    def _unit(self, battle: Battle, u: int) -> Any:
        tag = battle.tags[u]
        if tag not in self._units:
            self._units[tag] = self._fixed(battle, u)
        unit, f = self._units[tag], battle.units[0, :, u].tolist()
        x, y = wire(f[X]), wire(f[Y])
        unit.pos.x, unit.pos.y = x, y
        unit.pos.z = self._height(x, y)
        unit.facing = math.atan2(f[FACING_Y], f[FACING_X]) % (2.0 * math.pi)
        unit.health, unit.shield = f[HEALTH], f[SHIELD]
        if unit.energy_max > 0.0:
            unit.energy = f[ENERGY]
        if u < battle.n_agents:  # the game tells neither cooldown nor orders of enemies
            unit.weapon_cooldown = max(0.0, f[COOLDOWN])
            self._order(battle, u, unit)
        return unit

    def _fixed(self, battle: Battle, u: int) -> Any:
        kind, agent = battle.kind(u), u < battle.n_agents
        return self._messages.Unit(
            display_type=VISIBLE,
            alliance=SELF if agent else ENEMY,
            tag=battle.tags[u],
            unit_type=self._scene.ally_id(kind.name) if agent else self._scene.enemy_id(kind.name),
            owner=1 if agent else 2,
            radius=kind.radius,
            build_progress=1.0,
            cloak=NOT_CLOAKED,
            health_max=kind.health_max,
            shield_max=kind.shield_max,
            energy_max=kind.energy_max,
            is_flying="air" in kind.planes and "ground" not in kind.planes,
        )

    def _height(self, x: float, y: float) -> float:
        width, height = self._terrain.size
        cell = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
        return float(self._terrain.height[cell])

    def _order(self, battle: Battle, u: int, unit: Any) -> None:
        del unit.orders[:]
        marks = battle.marks[0, :, u].tolist()
        ability = ORDER_ABILITIES.get(marks[ORDER])
        if ability is None:
            return
        order = unit.orders.add(ability_id=ability)
        if marks[ORDER] in (ATTACK_UNIT, HEAL_UNIT):
            order.target_unit_tag = battle.tags[marks[ORDER_TARGET]]
        else:
            goal = order.target_world_space_pos
            goal.x, goal.y = float(battle.units[0, ORDER_X, u]), float(battle.units[0, ORDER_Y, u])
