"""`python -m mazero train | evaluate | watch | diagnose | bench | warmup`."""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mazero import bench
from mazero import diagnose as diagnosis
from mazero.config import PRESETS, MAZeroConfig
from mazero.learner import MAZeroLearner
from mazero.networks import MAZeroNetwork
from mazero.selfplay import NetworkPolicy, SearchPolicy
from mazero.trained import Trained, load
from skirmish.pictures.watch import add_flags as add_film_flags
from skirmish.pictures.watch import shooting
from training.cli import (
    add_env_flag,
    add_policy_flag,
    add_train_flags,
    check_device,
    check_play,
    describe,
    env_options,
    evaluation_options,
    flat_overrides,
    make_env,
    run_train,
    set_up_process,
    unit_data,
)
from training.config import apply_overrides, from_dict, load_preset
from training.errors import UserError
from training.evaluation import evaluate
from training.run import read_config
from training.watch import add_outcome_flags, check_films, film_policy, first_that_is


def run(argv: list[str]) -> int:
    """Parse `argv` and do what it says. Returns the exit code; raises UserError for bad input."""
    arguments = _parser().parse_args(argv)
    commands = {
        "train": _train,
        "evaluate": _evaluate,
        "watch": _watch,
        "diagnose": _diagnose,
        "bench": bench.run,
        "warmup": _warmup,
    }
    return commands[arguments.command](arguments)


def record_of(argv: list[str]) -> dict[str, Any]:
    """The record of the run that `train ...` asks for, as its config.json will hold it. Raises: UserError."""
    arguments = _parser().parse_args(argv)
    config = _config(arguments)
    record = describe(arguments, program="mazero", algorithm="mazero", config=config, start=config.replay.start)
    if config.network.sharing == "type":  # which not every map knows
        info = make_env(arguments.map, env_options(arguments), backend=arguments.backend).info
        MAZeroNetwork.for_environment(config.network, info)
    return record


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mazero", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train MAZero, or continue a run")
    add_train_flags(train, default_preset="laptop")
    play = commands.add_parser("evaluate", help="play a trained run greedily; prints JSON")
    play.add_argument("--episodes", type=int, default=32)
    play.add_argument("--seed", type=int, default=0, help="seed of these episodes")
    film = commands.add_parser("watch", help="film greedy episodes of a trained run")
    add_film_flags(film)
    add_outcome_flags(film)
    panel = commands.add_parser("diagnose", help="why a run does not learn (yet): table, figure and summary")
    diagnosis.add_flags(panel)
    for sub in (play, film, panel):
        sub.add_argument("--run", type=Path, required=True, help="run directory with a checkpoint")
        add_policy_flag(sub)
        if sub is not panel:  # which plays with and without
            sub.add_argument("--no-search", action="store_true", help="every agent takes its own most likely action")
            sub.add_argument(
                "--search",
                nargs="+",
                default=[],
                metavar="KEY=VALUE",
                help="change settings of the search, e.g. rho=0",
            )
        sub.add_argument("--num-simulations", type=int, default=None, help="N of the search (default: as trained)")
        add_env_flag(sub, "change an option of the environment against that of the run, e.g. jitter_scale=0")
        sub.add_argument("--threads", type=int, default=1)
        sub.add_argument("--device", default="cpu")
    warm = commands.add_parser("warmup", help="compile and cache the numba kernels that runs on these maps need")
    warm.add_argument("--map", action="append", required=True, help="may be given several times")
    speed = commands.add_parser("bench", help="measure search and learning on this machine")
    bench.add_flags(speed)
    return parser


def _config(arguments: argparse.Namespace) -> MAZeroConfig:
    return apply_overrides(load_preset(PRESETS, arguments.preset, MAZeroConfig), flat_overrides(arguments))


def _train(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    return run_train(
        arguments,
        program="mazero",
        algorithm="mazero",
        config=config,
        start=config.replay.start,
        make_learner=functools.partial(MAZeroLearner, env_steps=arguments.env_steps),
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    check_play(arguments)
    record = _read_run(arguments)
    trained = _load(arguments, record, num_envs=arguments.episodes)
    result = evaluate(_policy(arguments, trained), trained.env, seed=arguments.seed)
    head = {"run": str(arguments.run), "backend": record["backend"], "map": record["map"], "env": trained.options}
    head |= {"unit_data": unit_data(trained.env.info), "search": not arguments.no_search}
    if arguments.search:
        head["search_settings"] = arguments.search
    print(json.dumps(head | result))  # noqa: T201 - the command's answer
    return 0


def _watch(arguments: argparse.Namespace) -> int:
    record, how = _read_run(arguments), shooting(arguments)
    check_films(record, how)
    trained = _load(arguments, record, num_envs=1)
    if arguments.outcome:

        def policy_of(seed: int) -> NetworkPolicy | SearchPolicy:
            return _policy(argparse.Namespace(**{**vars(arguments), "seed": seed}), trained)

        arguments.seed = first_that_is(
            arguments.outcome, trained.env, policy_of, seed=arguments.seed, tries=arguments.tries
        )
        how = replace(how, seed=arguments.seed)
        print(f"{arguments.outcome}: episode seed {arguments.seed}")  # noqa: T201 - a part of the answer
    print(film_policy(_policy(arguments, trained), trained.env, how, who="MAZero"))  # noqa: T201 - the command's answer
    return 0


def _diagnose(arguments: argparse.Namespace) -> int:
    diagnosis.check(arguments)
    record = _read_run(arguments)
    summary, files = diagnosis.diagnose(arguments, record, _load(arguments, record, num_envs=arguments.episodes))
    print("\n".join([*summary, *map(str, files)]))  # noqa: T201 - the command's answer
    return 0


def _read_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The run's config.json. Raises: UserError if there is none, or threads or device cannot be had."""
    if arguments.num_simulations is not None and arguments.num_simulations < 1:
        raise UserError(
            f"num-simulations must be at least 1, got {arguments.num_simulations}: --no-search plays without"
        )
    set_up_process(arguments.threads)
    check_device(arguments.device)
    record = read_config(arguments.run)
    if record["program"] != "mazero":
        program = record["program"]
        raise UserError(f"{arguments.run} is a run of {program}: use python -m {program} {arguments.command}")
    return record


def _load(arguments: argparse.Namespace, record: dict[str, Any], *, num_envs: int) -> Trained:
    """The trained policy of a run and an environment of its map."""
    observation = from_dict(MAZeroConfig, record["config"]).self_play.observation
    options = evaluation_options(arguments, record, observation=observation)
    env = make_env(record["map"], options, backend=record["backend"], num_envs=num_envs, observation=observation)
    loaded = load(arguments.run, record, env.info, best=arguments.best, device=arguments.device)
    return Trained(loaded.config, loaded.saved, loaded.network, loaded.model, env, options)


def _policy(arguments: argparse.Namespace, trained: Trained) -> NetworkPolicy | SearchPolicy:
    """How `evaluate` and `watch` play it."""
    # Read in any case: a setting that is not there is refused, whoever plays.
    config = apply_overrides(trained.config.evaluated(), [f"search.{change}" for change in arguments.search])
    if arguments.no_search:
        return NetworkPolicy(trained.model, config)
    rng = np.random.default_rng(arguments.seed)
    return SearchPolicy(trained.model, config, rng=rng, num_simulations=arguments.num_simulations)


def _warmup(arguments: argparse.Namespace) -> int:
    """A few steps of a tiny run on every map, thrown away."""
    for name in arguments.map:
        with tempfile.TemporaryDirectory() as directory:
            flags = [
                "--map", name, "--seed", "0", "--out", f"{directory}/run", "--env-steps", "64", "--eval-every", "64",
                "--eval-episodes", "2", "--progress", "none",
                "--set", "self_play.num_envs=4", "replay.start=16", "search.num_simulations=4",
                "optimiser.batch_size=4", "optimiser.updates_per_env_step=0.05", "network.support=50",
            ]  # fmt: skip
            _train(_parser().parse_args(["train", *flags]))
    return 0
