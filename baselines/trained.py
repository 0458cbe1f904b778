"""What a run leaves to play with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from baselines import registry
from envs.interface import EnvInfo
from training import checkpoint
from training.cli import played_policy
from training.config import from_dict
from training.evaluation import Policy
from training.identity import run_key
from training.run import RunDirectory


def policies_of(
    folder: Path, record: Mapping[str, Any], info: EnvInfo, *, best: bool, device: str
) -> Callable[[int], Policy]:
    """A function that makes the greedy policy of a run, latest or best, anew; it draws nothing from the seed it takes.

    Args: record: its config.json; info: of the environments to play in.
    Raises: UserError for a checkpoint that cannot be read or is of another run.
    """
    algorithm = registry.find(record["algorithm"])
    config: Any = from_dict(algorithm.config, record["config"])
    saved = checkpoint.load(RunDirectory(folder).checkpoint_path, run=run_key(record))
    state = played_policy(saved, best=best)
    return lambda seed: algorithm.load_policy(config, info, state, device=device)
