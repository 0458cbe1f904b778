"""How settings are read: presets with changes for maps, overrides, types, and the words of every refusal."""

import re
from dataclasses import dataclass, field

import pytest

from training.config import apply_overrides, from_dict, load_preset, nearest, read_value, to_dict
from training.errors import UserError


@dataclass(frozen=True)
class Deep:
    """The innermost section."""

    name: str = "deep"
    table: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Inner:
    """A section in a section."""

    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    deep: Deep = field(default_factory=Deep)

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError("rate must not be negative")
        if self.rate > 100:
            raise UserError("rate is absurd")


@dataclass(frozen=True)
class Outer:
    """A whole config."""

    count: int = 1
    flag: bool = False
    limit: int | None = None
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self):
        if self.count == 13:
            raise ValueError("count is unlucky")


def test_a_dict_becomes_a_config_and_back():
    data = {
        "count": 3,
        "flag": True,
        "limit": 4,
        "inner": {"rate": 2, "sizes": [5, 6.0], "deep": {"name": "x", "table": {"a": 1.5}}},
    }
    config = from_dict(Outer, data)
    assert config == Outer(3, True, 4, Inner(2.0, (5, 6), Deep("x", {"a": 1.5})))
    assert type(config.inner.rate) is float and type(config.inner.sizes[1]) is int
    plain = data | {"inner": data["inner"] | {"sizes": [5, 6]}}
    assert to_dict(config) == plain and type(to_dict(config)["inner"]["sizes"]) is list
    assert from_dict(Outer, {}) == Outer() and from_dict(Outer, {"limit": None}) == Outer()
    assert from_dict(Outer, {"inner": Inner(rate=7.0)}).inner.rate == 7.0


@pytest.mark.parametrize(("value", "read"), [("1e-4", 1e-4), (3, 3.0), ("2.5", 2.5), (0, 0.0), (-0.0, -0.0)])
def test_numbers_are_floats_where_floats_are_wanted(value, read):
    found = from_dict(Outer, {"inner": {"rate": value}}).inner.rate
    assert found == read and type(found) is float


REFUSED = [
    ({"cuont": 1}, "unknown setting 'cuont': did you mean 'count'?"),
    ({"inner": {"rat": 1}}, "unknown setting 'inner.rat': did you mean 'rate'?"),
    ({"inner": {"deep": {"zzz": 1}}}, "unknown setting 'inner.deep.zzz': known: name, table"),
    ({7: 1}, "unknown setting '7': known: count, flag, inner, limit"),
    ({"inner": 3}, "inner must be a mapping of settings, got 3: indent its keys below it"),
    ({"inner": {"deep": None}}, "inner.deep must be a mapping of settings, got None: indent its keys below it"),
    (["count"], "config must be a mapping of settings, got ['count']: indent its keys below it"),
    ({"count": "1"}, "count must be of type int, got '1' (str): correct the value"),
    ({"count": 1.5}, "count must be of type int, got 1.5 (float): correct the value"),
    ({"count": True}, "count must be of type int, got True (bool): correct the value"),
    ({"count": None}, "count must be of type int, got None (NoneType): correct the value"),
    ({"flag": 1}, "flag must be of type bool, got 1 (int): correct the value"),
    ({"limit": "x"}, "limit must be of type int, got 'x' (str): correct the value"),
    ({"inner": {"rate": True}}, "inner.rate must be of type float, got True (bool): correct the value"),
    ({"inner": {"rate": "nan"}}, "inner.rate must be of type float, got 'nan' (str): correct the value"),
    ({"inner": {"rate": float("inf")}}, "inner.rate must be of type float, got inf (float): correct the value"),
    ({"inner": {"rate": float("nan")}}, "inner.rate must be of type float, got nan (float): correct the value"),
    ({"inner": {"rate": "fast"}}, "inner.rate must be of type float, got 'fast' (str): correct the value"),
    ({"inner": {"rate": [1]}}, "inner.rate must be of type float, got [1] (list): correct the value"),
    ({"inner": {"sizes": 3}}, "inner.sizes must be a list, got 3: write [a, b, ...]"),
    ({"inner": {"sizes": [1, "b"]}}, "inner.sizes[1] must be of type int, got 'b' (str): correct the value"),
    ({"inner": {"deep": {"table": 1}}}, "inner.deep.table must be a mapping, got 1: write {key: value}"),
    ({"inner": {"deep": {"name": 1}}}, "inner.deep.name must be of type str, got 1 (int): correct the value"),
    ({"inner": {"rate": -1}}, "inner: rate must not be negative"),
    ({"inner": {"rate": 101}}, "rate is absurd"),
    ({"count": 13}, "count is unlucky"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_a_refusal_names_key_value_and_remedy(data, message):
    with pytest.raises(UserError) as refusal:
        from_dict(Outer, data)
    assert str(refusal.value) == message


def test_overrides_change_what_they_name_and_nothing_else():
    config = Outer(count=2, inner=Inner(sizes=(9,)))
    changes = ["inner.deep.name=a=b", " flag =true", "inner.rate=3e-4", "limit=7"]
    assert apply_overrides(config, changes) == Outer(2, True, 7, Inner(3e-4, (9,), Deep("a=b")))
    assert apply_overrides(config, []) == config == Outer(count=2, inner=Inner(sizes=(9,)))
    assert apply_overrides(config, ["count=3", "count=4"]).count == 4
    assert apply_overrides(Outer(limit=3), ["limit=null"]).limit is None


FORM = "is not of the form section.key=value, e.g. search.num_simulations=50"
BAD_OVERRIDES = [
    ("count", f"override 'count' {FORM}"),
    ("=3", f"override '=3' {FORM}"),
    ("inner.deeep.name=x", "unknown section 'inner.deeep' in override 'inner.deeep.name=x': did you mean 'deep'?"),
    ("iner.deep.name=x", "unknown section 'iner' in override 'iner.deep.name=x': did you mean 'inner'?"),
    ("count.deep.name=x", "unknown section 'count' in override 'count.deep.name=x': known: inner"),
    ("inner.rat=1", "unknown setting 'inner.rat': did you mean 'rate'?"),
    ("xyz=1", "unknown setting 'xyz': known: count, flag, inner, limit"),
    ("inner.deep=1", "'inner.deep' is a section, not a setting: name one of name, table"),
    ("count=[", "value of 'count=[' is not valid YAML: quote it"),
    ("inner.rate=.nan", "value of 'inner.rate=.nan' must be finite, got nan"),
    ("count=x", "count must be of type int, got 'x' (str): correct the value"),
]


@pytest.mark.parametrize(("override", "message"), BAD_OVERRIDES)
def test_a_refused_override_is_named(override, message):
    with pytest.raises(UserError) as refusal:
        apply_overrides(Outer(), [override])
    assert str(refusal.value) == message


VALUES = [
    ("3", 3), ("1e-4", 1e-4), (" -2E+3 ", -2000.0), ("1.5e2", 150.0), ("'1e-4'", "1e-4"), ("x1e-4", "x1e-4"),
    ("1e-4x", "1e-4x"), ("[1, a]", [1, "a"]), ("true", True), ("", None), ("2.", 2.0), ("1e3 # note", "1e3"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values_are_yaml_but_for_exponents_without_a_point(text, value):
    found = read_value(text, "where")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan", "1e999", "1.0e+999"])
def test_values_that_are_not_finite_are_refused(text):
    with pytest.raises(UserError, match=r"^value of 'a=b' must be finite, got -?(inf|nan)$"):
        read_value(text, "a=b")


def test_the_nearest_name_is_the_one_closest_in_spelling():
    assert nearest("ratt", ["sizes", "rates", "rate"]) == "did you mean 'rate'?"
    assert nearest("abxy", ["abcd", "zz"]) == "did you mean 'abcd'?"  # half of the letters agree
    assert nearest("axyz", ["zz", "abcd"]) == "known: abcd, zz"


@pytest.fixture
def presets(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "count: 2\ninner:\n  rate: 1.0\n  deep:\n    name: all\n"
        "maps:\n  3m:\n    inner:\n      deep: {name: three}\n    limit: 9\n  8m:\n    count: 8\n"
    )
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    (tmp_path / "notes.txt").write_text("no preset")
    return tmp_path


def test_a_preset_holds_changes_for_maps(presets):
    everywhere = Outer(2, inner=Inner(1.0, deep=Deep("all")))
    assert load_preset(presets, "small", Outer) == everywhere
    assert load_preset(presets, "small", Outer, map_name="25m") == everywhere
    assert load_preset(presets, "small", Outer, map_name="3m") == Outer(
        2, limit=9, inner=Inner(1.0, deep=Deep("three"))
    )
    assert load_preset(presets, "small", Outer, map_name="8m") == Outer(8, inner=Inner(1.0, deep=Deep("all")))
    assert load_preset(presets, "empty", Outer, map_name="3m") == Outer()


def test_changes_for_a_map_may_bring_a_section_of_their_own_and_are_checked(presets):
    path = presets / "own.yaml"
    path.write_text("count: 2\nmaps:\n  3m:\n    inner: {rate: 4.0}\n  5m:\n    inner: 3\n  8m:\n    cuont: 1\n")
    assert load_preset(presets, "own", Outer, map_name="3m") == Outer(2, inner=Inner(4.0))
    with pytest.raises(UserError, match="inner must be a mapping"):
        load_preset(presets, "own", Outer, map_name="5m")
    with pytest.raises(UserError, match="did you mean 'count'"):
        load_preset(presets, "own", Outer, map_name="8m")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"count: [", "is not valid YAML (while parsing"),
        (b"count: 1\nname: \xff", "is not valid YAML ("),
        (b"- count\n", "must hold a mapping of settings, got ['count']: correct it"),
    ],
)
def test_a_preset_that_cannot_be_read_is_named(presets, raw, message):
    (presets / "broken.yaml").write_bytes(raw)
    with pytest.raises(UserError, match=re.escape(f"{presets / 'broken.yaml'} {message}")):
        load_preset(presets, "broken", Outer)


def test_a_preset_is_utf_8_whatever_the_locale_says(presets):
    (presets / "letters.yaml").write_bytes("inner: {deep: {name: λ}}\n".encode())
    assert load_preset(presets, "letters", Outer).inner.deep.name == "λ"


@pytest.mark.parametrize(("name", "hint"), [("smal", "did you mean 'small'?"), ("x", "known: empty, small")])
def test_an_unknown_preset_is_named_with_those_there_are(presets, name, hint):
    with pytest.raises(UserError) as refusal:
        load_preset(presets, name, Outer)
    assert str(refusal.value) == f"unknown preset {name!r}: {hint} (presets: empty, small)"
