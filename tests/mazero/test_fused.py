"""Fused training layers against plain torch: outputs, gradients, dropout's distribution and its seed."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mazero import fused
from mazero.networks import AttentionLayer


def naive_attention(qkv, heads):
    """Head by head, from the definition, on channels ordered as `attend` has them."""
    q, k, v = qkv.chunk(3, dim=-1)
    out = torch.empty_like(q)
    d = q.shape[-1] // heads
    for h in range(heads):
        own = slice(h, None, heads)
        weight = torch.softmax(q[..., own] @ k[..., own].transpose(1, 2) / d**0.5, dim=-1)
        out[..., own] = weight @ v[..., own]
    return out


@pytest.mark.parametrize(("n", "heads", "d"), [(1, 1, 4), (3, 8, 16), (5, 3, 2), (8, 4, 1), (2, 4, 16)])
def test_attention_and_its_gradient_follow_the_definition(n, heads, d):
    torch.manual_seed(0)
    qkv = torch.randn(4, n, 3 * heads * d, requires_grad=True)
    slope = torch.randn(4, n, heads * d)
    out = fused.attend(qkv, heads, fused.Dropout(0.0))
    exact = naive_attention(qkv.double(), heads)
    torch.testing.assert_close(out.double(), exact, rtol=1e-5, atol=1e-6)
    (found,) = torch.autograd.grad(out, qkv, slope)
    (wanted,) = torch.autograd.grad(exact, qkv, slope.double())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_attention_with_dropout_has_the_gradient_of_its_own_mask():
    """The same seed draws the same mask, so finite differences of the whole function must agree."""
    torch.manual_seed(0)
    qkv, slope, step = torch.randn(2, 3, 24), torch.randn(2, 3, 8), torch.randn(2, 3, 24)

    def value(x):
        torch.manual_seed(7)
        return (fused.attend(x, 2, fused.Dropout(0.3)).double() * slope).sum()

    point = qkv.clone().requires_grad_()
    value(point).backward()
    size = 1e-3
    numeric = (value(qkv + size * step) - value(qkv - size * step)) / (2 * size)
    np.testing.assert_allclose((point.grad * step).sum().item(), numeric.item(), rtol=2e-3)
    assert not torch.allclose(fused.attend(qkv, 2, fused.Dropout(0.0)), fused.attend(qkv, 2, fused.Dropout(0.3)))


@pytest.mark.parametrize("n", [3, 20])  # 20: plain attention, too many agents for the kernel
def test_a_learning_layer_without_dropout_is_the_inference_layer(n):
    torch.manual_seed(0)
    layer = AttentionLayer(32, 4, 0.0)
    torch.nn.init.normal_(layer.qkv.bias)
    x, slope = torch.randn(6, n, 32), torch.randn(6, n, 32)
    results = []
    for training in (True, False):
        layer.train(training)
        layer.zero_grad()
        source = x.clone().requires_grad_()
        out = layer(source)
        out.backward(slope)
        results.append([out.detach(), source.grad, *(p.grad.clone() for p in layer.parameters())])
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)


def test_dropout_drops_its_share_scales_the_rest_and_gates_the_gradient():
    torch.manual_seed(0)
    x = torch.full((1000, 100), 2.0, requires_grad=True)
    out = fused.dropped(x, fused.Dropout(0.1))
    kept = out != 0
    assert abs(1 - kept.float().mean().item() - 0.1) < 0.005  # five standard errors: 0.0047
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 2 / 0.9), rtol=1e-4, atol=0)
    out.sum().backward()
    torch.testing.assert_close(x.grad, out.detach() / 2)


def test_dropout_masks_come_from_torchs_seed_and_differ_between_calls():
    x = torch.ones(64, 64)
    torch.manual_seed(3)
    dropout = fused.Dropout(0.5)
    first, second = fused.dropped(x, dropout), fused.dropped(x, dropout)
    torch.manual_seed(3)
    assert torch.equal(fused.dropped(x, fused.Dropout(0.5)), first)
    assert not torch.equal(first, second)


def test_nothing_is_drawn_without_dropout():
    before = torch.get_rng_state()
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert fused.dropped(x, fused.Dropout(0.0)) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_torchs_in_distribution_through_a_whole_layer():
    """Mean output over many masks; both estimates have a standard error of about 0.01."""
    torch.manual_seed(0)
    layer = AttentionLayer(8, 2, 0.2)
    x = torch.randn(1, 3, 8).expand(20_000, 3, 8).contiguous()
    with torch.no_grad():
        fast = layer.train()(x)
        drop = layer.dropout
        q, k, v = layer.qkv(x).view(-1, 3, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=drop).transpose(1, 2).reshape(x.shape)
        y = layer.norm_attention(x + F.dropout(layer.out(mixed), drop))
        plain = layer.norm_feed(y + F.dropout(layer.feed_out(F.dropout(F.relu(layer.feed_in(y)), drop)), drop))
    torch.testing.assert_close(fast.mean(dim=0), plain.mean(dim=0), rtol=0, atol=0.05)
    torch.testing.assert_close(fast.std(dim=0), plain.std(dim=0), rtol=0, atol=0.05)


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="power of two"):
        fused.attend(torch.zeros(1, 2, 36), 4, fused.Dropout(0.0))
