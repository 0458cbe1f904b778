"""What agents see, from what the packages report: their own observations, or the mazero family.

On SMAC's maps the family and MAPPO's central input are composed by our contract (`skirmish.contract`) from the unit
states. In SMACv2 whom an agent sees is drawn, and remembered, inside the package: there the package's blocks are put
in the family's order, with what it adds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from envs.starcraft.options import Battle, rows_of_types
from skirmish.contract import smac as contract
from skirmish.contract.agent_state import agent_state_size, fill_agent_state
from skirmish.contract.layout import P_HEALTH_MAX, Grids, Layout
from skirmish.contract.options import build_grids
from skirmish.physics.tables import NUM_FLOATS

TOLD = 6  # rows of the unit states that a game tells; the simulator has more


class MapViews:
    """Views of B battles on one of SMAC's maps.

    Args: battle: the map.    mazero: whether observations are composed.
    """

    def __init__(self, battle: Battle, num_envs: int, *, mazero: bool) -> None:
        assert isinstance(battle.layout, Layout)
        self.layout: Layout = battle.layout
        self._mazero, self.profile = mazero, battle.profile.copy()
        self._agents, self._enemies = rows_of_types(battle)
        self._grids = build_grids(battle.spec)
        units = self.layout.n + self.layout.m
        self.spec = battle.spec
        self.units = np.zeros((num_envs, NUM_FLOATS, units))  # (B, NF, U), the first rows are what is told
        self.kinds = np.zeros((num_envs, units), np.int64)  # (B, U)

    @property
    def wants_grids(self) -> bool:
        """Whether observations need the game's grids."""
        return self._mazero and (self.layout.pathing_grid or self.layout.terrain_height)

    @property
    def agent_state_size(self) -> int | None:
        """F, see `skirmish/contract/agent_state.py`."""
        return agent_state_size(self.layout)

    def begin(self, slot: int, arrays: dict[str, np.ndarray]) -> None:
        """Units of a new episode. Raises: ValueError for units that the map has not."""
        types, n = arrays["types"], self.layout.n
        unknown = sorted({int(t) for t in types[n:]} - set(self._enemies))
        if unknown:
            raise ValueError(f"enemies on {sorted(self._enemies)} are expected, got types {unknown}")
        self.kinds[slot, :n] = self._agents
        self.kinds[slot, n:] = [self._enemies[int(t)] for t in types[n:]]
        # The largest health is the game's, whatever our unit data say; all slots play the same game.
        self.profile[self.kinds[slot], P_HEALTH_MAX] = arrays["health_max"]
        if "walkable" in arrays:
            self._grids = Grids(*(np.ascontiguousarray(arrays[name]) for name in ("walkable", "height")))

    def see(self, slot: int, arrays: dict[str, np.ndarray]) -> None:
        """Unit states of the present moment."""
        self.units[slot, :TOLD] = arrays["units"]

    def compose(self, slots: np.ndarray, told: Any, available: Any, last_action: Any, t: Any, obs: Any) -> None:
        """Fill obs (B, n, O) of the slots marked True. Args: told: (B, n, O') what the package showed."""
        if not self._mazero:
            obs[slots] = told[slots]
            return
        seen = (self.units, self.kinds, self.profile, self.layout, self._grids)
        contract.fill_obs(*seen, available, last_action, t, slots, obs)

    def agent_state(self, available: Any, last_action: Any, t: Any, out: np.ndarray) -> None:
        """Fill out (B, n, F)."""
        slots = np.ones(len(out), np.bool_)
        seen = (self.units, self.kinds, self.profile, self.layout)
        fill_agent_state(*seen, available, last_action, t, slots, out)


class DrawnViews:
    """Views of B battles with drawn teams."""

    wants_grids = False
    agent_state_size = None

    def __init__(self, battle: Battle, num_envs: int, *, mazero: bool) -> None:
        self.layout, self._from, self._mazero = battle.layout, battle.package_layout, mazero
        self._alive = np.zeros((num_envs, self.layout.n), np.bool_)

    def begin(self, slot: int, arrays: dict[str, np.ndarray]) -> None:
        """A new episode: nothing about it is kept."""

    def see(self, slot: int, arrays: dict[str, np.ndarray]) -> None:
        """Unit states of the present moment: health is row 2."""
        self._alive[slot] = arrays["units"][2, : self.layout.n] > 0.0

    def compose(self, slots: np.ndarray, told: Any, available: Any, last_action: Any, t: Any, obs: Any) -> None:
        """As `MapViews.compose`."""
        if not self._mazero:
            obs[slots] = told[slots]
            return
        at, blocks = 0, {}
        for name, (rows, features) in self._from.obs_blocks.items():
            blocks[name] = told[slots][..., at : at + rows * features]
            at += rows * features
        time = told[slots][..., at:]
        n, actions = self.layout.n, self.layout.n_actions
        ids = np.broadcast_to(np.eye(n, dtype=np.float32), (int(slots.sum()), n, n))
        parts = [ids, time]
        if blocks:
            alive = self._alive[slots][..., None]
            place = np.zeros((*alive.shape[:2], 4), np.float32)
            place[..., :1] = alive
            chosen = (last_action[slots][..., None] == np.arange(actions)) & alive
            own = [place, blocks["own"], chosen.astype(np.float32)]
            parts = [blocks["ally"], blocks["enemy"], blocks["move"], *own, *parts]
        obs[slots] = np.concatenate(parts, axis=-1)

    def agent_state(self, available: Any, last_action: Any, t: Any, out: np.ndarray) -> None:
        """MAPPO's central input is defined for SMAC's maps only."""
        raise AssertionError("agent_state_size is None")
