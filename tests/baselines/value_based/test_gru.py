"""The packed GRU against `torch.nn.GRUCell`, step by step and sequence by sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import njit

from baselines.value_based.gru import _GruSequence, gru_sequence
from baselines.value_based.gru_kernels import fast_sigmoid, fast_tanh


def packed(sequences: list[torch.Tensor]) -> tuple[torch.Tensor, list[int]]:
    """Time-first rows of sequences that are sorted by falling length."""
    steps = len(sequences[0])
    rows = [torch.stack([s[t] for s in sequences if len(s) > t]) for t in range(steps)]
    return torch.cat(rows), [len(r) for r in rows]


@pytest.mark.parametrize("lengths", [(1,), (3,), (5, 5, 2), (6, 4, 1, 1)])
def test_values_and_gradients_match_the_cell(lengths):
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(3, 4).double()
    sequences = [torch.randn(length, 3, dtype=torch.double) for length in lengths]
    outputs = []
    for sequence in sequences:
        h = torch.zeros(1, 4, dtype=torch.double)
        outputs.append(torch.cat([h := cell(x[None], h) for x in sequence]))
    expected, counts = packed(outputs)
    weights = torch.randn_like(expected)
    expected_grads = torch.autograd.grad((expected * weights).sum(), list(cell.parameters()))

    x, _ = packed(sequences)
    projected = torch.nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
    hidden = gru_sequence(projected, cell.weight_hh, cell.bias_hh, counts)
    torch.testing.assert_close(hidden, expected)
    grads = torch.autograd.grad((hidden * weights).sum(), list(cell.parameters()))
    for got, want in zip(grads, expected_grads):
        torch.testing.assert_close(got, want)


def test_gradcheck():
    torch.manual_seed(1)
    inputs = [torch.randn(*shape, dtype=torch.double, requires_grad=True) for shape in ((6, 6), (6, 2), (6,))]
    assert torch.autograd.gradcheck(lambda *a: gru_sequence(*a, [3, 2, 1]), inputs)


@njit(error_model="numpy")
def apply(x, tanh, sigmoid):
    for i in range(len(x)):
        tanh[i], sigmoid[i] = fast_tanh(x[i]), fast_sigmoid(x[i])


def test_fused_activations_are_exact_to_a_few_roundings():
    x = np.concatenate([np.linspace(-20, 20, 400_001), np.logspace(-30, 0, 1000), [-1e30, 1e30, 0.0]]).astype(
        np.float32
    )
    tanh, sigmoid = np.empty_like(x), np.empty_like(x)
    apply(x, tanh, sigmoid)
    wide = x.astype(np.float64).clip(-100, 100)
    assert np.abs(tanh - np.tanh(wide)).max() < 2.5e-7
    assert np.abs(sigmoid - 1 / (1 + np.exp(-wide))).max() < 2.5e-7
    small = (x > 0) & (x < 1)
    np.testing.assert_allclose(tanh[small], np.tanh(wide[small]), rtol=5e-7)  # no cancellation at zero
    assert np.abs(tanh).max() <= 1 and sigmoid.min() >= 0 and sigmoid.max() <= 1


@pytest.mark.parametrize("counts", [[1], [7], [9, 9, 5, 5, 1]])
def test_fused_float32_path_matches_the_operators_in_float64(counts):
    torch.manual_seed(2)
    rows, size = sum(counts), 64
    inputs = [torch.randn(*shape) for shape in ((rows, 3 * size), (3 * size, size), (3 * size,))]
    inputs[1] *= 0.2
    grad = torch.randn(rows, size)
    results = []
    for function, dtype in ((_GruSequence.apply, torch.float64), (gru_sequence, torch.float32)):
        leaves = [x.to(dtype, copy=True).requires_grad_() for x in inputs]
        hidden = function(*leaves, counts)
        grads = torch.autograd.grad((hidden * grad.to(dtype)).sum(), leaves, allow_unused=True)
        results.append([hidden, *grads])
    for want, got in zip(*results):
        # some 64-fold sums of float32 roundings, through five steps
        assert (got - want).abs().max() <= 1e-5 * want.abs().max().clamp(min=1)
    with torch.no_grad():  # nothing is kept for a backward pass: the same values
        assert torch.equal(gru_sequence(*inputs, counts), results[1][0])
