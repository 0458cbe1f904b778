"""Cooperative matrix games with a known optimum (facts of the MAZero authors' release).

Two agents choose one of three actions in each of ten steps and share the pay-off of the joint action. State and
observation family `smac` are the one-hot of the step index; family `mazero` adds the agent's id, as on SMAC. Without an
id, agents that share a network share a policy, and then no product of policies is the optimum (0, 2) of game 4. Games 1
and 2 are the same game up to renaming the actions.
"""

from __future__ import annotations

import numpy as np

from envs.interface import EnvInfo, Snapshot, VectorEnv, require_known, restore_arrays

MATRIX_GAMES: dict[str, tuple[tuple[float, ...], ...]] = {
    "matrix_1": ((8, -12, -12), (-12, 0, 0), (-12, 0, 0)),
    "matrix_2": ((0, 0, -12), (0, 0, -12), (-12, -12, 8)),
    "matrix_3": ((10, -10, -10), (-10, 9, 0), (-10, 0, 9)),
    "matrix_4": ((2, 6, 10), (2, 4, 9), (1, 2, 3)),
}
STEPS = 10  # per episode
AGENTS = 2


class MatrixEnv(VectorEnv):
    """B repeated matrix games. An episode is won if the best joint action was played in every step."""

    def __init__(self, name: str, *, num_envs: int = 1, observation: str = "smac", reward_scale: float = 1.0) -> None:
        """Build game `name`; rewards are pay-offs times `reward_scale` (1: raw)."""
        require_known("environment", name, MATRIX_GAMES)
        self.payoff = np.array(MATRIX_GAMES[name], np.float64)  # (A, A)
        self.reward_scale = float(reward_scale)
        info = EnvInfo(
            name=name,
            backend="matrix",
            observation=observation,
            n_agents=AGENTS,
            n_enemies=0,
            n_actions=3,
            obs_size=STEPS + (AGENTS if observation == "mazero" else 0),
            state_size=STEPS,
            episode_limit=STEPS,
            deterministic=True,
        )
        self._allocate(info, num_envs)
        self._t = np.zeros(num_envs, np.int64)  # (B,) steps done
        self._optimal = np.ones(num_envs, np.bool_)  # (B,) only best joint actions so far
        self._started = False

    @property
    def best_return(self) -> float:
        """Return of the best policy, in units of the reward."""
        return STEPS * float(self.payoff.max()) * self.reward_scale

    @property
    def largest_return(self) -> float | None:
        """That of the best policy."""
        return self.best_return

    def reset(self, seed: int | None = None) -> None:
        """Start all episodes; the game has no randomness, so the seed changes nothing."""
        self._start(np.ones(self.num_envs, np.bool_))
        self._started = True

    def step(self, actions: np.ndarray) -> None:
        """Play one joint action in every unfinished slot."""
        if not self._started:
            raise RuntimeError("reset must be called before step, got a step first: call reset()")
        actions = self._checked_actions(actions)
        running = ~self.finished
        played = np.where(running[:, None], actions, 0)
        payoff = self.payoff[played[:, 0], played[:, 1]]  # (B,)
        self.reward[:] = np.where(running, payoff * self.reward_scale, 0.0)
        self._t += running
        self._optimal &= ~running | (payoff == self.payoff.max())
        self.terminated[:] = self._t >= STEPS
        self.won[:] = self.terminated & self._optimal
        self._observe()

    def reset_done(self) -> None:
        """Start new episodes in finished slots."""
        self._start(self.finished)

    def snapshot(self) -> Snapshot:
        """Copies of all episode variables."""
        return {key: array.copy() for key, array in self._arrays().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot."""
        restore_arrays(self._arrays(), snapshot)
        self._started = True
        self.available_actions[:] = True
        self._observe()

    def _arrays(self) -> Snapshot:
        return {
            "t": self._t,
            "optimal": self._optimal,
            "reward": self.reward,
            "terminated": self.terminated,
            "truncated": self.truncated,
            "won": self.won,
        }

    def _start(self, slots: np.ndarray) -> None:
        self._t[slots] = 0
        self._optimal[slots] = True
        self.reward[slots] = 0.0
        self.terminated[slots] = False
        self.won[slots] = False
        self.available_actions[:] = True
        self._observe()

    def _observe(self) -> None:
        """One-hot of the step index, all zeros once the steps are over; family `mazero` has the agent id behind it."""
        self.state[:] = np.arange(STEPS) == self._t[:, None]
        self.obs[:, :, :STEPS] = self.state[:, None, :]
        if self.info.obs_size > STEPS:
            self.obs[:, :, STEPS:] = np.eye(AGENTS)
