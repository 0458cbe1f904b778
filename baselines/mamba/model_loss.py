"""Loss of the world model on recorded sequences (MAMBA, section 4): six terms of weight 1.

Step t has the observation o_t, the action a_{t-1} before it and its latents (z_t, h_t). Observation and legality of
step t are read from (z_t, h_t); reward and continuation of the transition (o_t, a_t) from (z_t, h_{t+1}), because
h_{t+1} is computed with a_t. Absorbing ("fake") steps count in neither reconstruction nor action information.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.mamba.codes import uniform
from baselines.mamba.losses import balanced_divergence
from baselines.mamba.store import SequenceBatch
from baselines.mamba.world_model import Observed, State, WorldModel


def observe_batch(
    model: WorldModel, batch: SequenceBatch, generator: np.random.Generator, *, dropout: bool
) -> Observed:
    """Latent states of a batch, drawn with numbers of `generator`; in training with dropout."""
    steps, size, n = batch.last_action.shape
    device = batch.obs.device
    keep = None
    if dropout and model.dropout > 0:
        keep = model.attention.draw_keep(generator, steps, (size, n), model.dropout, device)
    uniforms = uniform(generator, steps - 1, size * n, model.categoricals, device=device)
    return model.observe(batch.obs, batch.last_action, batch.last, uniforms, keep)


def model_loss(
    model: WorldModel, batch: SequenceBatch, observed: Observed, *, balance: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """The scalar loss, and its terms (detached) with the share of legalities that were right."""
    steps, size, n = batch.last_action.shape
    rows = (steps - 1) * size * n

    def per_agent(x: Tensor) -> Tensor:
        """(T', B) -> (T' B n,)."""
        return x.unsqueeze(-1).expand(-1, -1, n).reshape(-1)

    codes, probs = observed.codes.flatten(0, 1), observed.probs.flatten(0, 1)
    now = State(codes, observed.deter[:-1].flatten(0, 1), probs)
    then = State(codes, observed.deter[1:].flatten(0, 1), probs)
    real = per_agent(1.0 - batch.fake[:-1])
    predicted, features = model.reconstruct(now)
    error = F.smooth_l1_loss(predicted, batch.obs[:-1].reshape(rows, -1), reduction="none").sum(-1)
    going_on = per_agent(1.0 - batch.done[1:])
    legal = batch.avail[:-1].reshape(rows, -1)
    legality = model.legality(now)
    shape = (rows, model.categoricals, model.classes)
    prior = model.prior_probs(now.deter)
    terms = {
        "reconstruction_loss": (error * real).sum() / rows,
        "reward_loss": F.smooth_l1_loss(model.reward(then).squeeze(-1), per_agent(batch.reward[1:])),
        "continuation_loss": F.binary_cross_entropy_with_logits(model.continuation(then).squeeze(-1), going_on),
        "legality_loss": F.binary_cross_entropy_with_logits(legality, legal, reduction="none").sum(-1).mean(),
        "information_loss": _information_loss(model, batch, features, real),
        "kl": balanced_divergence(probs.view(shape), prior.view(shape), balance=balance),
    }
    loss = torch.stack(list(terms.values())).sum()
    with torch.no_grad():
        right = (((legality > 0) == (legal > 0.5)) | (real < 0.5).unsqueeze(-1)).float().mean()
    return loss, {name: term.detach() for name, term in terms.items()} | {"legality_accuracy": right}


def _information_loss(model: WorldModel, batch: SequenceBatch, features: Tensor, real: Tensor) -> Tensor:
    """Cross-entropy of the action before each step from features d; mean over the rows of steps 1.. T - 2."""
    _, size, n = batch.last_action.shape
    skipped = size * n
    action = batch.last_action[1:-1].reshape(-1)
    weight = real[skipped:] * (action >= 0)  # no action: nothing to tell
    logits = model.information(features[skipped:]).float()
    return (F.cross_entropy(logits, action.clamp(min=0), reduction="none") * weight).mean()
