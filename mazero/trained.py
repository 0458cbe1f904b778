"""What a run leaves to play with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envs.interface import VectorEnv
from mazero.config import MAZeroConfig
from mazero.inference import Model
from mazero.networks import MAZeroNetwork


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained policy and an environment of its map."""

    config: MAZeroConfig
    saved: dict[str, Any]  # the checkpoint, without the tables beside it
    network: MAZeroNetwork  # in evaluation mode, on its device
    model: Model  # the same as search sees it
    env: VectorEnv
    options: dict[str, Any]  # of the environment
