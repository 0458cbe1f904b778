"""What the SMACv2 contract needs to know about a scenario and its options, and about the units of an episode."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class SceneLayout(NamedTuple):
    """Sizes and switches of one scenario: the fields of `layout.Layout`, then SMACv2's."""

    n: int
    m: int
    n_actions: int  # A
    bits: int  # b
    ally_shields: int
    enemy_shields: int
    episode_limit: int
    map_x: int
    map_y: int
    move_amount: float
    medivac_rules: int
    mazero: bool
    all_health: bool
    own_health: bool
    obs_last_action: bool
    pathing_grid: bool
    terrain_height: bool
    obs_timestep: bool
    obs_instead_of_state: bool
    state_last_action: bool
    state_timestep: bool
    sight_scale: float

    targets: int  # T
    facings: int  # F, 0 without cone view
    starcraft: bool  # False: observations hold nothing but the time step (and the id)
    own_pos: bool
    fully_observable: bool
    prob_obs_enemy: float
    wipes: bool  # whether an enemy that an agent does not know of hides those of smaller index, as published
    action_mask: bool
    chances: bool  # agents have attack probabilities
    show_chances: bool  # of team mates
    levels: bool  # agents have health levels
    show_levels: bool
    show_types: bool

    @property
    def own_size(self) -> int:
        """Entries of the own block, without those that only the mazero family adds."""
        extra = self.chances + self.levels + 2 * self.own_pos + 2 * bool(self.facings)
        return self.own_health * (1 + self.ally_shields) + extra + self.bits

    @property
    def obs_blocks(self) -> dict[str, tuple[int, int]]:
        """(rows, features) of the blocks of one agent's vector, in their order, the time step left out."""
        last = self.n_actions if self.obs_last_action else 0
        ally = 4 + self.all_health * (1 + self.ally_shields) + self.chances + self.levels + self.bits + last
        move = ("move", (1, 4 + 8 * self.pathing_grid + 9 * self.terrain_height))
        enemies = ("enemy", (self.m, 4 + self.all_health * (1 + self.enemy_shields) + self.bits))
        allies = ("ally", (self.n - 1, ally))
        ids = [("agent_id", (1, self.n))] if self.mazero else []
        if not self.starcraft:
            return dict(ids)
        if self.mazero:
            return dict([allies, enemies, move, ("own", (1, 4 + self.own_size + last)), *ids])
        return dict([move, enemies, allies, ("own", (1, self.own_size))])

    @property
    def state_blocks(self) -> dict[str, tuple[int, int]]:
        """(rows, features) of the blocks of the state, in their order, the time step left out."""
        extra = self.chances + self.levels + 2 * bool(self.facings)
        blocks = {
            "ally": (self.n, 4 + self.ally_shields + extra + self.bits),
            "enemy": (self.m, 3 + self.enemy_shields + self.bits),
        }
        return blocks | ({"last_action": (self.n, self.n_actions)} if self.state_last_action else {})

    @property
    def obs_size(self) -> int:
        """Length of one agent's vector; the time step counts once, unlike in SMAC."""
        return sum(rows * features for rows, features in self.obs_blocks.values()) + self.obs_timestep

    @property
    def state_size(self) -> int:
        """S."""
        if self.obs_instead_of_state:
            return self.n * self.obs_size
        return sum(rows * features for rows, features in self.state_blocks.values()) + self.state_timestep

    @property
    def cap_size(self) -> int:
        """Length of one agent's capabilities."""
        return self.chances + self.levels + self.bits


class Traits(NamedTuple):
    """What is drawn or chosen for single units: facing is changed by actions, the rest stays for an episode."""

    facing: np.ndarray  # (B, n) int64 row of `directions`
    directions: np.ndarray  # (F or 1, 2) float64 unit vectors
    chance: np.ndarray  # (B, n) float64 probability that an attack or heal order is carried out
    level: np.ndarray  # (B, n) float64 share of its health at which an agent dies
    hidden: np.ndarray  # (B, n, m) bool: health, shield and type of the enemy are hidden from the agent


class Memory(NamedTuple):
    """Who has found which enemy in this episode."""

    holder: np.ndarray  # (B, m) int64 agent that found it first, or NOBODY
    known: np.ndarray  # (B, m, n) bool: the agent may see it


def directions(facings: int) -> np.ndarray:
    """(F or 1, 2) unit vectors at angles 2 pi k / F; the first one is where everybody looks at the start."""
    angles = 2.0 * np.pi * np.arange(max(1, facings)) / max(1, facings)
    return np.stack([np.cos(angles), np.sin(angles)], 1)
