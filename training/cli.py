"""Command-line parts that all programs share: common flags, one-line errors, threads, the `train` command."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numba
import torch

import envs
from envs.interface import require_known
from training import provenance
from training.config import read_value, to_dict
from training.errors import UserError
from training.identity import identity
from training.loop import Learner, Schedule, train
from training.memory import keep_freed_memory
from training.progress import MODES, Reporter, make_reporters
from training.run import RunDirectory

logger = logging.getLogger(__name__)

EXIT_BAD_INPUT = 2
MOST_SEED = 2**63
MOST_EPISODES = 100_000
TEXT_OPTIONS = ("game_version",)  # their values are texts though they may look like numbers: 4.10 is not 4.1


def add_train_flags(parser: argparse.ArgumentParser, *, default_preset: str) -> None:
    """The flags every `train` command takes."""
    parser.add_argument("--map", required=True, help="environment name, e.g. 3m, matrix_1 or lunar_lander")
    parser.add_argument("--seed", type=int, required=True, help="run seed, a non-negative integer")
    parser.add_argument("--out", type=Path, required=True, help="run directory; the same command continues it")
    parser.add_argument("--preset", default=default_preset, help="named settings (default: %(default)s)")
    parser.add_argument(
        "--set", dest="overrides", action="append", nargs="+", default=[], metavar="KEY=VALUE", help="change a setting"
    )
    parser.add_argument("--backend", default=None, help=f"{', '.join(envs.BACKENDS)} (default: by the name of the map)")
    add_env_flag(parser, "option of the environment, e.g. obs_noise=0.1; training and evaluation get it")
    parser.add_argument(
        "--env-steps", type=int, default=50_000, help="budget in environment steps (default: %(default)s)"
    )
    parser.add_argument(
        "--eval-every", type=int, default=None, help="environment steps (default: a tenth of the budget)"
    )
    parser.add_argument("--eval-episodes", type=int, default=32, help="episodes per evaluation (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this run (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="torch device, cpu or cuda (default: %(default)s)")
    parser.add_argument("--progress", choices=MODES, default="auto", help="auto: bar on a terminal, else lines")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events into OUT/tensorboard")
    parser.add_argument(
        "--checkpoint-every",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="wall time between checkpoints (default: %(default)s)",
    )
    parser.add_argument(
        "--stop-at", type=int, default=None, metavar="ENV_STEPS", help="save and leave there; the same command goes on"
    )


def add_env_flag(parser: argparse.ArgumentParser, text: str) -> None:
    """The flag that `env_options` reads."""
    parser.add_argument("--env", dest="env", action="append", nargs="+", default=[], metavar="KEY=VALUE", help=text)


def add_policy_flag(parser: argparse.ArgumentParser) -> None:
    """The flag that says which policy of a run is played."""
    parser.add_argument(
        "--best", action="store_true", help="play the policy of the best evaluation so far (default: the latest policy)"
    )


def played_policy(saved: Mapping[str, Any], *, best: bool) -> Any:
    """What a learner's `load_policy_state` takes, from a checkpoint: the latest or, if asked for, the best policy."""
    return saved["progress"]["best"]["policy"] if best else saved["learner"]


def env_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The `--env` values of all occurrences of the flag, read as YAML; the last one of a name counts.

    Values of `TEXT_OPTIONS` stay as they are written, with or without quotes.
    Names and values are checked by `make_env`. Raises: UserError for what is not of the form key=value.
    """
    options: dict[str, Any] = {}
    for item in (item for group in arguments.env for item in group):
        key, separator, text = item.partition("=")
        value = read_value(text, item)
        if not separator or not key or value is None:
            raise UserError(f"environment option {item!r} is not of the form key=value, e.g. obs_noise=0.1")
        options[key.strip()] = text.strip() if key.strip() in TEXT_OPTIONS and not isinstance(value, str) else value
    return options


def unit_data(info: envs.EnvInfo) -> str:
    """Which unit data a backend fights with, e.g. "4.10", or which game plays; empty where it does not say."""
    return str(getattr(info, "unit_data", ""))


def make_env(
    name: str,
    options: Mapping[str, Any],
    *,
    backend: str | None,
    num_envs: int = 1,
    observation: str = "smac",
    seed: int = 0,
) -> envs.VectorEnv:
    """`envs.make` for command lines.

    Raises: UserError with the nearest name for whatever is unknown or ill-typed, or with what to install.
    """
    try:
        for option in options:
            require_known("environment option", option, envs.option_names(name, backend=backend))
        return envs.make(name, backend=backend, num_envs=num_envs, observation=observation, seed=seed, **options)
    except (ValueError, ImportError) as error:
        raise UserError(str(error)) from error


def evaluation_options(arguments: argparse.Namespace, record: Mapping[str, Any], *, observation: str) -> dict[str, Any]:
    """Options of the environment in which a finished run is played: those of its record, changed by `--env`.

    A warning is logged where that changes the unit data, or where the record does not name the ones now in use.
    Raises: UserError for bad options, or for some under which the trained networks do not fit.
    """
    recorded = record.get("env", {})
    options = {**recorded, **env_options(arguments)}
    infos = [
        make_env(record["map"], chosen, backend=record["backend"], observation=observation).info
        for chosen in (recorded, options)
    ]
    for size in ("obs_size", "n_actions"):
        trained, played = (getattr(info, size) for info in infos)
        if trained != played:
            raise UserError(
                f"{size} must be {trained} as in training, got {played} with the given --env: "
                f"leave out options that change the sizes"
            )
    trained_on, played_on = record.get("unit_data", ""), unit_data(infos[1])
    if trained_on != played_on:
        unknown = "of unknown origin"
        logger.warning("trained with unit data %s, played with %s", trained_on or unknown, played_on or unknown)
    return options


def check_play(arguments: argparse.Namespace) -> None:
    """Raises: UserError unless episodes and seed of `evaluate` can be played."""
    _check_episodes("episodes", arguments.episodes)
    if arguments.seed < 0:
        raise UserError(f"seed must be a non-negative integer, got {arguments.seed}")


def _check_episodes(name: str, count: int) -> None:
    """Raises: UserError for none, or for more than are played side by side."""
    if count < 1:
        raise UserError(f"{name} must be at least 1, got {count}")
    if count > MOST_EPISODES:
        raise UserError(f"{name} must be at most {MOST_EPISODES}, got {count}: they are played side by side in memory")


def set_up_process(threads: int) -> None:
    """Use `threads` CPU threads in torch and numba, and keep freed memory. Raises: UserError for too many threads."""
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= threads <= most:
        raise UserError(f"threads must lie in 1..{most} (cores, or NUMBA_NUM_THREADS if set), got {threads}")
    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    keep_freed_memory()


def check_device(device: str) -> None:
    """Raises: UserError if torch cannot compute on `device`."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {device!r} is not available ({reason}): use --device cpu") from error


def describe(
    arguments: argparse.Namespace, *, program: str, algorithm: str, config: Any, start: int = 1
) -> dict[str, Any]:
    """The record of the run that the arguments ask for: everything that tells it from others, resolved.

    Args: as for `run_train`. Raises: UserError for bad input.
    """
    if not 0 <= arguments.seed < MOST_SEED:
        raise UserError(f"seed must be an integer in 0..2**63 - 1, got {arguments.seed}")
    _check_episodes("eval-episodes", arguments.eval_episodes)
    schedule, options = _schedule(arguments), env_options(arguments)
    if schedule.env_steps < start:
        raise UserError(
            f"env-steps must reach the step at which learning starts, {start}, got {schedule.env_steps}: nothing would "
            "be learned; give a larger budget, or let it start earlier"
        )
    info = make_env(arguments.map, options, backend=arguments.backend).info
    units = unit_data(info)
    record = {
        "program": program,
        "algorithm": algorithm,
        "preset": arguments.preset,
        "map": arguments.map,
        "backend": info.backend,
        **({"unit_data": units} if units else {}),  # part of what a run is: with other data it is another run
        "seed": arguments.seed,
        "threads": arguments.threads,
        "device": arguments.device,
        "budget": {"env_steps": schedule.env_steps},
        "evaluation": {
            "every": schedule.eval_every,
            "episodes": arguments.eval_episodes,
            **({"battles": "later"} if units else {}),  # until f8a4668 they were first ones: `VectorEnv.reset_later`
        },
        **({"env": options} if options else {}),
        "config": to_dict(config),
    }
    return {"identity": identity(record), **record}


def _schedule(arguments: argparse.Namespace) -> Schedule:
    """Raises: UserError for numbers that make no schedule."""
    default = max(1, arguments.env_steps // 10)
    eval_every = default if arguments.eval_every is None else arguments.eval_every
    try:
        return Schedule(arguments.env_steps, eval_every, arguments.checkpoint_every, arguments.stop_at)
    except ValueError as error:
        raise UserError(str(error)) from error


def run_train(
    arguments: argparse.Namespace,
    *,
    program: str,
    algorithm: str,
    config: Any,
    make_learner: Callable[..., Learner],
    start: int = 1,
) -> int:
    """Check everything, then train.

    Args:
      arguments: parsed flags of `add_train_flags`.
      program: module that was called, `mazero` or `baselines`.
      algorithm: name of the algorithm.
      config: its resolved config dataclass.
      make_learner: called as `make_learner(config, make_env=..., seed=..., device=..., eval_episodes=...)`, where
        `make_env(num_envs, observation, seed)` builds an environment.
      start: environment steps before the first update.
    Returns: exit code.
    Raises: UserError before anything was written, if the input is bad.
    """
    record = describe(arguments, program=program, algorithm=algorithm, config=config, start=start)
    set_up_process(arguments.threads)
    check_device(arguments.device)
    schedule, options, backend = _schedule(arguments), env_options(arguments), record["backend"]

    opened = contextlib.ExitStack()
    made: list[envs.VectorEnv] = []

    def losses() -> dict[str, int]:
        of_all: dict[str, int] = {}
        for env in made:
            for name, count in env.losses.items():
                of_all[name] = of_all.get(name, 0) + count
        return of_all

    def make_run_env(num_envs: int, observation: str, seed: int) -> envs.VectorEnv:
        how = {"backend": backend, "num_envs": num_envs, "observation": observation, "seed": seed}
        env = make_env(arguments.map, options, **how)
        made.append(env)
        opened.callback(env.close)  # games outside of this process, which a learner may keep alive
        return env

    run = RunDirectory(arguments.out)

    def report(from_step: int) -> list[Reporter]:
        provenance.add_session(
            run.path,
            provenance.collect(
                backend=backend,
                threads=arguments.threads,
                device=arguments.device,
                command=provenance.command_line(program),
                unit_data=record.get("unit_data", ""),
                starcraft=envs.provenance(backend, options),
            ),
            from_step=from_step,
        )
        return make_reporters(
            arguments.progress,
            title=f"{arguments.map} {algorithm} seed={arguments.seed} ({run.path.resolve().parent.name})",
            total=schedule.env_steps,
            tensorboard=run.path / "tensorboard" if arguments.tensorboard else None,
            from_step=from_step,
        )

    with opened:
        learner = make_learner(
            config,
            make_env=make_run_env,
            seed=arguments.seed,
            device=arguments.device,
            eval_episodes=arguments.eval_episodes,
        )
        with run.claim(record):
            return train(learner, run, schedule, report, losses)


def flat_overrides(arguments: argparse.Namespace) -> list[str]:
    """The `--set` values of all occurrences of the flag, in order."""
    return [item for group in arguments.overrides for item in group]


def main(run: Callable[[list[str]], int], argv: list[str] | None = None) -> int:
    """Call `run(argv)`; a UserError becomes one line on stderr and exit code 2. Everything else keeps its traceback.

    What the terminal's encoding lacks is printed as an escape, as stderr does by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return run(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return EXIT_BAD_INPUT
