"""A device for machines that have none: `elsewhere` computes on the CPU, but its tensors must not meet the CPU's.

Inside `with Elsewhere():` a tensor is there after `.to("elsewhere")`, if it is made with that `device`, or if it comes
from tensors that are. As with a real one, what is there cannot become an array, indices and single numbers may come
from the CPU, and `copy_` crosses over. Optimisers and backward passes, which only see gradients, are left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "elsewhere"
CROSSING = ("copy_", "backward", "_has_compatible_shallow_copy_type")  # may see both sides
STAND_IN = torch.device("meta")  # what torch's own classes are told


class Elsewhere(TorchFunctionMode):
    """See above. `crossings`: how many tensors went there."""

    def __init__(self) -> None:
        super().__init__()
        self._there: dict[int, torch.Tensor] = {}  # kept, so that no other tensor gets their ids
        self.crossings = 0

    def is_there(self, x: Any) -> bool:
        """Whether something is a tensor on the device."""
        return isinstance(x, torch.Tensor) and id(x) in self._there

    def follow(self, result: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """`result`, made from `source` where a mode sees nothing, is where that is."""
        return self._mark(result) if self.is_there(source) else result

    @staticmethod
    def _is_device(x: Any) -> bool:
        return isinstance(x, str | torch.device) and x in (DEVICE, STAND_IN)

    def _mark(self, result: Any) -> Any:
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor):
                self._there[id(x)] = x
        return result

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is asked on the CPU, after the checks."""
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name == "_parse_to":  # asked by `Module.to`
            return (STAND_IN, None, False, None) if args[0] == DEVICE else func(*args, **kwargs)
        if any(self._is_device(x) for x in (*args, kwargs.get("device"))):
            self.crossings += 1
            args, kwargs = tree_map(lambda x: "cpu" if self._is_device(x) else x, (args, kwargs))
            return self._mark(func(*args, **kwargs).clone())
        checked = args[:1] + args[2:] if name in ("__getitem__", "__setitem__") else args
        tensors = [x for x in tree_leaves((checked, kwargs)) if isinstance(x, torch.Tensor)]
        there = [x for x in tensors if self.is_there(x)]
        if not there:
            return func(*args, **kwargs)
        if name == "cpu":
            return func(*args, **kwargs).clone()
        if name == "numpy":
            raise TypeError("can't convert a tensor elsewhere to numpy: copy it to the CPU first")
        if func == torch.Tensor.device.__get__:
            return STAND_IN
        away = [x for x in tensors if x.dim() and not self.is_there(x)]
        if func == torch.Tensor.data.__set__:
            self._mark(args[0])
            return func(*args, **kwargs)
        if away and name not in CROSSING:
            raise RuntimeError(f"{name} got tensors on two devices")
        result = func(*args, **kwargs)
        return (
            result
            if name in ("backward", "item", "tolist") or func == torch.Tensor.grad.__get__
            else self._mark(result)
        )
