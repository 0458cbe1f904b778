"""`python -m mazero diagnose`: fresh episodes of a run's policy, the table, its figure and its summary."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from envs import STARCRAFT
from mazero.diagnose.play import Outcome, play, record
from mazero.diagnose.rows import MEASURES, Row, lookahead_rows, outcome_rows, recording_rows, search_gain_rows
from mazero.diagnose.simulated import look_ahead
from mazero.diagnose.summary import GREEDY, POLICY, SELF_PLAY, sentences, shortfalls
from mazero.diagnose.unrolled import unroll
from mazero.selfplay import NetworkPolicy, SearchPolicy
from mazero.trained import Trained
from training import provenance
from training.cli import check_play, unit_data
from training.errors import UserError
from training.files import write_json
from training.identity import run_key
from training.metrics import read_records

NAME = "diagnosis"  # of the folder below the run, and of the files


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of its own."""
    parser.add_argument("--episodes", type=int, default=32, help="episodes of every set (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of these episodes")
    parser.add_argument("--out", type=Path, default=None, help=f"folder of table and figure (default: RUN/{NAME})")


def check(arguments: argparse.Namespace) -> None:
    """Raises: UserError unless the episodes can be played."""
    check_play(arguments)


def diagnose(arguments: argparse.Namespace, run: dict[str, Any], trained: Trained) -> tuple[list[str], list[Path]]:
    """Play, measure, and write OUT/diagnosis.{json,png,pdf}.

    Args: run: its config.json.
    Returns: the summary and the files written.
    Raises: UserError if nothing can be written, the run has no metrics, or its games cannot be saved and restored.
    """
    if run["backend"] in STARCRAFT:
        raise UserError(
            f"only environments that can go back to a state can be diagnosed, got a run on backend {run['backend']}: "
            "train on skirmish for that"
        )
    # Drawing is analysis' work, which reads nothing but the table; here, so that no other command waits for it.
    from analysis import diagnosis

    curves = _curves(arguments.run / "metrics.jsonl")
    out = _folder(arguments.out or arguments.run / NAME)
    table = _head(arguments, run, trained, curves)
    table["rows"] = measured(trained, seed=arguments.seed, num_simulations=table["num_simulations"])
    table["shortfalls"] = shortfalls(table["rows"], unroll_steps=table["unroll_steps"])
    table["summary"] = sentences(table)
    table["curves"] = curves
    table["definitions"] = {name: {"unit": unit, "is": text} for name, (unit, text) in MEASURES.items()}
    path = out / f"{NAME}.json"
    write_json(path, table)
    return table["summary"], [path, *diagnosis.draw_file(path)]


def measured(trained: Trained, *, seed: int, num_simulations: int) -> list[Row]:
    """All rows: self-play, greedy play with search for several N, without, and with the simulator in its place."""
    model, env = trained.model, trained.env
    depth = 2 * trained.config.targets.unroll_steps
    rows: list[Row] = []
    for name in (SELF_PLAY, GREEDY):
        explore = name == SELF_PLAY
        config = trained.config if explore else trained.config.evaluated()
        # Greedy episodes are the very ones of `evaluate` with this seed.
        rng = np.random.default_rng([seed, 1] if explore else seed)
        recording = record(model, env, config, seed=seed, rng=rng, explore=explore, num_simulations=num_simulations)
        unrolled = unroll(trained.network, recording, depth=depth, rng=np.random.default_rng([seed, 2]))
        rows += outcome_rows(name, recording.outcome) + recording_rows(name, recording, unrolled, config)
    searched: dict[int, Outcome] = {}
    for n in simulations(num_simulations):
        policy = SearchPolicy(model, config, rng=np.random.default_rng(seed), num_simulations=n)
        searched[n] = recording.outcome if n == num_simulations else play(policy, env, seed=seed)
    bare = play(NetworkPolicy(model, config), env, seed=seed)
    rows += outcome_rows(POLICY, bare) + search_gain_rows(GREEDY, bare, searched)
    draws = dataclasses.replace(config, search=trained.config.search)  # as many as in self-play, not as in evaluations
    ahead = {
        h: look_ahead(trained.network, model, env, draws, seed=seed, rng=np.random.default_rng([seed, 3]), depth=h)
        for h in sorted({1, config.targets.td_steps})
    }
    return rows + lookahead_rows(GREEDY, bare, ahead, discount=config.search.discount)


def simulations(n: int) -> list[int]:
    """The N of greedy play that are compared: a quarter, half, all and twice of it."""
    return sorted({max(1, n // 4), max(1, n // 2), n, 2 * n})


def _head(
    arguments: argparse.Namespace, run: dict[str, Any], trained: Trained, curves: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Whose policy it is, how it was played, and where both come from."""
    config, units = trained.config, unit_data(trained.env.info)
    n = arguments.num_simulations or config.evaluated().search.num_simulations
    return {
        "run": str(arguments.run),
        "program": run["program"],
        "algorithm": run["algorithm"],
        **run_key(run),
        "map": run["map"],
        "backend": run["backend"],
        "unit_data": units,
        "env": trained.options,
        "policy": "best" if arguments.best else "last",
        **_when(arguments, trained, curves),
        "budget": run["budget"]["env_steps"],
        "trained_at_commits": _commits(arguments.run / "provenance.json"),
        "episodes": arguments.episodes,
        "episode_seed": arguments.seed,
        "num_simulations": n,
        "simulations": simulations(n),
        "num_sampled_actions": config.search.num_sampled_actions,
        "unroll_steps": config.targets.unroll_steps,
        "td_steps": config.targets.td_steps,
        "discount": config.search.discount,
        "provenance": provenance.collect(
            backend=run["backend"],
            threads=arguments.threads,
            device=arguments.device,
            command=provenance.command_line("mazero"),
            unit_data=units,
        ),
    }


def _when(arguments: argparse.Namespace, trained: Trained, curves: dict[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Environment steps and updates that the played policy has learned from."""
    if not arguments.best:
        env_steps, updates, _ = trained.saved["learner"]["counters"]
        return {"env_steps": int(env_steps), "updates": int(updates)}
    mark = trained.saved["progress"]["best"]["mark"]
    for evaluation in curves["eval"]:
        if evaluation["mark"] == mark:
            return {"env_steps": evaluation["env_steps"], "updates": evaluation["updates"]}
    raise UserError(
        f"{arguments.run}/metrics.jsonl lacks the evaluation of the best policy, at {mark}: restore it from a copy"
    )


def _curves(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Evaluations and training records of the run. Raises: UserError if there are none to read."""
    try:
        records = list(read_records(path))
    except FileNotFoundError:
        raise UserError(f"no metrics at {path}: restore the file from a copy of the run") from None
    except ValueError as error:
        raise UserError(f"{error}: restore the file from a copy of the run") from error
    return {kind: [record for record in records if record["kind"] == kind] for kind in ("eval", "train")}


def _commits(path: Path) -> list[str | None]:
    """The commits a run was trained at, in order; empty if its provenance was not kept."""
    if not path.is_file():
        return []
    try:
        found = [session["git_commit"] for session in json.loads(path.read_text())["sessions"]]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise UserError(f"{path} must hold the sessions of a run: restore it from a copy, or delete it") from error
    return list(dict.fromkeys(found))


def _folder(path: Path) -> Path:
    """The folder to write to, made now: playing takes minutes. Raises: UserError if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{NAME}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write to {path} ({error.strerror}): choose another --out") from error
    return path
