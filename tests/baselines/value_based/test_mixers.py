from __future__ import annotations

import itertools

import pytest
import torch

from baselines.value_based.config import QmixMixerConfig
from baselines.value_based.mixers import QMixer, monotonic_mix


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
    (grad,) = torch.autograd.grad(mixer(q, state).sum(), q)
    assert (grad >= 0).all() and (grad > 0).any()
    with torch.no_grad():
        low = mixer(q, state)
        for agent in range(3):
            raised = q.clone()
            raised[:, agent] += 3 * torch.rand(1000)
            high = mixer(raised, state)
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
            q_tot = mixer(chosen, state.expand(len(joint), 5)).squeeze(-1)
        greedy = joint.index(tuple(q.argmax(-1).tolist()))
        assert q_tot[greedy] >= q_tot.max() - 1e-6


def test_leading_axes_do_not_matter():
    torch.manual_seed(0)
    mixer = QMixer(2, 3, QmixMixerConfig())
    q, state = torch.randn(4, 5, 2), torch.randn(4, 5, 3)
    assert mixer(q, state).shape == (4, 5, 1)
    torch.testing.assert_close(mixer(q, state)[2, 3], mixer(q[2, 3], state[2, 3]))
