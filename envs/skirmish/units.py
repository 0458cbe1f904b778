"""Unit facts as one column per quantity, read from `data/units.json`.

Adding a unit type means adding an entry to the JSON; columns for what no marine has (shields, armour, energy) are read
already. Times are game loops, lengths world units. The numbers are the Liberty base data that all SMAC maps depend on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from envs.interface import require_known


@dataclass(frozen=True)
class UnitType:
    """One row of the unit table."""

    name: str
    type_id: int  # id of the standard type in the game
    health_max: float
    shield_max: float
    armor: float
    speed: float  # per loop
    radius: float  # for ranges
    separation: float  # radius for pushing apart
    cooldown_max: float  # divisor of the cooldown in SMAC's state, loops
    weapon_range: float  # edge to edge
    weapon_slop: float  # how far past the range a target may drift during an attack
    weapon_scan: float  # floor of the acquisition radius
    weapon_period: float  # from attack start to attack start
    weapon_damage_point: float  # from attack start to the hit
    weapon_backswing: float  # after the hit
    weapon_damage: float
    jitter_low: float  # bounds of what is added to each period
    jitter_high: float


@cache
def load_json(name: str) -> dict[str, Any]:
    """A data file of this package as a dictionary that callers must not change."""
    text = resources.files("envs.skirmish").joinpath("data", name).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def unit_type(name: str) -> UnitType:
    """Row of the unit table. Raises: ValueError for a type that is not in the data."""
    table = load_json("units.json")["units"]
    require_known("unit type", name, table)
    row = table[name]
    weapon = row["weapon"]
    return UnitType(
        name=name,
        type_id=row["type_id"],
        health_max=row["health_max"],
        shield_max=row["shield_max"],
        armor=row["armor"],
        speed=row["speed"],
        radius=row["radius"],
        separation=row["separation_radius"],
        cooldown_max=row["cooldown_max"],
        weapon_range=weapon["range"],
        weapon_slop=weapon["slop"],
        weapon_scan=weapon["scan"],
        weapon_period=weapon["period"],
        weapon_damage_point=weapon["damage_point"],
        weapon_backswing=weapon["backswing"],
        weapon_damage=weapon["damage"],
        jitter_low=weapon["jitter"][0],
        jitter_high=weapon["jitter"][1],
    )
