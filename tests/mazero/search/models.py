"""Toy models for the search tests: pure functions of hidden state and joint action, the same in any batch."""

import math

import numpy as np
import torch

from mazero.search import Root


def hash_model(n_agents: int, n_actions: int, *, value_scale: float = 1.0, constant_value: float | None = None):
    """A model with pseudo-random rewards, values and policies that depend on the state alone. Hidden: (B, n, 2) f64."""
    agent = torch.arange(n_agents, dtype=torch.float64)
    action = torch.arange(n_actions, dtype=torch.float64)

    def noise(x: torch.Tensor, k: float) -> torch.Tensor:
        y = torch.sin(x * 12.9898 + k * 78.233) * 43758.5453
        return (y - torch.floor(y)) * 2.0 - 1.0  # [-1, 1)

    def read(code: torch.Tensor):
        """code: (B,) float64."""
        value = value_scale * noise(code, 1.0)
        if constant_value is not None:
            value = torch.full_like(code, constant_value)
        logits = 2.0 * noise(code[:, None, None] + 0.37 * agent[:, None] + 0.11 * action, 2.0)
        return noise(code, 3.0), value, logits

    def recurrent_fn(hidden, joint_action):
        weights = torch.arange(1, n_agents + 1, dtype=torch.float64) * 0.173
        code = noise(hidden[:, 0, 0] + ((joint_action + 1).double() * weights).sum(dim=1), 4.0)
        following = code[:, None, None].expand(-1, n_agents, 2).to(hidden.dtype)
        return (following, *read(code))

    def make_root(num_roots: int, *, seed: int = 0, masked: bool = False) -> Root:
        rng = np.random.default_rng(seed)
        code = torch.from_numpy(rng.uniform(-1, 1, num_roots))
        _, value, logits = read(code)
        available = None
        if masked:
            available = rng.random((num_roots, n_agents, n_actions)) < 0.5
            available[..., 0] |= ~available.any(axis=2)
        return Root(code[:, None, None].expand(-1, n_agents, 2).clone(), value, logits, available)

    return recurrent_fn, make_root


TEAM_LOGIT = math.log(99 * 13)  # one of 14 actions has probability 0.99


def scripted_model(scenario: str):
    """The scripted network of the recorded cases, a state of one integer in 0..1008.

    Two agents with three actions each; in scenario `team` eight agents with fourteen.
    """
    n, num_actions = (8, 14) if scenario == "team" else (2, 3)
    place = num_actions ** torch.arange(n - 1, -1, -1)

    def code_of(hidden):
        return hidden[:, 0, 0].round().long()  # (B,)

    def value(h):
        return ((29 * h + 11) % 97).double() / 48 - 1

    def logits(h, *, root: bool):
        i, a = torch.arange(n)[:, None], torch.arange(num_actions)
        if scenario == "skewed":
            return ((13 * h[:, None, None] + 7 * i + 5 * a) % 11).double() / 5 - 1
        if scenario == "chain" and not root:
            only = torch.stack([h % 3, h // 3 % 3], dim=1)  # (B, 2)
            return torch.where(only[:, :, None] == a, 0.0, -60.0).double()
        if scenario in ("sure", "team"):
            behind = (a - h[:, None, None] - 5 * i) % num_actions  # the favourite, then those behind it
            top, slope = (TEAM_LOGIT, 0.0) if scenario == "team" else (7.0, 1.5)
            return torch.where(behind == 0, top, -slope * (behind - 1).double())
        return torch.zeros(h.shape[0], n, num_actions, dtype=torch.float64)

    def recurrent_fn(hidden, joint_action):
        h = (31 * code_of(hidden) + 7 * (joint_action * place).sum(dim=1) + 3) % 1009
        reward = ((17 * h + 5) % 101).double() / 100 - 0.5
        return h.double()[:, None, None].expand(-1, n, 1), reward, value(h), logits(h, root=False)

    def make_root(codes, mask=None) -> Root:
        h = torch.as_tensor(codes)
        available = None if mask is None else np.tile(np.array(mask, bool), (len(h), 1, 1))
        return Root(h.double()[:, None, None].expand(-1, n, 1).clone(), value(h), logits(h, root=True), available)

    return recurrent_fn, make_root
