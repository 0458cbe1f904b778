"""`python -m mazero train | evaluate | warmup`."""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import envs
from mazero.config import PRESETS, MAZeroConfig
from mazero.learner import MAZeroLearner
from mazero.selfplay import NetworkPolicy, SearchPolicy
from training import checkpoint
from training.cli import add_train_flags, check_device, flat_overrides, run_train, set_threads
from training.config import apply_overrides, from_dict, load_preset
from training.errors import UserError
from training.evaluation import evaluate
from training.run import read_config


def run(argv: list[str]) -> int:
    """Parse `argv` and do what it says. Returns the exit code; raises UserError for bad input."""
    parser = argparse.ArgumentParser(prog="python -m mazero", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train MAZero, or continue a run")
    add_train_flags(train, default_preset="laptop")
    play = commands.add_parser("evaluate", help="play a trained run greedily; prints JSON")
    play.add_argument("--run", type=Path, required=True, help="run directory with a checkpoint")
    play.add_argument("--episodes", type=int, default=32)
    play.add_argument("--seed", type=int, default=0, help="seed of these episodes")
    play.add_argument("--no-search", action="store_true", help="every agent takes its own most likely action")
    play.add_argument("--num-simulations", type=int, default=None, help="N of the search (default: as trained)")
    play.add_argument("--threads", type=int, default=1)
    play.add_argument("--device", default="cpu")
    warm = commands.add_parser("warmup", help="compile and cache the numba kernels that runs on these maps need")
    warm.add_argument("--map", action="append", required=True, help="may be given several times")
    arguments = parser.parse_args(argv)
    return {"train": _train, "evaluate": _evaluate, "warmup": _warmup}[arguments.command](arguments)


def _train(arguments: argparse.Namespace) -> int:
    config = apply_overrides(load_preset(PRESETS, arguments.preset, MAZeroConfig), flat_overrides(arguments))
    return run_train(
        arguments,
        program="mazero",
        algorithm="mazero",
        config=config,
        make_learner=functools.partial(MAZeroLearner, env_steps=arguments.env_steps),
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.episodes < 1:
        raise UserError(f"episodes must be at least 1, got {arguments.episodes}")
    set_threads(arguments.threads)
    check_device(arguments.device)
    record = read_config(arguments.run)
    if record["program"] != "mazero":
        raise UserError(f"{arguments.run} is a run of {record['program']}: use python -m {record['program']} evaluate")
    config = from_dict(MAZeroConfig, record["config"])
    saved = checkpoint.load(arguments.run / "checkpoint.pt", device=arguments.device)

    def make_env(num_envs: int, observation: str, seed: int) -> envs.VectorEnv:
        return envs.make(
            record["map"], backend=record["backend"], num_envs=num_envs, observation=observation, seed=seed
        )

    learner = MAZeroLearner(
        config,
        make_env=make_env,
        seed=record["seed"],
        device=arguments.device,
        eval_episodes=arguments.episodes,
        env_steps=record["budget"]["env_steps"],
    )
    learner.network.load_state_dict(saved["learner"]["network"])
    rng = np.random.default_rng(arguments.seed)
    if arguments.no_search:
        policy: NetworkPolicy | SearchPolicy = NetworkPolicy(learner.network, config)
    else:
        policy = SearchPolicy(learner.network, config, rng=rng, num_simulations=arguments.num_simulations)
    env = make_env(arguments.episodes, config.self_play.observation, 0)
    result = evaluate(policy, env, seed=arguments.seed)
    head = {"run": str(arguments.run), "backend": record["backend"], "map": record["map"]}
    print(json.dumps(head | {"search": not arguments.no_search} | result))  # noqa: T201 - the command's answer
    return 0


def _warmup(arguments: argparse.Namespace) -> int:
    """A few steps of a tiny run on every map, thrown away."""
    for name in arguments.map:
        with tempfile.TemporaryDirectory() as directory:
            steps, num_envs = 64, 4
            flags = SimpleNamespace(
                map=name, seed=0, out=Path(directory) / "run", preset="laptop", backend=None, env_steps=steps,
                eval_every=steps, eval_episodes=2, threads=1, device="cpu", progress="none", tensorboard=False,
                checkpoint_every=60.0, stop_at=None,
                overrides=[[f"self_play.num_envs={num_envs}", "replay.start=16", "search.num_simulations=4",
                            "optimiser.batch_size=4", "optimiser.updates_per_env_step=0.05"]],
            )  # fmt: skip
            _train(argparse.Namespace(**vars(flags)))
    return 0
