"""Networks: shapes, the look-up form of a one-hot Linear, sharing, initial outputs, gradients."""

import pytest
import torch
import torch.nn.functional as F

from mazero.networks import ActionLinear, MAZeroNetwork, NetworkConfig, RewardHead, position_code

SMALL = NetworkConfig(hidden_size=16, mlp_sizes=(16,), head_size=8, attention_layers=2, attention_heads=4, dropout=0.0)


def network(config=SMALL, n=3, a=5, o=7):
    torch.manual_seed(0)
    return MAZeroNetwork(config, obs_size=o, n_agents=n, n_actions=a).eval()


def randomise_heads(net):
    """Heads start at zero; give them weights so that outputs can be told apart."""
    for head in (net.value[1], net.policy[1], net.reward.out):
        torch.nn.init.normal_(head.weight)
    return net


def test_action_linear_is_a_linear_over_the_concatenated_one_hot():
    torch.manual_seed(1)
    layer = ActionLinear(4, 3, 6)
    torch.nn.init.normal_(layer.bias)
    x, action = torch.randn(5, 2, 4), torch.randint(0, 3, (5, 2))
    whole = torch.cat((x, F.one_hot(action, 3).float()), -1)
    expected = F.linear(whole, torch.cat((layer.weight, layer.action_rows.t()), 1), layer.bias)
    torch.testing.assert_close(layer(x, action), expected)


def test_reward_head_reads_every_agents_hidden_state_and_action():
    torch.manual_seed(1)
    head = RewardHead(SMALL, 3, 5)
    torch.nn.init.normal_(head.out.weight)
    hidden, action = torch.randn(4, 3, 16), torch.randint(0, 5, (4, 3))
    rows = head.action_rows.view(3, 5, -1)
    weight = head.weight.view(-1, 3, 16)
    x = head.bias + sum(
        hidden[:, i] @ weight[:, i].t() + F.one_hot(action[:, i], 5).float() @ rows[i] for i in range(3)
    )
    torch.testing.assert_close(head(hidden, action), head.out(head.norm(F.relu(x))))


def test_shapes_and_zero_initial_predictions():
    net = network()
    root = net.initial_inference(torch.randn(6, 3, 7))
    step = net.recurrent_inference(root.hidden, torch.randint(0, 5, (6, 3)))
    for prediction in (root, step):
        assert prediction.hidden.shape == (6, 3, 16)
        assert prediction.policy_logits.shape == (6, 3, 5)
        assert prediction.reward.abs().max() < 1e-6 and prediction.value.abs().max() < 1e-6
        assert prediction.policy_logits.abs().max() == 0


def test_agents_share_representation_and_policy_but_attention_joins_them():
    net = randomise_heads(network())
    obs = torch.randn(2, 3, 7)
    root = net.initial_inference(obs)
    swapped = net.initial_inference(obs[:, [1, 0, 2]])
    torch.testing.assert_close(swapped.policy_logits, root.policy_logits[:, [1, 0, 2]])
    action = torch.zeros(2, 3, dtype=torch.long)
    other = action.clone()
    other[:, 2] = 1
    mine = net.step(root.hidden, action)[:, 0]
    assert (mine - net.step(root.hidden, other)[:, 0]).abs().max() > 1e-4  # agent 0 feels what agent 2 does


def test_rows_of_a_batch_do_not_leak_into_each_other():
    net = randomise_heads(network())
    hidden, action = torch.randn(5, 3, 16), torch.randint(0, 5, (5, 3))
    whole = net.recurrent_inference(hidden, action)
    one = net.recurrent_inference(hidden[2:3], action[2:3])
    torch.testing.assert_close(whole.hidden[2:3], one.hidden)
    torch.testing.assert_close(whole.value[2:3], one.value)


def test_every_parameter_gets_a_gradient():
    net = randomise_heads(network()).train()
    root = net.initial_inference(torch.randn(6, 3, 7))
    step = net.recurrent_inference(root.hidden, torch.randint(0, 5, (6, 3)))
    total = (step.reward + step.value).sum() + step.policy_logits.square().sum()
    total = total + (net.predictor(net.project(step.hidden)) * torch.randn(6, 128)).sum()
    total.backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_position_code_is_the_sinusoid_of_the_agent_index():
    code = position_code(3, 4)
    expected = [[0, 1, 0, 1], [0.841471, 0.540302, 0.0099998, 0.99995], [0.909297, -0.416147, 0.0199987, 0.9998]]
    torch.testing.assert_close(code, torch.tensor(expected), atol=1e-5, rtol=0)


def test_the_default_sizes_are_the_published_ones():
    net = network(NetworkConfig(), n=3, a=9, o=64)
    assert len(net.communication.layers) == 3
    assert net.representation.layers[0].weight.shape == (128, 64)
    assert net.dynamics.first.weight.shape == (128, 256) and net.dynamics.first.action_rows.shape == (9, 128)
    assert net.reward.weight.shape == (32, 3 * 128)
    assert net.value[1].weight.shape == (11, 32)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple of attention_heads"):
        NetworkConfig(hidden_size=30, attention_heads=4)
    with pytest.raises(ValueError, match="dropout"):
        NetworkConfig(dropout=1.0)
