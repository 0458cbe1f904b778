"""One run of MAZero, evaluated at every mark by averages of its weights of several lengths.

    python -m tests.benchmarks.bench_averages --map 8m --seed 100 --env-steps 30000 --every 2500 --json FILE

Learning does not know of the averages, so they are compared on one and the same run. A line of FILE is one mark: win
rates with search and without, by the last weights, by averages that count an update less than the next by a fixed
factor, and by those over a share of all updates so far (`u/4`: about the last quarter).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

import envs
from mazero.config import PRESETS, MAZeroConfig
from mazero.inference import make_player
from mazero.learner import MAZeroLearner
from mazero.networks import MAZeroNetwork
from mazero.selfplay import NetworkPolicy, SearchPolicy
from mazero.update import WeightAverage
from training.config import apply_overrides, load_preset
from training.evaluation import evaluate

EPISODES = 64
BUDGET = 50_000  # of the whole run, for its schedules


class ShareOfUpdates(WeightAverage):
    """An average over about the last updates / `share` updates."""

    def __init__(self, network: MAZeroNetwork, share: float) -> None:
        super().__init__(network, 0.5)
        self.share = share

    def follow(self, updates: int) -> None:
        """After update number `updates`, counted from 0."""
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._latest, self.share / (self.share + updates))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--map", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--env-steps", type=int, required=True, help=f"stop here, in a run of {BUDGET} steps")
    parser.add_argument("--every", type=int, required=True, help="environment steps between two marks")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of preset laptop")
    parser.add_argument("--json", type=Path, required=True, help="lines are added to it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = apply_overrides(load_preset(PRESETS, "laptop", MAZeroConfig), arguments.set)
    learner = MAZeroLearner(
        config,
        make_env=lambda num_envs, observation, seed: envs.make(
            arguments.map, num_envs=num_envs, observation=observation, seed=seed
        ),
        seed=arguments.seed,
        device="cpu",
        eval_episodes=EPISODES,
        env_steps=BUDGET,
    )
    network = learner.network
    averages: dict[str, WeightAverage] = {str(decay): WeightAverage(network, decay) for decay in (0.998, 0.9995)}
    averages |= {f"u/{share}": ShareOfUpdates(network, share) for share in (4, 9)}
    models = {"last": learner.model}
    models |= {name: make_player(average.network, config.inference) for name, average in averages.items()}
    own = learner.average.follow

    def follow(updates: int) -> None:
        for each in (own, *(average.follow for average in averages.values())):
            each(updates)

    learner.average.follow = follow  # type: ignore[method-assign]
    mark = arguments.every
    while learner.env_steps < arguments.env_steps:
        learner.advance()
        if learner.env_steps < mark:
            continue
        line = {"map": arguments.map, "seed": arguments.seed, "mark": mark, "over": arguments.set}
        for name, model in models.items():
            model.weights_changed()
            searching = SearchPolicy(model, config.evaluated(), rng=np.random.default_rng([mark, 1]))
            results = [
                evaluate(policy, learner._eval_env, seed=mark) for policy in (searching, NetworkPolicy(model, config))
            ]
            line[name] = [round(result["win_rate"], 3) for result in results]
        with arguments.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        mark += arguments.every


if __name__ == "__main__":
    main()
