from __future__ import annotations

import itertools

import pytest
import torch

from baselines.value_based.config import QmixMixerConfig
from baselines.value_based.mixers import Independent, JointChoice, QMixer, Sum, monotonic_mix


def mix(mixer, q, state):
    """The mixer's value of agents that have one action each, with Q values q (..., n)."""
    return mixer(
        JointChoice(q.unsqueeze(-1), torch.ones(*q.shape, 1, dtype=torch.bool), torch.zeros(q.shape).long(), state)
    )


def test_vdn_is_the_sum_and_iql_mixes_nothing():
    torch.manual_seed(0)
    q, state = torch.randn(50, 3, requires_grad=True), torch.randn(50, 4)
    total = mix(Sum(), q, state)
    assert total.shape == (50, 1)
    torch.testing.assert_close(total.squeeze(-1), q[:, 0] + q[:, 1] + q[:, 2])
    (grad,) = torch.autograd.grad(total.sum(), q)
    assert torch.equal(grad, torch.ones(50, 3))
    assert torch.equal(mix(Independent(), q, state), q)


def test_a_choice_picks_the_chosen_and_the_best_legal_values():
    q = torch.tensor([[3.0, 1.0, 2.0], [4.0, 5.0, 6.0]], requires_grad=True)
    avail = torch.tensor([[False, True, True], [True, True, False]])
    choice = JointChoice(q, avail, torch.tensor([1, 0]), torch.zeros(1))
    assert choice.chosen.tolist() == [1.0, 4.0] and choice.maximum.tolist() == [2.0, 5.0]
    assert choice.chosen.requires_grad and not choice.maximum.requires_grad


@pytest.mark.parametrize(
    ("q", "q_tot"),
    [
        ((1.0, 1.0), 0.5),  # 1 + 2 - 3 = 0, ELU 0, * 2, + 0.5
        ((1.0, 2.0), 4.5),  # 1 + 4 - 3 = 2
        ((0.0, 0.0), -1.400426),  # ELU(-3) = e^-3 - 1
    ],
)
def test_numbers_by_hand(q, q_tot):
    w1, b1 = torch.tensor([[-1.0], [2.0]]), torch.tensor([-3.0])
    w2, v = torch.tensor([-2.0]), torch.tensor([0.5])
    assert monotonic_mix(torch.tensor(q), w1, b1, w2, v).item() == pytest.approx(q_tot, abs=1e-6)


def test_parameter_count_on_3m():
    mixer = QMixer(3, 48, QmixMixerConfig(embed_size=32, hypernet_layers=2, hypernet_size=64))
    assert sum(p.numel() for p in mixer.parameters()) == 17761


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_q_tot_never_falls_when_one_q_rises(layers, scale):
    torch.manual_seed(layers)
    mixer = QMixer(3, 5, QmixMixerConfig(hypernet_layers=layers))
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += scale * torch.randn_like(parameter)
    q = (5 * torch.randn(1000, 3)).requires_grad_()
    state = torch.randn(1000, 5)
    (grad,) = torch.autograd.grad(mix(mixer, q, state).sum(), q)
    assert (grad >= 0).all() and (grad > 0).any()
    with torch.no_grad():
        low = mix(mixer, q, state)
        for agent in range(3):
            raised = q.clone()
            raised[:, agent] += 3 * torch.rand(1000)
            high = mix(mixer, raised, state)
            # float32 rounding of the sums may cost a few units in the last place
            assert (high >= low - 1e-5 * low.abs().clamp(min=1)).all()


def test_joint_argmax_is_the_tuple_of_individual_argmaxes():
    torch.manual_seed(0)
    mixer = QMixer(3, 5, QmixMixerConfig(embed_size=8))
    for _ in range(20):
        q, state = torch.randn(3, 4), torch.randn(5)
        joint = list(itertools.product(range(4), repeat=3))
        chosen = torch.stack([torch.stack([q[i, a[i]] for i in range(3)]) for a in joint])  # (64, 3)
        with torch.no_grad():
            q_tot = mix(mixer, chosen, state.expand(len(joint), 5)).squeeze(-1)
        greedy = joint.index(tuple(q.argmax(-1).tolist()))
        assert q_tot[greedy] >= q_tot.max() - 1e-6


def test_leading_axes_do_not_matter():
    torch.manual_seed(0)
    mixer = QMixer(2, 3, QmixMixerConfig())
    q, state = torch.randn(4, 5, 2), torch.randn(4, 5, 3)
    assert mix(mixer, q, state).shape == (4, 5, 1)
    torch.testing.assert_close(mix(mixer, q, state)[2, 3], mix(mixer, q[2, 3], state[2, 3]))
