"""Values of roles and actions by hand, and the two ways through time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.rode.agent import RodeAgent, inner_products
from baselines.rode.config import EncoderConfig, RodeConfig, RolesConfig
from baselines.value_based.config import AgentConfig
from envs.interface import EnvInfo

INFO = EnvInfo("toy", "test", "smac", 2, 1, 7, 3, 5, 12, False)


def make(clusters: int = 3) -> RodeAgent:
    torch.manual_seed(0)
    config = RodeConfig(
        agent=AgentConfig(hidden_size=6), roles=RolesConfig(clusters=clusters), encoder=EncoderConfig(action_size=2)
    )
    return RodeAgent(INFO, config)


def sets(*members: list[int]) -> torch.Tensor:
    result = torch.zeros(len(members), INFO.n_actions, dtype=torch.bool)
    for row, actions in zip(result, members):
        row[actions] = True
    return result


def test_the_representation_of_a_role_is_the_mean_of_its_actions():
    agent = make()
    z = torch.arange(14.0).view(7, 2)
    agent.set_roles(sets([0, 1], [0, 6], [2, 3, 4]), z)
    expected = torch.tensor([[1.0, 2.0], [6.0, 7.0], [6.0, 7.0], [0.0, 0.0]])
    torch.testing.assert_close(agent.role_points, expected)
    assert agent.active.tolist() == [True, True, True, False]
    assert agent.action_sets.sum(-1).tolist() == [2, 2, 3, 7]
    torch.testing.assert_close(agent.action_points, z)
    agent.set_roles(sets(*[[0]] * 4), z)
    assert agent.active.all()


def test_values_are_inner_products_by_hand():
    agent = make()
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [0.5, 0.5]])
    agent.set_roles(sets([0, 1], [2, 3], [4]), z)
    with torch.no_grad():
        agent.heads.weight.zero_()
        agent.heads.bias.copy_(torch.tensor([1.0, 2.0, 10.0, 0.0, -1.0, 1.0, 0.0, 0.0]))  # keys of four roles
        agent.selector[2].weight.zero_()
        agent.selector[2].bias.copy_(torch.tensor([2.0, 3.0]))
    hidden = torch.rand(3, 6)
    q = agent.action_values(hidden, torch.tensor([0, 1, 2]))
    expected = [
        [1.0, 2.0, 3.0, 2.0, 4.0, -1.0, 1.5],
        [10.0, 0.0, 10.0, 20.0, 0.0, -10.0, 5.0],
        [-1.0, 1.0, 0.0, -2.0, 2.0, 1.0, 0.0],
    ]
    torch.testing.assert_close(q, torch.tensor(expected))
    # zbar = (0.5, 0.5), (1.5, 0.5), (0, 2); the fourth role is not in use
    torch.testing.assert_close(agent.role_values(hidden)[:, :3], torch.tensor([[2.5, 4.5, 6.0]] * 3))


def test_before_the_clustering_all_actions_and_roles_are_worth_the_same_to_the_last_bit():
    agent = make(clusters=5)
    assert agent.active.tolist() == [True, True, True, False, False]
    values, _ = agent.step(torch.rand(40, agent.trunk.input_size), torch.rand(40, 12))
    roles, actions = values.split([5, 35], -1)
    assert (roles == roles[:, :1]).all()
    actions = actions.view(40, 5, 7)
    assert (actions == actions[..., :1]).all() and not torch.equal(actions[:, 0], actions[:, 1])


@pytest.mark.parametrize("count", [1, 3, 7, 9, 14])
def test_equal_points_have_equal_products(count):
    torch.manual_seed(1)
    keys, points = torch.randn(11, 3, 20), torch.randn(count, 20)
    torch.testing.assert_close(inner_products(keys, points), keys @ points.t())
    order = torch.randint(count, (23,))
    products = inner_products(keys, points[order])
    torch.testing.assert_close(products, keys @ points[order].t())
    for a in range(count):
        same = products[..., order == a]
        assert (same == same[..., :1]).all()


def test_steps_and_the_unrolled_episode_agree():
    agent = make()
    agent.set_roles(sets([0, 1], [2, 3], [4, 5, 6]), torch.randn(7, 2))
    counts, n = [2, 2, 1], 2
    inputs = torch.rand(5, n, agent.trunk.input_size)
    with torch.no_grad():
        hidden, role_hidden = agent.unroll(inputs, counts)
        state = torch.zeros(2 * n, 12)
        for t, rows in enumerate(([0, 1], [2, 3], [4])):
            values, state = agent.step(inputs[rows].flatten(0, 1), state[: n * len(rows)])
            torch.testing.assert_close(state, torch.cat([hidden[rows], role_hidden[rows]], -1).flatten(0, 1))
            torch.testing.assert_close(values[:, :4], agent.role_values(role_hidden[rows]).flatten(0, 1))
            for role in range(4):
                roles = torch.full((len(rows), n), role)
                expected = agent.action_values(hidden[rows], roles).flatten(0, 1)
                torch.testing.assert_close(values[:, 4 + 7 * role : 11 + 7 * role], expected)
            assert t < 3


def test_heads_are_there_for_every_role_that_can_come():
    assert {k: make(k).n_roles for k in (1, 2, 3, 4, 5, 7)} == {1: 4, 2: 4, 3: 4, 4: 4, 5: 5, 7: 7}


def test_sizes_are_the_authors():
    agent = RodeAgent(EnvInfo("3m", "skirmish", "smac", 3, 3, 9, 30, 48, 60, False), RodeConfig())
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in agent.named_children()}
    assert parts == {
        "trunk": 2752 + 24960,
        "role_trunk": 2752 + 24960,
        "heads": 5 * (64 * 20 + 20),
        "selector": 64 * 128 + 128 + 128 * 20 + 20,
    }
    assert np.prod(agent.action_points.shape) == 180
