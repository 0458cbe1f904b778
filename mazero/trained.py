"""What a run leaves to play with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.interface import EnvInfo, VectorEnv
from mazero.config import MAZeroConfig
from mazero.inference import Model, make_player
from mazero.networks import MAZeroNetwork
from mazero.selfplay import SearchPolicy
from training import checkpoint
from training.cli import played_policy
from training.config import from_dict
from training.evaluation import Policy
from training.identity import run_key


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained policy and an environment of its map."""

    config: MAZeroConfig
    saved: dict[str, Any]  # the checkpoint, without the tables beside it
    network: MAZeroNetwork  # in evaluation mode, on its device
    model: Model  # the same as search sees it
    env: VectorEnv
    options: dict[str, Any]  # of the environment


@dataclass(frozen=True, eq=False)
class Loaded:
    """What a checkpoint holds of a policy; fields as of `Trained`."""

    config: MAZeroConfig
    saved: dict[str, Any]
    network: MAZeroNetwork
    model: Model


def load(folder: Path, record: Mapping[str, Any], info: EnvInfo, *, best: bool, device: str) -> Loaded:
    """The policy of a run, latest or best, for environments of these sizes.

    Args: record: its config.json.
    Raises: UserError for a checkpoint that cannot be read or is of another run.
    """
    config = from_dict(MAZeroConfig, record["config"])
    saved = checkpoint.load(folder / "checkpoint.pt", run=run_key(record))
    network = MAZeroNetwork.for_environment(config.network, info)
    policy = played_policy(saved, best=best)
    network.load_state_dict(policy.get("average") or policy["network"])  # as evaluations played
    network.to(device).eval()
    return Loaded(config, saved, network, make_player(network, config.inference))


def policies_of(
    folder: Path, record: Mapping[str, Any], info: EnvInfo, *, best: bool, device: str
) -> Callable[[int], Policy]:
    """A function of a seed that makes the policy as evaluations play it, with search. Arguments as of `load`."""
    loaded = load(folder, record, info, best=best, device=device)
    config = loaded.config.evaluated()
    return lambda seed: SearchPolicy(loaded.model, config, rng=np.random.default_rng(seed))
