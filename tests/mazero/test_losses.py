"""Losses by hand, masks, gradient flow."""

import math

import numpy as np
import pytest
import torch

from mazero.config import LossConfig
from mazero.losses import Batch, batch_loss, consistency_loss, cross_entropy, halve_gradient, policy_loss, unroll
from mazero.networks import MAZeroNetwork, NetworkConfig
from mazero.transforms import expected_scalar, two_hot

SMALL = NetworkConfig(hidden_size=8, mlp_sizes=(8,), head_size=8, attention_layers=1, attention_heads=2, dropout=0.0)


def network(n=2, a=3, o=4):
    torch.manual_seed(0)
    net = MAZeroNetwork(SMALL, obs_size=o, n_agents=n, n_actions=a)
    for head in (net.value[1], net.policy[1], net.reward.out):
        torch.nn.init.normal_(head.weight)
    return net


def batch(size=4, steps=3, n=2, a=3, o=4, k=2, seed=1):
    g = torch.Generator().manual_seed(seed)
    return Batch(
        obs=torch.randn(size, steps + 1, n, o, generator=g),
        action=torch.randint(0, a, (size, steps, n), generator=g),
        reward=torch.randn(size, steps, generator=g),
        value=torch.randn(size, steps + 1, generator=g),
        joint_actions=torch.randint(0, a, (size, steps + 1, k, n), generator=g),
        policy_weight=torch.rand(size, steps + 1, k, generator=g),
        real=torch.ones(size, steps + 1),
        importance=torch.ones(size),
    )


def changed(b, **fields):
    return Batch(**{name: fields.get(name, getattr(b, name)) for name in b.__dataclass_fields__})


def test_policy_loss_by_hand():
    logits = torch.log(torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]))  # two agents
    joint = torch.tensor([[[0, 2], [1, 0]]])  # two joint actions
    weight = torch.tensor([[0.6, 0.3]])
    expected = -(0.6 * (math.log(0.5) + math.log(0.8)) + 0.3 * (math.log(0.25) + math.log(0.1)))
    np.testing.assert_allclose(policy_loss(logits, joint, weight).item(), expected, rtol=1e-6)


def test_halve_gradient_changes_nothing_forwards():
    x = torch.tensor([2.0], requires_grad=True)
    y = halve_gradient(x)
    (3 * y).backward()
    assert y.item() == 2.0 and x.grad.item() == 1.5


def test_unroll_is_the_model_step_by_step():
    net, b = network(), batch()
    states = unroll(net, b.obs[:, 0], b.action)
    hidden = net.represent(b.obs[:, 0])
    for k in range(3):
        torch.testing.assert_close(states[:, k], hidden)
        hidden = net.step(hidden, b.action[:, k])
    torch.testing.assert_close(states[:, 3], hidden)


def test_consistency_is_minus_one_for_a_perfect_match_and_stops_the_target_gradient():
    net, b = network(), batch()
    net.predictor = torch.nn.Identity()
    obs = b.obs[:, 1:].clone().requires_grad_(True)
    states = net.represent(b.obs[:, 1:].flatten(0, 1)).view(4, 3, 2, 8)
    out = consistency_loss(net, states, obs)
    torch.testing.assert_close(out, -torch.ones(4, 3))
    out.sum().backward()
    assert obs.grad is None


def test_nothing_beyond_the_end_reaches_the_loss_except_zero_value_and_reward():
    net, b = network(), batch()
    real = torch.ones(4, 4)
    real[:, 2:] = 0
    first = changed(b, real=real)
    obs, joint = b.obs.clone(), b.joint_actions.clone()
    obs[:, 2:], joint[:, 2:] = 77.0, 0
    second = changed(first, obs=obs, joint_actions=joint)
    assert batch_loss(net, first, LossConfig())[0].item() == batch_loss(net, second, LossConfig())[0].item()
    third = changed(first, reward=b.reward + torch.tensor([0.0, 0.0, 1.0]))
    assert batch_loss(net, first, LossConfig())[0].item() != batch_loss(net, third, LossConfig())[0].item()


def test_importance_weights_scale_each_sample():
    net, b = network(), batch()
    alone = []
    for i in range(4):
        weight = torch.zeros(4)
        weight[i] = 1.0
        alone.append(batch_loss(net, changed(b, importance=weight), LossConfig())[0].item())
    weight = torch.tensor([0.1, 0.2, 0.3, 0.4])
    whole = batch_loss(net, changed(b, importance=weight), LossConfig())[0].item()
    np.testing.assert_allclose(whole, np.dot(alone, weight.numpy()), rtol=1e-5)


def test_the_parts_add_up_with_their_weights():
    net, b = network(), batch()
    config = LossConfig(value=0.25, reward=3.0, consistency=2.0)
    loss, _, means = batch_loss(net, b, config)
    parts = 3.0 * means["loss_reward"] + means["loss_policy"] + 0.25 * means["loss_value"]
    parts = parts + 2.0 * means["loss_consistency"]
    torch.testing.assert_close(loss, parts)


def test_a_small_batch_can_be_fitted():
    """Reward, value and policy of a fixed batch are learned: the gradient points the right way everywhere."""
    net = network()
    b = batch(size=2, steps=2)
    one_hot = changed(b, policy_weight=torch.zeros(2, 3, 2).index_fill(2, torch.tensor([0]), 1.0))
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(400):
        loss, predicted, means = batch_loss(net, one_hot, LossConfig())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    np.testing.assert_allclose(predicted.numpy(), one_hot.value[:, 0].numpy(), atol=0.15)
    assert means["loss_policy"] < 0.1  # 1.1 at the start
    assert means["loss_consistency"] < -0.85


def half(x):
    return 0.5 * x + 0.5 * x.detach()


def naive_loss(net, b, config):
    """Sample by sample and step by step, on the layers of inference, from the formula in the module's docstring."""
    steps, total = b.action.shape[1], 0.0
    for s in range(len(b.value)):
        hidden, loss = net.represent(b.obs[s : s + 1, 0]), 0.0
        for k in range(steps + 1):
            if k:
                action = b.action[s : s + 1, k - 1]
                before = half(hidden) if k > 1 and config.halved_gradient == "dynamics" else hidden
                hidden = net.step(before, action)
                reward = torch.log_softmax(net.reward_logits(hidden, action)[0], -1)
                if config.halved_gradient == "state":  # in all that follows
                    hidden = half(hidden)
                loss = loss - config.reward * (two_hot(b.reward[s, k - 1], 5) * reward).sum()
                online = net.predictor(net.project(hidden))[0]
                target = net.project(net.represent(b.obs[s : s + 1, k]))[0].detach()
                cosine = (online @ target) / (online.norm() * target.norm())
                counts = 1.0 if config.consistency_beyond_end else b.real[s, k]
                loss = loss - config.consistency * cosine * counts
            value = torch.log_softmax(net.value_logits(hidden)[0], -1)
            loss = loss - config.value * (two_hot(b.value[s, k], 5) * value).sum()
            log_p = torch.log_softmax(net.policy_logits(hidden)[0], -1)  # (n, A)
            for c in range(b.joint_actions.shape[2]):
                for i, own in enumerate(b.joint_actions[s, k, c]):
                    loss = loss - b.real[s, k] * b.policy_weight[s, k, c] * log_p[i, own]
        total = total + b.importance[s] * loss
    return total / len(b.value) / steps


@pytest.mark.parametrize("beyond", [True, False])
@pytest.mark.parametrize("halved", ["dynamics", "state"])
def test_loss_and_gradients_are_those_of_a_plain_restatement(halved, beyond):
    net, b = network(), batch()
    real = torch.ones(4, 4)
    real[1, 2:], real[2, 1:] = 0, 0
    b = changed(b, real=real, importance=torch.tensor([0.2, 1.0, 0.7, 0.4]))
    config = LossConfig(value=0.25, reward=1.5, consistency=2.0, halved_gradient=halved, consistency_beyond_end=beyond)
    gradients = []
    for training, compute in (
        (True, lambda: batch_loss(net, b, config)[0]),
        (False, lambda: naive_loss(net, b, config)),
    ):
        net.train(training)
        net.zero_grad()
        loss = compute()
        loss.backward()
        gradients.append((loss.detach(), {name: p.grad.clone() for name, p in net.named_parameters()}))
    torch.testing.assert_close(gradients[0][0], gradients[1][0], rtol=1e-5, atol=1e-6)
    for name, gradient in gradients[0][1].items():
        torch.testing.assert_close(
            gradient, gradients[1][1][name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_every_number_of_a_batch_is_that_of_plain_loops():
    """The returned loss, root values and logged means; two of 5 * (4 + 3) targets lie beyond h(x) = 5, x = 34.6."""
    net, b, config = network(a=4), batch(size=5, a=4), LossConfig(value=0.3, consistency=0.7)
    real, value, reward = torch.ones(5, 4), b.value.clone(), b.reward.clone()
    real[1, 2:], real[3, 1:], value[0, 2], reward[4, 1] = 0, 0, 40.0, -36.0
    b = changed(b, real=real, value=value, reward=reward, importance=torch.linspace(0.2, 1.0, 5))
    sums = dict.fromkeys(("loss_value", "loss_reward", "loss_policy", "loss_consistency", "policy_entropy"), 0.0)
    roots, loss = [], 0.0
    states = unroll(net, b.obs[:, 0], b.action)
    for s in range(5):
        parts = dict.fromkeys(("value", "reward", "policy", "consistency"), 0.0)
        for k in range(4):
            hidden = states[s : s + 1, k]
            logits, own = net.value_logits(hidden)[0], torch.log_softmax(net.policy_logits(hidden)[0], -1)
            parts["value"] -= (two_hot(value[s, k], 5) * torch.log_softmax(logits, -1)).sum().item()
            for c in range(2):
                chosen = sum(own[i, b.joint_actions[s, k, c, i]].item() for i in range(2))
                parts["policy"] -= (real[s, k] * b.policy_weight[s, k, c]).item() * chosen
            if k == 0:
                roots.append(expected_scalar(logits).item())
                sums["policy_entropy"] -= sum((own[i] * own[i].exp()).sum().item() for i in range(2)) / 10
            else:
                logits = net.reward_logits(hidden, b.action[s : s + 1, k - 1])[0]
                parts["reward"] -= (two_hot(reward[s, k - 1], 5) * torch.log_softmax(logits, -1)).sum().item()
                both = net.predictor(net.project(hidden))[0], net.project(net.represent(b.obs[s : s + 1, k]))[0]
                cosine = (both[0] @ both[1]) / (both[0].norm() * both[1].norm())
                parts["consistency"] -= (real[s, k] * cosine).item()
        for name, part in parts.items():
            sums[f"loss_{name}"] += part / 5 / 3
        whole = parts["reward"] + parts["policy"] + 0.3 * parts["value"] + 0.7 * parts["consistency"]
        loss += b.importance[s].item() * whole / 5 / 3
    found, predicted, means = batch_loss(net, b, config)
    np.testing.assert_allclose(predicted.numpy(), roots, rtol=1e-4, atol=1e-6)
    numbers = {name: mean.item() for name, mean in means.items()}
    assert numbers == pytest.approx(sums | {"loss": loss, "targets_clipped": 2 / 35}, rel=1e-4, abs=1e-6)
    assert found.item() == means["loss"].item() and found.requires_grad
    assert not any(mean.requires_grad for mean in (predicted, *means.values()))


def test_without_a_weight_consistency_is_neither_computed_nor_logged():
    net, b = network(), batch()
    net.project = None
    loss, _, means = batch_loss(net, b, LossConfig(consistency=0.0))
    assert "loss_consistency" not in means
    expected = means["loss_reward"] + means["loss_policy"] + 0.25 * means["loss_value"]
    torch.testing.assert_close(loss, expected)


def test_root_values_are_read_in_single_precision_whatever_the_update_runs_in():
    net, b = network(), batch()
    logits = torch.randn(16, 11, generator=torch.Generator().manual_seed(2))
    net.value_logits = lambda hidden: logits
    with torch.autocast("cpu", torch.bfloat16):
        _, predicted, means = batch_loss(net, b, LossConfig())
    assert torch.equal(predicted, expected_scalar(logits.view(4, 4, 11)[:, 0]))
    assert {mean.dtype for mean in means.values()} == {torch.float32}


def test_cross_entropy_by_hand_over_the_last_axis():
    log_p = torch.log(
        torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[0.125, 0.875], [0.2, 0.8]], [[0.1, 0.9], [0.6, 0.4]]])
    )
    target = torch.tensor([1.0, 0.0]).expand(3, 2, 2)
    expected = [[math.log(2), math.log(4)], [math.log(8), math.log(5)], [math.log(10), -math.log(0.6)]]
    np.testing.assert_allclose(cross_entropy(log_p + 3.0, target).numpy(), expected, rtol=1e-5)


def test_policy_loss_is_taken_position_by_position():
    b, logits = batch(size=5, n=3, a=4), torch.randn(5, 4, 3, 4, generator=torch.Generator().manual_seed(3))
    out = policy_loss(logits, b.joint_actions, b.policy_weight)
    assert out.shape == (5, 4)
    for s, k in np.ndindex(5, 4):
        log_p = logits[s, k].log_softmax(-1)
        per_action = [sum(log_p[i, own] for i, own in enumerate(joint)) for joint in b.joint_actions[s, k]]
        torch.testing.assert_close(out[s, k], -(b.policy_weight[s, k] * torch.stack(per_action)).sum())
