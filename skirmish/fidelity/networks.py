"""PyMARL's recurrent agent before any learning, many networks side by side, in numpy.

Linear(O + A + n -> 64), ReLU, GRUCell(64), Linear(64 -> A), PyTorch's default initialisation: every weight and bias of
a linear layer uniform within 1/sqrt(inputs), of the cell within 1/sqrt(64). Inputs: observation, last action as one-hot
(zeros before the first), agent's number as one-hot. One network for all agents of a team. Played greedily it is what
stood behind the first test of every real run.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from skirmish.faces.vector import SkirmishEnv
from skirmish.policies import Policy

HIDDEN = 64


class Weights(NamedTuple):
    """S networks; the layout of a matrix is that of PyTorch, transposed for `inputs @ weight`."""

    w_in: np.ndarray  # (S, I, H)
    b_in: np.ndarray  # (S, 1, H)
    w_x: np.ndarray  # (S, H, 3 H) gates r, z, n of the cell's input
    b_x: np.ndarray  # (S, 1, 3 H)
    w_h: np.ndarray  # (S, H, 3 H) the same of its state
    b_h: np.ndarray  # (S, 1, 3 H)
    w_out: np.ndarray  # (S, H, A)
    b_out: np.ndarray  # (S, 1, A)


def default_weights(rng: np.random.Generator, networks: int, inputs: int, actions: int) -> Weights:
    """S freshly initialised networks, float32."""

    def draw(rows: int, columns: int, fan_in: int) -> np.ndarray:
        bound = 1.0 / math.sqrt(fan_in)
        return rng.uniform(-bound, bound, (networks, rows, columns)).astype(np.float32)

    gates = 3 * HIDDEN
    return Weights(
        draw(inputs, HIDDEN, inputs),
        draw(1, HIDDEN, inputs),
        draw(HIDDEN, gates, HIDDEN),
        draw(1, gates, HIDDEN),
        draw(HIDDEN, gates, HIDDEN),
        draw(1, gates, HIDDEN),
        draw(HIDDEN, actions, HIDDEN),
        draw(1, actions, HIDDEN),
    )


def forward(w: Weights, inputs: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step of all networks.

    Args: inputs: (S, N, I); hidden: (S, N, H), zeros at the start of an episode.
    Returns: (S, N, A) action values, (S, N, H) the next hidden state.
    """
    x = np.maximum(np.matmul(inputs, w.w_in) + w.b_in, 0.0)
    new = gru_cell(w, x, hidden)
    return np.matmul(new, w.w_out) + w.b_out, new


def gru_cell(w: Weights, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """PyTorch's cell: r, z gates; n = tanh(x_n + r h_n); h' = (1 - z) n + z h. x, h: (S, N, H)."""
    gx = np.matmul(x, w.w_x) + w.b_x
    gh = np.matmul(h, w.w_h) + w.b_h
    r = _sigmoid(gx[..., :HIDDEN] + gh[..., :HIDDEN])
    z = _sigmoid(gx[..., HIDDEN : 2 * HIDDEN] + gh[..., HIDDEN : 2 * HIDDEN])
    n = np.tanh(gx[..., 2 * HIDDEN :] + r * gh[..., 2 * HIDDEN :])
    return n + z * (h - n)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5  # does not overflow


class UntrainedPolicy(Policy):
    """Slot b is played by network b // (B / S), greedily among the available actions."""

    env: SkirmishEnv

    def __init__(self, env: SkirmishEnv, seed: int = 0, *, networks: int) -> None:
        """S networks for B slots. Raises: ValueError unless S divides B."""
        super().__init__(env, seed)
        if networks < 1 or env.num_envs % networks:
            raise ValueError(
                f"networks must divide the {env.num_envs} slots, got {networks!r}: every network plays the same number"
            )
        info = env.info
        self.networks = networks
        inputs = info.obs_size + info.n_actions + info.n_agents
        self.weights = default_weights(self.rng, networks, inputs, info.n_actions)
        self._inputs = np.zeros((env.num_envs, info.n_agents, inputs), np.float32)
        self._inputs[:, :, info.obs_size + info.n_actions :] = np.eye(info.n_agents)
        self.hidden = np.zeros((networks, env.num_envs // networks * info.n_agents, HIDDEN), np.float32)

    def act(self) -> np.ndarray:
        """(B, n) int64."""
        env, info = self.env, self.env.info
        shape = (self.networks, -1, self._inputs.shape[2])
        self.hidden.reshape(env.num_envs, info.n_agents, HIDDEN)[env.t == 0] = 0.0
        last = self._inputs[:, :, info.obs_size : info.obs_size + info.n_actions]
        self._inputs[:, :, : info.obs_size] = env.obs
        last[:] = env.last_action[:, :, None] == np.arange(info.n_actions)
        values, hidden = forward(self.weights, self._inputs.reshape(shape), self.hidden)
        self.hidden = hidden
        values = values.reshape(env.available_actions.shape)
        return np.where(env.available_actions, values, -np.inf).argmax(2)
