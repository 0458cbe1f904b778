"""Typed configurations: frozen dataclasses filled from YAML presets and `key=value` overrides.

A preset is a YAML mapping of sections; every key must name a field of the dataclass, every value must have the field's
type. Nothing is adjusted silently: what is written to `config.json` is exactly what the learner gets.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from training.errors import UserError

C = TypeVar("C")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint `did you mean ...?` with the closest known names, or the list of all of them."""
    close = difflib.get_close_matches(name, known, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def read_value(text: str, where: str) -> Any:
    """A setting's value as YAML reads it, but for numbers like 1e-4, which YAML takes for text.

    Raises: UserError for what is not YAML, or for a number that is not finite.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"value of {where!r} is not valid YAML: quote it") from error
    if isinstance(value, str) and value == text.strip() and _EXPONENT.fullmatch(value):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"value of {where!r} must be finite, got {value}")
    return value


def to_dict(config: Any) -> dict[str, Any]:
    """Nested plain dict of a config dataclass (tuples become lists, as in JSON)."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: plain(v) for k, v in value.items()}
        return [plain(v) for v in value] if isinstance(value, tuple | list) else value

    return plain(dataclasses.asdict(config))


def from_dict(cls: type[C], data: Mapping[str, Any], path: str = "") -> C:
    """Build dataclass `cls` from nested mappings.

    Args:
      cls: a dataclass whose fields are bool, int, float, str, tuples of those, optionals, or dataclasses.
      data: values by field name; missing fields keep their default.
      path: dotted prefix used in messages.
    Raises: UserError naming the key, what was given and what was expected.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{path or 'config'} must be a mapping of settings, got {data!r}: indent its keys below it")
    hints = typing.get_type_hints(cls)
    known = {f.name: hints[f.name] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in data.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in known:
            raise UserError(f"unknown setting {where!r}: {nearest(str(key), list(known))}")
        values[key] = _coerce(value, known[key], where)
    try:
        return cls(**values)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{path + ': ' if path else ''}{error}") from error


def apply_overrides(config: C, overrides: Sequence[str]) -> C:
    """Replace settings by `section.key=value` strings (values are read as YAML). Returns a new config.

    Raises: UserError for a malformed override, an unknown key (with the nearest name) or an ill-typed value.
    """
    data = to_dict(config)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise UserError(
                f"override {override!r} is not of the form section.key=value, e.g. search.num_simulations=50"
            )
        *sections, leaf = key.strip().split(".")
        node: Any = data
        for depth, section in enumerate(sections):
            if not isinstance(node.get(section), dict):
                where = ".".join(sections[: depth + 1])
                names = [k for k, v in node.items() if isinstance(v, dict)]
                raise UserError(f"unknown section {where!r} in override {override!r}: {nearest(section, names)}")
            node = node[section]
        if leaf not in node:
            raise UserError(f"unknown setting {key.strip()!r}: {nearest(leaf, list(node))}")
        if isinstance(node[leaf], dict):
            raise UserError(f"{key.strip()!r} is a section, not a setting: name one of {', '.join(node[leaf])}")
        node[leaf] = read_value(text, override)
    return from_dict(type(config), data)


def load_preset(directory: Path, name: str, cls: type[C], *, map_name: str | None = None) -> C:
    """Read `directory/name.yaml` into dataclass `cls`.

    A preset may hold a section `maps` with changes by the name of the map; those of `map_name` are applied.

    Raises: UserError listing the presets if there is none of that name, or naming what is wrong in it.
    """
    path = directory / f"{name}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in directory.glob("*.yaml"))
        raise UserError(f"unknown preset {name!r}: {nearest(name, names)} (presets: {', '.join(names)})")
    try:
        data = yaml.safe_load(path.read_bytes()) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML ({error}): correct it") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a mapping of settings, got {data!r}: correct it")
    changes = data.pop("maps", {}).get(map_name, {})
    return from_dict(cls, _merged(data, changes))


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `changes` put in their places."""
    result = dict(base)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return result


def _coerce(value: Any, kind: Any, where: str) -> Any:
    """`value` as type `kind`, or a UserError. Numbers written as text (YAML reads 1e-4 as text) count as floats."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else from_dict(kind, value, where)  # type: ignore[arg-type]
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _coerce(value, next(a for a in args if a is not type(None)), where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where} must be a list, got {value!r}: write [a, b, ...]")
        return tuple(_coerce(v, args[0], f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where} must be a mapping, got {value!r}: write {{key: value}}")
        return dict(value)
    if kind is float and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, kind) and kind is not float and (kind is bool or not isinstance(value, bool)):
        return value
    raise UserError(
        f"{where} must be of type {kind.__name__}, got {value!r} ({type(value).__name__}): correct the value"
    )
