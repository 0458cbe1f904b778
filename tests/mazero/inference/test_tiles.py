"""Matrix products, attention's inner loops and exp of the fused kernels against numpy."""

import numpy as np
import pytest
from numba import njit

from mazero.inference import attention, kernels, tiles
from mazero.inference.tiles import PANEL, RELU, START_FROM_OUT, pack, padded, product


@njit
def _product(x, weight, bias, out, mode):
    k, n = x.shape[1], out.shape[1]
    product(
        np.int64(x.ctypes.data), k, x.shape[0], np.int64(weight.ctypes.data), k, n, np.int64(bias.ctypes.data),
        np.int64(out.ctypes.data), n, mode,
    )  # fmt: skip


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_padded_is_the_next_multiple():
    assert [padded(1), padded(PANEL), padded(PANEL + 1)] == [PANEL, PANEL, 2 * PANEL]


def test_pack_lays_panels_side_by_side():
    weight = np.arange(3 * 2 * PANEL, dtype=np.float32).reshape(3, 2 * PANEL)
    packed = pack(weight)
    assert packed.shape == (2, 3, PANEL)
    np.testing.assert_array_equal(packed[1, 2], weight[2, PANEL:])


@pytest.mark.parametrize("mode", [0, RELU, START_FROM_OUT, START_FROM_OUT | RELU])
@pytest.mark.parametrize("k", [1, 7, 128])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 29])
def test_product_is_the_matrix_product(rows, k, mode):
    n = 3 * PANEL
    x, weight, bias, before = random(rows, k), random(k, n, seed=1), random(n, seed=2), random(rows, n, seed=3)
    expected = x.astype(np.float64) @ weight + bias + (before if mode & START_FROM_OUT else 0)
    if mode & RELU:
        expected = np.maximum(expected, 0)
    out = before.copy()
    _product(x, pack(weight), bias, out, mode)
    np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6 * k**0.5 * 4)


def test_a_row_does_not_depend_on_the_others():
    """Bit for bit: searching a root alone or among others must give the same tree."""
    x, weight, bias = random(17, 33), pack(random(33, PANEL, seed=1)), random(PANEL, seed=2)
    together = np.zeros((17, PANEL), np.float32)
    _product(x, weight, bias, together, RELU)
    for row in range(17):
        alone = np.zeros((1, PANEL), np.float32)
        _product(x[row : row + 1].copy(), weight, bias, alone, RELU)
        np.testing.assert_array_equal(alone[0], together[row])


def test_relu_keeps_nan_and_clears_negatives():
    x = np.array([[np.nan], [-1.0], [2.0]], np.float32)
    out = np.zeros((3, PANEL), np.float32)
    _product(x, pack(np.ones((1, PANEL), np.float32)), np.zeros(PANEL, np.float32), out, RELU)
    assert np.isnan(out[0]).all() and (out[1] == 0).all() and (out[2] == 2).all()


@njit
def _attend(scratch, out, stride, count, n, heads, width):
    kernels._attend(scratch, 0, out, stride, count, n, heads, width)


@pytest.mark.parametrize(("n", "heads", "dim"), [(1, 1, 4), (3, 8, 16), (5, 4, 16), (2, 6, 3), (4, 16, 2), (27, 3, 5)])
def test_attention_is_softmax_attention(n, heads, dim):
    count, width = 3, heads * dim
    stride = 3 * width + 5
    qkv = random(count, n, stride)
    out = count * n * stride
    scratch = np.full(out + count * n * stride + n * n * heads, np.nan, np.float32)
    scratch[:out] = qkv.ravel()
    _attend(scratch, out, stride, count, n, heads, width)
    q, k, v = (qkv[..., part * width : (part + 1) * width].reshape(count, n, dim, heads).astype(np.float64)
               for part in range(3))  # fmt: skip
    scores = np.einsum("bidh,bjdh->bijh", q, k)
    share = np.exp(scores - scores.max(axis=2, keepdims=True))
    share /= share.sum(axis=2, keepdims=True)
    expected = np.einsum("bijh,bjdh->bidh", share, v).reshape(count, n, width)
    found = scratch[out : out + count * n * stride].reshape(count, n, stride)[..., :width]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@njit
def _exp_of(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = attention.exp(x[i])
    return out


def test_exp_is_exact_to_two_units_in_the_last_place():
    x = np.linspace(-87.0, 10.0, 200_001).astype(np.float32)
    found, exact = _exp_of(x), np.exp(x.astype(np.float64))
    unit = np.spacing(exact.astype(np.float32)).astype(np.float64)
    assert (np.abs(found - exact) / unit).max() < 2.0
    assert _exp_of(np.array([0.0, -1e9, -np.inf], np.float32)).tolist()[0] == 1.0
    assert (_exp_of(np.array([-1e9, -np.inf], np.float32)) < 1e-37).all()


def test_panels_fit_the_registers_of_this_machine():
    assert tiles.LANES in (8, 16) and PANEL == 2 * tiles.LANES
