"""Linears with what follows them, for a learning step by hand: memory for every row of a step, forward, backward.

A step works on N rows, the rows of all unrolled steps of all samples one below the other, in slots: parts of them that
stay in the cache, done one after the other. Whoever computes a slot leaves in the layer's memory what the backward pass
needs, the backward pass of a slot leaves the gradient of its products there, and the gradient of the weights is one
large product over all N rows in the end. Memory is laid out once and used by every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from mazero.learning import rows

Slots = Sequence[tuple[int, int]]  # first row and the one behind the last; slots of scratch memory may overlap


def usable(x: Tensor) -> bool:
    """Whether the kernels can take `x`: float32 in main memory, outside autocast."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


class Rows:
    """Memory of N rows and its slots, seen by torch and by numba.

    Args:
      slots: of which memory is made of.    shape: of a row.
    """

    def __init__(self, slots: Slots, *shape: int, dtype: type = np.float32) -> None:
        self.array: np.ndarray = np.zeros((max(stop for _, stop in slots), *shape), dtype)
        self._cut(slots)

    @classmethod
    def over(cls, array: np.ndarray, slots: Slots) -> Rows:
        """The same over memory that is there."""
        made = cls.__new__(cls)
        made.array = array
        made._cut(slots)
        return made

    @classmethod
    def none(cls, slots: Slots, width: int, dtype: type = np.float32) -> Rows:
        """(0, width) in every slot: what kernels take for nothing."""
        return cls.over(np.empty((0, width), dtype), [(0, 0)] * len(slots))

    def _cut(self, slots: Slots) -> None:
        self.tensor = torch.from_numpy(self.array)
        self.arrays = [self.array[start:stop] for start, stop in slots]
        self.tensors = [self.tensor[start:stop] for start, stop in slots]


class Parameter(NamedTuple):
    """A parameter and its gradient, each seen by torch and by numba; all share memory with the network's."""

    value: Tensor
    array: np.ndarray
    slope: Tensor
    slope_array: np.ndarray


class Parameters:
    """All parameters of a network and memory for their gradients, without gaps, so that they are cleared as one."""

    LINE = 16  # floats in a cache line

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.tensors = list(parameters)
        # Those that fill cache lines come first: they all begin at one.
        order = sorted(range(len(self.tensors)), key=lambda i: self.tensors[i].numel() % self.LINE > 0)
        offsets, size = [0] * len(order), 0
        for i in order:
            offsets[i] = size
            size += self.tensors[i].numel()
        self._places = [
            (tensor.shape, _dense_strides(tensor), offset) for tensor, offset in zip(self.tensors, offsets, strict=True)
        ]
        self.slopes = torch.zeros(size)
        self._known: dict[int, Parameter] = {}
        for tensor, slope in zip(self.tensors, self.views(self.slopes), strict=True):
            value = tensor.detach()
            self._known[id(tensor)] = Parameter(value, value.numpy(), slope, slope.numpy())

    def views(self, flat: Tensor) -> list[Tensor]:
        """The gradient of each parameter in a copy of `slopes`, laid out as the parameter is."""
        return [torch.as_strided(flat, *place) for place in self._places]

    def of(self, tensor: Tensor) -> Parameter:
        """What belongs to a parameter of a module."""
        return self._known[id(tensor)]


def _dense_strides(tensor: Tensor) -> tuple[int, ...]:
    """Of a copy of a tensor without gaps."""
    return torch.empty_like(tensor, device="meta").stride()


class Norm(NamedTuple):
    """Parameters of a LayerNorm."""

    gain: Parameter
    shift: Parameter


class Dense:
    """Linear; then, where there is a `norm`, LayerNorm, after a ReLU if `relu`.

    Args:
      weight: (out, in).    bias: (out,).    slots: of the N rows.
      out: memory for the result behind a norm; made if None.
    """

    def __init__(
        self,
        weight: Parameter,
        bias: Parameter,
        slots: Slots,
        *,
        relu: bool = False,
        norm: Norm | None = None,
        out: Rows | None = None,
    ) -> None:
        self.weight, self.bias, self.relu, self.norm = weight, bias, relu, norm
        self.transposed = weight.value.t()
        width, self.fan_in = weight.value.shape
        self.z = Rows(slots, width)  # products; what goes into the norm; the gradient of the products
        self.table, self.table_slope = bias.array.reshape(1, -1), bias.slope_array.reshape(1, -1)
        self.row = Rows(slots, dtype=np.int64)  # of the table, for every row
        self.nothing = np.empty((0, width), np.float32)
        if norm is not None:
            self.moments = Rows(slots, 2)
            self.out = Rows(slots, width) if out is None else out
        else:
            self.out = self.z

    def prepare(self) -> None:
        """Before a step, when weights are new."""

    def forward(self, slot: int, x: Tensor, add: np.ndarray | None = None) -> Tensor:
        """x (R, in) -> (R, out); `add` (R, out) is added behind the norm."""
        if self.norm is None:
            return torch.addmm(self.bias.value, x, self.transposed, out=self.z.tensors[slot])
        torch.mm(x, self.transposed, out=self.z.tensors[slot])
        return self.activate(slot, add)

    def activate(self, slot: int, add: np.ndarray | None = None) -> Tensor:
        """What follows the product."""
        assert self.norm is not None
        gain, shift = self.norm.gain.array, self.norm.shift.array
        more = self.nothing if add is None else add
        rows.norm(
            self.z.arrays[slot], self.table, self.row.arrays[slot], self.relu, gain, shift, more,
            self.out.arrays[slot], self.moments.arrays[slot],
        )  # fmt: skip
        return self.out.tensors[slot]

    def backward(self, slot: int, d_out: np.ndarray) -> Tensor:
        """d_out (R, out) -> gradient of the products. Without a norm it is already where the products were."""
        if self.norm is not None:
            gain, shift = self.norm
            rows.norm_backward(
                d_out, self.z.arrays[slot], self.row.arrays[slot], self.relu, gain.array, self.moments.arrays[slot],
                gain.slope_array, shift.slope_array, self.table_slope,
            )  # fmt: skip
        return self.z.tensors[slot]

    def through(self, slot: int, slope: Tensor, into: Rows) -> np.ndarray:
        """Gradient of the products -> gradient of x (R, in), in memory of `into`."""
        torch.mm(slope, self.weight.value, out=into.tensors[slot])
        return into.arrays[slot]

    def finish(self, x: Tensor) -> None:
        """Gradient of the weights, when the backward pass is through all slots. x: (N, in)."""
        torch.mm(self.z.tensor.t(), x, out=self.weight.slope)
        if self.norm is None:
            torch.sum(self.z.tensor, 0, out=self.bias.slope)


class FirstDense(Dense):
    """The first layer of the representation, with the affine part of the LayerNorm before it folded into its weights.

    x = standard * gain + shift, so  W x + b = (W gain) standard + (b + W shift), and with G = dz' standard the
    gradients are  dW = G gain + db shift',  dgain = sum of W * G over rows,  dshift = W' db:  none needs that of x.
    """

    def __init__(self, weight: Parameter, bias: Parameter, slots: Slots, *, inputs: Norm, norm: Norm) -> None:
        super().__init__(weight, bias, slots, relu=True, norm=norm)
        self.inputs = inputs
        self.folded, self.product = torch.empty_like(weight.value), torch.empty_like(weight.value)
        self.transposed = self.folded.t()
        self.table = np.empty((1, len(bias.array)), np.float32)
        self._offset = torch.from_numpy(self.table[0])

    def prepare(self) -> None:
        """Folds."""
        torch.mul(self.weight.value, self.inputs.gain.value, out=self.folded)
        torch.addmv(self.bias.value, self.weight.value, self.inputs.shift.value, out=self._offset)

    def finish(self, x: Tensor) -> None:
        """x: (N, in), standardised."""
        gain, shift = self.inputs
        torch.mm(self.z.tensor.t(), x, out=self.product)
        torch.mul(self.product, gain.value, out=self.weight.slope)
        self.weight.slope.addr_(self.bias.slope, shift.value)
        torch.mv(self.weight.value.t(), self.bias.slope, out=shift.slope)
        torch.sum(self.product.mul_(self.weight.value), 0, out=gain.slope)


class ActionDense(Dense):
    """Linear over concat(x, one-hot action) of `mazero.networks.ActionLinear`, by looking up the action's row.

    Args:
      action_rows: (A, out).    row: (N,) int64 actions, filled by the caller before a step.
    """

    def __init__(
        self, weight: Parameter, bias: Parameter, slots: Slots, *, action_rows: Parameter, row: Rows,
        norm: Norm | None = None,
    ) -> None:  # fmt: skip
        super().__init__(weight, bias, slots, relu=True, norm=norm)
        self.action_rows, self.row = action_rows, row
        self.table, self.table_slope = np.zeros((2, *action_rows.array.shape), np.float32)

    def prepare(self) -> None:
        """Adds the bias to every row."""
        self.table_slope.fill(0.0)
        np.add(self.action_rows.array, self.bias.array, out=self.table)

    def finish(self, x: Tensor, *more: Tensor) -> None:
        """As for `Dense`, for inputs that lie apart."""
        start = 0
        for part in (x, *more):
            torch.mm(self.z.tensor.t(), part, out=self.weight.slope[:, start : start + part.shape[1]])
            start += part.shape[1]
        np.copyto(self.action_rows.slope_array, self.table_slope)
        np.sum(self.table_slope, axis=0, out=self.bias.slope_array)


class Renorm(Dense):
    """A LayerNorm right behind another one."""

    def __init__(self, norm: Norm, slots: Slots) -> None:
        self.norm, self.relu = norm, False
        self.fan_in = width = len(norm.gain.array)
        self.z, self.out, self.moments = Rows(slots, width), Rows(slots, width), Rows(slots, 2)
        self.table, self.table_slope = np.zeros((1, width), np.float32), np.zeros((1, width), np.float32)
        self.row = Rows(slots, dtype=np.int64)
        self.nothing = np.empty((0, width), np.float32)

    def forward(self, slot: int, x: Tensor, add: np.ndarray | None = None) -> Tensor:
        """x (R, C) -> (R, C)."""
        self.z.tensors[slot].copy_(x)
        return self.activate(slot, add)

    def through(self, slot: int, slope: Tensor, into: Rows) -> np.ndarray:
        """The gradient of x stands where x did."""
        return self.z.arrays[slot]

    def finish(self, x: Tensor) -> None:
        """There are no weights."""


class Stage(NamedTuple):
    """A Linear of a module and what follows it; None: a LayerNorm by itself."""

    linear: nn.Linear | None
    relu: bool
    norm: nn.LayerNorm | None


def stages(module: nn.Module) -> list[Stage]:
    """The layers of a module made of Linear, ReLU and LayerNorm, in order; it ends in one LayerNorm more at most.

    Raises: ValueError if it is made of anything else, or has no norm behind a Linear before the last one.
    """
    leaves = [leaf for leaf in module.modules() if not list(leaf.children())]
    found: list[Stage] = []
    for leaf in leaves:
        last = found[-1] if found else None
        if type(leaf) is nn.Linear and leaf.bias is not None and (last is None or last.norm is not None):
            found.append(Stage(leaf, False, None))
        elif type(leaf) is nn.ReLU and last is not None and last.norm is None and not last.relu:
            found[-1] = last._replace(relu=True)
        elif _is_plain_norm(leaf) and last is not None and last.norm is None:
            found[-1] = last._replace(norm=cast(nn.LayerNorm, leaf))
        elif _is_plain_norm(leaf) and last is not None and last.linear is not None:
            found.append(Stage(None, False, cast(nn.LayerNorm, leaf)))
        else:
            raise ValueError(f"a chain is made of Linears, each with ReLU and LayerNorm behind it, got {leaf}")
    if not found or (found[-1].relu and found[-1].norm is None):
        raise ValueError(f"a chain ends in a Linear or a LayerNorm, got {module}")
    return found


def _is_plain_norm(leaf: nn.Module) -> bool:
    return type(leaf) is nn.LayerNorm and leaf.bias is not None and np.float32(leaf.eps) == rows.EPSILON


class Chain:
    """Linears one after the other.

    Args:
      parts: at least one.    known: the parameters.    slots: of the N rows.
      out: memory for the result; made if None.    first: a layer before them.
    """

    def __init__(
        self,
        parts: list[Stage],
        known: Parameters,
        slots: Slots,
        *,
        out: Rows | None = None,
        first: Dense | None = None,
    ) -> None:
        self.layers: list[Dense] = [] if first is None else [first]
        for part in parts:
            norm = None if part.norm is None else Norm(known.of(part.norm.weight), known.of(part.norm.bias))
            if part.linear is None:
                assert norm is not None and out is None
                self.layers.append(Renorm(norm, slots))
                continue
            self.layers.append(
                Dense(
                    known.of(part.linear.weight), known.of(part.linear.bias), slots, relu=part.relu, norm=norm,
                    out=out if part is parts[-1] else None,
                )
            )  # fmt: skip
        largest = [(0, stop - start) for start, stop in slots]
        self._d_inputs = [Rows(largest, layer.fan_in) for layer in self.layers[1:]]

    @property
    def out(self) -> Rows:
        """The results."""
        return self.layers[-1].out

    def prepare(self) -> None:
        """Before a step, when weights are new."""
        for layer in self.layers:
            layer.prepare()

    def forward(self, slot: int, x: Tensor, add: np.ndarray | None = None) -> Tensor:
        """x (R, in) -> (R, out), to which `add` is added."""
        for layer in self.layers[:-1]:
            x = layer.forward(slot, x)
        return self.layers[-1].forward(slot, x, add)

    def backward(self, slot: int, d_out: np.ndarray) -> Tensor:
        """d_out (R, out), see `Dense.backward`, -> gradient of the first layer's products, (R, its out)."""
        slope = self.layers[-1].backward(slot, d_out)
        for i in range(len(self.layers) - 1, 0, -1):
            into = self.layers[i].through(slot, slope, self._d_inputs[i - 1])
            slope = self.layers[i - 1].backward(slot, into)
        return slope

    def finish(self, x: Tensor) -> None:
        """Gradients of all weights. x: (N, in)."""
        for layer in self.layers:
            layer.finish(x)
            x = layer.out.tensor
