"""`python -m mazero bench --end-to-end`: environment steps an hour of a whole run, self-play to updates, as it grows.

A run slows down as its replay grows, because more positions are searched with every target network. So the rate is
measured with the replay at the middle of each third of the budget, over at least one whole target period each, and
the hours of the budget are the sum of its thirds. The replay is filled with copies of episodes of random play, which
are as many different positions to search as the episodes of a real run; a replay with a capacity keeps the last ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

import envs
from mazero.bench.machine import peak_memory_mb
from mazero.captured import CALLS_BEFORE
from mazero.config import MAZeroConfig
from mazero.learner import MAZeroLearner
from mazero.replay import FIELDS, Episode

PARTS = 3
SEED_STEPS = 600  # of self-play, whose episodes are copied
PHASES = ("self_play", "targets", "update")


def run_speed(
    config: MAZeroConfig,
    name: str,
    budget: int,
    *,
    device: str,
    report: Callable[[str], None],
    at: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Speed of a run of `budget` environment steps, evaluations left out.

    Args:
      at: environment steps collected when it is measured; None: the middles of the thirds.
    Returns: for each part of the budget (`parts`) the size of its replay, env steps, wall and CPU seconds, env steps
      per hour of either, the share of each phase, the process's largest memory so far and, where a target network
      searches a position once, how many searches were asked for and made. `env_steps_per_hour` and
      `env_steps_per_cpu_hour` of the whole budget, unless `at` was given.
    """
    parts = []
    for collected in at or [round(budget * (part + 0.5) / PARTS) for part in range(PARTS)]:
        row = _part(config, name, budget, collected, device)
        parts.append(row)
        facts = [", ".join(f"{phase} {share:.0%}" for phase, share in row["share"].items())]
        if "searches_saved" in row:
            facts.append(f"{row['searches_made_per_env_step']:.1f} searches a step, {row['searches_saved']:.0%} saved")
        facts.append(f"{row['peak_memory_mb']:,.0f} MB")
        speed = f"{row['env_steps_per_hour']:,.0f} env steps/hour"
        report(f"{name} with {row['replay_size']:,} transitions: {speed} ({'; '.join(facts)})")
    whole = {"map": name, "budget": budget, "parts": parts}
    if at is None:
        for key in ("env_steps_per_hour", "env_steps_per_cpu_hour"):
            whole[key] = PARTS / sum(1 / row[key] for row in parts)
        report(
            f"{name}: {whole['env_steps_per_hour']:,.0f} env steps/hour over {budget:,} steps on "
            f"{torch.get_num_threads()} thread(s), {whole['env_steps_per_cpu_hour']:,.0f} per hour of CPU time"
        )
    return whole


def _part(config: MAZeroConfig, name: str, budget: int, collected: int, device: str) -> dict[str, Any]:
    learner = learner_on(config, name, budget, device=device)
    fill(learner, collected)
    size = learner.replay.size
    rate, interval = config.optimiser.updates_per_env_step, config.targets.target_interval
    updates = int(collected * rate) // interval * interval
    learner.updates = updates - CALLS_BEFORE - 2
    learner.update_until(updates)  # compiles what is not compiled, and ends a target period
    learner.drain_metrics()
    steps = learner.env_steps = round(updates / rate)
    wall, cpu = time.perf_counter(), time.process_time()
    while learner.updates < updates + interval:
        learner.advance()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    metrics = learner.drain_metrics()
    spent = {phase: metrics[f"{phase}_seconds"] for phase in PHASES}
    steps = learner.env_steps - steps
    row = {
        "replay_size": size,
        "env_steps": steps,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "env_steps_per_hour": 3600 * steps / wall,
        "env_steps_per_cpu_hour": 3600 * steps / cpu,
        "peak_memory_mb": peak_memory_mb(),
        "share": {phase: value / sum(spent.values()) for phase, value in spent.items()},
    }
    asked, made = (metrics.get(f"searches_{what}", 0.0) for what in ("asked", "made"))
    if asked:
        row |= {
            "searches_asked_per_env_step": asked / steps,
            "searches_made_per_env_step": made / steps,
            "searches_saved": 1 - made / asked,
        }
    return row


def learner_on(config: MAZeroConfig, name: str, budget: int, *, device: str) -> MAZeroLearner:
    """A learner on a map whose speed is to be measured: seed 0, no evaluations to speak of."""
    return MAZeroLearner(
        config,
        make_env=lambda num_envs, observation, seed: envs.make(
            name, num_envs=num_envs, observation=observation, seed=seed
        ),
        seed=0,
        device=device,
        eval_episodes=1,
        env_steps=budget,
    )


def fill(learner: MAZeroLearner, collected: int) -> None:
    """Give the replay `collected` transitions or a few more: episodes of random play, again and again."""
    episodes: list[Episode] = []
    played = 0
    while played < SEED_STEPS or not episodes:
        ended = learner.self_play.step(
            learner.model, explore=True, search_rng=learner.streams.search, actor_rng=learner.streams.actor
        )
        played += learner.self_play.env.num_envs
        episodes += [episode for episode, _ in ended]
    whole = {name: np.concatenate([getattr(episode, name) for episode in episodes]) for name in FIELDS}
    lengths = [len(episode.reward) for episode in episodes]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    at = 0
    while learner.replay.dropped + learner.replay.size < collected:
        rows = slice(offsets[at], offsets[at + 1])
        learner.replay.add(Episode(**{name: values[rows] for name, values in whole.items()}))
        at = (at + 1) % len(lengths)
