"""Networks as search uses them: the same function as the training graph, without the graph."""

from mazero.inference.models import BACKENDS, PRECISIONS, FusedModel, InferenceConfig, Model, TorchModel, make_model

__all__ = ["BACKENDS", "PRECISIONS", "FusedModel", "InferenceConfig", "Model", "TorchModel", "make_model"]
