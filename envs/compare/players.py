"""Who plays: scripts and trained policies, each the same on both backends.

Scripts with legal actions only see what both backends show (`skirmish.policies.Board`). SMAC's own script gives orders
that agents may not give: on StarCraft II the package's (`heuristic_ai`) plays, here ours.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import envs
from envs.interface import VectorEnv, require_known
from envs.smac import SmacEnv
from skirmish.faces.vector import SkirmishEnv
from skirmish.policies import Board, HeuristicPolicy, make_policy
from training.errors import UserError
from training.evaluation import Policy
from training.identity import run_key
from training.run import RunDirectory, read_config

SCRIPTS = ("random", "stop", "focus_fire", "heuristic")
OWN_SCRIPT = "heuristic"


class Player(ABC):
    """One policy in one environment."""

    def __init__(self, env: VectorEnv) -> None:
        self.env = env

    @abstractmethod
    def begin(self, seed: int) -> None:
        """New episodes begin in all slots. Args: seed: of all that is drawn until the next call."""

    @abstractmethod
    def step(self) -> np.ndarray:
        """Play one step. Returns: (B, n) the actions, or the orders of a script."""


class Legal(Player):
    """A script that chooses among the available actions."""

    def __init__(self, env: VectorEnv, script: str) -> None:
        super().__init__(env)
        self._name, self._board = script, _board(env)

    def begin(self, seed: int) -> None:
        """See `Player`."""
        self._script = make_policy(self._name, self._board, seed)

    def step(self) -> np.ndarray:
        """See `Player`."""
        actions = self._script.act()
        self.env.step(actions)
        return actions


class OwnScript(Player):
    """SMAC's `heuristic_ai`, played by the package itself or by ours."""

    def begin(self, seed: int) -> None:
        """See `Player`."""
        if isinstance(self.env, SkirmishEnv):
            self._script = HeuristicPolicy(self.env, seed)

    def step(self) -> np.ndarray:
        """See `Player`."""
        if isinstance(self.env, SkirmishEnv):
            orders = self._script.act()
            self.env.step_scripted(orders)
            return orders
        assert isinstance(self.env, SmacEnv)
        self.env.step(self.env.available_actions.argmax(2))  # replaced inside the package
        return self.env.orders.copy()


class Trained(Player):
    """A trained policy, playing as in its evaluations."""

    def __init__(self, env: VectorEnv, run: Run) -> None:
        super().__init__(env)
        self._policies = run.policies(env)

    def begin(self, seed: int) -> None:
        """See `Player`."""
        self._policy = self._policies(seed)
        self._policy.start(self.env.num_envs)

    def step(self) -> np.ndarray:
        """See `Player`."""
        actions = self._policy.act(self.env)
        self.env.step(actions)
        return actions


@dataclass(frozen=True)
class Run:
    """A finished or stopped run whose policy plays."""

    folder: Path
    record: Mapping[str, Any]  # its config.json
    best: bool
    device: str

    @property
    def digest(self) -> str:
        """SHA-256 of the checkpoint. Raises: UserError if there is none."""
        path = RunDirectory(self.folder).checkpoint_path
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}): give the folder of a run that was trained"
            ) from error

    def policies(self, env: VectorEnv) -> Callable[[int], Policy]:
        """A function of a seed that makes the policy anew. Raises: UserError for a checkpoint that cannot be read."""
        load = import_module(f"{self.record['program']}.trained").policies_of
        made: Callable[[int], Policy] = load(self.folder, self.record, env.info, best=self.best, device=self.device)
        return made


@dataclass(frozen=True)
class Who:
    """What `--policy` names: a script, or a run."""

    script: str | None
    run: Run | None

    @property
    def described(self) -> dict[str, Any]:
        """JSON-ready: what two comparisons must have in common."""
        if self.run is None:
            return {"script": self.script}
        record = self.run.record
        return {
            "algorithm": record["algorithm"],
            "trained_on": record["backend"],
            "best": self.run.best,
            "checkpoint_sha256": self.run.digest,  # a run that went on is another policy
            **run_key(record),
        }

    @property
    def label(self) -> str:
        """For people."""
        if self.run is None:
            return str(self.script)
        record = self.run.record
        which = "best policy" if self.run.best else "last policy"
        return f"{record['algorithm']} seed {record['seed']} ({which}, trained on {record['backend']})"

    def environment(self, backend: str, name: str, *, num_envs: int, seed: int, options: dict[str, Any]) -> VectorEnv:
        """The environment that it plays in. Raises: ValueError, ImportError as `envs.make`."""
        how: dict[str, Any] = {"backend": backend, "num_envs": num_envs, "seed": seed, "observation": self._observation}
        if self.script == OWN_SCRIPT and backend == "smac":
            from envs import smac

            return smac.build(name, options=options, scripted=True, **how)
        return envs.make(name, **how, **options)

    def player(self, env: VectorEnv) -> Player:
        """It, in this environment."""
        if self.run is not None:
            return Trained(env, self.run)
        assert self.script is not None
        return OwnScript(env) if self.script == OWN_SCRIPT else Legal(env, self.script)

    @property
    def _observation(self) -> str:
        if self.run is None:
            return "smac"
        config = self.run.record["config"]
        return str(config["self_play" if self.run.record["program"] == "mazero" else "rollout"]["observation"])


def who(policy: str, map_name: str, *, best: bool, device: str) -> Who:
    """What `--policy` says: the folder of a run if it is one, else a script.

    Raises: UserError for an unknown script, or for a run of another map.
    """
    if not (Path(policy) / "config.json").is_file() and "/" not in policy:
        try:
            require_known("policy", policy, SCRIPTS)
        except ValueError as error:
            raise UserError(f"{error}; the folder of a trained run is a policy too") from error
        return Who(policy, None)
    record = read_config(Path(policy))
    if record["map"] != map_name:
        raise UserError(f"{policy} must be a run on {map_name}, got one on {record['map']}: choose --map as trained")
    return Who(None, Run(Path(policy), record, best, device))


def _board(env: VectorEnv) -> Board:
    assert isinstance(env, SkirmishEnv | SmacEnv)
    return env
