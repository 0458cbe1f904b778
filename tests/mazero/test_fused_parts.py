"""The parts of the fused layers one by one: who may use them, dropout's bits, the order of channels, gradients."""

import numpy as np
import pytest
import torch

from mazero import fused


def test_kernels_take_single_precision_in_main_memory_outside_autocast():
    x = torch.zeros(2)
    assert fused.usable(x)
    assert not fused.usable(x.double())
    assert not fused.usable(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused.usable(x)


@pytest.mark.parametrize(
    ("agents", "width", "heads", "fits"),
    [
        (1, 8, 8, True), (16, 8, 4, True), (17, 8, 4, False), (3, 64, 4, True), (3, 24, 4, False), (3, 12, 4, False),
        (3, 40, 8, False), (3, 10, 4, False), (3, 9, 4, False), (3, 4, 1, True), (3, 6, 1, False),
    ],
)  # fmt: skip
def test_heads_of_a_power_of_two_and_few_agents(agents, width, heads, fits):
    assert fused.attends(agents, width, heads) is fits


@pytest.mark.parametrize(
    ("share", "threshold"), [(0.0, 0), (1e-9, 0), (0.1, 6554), (0.25, 16384), (0.5, 32768), (1 - 1e-9, 65535)]
)
def test_what_stays_is_divided_by_the_share_that_stays(share, threshold):
    dropout = fused.Dropout(share)
    assert (dropout.threshold, dropout.threshold.dtype) == (threshold, np.uint16)
    assert dropout.scale == np.float32(1 / (1 - threshold / 65536)) and dropout.scale.dtype == np.float32


def test_bits_are_those_of_a_generator_seeded_once_by_torch():
    torch.manual_seed(3)
    seed = int(torch.randint(2**63 - 1, ()))
    torch.manual_seed(3)
    dropout = fused.Dropout(0.5)
    found = [dropout.bits(count) for count in (1, 4, 5, 8, 0)]
    after = torch.get_rng_state()
    raw = np.random.SFC64(seed).random_raw(1 + 1 + 2 + 2).view(np.uint16)  # whole words of four
    for bits, wanted in zip(found, (raw[:1], raw[4:8], raw[8:13], raw[16:24], raw[:0]), strict=True):
        assert bits.dtype == np.uint16
        np.testing.assert_array_equal(bits, wanted)
    torch.manual_seed(3)
    torch.randint(2**63 - 1, ())
    assert torch.equal(after, torch.get_rng_state())


def test_without_dropout_there_are_no_bits_and_no_draws():
    before = torch.get_rng_state()
    bits = fused.Dropout(0.0).bits(9)
    assert (bits.shape, bits.dtype) == ((0,), np.uint16) and torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("rest", [(), (5,), (2, 3)])
def test_rows_of_heads_are_sorted_by_channel(rest):
    blocks, heads, d = 3, 2, 4
    x = torch.randn(blocks * heads * d, *rest)
    found = fused.heads_last(x, heads, blocks)
    assert found.shape == x.shape
    for block in range(blocks):
        for h in range(heads):
            for c in range(d):
                row = block * heads * d
                assert torch.equal(found[row + c * heads + h], x[row + h * d + c])


def test_heads_that_do_not_fit_are_named():
    with pytest.raises(ValueError) as error:
        fused.attend(torch.zeros(1, 2, 36), 4, fused.Dropout(0.0))
    assert str(error.value) == "H / heads must be a power of two, got 12 / 4: use plain attention"
    assert fused.attend(torch.zeros(1, 20, 24), 4, fused.Dropout(0.0)).shape == (1, 20, 8)  # many agents: only slow


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_attention_drops_by_its_bits_and_so_does_its_gradient(share):
    """By hand: weights (B, n, n, heads) get their bits in that order; torch differentiates the rest."""
    heads, d, n = 2, 2, 3
    torch.manual_seed(1)
    source = torch.randn(3 * heads * d, 5, n).permute(1, 2, 0)  # not contiguous
    slope = torch.randn(5, heads * d, n).transpose(1, 2)
    torch.manual_seed(7)
    dropout = fused.Dropout(share)
    mask = torch.ones(5, n, n, heads)
    if share:
        mask = torch.from_numpy(dropout.bits(mask.numel()) >= 16384).view(mask.shape) / 0.75
    mine, plain = source.clone().requires_grad_(), source.double().requires_grad_()
    torch.manual_seed(7)
    found = fused.attend(mine, heads, fused.Dropout(share))
    q, k, v = plain.view(5, n, 3, d, heads).unbind(2)
    weight = (torch.einsum("bich,bjch->bijh", q, k) / d**0.5).softmax(2) * mask
    wanted = torch.einsum("bijh,bjch->bich", weight, v).reshape(5, n, heads * d)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)
    found.backward(slope)
    wanted.backward(slope.double())
    torch.testing.assert_close(mine.grad.double(), plain.grad, rtol=1e-4, atol=1e-5)


def test_dropout_follows_its_bits_forwards_and_backwards():
    torch.manual_seed(1)
    source, slope = torch.randn(4, 6, 5).transpose(0, 2), torch.randn(6, 5, 4).permute(1, 0, 2)
    torch.manual_seed(7)
    mask = torch.from_numpy(fused.Dropout(0.25).bits(120) >= 16384).view(5, 6, 4) / 0.75
    assert 60 < (mask > 0).sum() < 110
    x = source.clone().requires_grad_()
    torch.manual_seed(7)
    out = fused.dropped(x, fused.Dropout(0.25))
    torch.testing.assert_close(out, source * mask, rtol=1e-6, atol=0)
    out.backward(slope)
    torch.testing.assert_close(x.grad, slope * mask, rtol=1e-6, atol=0)
    assert fused.dropped(x, fused.Dropout(0.0)) is x
