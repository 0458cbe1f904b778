"""What agents and the central learner see, under SMAC's names: observations, state, availability and their sizes.

The third layer of `smac.StarCraft2Env`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skirmish.contract import smac as contract
from skirmish.contract.layout import P_SIGHT
from skirmish.data.maps import MapSpec
from skirmish.faces.unit_view import UnitView
from skirmish.physics.rules import Rules
from skirmish.physics.tables import X, Y


class NotStartedError(RuntimeError, KeyError):
    """A question before the first reset; SMAC, which knows no units then, raises a KeyError."""

    __str__ = Exception.__str__


class FeatureView(UnitView):
    """Arrays are copies: a later step does not change them."""

    def __init__(self, map_name: str | MapSpec, rules: Rules | None, options: dict[str, Any]) -> None:
        """See `smac.StarCraft2Env`."""
        super().__init__(map_name, rules, options)
        types = [f"type_{k}" for k in range(self.unit_type_bits)]
        ally, enemy = ["shield"] * self.shield_bits_ally, ["shield"] * self.shield_bits_enemy
        self.ally_state_attr_names = ["health", "energy/cooldown", "rel_x", "rel_y", *ally, *types]
        self.enemy_state_attr_names = ["health", "rel_x", "rel_y", *enemy, *types]
        self.last_action = np.zeros((self.n_agents, self.n_actions))  # (n, A) one-hot

    def get_obs(self) -> list[np.ndarray]:
        """n vectors, float32, or float64 with obs_timestep_number."""
        return [self.get_obs_agent(i) for i in range(self.n_agents)]

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        """One agent's vector; all zeros if it is dead."""
        self._require_started()
        row: np.ndarray = self.simulator.obs[0, agent_id]
        if not self.options["obs_timestep_number"]:
            return row.copy()
        # SMAC appends the time to the finished float32 vector, which makes it a float64 one.
        return np.append(row[:-1].astype(np.float64), self.simulator.t[0] / self.episode_limit)

    def get_state(self) -> np.ndarray:
        """(S,) float32."""
        self._require_started()
        return self.simulator.state[0].copy()

    def get_state_dict(self) -> dict[str, Any]:
        """Rows of allies (n, fA) and enemies (m, fE), float64; last_action and timestep if they are enabled."""
        self._require_started()
        env, n = self.simulator, self.n_agents
        ally, enemy = self.get_ally_num_attributes(), self.get_enemy_num_attributes()
        flat = np.zeros((1, n * ally + self.n_enemies * enemy))
        self._fill_state_rows(flat)
        rows: dict[str, Any] = {
            "allies": flat[0, : n * ally].reshape(n, ally),
            "enemies": flat[0, n * ally :].reshape(self.n_enemies, enemy),
        }
        if self.options["state_last_action"]:
            rows["last_action"] = self.last_action
        if self.options["state_timestep_number"]:
            rows["timestep"] = env.t[0] / self.episode_limit
        return rows

    def _fill_state_rows(self, flat: np.ndarray) -> None:
        """Write the state without last actions and time into (1, S') float64."""
        env = self.simulator
        layout = env.layout._replace(state_last_action=False, state_timestep=False)
        slots = np.ones(1, np.bool_)
        contract.fill_state(env.units, env.kinds, env.profile, layout, env.last_action, env.t, slots, flat)

    def get_avail_actions(self) -> list[list[int]]:
        """n lists of A zeros and ones."""
        return [self.get_avail_agent_actions(i) for i in range(self.n_agents)]

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """A zeros and ones."""
        self._require_started()
        available: list[int] = self.simulator.available_actions[0, agent_id].astype(int).tolist()
        return available

    def get_visibility_matrix(self) -> np.ndarray:
        """(n, n + m) bool: which living units each living agent sees, itself excepted.

        As in SMAC two agents see each other if the first of them sees the other, whose sight may differ in SMACv2.
        """
        self._require_started()
        n, units = self.n_agents, self.simulator.units[0]
        x, y, alive = units[X], units[Y], self.simulator.alive[0]
        near = np.hypot(x - x[:n, None], y - y[:n, None]) < self._agent_facts()[:, P_SIGHT, None]
        visible: np.ndarray = near & alive & alive[:n, None]
        first = np.triu(visible[:, :n], 1)
        visible[:, :n] = first | first.T
        return visible

    # Sizes

    def get_total_actions(self) -> int:
        """A."""
        return self.n_actions

    def get_obs_move_feats_size(self) -> int:
        """Entries of the move block."""
        return self.simulator.layout.obs_blocks["move"][1]

    def get_obs_enemy_feats_size(self) -> tuple[int, int]:
        """Enemies and entries per enemy."""
        return self.simulator.layout.obs_blocks["enemy"]

    def get_obs_ally_feats_size(self) -> tuple[int, int]:
        """Team mates and entries per team mate."""
        return self.simulator.layout.obs_blocks["ally"]

    def get_obs_own_feats_size(self) -> int:
        """Entries of the own block; obs_timestep_number makes it one longer."""
        return self.simulator.layout.obs_blocks["own"][1] + self.simulator.layout.obs_timestep

    def get_obs_size(self) -> Any:
        """SMAC's size of a vector; with obs_timestep_number the vectors are one longer, there and here."""
        return self.simulator.layout.obs_size - self.simulator.layout.obs_timestep

    def get_ally_num_attributes(self) -> int:
        """Entries of an ally's row of the state."""
        return self.simulator.layout.state_blocks["ally"][1]

    def get_enemy_num_attributes(self) -> int:
        """Entries of an enemy's row of the state."""
        return self.simulator.layout.state_blocks["enemy"][1]

    def get_state_size(self) -> Any:
        """SMAC's size of the state, with obs_instead_of_state that of n vectors of `get_obs_size` entries."""
        if self.simulator.layout.obs_instead_of_state:
            return self.n_agents * self.get_obs_size()
        return self.simulator.layout.state_size

    def get_env_info(self) -> dict[str, Any]:
        """Sizes, limit and feature names."""
        return {
            **super().get_env_info(),
            "agent_features": self.ally_state_attr_names,
            "enemy_features": self.enemy_state_attr_names,
        }

    def _require_started(self) -> None:
        if not self._started:
            raise NotStartedError("an episode must be started first, got a call before any reset: call reset()")
