"""One update of a run: self-play for it, its targets and its optimisation."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from mazero.bench.machine import ANCHORS, disturb, median, peak_memory_mb
from mazero.bench.whole_run import learner_on
from mazero.captured import CALLS_BEFORE
from mazero.config import MAZeroConfig
from mazero.losses import batch_loss

# Size of the replay in batches: positions drawn twice, which are searched once, are few, as in a run.
REPLAY_BATCHES = 20


def update_speed(config: MAZeroConfig, name: str, num_simulations: int, *, repeats: int, device: str) -> dict[str, Any]:
    """One update of a run: self-play for it, its targets (all policy targets searched afresh) and its optimisation."""
    config = replace(
        config,
        search=replace(config.search, num_simulations=num_simulations),
        targets=replace(config.targets, reanalyze_ratio=1.0),
        replay=replace(config.replay, start=REPLAY_BATCHES * config.optimiser.batch_size),
    )
    learner = learner_on(config, name, 1_000_000, device=device)
    disturb(learner.network, learner.target)
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
    for _ in range(CALLS_BEFORE):
        learner.optimise(drawn.batch)
    step = median(lambda: learner.optimise(drawn.batch), repeats + 1)
    with torch.no_grad():  # where the gradient is computed along with the loss, not with it
        forward = median(lambda: batch_loss(learner.network, drawn.batch, config.loss), repeats + 1)
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
        "peak_memory_mb": peak_memory_mb(),
    }
    return row | update_anchors(row)


def update_anchors(row: dict[str, Any]) -> dict[str, float]:
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


def update_line(row: dict[str, Any]) -> str:
    """The row in words. Other machines are not compared with: what they did is told as it was, with their name."""
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
