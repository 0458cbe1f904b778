"""Codes against the one-hot vectors they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.mamba.codes import code_linear, draw_codes, mode_codes, one_hot, straight_through, uniform
from baselines.mamba.imagination import draw_actions


@pytest.fixture
def probs():
    return torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)


def test_straight_through_is_one_hot_with_the_gradient_of_probabilities(probs):
    flat = probs.flatten(1).requires_grad_()
    codes = mode_codes(probs)
    z = straight_through(codes, flat)
    assert set(z.unique().tolist()) == {0.0, 1.0} and (z.view(7, 3, 4).sum(-1) == 1).all()
    weight = torch.randn(7, 12)
    (z * weight).sum().backward()
    assert torch.equal(flat.grad, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_code_linear_is_a_linear_layer_on_the_straight_through_latent(probs, dtype):
    """float32 goes through the kernel, anything else through products with one-hots."""
    codes = draw_codes(probs, torch.rand(7, 3, generator=torch.Generator().manual_seed(1)))
    outputs = {}
    for kind in ("codes", "dense"):
        table = torch.randn(12, 5, generator=torch.Generator().manual_seed(2)).to(dtype).requires_grad_()
        carrier = probs.flatten(1).to(dtype).requires_grad_()
        y = code_linear(table, codes, carrier) if kind == "codes" else straight_through(codes, carrier) @ table
        (y * y).sum().backward()
        outputs[kind] = (y.detach(), table.grad, carrier.grad)
    for got, want in zip(outputs["codes"], outputs["dense"], strict=True):
        torch.testing.assert_close(got, want)


def test_no_carrier_no_gradient(probs):
    codes, table = mode_codes(probs), torch.randn(12, 5)
    torch.testing.assert_close(code_linear(table, codes), one_hot(codes, 12) @ table)
    table.requires_grad_()
    code_linear(table, codes).sum().backward()
    assert torch.equal(table.grad, one_hot(codes, 12).sum(0)[:, None].expand(-1, 5))


def test_codes_invert_the_distribution_function():
    probs = torch.tensor([[[0.5, 0.25, 0.0, 0.25]] * 2])
    for u, classes in (((0.0, 0.49), (0, 0)), ((0.5, 0.74), (1, 1)), ((0.75, 0.9999999), (3, 3))):
        assert draw_codes(probs, torch.tensor([u])).tolist() == [[classes[0], 4 + classes[1]]]
    assert mode_codes(probs).tolist() == [[0, 4]]


def test_codes_are_drawn_as_often_as_probable(probs):
    many = probs[:1].expand(40_000, -1, -1)
    rng = np.random.default_rng(0)
    drawn = one_hot(draw_codes(many, uniform(rng, 40_000, 3, device="cpu")), 12).mean(0)
    torch.testing.assert_close(drawn, probs[0].flatten(), atol=0.012, rtol=0)  # five deviations


def test_actions_without_probability_are_never_drawn():
    log_probs = torch.tensor([[-1e10, 0.3, -1e10, 0.1, -1e10]]).log_softmax(-1).expand(4, -1)
    edges = torch.tensor([0.0, np.nextafter(np.float32(1), np.float32(0)), 0.5, 0.6])
    assert draw_actions(log_probs, edges).tolist() == [1, 3, 1, 3]
    nothing_legal = torch.full((2, 4), -1e10).log_softmax(-1)
    assert draw_actions(nothing_legal, torch.tensor([0.1, 0.9])).tolist() == [0, 3]
