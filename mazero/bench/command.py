"""`python -m mazero bench`: how fast search and learning run here, where the time goes, and what bounds it.

Every figure is a median over repeats. Networks have random weights (heads too: zero ones would make every value equal
and the trees unlike those of a run) and roots are states of the map after a few random steps, with all actions allowed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mazero.bench.machine import ANCHORS, machine_speed, peak_memory_mb
from mazero.bench.search_speed import search_line, search_speed
from mazero.bench.step import step_line, step_speed
from mazero.bench.update_speed import update_line, update_speed
from mazero.bench.whole_run import run_speed
from mazero.config import PRESETS, MAZeroConfig
from training import cli, provenance
from training.config import apply_overrides, load_preset
from training.errors import UserError

SECTIONS = ("search", "update", "step", "sweep")
SWEEP: dict[str, tuple[Any, ...]] = {
    "agents": ("2s_vs_1sc", "3m", "5m_vs_6m", "8m", "10m_vs_11m", "27m_vs_30m"),
    "num_sampled_actions": (5, 10, 20, 50),
    "num_simulations": (25, 50, 100, 200),
    "batch": (1, 4, 16, 64, 256, 1024),
}
SWEEP_BASE: dict[str, Any] = {"agents": "3m", "num_sampled_actions": 10, "num_simulations": 100, "batch": 64}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags of the subcommand."""
    parser.add_argument("--map", action="append", help="may be given several times (default: 3m)")
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[4, 32, 256], help="roots searched together, or samples of a step"
    )
    parser.add_argument("--num-simulations", type=int, nargs="+", default=[100], help="N")
    parser.add_argument("--num-sampled-actions", type=int, nargs="+", default=[10], help="K")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=["search", "update"], help="what to measure")
    parser.add_argument(
        "--end-to-end",
        type=int,
        metavar="ENV_STEPS",
        nargs="?",
        const=50_000,
        default=None,
        help="instead: env steps an hour of whole runs of this budget (default: 50000), with the preset as it is",
    )
    parser.add_argument(
        "--at",
        type=int,
        nargs="+",
        metavar="ENV_STEPS",
        default=None,
        help="with --end-to-end: only when so many are done",
    )
    parser.add_argument("--repeats", type=int, default=3, help="of which the median counts (default: %(default)s)")
    parser.add_argument("--preset", default="paper", help="sizes of everything else (default: %(default)s)")
    parser.add_argument(
        "--set", dest="overrides", action="append", nargs="+", default=[], metavar="KEY=VALUE", help="change a setting"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, default=None, help="write the record here")


def run(arguments: argparse.Namespace) -> int:
    """The subcommand. Raises: UserError for bad input, before anything is measured."""
    for name in ("batch", "num_simulations", "num_sampled_actions"):
        if min(getattr(arguments, name)) < 1:
            raise UserError(f"--{name.replace('_', '-')} takes positive integers, got {min(getattr(arguments, name))}")
    if arguments.end_to_end is not None and arguments.end_to_end < 1:
        raise UserError(f"--end-to-end takes a budget of at least 1 environment step, got {arguments.end_to_end}")
    if arguments.at and (arguments.end_to_end is None or min(arguments.at) < 1):
        raise UserError(
            "--at takes numbers of environment steps, at least 1, beside --end-to-end; "
            f"got {', '.join(map(str, arguments.at))}"
        )
    if arguments.repeats < 1:
        raise UserError(f"--repeats must be at least 1, got {arguments.repeats}")
    if arguments.json is not None and not arguments.json.parent.is_dir():
        raise UserError(f"--json needs an existing folder, got {arguments.json}: create {arguments.json.parent}")
    maps = arguments.map or ["3m"]
    if arguments.end_to_end is None and "update" in arguments.only and len(maps) * len(arguments.num_simulations) > 1:
        raise UserError(
            f"an update is measured on one map with one --num-simulations, got {', '.join(maps)} with "
            f"{', '.join(map(str, arguments.num_simulations))}: give one of each, or --only search"
        )
    cli.set_up_process(arguments.threads)
    cli.check_device(arguments.device)
    # One observation, of the plain family: the sizes of the anchors.
    basis = ["network.stacked_observations=1", "self_play.observation=smac"] if arguments.end_to_end is None else []
    overrides = [*basis, *cli.flat_overrides(arguments)]
    config = apply_overrides(load_preset(PRESETS, arguments.preset, MAZeroConfig), overrides)
    for name in maps:
        cli.make_env(name, {}, backend=None, num_envs=1, observation=config.self_play.observation, seed=0)

    def report(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - the command's answer

    if arguments.end_to_end is not None:
        record = origin(config, arguments.repeats, arguments.device) | {"preset": arguments.preset}
        record["end_to_end"] = [
            run_speed(config, name, arguments.end_to_end, device=arguments.device, report=report, at=arguments.at)
            for name in maps
        ]
        record["peak_memory_mb"] = peak_memory_mb()
    else:
        record = measure(
            config,
            maps=maps,
            batches=arguments.batch,
            num_simulations=arguments.num_simulations,
            sampled=arguments.num_sampled_actions,
            repeats=arguments.repeats,
            device=arguments.device,
            sections=arguments.only,
            report=report,
        )
    if arguments.json is not None:
        text = json.dumps(record, indent=1) + "\n"
        partial = arguments.json.with_name(arguments.json.name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(arguments.json)
    return 0


def measure(
    config: MAZeroConfig,
    *,
    maps: list[str],
    batches: list[int],
    num_simulations: list[int],
    sampled: list[int],
    repeats: int,
    device: str,
    sections: list[str],
    report: Callable[[str], None],
) -> dict[str, Any]:
    """All sections asked for.

    Args:
      config: sizes of networks, search and updates.    maps: their sizes and observations are used.
      batches, num_simulations, sampled: B, N and K of the searches; every combination is measured. An update is
        measured on the first map with the first N, a step of the optimiser for every map and B.
      repeats: of every figure.    report: called with a line of text for each result.
    Returns: the JSON-able record.
    """
    record = origin(config, repeats, device)
    speed = record["speed_of_machine"]
    report(
        f"matrix products {speed['matmul_gflops']:.0f} GFLOP/s; encoder at batch 32 / 1536: "
        f"{speed['encoder_ms']['32']:.1f} / {speed['encoder_ms']['1536']:.0f} ms "
        f"(anchor machine {ANCHORS['encoder_ms']['32']} / {ANCHORS['encoder_ms']['1536']:.0f})"
    )
    if "search" in sections:
        record["search"] = []
        for name in maps:
            for n_sim in num_simulations:
                for k in sampled:
                    for batch in batches:
                        row = search_speed(config, name, batch, n_sim, k, repeats=repeats, device=device)
                        record["search"].append(row)
                        report(search_line(row))
    if "update" in sections:
        record["update"] = update_speed(config, maps[0], num_simulations[0], repeats=repeats, device=device)
        report(update_line(record["update"]))
    if "step" in sections:
        record["step"] = []
        for name in maps:
            for batch in batches:
                record["step"].append(step_speed(config, name, batch, repeats=repeats, device=device))
                report(step_line(record["step"][-1]))
    if "sweep" in sections:
        record["sweep"] = {"base": SWEEP_BASE}
        for axis, values in SWEEP.items():
            record["sweep"][axis] = []
            for value in values:
                point = SWEEP_BASE | {axis: value}
                row = search_speed(
                    config, point["agents"], point["batch"], point["num_simulations"], point["num_sampled_actions"],
                    repeats=repeats, device=device,
                )  # fmt: skip
                record["sweep"][axis].append(row)
                report(search_line(row))
    return record


def origin(config: MAZeroConfig, repeats: int, device: str) -> dict[str, Any]:
    """What figures depend on besides what was measured: versions, machine, how inference runs."""
    return {
        "provenance": provenance.collect(
            backend="skirmish",
            threads=torch.get_num_threads(),
            device=device,
            command=provenance.command_line("mazero"),
        ),
        "speed_of_machine": machine_speed(repeats),
        "inference": {"backend": config.inference.backend, "precision": config.inference.precision},
        "anchors": ANCHORS["source"],
    }
