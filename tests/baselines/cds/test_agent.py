"""Q values of a shared and of each agent's own head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.cds.agent import DiverseAgent, LocalHeads, diverse_agent
from baselines.value_based.config import AgentConfig
from baselines.value_based.policy import RecurrentPolicy
from training.config import apply_overrides, load_preset

PLAIN = AgentConfig(hidden_size=8, agent_id=False)


def test_published_agent_on_3m(info_3m):
    """Encoder (30 + 9) 64 + 64, GRU 24960, a shared and three own heads of 64 9 + 9."""
    entry = registry.find("cds")
    agent = diverse_agent(load_preset(entry.presets, "published", entry.config), info_3m)
    assert sum(p.numel() for p in agent.parameters()) == 39 * 64 + 64 + 24960 + 4 * 585
    assert agent.local_penalty == 0.1 and not agent.agent_id and agent.last_action


def test_local_heads_begin_as_linear_layers():
    torch.manual_seed(0)
    heads = LocalHeads(3, 64, 9)
    for parameter in heads.parameters():
        assert 0.8 * 64**-0.5 < parameter.abs().max() <= 64**-0.5
    assert not torch.equal(heads.weight[0], heads.weight[1])


def test_values_are_sums_and_the_penalty_is_the_mean_of_what_is_local():
    """Two agents, hidden states of one entry, two actions; shared (1, -1) g + (0, 2)."""
    from envs.interface import EnvInfo

    agent = DiverseAgent(
        EnvInfo("toy", "test", "smac", 2, 1, 2, 3, 5, 9, False),
        AgentConfig(hidden_size=1, agent_id=False),
        local_penalty=0.5,
    )
    with torch.no_grad():
        agent.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        agent.head.bias.copy_(torch.tensor([0.0, 2.0]))
        agent.local_heads.weight.copy_(torch.tensor([[[0.5, 0.0]], [[-1.0, 2.0]]]))
        agent.local_heads.bias.copy_(torch.tensor([[[0.0, 0.25]], [[0.0, 0.0]]]))
    q, penalty = agent.with_penalty(torch.tensor([[[2.0], [3.0]]]))
    # local: (1, 0.25) and (-3, 6)
    assert q.tolist() == [[[3.0, 0.25], [0.0, 5.0]]]
    assert penalty.item() == 0.5 * (1 + 0.25 + 3 + 6) / 4
    assert torch.equal(agent.values(torch.tensor([[[2.0], [3.0]]])), q)


def test_agents_change_places_with_their_heads(info_3m):
    """Without an index nothing but its head tells an agent from another."""
    torch.manual_seed(0)
    agent = DiverseAgent(info_3m, PLAIN, local_penalty=0.1)
    counts, order = [4, 2, 1], [2, 0, 1]
    obs, last = torch.rand(7, 3, 30), torch.randint(-1, 9, (7, 3))
    before = agent.unroll(agent.inputs(obs, last), counts)
    with torch.no_grad():
        for parameter in agent.local_heads.parameters():
            parameter.copy_(parameter[order])
    after = agent.unroll(agent.inputs(obs[:, order], last[:, order]), counts)
    torch.testing.assert_close(after, before[:, order])
    unmoved = agent.unroll(agent.inputs(obs, last), counts)
    assert not torch.allclose(unmoved, before, atol=1e-3)


def test_acting_step_by_step_gives_the_values_of_the_unrolled_network(info_3m):
    torch.manual_seed(0)
    agent, rng = DiverseAgent(info_3m, PLAIN, local_penalty=0.1), np.random.default_rng(0)
    policy = RecurrentPolicy(agent, device="cpu")
    obs, actions = rng.random((5, 2, 3, 30), np.float32), rng.integers(0, 9, (5, 2, 3))
    policy.start(2)
    stepped = []
    for t in range(5):
        stepped.append(policy.q_values(obs[t]))
        policy.acted(actions[t])
    last = torch.cat([torch.full((1, 2, 3), -1), torch.from_numpy(actions[:-1])])
    unrolled = agent.unroll(agent.inputs(torch.from_numpy(obs), last).flatten(0, 1), [2] * 5).detach()
    np.testing.assert_allclose(np.stack(stepped), unrolled.view(5, 2, 3, 9), atol=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_the_penalty_is_the_settings(info_3m, penalty):
    entry = registry.find("cds")
    config = load_preset(entry.presets, "published", entry.config)
    agent = diverse_agent(apply_overrides(config, [f"diversity.local_penalty={penalty}"]), info_3m)
    hidden = torch.randn(6, 3, 64)
    expected = penalty * agent.local_heads(hidden).abs().mean()
    torch.testing.assert_close(agent.with_penalty(hidden)[1], expected)
