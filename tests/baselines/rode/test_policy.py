"""Roles are held, bind the greedy and leave the random."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from baselines.rode.agent import RodeAgent
from baselines.rode.config import RodeConfig, RolesConfig
from baselines.rode.policy import RodePolicy, soft_epsilon_greedy
from baselines.value_based.config import AgentConfig
from envs.interface import EnvInfo

INFO = EnvInfo("toy", "test", "smac", 3, 1, 7, 4, 5, 60, False)
LEGAL = np.ones((200, 3, 7), bool)


def agent_of(*sets: list[int], seed: int = 0) -> RodeAgent:
    torch.manual_seed(seed)
    agent = RodeAgent(INFO, RodeConfig(agent=AgentConfig(hidden_size=8), roles=RolesConfig(clusters=3)))
    if sets:
        members = torch.zeros(len(sets), 7, dtype=torch.bool)
        for row, actions in zip(members, sets):
            row[actions] = True
        agent.set_roles(members, torch.randn(7, 20))
    return agent


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_a_role_is_held_for_an_interval_and_slots_keep_their_own_clocks(epsilon):
    rng, generator = np.random.default_rng(0), np.random.default_rng(1)
    policy = RodePolicy(agent_of([0, 1], [2, 3], [4, 5, 6]), interval=4, device="cpu")
    policy.start(200)
    roles = []
    for t in range(14):
        if t == 6:
            policy.start_slots(np.arange(100))
        policy.explore(rng.random((200, 3, 4), np.float32), LEGAL, np.full(200, epsilon), generator)
        roles.append(policy.notes()["roles"].copy())
    changed = [(a != b).any(-1) for a, b in pairwise(roles)]  # [t]: between the actions t and t + 1
    for first, new in ((0, [4, 6, 10]), (100, [4, 8, 12])):  # the first hundred begin again at 6
        moved = [k for k in range(1, 14) if changed[k - 1][first : first + 100].any()]
        assert moved == new if epsilon else set(moved) <= set(new)
    assert set(np.unique(roles)) <= {0, 1, 2}
    if epsilon == 1.0:
        assert set(np.unique(roles)) == {0, 1, 2}  # the fourth head is not in use


def test_greedy_actions_lie_in_the_roles_set_and_random_ones_anywhere():
    rng, generator = np.random.default_rng(2), np.random.default_rng(3)
    sets = ([0, 1], [2, 3], [4, 5, 6])
    policy = RodePolicy(agent_of(*sets), interval=5, device="cpu")
    policy.start(200)
    for _ in range(8):
        actions = policy.explore(rng.random((200, 3, 4), np.float32), LEGAL, np.zeros(200), generator)
        for action, role in zip(actions.flat, policy.notes()["roles"].flat):
            assert action in sets[role]
    policy = RodePolicy(agent_of(*[[6]] * 3), interval=5, device="cpu")  # a set of one forces its action
    policy.start(200)
    obs = rng.random((200, 3, 4), np.float32)
    assert (policy.explore(obs, LEGAL, np.zeros(200), generator) == 6).all()
    assert set(np.unique(policy.explore(obs, LEGAL, np.ones(200), generator))) == set(range(7))


def test_the_best_action_of_the_role_is_played():
    q = np.array([[[5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 9.0, 3.0]]])
    allowed = np.array([[[0, 0, 1, 1], [1, 1, 0, 1]]], bool)
    avail = np.array([[[1, 1, 1, 1], [1, 1, 1, 0]]], bool)
    played = soft_epsilon_greedy(q, avail, allowed, np.zeros(1), np.random.default_rng(0))
    assert played.tolist() == [[2, 1]]


def test_where_the_role_has_no_legal_action_a_legal_one_is_random():
    count = 3000
    q = np.zeros((count, 1, 4))
    avail = np.broadcast_to(np.array([0, 1, 1, 0], bool), q.shape)
    allowed = np.broadcast_to(np.array([1, 0, 0, 1], bool), q.shape)
    played = soft_epsilon_greedy(q, avail, allowed, np.zeros(count), np.random.default_rng(0))
    assert set(played.flat) == {1, 2} and abs((played == 1).mean() - 0.5) < 0.05


def test_before_the_clustering_greedy_actions_have_no_preference():
    policy = RodePolicy(agent_of(), interval=5, device="cpu")
    policy.start(200)
    obs = np.random.default_rng(0).random((200, 3, 4), np.float32)
    played = policy.explore(obs, LEGAL, np.zeros(200), np.random.default_rng(1))
    shares = np.bincount(played.flat, minlength=7) / played.size
    assert abs(shares - 1 / 7).max() < 0.05
    assert set(np.unique(policy.notes()["roles"])) == {0, 1, 2}


def test_the_state_is_all_there_is():
    rng = np.random.default_rng(4)
    agent = agent_of([0, 1], [2, 3], [4, 5, 6])
    first, second = (RodePolicy(agent, interval=3, device="cpu") for _ in range(2))
    first.start(5), second.start(5)
    obs = rng.random((9, 5, 3, 4), np.float32)

    def steps(policy, times, seed):
        generator, result = np.random.default_rng(seed), []
        for t in times:
            result.append(policy.explore(obs[t], LEGAL[:5], np.full(5, 0.3), generator))
            result.append(policy.notes()["roles"].copy())
        return np.array(result)

    steps(first, range(4), 0)
    kept = first.state_dict()
    second.load_state_dict(kept)
    np.testing.assert_array_equal(steps(first, range(4, 9), 1), steps(second, range(4, 9), 1))
    assert (kept["t"] == 4).all() and kept["hidden"].shape == (5, 3, 16)
