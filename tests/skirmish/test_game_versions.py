"""Unit data by game version: every number against its source, what differs, and the option that chooses."""

import csv
from importlib import resources

import pytest

import envs
import skirmish
from skirmish.data.maps import load_map
from skirmish.data.units import DEFAULT_VERSION, GAME_VERSIONS, unit_data, unit_type
from skirmish.faces.smac import StarCraft2Env
from skirmish.physics.tables import HEALTH

UNSOURCED_ALL = {"type_id", "cooldown_max", "facing"}  # the game's ids, SMAC's divisors, where units look at first
UNSOURCED = {  # numbers without a row in sources.csv so far
    ("colossus", "weapon.attacks"), ("stalker", "weapon.missile_speed"), ("hydralisk", "weapon.missile_speed"),
    ("spine_crawler", "weapon.flight.loops"), ("spine_crawler", "weapon.flight.at_range"),
    ("medivac", "heal.slop"), ("medivac", "heal.auto_min_energy"),
}  # fmt: skip


def numbers(value, path=""):
    """{path: number} of a nested entry, with paths as in sources.csv."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    else:
        return {path: value} if isinstance(value, (int, float)) else {}
    return {p: v for key, part in parts for p, v in numbers(part, f"{path}.{key}" if path else str(key)).items()}


def source_rows(version):
    """{(unit, field): value} of a version."""
    text = resources.files("skirmish").joinpath("data", "sources.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["game_version"] == version]
    found = {(row["unit"], row["field"]): float(row["value"]) for row in rows}
    assert len(found) == len(rows)  # nothing twice
    assert all(row["source"] and row["as_written"] for row in rows)
    return found


@pytest.mark.parametrize("version", GAME_VERSIONS)
def test_every_sourced_number_is_the_one_in_the_data(version):
    units, sources = unit_data(version)["units"], source_rows(version)
    assert len(sources) > 150
    for (unit, field), value in sources.items():
        assert numbers(units[unit])[field] == pytest.approx(value, abs=5e-4), (unit, field)  # thousandths are kept


@pytest.mark.parametrize("version", GAME_VERSIONS)
def test_every_number_has_a_source_or_is_named_here(version):
    sources, missing = source_rows(version), set()
    for unit, row in unit_data(version)["units"].items():
        for field, value in numbers(row).items():
            absent = value == 0 or (field == "weapon.attacks" and value == 1)  # no field in the game's data
            if field not in UNSOURCED_ALL and not absent and (unit, field) not in sources:
                missing.add((unit, field))
    assert missing == UNSOURCED


@pytest.mark.parametrize("version", GAME_VERSIONS)
def test_all_types_load_for_both_sides(version):
    for name, row in unit_data(version)["units"].items():
        for agents in (True, False):
            kind = unit_type(name, version, agents=agents)
            assert (kind.name, kind.type_id) == (name, row["type_id"])
        changed = unit_data(version)["agents"].get(name, {})
        assert changed.keys() <= row.keys()
        assert (unit_type(name, version, agents=True) == unit_type(name, version)) == (not changed)


def test_versions_differ_in_the_hydralisks_period_alone():
    new, old = (unit_data(version) for version in ("4.10", "4.6.2"))
    assert new.keys() == old.keys()
    assert {key for key in new if new[key] != old[key]} == {"_about", "units"}
    assert new["units"].keys() == old["units"].keys()
    assert {name for name in new["units"] if new["units"][name] != old["units"][name]} == {"hydralisk"}
    one, other = (numbers(data["units"]["hydralisk"]) for data in (new, old))
    assert {key: (one[key], other[key]) for key in one if one[key] != other[key]} == {"weapon.period": (13.2, 12.0)}


def test_the_agents_copies_differ_in_three_numbers():
    assert DEFAULT_VERSION == "4.10"
    for version in GAME_VERSIONS:
        assert unit_data(version)["agents"] == {
            "hydralisk": {"health_max": 80.0},
            "medivac": {"speed": 2.75 / 16, "acceleration": 2.3125 / 256},
        }
        stock = unit_type("medivac", version)
        assert (stock.speed, stock.acceleration) == (2.5 / 16, 2.25 / 256)
        assert [unit_type("hydralisk", version, agents=side).health_max for side in (True, False)] == [80, 90]


def test_rows_of_a_map_are_those_of_the_two_sides():
    spec = load_map("MMM2")
    assert [kind.speed * 16 for kind in spec.kinds if kind.name == "medivac"] == [2.75, 2.5]
    assert (spec.row_of("medivac", agents=True), spec.row_of("medivac", agents=False)) == (2, 3)
    assert spec.row_of("marine", agents=True) == spec.row_of("marine", agents=False) == 1
    agents, enemies = spec.unit_types[: spec.n_agents], spec.unit_types[spec.n_agents :]
    assert {k.speed * 16 for k in agents if k.name == "medivac"} == {2.75}
    assert {k.speed * 16 for k in enemies if k.name == "medivac"} == {2.5}


@pytest.mark.parametrize(("side", "health"), [(slice(0, 10), 80.0), (slice(10, 20), 90.0)])
def test_drawn_hydralisks_are_weaker_among_the_agents(side, health):
    env = envs.make("zerg_10_vs_10", num_envs=8)
    env.reset(0)
    units = [(b, u) for b in range(8) for u in range(20)[side] if env.spec.kinds[env.kinds[b, u]].name == "hydralisk"]
    assert len(units) > 10
    assert {env.units[b, HEALTH, u] for b, u in units} == {health}


@pytest.mark.parametrize("make", [skirmish.make, envs.make], ids=["skirmish.make", "envs.make"])
@pytest.mark.parametrize("name", ["6h_vs_8z", "zerg_5_vs_5"])
def test_the_option_chooses_the_data_and_is_told(make, name):
    periods = {}
    for version in (None, *GAME_VERSIONS):
        env = make(name) if version is None else make(name, game_version=version)
        assert env.info.unit_data == env.spec.game_version == env.options.game_version == (version or "4.10")
        periods[version] = {k.weapon.period for k in env.spec.kinds if k.name == "hydralisk"}
    assert periods == {None: {13.2}, "4.10": {13.2}, "4.6.2": {12.0}}


def test_perturbed_environments_tell_the_data_too_and_matrix_games_have_none():
    assert envs.make("3m", obs_noise=0.1, game_version="4.6.2").info.unit_data == "4.6.2"
    assert envs.make("matrix_1").info.unit_data == ""


@pytest.mark.parametrize(("given", "used"), [({}, "4.10"), (None, "4.10"), ("4.10", "4.10"), ("4.6.2", "4.6.2")])
def test_smacs_class_takes_none_for_the_latest(given, used):
    env = StarCraft2Env("3m", **(given if given == {} else {"game_version": given}))
    assert env.simulator.info.unit_data == env.simulator.spec.game_version == used
    assert env.game_version == used


def test_a_map_of_ones_own_keeps_its_version_unless_told_otherwise():
    spec = load_map("3m", "4.6.2")
    assert skirmish.SkirmishEnv(spec).info.unit_data == "4.6.2"
    assert skirmish.SkirmishEnv(spec, game_version="4.10").info.unit_data == "4.10"
    face = StarCraft2Env(spec)
    assert (face.simulator.info.unit_data, face.game_version) == ("4.6.2", "4.6.2")


@pytest.mark.parametrize(("got", "nearest"), [("4.11", "4.10"), ("4.6", "4.6.2"), ("4.6.1", "4.6.2"), (4.1, "4.10")])
@pytest.mark.parametrize(
    "call",
    [
        lambda version: skirmish.make("3m", game_version=version),
        lambda version: envs.make("zerg_5_vs_5", game_version=version),
        lambda version: StarCraft2Env("3m", game_version=version),
        lambda version: load_map("3m", version),
        lambda version: unit_type("marine", version),
    ],
    ids=["make", "scenario", "face", "map", "type"],
)
def test_unknown_versions_are_refused_with_the_nearest_one(call, got, nearest):
    with pytest.raises(ValueError, match=f"unknown game version {got!r}, expected one of 4.10, 4.6.2: .* '{nearest}'"):
        call(got)
