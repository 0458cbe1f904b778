"""Networks as search uses them: the same function as the training graph, without the graph."""

from mazero.inference.models import (
    BACKENDS,
    PRECISIONS,
    FusedModel,
    GraphModel,
    InferenceConfig,
    MirroredModel,
    Model,
    TorchModel,
    make_model,
    make_player,
)

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "FusedModel",
    "GraphModel",
    "InferenceConfig",
    "MirroredModel",
    "Model",
    "TorchModel",
    "make_model",
    "make_player",
]
