"""Command line: `python -m envs compare`."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import envs
from envs.compare import difference, figure, measures, players, playing
from envs.compare.sides import Comparison, Side, read_sides
from skirmish.data.maps import map_names
from training import cli, provenance
from training.errors import UserError
from training.files import write_json, write_text
from training.identity import first_difference

PROGRAM = "envs"
BACKENDS = ("smac", "skirmish")
GAMES = 4
MOST_SLOTS = 64  # of the simulator
PARTS = "parts"  # folder of what is not finished
MOST = 10_000  # episodes: all of them are held in memory
STEP_MUL = 8

logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """Flags of all subcommands."""
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description="Environments held against each other.")
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="one policy on several backends: measures, tests, a figure")
    compare.add_argument("--map", required=True, help="one of SMAC's maps")
    compare.add_argument(
        "--policy",
        required=True,
        help=f"{', '.join(players.SCRIPTS)}, or the folder of a trained run, played as in its evaluations",
    )
    compare.add_argument("--backends", default=",".join(BACKENDS), help="played here, by commas (default: %(default)s)")
    compare.add_argument(
        "--with",
        dest="others",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="and comparisons that others made",
    )
    compare.add_argument("--episodes", type=int, default=100, help="whole ones on each backend (default: %(default)s)")
    compare.add_argument("--seed", type=int, default=0, help="seed of all battles (default: %(default)s)")
    compare.add_argument("--games", type=int, default=GAMES, help="StarCraft II side by side (default: %(default)s)")
    compare.add_argument("--record", action="store_true", help="keep the battles, step by step: battles_BACKEND.npz")
    compare.add_argument(
        "--out", type=Path, required=True, help="folder of the results; the same command goes on in it"
    )
    cli.add_policy_flag(compare)
    cli.add_env_flag(compare, "options of the environment, of every backend that has one of the name, e.g. step_mul=4")
    compare.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    compare.add_argument("--device", default="cpu", help="of trained policies, cpu or cuda (default: %(default)s)")
    return parser


def run(argv: list[str]) -> int:
    """Do what the arguments say. Returns: exit code. Raises: UserError for bad input."""
    arguments = build_parser().parse_args(argv)
    backends = _checked(arguments)
    cli.set_up_process(arguments.threads)
    cli.check_device(arguments.device)
    who = players.who(arguments.policy, arguments.map, best=arguments.best, device=arguments.device)
    options = _options(arguments, backends)
    boards = {backend: _environment(who, backend, arguments, options[backend]) for backend in backends}
    try:
        at = measures.marks(_limit(boards))
        common: dict[str, Any] = {"map_name": arguments.map, "policy": who.described, "marks": at}
        common["step_mul"] = int(cli.env_options(arguments).get("step_mul", STEP_MUL))
        others = [side for path in arguments.others for side in read_sides(path, **common)]
        _claim(arguments.out, _plan(arguments, who, boards, options))
        result = arguments.out / "comparison.json"
        if result.is_file() and not any(_unrecorded(arguments, backend) for backend in backends):
            sides = read_sides(result, **common)[: len(backends)]
        else:
            sides = [
                _play(arguments, who, backend, board, options[backend], step_mul=common["step_mul"])
                for backend, board in boards.items()
            ]
    finally:
        for board in boards.values():
            board.close()
    sides += others
    tests = [difference.differences(sides[0].measured, side.measured) for side in sides[1:]]
    comparison = Comparison(arguments.map, who.described, at, sides, tests)
    text = figure.table(comparison, policy=who.label)
    write_text(arguments.out / "comparison.md", text)
    figure.draw(comparison, arguments.out / "comparison", policy=who.label)
    comparison.write(result)
    shutil.rmtree(arguments.out / PARTS, ignore_errors=True)
    sys.stdout.write(text)
    return 0


def _checked(arguments: argparse.Namespace) -> list[str]:
    """The backends. Raises: UserError for bad flags, before anything starts."""
    backends = [name for name in arguments.backends.split(",") if name]
    try:
        envs.require_known("map", arguments.map, map_names())
        for backend in backends:
            envs.require_known("backend", backend, BACKENDS)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not backends or len({*backends}) < len(backends):
        raise UserError(f"backends must be different ones of {', '.join(BACKENDS)}, got {arguments.backends!r}")
    for name, value, least, most in (
        ("episodes", arguments.episodes, difference.FEWEST, MOST),
        ("games", arguments.games, 1, MOST),
        ("seed", arguments.seed, 0, 2**31 - 1),
    ):
        if not least <= value <= most:
            raise UserError(f"{name} must lie in {least}..{most}, got {value}")
    return backends


def _options(arguments: argparse.Namespace, backends: list[str]) -> dict[str, dict[str, Any]]:
    """The options of every backend. Raises: UserError for one that none has."""
    given = cli.env_options(arguments)
    known = {
        backend: set(envs.option_names(arguments.map, backend=backend)) - {*envs.PERTURBATIONS} for backend in backends
    }
    for option in given:
        try:
            envs.require_known("environment option", option, sorted(set().union(*known.values())))
        except ValueError as error:
            raise UserError(str(error)) from error
    return {backend: {key: value for key, value in given.items() if key in known[backend]} for backend in backends}


def _environment(
    who: players.Who, backend: str, arguments: argparse.Namespace, options: dict[str, Any]
) -> envs.VectorEnv:
    slots = min({"smac": arguments.games, "skirmish": MOST_SLOTS}[backend], arguments.episodes)
    try:
        return who.environment(backend, arguments.map, num_envs=slots, seed=arguments.seed, options=dict(options))
    except (ValueError, ImportError) as error:
        raise UserError(str(error)) from error


def _limit(boards: Mapping[str, envs.VectorEnv]) -> int:
    limits = {board.info.episode_limit for board in boards.values()}
    assert len(limits) == 1, f"a map has one episode limit, got {limits}"
    return limits.pop()


def _plan(
    arguments: argparse.Namespace,
    who: players.Who,
    boards: Mapping[str, envs.VectorEnv],
    options: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """What is played: the same command finds it again in its folder."""
    sides = {
        backend: {"game": board.info.unit_data, "slots": board.num_envs, "env": options[backend]}
        for backend, board in boards.items()
    }
    asked = {"map": arguments.map, "policy": who.described, "episodes": arguments.episodes, "seed": arguments.seed}
    return dict(json.loads(json.dumps({**asked, "sides": sides})))


def _claim(out: Path, plan: dict[str, Any]) -> None:
    """Make the folder ours. Raises: UserError if something else lies there."""
    path = out / "plan.json"
    if path.is_file():
        try:
            there = json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is not readable JSON ({error}): choose another --out") from error
        found = first_difference(there, plan)
        if found:
            key, old, new = found
            raise UserError(f"{out} holds another comparison, with {key} {old!r} and not {new!r}: choose another --out")
        return
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} must be a new folder or that of the same comparison: choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, plan)


def _record_path(arguments: argparse.Namespace, backend: str) -> Path:
    return Path(arguments.out / f"battles_{backend}.npz")


def _unrecorded(arguments: argparse.Namespace, backend: str) -> bool:
    return arguments.record and not _record_path(arguments, backend).is_file()


def _play(
    arguments: argparse.Namespace,
    who: players.Who,
    backend: str,
    board: envs.VectorEnv,
    options: dict[str, Any],
    *,
    step_mul: int,
) -> Side:
    """Play on one backend, or go on with it, and keep the battles if asked to."""
    header = {
        "map": arguments.map,
        "policy": who.described,
        "n_agents": board.info.n_agents,
        "kinds": [kind.name for kind in board.spec.kinds],  # type: ignore[attr-defined]
    }
    facts = {
        "backend": backend,
        "game": board.info.unit_data,
        "env": options,
        "seed": arguments.seed,
        "slots": board.num_envs,
        "step_mul": step_mul,
        "episodes": arguments.episodes,
        "provenance": _provenance(arguments, backend, board, options),
    }

    def progress(whole: int) -> None:
        logger.info("%s on %s: %d of %d episodes", arguments.map, backend, whole, arguments.episodes)

    played = playing.play(
        who.player(board),
        arguments.out / PARTS / backend,
        {**header, **facts},
        episodes=arguments.episodes,
        seed=arguments.seed,
        progress=progress,
    )
    board.close()
    facts |= {"discarded": played.discarded, "faults": played.faults}
    if arguments.record:
        played.battles.save(_record_path(arguments, backend), {**header, **facts})
    measured = measures.measure(played.battles, episode_limit=board.info.episode_limit, step_mul=step_mul)
    return Side(facts, measured)


def _provenance(
    arguments: argparse.Namespace, backend: str, board: envs.VectorEnv, options: dict[str, Any]
) -> dict[str, Any]:
    return provenance.collect(
        backend=backend,
        threads=arguments.threads,
        device=arguments.device,
        command=provenance.command_line(PROGRAM),
        unit_data=board.info.unit_data,
        starcraft=envs.provenance(backend, options),
    )
