"""What the kernels of learning take, and dropout's bits."""

import numpy as np
import pytest
import torch

from mazero.learning.dropout import Dropout
from mazero.learning.layers import usable


def test_kernels_take_single_precision_in_main_memory_outside_autocast():
    x = torch.zeros(2)
    assert usable(x)
    assert not usable(x.double())
    assert not usable(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(x)


@pytest.mark.parametrize(
    ("share", "threshold"), [(0.0, 0), (1e-9, 0), (0.1, 6554), (0.25, 16384), (0.5, 32768), (1 - 1e-9, 65535)]
)
def test_what_stays_is_divided_by_the_share_that_stays(share, threshold):
    dropout = Dropout(share)
    assert (dropout.threshold, dropout.threshold.dtype) == (threshold, np.uint16)
    assert dropout.scale == np.float32(1 / (1 - threshold / 65536)) and dropout.scale.dtype == np.float32


def test_bits_are_those_of_a_generator_seeded_once_by_torch():
    torch.manual_seed(3)
    seed = int(torch.randint(2**63 - 1, ()))
    torch.manual_seed(3)
    dropout = Dropout(0.5)
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
    bits = Dropout(0.0).bits(9)
    assert (bits.shape, bits.dtype) == ((0,), np.uint16) and torch.equal(before, torch.get_rng_state())
