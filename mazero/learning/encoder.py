"""One post-norm encoder layer (`mazero.networks.AttentionLayer`) for a learning step by hand, with dropout."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mazero.learning import rows
from mazero.learning.attention import attend, attend_backward
from mazero.learning.dropout import Dropout
from mazero.learning.layers import Norm, Parameter, Parameters, Rows, Slots
from mazero.networks import AttentionLayer


class Encoder:
    """Attention over the n agents of a sample, and the feed-forward part.

    Args:
      layer: whose parameters are used.    known: all parameters.    n_agents: n.    slots: of the N rows, n a sample.
    """

    def __init__(self, layer: AttentionLayer, known: Parameters, n_agents: int, slots: Slots) -> None:
        of, width = known.of, layer.out.weight.shape[0]
        self.heads, self.width, self.share = layer.heads, width, layer.dropout
        self.dropout = Dropout(layer.dropout)
        self.qkv_weight, self.qkv_bias = of(layer.qkv.weight), of(layer.qkv.bias)
        self.mix_weight, self.mix_bias = of(layer.out.weight), of(layer.out.bias)
        self.in_weight, self.in_bias = of(layer.feed_in.weight), of(layer.feed_in.bias)
        self.out_weight, self.out_bias = of(layer.feed_out.weight), of(layer.feed_out.bias)
        self.norm_attention = Norm(of(layer.norm_attention.weight), of(layer.norm_attention.bias))
        self.norm_feed = Norm(of(layer.norm_feed.weight), of(layer.norm_feed.bias))
        # With features in the order that attention wants, and queries scaled.
        self.qkv_sorted, self.qkv_sorted_slope = torch.empty(3 * width, width), torch.empty(3 * width, width)
        self.bias_sorted, self.bias_sorted_slope = np.empty(3 * width, np.float32), np.empty(3 * width, np.float32)
        self.mix_sorted, self.mix_sorted_slope = torch.empty(width, width), torch.empty(width, width)
        self.scale = 1.0 / math.sqrt(width // layer.heads)

        samples = [(start // n_agents, stop // n_agents) for start, stop in slots]
        self.qkv, self.mixed = Rows(slots, 3 * width), Rows(slots, width)
        self.weight = Rows(samples, n_agents, n_agents, layer.heads)
        self.sum_attention, self.moments_attention = Rows(slots, width), Rows(slots, 2)
        self.between = Rows(slots, width)
        self.feed, self.d_feed = Rows(slots, width), Rows(slots, width)
        self.sum_feed, self.moments_feed = Rows(slots, width), Rows(slots, 2)
        self.out = Rows(slots, width)
        self._d_mixed = Rows([(0, stop - start) for start, stop in slots], width)

        self.bits = np.empty(0, np.uint16)  # of all four places, drawn at once
        pairs = n_agents * n_agents * layer.heads
        if self.dropout.threshold:
            n_rows, n_samples = len(self.out.array), len(self.weight.array)
            padded = -(-(3 * n_rows * width + n_samples * pairs) // 4) * 4  # random bits come in words of 64
            self.bits = np.empty(padded, np.uint16)
            each = self.bits[: 3 * n_rows * width].reshape(3, n_rows, width)
            self.bits_sum, self.bits_feed, self.bits_out = (Rows.over(part, slots) for part in each)
            behind = self.bits[3 * n_rows * width :][: n_samples * pairs]
            self.bits_weight = Rows.over(behind.reshape(n_samples, pairs), samples)
        else:
            self.bits_sum = self.bits_feed = self.bits_out = Rows.none(slots, width, np.uint16)
            self.bits_weight = Rows.none(slots, pairs, np.uint16)

    def _by_channel(self, x: Tensor, blocks: int) -> Tensor:
        """Rows h * d + c of each block at (c, h): (blocks * H, ...) -> (blocks, d, heads, ...), a view."""
        return x.view(blocks, self.heads, self.width // self.heads, *x.shape[1:]).transpose(1, 2)

    def _by_head(self, x: Tensor, blocks: int) -> Tensor:
        """The other way: rows c * heads + h -> (blocks, heads, d, ...), a view."""
        return x.view(blocks, self.width // self.heads, self.heads, *x.shape[1:]).transpose(1, 2)

    def prepare(self) -> None:
        """Before a step: sorts weights, scales queries, draws dropout."""
        self.dropout = Dropout(self.share)
        self.bits[:] = self.dropout.bits(len(self.bits))
        shape = (3, self.width // self.heads, self.heads)
        bias = torch.from_numpy(self.bias_sorted)
        self.qkv_sorted.view(*shape, -1).copy_(self._by_channel(self.qkv_weight.value, 3))
        bias.view(shape).copy_(self._by_channel(self.qkv_bias.value, 3))
        self.mix_sorted.t().view(*shape[1:], -1).copy_(self._by_channel(self.mix_weight.value.t(), 1)[0])
        self.qkv_sorted[: self.width].mul_(self.scale)
        bias[: self.width].mul_(self.scale)
        self.bias_sorted_slope.fill(0.0)

    def forward(self, slot: int, x: Rows) -> Tensor:
        """x: memory of the input; its slot is read. Returns: (R, H)."""
        threshold, scale = self.dropout.threshold, self.dropout.scale
        torch.mm(x.tensors[slot], self.qkv_sorted.t(), out=self.qkv.tensors[slot])
        attend(
            self.qkv.arrays[slot], self.bias_sorted, self.bits_weight.arrays[slot], threshold, scale,
            self.weight.arrays[slot], self.mixed.arrays[slot],
        )  # fmt: skip
        torch.mm(self.mixed.tensors[slot], self.mix_sorted.t(), out=self.sum_attention.tensors[slot])
        between = self.between.arrays[slot]
        rows.residual_norm(
            self.sum_attention.arrays[slot], self.mix_bias.array, x.arrays[slot], self.bits_sum.arrays[slot], threshold,
            scale, self.norm_attention.gain.array, self.norm_attention.shift.array, between,
            self.moments_attention.arrays[slot],
        )  # fmt: skip
        torch.mm(self.between.tensors[slot], self.in_weight.value.t(), out=self.feed.tensors[slot])
        rows.dropped_relu(self.feed.arrays[slot], self.in_bias.array, self.bits_feed.arrays[slot], threshold, scale)
        torch.mm(self.feed.tensors[slot], self.out_weight.value.t(), out=self.sum_feed.tensors[slot])
        rows.residual_norm(
            self.sum_feed.arrays[slot], self.out_bias.array, between, self.bits_out.arrays[slot], threshold, scale,
            self.norm_feed.gain.array, self.norm_feed.shift.array, self.out.arrays[slot],
            self.moments_feed.arrays[slot],
        )  # fmt: skip
        return self.out.tensors[slot]

    def backward(self, slot: int, d: Tensor, d_array: np.ndarray) -> None:
        """d (R, H), the gradient of the slot's result, becomes that of its input; both names are of one memory."""
        self._norm_backward(
            slot, d_array, self.sum_feed, self.bits_out, self.norm_feed, self.moments_feed, self.out_bias
        )
        d_feed = self.d_feed.tensors[slot]
        torch.mm(self.sum_feed.tensors[slot], self.out_weight.value, out=d_feed)
        rows.dropped_relu_backward(
            self.d_feed.arrays[slot], self.feed.arrays[slot], self.dropout.scale, self.in_bias.slope_array
        )
        d.addmm_(d_feed, self.in_weight.value)
        self._norm_backward(
            slot, d_array, self.sum_attention, self.bits_sum, self.norm_attention, self.moments_attention, self.mix_bias
        )
        torch.mm(self.sum_attention.tensors[slot], self.mix_sorted, out=self._d_mixed.tensors[slot])
        attend_backward(
            self._d_mixed.arrays[slot], self.qkv.arrays[slot], self.bits_weight.arrays[slot], self.dropout.threshold,
            self.dropout.scale, self.weight.arrays[slot], self.bias_sorted_slope,
        )  # fmt: skip
        d.addmm_(self.qkv.tensors[slot], self.qkv_sorted)

    def _norm_backward(
        self, slot: int, d: np.ndarray, total: Rows, bits: Rows, norm: Norm, moments: Rows, bias: Parameter
    ) -> None:
        rows.residual_norm_backward(
            d, total.arrays[slot], bits.arrays[slot], self.dropout.threshold, self.dropout.scale, norm.gain.array,
            moments.arrays[slot], norm.gain.slope_array, norm.shift.slope_array, bias.slope_array,
        )  # fmt: skip

    def finish(self, x: Tensor) -> None:
        """Gradients of the weights. x: (N, H), all inputs."""
        torch.mm(self.sum_feed.tensor.t(), self.feed.tensor, out=self.out_weight.slope)
        torch.mm(self.d_feed.tensor.t(), self.between.tensor, out=self.in_weight.slope)
        torch.mm(self.sum_attention.tensor.t(), self.mixed.tensor, out=self.mix_sorted_slope)
        torch.mm(self.qkv.tensor.t(), x, out=self.qkv_sorted_slope)
        shape = (3, self.heads, self.width // self.heads)
        bias = torch.from_numpy(self.bias_sorted_slope)
        self.qkv_weight.slope.view(*shape, -1).copy_(self._by_head(self.qkv_sorted_slope, 3))
        self.qkv_bias.slope.view(shape).copy_(self._by_head(bias, 3))
        self.mix_weight.slope.t().view(*shape[1:], -1).copy_(self._by_head(self.mix_sorted_slope.t(), 1)[0])
        self.qkv_weight.slope[: self.width].mul_(self.scale)
        self.qkv_bias.slope[: self.width].mul_(self.scale)
