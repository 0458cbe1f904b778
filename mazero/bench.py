"""`python -m mazero bench`: how fast search and learning run here, where the time goes, and what bounds it.

Every figure is a median over repeats. Networks have random weights (heads too: zero ones would make every value equal
and the trees unlike those of a run) and roots are states of the map after a few random steps, with all actions allowed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import envs
from mazero.config import PRESETS, MAZeroConfig
from mazero.endtoend import learner_on, run_speed
from mazero.flops import multiply_adds
from mazero.inference import TorchModel, make_model
from mazero.learner import optimise
from mazero.losses import batch_loss
from mazero.networks import MAZeroNetwork
from mazero.search import SearchConfig, Workspace, search
from mazero.step_bench import step_line, step_speed
from skirmish.policies import random_actions
from training import cli, provenance
from training.config import apply_overrides, load_preset
from training.errors import UserError

ANCHORS = json.loads((Path(__file__).parent / "anchors.json").read_text(encoding="utf-8"))
SECTIONS = ("search", "update", "step", "sweep")
SWEEP: dict[str, tuple[Any, ...]] = {
    "agents": ("2s_vs_1sc", "3m", "5m_vs_6m", "8m", "10m_vs_11m", "27m_vs_30m"),
    "num_sampled_actions": (5, 10, 20, 50),
    "num_simulations": (25, 50, 100, 200),
    "batch": (1, 4, 16, 64, 256, 1024),
}
SWEEP_BASE: dict[str, Any] = {"agents": "3m", "num_sampled_actions": 10, "num_simulations": 100, "batch": 64}
WEIGHT_NOISE = 0.05
REPLAY_BATCHES = (
    20  # size of the replay in batches: positions drawn twice, which are searched once, are few, as in a run
)


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
            run_speed(config, name, arguments.end_to_end, device=arguments.device, report=report) for name in maps
        ]
        record["peak_memory_mb"] = _peak_memory_mb()
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
                        report(_search_line(row))
    if "update" in sections:
        record["update"] = update_speed(config, maps[0], num_simulations[0], repeats=repeats, device=device)
        report(_update_line(record["update"]))
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
                report(_search_line(row))
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


def machine_speed(repeats: int) -> dict[str, Any]:
    """Throughput of a large float32 matrix product, and of the eager encoder the anchors were calibrated by."""
    x = torch.randn(1024, 1024)
    seconds = _median(lambda: x @ x, repeats + 2)
    # The layers are run one by one: `nn.TransformerEncoder` in evaluation mode would take a fused path of its own.
    layers = [nn.TransformerEncoderLayer(128, 8, 128, 0.1) for _ in range(3)]
    encoder = {}
    for batch in (32, 1536):
        tokens = torch.randn(3, batch, 128)

        def run(tokens: torch.Tensor = tokens) -> None:
            with torch.no_grad():
                for layer in layers:
                    tokens = layer.eval()(tokens)

        encoder[str(batch)] = 1e3 * _median(run, repeats + 2)
    return {"matmul_gflops": 2 * 1024**3 / seconds / 1e9, "encoder_ms": encoder}


def search_speed(
    config: MAZeroConfig, name: str, batch: int, num_simulations: int, sampled: int, *, repeats: int, device: str
) -> dict[str, Any]:
    """Searches from `batch` states of a map: simulations a second and the split of the time."""
    network, obs = _network_and_states(config, name, batch, device)
    settings = replace(config.search, num_simulations=num_simulations, num_sampled_actions=sampled)
    spent, splits = _search_times(config, network, obs, settings, repeats)
    middle = sorted(range(repeats), key=spent.__getitem__)[repeats // 2]
    seconds, split = spent[middle], splits[middle]
    total = sum(split.values())
    simulations = batch * num_simulations
    flops = 2 * multiply_adds(network)
    anchor = ANCHORS["search"].get(name, {}).get(str(num_simulations), {}).get(str(batch)) if sampled == 10 else None
    row = {
        "map": name,
        "n_agents": network.n_agents,
        "n_actions": network.n_actions,
        "batch": batch,
        "num_simulations": num_simulations,
        "num_sampled_actions": sampled,
        "simulations_per_second": simulations / seconds,
        "seconds": seconds,
        "seconds_least": min(spent),
        "share": {part: value / total for part, value in split.items()},
        "flops_per_simulation": flops,
        "inference_gflops": simulations * flops / split["inference"] / 1e9 * torch.get_num_threads(),
        "peak_memory_mb": _peak_memory_mb(),
    }
    if config.inference.backend == "compile" or not isinstance(make_model(network, config.inference), TorchModel):
        eager = replace(config, inference=replace(config.inference, backend="eager"))
        slower, _ = _search_times(eager, network, obs, settings, 1)
        row["eager_simulations_per_second"] = simulations / slower[0]
    if anchor is not None:
        row["anchor_simulations_per_second"] = anchor
    return row


def _search_times(
    config: MAZeroConfig, network: MAZeroNetwork, obs: np.ndarray, settings: SearchConfig, repeats: int
) -> tuple[list[float], list[dict[str, float]]]:
    """Seconds of each search, and how they were spent; one more comes first, which compiles and allocates."""
    model, space = make_model(network, config.inference), Workspace()
    spent: list[float] = []
    splits: list[dict[str, float]] = []
    for repeat in range(repeats + 1):
        seeds = np.arange(len(obs), dtype=np.uint64) + np.uint64(repeat * len(obs))
        space.seconds.update(dict.fromkeys(space.seconds, 0.0))
        began = time.perf_counter()
        search(
            model.recurrent, model.roots(obs), settings, seeds, noise=True, workspace=space,
            threads=torch.get_num_threads(),
        )  # fmt: skip
        if repeat:
            spent.append(time.perf_counter() - began)
            splits.append(dict(space.seconds))
    return spent, splits


def update_speed(config: MAZeroConfig, name: str, num_simulations: int, *, repeats: int, device: str) -> dict[str, Any]:
    """One update of a run: self-play for it, its targets (all policy targets searched afresh) and its optimisation."""
    config = replace(
        config,
        search=replace(config.search, num_simulations=num_simulations),
        targets=replace(config.targets, reanalyze_ratio=1.0),
        replay=replace(config.replay, start=REPLAY_BATCHES * config.optimiser.batch_size),
    )
    learner = learner_on(config, name, 1_000_000, device=device)
    _disturb(learner.network, learner.target)
    learner.model.weights_changed()
    learner.target_model.weights_changed()
    steps = 0
    began = time.perf_counter()
    while learner.replay.size < config.replay.start or not steps:
        for episode, _ in learner.self_play.step(
            learner.model, explore=True, search_rng=learner.streams.search, actor_rng=learner.streams.actor
        ):
            learner.replay.add(episode)
        steps += config.self_play.num_envs
        if steps == 4 * config.self_play.num_envs:  # kernels are compiled
            steps, began = 0, time.perf_counter()
    self_play = (time.perf_counter() - began) / steps
    space, spent = learner.reanalyze_workspace, []
    drawn = learner.draw(0)  # not counted
    for _ in range(repeats):
        space.seconds.update(dict.fromkeys(space.seconds, 0.0))
        space.roots = 0
        began = time.perf_counter()
        drawn = learner.draw(0)
        spent.append((time.perf_counter() - began, dict(space.seconds), space.roots))
    targets, search_split, roots = sorted(spent, key=lambda draw: draw[0])[repeats // 2]
    learner.network.train()
    step = _median(lambda: optimise(learner.network, learner.optimiser, drawn.batch, config), repeats + 1)
    with torch.no_grad():  # where the gradient is computed along with the loss, not with it
        forward = _median(lambda: batch_loss(learner.network, drawn.batch, config.loss), repeats + 1)
    each = self_play / config.optimiser.updates_per_env_step
    seconds = {
        "self_play": each,
        **search_split,
        "targets": targets - sum(search_split.values()),  # what is no search: drawing, values, the batch
        "loss": forward,
        "backward": step - forward,  # with clipping and the optimiser
    }
    row = {
        "map": name,
        "n_agents": learner.network.n_agents,
        "batch": config.optimiser.batch_size,
        "unroll_steps": config.targets.unroll_steps,
        "num_simulations": num_simulations,
        "updates_per_env_step": config.optimiser.updates_per_env_step,
        "self_play_env_steps_per_second": 1 / self_play,
        "target_seconds": targets,
        "optimisation_step_seconds": step,
        "seconds": seconds,
        "roots_searched": roots,
        "updates_per_second": 1 / (each + targets + step),
        "env_steps_per_second": 1 / (each + targets + step) / config.optimiser.updates_per_env_step,
        "share": {
            part: value / (each + targets + step)
            for part, value in (("self_play", each), ("targets", targets), ("optimisation", step))
        },
        "peak_memory_mb": _peak_memory_mb(),
    }
    return row | _update_anchors(row)


def _update_anchors(row: dict[str, Any]) -> dict[str, float]:
    """The authors' figures for the same work on the anchors' machine, where there are any.

    Their self-play is one search of 4 roots for 4 environment steps; its speed at N = 100 stands in where N = 50 was
    not measured.
    """
    name, n_sim = row["map"], str(row["num_simulations"])
    step = ANCHORS["optimisation_step_seconds"].get(name)
    targets = ANCHORS["target_seconds"].get(name, {}).get(n_sim)
    anchors: dict[str, float] = {}
    if step is not None:
        anchors["anchor_optimisation_step_seconds"] = step
    if targets is not None:
        anchors["anchor_target_seconds"] = targets
    if step is not None and targets is not None:
        speeds = ANCHORS["search"][name]
        self_play = row["num_simulations"] / speeds.get(n_sim, speeds["100"])["4"] / row["updates_per_env_step"]
        anchors["anchor_update_seconds"] = self_play + targets + step
    return anchors


def _network_and_states(config: MAZeroConfig, name: str, batch: int, device: str) -> tuple[MAZeroNetwork, np.ndarray]:
    """A network for a map, and stacked observations (B, n, S * O) of states a few random steps into its episodes."""
    env = envs.make(name, num_envs=batch, observation=config.self_play.observation)
    env.reset(0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        env.step(random_actions(env.available_actions, rng))
    torch.manual_seed(0)
    info = env.info
    network = MAZeroNetwork(config.network, obs_size=info.obs_size, n_agents=info.n_agents, n_actions=info.n_actions)
    network = network.to(device).eval()
    _disturb(network)
    return network, np.concatenate([env.obs] * config.network.stacked_observations, axis=-1)


def _disturb(*networks: nn.Module) -> None:
    """Adds the same noise to the weights of all networks."""
    for network in networks:
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(WEIGHT_NOISE * torch.randn(parameter.shape, generator=draw).to(parameter.device))


def _median(work: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    work()
    spent = []
    for _ in range(repeats):
        _finish_gpu()
        began = time.perf_counter()
        work()
        _finish_gpu()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def _finish_gpu() -> None:
    """Wait for what was handed to a GPU: calls return before it is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _peak_memory_mb() -> float:
    """Largest memory of this process so far; of the GPU, if one is in use."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


# Other machines are not compared with: what they did is told as it was, with their name.


def _search_line(row: dict[str, Any]) -> str:
    share = ", ".join(f"{part} {value:.0%}" for part, value in row["share"].items())
    beside = ""
    if "eager_simulations_per_second" in row:
        beside += (
            f"; {row['simulations_per_second'] / row['eager_simulations_per_second']:.1f} x the eager network here"
        )
    if "anchor_simulations_per_second" in row:
        beside += f"; authors' code, {ANCHORS['machine']}: {row['anchor_simulations_per_second']:,}/s"
    return (
        f"search {row['map']:>11} B={row['batch']:5d} N={row['num_simulations']:3d} K={row['num_sampled_actions']:2d}: "
        f"{row['simulations_per_second']:9,.0f} simulations/s ({share}; {row['inference_gflops']:.0f} GFLOP/s){beside}"
    )


def _update_line(row: dict[str, Any]) -> str:
    anchors = [
        f"{what} {row[key]:.2f} s"
        for what, key in (
            ("targets", "anchor_target_seconds"),
            ("step", "anchor_optimisation_step_seconds"),
            ("all", "anchor_update_seconds"),
        )
        if key in row
    ]
    share = ", ".join(f"{part} {value:.0%}" for part, value in row["share"].items())
    return (
        f"update {row['map']:>11} batch={row['batch']} N={row['num_simulations']}: "
        f"targets {row['target_seconds']:.2f} s, "
        f"step {row['optimisation_step_seconds']:.3f} s, {row['updates_per_second']:.3f} updates/s, "
        f"{row['env_steps_per_second']:.2f} env steps/s ({share})"
        + (f"; authors' code, {ANCHORS['machine']}: {', '.join(anchors)}" if anchors else "")
    )
