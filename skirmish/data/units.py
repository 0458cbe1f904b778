"""Unit facts by game version, read from `units_4.10.json` and `units_4.6.2.json`.

Times are game loops, lengths world units. The numbers are the multiplayer data of the game's version, which the engine
loads for SMAC's maps whatever these declare: in real games two stalkers that shoot a spine crawler until they die take
259 of its health, which fits 18 - 2 a hit and not the 14 - 2 of the maps' declared data. The agents command the maps'
own copies of the types, which store a few fields of their own. `sources.csv` names the origin of every number. A new
unit type is a new entry in the files; behaviour that no type has yet belongs into `physics/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from skirmish.checks import require_known

GAME_VERSIONS = ("4.10", "4.6.2")  # 4.6.2 made the SMAC paper's results, 4.10 MAZero's and most later ones
DEFAULT_VERSION = GAME_VERSIONS[0]


@dataclass(frozen=True)
class Beam:
    """Line splash of the colossus: two opposite sweeps across the target."""

    half_length: float  # of the line of sample points
    samples: int
    search_radius: float  # of each sample point, to the edges of units
    sample_period: float
    touch_delay: float  # from the touch to the damage


@dataclass(frozen=True)
class Weapon:
    """How a type attacks."""

    range: float  # edge to edge
    slop: float  # how far past the range a target may drift during an attack
    scan: float  # floor of the acquisition radius
    period: float  # from attack start to attack start
    damage_point: float  # from attack start to the effect
    backswing: float  # after the effect
    jitter: tuple[float, float]  # bounds of what is added to each period
    damage: float  # per hit, before armour
    bonus: dict[str, float]  # by attribute of the target
    attacks: int  # hits (or beams) per attack
    hit_offset: float  # between the hits of one attack
    targets: tuple[str, ...]  # planes it can hit
    missile_speed: float  # per loop; 0 without a missile
    flight: float  # loops from launch to hit at full range, of what is neither missile nor instant; 0 otherwise
    beam: Beam | None
    burst_radius: float  # of the explosion that is the attack; 0 without


@dataclass(frozen=True)
class Heal:
    """How a type heals biological units of its side."""

    rate: float  # health per loop
    energy_per_health: float
    range: float  # edge to edge
    slop: float
    auto_range: float  # within which units that act on their own look for patients
    auto_min_energy: float


@dataclass(frozen=True)
class UnitType:
    """One row of the unit table."""

    name: str
    type_id: int  # id of the standard type in the game
    attributes: tuple[str, ...]
    planes: tuple[str, ...]  # "ground", "air": what can target it
    health_max: float
    health_regen: float  # per loop
    shield_max: float
    shield_regen: float  # per loop
    shield_delay: float  # loops without damage before shields come back
    energy_start: float
    energy_max: float  # 0 without energy
    energy_regen: float  # per loop
    armor: float
    turn_rate: float  # degrees per loop, before walking and firing (of a structure: of what aims); 0: need not turn
    mover: str  # "ground", "cliff", "air" or "none"
    speed: float  # per loop
    acceleration: float  # per loop and loop; 0: top speed at once
    radius: float  # for ranges
    separation: float  # radius for pushing apart
    sight: float  # the unit's own; SMAC observes with 9 instead
    facing: float  # degrees after creation, for drawings
    cooldown_max: float  # divisor of the cooldown (medivac: energy) in SMAC's state
    weapon: Weapon | None
    melee_range: float  # ground targets this near are hit without a missile; negative: no such weapon
    melee_damage_point: float
    melee_period: float
    heal: Heal | None


@cache
def load_json(name: str) -> dict[str, Any]:
    """A data file of this package as a dictionary that callers must not change."""
    text = resources.files("skirmish").joinpath("data", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def require_version(game_version: str) -> None:
    """Raises: ValueError for a game version without unit data."""
    require_known("game version", game_version, GAME_VERSIONS)


def unit_data(game_version: str) -> dict[str, Any]:
    """The data file of a game version. Raises: ValueError for one without data."""
    require_version(game_version)
    return load_json(f"units_{game_version}.json")


@cache
def unit_type(name: str, game_version: str = DEFAULT_VERSION, *, agents: bool = False) -> UnitType:
    """Facts of a type.

    Args: agents: of the maps' copy that the agents command, instead of the stock type that the enemy has.
    Raises: ValueError for a type or game version that is not in the data.
    """
    data = unit_data(game_version)
    require_known("unit type", name, data["units"])
    row = data["units"][name] | (data["agents"].get(name, {}) if agents else {})
    melee = row.get("melee")
    return UnitType(
        name=name,
        type_id=row["type_id"],
        attributes=tuple(row["attributes"]),
        planes=tuple(row["planes"]),
        health_max=row["health_max"],
        health_regen=row["health_regen"],
        shield_max=row["shield_max"],
        shield_regen=row["shield_regen"],
        shield_delay=row["shield_delay"],
        energy_start=row["energy_start"],
        energy_max=row["energy_max"],
        energy_regen=row["energy_regen"],
        armor=row["armor"],
        turn_rate=row["turn_rate"] or 0.0,
        mover=row["mover"],
        speed=row["speed"],
        acceleration=row["acceleration"] or 0.0,
        radius=row["radius"],
        separation=row["separation_radius"],
        sight=row["sight"],
        facing=row["facing"],
        cooldown_max=row["cooldown_max"],
        weapon=_weapon(row["weapon"]) if row["weapon"] else None,
        melee_range=melee["range"] if melee else -1.0,
        melee_damage_point=melee["damage_point"] if melee else 0.0,
        melee_period=melee["period"] if melee else 0.0,
        heal=Heal(**row["heal"]) if "heal" in row else None,
    )


def _weapon(row: dict[str, Any]) -> Weapon:
    return Weapon(
        range=row["range"],
        slop=row["slop"],
        scan=row["scan"],
        period=row["period"],
        damage_point=row["damage_point"],
        backswing=row["backswing"],
        jitter=(row["jitter"][0], row["jitter"][1]),
        damage=row["damage"],
        bonus=row["bonus"],
        attacks=row["attacks"],
        hit_offset=row.get("hit_offset", 0.0),
        targets=tuple(row["targets"]),
        missile_speed=row["missile_speed"] or 0.0,
        flight=row["flight"]["loops"] if "flight" in row else 0.0,
        beam=Beam(**row["beam"]) if "beam" in row else None,
        burst_radius=row["burst"]["radius"] if "burst" in row else 0.0,
    )
