"""Which part of the loss keeps rewards from being learned: episodes of a trained run, fitted anew by parts of it.

    python -m tests.benchmarks.bench_reward_fit --run results/.../seed=1 --json FILE

The run's policy plays with search as in self-play. Fresh networks of the run's size are then fitted to these episodes,
one model step from every real observation, with the losses of learning: the reward's alone, with the policy's (towards
visit counts), the value's (towards the return obtained) or the consistency with the next observation, with all of
them, and with all and a larger weight of the reward. FILE has, for every combination and number of updates, how much
of the reward of held-out episodes is explained (1: all, 0: as by their mean).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import envs
from mazero.config import LossConfig, MAZeroConfig
from mazero.inference import make_player
from mazero.losses import Batch
from mazero.networks import MAZeroNetwork
from mazero.optimiser import make_optimiser
from mazero.replay import Episode
from mazero.selfplay import SelfPlay
from mazero.transforms import expected_scalar
from mazero.update import optimise
from training import checkpoint, provenance
from training.cli import played_policy
from training.config import from_dict
from training.identity import run_key
from training.run import read_config

MARKS = (250, 500, 1000, 2000)  # updates
SEED = 1000  # of episodes and first weights
# Reward, policy, value, consistency: weights of the parts.
COMBINATIONS = {
    "reward": (1.0, 0.0, 0.0, 0.0),
    "reward, consistency": (1.0, 0.0, 0.0, 2.0),
    "reward, value": (1.0, 0.0, 1.0, 0.0),
    "reward, policy": (1.0, 1.0, 0.0, 0.0),
    "all": (1.0, 1.0, 1.0, 2.0),
    "all, reward x 3": (3.0, 1.0, 1.0, 2.0),
    "all, reward x 10": (10.0, 1.0, 1.0, 2.0),
    "all, reward x 30": (30.0, 1.0, 1.0, 2.0),
}


def played(config: MAZeroConfig, network: MAZeroNetwork, env: envs.VectorEnv, count: int) -> list[Episode]:
    """`count` episodes of self-play."""
    play, model = SelfPlay(env, config, env_seed=SEED), make_player(network, config.inference)
    rngs = np.random.default_rng([SEED, 1]), np.random.default_rng([SEED, 2])
    episodes: list[Episode] = []
    while len(episodes) < count:
        episodes += [e for e, _ in play.step(model, explore=False, search_rng=rngs[0], actor_rng=rngs[1])]
    return episodes[:count]


def stacked(obs: np.ndarray, depth: int) -> np.ndarray:
    """(T, n, O) -> (T, n, depth * O), the first observation repeated before the start."""
    frames = np.concatenate((np.repeat(obs[:1], depth - 1, axis=0), obs))
    return np.concatenate([frames[k : k + len(obs)] for k in range(depth)], axis=-1)


def samples(episodes: list[Episode], config: MAZeroConfig) -> Batch:
    """One sample a step, unrolled once."""
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("obs", "action", "reward", "value", "children", "share", "real")
    }
    for episode in episodes:
        obs = stacked(episode.obs, config.network.stacked_observations)
        value = np.zeros(len(obs) + 1)
        for t in reversed(range(len(obs))):
            value[t] = episode.reward[t] + config.search.discount * value[t + 1]
        after = np.minimum(np.arange(len(obs)) + 1, len(obs) - 1)
        here = np.arange(len(obs))
        share = episode.visit_counts / episode.visit_counts.sum(axis=1, keepdims=True)
        parts["obs"].append(np.stack((obs, obs[after]), axis=1))
        parts["action"].append(episode.action[:, None])
        parts["reward"].append(episode.reward[:, None])
        parts["value"].append(np.stack((value[:-1], value[1:]), axis=1))
        parts["children"].append(np.stack((episode.joint_actions, episode.joint_actions[after]), axis=1))
        parts["share"].append(np.stack((share, share[after]), axis=1))
        parts["real"].append(np.stack((here >= 0, here < len(obs) - 1), axis=1))
    whole = {name: np.concatenate(rows) for name, rows in parts.items()}
    real = whole["real"].astype(np.float32)
    return Batch(
        obs=torch.from_numpy(whole["obs"].astype(np.float32)),
        action=torch.from_numpy(whole["action"].astype(np.int64)),
        reward=torch.from_numpy(whole["reward"].astype(np.float32)),
        value=torch.from_numpy(whole["value"].astype(np.float32)),
        joint_actions=torch.from_numpy(whole["children"].astype(np.int64)),
        policy_weight=torch.from_numpy(whole["share"].astype(np.float32) * real[:, :, None]),
        real=torch.from_numpy(real),
        importance=torch.ones(len(real)),
    )


def chosen(batch: Batch, rows: torch.Tensor, policy: float) -> Batch:
    """Some samples, the policy's loss with a weight."""
    some = Batch(**{name: getattr(batch, name)[rows] for name in Batch.__dataclass_fields__})
    return replace(some, policy_weight=some.policy_weight * policy)


@torch.no_grad()
def explained(network: MAZeroNetwork, batch: Batch) -> float:
    """Share of the reward's variance that is predicted one step ahead."""
    action, reward = batch.action[:, 0], batch.reward[:, 0].numpy()
    network.eval()
    hidden = network.step(network.represent(batch.obs[:, 0]), action)
    predicted = expected_scalar(network.reward_logits(hidden, action)).numpy()
    network.train()
    return float(1 - np.mean((predicted - reward) ** 2) / reward.var())


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="run directory of MAZero with a checkpoint")
    parser.add_argument("--episodes", type=int, default=480, help="to fit (default: %(default)s); a fifth more to test")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = read_config(arguments.run)
    config = from_dict(MAZeroConfig, run["config"])
    saved = checkpoint.load(arguments.run / "checkpoint.pt", run=run_key(run))
    env = envs.make(run["map"], backend=run["backend"], num_envs=32, observation=config.self_play.observation)
    sizes = {"obs_size": env.info.obs_size, "n_agents": env.info.n_agents, "n_actions": env.info.n_actions}
    network = MAZeroNetwork(config.network, **sizes)
    network.load_state_dict(played_policy(saved, best=False)["network"])
    episodes = played(config, network.eval(), env, arguments.episodes * 6 // 5)
    known = samples(episodes[: arguments.episodes], config)
    unknown = samples(episodes[arguments.episodes :], config)
    record = {
        "map": run["map"],
        "run": {name: run[name] for name in ("preset", "seed", "identity")},
        "provenance": provenance.collect(
            backend=run["backend"],
            threads=1,
            device="cpu",
            command=provenance.command_line("tests.benchmarks.bench_reward_fit"),
        ),
        "fitted": len(known.real),
        "held_out": len(unknown.real),
        "of_the_run": explained(network, unknown),
        "explained": {},
    }
    print(f"{record['fitted']} steps; the run's own network explains {record['of_the_run']:.2f} of held-out rewards")
    for name, (reward, policy, value, consistency) in COMBINATIONS.items():
        torch.manual_seed(SEED)
        fresh = MAZeroNetwork(config.network, **sizes).train()
        loss = LossConfig(reward=reward, value=value, consistency=consistency)
        optimiser, settings = make_optimiser(fresh.parameters(), config.optimiser), replace(config, loss=loss)
        rng, found = np.random.default_rng(SEED), {}
        for step in range(1, MARKS[-1] + 1):
            rows = torch.from_numpy(rng.integers(0, len(known.real), config.optimiser.batch_size))
            optimise(fresh, optimiser, chosen(known, rows, policy), settings)
            if step in MARKS:
                found[step] = round(explained(fresh, unknown), 3)
        record["explained"][name] = found
        print(f"{name:20s}", *(f"{found[mark]:6.2f}" for mark in MARKS), flush=True)
    arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
