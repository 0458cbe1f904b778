"""Command line of the baselines: `python -m baselines train | evaluate | watch`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from baselines import registry
from baselines.trained import policies_of
from envs.interface import VectorEnv
from skirmish.pictures.watch import add_flags as add_film_flags
from skirmish.pictures.watch import shooting
from training import cli
from training.config import apply_overrides, from_dict, load_preset
from training.errors import UserError
from training.evaluation import Policy, evaluate
from training.run import read_config
from training.watch import check_films, film_policy

PROGRAM = "baselines"


def build_parser() -> argparse.ArgumentParser:
    """Flags of all subcommands."""
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train one algorithm on one map with one seed")
    train.add_argument("--algorithm", required=True, help=f"one of: {', '.join(registry.ALGORITHMS)}")
    cli.add_train_flags(train, default_preset="published")
    test = commands.add_parser("evaluate", help="play greedy episodes with a trained run; prints JSON")
    test.add_argument("--episodes", type=int, default=32, help="episodes to play (default: %(default)s)")
    test.add_argument("--seed", type=int, default=0, help="seed of these episodes (default: %(default)s)")
    film = commands.add_parser("watch", help="film greedy episodes of a trained run")
    add_film_flags(film)
    for sub in (test, film):
        sub.add_argument("--run", type=Path, required=True, help="directory of a run that was started")
        cli.add_policy_flag(sub)
        cli.add_env_flag(sub, "change an option of the environment against that of the run, e.g. jitter_scale=0")
        sub.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
        sub.add_argument("--device", default="cpu", help="torch device, cpu or cuda (default: %(default)s)")
    return parser


def run(argv: list[str]) -> int:
    """Do what the arguments say. Returns: exit code. Raises: UserError for bad input."""
    arguments = build_parser().parse_args(argv)
    return {"train": _train, "evaluate": _evaluate, "watch": _watch}[arguments.command](arguments)


def record_of(argv: list[str]) -> dict[str, Any]:
    """The record of the run that `train ...` asks for, as its config.json will hold it. Raises: UserError."""
    arguments = build_parser().parse_args(argv)
    return cli.describe(arguments, program=PROGRAM, algorithm=arguments.algorithm, config=_config(arguments))


def _config(arguments: argparse.Namespace) -> Any:
    algorithm = registry.find(arguments.algorithm)
    config: Any = load_preset(algorithm.presets, arguments.preset, algorithm.config, map_name=arguments.map)
    config = apply_overrides(config, cli.flat_overrides(arguments))
    return config if algorithm.resolve is None else _resolve(arguments, algorithm, config)


def _train(arguments: argparse.Namespace) -> int:
    return cli.run_train(
        arguments,
        program=PROGRAM,
        algorithm=arguments.algorithm,
        config=_config(arguments),
        make_learner=registry.find(arguments.algorithm).make_learner,
    )


def _resolve(arguments: argparse.Namespace, algorithm: registry.Algorithm, config: Any) -> Any:
    """The config with what depends on the environment. Raises: UserError for settings the environment cannot meet."""
    options, observation = cli.env_options(arguments), config.rollout.observation
    env = cli.make_env(arguments.map, options, backend=arguments.backend, observation=observation)
    try:
        return algorithm.resolve(config, env) if algorithm.resolve else config
    except ValueError as error:
        raise UserError(str(error)) from error
    finally:
        env.close()


def _evaluate(arguments: argparse.Namespace) -> int:
    cli.check_play(arguments)
    record = _read_run(arguments)
    policy, env, options = _load(arguments, record, num_envs=arguments.episodes)
    result = evaluate(policy, env, seed=arguments.seed)
    env.close()
    units = cli.unit_data(env.info)
    run_of = {name: record[name] for name in ("algorithm", "map", "backend")}
    print(json.dumps({**run_of, "unit_data": units, "env": options, "seed": arguments.seed, **result}))
    return 0


def _watch(arguments: argparse.Namespace) -> int:
    record, how = _read_run(arguments), shooting(arguments)
    check_films(record, how)
    policy, env, _ = _load(arguments, record, num_envs=1)
    print(film_policy(policy, env, how, who=record["algorithm"].upper()))
    return 0


def _read_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The run's config.json. Raises: UserError if there is none, or threads or device cannot be had."""
    cli.set_up_process(arguments.threads)
    cli.check_device(arguments.device)
    record = read_config(arguments.run)
    if record["program"] != PROGRAM:
        other = record["program"]
        raise UserError(f"{arguments.run} is a run of {other!r}: use python -m {other} {arguments.command}")
    return record


def _load(
    arguments: argparse.Namespace, record: dict[str, Any], *, num_envs: int
) -> tuple[Policy, VectorEnv, dict[str, Any]]:
    """The trained policy of a run, an environment of its map, and the options of that environment."""
    config: Any = from_dict(registry.find(record["algorithm"]).config, record["config"])
    observation = config.rollout.observation
    options = cli.evaluation_options(arguments, record, observation=observation)
    env = cli.make_env(
        record["map"],
        options,
        backend=record["backend"],
        num_envs=num_envs,
        observation=observation,
        seed=arguments.seed,
    )
    load = policies_of(arguments.run, record, env.info, best=arguments.best, device=arguments.device)
    return load(arguments.seed), env, options


if __name__ == "__main__":
    sys.exit(cli.main(run))
