"""The algorithms of this package by name: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from baselines import cds
from baselines.cds.agent import diverse_agent
from baselines.cds.config import CdsConfig
from baselines.cds.diversity import Diversity
from baselines.mamba import learner as mamba
from baselines.mamba.config import MambaConfig
from baselines.mappo import learner as mappo
from baselines.mappo.config import PpoConfig
from baselines.rode import learner as rode
from baselines.rode.config import RodeConfig
from baselines.value_based import learner as value_based
from baselines.value_based import mixers, qplex
from baselines.value_based.config import QmixConfig, QplexConfig, ValueConfig
from envs.interface import EnvInfo, VectorEnv
from training.config import nearest
from training.errors import UserError
from training.evaluation import Policy
from training.loop import Learner


@dataclass(frozen=True)
class Algorithm:
    """What the command line needs of an algorithm."""

    config: type
    """Dataclass of its settings; they have a section `rollout` with the field `observation`."""
    presets: Path
    """Folder of YAML presets."""
    make_learner: Callable[..., Learner]
    """Called as `make_learner(config, make_env=..., seed=..., device=..., eval_episodes=...)`."""
    load_policy: Callable[..., Policy]
    """Called as `load_policy(config, info, state, device=...)`: the greedy policy of a learner's state."""
    resolve: Callable[[Any, VectorEnv], Any] | None = None
    """Called as `resolve(config, env)` before a run starts: the config with what depends on the environment said."""


def _value_based(
    config: type, make_mixer: Callable[[Any, EnvInfo], Any], presets: Path = value_based.PRESETS, **more: Any
) -> Algorithm:
    """`more`: `make_agent` and `make_bonus` of the learner where they are not those of the family."""
    make_learner = partial(value_based.ValueLearner, make_mixer=make_mixer, **more)
    of_policy = {name: part for name, part in more.items() if name == "make_agent"}
    load_policy = partial(value_based.load_policy, **of_policy) if of_policy else value_based.load_policy
    return Algorithm(config, presets, make_learner, load_policy)


def _policy_gradient(*, centralized: bool) -> Algorithm:
    make_learner = partial(mappo.PpoLearner, centralized=centralized)
    resolve = partial(mappo.resolve, centralized=centralized)
    return Algorithm(PpoConfig, mappo.PRESETS, make_learner, mappo.load_policy, resolve)


ALGORITHMS = {
    "iql": _value_based(ValueConfig, mixers.iql),
    "vdn": _value_based(ValueConfig, mixers.vdn),
    "qmix": _value_based(QmixConfig, mixers.qmix),
    "qplex": _value_based(QplexConfig, qplex.qplex, value_based.PRESETS / "qplex"),
    "cds": _value_based(CdsConfig, qplex.qplex, cds.PRESETS, make_agent=diverse_agent, make_bonus=Diversity),
    "rode": Algorithm(RodeConfig, rode.PRESETS, rode.RodeLearner, rode.load_policy),
    "mappo": _policy_gradient(centralized=True),
    "ippo": _policy_gradient(centralized=False),
    "mamba": Algorithm(MambaConfig, mamba.PRESETS, mamba.MambaLearner, mamba.load_policy),
}


def find(name: str) -> Algorithm:
    """The algorithm of that name. Raises: UserError with the nearest name."""
    if name not in ALGORITHMS:
        raise UserError(f"unknown algorithm {name!r}: {nearest(name, list(ALGORITHMS))}")
    return ALGORITHMS[name]
