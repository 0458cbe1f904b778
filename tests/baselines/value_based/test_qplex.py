"""QPLEX's mixer against its equations: greedy guarantee, gradients, weights, importance, unit features."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

import envs
from baselines import registry
from baselines.value_based.config import QplexConfig, QplexMixerConfig
from baselines.value_based.mixers import JointChoice
from baselines.value_based.qplex import (
    AttentionWeights,
    HyperWeights,
    Parallel,
    UnitWeights,
    duplex_dueling,
    unit_features,
)
from baselines.value_based.qplex import qplex as build
from envs.interface import EnvInfo
from training.config import load_preset
from training.errors import UserError

INFO = EnvInfo("toy", "test", "smac", 3, 2, 4, 5, 13, 10, False)
N, A, S = INFO.n_agents, INFO.n_actions, INFO.state_size
QATTEN = QplexMixerConfig(unit_features=3)
KINDS = {
    "dmaq_qatten": QATTEN,
    "weighted heads": replace(QATTEN, weighted_head=("t*",)),
    "dmaq": QplexMixerConfig(kind="dmaq", nonlinear=(), kernels=10, kernel_layers=3),
    "dmaq, weighted": QplexMixerConfig(kind="dmaq", nonlinear=(), weighted_head=("*",)),
}


def mixer_of(config: QplexMixerConfig, seed: int = 0):
    """A mixer with large random parameters, so that nothing holds only near the initial ones."""
    torch.manual_seed(seed)
    mixer = build(QplexConfig(mixer=config), INFO)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += 0.5 * torch.randn_like(parameter)
    return mixer


def random_choice(rows: int, seed: int = 0) -> JointChoice:
    torch.manual_seed(seed)
    avail = torch.rand(rows, N, A) < 0.6
    avail[..., 1] = True
    actions = torch.where(avail, torch.rand(rows, N, A), -1.0).argmax(-1)
    return JointChoice(torch.randn(rows, N, A, requires_grad=True), avail, actions, torch.randn(rows, S))


def greedy(choice: JointChoice) -> JointChoice:
    return replace(choice, actions=choice.q.masked_fill(~choice.avail, -torch.inf).argmax(-1))


def test_numbers_by_hand():
    """Q_1 = (1, 3), Q_2 = (2, 0), a = (0, 0), w = 1, b = 0, lambda = (2, 0.5): V = (3, 2), A = (-2, 0)."""
    q, best, one = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0]), torch.ones(2)
    lam = torch.tensor([2.0, 0.5])
    assert duplex_dueling(q, best, one, 0 * one, lam).item() == 1.0
    assert (best.sum() + (lam * (q - best)).sum()).item() == 1.0  # the other form


def test_both_forms_agree_whatever_weights_and_importance_are():
    torch.manual_seed(0)
    q, gap, w, b, lam = (torch.randn(200, 3).double() for _ in range(5))
    best, w, lam = q + gap.abs(), w.exp(), lam.exp()
    value, advantage = w * best + b, w * (q - best)
    expected = (value + lam * advantage).sum(-1, keepdim=True)
    torch.testing.assert_close(duplex_dueling(q, best, w, b, lam), expected)


def test_greedy_joint_action_is_that_of_the_agents_for_any_positive_importance():
    torch.manual_seed(1)
    joint = torch.tensor(list(itertools.product(range(A), repeat=N)))  # (64, n)
    for _ in range(300):
        q, w, b = torch.randn(N, A), torch.rand(N) + 0.01, torch.randn(N)
        lam = 10 ** (4 * torch.rand(len(joint), N) - 2)  # fresh for every joint action
        chosen = q[torch.arange(N), joint]
        q_tot = duplex_dueling(chosen, q.amax(-1).expand_as(chosen), w, b, lam).squeeze(-1)
        assert joint[q_tot.argmax()].tolist() == q.argmax(-1).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_joint_action_of_the_network_is_that_of_the_agents(kind):
    mixer, joint = mixer_of(KINDS[kind]), torch.tensor(list(itertools.product(range(A), repeat=N)))
    for seed in range(20):
        one = random_choice(1, seed)
        legal = joint[one.avail[0][torch.arange(N), joint].all(-1)]
        rows = len(legal)
        every = JointChoice(one.q.expand(rows, N, A), one.avail.expand(rows, N, A), legal, one.state.expand(rows, S))
        with torch.no_grad():
            q_tot = mixer(every).squeeze(-1)
        assert legal[q_tot.argmax()].tolist() == greedy(one).actions[0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_an_agents_value_is_its_weight(kind):
    mixer, choice = mixer_of(KINDS[kind]), random_choice(50)
    (grad,) = torch.autograd.grad(mixer(choice).sum(), choice.q)
    w, _, _ = mixer.weights(choice.chosen, choice.state)
    expected = torch.zeros(50, N, A).scatter(-1, choice.actions.unsqueeze(-1), w.detach().unsqueeze(-1))
    assert (w > 0).all()
    torch.testing.assert_close(grad, expected)  # nothing through the maximum or the advantage


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_actions_have_value_sum_v_and_teach_the_importance_nothing(kind):
    mixer, choice = mixer_of(KINDS[kind]), random_choice(50)
    best = greedy(choice)
    w, b, _ = mixer.weights(best.chosen, best.state)
    torch.testing.assert_close(mixer(best), (w * best.maximum + b).sum(-1, keepdim=True))
    parameters = list(mixer.importance.parameters())
    assert all((g == 0).all() for g in torch.autograd.grad(mixer(best).sum(), parameters))
    some = replace(choice, actions=torch.where(choice.avail, torch.rand(50, N, A), -1.0).argmax(-1))
    assert any((g != 0).any() for g in torch.autograd.grad(mixer(some).sum(), parameters))


@pytest.mark.parametrize("kind", KINDS)
def test_importance_is_positive_and_sees_all_actions(kind):
    mixer, choice = mixer_of(KINDS[kind]), random_choice(200)
    lam = mixer.importance(choice.state, choice.actions)
    assert lam.shape == (200, N) and (lam > 0).all()
    other = choice.actions.clone()
    other[:, 2] = (other[:, 2] + 1) % A  # what the third agent does matters to the first
    assert (mixer.importance(choice.state, other)[:, 0] != lam[:, 0]).any()
    with torch.no_grad():  # keys of zero are the smallest there can be
        for parameter in mixer.importance.keys.parameters():
            parameter.zero_()
    assert (mixer.importance(choice.state, choice.actions) > 0).all()


def test_weights_of_the_heads_sum_to_their_number_unless_heads_are_weighted():
    choice = random_choice(100)
    w, b, _ = mixer_of(QATTEN).weights(choice.chosen, choice.state)
    torch.testing.assert_close(w.sum(-1), torch.full((100,), 4.0))
    assert torch.equal(b, b[:, :1].expand(100, N))  # V(s) / n
    w, _, _ = mixer_of(KINDS["weighted heads"]).weights(choice.chosen, choice.state)
    assert w.sum(-1).std() > 0.1


def test_attention_by_plain_loops():
    """Weights and regulariser of one state, head by head and agent by agent, from the layers' own parameters."""
    module: AttentionWeights = mixer_of(KINDS["weighted heads"]).weights
    choice = random_choice(3)
    w, b, penalty = module(choice.chosen, choice.state)
    squares = torch.zeros(4)
    for row, state in enumerate(choice.state):
        strength = module.head_weights(state).abs()
        expected = torch.zeros(N)
        for head in range(4):
            query, key = module.queries[head](state), module.keys.weight[32 * head : 32 * head + 32]
            logits = torch.stack([query @ (key @ state[3 * i : 3 * i + 3]) for i in range(N)])
            squares[head] += (logits**2).mean() / 3
            expected += strength[head] * torch.softmax(logits / 32**0.5, 0)
        torch.testing.assert_close(w[row], expected)
        torch.testing.assert_close(b[row].sum(), module.value(state)[0])
    torch.testing.assert_close(penalty, 0.001 * squares.sum(), rtol=1e-5, atol=1e-7)


def test_nonlinear_attention_sees_the_values_and_the_default_does_not():
    choice = random_choice(20)
    for nonlinear in ((), ("toy",)):
        module = mixer_of(replace(QATTEN, nonlinear=nonlinear)).weights
        w, _, _ = module(choice.chosen, choice.state)
        other, _, _ = module(choice.chosen + torch.randn(20, N), choice.state)
        assert torch.equal(w, other) == (not nonlinear)


def test_published_preset_weighs_heads_on_two_maps_only():
    algorithm = registry.find("qplex")
    config = load_preset(algorithm.presets, "published", algorithm.config)
    learning = config.learning
    assert (learning.start_episodes, learning.updates_per_episode, learning.batch_episodes) == (100, 2, 32)
    expected = {"3m": (False, False), "MMM2": (True, True), "3s5z_vs_3s6z": (True, False), "MMM": (False, False)}
    for name, flags in expected.items():
        weights = build(config, envs.make(name).info).weights
        assert (weights.head_weights is not None, weights.nonlinear) == flags, name


def test_dmaq_has_plain_weights_unless_asked():
    assert isinstance(mixer_of(KINDS["dmaq"]).weights, UnitWeights)
    assert isinstance(mixer_of(KINDS["dmaq, weighted"]).weights, HyperWeights)


@pytest.mark.parametrize("layers", [1, 3])
def test_parallel_networks_are_separate_ones(layers):
    torch.manual_seed(0)
    nets = Parallel(4, 5, 2, layers=layers, width=6)
    x = torch.randn(7, 5)
    out = nets(x)
    assert out.shape == (7, 4, 2)
    sizes = [5, *[6] * (layers - 1), 2]
    assert sum(p.numel() for p in nets.parameters()) == 4 * sum(a * b + b for a, b in itertools.pairwise(sizes))
    for k in range(4):
        y = x
        for layer, (weight, bias) in enumerate(zip(nets.weights, nets.biases)):
            y = (y.relu() if layer else y) @ weight[k] + bias[k]
        torch.testing.assert_close(out[:, k], y)
    for parameter, inputs in (
        (p, size) for pair in zip(nets.weights, nets.biases, sizes) for p, size in zip(pair[:2], pair[2:] * 2)
    ):
        assert 0.8 * inputs**-0.5 < parameter.abs().max() <= inputs**-0.5  # as torch.nn.Linear


@pytest.mark.parametrize(
    ("name", "width"),
    [("3m", 4), ("2s3z", 7), ("MMM2", 7), ("3s_vs_3z", 5), ("2m_vs_1z", 4), ("so_many_baneling", 5), ("corridor", 5)],
)
def test_unit_features_are_the_first_entries_of_smacs_state(name, width):
    """4 entries, a shield for Protoss, the type on mixed maps. All agents begin with full health: their first entry."""
    env = envs.make(name)
    env.reset(0)
    info = env.info
    assert unit_features(info) == width
    units = env.state[0, : info.n_agents * width].reshape(info.n_agents, width)
    assert (units[:, 0] == 1).all()
    expected_shield = 1 if name in ("2s3z", "3s_vs_3z", "so_many_baneling", "corridor") else 0
    if expected_shield:
        assert (units[:, 4] == 1).all()
    bits = width - 4 - expected_shield
    assert (units[:, width - bits :].sum(-1) == (1 if bits else 0)).all()
    assert unit_features(replace(info, state_size=info.state_size - info.n_agents * info.n_actions)) == width


def test_unknown_unit_features_are_asked_for():
    config = QplexConfig(mixer=QplexMixerConfig())
    with pytest.raises(UserError, match=r"unit features of 'toy' are not known: set mixer\.unit_features"):
        build(config, INFO)
    info = envs.make("3m").info
    with pytest.raises(UserError, match=r"must have 21 entries of units.*got 45 in all"):
        build(config, replace(info, state_size=45))
    with pytest.raises(UserError, match="must be at most 4 on toy, got 5"):
        build(QplexConfig(mixer=QplexMixerConfig(unit_features=5)), INFO)
    assert build(QplexConfig(mixer=QplexMixerConfig(unit_features=2)), replace(info, state_size=45)) is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "qatten"}, "must be one of dmaq_qatten, dmaq, got 'qatten'"),
        ({"kind": "dmaq"}, "mixer.nonlinear must be empty with mixer.kind=dmaq"),
        ({"heads": 0}, "mixer.heads must be at least 1, got 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        QplexMixerConfig(**settings)
