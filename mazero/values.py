"""The target network's predicted values of replay positions: each evaluated once per target network."""

from __future__ import annotations

from typing import Any

import numpy as np

from mazero.inference import Model
from mazero.replay import Beside, Replay


class TargetValues:
    """Bootstrap values, made when first asked for and kept until `renew`.

    Between two copies of the target network a position is drawn again and again, and its value stays what it is. Kept
    values are part of a checkpoint, so that a resumed run goes on with the same ones whatever a backend rounds.

    Args:
      model: the target network's.    stacked_observations: as in the network's config.
    """

    def __init__(self, model: Model, stacked_observations: int) -> None:
        self._model, self._depth = model, stacked_observations
        self._kept = Beside(np.float32, fill=np.nan)

    def renew(self) -> None:
        """The target network has changed."""
        self._kept.forget()

    def find(self, replay: Replay, positions: np.ndarray) -> np.ndarray:
        """Values (M,) float32 of positions (M,) int64, all different."""
        kept = self._kept.follow(replay)
        new = positions[np.isnan(kept[positions])]
        if new.size:
            kept[new] = self._model.roots(replay.stacked_obs(new, self._depth)).value.cpu().numpy()
        return kept[positions]

    def state_dict(self) -> dict[str, Any]:
        """What is kept."""
        return self._kept.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._kept.load_state_dict(state)
