"""The commands `fidelity` and `calibrate` of `python -m skirmish`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from skirmish.checks import require_known
from skirmish.contract.options import SkirmishOptions
from skirmish.faces.making import option_names
from skirmish.fidelity.calibrate import calibrate, calibration_table
from skirmish.fidelity.measure import KINDS, measure_all
from skirmish.fidelity.report import records_table, summary, summary_table, write_csv
from skirmish.physics.rules import Rules

COMMANDS = ("fidelity", "calibrate")
SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def add_commands(commands: Any) -> None:
    """Add both commands to the subparsers of an argparse parser."""
    sub = commands.add_parser("fidelity", help="everything that real games pin down, beside the real values")
    sub.add_argument("--maps", nargs="+", metavar="MAP", help="maps (default: all with real values)")
    _add_shared(sub)
    sub.add_argument("--quick", action="store_true", help="a quarter of the episodes")
    sub.add_argument("--csv", type=Path, metavar="FILE", help="also write the records to this file")
    sub.add_argument("--out", type=Path, metavar="FILE", help="also draw them: .png, .svg or .pdf")
    sub = commands.add_parser("calibrate", help="search rules against a half of the maps, report the other half")
    sub.add_argument("--fit", nargs="+", required=True, metavar="MAP", help="odd, even, or the maps to fit")
    sub.add_argument(
        "--grid", nargs="+", required=True, metavar="KEY=V1,V2", help="rules or options and the values to try"
    )
    _add_shared(sub)
    sub.add_argument("--rounds", type=int, default=2, help="passes over the grid at most (default 2)")
    sub.add_argument("--full", action="store_true", help="all episodes instead of a quarter")
    sub.add_argument("--csv", type=Path, metavar="FILE", help="also write the best setting's records to this file")


def _add_shared(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--game-version", metavar="V", help="unit data of this version; the real runs: 4.6.2")
    sub.add_argument(
        "--rules", nargs="+", default=[], metavar="KEY=VALUE", help="rules and options that differ from the defaults"
    )
    sub.add_argument("--kinds", nargs="+", metavar="KIND", help=f"of {', '.join(KINDS)} (default: all)")
    sub.add_argument("--seed", type=int, default=0, help="seed of all randomness (default 0)")


def run(arguments: argparse.Namespace) -> str:
    """Carry out one of `COMMANDS`; returns what to print. Raises: ValueError or OSError for bad input."""
    options = parse_options(arguments.rules)
    if arguments.game_version is not None:
        options["game_version"] = arguments.game_version
    shared = {"kinds": arguments.kinds, "seed": arguments.seed}
    if arguments.command == "calibrate":
        grid = {key: [parse_value(key, v) for v in text.split(",")] for key, text in map(_split, arguments.grid)}
        result = calibrate(
            arguments.fit, grid, start=options, rounds=arguments.rounds, quick=not arguments.full, **shared
        )
        if arguments.csv is not None:
            best = measure_all(result.options, quick=not arguments.full, **shared)
            write_csv(arguments.csv, best, label_of(result.options))
        return calibration_table(result)
    if arguments.out is not None:
        _require_figure(arguments.out)
    records = measure_all(options, arguments.maps, quick=arguments.quick, **shared)
    if not records:
        raise ValueError(
            f"maps and kinds must have a real value in common, got {arguments.maps} and {arguments.kinds}: "
            "leave one of them out"
        )
    if arguments.csv is not None:
        write_csv(arguments.csv, records, label_of(options))
    if arguments.out is not None:
        from skirmish.fidelity.figure import draw  # imported late: matplotlib takes a moment to load

        draw(records, arguments.out, label_of(options))
    return f"{records_table(records)}\n\n{summary_table(summary(records))}"


def _require_figure(path: Path) -> None:
    """Refuse what cannot be drawn before minutes are spent on measuring."""
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ValueError(f"figure must be a .png, .svg or .pdf file, got {path.name!r}: choose another --out")


def label_of(options: dict[str, Any]) -> str:
    """Unit data and what differs from the default rules, as text: results of different data are never mixed."""
    named = {"game_version": SkirmishOptions().game_version, **options}
    return " ".join(f"{key}={value}" for key, value in named.items())


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """{name: value} of "name=value" texts, with the types of the rules' and options' fields.

    Raises: ValueError for an unknown name (with the nearest one), or a value of another type.
    """
    return {key: parse_value(key, text) for key, text in map(_split, pairs)}


def _split(pair: str) -> tuple[str, str]:
    key, sign, text = pair.partition("=")
    if not sign or not key or not text:
        raise ValueError(f"rules must be given as key=value, got {pair!r}: write for instance jitter_scale=0.5")
    return key, text


def parse_value(key: str, text: str) -> Any:
    """One value of a rule or option by the type of its default."""
    require_known("rule or option", key, option_names("3m"))
    defaults = {f.name: f.default for kind in (Rules, SkirmishOptions) for f in fields(kind)}
    default = defaults[key]
    try:
        if isinstance(default, bool):
            return SWITCH[text.lower()]
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
    except (ValueError, KeyError):
        kind = "true or false" if isinstance(default, bool) else f"of type {type(default).__name__}"
        raise ValueError(f"{key} must be {kind}, got {text!r}: its default is {default!r}") from None
    return text
