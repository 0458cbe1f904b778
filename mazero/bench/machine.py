"""What every benchmark needs: how fast the machine is, medians, memory, weights that make trees like those of a run."""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

ANCHORS = json.loads((Path(__file__).parent / "anchors.json").read_text(encoding="utf-8"))
WEIGHT_NOISE = 0.05


def machine_speed(repeats: int) -> dict[str, Any]:
    """Throughput of a large float32 matrix product, and of the eager encoder the anchors were calibrated by."""
    x = torch.randn(1024, 1024)
    seconds = median(lambda: x @ x, repeats + 2)
    # The layers are run one by one: `nn.TransformerEncoder` in evaluation mode would take a fused path of its own.
    layers = [nn.TransformerEncoderLayer(128, 8, 128, 0.1) for _ in range(3)]
    encoder = {}
    for batch in (32, 1536):
        tokens = torch.randn(3, batch, 128)

        def run(tokens: torch.Tensor = tokens) -> None:
            with torch.no_grad():
                for layer in layers:
                    tokens = layer.eval()(tokens)

        encoder[str(batch)] = 1e3 * median(run, repeats + 2)
    return {"matmul_gflops": 2 * 1024**3 / seconds / 1e9, "encoder_ms": encoder}


def disturb(*networks: nn.Module) -> None:
    """Adds the same noise to the weights of all networks."""
    for network in networks:
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(WEIGHT_NOISE * torch.randn(parameter.shape, generator=draw).to(parameter.device))


def median(work: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    work()
    spent = []
    for _ in range(repeats):
        finish_gpu()
        began = time.perf_counter()
        work()
        finish_gpu()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def finish_gpu() -> None:
    """Wait for what was handed to a GPU: calls return before it is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory_mb() -> float:
    """Largest memory of this process so far; of the GPU, if one is in use."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
