"""Who runs the network for search: the fused CPU kernels, plain torch, torch's compiler, or CUDA graphs."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numba
import numpy as np
import torch
from torch import Tensor

from mazero.captured import CALLS_BEFORE, Captured
from mazero.inference import kernels
from mazero.inference.packed import Packed
from mazero.networks import MAZeroNetwork, Prediction
from mazero.search import InPlaceModel, RecurrentFn, Root

logger = logging.getLogger(__name__)
BACKENDS = ("auto", "fused", "eager", "compile", "graph")
LEAST_ROOTS_AT_ONCE = 32  # fewer pay more for the steps between kernels than they gain in the caches
ROOTS_OF_A_GRAPH = 512  # fewer are searched at the cost of as many
OF_A_ROOT = ("hidden", "value", "policy_logits")
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class InferenceConfig:
    """How networks are evaluated outside learning. All settings compute the same function; rounding differs."""

    backend: str = "auto"
    """`fused`: our kernels (CPU, float32); `eager`: torch; `compile`: torch.compile, with CUDA graphs on a GPU, falling
    back to `eager` with a warning where that fails; `graph`: `eager` as one CUDA graph of a fixed number of roots;
    `auto`: `fused` on the CPU; on a GPU `graph`, and `fused` on its CPU for play, which searches from few roots.
    The flat network (Fig. 6) runs by `eager` where `auto` says `fused`."""
    precision: str = "float32"
    """`bfloat16` runs matrix products of `eager` and `compile` in bfloat16 (worth it on GPUs only)."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"inference.backend must be one of {', '.join(BACKENDS)}, got {self.backend!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"inference.precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.precision != "float32" and self.backend == "fused":
            raise ValueError(
                f"inference.backend fused computes in float32, got inference.precision {self.precision!r}: "
                "choose backend eager or compile"
            )


class Model(Protocol):
    """A network as search sees it. Whoever changes the network's weights says so by `weights_changed`."""

    @property
    def recurrent(self) -> RecurrentFn | InPlaceModel:
        """What `mazero.search.search` wants."""
        ...

    def weights_changed(self) -> None:
        """The next `roots` must see new weights."""

    @property
    def roots_per_search(self) -> int:
        """So many roots are searched at the cost of one."""
        ...

    def roots(self, obs: np.ndarray, available_actions: np.ndarray | None = None) -> Root:
        """obs (B, n, S * O) float32, available_actions (B, n, A) bool -> roots; tensors lie on the model's device."""
        ...


def make_model(network: MAZeroNetwork, config: InferenceConfig) -> Model:
    """The model a config asks for: on the network's device, and made for many roots at once.

    Raises: ValueError if the network does not lie where the backend runs.
    """
    device = next(network.parameters()).device
    if config.backend == "fused" and device.type != "cpu":
        raise ValueError(f"inference.backend fused runs on the CPU, got device {device}: choose auto, eager or compile")
    if config.backend == "graph" and device.type != "cuda":
        raise ValueError(f"inference.backend graph runs on a GPU, got device {device}: choose auto, eager or compile")
    if config.backend == "fused" or (config.backend == "auto" and device.type == "cpu" and _fuses(network, config)):
        return FusedModel(network)
    if config.backend == "graph" or (config.backend == "auto" and device.type == "cuda"):
        return GraphModel(network, precision=config.precision)
    return TorchModel(network, compiled=config.backend == "compile", precision=config.precision)


def make_player(network: MAZeroNetwork, config: InferenceConfig) -> Model:
    """The model that self-play and evaluation search with, from few roots: as `make_model`, but with `auto` on the CPU.

    Raises: as `make_model`.
    """
    if next(network.parameters()).device.type != "cpu" and config.backend == "auto" and _fuses(network, config):
        return MirroredModel(network)
    return make_model(network, config)


def _fuses(network: MAZeroNetwork, config: InferenceConfig) -> bool:
    compiling = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    return network.config.structure == "individual" and config.precision == "float32" and compiling


class FusedModel:
    """The kernels of this package on packed weights; the next `roots` packs anew when the weights have changed.

    Most changes it notices by itself (torch counts changes in place), but not those of torch's fused optimisers: after
    these, call `weights_changed`. Several threads may use it at once, as long as none changes the network.
    """

    def __init__(self, network: MAZeroNetwork) -> None:
        self._network = network
        self._watched = [*network.parameters(), *network.buffers()]
        self._version: int | None = None
        self._memory = threading.local()
        self._refresh()

    @property
    def recurrent(self) -> FusedModel:
        """Itself."""
        return self

    @property
    def roots_at_once(self) -> int:
        """See `mazero.search.InPlaceModel`: whole tiles, and few enough to leave the caches to the weights."""
        tile = int(self._packed.plan[0]["tile"])
        return tile * -(-LEAST_ROOTS_AT_ONCE // tile)

    @property
    def roots_per_search(self) -> int:
        """See `Model`."""
        return 1

    def weights_changed(self) -> None:
        """See `Model`."""
        self._version = None

    def _refresh(self) -> None:
        version = sum(tensor._version for tensor in self._watched)  # they only grow
        if version != self._version:
            self._packed, self._version = Packed(self._network), version

    def _scratch(self) -> np.ndarray:
        """This thread's scratch memory."""
        if not hasattr(self._memory, "scratch"):
            self._memory.scratch = np.zeros(kernels.scratch_size(self._packed.plan), np.float32)
        return self._memory.scratch

    def roots(self, obs: np.ndarray, available_actions: np.ndarray | None = None) -> Root:
        """See `Model`; sees the network's present weights."""
        self._refresh()
        packed, network = self._packed, self._network
        obs = np.ascontiguousarray(obs, np.float32)
        batch, n, a = obs.shape[0], network.n_agents, network.n_actions
        expected = (batch, n, int(packed.plan[0]["observation"]))
        if obs.shape != expected:
            raise ValueError(f"obs must have shape {expected}, got {obs.shape}: stacked observations of every agent")
        hidden = np.empty((batch, n, network.config.hidden_size), np.float32)
        outputs = np.empty((batch, 2 + n * a), np.float32)
        kernels.represent(packed.weights, packed.dense, packed.plan, self._scratch(), obs, hidden, outputs)
        logits = torch.from_numpy(outputs[:, 2:].reshape(batch, n, a))
        return Root(torch.from_numpy(hidden), torch.from_numpy(outputs[:, 1].copy()), logits, available_actions)

    def begin(self, hidden: np.ndarray) -> None:
        """See `mazero.search.InPlaceModel`."""
        memory, packed = self._memory, self._packed
        shape = (*hidden.shape[:2], kernels.carried_size(packed.plan, packed.dense))
        if not hasattr(memory, "carried") or memory.carried.shape != shape:
            memory.carried, memory.ready = np.empty(shape, np.float32), np.empty(shape[0], np.bool_)
        memory.ready[:] = False

    def step_in_place(
        self, hidden: np.ndarray, rows: np.ndarray, actions: np.ndarray, first: int, outputs: np.ndarray
    ) -> None:
        """See `mazero.search.InPlaceModel`; weights are those of the last `roots`."""
        packed, memory = self._packed, self._memory
        recur: Any = kernels.recur  # numba's stubs allow fewer arguments
        network = (packed.weights, packed.dense, packed.plan, self._scratch())
        recur(*network, hidden, memory.carried, memory.ready, rows, actions, first, outputs)


class MirroredModel(FusedModel):
    """The kernels on the CPU for a network that lies elsewhere: on a copy, which follows it."""

    def __init__(self, network: MAZeroNetwork) -> None:
        self._original = network
        self._follows = True
        super().__init__(copy.deepcopy(network).to("cpu").eval().requires_grad_(False))

    def weights_changed(self) -> None:
        """See `Model`."""
        self._follows = False

    def roots(self, obs: np.ndarray, available_actions: np.ndarray | None = None) -> Root:
        """See `Model`; tensors lie on the CPU."""
        if not self._follows:
            self._network.load_state_dict(self._original.state_dict())
            super().weights_changed()
            self._follows = True
        return super().roots(obs, available_actions)


class TorchModel:
    """The network's own inference methods, compiled or not."""

    def __init__(self, network: MAZeroNetwork, *, compiled: bool = False, precision: str = "float32") -> None:
        self._network, self._precision = network, precision
        self._device = next(network.parameters()).device
        self._step: Callable[[Tensor, Tensor], Prediction] = network.recurrent_inference
        self._untried = compiled
        if compiled:
            # On a GPU this replays CUDA graphs, one for each batch size.
            mode = "reduce-overhead" if self._device.type == "cuda" else None
            self._step = torch.compile(network.recurrent_inference, mode=mode, dynamic=False)

    @property
    def recurrent(self) -> RecurrentFn:
        """One step of the network."""
        return self._recurrent

    @property
    def roots_per_search(self) -> int:
        """See `Model`."""
        return 1

    def weights_changed(self) -> None:
        """See `Model`: nothing to do, the network itself is run."""

    def _cast(self) -> AbstractContextManager:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self._device.type, torch.bfloat16)

    def roots(self, obs: np.ndarray, available_actions: np.ndarray | None = None) -> Root:
        """See `Model`."""
        with torch.inference_mode(), self._cast():
            root = self._network.initial_inference(torch.from_numpy(obs).to(self._device))
        return Root(root.hidden.float(), root.value.float(), root.policy_logits.float(), available_actions)

    def _recurrent(self, hidden: Tensor, joint_action: Tensor) -> Prediction:
        with self._cast():
            if not self._untried:
                return self._float(self._step(hidden, joint_action))
            self._untried = False
            try:
                return self._float(self._step(hidden, joint_action))
            except Exception as error:  # the compiler's many errors have no common base; plain torch does the same work
                logger.warning(
                    "torch.compile failed (%s: %s): inference goes on uncompiled", type(error).__name__, error
                )
                self._step = self._network.recurrent_inference
                return self._float(self._step(hidden, joint_action))

    def _float(self, prediction: Prediction) -> Prediction:
        return prediction if self._precision == "float32" else Prediction(*(part.float() for part in prediction))


class GraphModel(TorchModel):
    """The network's step as a CUDA graph of `ROOTS_OF_A_GRAPH` rows, into which fewer are padded.

    Roots are padded too: all searches run the same kernels, so rounding does not depend on how many roots there are.
    Several threads may search at once, one such number of roots each.
    """

    def __init__(self, network: MAZeroNetwork, *, precision: str = "float32") -> None:
        super().__init__(network, precision=precision)
        self._captured = Captured(self._recurrent, "inference")
        self._rows = ROOTS_OF_A_GRAPH
        self._recorded = False

    def roots(self, obs: np.ndarray, available_actions: np.ndarray | None = None) -> Root:
        """See `Model`. The first time it records the graph: nothing else may use the GPU meanwhile."""
        chunks = [_padded(chunk, self._rows).numpy() for chunk in torch.from_numpy(obs).split(self._rows)]
        parts = [TorchModel.roots(self, chunk) for chunk in chunks]
        hidden, value, logits = (torch.cat([getattr(part, name) for part in parts])[: len(obs)] for name in OF_A_ROOT)
        if not self._recorded:
            self._recorded = True
            actions = torch.zeros(hidden.shape[:2], dtype=torch.int64, device=self._device)
            for _ in range(CALLS_BEFORE + 1):
                self(hidden[: self._rows], actions[: self._rows])
        return Root(hidden, value, logits, available_actions)

    @property
    def recurrent(self) -> RecurrentFn:
        """Itself."""
        return self

    @property
    def roots_at_once(self) -> int:
        """See `mazero.search.InPlaceModel`: the rows of the graph."""
        return self._rows

    @property
    def roots_per_search(self) -> int:
        """See `Model`."""
        return self._rows

    @torch.inference_mode()
    def __call__(self, hidden: Tensor, joint_action: Tensor) -> Prediction:
        """One step of the network from at most `roots_at_once` nodes."""
        count = hidden.shape[0]
        padded = [_padded(x, self._rows) for x in (hidden, joint_action)]
        return Prediction(*(part[:count] for part in self._captured(*padded)))


def _padded(x: Tensor, rows: int) -> Tensor:
    """x (B, ...) -> (rows, ...), its last row again and again."""
    return x if len(x) == rows else torch.cat((x, x[-1:].expand(rows - len(x), *x.shape[1:])))
