"""CUDA graphs: a function of tensors that is launched once instead of kernel by kernel.

MAZero's networks are small: a GPU runs one of their kernels in less time than Python takes to ask for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

logger = logging.getLogger(__name__)
CALLS_BEFORE = 3  # libraries and optimisers set up what they need in their first calls; these are ordinary ones
TensorFunction = Callable[..., Sequence[Tensor]]


class Captured:
    """A function of tensors on a GPU as a CUDA graph, for inputs of one shape.

    The first calls run as they are, the next is recorded, and from then on the recording is replayed: whatever the
    function does in Python happens no more, its tensors stay where they were, and it must not wait for the GPU. Random
    numbers go on as they would. Several threads may call it, but while it is recorded none of them may use the GPU
    otherwise; what it returns belongs to the caller. If recording fails, a warning says so and the function runs as it
    is (one with dropout may not: torch 2.11 leaves its generator as it was in the recording).

    Args:
      function: from tensors to tensors.    what: its name in that warning.
    """

    def __init__(self, function: TensorFunction, what: str) -> None:
        self._function, self._what = function, what
        self._lock = threading.Lock()
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The function of inputs shaped as those of the first call."""
        with self._lock:
            self._calls += 1
            if self._calls <= CALLS_BEFORE:
                return self._beside(inputs)
            if self._graph is None and self._calls == CALLS_BEFORE + 1:
                self._record(inputs)
            if self._graph is None:
                return list(self._function(*inputs))
            for held, given in zip(self._inputs, inputs, strict=True):
                held.copy_(given)
            self._graph.replay()
            return [output.clone() for output in self._outputs]

    def _beside(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """An ordinary call on a stream of its own, as recording will be."""
        here, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            outputs = list(self._function(*inputs))
        here.wait_stream(beside)
        for tensor in outputs:
            tensor.record_stream(here)
        return outputs

    def _record(self, inputs: Sequence[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._outputs = list(self._function(*self._inputs))
        except Exception as error:  # of CUDA, cuBLAS or torch; the function itself does the same work
            logger.warning("%s runs without a CUDA graph (%s: %s)", self._what, type(error).__name__, error)
            return
        self._graph = graph
