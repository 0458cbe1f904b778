"""What the observation contract needs to know about a map, a family and the options: sizes, switches, type facts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Medivac rules: none; SMAC's MMM maps; SMACv2's terran_gen. Under rules, healers aim at team mates, show their energy
# in the state and do not count as fighters.
NO_HEALERS, MMM_HEALERS, GEN_HEALERS = 0, 1, 2

# Columns of the profile (K, NUM_PROFILE) float64, one row per unit type.
P_HEALTH_MAX, P_SHIELD_MAX = 0, 1
P_COOLDOWN_MAX = 2  # divisor of the cooldown in the state; of the energy for a healer
P_ALLY_BIT, P_ENEMY_BIT = 3, 4  # index in the type one-hot: SMAC orders the two sides differently
P_SIGHT, P_SHOOT = 5, 6  # of an agent of this type, centre to centre: exclusive, inclusive
P_HEALER = 7  # 1: a medivac under medivac rules
NUM_PROFILE = 8


class Layout(NamedTuple):
    """Sizes and switches of one map with one observation family and set of options."""

    n: int
    m: int
    n_actions: int  # A
    bits: int  # b
    ally_shields: int  # 1 if the side is Protoss
    enemy_shields: int
    episode_limit: int
    map_x: int
    map_y: int
    move_amount: float
    medivac_rules: int  # NO_HEALERS, MMM_HEALERS or GEN_HEALERS
    mazero: bool  # observation family
    all_health: bool  # health and shields of the others
    own_health: bool  # health and shield of the agent itself
    obs_last_action: bool  # of team mates; in the mazero family also the agent's own
    pathing_grid: bool
    terrain_height: bool
    obs_timestep: bool
    obs_instead_of_state: bool
    state_last_action: bool
    state_timestep: bool
    sight_scale: float = 1.0  # agents see this part of their sight; distances are told in units of the whole

    @property
    def obs_blocks(self) -> dict[str, tuple[int, int]]:
        """(rows, features) of the blocks of one agent's vector, in their order, the time step left out."""
        last = self.n_actions if self.obs_last_action else 0
        own = self.own_health * (1 + self.ally_shields) + self.bits
        move = ("move", (1, 4 + 8 * self.pathing_grid + 9 * self.terrain_height))
        enemies = ("enemy", (self.m, 4 + self.all_health * (1 + self.enemy_shields) + self.bits))
        allies = ("ally", (self.n - 1, 4 + self.all_health * (1 + self.ally_shields) + self.bits + last))
        if self.mazero:
            return dict([allies, enemies, move, ("own", (1, 4 + own + last)), ("agent_id", (1, self.n))])
        return dict([move, enemies, allies, ("own", (1, own))])

    @property
    def state_blocks(self) -> dict[str, tuple[int, int]]:
        """(rows, features) of the blocks of the state, in their order, the time step left out."""
        blocks = {
            "ally": (self.n, 4 + self.ally_shields + self.bits),
            "enemy": (self.m, 3 + self.enemy_shields + self.bits),
        }
        return blocks | ({"last_action": (self.n, self.n_actions)} if self.state_last_action else {})

    @property
    def obs_size(self) -> int:
        """Length of one agent's vector.

        With obs_timestep the smac family is one longer than SMAC's get_obs_size() says: there the own block grows by an
        entry that stays 0 as well, and the vectors SMAC returns have this length.
        """
        time = self.obs_timestep * (1 if self.mazero else 2)
        return sum(rows * features for rows, features in self.obs_blocks.values()) + time

    @property
    def state_size(self) -> int:
        """S: the smac family's state, or the observations in a row with obs_instead_of_state."""
        if self.obs_instead_of_state:
            return self.n * self.obs_size
        return sum(rows * features for rows, features in self.state_blocks.values()) + self.state_timestep


class Grids(NamedTuple):
    """What SMAC reads from the map."""

    walkable: np.ndarray  # (X, Y) bool
    height: np.ndarray  # (X, Y) float64 in [0, 1], as the option obs_terrain_height shows it
