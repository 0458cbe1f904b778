"""What learners see through the worker processes is what skirmish's vectorised face shows of the same battles.

Both play the same seed on the simulator: the worker builds the single-environment face with SMAC's method names.
"""

from __future__ import annotations

import numpy as np
import pytest

import envs
from envs.smac import SmacEnv, game_seed

SMAC = "skirmish.env:StarCraft2Env"
SMACV2 = "skirmish.env:StarCraftCapabilityEnvWrapper"
EPISODES = 2


def pairs(name: str, backend: str, factory: str, observation: str, **options: object) -> None:
    """Play random episodes in both; every array is equal at every step."""
    there = envs.make(name, backend=backend, observation=observation, factory=factory, seed=5, **options)
    here = envs.make(name, backend="skirmish", observation=observation, **options)
    assert isinstance(there, SmacEnv)
    try:
        sizes = ("n_agents", "n_enemies", "n_actions", "obs_size", "state_size", "episode_limit", "agent_types")
        for size in sizes:
            assert getattr(there.info, size) == getattr(here.info, size), size
        assert there.agent_state_size == here.agent_state_size
        there.reset()
        here.reset(game_seed(5, 0, 0))
        rng = np.random.default_rng(1)
        for _ in range(EPISODES):
            while True:
                equal(there, here)
                if here.finished[0]:
                    break
                # Attacks where there are any, so that units die.
                weights = there.available_actions[0] * np.r_[np.ones(6), np.full(there.info.n_actions - 6, 5.0)]
                chances = weights / weights.sum(1, keepdims=True)
                action = np.array([[rng.choice(there.info.n_actions, p=chance) for chance in chances]])
                there.step(action)
                here.step(action)
            there.reset_done()
            here.reset_done()
        assert there.faults.total == 0
    finally:
        there.close()


def equal(there: envs.VectorEnv, here: envs.VectorEnv) -> None:
    for name in ("available_actions", "obs", "state", "reward", "terminated", "truncated", "won"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
    if here.agent_state_size is not None:
        np.testing.assert_array_equal(there.agent_state, here.agent_state)


@pytest.mark.parametrize("observation", ["smac", "mazero"])
@pytest.mark.parametrize("name", ["3m", "2s3z", "MMM", "bane_vs_bane", "2s_vs_1sc", "1c3s5z"])
def test_maps(name: str, observation: str) -> None:
    pairs(name, "smac", SMAC, observation)


@pytest.mark.parametrize(
    "options",
    [
        {"obs_timestep_number": True, "state_timestep_number": True},
        {"obs_pathing_grid": True, "obs_terrain_height": True},
        {"obs_instead_of_state": True},
        {"obs_all_health": False, "obs_own_health": False, "obs_last_action": True, "state_last_action": False},
        {"reward_sparse": True, "step_mul": 4},
    ],
)
@pytest.mark.parametrize("observation", ["smac", "mazero"])
def test_options(options: dict[str, object], observation: str) -> None:
    pairs("2s3z", "smac", SMAC, observation, **options)


@pytest.mark.parametrize("observation", ["smac", "mazero"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("terran_5_vs_5", {}),
        ("protoss_5_vs_5_epo", {}),
        ("zerg_10_vs_11", {"obs_timestep_number": True}),
        ("terran_5_vs_5", {"conic_fov": True, "obs_last_action": True, "obs_own_pos": False}),
        ("protoss_5_vs_5", {"attack_probability": (0.2, 0.9), "health_level": (0.0, 0.3), "mask_probability": 0.5}),
    ],
)
def test_drawn_battles(name: str, options: dict[str, object], observation: str) -> None:
    pairs(name, "smacv2", SMACV2, observation, **options)


def test_seeds_tell_slots_and_starts_apart() -> None:
    seeds = {game_seed(seed, slot, start) for seed in range(10) for slot in range(10) for start in range(10)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**31 for seed in seeds)
    assert game_seed(2**64 - 1, 0, 0) != game_seed(2**63 - 1, 0, 0)


def test_games_go_on_and_a_seed_begins_them_anew() -> None:
    env = envs.make("3m", backend="smac", num_envs=2, factory=SMAC, seed=7)
    assert isinstance(env, SmacEnv)
    try:
        env.reset()
        first = env.state.copy()
        processes = env.processes

        def finish() -> np.ndarray:
            rewards = []
            while not env.finished.all():
                target = env.available_actions[..., 6:].argmax(-1) + 6
                attack = env.available_actions[..., 6:].any(-1)
                move = np.where(env.available_actions[..., 4], 4, 1)
                living = env.available_actions[..., 1]
                env.step(np.where(living, np.where(attack, target, move), 0))
                rewards.append(env.reward.copy())
            return np.array(rewards)

        played = finish()
        env.reset_done()
        second = finish()
        assert env.processes == processes and not np.array_equal(played, second)
        env.reset(7)
        assert env.processes == processes and np.array_equal(env.state, first)
        np.testing.assert_array_equal(finish(), played)
        env.reset(8)
        assert not np.array_equal(finish(), played)
    finally:
        env.close()
