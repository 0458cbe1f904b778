"""`python -m mazero bench --only step`: the optimisation step beside plain torch, and beside its own matrix products.

What an ideal step would take is its FLOPs (`mazero.flops`) at the rate of a large matrix product. All three are
measured in alternating rounds, so that a busy machine slows all of them, and in seconds of the processor.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import envs
from mazero.bench.flops import step_multiply_adds
from mazero.config import MAZeroConfig
from mazero.losses import Batch, plain_loss
from mazero.networks import MAZeroNetwork
from mazero.optimiser import Adam
from mazero.update import optimise

LARGE = 1024  # rows and columns of the large product
WARM_UP = 2  # rounds that do not count
STEPS_IN_A_ROUND = 5


def step_speed(config: MAZeroConfig, name: str, batch: int, *, repeats: int, device: str) -> dict[str, Any]:
    """One step on random batches of a map's sizes: medians of `repeats` rounds."""
    info = envs.make(name, num_envs=1, observation=config.self_play.observation).info
    sizes = {"obs_size": info.obs_size, "n_agents": info.n_agents, "n_actions": info.n_actions}
    torch.manual_seed(0)
    networks = [MAZeroNetwork.for_environment(config.network, info).to(device).train() for _ in range(2)]
    adam = Adam(networks[0].parameters(), lr=1e-4, eps=1e-5)
    plain_adam = torch.optim.Adam(networks[1].parameters(), lr=1e-4, eps=1e-5, fused=True)
    drawn = random_batch(config, batch, device=device, **sizes)
    x = torch.randn(LARGE, LARGE, device=device)

    def plainly() -> None:
        loss, _, _ = plain_loss(networks[1], drawn, config.loss)
        plain_adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(networks[1].parameters(), config.optimiser.gradient_norm)
        plain_adam.step()

    work = {
        "step": lambda: optimise(networks[0], adam, drawn, config),
        "plain": plainly,
        "large": lambda: torch.mm(x, x),
    }
    seconds = _alternating(work, repeats)
    steps, consistency = config.targets.unroll_steps, config.loss.consistency > 0
    flops = 2 * step_multiply_adds(networks[0], batch, steps, consistency=consistency)
    rate = 2 * LARGE**3 / seconds["large"]
    return {
        "map": name,
        "n_agents": info.n_agents,
        "batch": batch,
        "hidden_size": config.network.hidden_size,
        "unroll_steps": steps,
        "flops": flops,
        "step_seconds": seconds["step"],
        "plain_seconds": seconds["plain"],
        "step_gflops": flops / seconds["step"] / 1e9,
        "matmul_gflops": rate / 1e9,
        "times_its_products": seconds["step"] * rate / flops,
    }


def random_batch(
    config: MAZeroConfig, batch: int, *, obs_size: int, n_agents: int, n_actions: int, device: str
) -> Batch:
    """A batch as large as those of a run, of random numbers."""
    steps, k = config.targets.unroll_steps, config.search.num_sampled_actions
    inputs = obs_size * config.network.stacked_observations
    parts = {
        "obs": torch.randn(batch, steps + 1, n_agents, inputs),
        "action": torch.randint(0, n_actions, (batch, steps, n_agents)),
        "reward": torch.randn(batch, steps),
        "value": torch.randn(batch, steps + 1),
        "joint_actions": torch.randint(0, n_actions, (batch, steps + 1, k, n_agents)),
        "policy_weight": torch.rand(batch, steps + 1, k) / k,
        "real": torch.ones(batch, steps + 1),
        "importance": torch.ones(batch),
    }
    return Batch(**{name: part.to(device) for name, part in parts.items()})


def step_line(row: dict[str, Any]) -> str:
    """What a person wants to know of a row."""
    return (
        f"step {row['map']:>11} batch={row['batch']:4d} H={row['hidden_size']}: {1e3 * row['step_seconds']:.1f} ms, "
        f"{row['flops'] / 1e9:.2f} GFLOP at {row['step_gflops']:.0f} GFLOP/s, {row['times_its_products']:.2f} x its "
        f"products at {row['matmul_gflops']:.0f} GFLOP/s; "
        f"{row['plain_seconds'] / row['step_seconds']:.1f} x as fast as plain torch"
    )


def _alternating(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each, of `STEPS_IN_A_ROUND` calls by turns; on a GPU by the clock, which waits for it."""
    gpu = torch.cuda.is_available()
    clock = time.perf_counter if gpu else time.process_time
    spent: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(WARM_UP + rounds):
        for name, call in work.items():
            call()  # brings its own memory back into the caches
            began = clock()
            for _ in range(STEPS_IN_A_ROUND):
                call()
            if gpu:
                torch.cuda.synchronize()
            if turn >= WARM_UP:
                spent[name].append((clock() - began) / STEPS_IN_A_ROUND)
    return {name: statistics.median(seconds) for name, seconds in spent.items()}
