"""The fused network computes what the torch network computes, follows its weights, and serves search."""

import numpy as np
import pytest
import torch

from mazero.inference import FusedModel, TorchModel
from mazero.inference.packed import samples_in_a_tile
from mazero.networks import MAZeroNetwork, NetworkConfig
from mazero.search import SearchConfig, Workspace, search

SMALL = NetworkConfig(hidden_size=16, mlp_sizes=(24,), head_size=8, attention_layers=1, attention_heads=2)


def network_of(config=SMALL, *, n=3, obs_size=7, n_actions=5, seed=0):
    """Random everywhere: heads start at zero, which would hide mistakes. The first agent is of another type."""
    torch.manual_seed(seed)
    types = ("medivac", *["marine"] * (n - 1))
    network = MAZeroNetwork(config, obs_size=obs_size, n_agents=n, n_actions=n_actions, agent_types=types).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def observations(network, batch, seed=0):
    shape = (batch, network.n_agents, network.inputs)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def step(model, hidden, actions):
    """One step of an in-place model: next hidden states, outputs."""
    batch, n = actions.shape
    stack = np.concatenate((hidden, np.full_like(hidden, np.nan)))
    outputs = np.full((batch, 2 + n * model._network.n_actions), np.nan, np.float32)
    model.begin(stack)
    model.step_in_place(stack, np.arange(batch), actions, batch, outputs)
    np.testing.assert_array_equal(stack[:batch], hidden)
    return stack[batch:], outputs


CONFIGS = {
    "default": (NetworkConfig(), 3, 30, 9),
    "eight agents": (NetworkConfig(), 8, 80, 14),
    "twenty-seven agents, stacked": (NetworkConfig(stacked_observations=4), 27, 60, 36),
    "one agent": (NetworkConfig(), 1, 5, 2),
    "laptop": (NetworkConfig(hidden_size=64, mlp_sizes=(64,), attention_layers=1, attention_heads=4), 3, 30, 9),
    "odd sizes": (
        NetworkConfig(hidden_size=21, mlp_sizes=(33, 17), head_size=9, attention_layers=2, attention_heads=3,
                      support=20),
        2, 11, 70,
    ),
    "without communication": (NetworkConfig(communication=False, mlp_sizes=(48, 40)), 5, 30, 9),
    "without sharing": (NetworkConfig(sharing="none", attention_layers=1), 8, 41, 14),
    "none shared, 27 agents": (NetworkConfig(sharing="none", hidden_size=40, mlp_sizes=(24,)), 27, 33, 36),
    "shared by type": (NetworkConfig(sharing="type", hidden_size=24, mlp_sizes=(40,), attention_layers=1), 5, 20, 7),
    "without either": (NetworkConfig(sharing="none", communication=False, hidden_size=24, mlp_sizes=()), 3, 20, 7),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_function_as_torch(name):
    config, n, obs_size, n_actions = CONFIGS[name]
    network = network_of(config, n=n, obs_size=obs_size, n_actions=n_actions)
    model, batch = FusedModel(network), 37
    obs = observations(network, batch)
    actions = np.random.default_rng(1).integers(0, n_actions, (batch, n))
    roots = model.roots(obs)
    exact = network.double()
    with torch.inference_mode():
        expected = exact.initial_inference(torch.from_numpy(obs).double())
        following = exact.recurrent_inference(expected.hidden, torch.from_numpy(actions))
    np.testing.assert_allclose(roots.hidden, expected.hidden, atol=5e-5)
    np.testing.assert_allclose(roots.value, expected.value, atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(roots.policy_logits, expected.policy_logits, atol=1e-4)
    hidden, outputs = step(model, expected.hidden.float().numpy(), actions)
    np.testing.assert_allclose(hidden, following.hidden, atol=1e-4)
    np.testing.assert_allclose(outputs[:, 0], following.reward, atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(outputs[:, 1], following.value, atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(outputs[:, 2:].reshape(batch, n, -1), following.policy_logits, atol=2e-4)
    assert np.abs(outputs).max() > 0.1


def test_steps_from_one_state_share_what_no_action_changes_until_the_next_search():
    network = network_of()
    model = FusedModel(network)
    hidden = model.roots(observations(network, 5)).hidden.numpy()
    actions = np.random.default_rng(1).integers(0, 5, (2, 5, 3))
    stack = np.concatenate((hidden, np.zeros((10, 3, 16), np.float32)))
    outputs = np.zeros((2, 5, 2 + 3 * 5), np.float32)
    model.begin(stack)
    for i in range(2):  # both from the same states
        model.step_in_place(stack, np.arange(5), actions[i], 5 * (i + 1), outputs[i])
    together = stack[5:].copy().reshape(2, 5, 3, 16), outputs.copy()
    for i in range(2):
        alone, output = step(model, hidden, actions[i])
        np.testing.assert_array_equal(together[0][i], alone)
        np.testing.assert_array_equal(together[1][i], output)
    other = np.ascontiguousarray(hidden[::-1])
    stack[:5] = other
    model.begin(stack)
    model.step_in_place(stack, np.arange(5), actions[0], 5, outputs[0])
    np.testing.assert_array_equal(outputs[0], step(model, other, actions[0])[1])


@pytest.mark.parametrize(("n", "samples"), [(1, 48), (3, 16), (5, 12), (8, 6), (10, 6), (27, 2), (50, 3)])
def test_tiles_are_whole_register_tiles(n, samples):
    assert samples_in_a_tile(n) == samples and n * samples % 6 == 0


def test_a_sample_does_not_depend_on_the_others():
    network = network_of()
    model = FusedModel(network)
    hidden = model.roots(observations(network, 50)).hidden.numpy()
    actions = np.random.default_rng(1).integers(0, 5, (50, 3))
    together, outputs = step(model, hidden, actions)
    for b in (0, 16, 49):
        alone, output = step(model, hidden[b : b + 1], actions[b : b + 1])
        np.testing.assert_array_equal(alone[0], together[b])
        np.testing.assert_array_equal(output[0], outputs[b])


def test_it_follows_the_weights():
    network = network_of()
    model, obs = FusedModel(network), observations(network, 4)
    before = model.roots(obs).value
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    network.value_logits(network.represent(torch.from_numpy(obs))).square().sum().backward()
    optimiser.step()
    model.weights_changed()
    moved = model.roots(obs).value
    assert (moved - before).abs().min() > 1e-3
    with torch.inference_mode():
        torch.testing.assert_close(moved, network.initial_inference(torch.from_numpy(obs)).value, atol=1e-4, rtol=1e-4)
    network.load_state_dict(network_of().state_dict())  # noticed without being told
    torch.testing.assert_close(model.roots(obs).value, before, atol=0, rtol=0)


def test_search_with_either_model_is_the_same_search():
    """Rounding may turn a rare tie or draw; nearly all roots have equal trees, and none is off in value by much."""
    network = network_of()
    obs, seeds = observations(network, 64), np.arange(64, dtype=np.uint64)
    config = SearchConfig(num_simulations=30, num_sampled_actions=6)
    found = [
        search(model.recurrent, model.roots(obs), config, seeds, noise=True)
        for model in (FusedModel(network), TorchModel(network))
    ]
    same = (found[0].visit_counts == found[1].visit_counts).all(axis=1)
    assert same.mean() > 0.9
    np.testing.assert_allclose(found[0].value[same], found[1].value[same], atol=1e-3)
    np.testing.assert_array_equal(found[0].joint_actions[same], found[1].joint_actions[same])


@pytest.mark.parametrize("threads", [1, 3])
def test_chunks_and_threads_change_nothing(monkeypatch, threads):
    network = network_of()
    model, obs = FusedModel(network), observations(network, 23)
    available = np.random.default_rng(2).random((23, 3, 5)) < 0.6
    available[..., 0] = True
    seeds, config = np.arange(23, dtype=np.uint64), SearchConfig(num_simulations=12, num_sampled_actions=5)

    def found():
        space = Workspace()
        roots = model.roots(obs, available)
        result = search(model.recurrent, roots, config, seeds, noise=True, workspace=space, threads=threads)
        assert all(seconds > 0 for seconds in space.seconds.values())
        return result

    whole = found()
    assert model.roots_at_once == 32
    monkeypatch.setattr(FusedModel, "roots_at_once", 5)
    parts = found()
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), values, err_msg=name)


def test_not_finite_weights_are_reported_with_the_root(monkeypatch):
    network = network_of()
    model, obs = FusedModel(network), observations(network, 8)
    config, seeds = SearchConfig(num_simulations=3), np.arange(8, dtype=np.uint64)
    obs[6] = np.nan
    monkeypatch.setattr(FusedModel, "roots_at_once", 4)
    with pytest.raises(ValueError, match="network output is not finite: value is nan for root 6 at the root itself"):
        search(model, model.roots(obs), config, seeds, noise=False)
    with torch.no_grad():
        network.reward.out.bias.fill_(torch.inf)
    obs[6] = 0.0
    with pytest.raises(ValueError, match="network output is not finite: reward is nan for root 0 at simulation 1"):
        search(model, model.roots(obs), config, seeds, noise=False)


def test_wrong_observations_and_roots():
    network = network_of()
    model = FusedModel(network)
    with pytest.raises(ValueError, match=r"obs must have shape \(2, 3, 7\), got \(2, 3, 8\)"):
        model.roots(np.zeros((2, 3, 8), np.float32))
    root = TorchModel(network.double()).roots(np.zeros((2, 3, 7)))
    object.__setattr__(root, "hidden", root.hidden.double())
    with pytest.raises(ValueError, match=r"in-place model needs roots in float32 on the CPU, got .*float64"):
        search(model, root, SearchConfig(num_simulations=3), np.arange(2, dtype=np.uint64), noise=False)
