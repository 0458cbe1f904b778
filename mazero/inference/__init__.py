"""Networks as search uses them: the same function as the training graph, without the graph."""

from pathlib import Path

from skirmish.compiled import forget_stale_kernels

forget_stale_kernels(Path(__file__).parent)  # before any kernel is loaded

from mazero.inference.models import BACKENDS, PRECISIONS, FusedModel, InferenceConfig, Model, TorchModel, make_model  # noqa: E402

__all__ = ["BACKENDS", "PRECISIONS", "FusedModel", "InferenceConfig", "Model", "TorchModel", "make_model"]
