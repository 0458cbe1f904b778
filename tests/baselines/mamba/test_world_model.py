"""The world model: attention against PyTorch's layer, resetting, permutations, and one step after another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from baselines.mamba.attention import AgentAttention, position_table
from baselines.mamba.config import ModelConfig
from baselines.mamba.world_model import NO_ACTION, State, WorldModel
from envs.interface import EnvInfo

CONFIG = ModelConfig(hidden_size=8, categoricals=3, classes=4, attention_layers=2, heads=2)
T, B, n, A, O = 5, 2, 3, 4, 6  # noqa: E741


def build(*, positions=True, seed=0):
    torch.manual_seed(seed)
    return WorldModel(EnvInfo("toy", "test", "smac", n, 1, A, O, 5, 9, False), CONFIG, positions=positions)


def inputs(seed=0):
    g = torch.Generator().manual_seed(seed)
    obs, uniforms = torch.rand(T, B, n, O, generator=g), torch.rand(T - 1, B * n, 3, generator=g)
    return obs, torch.randint(0, A, (T, B, n), generator=g), torch.zeros(T, B), uniforms


def test_attention_is_pytorchs_layer_behind_the_table():
    torch.manual_seed(0)
    ours = AgentAttention(8, 2, 2)
    layers = []
    for layer in ours.layers:
        theirs = nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0, batch_first=True)
        attention = {"in_proj_weight": layer.qkv.weight, "in_proj_bias": layer.qkv.bias}
        attention |= {"out_proj.weight": layer.mix.weight, "out_proj.bias": layer.mix.bias}
        theirs.self_attn.load_state_dict(attention)
        for a, b in (("linear1", "inner"), ("linear2", "outer"), ("norm1", "norm_1"), ("norm2", "norm_2")):
            getattr(theirs, a).load_state_dict(getattr(layer, b).state_dict())
        layers.append(theirs)
    x = torch.randn(6, 3, 8)
    expected = layers[1](layers[0](x + position_table(30, 8)[:3]))
    torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


def test_positions_are_sines_and_cosines():
    table = position_table(3, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert table[2].tolist() == pytest.approx([f(2 / 10000 ** (2 * j / 6)) for j in range(3) for f in (np.sin, np.cos)])


def test_dropout_keeps_its_share_and_the_mean():
    attention = AgentAttention(8, 2, 2)
    steps = attention.draw_keep(np.random.default_rng(0), 3, (50, 3), 0.1, torch.device("cpu"))
    assert len(steps) == 3 and len(steps[0]) == 2
    for part, shape in zip(steps[2][1], [(50, 2, 3, 3), *[(50, 3, 8)] * 3], strict=True):
        assert part.shape == shape and part.unique().tolist() == pytest.approx([0.0, 1 / 0.9], abs=1e-4)
        assert part.mean().item() == pytest.approx(1.0, abs=0.05)


def test_what_lies_before_an_end_does_not_reach_behind_it():
    model = build()
    obs, action, last, uniforms = inputs()
    last[1, 0] = 1.0  # the first sequence begins anew with step 2
    base = model.observe(obs, action, last, uniforms)
    other_obs = obs.clone()
    other_obs[:2] = 30.0 * (other_obs[:2] - 0.5)
    changed = model.observe(other_obs, action, last, uniforms)
    rows = torch.arange(B * n) < n
    assert torch.equal(changed.deter[2:, rows], base.deter[2:, rows])
    assert not torch.equal(changed.deter[2:, ~rows], base.deter[2:, ~rows])
    alone = model.observe(obs[2:], action[2:], last[2:], uniforms[2:])
    torch.testing.assert_close(alone.deter[:, rows], base.deter[2:, rows])
    assert torch.equal(alone.codes[:, rows], base.codes[2:, rows])


@pytest.mark.parametrize("positions", [False, True])
def test_a_team_is_a_set_unless_agents_have_positions(positions):
    model = build(positions=positions)
    obs, action, last, uniforms = inputs()
    order = torch.tensor([2, 0, 1])
    draws = uniforms.view(T - 1, B, n, 3)[:, :, order].reshape(T - 1, B * n, 3)
    straight = model.observe(obs, action, last, uniforms).deter.view(T, B, n, 8)[:, :, order]
    turned = model.observe(obs[:, :, order], action[:, :, order], last, draws).deter.view(T, B, n, 8)
    assert torch.allclose(straight, turned, atol=1e-5) != positions


def test_sequences_are_single_steps_in_a_row():
    model = build()
    obs, action, last, uniforms = inputs()
    action[0] = NO_ACTION
    seen = model.observe(obs, action, last, uniforms)
    state, tables = State(torch.zeros(B * n, 3, dtype=torch.int32), torch.zeros(B * n, 8)), model.tables()
    for t in range(T - 1):
        alive = torch.full((B * n, 1), float(t > 0))
        deter = model.advance(tables, state, action[t].flatten(), alive)
        torch.testing.assert_close(deter, seen.deter[t])
        torch.testing.assert_close(model.posterior_probs(deter, obs[t].flatten(0, 1)), seen.probs[t])
        state = State(seen.codes[t], deter)
    torch.testing.assert_close(model.advance(tables, state, action[-1].flatten()), seen.deter[-1])


def test_the_transition_is_the_papers():
    """With a GRU cell of PyTorch and dense one-hots."""
    model = build()
    codes, deter = torch.tensor([[0, 5, 11]] * n, dtype=torch.int32), torch.randn(n, 8)
    z = torch.zeros(n, 12)
    z[:, [0, 5, 11]] = 1.0
    action = torch.tensor([1, 0, 3])
    x = model.input(torch.cat([torch.eye(A)[action], z], -1)).relu()
    expected = model.cell(model.attention(x[None])[0], deter)
    torch.testing.assert_close(model.advance(model.tables(), State(codes, deter), action), expected)


def test_heads_read_latents_and_deterministic_part():
    model = build()
    codes, deter = torch.tensor([[3, 4, 9]] * n, dtype=torch.int32), torch.randn(n, 8)
    z = torch.zeros(n, 12)
    z[:, [3, 4, 9]] = 1.0
    first = model.reward.first
    dense = model.reward.rest(nn.functional.linear(torch.cat([z, deter], -1), first.weight, first.bias))
    torch.testing.assert_close(model.reward(State(codes, deter)), dense)


def test_teams_larger_than_the_table_are_refused():
    with pytest.raises(ValueError, match="mamba has positions for 30 agents, got 31 on big"):
        WorldModel(EnvInfo("big", "test", "smac", 31, 1, A, O, 5, 9, False), CONFIG)
