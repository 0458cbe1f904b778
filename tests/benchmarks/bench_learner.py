"""Cost of learning: `python -m tests.benchmarks.bench_learner` prints a JSON object per map size and preset.

Seconds of one optimisation step, split in three, and of making its targets when no position is searched afresh. Batches
and episodes are drawn at random: only their sizes matter.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time

import numpy as np
import torch

from mazero.config import PRESETS, MAZeroConfig
from mazero.inference import make_model
from mazero.losses import batch_loss
from mazero.networks import MAZeroNetwork
from mazero.reanalyze import make_batch
from mazero.replay import Episode, Replay
from mazero.searches import FreshSearches
from mazero.values import TargetValues
from training.config import apply_overrides, load_preset

SIZES = {"3m": (3, 30, 9), "2s3z": (5, 80, 11), "8m": (8, 80, 14), "27m_vs_30m": (27, 285, 36)}  # n, O, A


def random_replay(config: MAZeroConfig, n: int, o: int, a: int, *, episodes: int = 100, length: int = 40) -> Replay:
    """A replay of random episodes with random searches."""
    rng = np.random.default_rng(0)
    k = config.search.num_sampled_actions
    replay = Replay(priority_alpha=config.replay.priority_alpha)
    for _ in range(episodes):
        t = length
        visits = rng.multinomial(config.search.num_simulations, np.full(k, 1 / k), size=t)
        replay.add(
            Episode(
                obs=rng.standard_normal((t, n, o), dtype=np.float32), available=np.ones((t, n, a), np.bool_),
                action=rng.integers(0, a, (t, n)).astype(np.int16), reward=rng.standard_normal(t, dtype=np.float32),
                search_value=rng.standard_normal(t, dtype=np.float32),
                predicted_value=rng.standard_normal(t, dtype=np.float32), num_children=np.full(t, k, np.int32),
                joint_actions=rng.integers(0, a, (t, k, n)).astype(np.int16), visit_counts=visits.astype(np.int32),
                q=rng.standard_normal((t, k), dtype=np.float32), importance=np.full((t, k), 1 / k, np.float32),
            ),
        )  # fmt: skip
    return replay


def measure_update(
    config: MAZeroConfig, *, n_agents: int, obs_size: int, n_actions: int, repeats: int = 10, device: str = "cpu"
) -> dict[str, float]:
    """Median seconds (`best_`: least) over `repeats`, after two rounds to compile and warm up.

    Returns: step, its parts forward, backward, optimiser, and targets (without fresh searches).
    """
    torch.manual_seed(0)
    network = MAZeroNetwork(config.network, obs_size=obs_size, n_agents=n_agents, n_actions=n_actions).to(device)
    settings, model = config.optimiser, make_model(network, config.inference)
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, eps=settings.adam_epsilon, fused=True)
    stored = dataclasses.replace(config, targets=dataclasses.replace(config.targets, reanalyze_ratio=0.0))
    replay, rng = random_replay(config, n_agents, obs_size, n_actions), np.random.default_rng(0)
    searches = FreshSearches(model, stored, rng=rng)
    values = TargetValues(model, config.network.stacked_observations)

    def clock() -> float:
        if device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter()

    rounds = []
    for _ in range(repeats + 2):
        marks = [clock()]
        network.eval()
        positions, importance = replay.sample(settings.batch_size, beta=0.4, rng=rng)
        batch = make_batch(
            replay, positions, importance, values=values, searches=searches, config=stored, planned_updates=1000,
            rng=rng, device=device,
        )  # fmt: skip
        marks.append(clock())
        network.train()
        with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            loss, _, _ = batch_loss(network, batch, config.loss)
        marks.append(clock())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        marks.append(clock())
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_norm, error_if_nonfinite=True)
        optimiser.step()
        marks.append(clock())
        model.weights_changed()
        values.renew()
        targets, forward, backward, update = np.diff(marks)
        rounds.append({"step": forward + backward + update, "forward": forward, "backward": backward,
                       "optimiser": update, "targets": targets})  # fmt: skip
    names = rounds[0]
    result = {name: statistics.median(r[name] for r in rounds[2:]) for name in names}
    result |= {f"best_{name}": min(r[name] for r in rounds[2:]) for name in names}
    return {name: round(float(value), 5) for name, value in result.items()}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--map", nargs="+", choices=SIZES, default=["3m", "8m"], help="sizes of these maps")
    parser.add_argument("--preset", nargs="+", default=["laptop", "released"])
    parser.add_argument("--set", dest="overrides", nargs="+", default=[], metavar="KEY=VALUE", help="change a setting")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    for preset in args.preset:
        config = apply_overrides(load_preset(PRESETS, preset, MAZeroConfig), args.overrides)
        for name in args.map:
            n, o, a = SIZES[name]
            seconds = measure_update(
                config, n_agents=n, obs_size=o, n_actions=a, repeats=args.repeats, device=args.device
            )
            head = {"preset": preset, "map": name, "batch_size": config.optimiser.batch_size, "threads": args.threads}
            sys.stdout.write(json.dumps(head | {"device": args.device, "seconds": seconds}) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
