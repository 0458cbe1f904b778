from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import AgentConfig
from baselines.value_based.policy import RecurrentPolicy, epsilon_greedy, linear_epsilon, random_actions


@pytest.mark.parametrize(
    ("env_steps", "epsilon"), [(0, 1.0), (25_000, 0.525), (50_000, 0.05), (50_001, 0.05), (10**9, 0.05)]
)
def test_epsilon_schedule(env_steps, epsilon):
    assert linear_epsilon(env_steps, start=1.0, finish=0.05, steps=50_000) == pytest.approx(epsilon)


def test_random_actions_are_uniform_over_the_legal_ones():
    avail = np.broadcast_to(np.array([False, True, False, True, True]), (1, 3000, 5))
    draws = ((np.arange(3000) + 0.5) / 3000)[None]
    chosen = np.bincount(random_actions(avail, draws)[0], minlength=5)
    assert chosen.tolist() == [0, 1000, 0, 1000, 1000]
    assert random_actions(avail[:, :1], np.array([[np.nextafter(1.0, 0.0)]])).item() == 4


def test_agents_explore_independently_with_the_epsilon_of_their_slot():
    q = np.zeros((3, 4000, 3))
    q[..., 2] = 1.0
    avail = np.ones(q.shape, bool)
    actions = epsilon_greedy(q, avail, np.array([0.0, 0.3, 1.0]), np.random.default_rng(0))
    # not greedy = epsilon * 2/3; three standard errors of 4000 draws are 0.02
    np.testing.assert_allclose((actions != 2).mean(1), [0.0, 0.2, 2 / 3], atol=0.023)
    assert (actions[0] == 2).all()


def test_equal_values_are_no_vote_for_the_first_action():
    actions = epsilon_greedy(np.zeros((1, 3000, 3)), np.ones((1, 3000, 3), bool), np.zeros(1), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(actions[0]) / 3000, 1 / 3, atol=0.03)


def test_parameter_count_on_3m(info_3m):
    agent = RecurrentAgent(info_3m, AgentConfig())
    assert sum(p.numel() for p in agent.parameters()) == 28297


def test_inputs_hold_observation_last_action_and_id(info_3m):
    agent = RecurrentAgent(info_3m, AgentConfig())
    obs = torch.rand(2, 3, 30)
    inputs = agent.inputs(obs, torch.tensor([[-1, 0, 8], [1, -1, -1]]))
    assert inputs.shape == (2, 3, 42)
    assert torch.equal(inputs[..., :30], obs)
    assert inputs[0, :, 30:39].nonzero().tolist() == [[1, 0], [2, 8]]
    assert torch.equal(inputs[1, :, 39:], torch.eye(3))
    plain = RecurrentAgent(info_3m, AgentConfig(last_action=False, agent_id=False))
    assert torch.equal(plain.inputs(obs, torch.zeros(2, 3, dtype=torch.long)), obs)


def test_acting_step_by_step_gives_the_values_of_the_unrolled_network(info_3m):
    torch.manual_seed(0)
    agent = RecurrentAgent(info_3m, AgentConfig())
    policy = RecurrentPolicy(agent, device="cpu")
    rng = np.random.default_rng(0)
    obs, actions = rng.random((5, 2, 3, 30), np.float32), rng.integers(0, 9, (5, 2, 3))
    policy.start(2)
    stepped = []
    for t in range(5):
        stepped.append(policy.q_values(obs[t]))
        policy.acted(actions[t])
    last = torch.cat([torch.full((1, 2, 3), -1), torch.from_numpy(actions[:-1])])
    inputs = agent.inputs(torch.from_numpy(obs), last).flatten(0, 1)
    unrolled = agent.unroll(inputs, [2] * 5).detach().view(5, 2, 3, 9)
    np.testing.assert_allclose(np.stack(stepped), unrolled, atol=1e-6)
    policy.start_slots(np.array([1]))  # a new episode in slot 1 only
    first = policy.q_values(obs[0])
    np.testing.assert_allclose(first[1], unrolled[0, 1], atol=1e-6)
    assert not np.allclose(first[0], unrolled[0, 0], atol=1e-3)
