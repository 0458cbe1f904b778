"""The model run along episodes that were really played, from every step of them, beyond their ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mazero.diagnose.measures import choosing, divergence, legal_policy, mean_where
from mazero.diagnose.play import Recording
from mazero.networks import MAZeroNetwork
from mazero.transforms import expected_scalar

STARTS_AT_ONCE = 512  # few enough for the caches of a core, enough to keep its matrix products busy


@dataclass(frozen=True, eq=False)
class Unrolled:
    """What the model says k = 1..D steps behind each of the M steps of a recording, along the actions really taken.

    `reached` says where the k-th action was really taken (its reward can be compared), `inside` where a real
    observation follows it; beyond the end, actions are random and value and reward should be 0. What needs a real
    observation is NaN outside `inside`.
    """

    reached: np.ndarray  # (M, D) bool
    inside: np.ndarray  # (M, D) bool
    index: np.ndarray  # (M, D) int64, the step of the recording reached, where inside
    reward: np.ndarray  # (M, D) predicted for the k-th action
    value: np.ndarray  # (M, D) predicted behind it
    cosine: np.ndarray  # (M, D) of predicted and encoded state, as the consistency loss takes it
    cosine_still: np.ndarray  # (M, D) the same for the state at the start, as if nothing had happened since
    illegal: np.ndarray  # (M, D) share of the policy's probability on actions not available there, mean over agents
    illegal_choosing: np.ndarray  # (M, D) the same, mean over agents with a choice there
    policy_drift: np.ndarray  # (M, D) nats: KL(policy at the encoded state || at the predicted one), legal actions


@torch.inference_mode()
def unroll(network: MAZeroNetwork, recording: Recording, *, depth: int, rng: np.random.Generator) -> Unrolled:
    """Run the model `depth` steps from every encoded real observation.

    Args: rng: draws actions beyond ends, uniformly among all, as for the targets of learning.
    """
    k = np.arange(1, depth + 1)
    size = len(recording.episode)
    index = np.arange(size)[:, None] + k  # (M, D)
    inside = k < recording.remaining[:, None]
    reached = k <= recording.remaining[:, None]
    index = np.where(inside, index, 0)
    taken = recording.action[np.where(reached, np.arange(size)[:, None] + k - 1, 0)]  # (M, D, n)
    random = rng.integers(0, network.n_actions, taken.shape)
    action = np.where(reached[:, :, None], taken, random)
    device = next(network.parameters()).device
    encoded = torch.from_numpy(recording.hidden)
    target = torch.cat([network.project(part.to(device)).cpu() for part in encoded.split(STARTS_AT_ONCE)])
    names = ("reward", "value", "cosine", "cosine_still", "illegal", "illegal_choosing", "policy_drift")
    out = {name: np.full((size, depth), np.nan) for name in names}
    for first in range(0, size, STARTS_AT_ONCE):
        rows = slice(first, first + STARTS_AT_ONCE)
        hidden = encoded[rows].to(device)
        still = network.predictor(network.project(hidden)).cpu()
        for d in range(depth):
            joint = torch.from_numpy(action[rows, d]).to(device)
            hidden = network.step(hidden, joint)
            out["reward"][rows, d] = _scalar(network.reward_logits(hidden, joint))
            out["value"][rows, d] = _scalar(network.value_logits(hidden))
            there = np.flatnonzero(inside[rows, d])
            if not there.size:
                continue
            at, to = first + there, index[first + there, d]
            predicted = hidden[torch.from_numpy(there).to(device)]
            online = network.predictor(network.project(predicted)).cpu()
            out["cosine"][at, d] = F.cosine_similarity(online, target[to], dim=-1).numpy()
            out["cosine_still"][at, d] = F.cosine_similarity(still[there], target[to], dim=-1).numpy()
            logits = network.policy_logits(predicted).cpu().numpy()
            for name, values in _policy_there(logits, recording.logits[to], recording.available[to]).items():
                out[name][at, d] = values
    return Unrolled(reached=reached, inside=inside, index=index, **out)


def _scalar(logits: Tensor) -> np.ndarray:
    return expected_scalar(logits.float()).cpu().numpy()


def _policy_there(logits: np.ndarray, encoded_logits: np.ndarray, available: np.ndarray) -> dict[str, np.ndarray]:
    """How the policy at predicted states differs from what the real ones allow and from the policy there.

    Args: logits, encoded_logits, available: (B, n, A).    Returns: name -> (B,).
    """
    everywhere = legal_policy(logits, np.ones_like(available))
    illegal = np.where(available, 0.0, everywhere).sum(axis=-1)  # (B, n)
    drift = divergence(legal_policy(encoded_logits, available), legal_policy(logits, available))
    free = choosing(available)
    return {
        "illegal": illegal.mean(axis=-1),
        "illegal_choosing": mean_where(illegal, free),
        "policy_drift": mean_where(drift, free),
    }
