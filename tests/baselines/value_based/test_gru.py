"""The packed GRU against `torch.nn.GRUCell`, step by step and sequence by sequence."""

from __future__ import annotations

import pytest
import torch

from baselines.value_based.gru import gru_sequence


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
