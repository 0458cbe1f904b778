"""Learners and evaluation where episodes are lost: nobody learns from one, counts one, or waits for one.

Rewards of doomed episodes are no numbers: whoever used a single one would diverge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import envs
from baselines import registry
from mazero.learner import MAZeroLearner
from tests.envs.lossy import Lossy
from tests.mazero.tiny import tiny_config
from training.config import apply_overrides, load_preset
from training.evaluation import evaluate

GAME = "matrix_4"  # episodes of ten steps


def doomed(slot: int, number: int) -> bool:
    return (slot + number) % 3 == 1


def make(name: str, overrides: list[str] = [], **how: Any) -> tuple[Any, list[Lossy]]:  # noqa: B006 - not changed
    made: list[Lossy] = []

    def make_env(num_envs: int, observation: str, seed: int) -> Lossy:
        made.append(Lossy(envs.make(GAME, num_envs=num_envs, observation=observation, seed=seed), **how))
        return made[-1]

    common: dict[str, Any] = {"make_env": make_env, "seed": 0, "device": "cpu", "eval_episodes": 4}
    if name == "mazero":
        return MAZeroLearner(tiny_config(*overrides), **common, env_steps=400), made
    algorithm = registry.find(name)
    preset: Any = load_preset(algorithm.presets, "matrix", algorithm.config)
    return algorithm.make_learner(apply_overrides(preset, ["rollout.num_envs=4", *overrides]), **common), made


@pytest.mark.parametrize("name", ["mazero", "qmix", "qplex", "rode", "cds", "mamba"])
def test_only_whole_episodes_are_learned_from(name: str) -> None:
    learner, made = make(name, doomed=doomed)
    lost = 0
    while learner.env_steps < 400:
        learner.advance()
    lost = made[0].lost
    # 400 steps in 4 slots are 100 steps in each: lost episodes take 5 of them, whole ones 10.
    assert lost > 10 and 20 <= learner.episodes <= 40 and learner.updates > 0
    metrics = learner.drain_metrics()
    assert metrics and all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("name", ["mazero", "qmix", "mamba", "mappo"])
def test_a_resumed_run_begins_new_episodes_and_learns_from_whole_ones(name: str) -> None:
    never: dict[str, Callable[..., bool]] = {"doomed": lambda slot, number: False}
    learner, _ = make(name, **never)
    while learner.env_steps < 4 * 33:  # in the middle of episodes
        learner.advance()
    state = learner.state_dict()
    other, made = make(name, **never)
    other.load_state_dict(state)
    assert made[0].discarded.all() and other.episodes == learner.episodes == 12
    other.advance()  # the lost ones are noticed
    assert not made[0].discarded.any() and other.episodes == 12
    for _ in range(10):
        other.advance()
    assert other.episodes == 16 and made[0].lost == 4
    assert all(np.isfinite(value) for value in other.drain_metrics().values())


def test_rewards_of_lost_episodes_do_not_reach_ppo() -> None:
    """All episodes of slot 0 are lost, within the round: whatever they paid, the networks are the same."""
    overrides = ["rollout.steps=40"]

    def trained(poison: float) -> dict[str, torch.Tensor]:
        learner, made = make("mappo", overrides, doomed=lambda slot, number: slot == 0, poison=poison)
        while learner.env_steps < 4 * 80:
            learner.advance()
        assert learner.updates > 0 and made[0].lost == 16 and learner.episodes == 3 * 8
        state = learner.state_dict()
        return {f"{part}.{name}": value for part in ("actor", "critic") for name, value in state[part].items()}

    zero, many = trained(0.0), trained(1234.5)
    assert all(torch.equal(zero[name], many[name]) for name in zero)


def test_a_round_of_nothing_but_lost_episodes_changes_nothing() -> None:
    learner, _ = make("mappo", ["rollout.steps=40"], doomed=lambda slot, number: True)
    before = {name: value.clone() for name, value in learner.state_dict()["actor"].items()}
    while learner.env_steps < 4 * 80:
        learner.advance()
    after = learner.state_dict()["actor"]
    assert learner.updates == learner.episodes == 0 and all(torch.equal(before[k], after[k]) for k in before)


class Greedy:
    """Action 0 of everybody; counts how often episodes began."""

    starts = 0

    def start(self, num_envs: int) -> None:
        self.starts += 1

    def act(self, env: Any) -> np.ndarray:
        return np.zeros((env.num_envs, env.info.n_agents), int)


def test_evaluation_counts_one_whole_episode_of_every_slot() -> None:
    env, policy = Lossy(envs.make(GAME, num_envs=4), doomed), Greedy()
    plain = evaluate(Greedy(), envs.make(GAME, num_envs=4), seed=1)
    assert evaluate(policy, env, seed=1) == plain and policy.starts == 2 and env.lost >= 1


def test_perturbed_environments_pass_lost_episodes_on() -> None:
    from envs.perturbed import Perturbation, Perturbed

    env = Perturbed(Lossy(envs.make(GAME, num_envs=4), doomed), Perturbation(obs_noise=0.1), seed=0)
    env.reset(0)
    for _ in range(5):
        env.step(np.zeros((4, 2), int))
    assert env.discarded.tolist() == env.finished.tolist() == [doomed(slot, 0) for slot in range(4)]


def test_other_backends_lose_nothing() -> None:
    assert not envs.make("3m", num_envs=2).discarded.any()
