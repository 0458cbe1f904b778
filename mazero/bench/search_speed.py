"""Simulations a second of a search, and where its time goes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import envs
from mazero.bench.flops import multiply_adds
from mazero.bench.machine import ANCHORS, disturb, peak_memory_mb
from mazero.config import MAZeroConfig
from mazero.inference import TorchModel, make_model
from mazero.networks import MAZeroNetwork
from mazero.search import SearchConfig, Workspace, search
from skirmish.policies import random_actions


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
        "peak_memory_mb": peak_memory_mb(),
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


def _network_and_states(config: MAZeroConfig, name: str, batch: int, device: str) -> tuple[MAZeroNetwork, np.ndarray]:
    """A network for a map, and stacked observations (B, n, S * O) of states a few random steps into its episodes."""
    env = envs.make(name, num_envs=batch, observation=config.self_play.observation)
    env.reset(0)
    rng = np.random.default_rng(0)
    for _ in range(5):
        env.step(random_actions(env.available_actions, rng))
    torch.manual_seed(0)
    network = MAZeroNetwork.for_environment(config.network, env.info).to(device).eval()
    disturb(network)
    return network, np.concatenate([env.obs] * config.network.stacked_observations, axis=-1)


def search_line(row: dict[str, Any]) -> str:
    """The row in words. Other machines are not compared with: what they did is told as it was, with their name."""
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
