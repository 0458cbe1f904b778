"""Acting with model and actor: latent states of B episodes, carried from step to step with the actions taken."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.mamba.codes import draw_codes, mode_codes
from baselines.mamba.world_model import NO_ACTION, FeatureNet, State, WorldModel
from baselines.mappo.networks import log_policy
from baselines.mappo.policy import sample
from envs.interface import VectorEnv
from training.greedy import best_of


class LatentPolicy:
    """The actor on the posterior's latent states in B slots.

    Acting attends over the team's latents: agents communicate when they play.

    Args: latent, action: what `act` takes, `mode` or `sample` of the posterior and of the policy.
    """

    def __init__(self, model: WorldModel, actor: FeatureNet, *, latent: str, action: str, device: str) -> None:
        self._model, self._actor, self._device = model, actor, device
        self._latent, self._action = latent, action
        self.start(0)

    def start(self, num_envs: int) -> None:
        """New episodes begin in all slots."""
        model = self._model
        self._rng: np.random.Generator | None = None  # of what `act` draws
        rows = (num_envs, model.n_agents)
        self._codes = np.zeros((*rows, model.categoricals), np.int32)
        self._deter = np.zeros((*rows, model.size), np.float32)
        self._last_action = np.full(rows, NO_ACTION, np.int64)

    def start_slots(self, slots: np.ndarray) -> None:
        """New episodes begin in `slots`, an index array."""
        self._codes[slots], self._deter[slots], self._last_action[slots] = 0, 0.0, NO_ACTION

    def log_policy(self, obs: np.ndarray, avail: np.ndarray, uniforms: np.ndarray | None) -> np.ndarray:
        """One step of model and actor. Report what was done to `acted`.

        Args:
          obs: (B, n, O).    avail: (B, n, A).
          uniforms: (B, n, K) in [0, 1) to draw latents with; None takes the posterior's mode.
        Returns: (B, n, A).
        """
        model = self._model

        def rows(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self._device).flatten(0, 1)

        with torch.no_grad():
            last_action = rows(self._last_action)
            alive = (last_action != NO_ACTION).float().unsqueeze(-1)
            before = State(rows(self._codes), rows(self._deter))
            deter = model.advance(model.tables(), before, last_action, alive)
            probs = model.posterior_probs(deter, rows(obs)).unflatten(-1, (model.categoricals, model.classes))
            codes = mode_codes(probs) if uniforms is None else draw_codes(probs, rows(uniforms))
            result = log_policy(self._actor(State(codes, deter)), rows(avail))
        self._codes = codes.view(self._codes.shape).cpu().numpy()
        self._deter = deter.view(self._deter.shape).cpu().numpy()
        return result.view(avail.shape).cpu().numpy()

    def uniforms(self, generator: np.random.Generator) -> np.ndarray:
        """(B, n, K) numbers to draw the latents of one step with."""
        return generator.random(self._codes.shape, np.float32)

    def acted(self, actions: np.ndarray) -> None:
        """Remember the actions (B, n) that were taken: they are inputs of the next step."""
        self._last_action[:] = actions

    def act(self, env: VectorEnv) -> np.ndarray:
        """Joint actions (B, n) as evaluations play them."""
        if self._rng is None:  # equal beginnings are played in the same way, others with other draws
            self._rng = np.random.default_rng(zlib.crc32(env.obs.tobytes()))
        uniforms = self.uniforms(self._rng) if self._latent == "sample" else None
        log_probs = self.log_policy(env.obs, env.available_actions, uniforms)
        if self._action == "sample":
            actions = sample(log_probs, self._rng)
        else:
            actions = best_of(log_probs, env.available_actions, self._rng)
        self.acted(actions)
        return actions

    def state_dict(self) -> dict[str, Any]:
        """Latent states and last actions of the running episodes."""
        return {"codes": self._codes.copy(), "deter": self._deter.copy(), "last_action": self._last_action.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self._codes, self._deter = state["codes"].copy(), state["deter"].copy()
        self._last_action = state["last_action"].copy()
