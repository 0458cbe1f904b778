"""Properties of a search that users rely on: seeds, independence of roots, masks, priors, devices, errors."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from mazero.search import Root, SearchConfig, Workspace, search
from mazero.search.reference import reference_search
from tests.mazero.search.models import hash_model

CONFIG = SearchConfig(num_simulations=30, num_sampled_actions=6)


def seeds_of(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint64)


def rows(root: Root, index) -> Root:
    available = None if root.available_actions is None else root.available_actions[index]
    return Root(root.hidden[index], root.value[index], root.policy_logits[index], available)


def assert_equal(found, expected, index=slice(None)):
    for field in dataclasses.fields(found):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name)[index], field.name)


@pytest.mark.parametrize("noise", [False, True])
def test_same_seeds_same_result_and_other_seeds_another(noise):
    recurrent_fn, make_root = hash_model(3, 5)
    root = make_root(8, masked=True)
    first = search(recurrent_fn, root, CONFIG, seeds_of(8), noise=noise)
    assert_equal(search(recurrent_fn, root, CONFIG, seeds_of(8), noise=noise), first)
    other = search(recurrent_fn, root, CONFIG, seeds_of(8, first=100), noise=noise)
    assert (other.value != first.value).any()


def test_permuting_roots_with_their_seeds_permutes_results():
    recurrent_fn, make_root = hash_model(3, 5)
    root, seeds = make_root(9, masked=True), seeds_of(9)
    order = np.random.default_rng(0).permutation(9)
    whole = search(recurrent_fn, root, CONFIG, seeds, noise=True)
    assert_equal(search(recurrent_fn, rows(root, order), CONFIG, seeds[order], noise=True), whole, order)


def test_other_roots_in_the_batch_change_nothing():
    recurrent_fn, make_root = hash_model(2, 4)
    root, seeds = make_root(7, masked=True), seeds_of(7)
    whole = search(recurrent_fn, root, CONFIG, seeds, noise=True)
    for b in range(7):
        assert_equal(search(recurrent_fn, rows(root, [b]), CONFIG, seeds[[b]], noise=True), whole, [b])


def test_equal_roots_with_equal_seeds_agree():
    recurrent_fn, make_root = hash_model(2, 4)
    found = search(recurrent_fn, rows(make_root(1), [0, 0, 0]), CONFIG, np.full(3, 9, np.uint64), noise=True)
    assert_equal(found, found, [2, 0, 1])


def test_a_workspace_used_for_other_sizes_changes_nothing():
    workspace = Workspace()
    for n, a, b, num in [(2, 4, 5, 30), (2, 4, 9, 30), (2, 4, 3, 30), (3, 4, 3, 30), (3, 4, 3, 10), (2, 4, 5, 30)]:
        recurrent_fn, make_root = hash_model(n, a)
        config = dataclasses.replace(CONFIG, num_simulations=num)
        root = make_root(b, masked=True)
        again = search(recurrent_fn, root, config, seeds_of(b), noise=True, workspace=workspace)
        assert_equal(again, search(recurrent_fn, root, config, seeds_of(b), noise=True))


@pytest.mark.parametrize("noise", [False, True])
def test_illegal_root_actions_are_never_drawn(noise):
    recurrent_fn, make_root = hash_model(4, 6)
    root = make_root(300, masked=True)
    found = search(recurrent_fn, root, CONFIG, seeds_of(300), noise=noise)
    assert (found.marginal_visits(6)[~root.available_actions] == 0).all()
    b, c = np.nonzero(found.mask)
    for i in range(4):
        assert root.available_actions[b, i, found.joint_actions[b, c, i]].all()


def test_a_policy_without_legal_mass_is_replaced_by_the_uniform_one():
    recurrent_fn, make_root = hash_model(1, 3)
    logits = torch.tensor([[[0.0, -2000.0, -2000.0]]]).expand(400, -1, -1)
    available = np.tile([False, True, True], (400, 1, 1))
    root = dataclasses.replace(make_root(400), policy_logits=logits, available_actions=available)
    found = search(recurrent_fn, root, dataclasses.replace(CONFIG, num_sampled_actions=1), seeds_of(400), noise=False)
    np.testing.assert_allclose(np.exp(found.log_beta[:, 0]), 0.5)
    assert 150 < (found.joint_actions[:, 0, 0] == 1).sum() < 250


def test_the_bonus_of_legal_actions_counts_against_what_they_have_of_the_whole_policy():
    """A hundredth and a thousandth of the policy are legal: (0.01 + 1e-4) against (0.001 + 1e-4), then normalised."""
    recurrent_fn, make_root = hash_model(1, 3)
    logits = torch.log(torch.tensor([[[0.989, 0.01, 0.001]]], dtype=torch.float64)).expand(50, -1, -1)
    available = np.tile([False, True, True], (50, 1, 1))
    root = dataclasses.replace(make_root(50), policy_logits=logits, available_actions=available)
    found = search(recurrent_fn, root, CONFIG, seeds_of(50), noise=False)
    b, c = np.nonzero(found.mask)
    expected = np.array([0.0, 0.0101, 0.0011])[found.joint_actions[b, c, 0]] / 0.0112
    np.testing.assert_allclose(np.exp(found.log_beta[b, c]), expected)


def test_no_mask_is_a_mask_of_ones():
    recurrent_fn, make_root = hash_model(2, 4)
    root = make_root(5)
    ones = dataclasses.replace(root, available_actions=np.ones((5, 2, 4), bool))
    expected = search(recurrent_fn, ones, CONFIG, seeds_of(5), noise=True)
    assert_equal(search(recurrent_fn, root, CONFIG, seeds_of(5), noise=True), expected)


def mean_of_dirichlet_after_the_mask(legal, alpha=0.3, num=200_000):
    """E of one agent's noise: drawn over all actions, masked, 1e-4 added to legal ones, normalised."""
    draws = np.random.default_rng(0).dirichlet([alpha] * len(legal), num) * legal + 1e-4 * legal
    return (draws / draws.sum(axis=1, keepdims=True)).mean(axis=0)


@pytest.mark.parametrize("noise", [False, True])
def test_priors_are_counts_and_importance_is_unbiased(noise):
    """Priors of a joint action are beta on average, importance ratios pi; priors of a root add up to 1 exactly."""
    recurrent_fn, make_root = hash_model(2, 5)
    num = 20_000
    root = rows(make_root(1, masked=True), [0] * num)
    config = SearchConfig(num_simulations=1, num_sampled_actions=4)
    found = search(recurrent_fn, root, config, seeds_of(num), noise=noise)
    np.testing.assert_allclose(found.prior.sum(axis=1), 1.0)
    counts = found.prior * 4
    np.testing.assert_array_equal(counts, np.round(counts))
    total = found.importance.sum(axis=1)
    if noise:
        assert total.std() > 0.01
        assert abs(total.mean() - 1.0) < 4.5 * total.std() / np.sqrt(num)
    else:
        np.testing.assert_array_equal(found.importance, found.prior)

    legal = root.available_actions[0]
    share = np.exp(root.policy_logits[0].numpy())
    policy = (share / share.sum(axis=1, keepdims=True) + 1e-4) * legal
    policy /= policy.sum(axis=1, keepdims=True)
    beta = 0.75 * policy + 0.25 * np.array([mean_of_dirichlet_after_the_mask(x) for x in legal]) if noise else policy
    b, c = np.nonzero(found.mask)
    first, second = found.joint_actions[b, c].T
    for weight, mean in ((found.prior, beta), (found.importance, policy)):
        each = np.zeros((num, 5, 5))
        each[b, first, second] = weight[b, c]
        error = each.std(axis=0) / np.sqrt(num) + 1e-9
        assert (np.abs(each.mean(axis=0) - np.outer(*mean)) / error).max() < 4.5


def test_a_policy_that_is_sure_still_tries_other_actions_under_noise():
    """8 agents that give 0.99 to one action: with noise the K draws differ, without noise hardly."""
    recurrent_fn, make_root = hash_model(8, 6)
    logits = torch.zeros(500, 8, 6, dtype=torch.float64)
    logits[:, :, 0] = np.log(0.99 / (0.01 / 5))
    root = dataclasses.replace(make_root(500), policy_logits=logits)
    config = SearchConfig(num_simulations=1, num_sampled_actions=10)
    with_noise, without = (search(recurrent_fn, root, config, seeds_of(500), noise=x) for x in (True, False))
    assert with_noise.num_children.mean() > 8.5
    assert without.num_children.mean() < 2.0


def test_counts_and_shapes():
    recurrent_fn, make_root = hash_model(3, 2)
    config = SearchConfig(num_simulations=25, num_sampled_actions=20)
    found = search(recurrent_fn, make_root(5), config, seeds_of(5), noise=False)
    assert found.joint_actions.shape == (5, 20, 3) and found.joint_actions.dtype == np.int16
    assert (found.num_children <= 8).all()  # 2 ** 3 joint actions
    assert (found.visit_counts.sum(axis=1) == 25).all()
    assert (found.marginal_visits(2).sum(axis=2) == 25).all()
    for field in ("visit_counts", "q", "prior", "importance", "log_beta", "reward", "child_value"):
        assert getattr(found, field).shape == (5, 20)
        assert (getattr(found, field)[~found.mask] == 0).all()
    assert (found.visit_counts[found.mask] >= 1).all()  # N >= K: every child of the root is visited


def test_children_beyond_the_number_of_simulations_have_advantage_zero():
    recurrent_fn, make_root = hash_model(2, 5)
    config = SearchConfig(num_simulations=3, num_sampled_actions=10)
    found = search(recurrent_fn, make_root(4), config, seeds_of(4), noise=False)
    assert found.visit_counts[:, :3].tolist() == [[1, 1, 1]] * 4
    unvisited = found.mask & (found.visit_counts == 0)
    assert unvisited.any()
    assert (found.q == found.predicted_value[:, None])[unvisited].all()


def test_more_agents_than_a_64_bit_code_could_hold():
    recurrent_fn, make_root = hash_model(40, 30)
    found = search(recurrent_fn, make_root(3), CONFIG, seeds_of(3), noise=True)
    for b in range(3):
        actions = [tuple(x) for x in found.joint_actions[b, : found.num_children[b]].tolist()]
        assert len(set(actions)) == len(actions) == 6


def test_float32_hidden_states_keep_their_dtype():
    recurrent_fn, make_root = hash_model(2, 3)
    seen = []

    def single(hidden, joint_action):
        seen.append((hidden.dtype, joint_action.dtype, tuple(hidden.shape), tuple(joint_action.shape)))
        following, reward, value, logits = recurrent_fn(hidden.double(), joint_action)
        return following.float(), reward.float(), value.float(), logits.float()

    root = make_root(4)
    root = Root(root.hidden.float(), root.value.float(), root.policy_logits.float())
    found = search(single, root, CONFIG, seeds_of(4), noise=False)
    assert set(seen) == {(torch.float32, torch.int64, (4, 2, 2), (4, 2))} and len(seen) == 30
    assert found.q.dtype == np.float64


@pytest.mark.parametrize(
    ("which", "bad", "text"),
    [
        (1, float("nan"), "reward is nan for root 2 at simulation 5"),
        (2, float("inf"), "value is inf for root 2 at simulation 5"),
        (3, float("nan"), "policy logits of agent 1 is nan for root 2 at simulation 5"),
    ],
)
def test_network_outputs_that_are_not_finite(which, bad, text):
    recurrent_fn, make_root = hash_model(3, 4)
    calls = 0

    def breaking(hidden, joint_action):
        nonlocal calls
        calls += 1
        outputs = recurrent_fn(hidden, joint_action)
        if calls == 5:
            outputs[which][(2, 1, 3) if which == 3 else 2] = bad
        return outputs

    with pytest.raises(ValueError, match=text):
        search(breaking, make_root(4), CONFIG, seeds_of(4), noise=False)


def test_root_values_that_are_not_finite():
    recurrent_fn, make_root = hash_model(2, 3)
    root = make_root(3)
    root.value[1] = float("nan")
    with pytest.raises(ValueError, match="value is nan for root 1 at the root itself"):
        search(recurrent_fn, root, CONFIG, seeds_of(3), noise=False)


def test_wrong_seeds_and_wrong_models():
    recurrent_fn, make_root = hash_model(2, 3)
    root = make_root(3)
    with pytest.raises(ValueError, match=r"seeds must be uint64 of shape \(3,\), got int64"):
        search(recurrent_fn, root, CONFIG, np.arange(3), noise=False)

    def wide(hidden, joint_action):
        following, reward, value, logits = recurrent_fn(hidden, joint_action)
        return following, reward[:, None], value, logits

    with pytest.raises(ValueError, match=r"the model must return a reward of shape \(3,\), got \(3, 1\)"):
        search(wide, root, CONFIG, seeds_of(3), noise=False)


@pytest.mark.gpu
def test_on_cuda_as_on_cpu():
    """A float64 look-up table model gives the same numbers on both, so the trees are the same."""
    table = torch.randn(1000, 2 + 2 * 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def model_on(device):
        held = table.to(device)

        def recurrent_fn(hidden, joint_action):
            code = (hidden[:, 0, 0].long() * 31 + joint_action[:, 0] * 7 + joint_action[:, 1] + 1) % 1000
            row = held[code]
            following = code.double()[:, None, None].expand(-1, 2, 1)
            return following, row[:, 0], row[:, 1], row[:, 2:].view(-1, 2, 4)

        code = torch.arange(6, device=device)
        hidden = code.double()[:, None, None].expand(-1, 2, 1)
        return recurrent_fn, Root(hidden, held[code, 1], held[code, 2:].view(-1, 2, 4))

    results = [search(*model_on(device), CONFIG, seeds_of(6), noise=True) for device in ("cpu", "cuda")]
    assert_equal(results[1], results[0])


@pytest.mark.slow
def test_kernels_are_plain_python_too():
    """NUMBA_DISABLE_JIT=1 gives the same result (64-bit overflow is meant, so numpy's warning about it is off)."""
    program = """
import numpy as np
from mazero.search import SearchConfig, search
from tests.mazero.search.models import hash_model
recurrent_fn, make_root = hash_model(3, 4)
with np.errstate(over="ignore"):
    found = search(recurrent_fn, make_root(3, masked=True), SearchConfig(num_simulations=30, num_sampled_actions=5),
                   np.arange(3, dtype=np.uint64), noise=True)
print(found.value.tolist(), found.visit_counts.tolist())
"""
    outputs = []
    for disabled in ("0", "1"):
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


def test_a_share_of_clean_draws_is_noise_by_the_size_of_the_team():
    model, make_root = hash_model(3, 4)
    root = make_root(6)
    shared = dataclasses.replace(CONFIG, clean_share=0.8**3)
    alone = dataclasses.replace(CONFIG, noise_fraction=shared.for_team(3).noise_fraction)
    assert alone.noise_fraction == pytest.approx(0.2)
    found = search(model, root, shared, seeds_of(6), noise=True)
    assert_equal(found, search(model, root, alone, seeds_of(6), noise=True))
    slow = reference_search(model, root, shared, seeds_of(6), noise=True)
    np.testing.assert_array_equal(slow.visit_counts, found.visit_counts)
