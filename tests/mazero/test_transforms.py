"""Scalars to distributions and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mazero.transforms import beyond_support, expected_scalar, squash, two_hot, unsquash


def test_squash_by_hand():
    x = torch.tensor([0.0, 3.0, -8.0, 24.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 1.003, -2.008, 4.024], dtype=torch.float64)
    torch.testing.assert_close(squash(x), expected)


@given(st.floats(-35, 35))
def test_unsquash_is_the_inverse_in_single_precision(x):
    value = torch.tensor([x], dtype=torch.float32)
    assert unsquash(squash(value)).item() == pytest.approx(value.item(), abs=1e-5 * max(1, abs(x)))


@given(st.floats(-34, 34))
def test_two_hot_round_trip_inside_the_support(x):
    value = torch.tensor([x], dtype=torch.float64)
    coded = two_hot(value, 5)
    assert coded.sum().item() == pytest.approx(1.0)
    assert (coded >= 0).all() and (coded > 0).sum() <= 2
    decoded = expected_scalar(torch.log(coded.clamp(min=1e-300)))
    assert decoded.item() == pytest.approx(x, abs=1e-5)


def test_two_hot_by_hand_and_at_the_edges():
    # h(3) = 1.003: atom 1 holds 0.997, atom 2 holds 0.003.
    coded = two_hot(torch.tensor([3.0, 1e9, -1e9], dtype=torch.float64), 2)
    torch.testing.assert_close(coded[0], torch.tensor([0, 0, 0, 0.997, 0.003], dtype=torch.float64))
    assert coded[1].tolist() == [0, 0, 0, 0, 1]
    assert coded[2].tolist() == [1, 0, 0, 0, 0]


def test_uniform_logits_stand_for_zero():
    assert expected_scalar(torch.zeros(4, 11)).abs().max().item() < 1e-6


def test_only_what_lies_beyond_the_last_atom_is_clipped():
    """h(3) = 1.003 and h(0) = 0, which the support of one atom still holds."""
    assert beyond_support(torch.tensor([3.0, -3.0, 0.0]), 1).tolist() == [True, True, False]
    assert beyond_support(torch.tensor([3.0, 0.0]), 0).tolist() == [True, False]
    assert beyond_support(torch.tensor([[3.0, -8.0]]), 2).tolist() == [[False, True]]


def test_heads_of_any_shape_are_read_and_coded_along_the_last_axis():
    """Near-certain logits stand for their atom: h(3) = 1.003, so the inverse of 1 lies just below 3."""
    atoms = torch.tensor([[0, 1, -2], [2, -1, 1]])
    logits = 60.0 * torch.nn.functional.one_hot(atoms + 3, 7).double()
    torch.testing.assert_close(expected_scalar(logits), unsquash(atoms.double()))
    assert expected_scalar(logits[0, 1]).item() == pytest.approx(2.988, abs=1e-3)
    coded = two_hot(unsquash(atoms.double()), 3)
    torch.testing.assert_close(coded, torch.nn.functional.one_hot(atoms + 3, 7).double(), atol=1e-9, rtol=0)


def test_transforms_stay_on_their_device():
    assert two_hot(torch.empty(2, 3, device="meta"), 5).device.type == "meta"
    assert expected_scalar(torch.empty(2, 11, device="meta")).device.type == "meta"
