"""The embedded SMAC simulator behind the vectorised interface."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from envs.interface import EnvInfo, Snapshot, VectorEnv, require_known, restore_arrays
from envs.skirmish import contract, kernels
from envs.skirmish.maps import MapSpec, load_map, packed_spots
from envs.skirmish.rules import Rules
from envs.skirmish.units import load_json


@dataclass(frozen=True)
class SkirmishOptions:
    """SMAC's constructor options that this backend honours, with SMAC's defaults."""

    step_mul: int = 8  # game loops per environment step
    move_amount: float = 2.0  # length of a move order
    obs_last_action: bool = False  # of team mates; always on in the mazero family
    obs_timestep_number: bool = False
    state_last_action: bool = True
    state_timestep_number: bool = False
    reward_sparse: bool = False
    reward_only_positive: bool = True
    reward_death_value: float = 10.0
    reward_win: float = 200.0
    reward_defeat: float = 0.0
    reward_negative_scale: float = 0.5
    reward_scale: bool = True
    reward_scale_rate: float = 20.0

    def __post_init__(self) -> None:
        """Raises: ValueError for values without a meaning."""
        if self.step_mul < 1:
            raise ValueError(f"step_mul must be at least 1, got {self.step_mul!r}: it counts game loops per step")
        if self.move_amount <= 0:
            raise ValueError(
                f"move_amount must be positive, got {self.move_amount!r}: it is the length of a move order"
            )
        if self.reward_scale_rate <= 0:
            raise ValueError(
                f"reward_scale_rate must be positive, got {self.reward_scale_rate!r}: it is the return of a win"
            )


class SkirmishEnv(VectorEnv):
    """B battles on one map. Results of this backend are labelled `skirmish`; they are not StarCraft II results."""

    def __init__(
        self,
        name: str,
        *,
        num_envs: int = 1,
        observation: str = "smac",
        seed: int = 0,
        rules: Rules | None = None,
        **options: Any,
    ) -> None:
        """Build B battles; `reset()` starts them from `seed`.

        Args:
          name: a map of `envs.available("skirmish")`.
          observation: "smac" or "mazero".
          rules: choices where the facts end; None for the documented defaults.
          options: fields of `SkirmishOptions`.
        Raises: ValueError for an unknown map, family or option (with the nearest name) or a value without a meaning.
        """
        require_known("observation family", observation, ("smac", "mazero"))
        for option in options:
            require_known("option", option, (f.name for f in fields(SkirmishOptions)))
        self.spec = load_map(name)
        self.options = SkirmishOptions(**options)
        self.rules = rules or Rules()
        self.layout = _layout(self.spec, self.options, mazero=observation == "mazero")
        self.profile = _profile(self.spec)
        self._columns = _columns(self.spec, self.rules)
        self._choices = _choices(self.spec, self.rules)
        o = self.options
        self.max_reward = contract.max_reward(self.profile, self.layout, o.reward_death_value, o.reward_win)
        self._terms = contract.RewardTerms(
            sparse=bool(o.reward_sparse),
            only_positive=bool(o.reward_only_positive),
            death_value=float(o.reward_death_value),
            win=float(o.reward_win),
            defeat=float(o.reward_defeat),
            negative_scale=float(o.reward_negative_scale),
            divisor=self.max_reward / o.reward_scale_rate if o.reward_scale else 1.0,
        )
        info = EnvInfo(
            name=name,
            backend="skirmish",
            observation=observation,
            n_agents=self.spec.n_agents,
            n_enemies=self.spec.n_enemies,
            n_actions=self.layout.n_actions,
            obs_size=self.layout.obs_size,
            state_size=self.layout.state_size,
            episode_limit=self.spec.episode_limit,
            deterministic=False,
        )
        self._allocate(info, num_envs)
        units = info.n_agents + info.n_enemies
        self.units = np.zeros((num_envs, kernels.NUM_FLOATS, units))  # (B, NF, U), rows as in kernels.py
        self.marks = np.zeros((num_envs, kernels.NUM_INTS, units), np.int64)  # (B, NS, U)
        self.clocks = np.zeros((num_envs, kernels.NUM_CLOCKS), np.int64)  # (B, 3)
        self.t = np.zeros(num_envs, np.int64)  # (B,) steps done
        self.last_action = np.full((num_envs, info.n_agents), -1, np.int64)  # (B, n), -1 before the first step
        self.result = np.zeros(num_envs, np.int64)  # (B,) contract.UNDECIDED, WIN, LOSS or DRAW
        self._flagged = np.zeros((num_envs, units), np.bool_)  # (B, U) deaths already counted
        self._reward64 = np.zeros(num_envs)
        self._key = np.zeros(2, np.uint64)
        self._seed = seed
        self._started = False

    @property
    def alive(self) -> np.ndarray:
        """(B, U) bool, agents first."""
        return self.units[:, contract.HEALTH] > 0.0

    def reset(self, seed: int | None = None) -> None:
        """New episodes everywhere. Raises: ValueError for a seed outside [0, 2^64)."""
        if seed is None and not self._started:
            seed = self._seed
        if seed is not None:
            if not 0 <= seed < 2**64:
                raise ValueError(f"seed must lie in [0, 2**64), got {seed!r}: pass a non-negative integer")
            self._key[:] = seed & 0xFFFFFFFF, seed >> 32
            self.clocks[:, kernels.EPISODE] = -1
            self.clocks[:, kernels.HEAD_START] = 0
        self._started = True
        self._begin(np.ones(self.num_envs, np.bool_))

    def reset_done(self) -> None:
        """New episodes in finished slots."""
        finished = self.finished
        if finished.any():
            self._begin(finished)

    def step(self, actions: np.ndarray) -> None:
        """One environment step; see `VectorEnv.step`."""
        self._require_started()
        self._step(self._checked_actions(actions))

    def step_scripted(self, actions: np.ndarray) -> None:
        """A step without the availability check.

        For scripts that order attacks from any distance, as SMAC's heuristic does.

        Args: actions: (B, n) integers in [0, A); 0 gives no order and lets the last one stand.
        """
        self._require_started()
        actions = np.ascontiguousarray(actions, np.int64)
        if actions.shape != self.last_action.shape or actions.min() < 0 or actions.max() >= self.info.n_actions:
            raise ValueError(
                f"scripted actions must be of shape {self.last_action.shape} in [0, {self.info.n_actions}), "
                f"got shape {actions.shape}: pass one action id per agent"
            )
        self._step(actions)

    def snapshot(self) -> Snapshot:
        """Copies of everything that changes; observations are rebuilt by `restore`."""
        self._require_started()
        return {key: array.copy() for key, array in self._arrays().items()}

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises: ValueError if it does not fit."""
        restore_arrays(self._arrays(), snapshot)
        self._started = True
        self._describe(np.ones(self.num_envs, np.bool_))

    def _require_started(self) -> None:
        if not self._started:
            raise RuntimeError("episodes must be started first, got a call before any reset: call reset()")

    def _arrays(self) -> Snapshot:
        arrays: Snapshot = {"units": self.units, "marks": self.marks, "clocks": self.clocks}
        arrays |= {"t": self.t, "last_action": self.last_action, "result": self.result, "flagged": self._flagged}
        arrays |= {"key": self._key, "reward": self.reward}
        return arrays | {"terminated": self.terminated, "truncated": self.truncated, "won": self.won}

    def _begin(self, slots: np.ndarray) -> None:
        """Start the next episode of the slots marked True."""
        episode = self.clocks[:, kernels.EPISODE]
        episode[slots] += 1
        self.clocks[slots & (episode > 0), kernels.HEAD_START] += self.rules.respawn_loops
        kernels.spawn(*self._state, self._columns, self._choices, self.spec.terrain.cliffs, self._key, slots)
        self.t[slots] = 0
        self.last_action[slots] = -1
        self.result[slots] = contract.UNDECIDED
        self._flagged[slots] = False
        self.reward[slots] = 0.0
        self.terminated[slots] = self.truncated[slots] = self.won[slots] = False
        self._describe(slots)

    def _step(self, actions: np.ndarray) -> None:
        running = ~self.finished
        previous = self.units[:, contract.HEALTH] + self.units[:, contract.SHIELD]
        move, loops = float(self.options.move_amount), int(self.options.step_mul)
        cliffs = self.spec.terrain.cliffs
        kernels.advance(*self._state, self._columns, self._choices, cliffs, self._key, running, actions, move, loops)
        self.last_action[running] = actions[running]
        self.t += running
        n = self.info.n_agents
        contract.settle(self.units, self._terms, n, running, previous, self._flagged, self._reward64, self.result)
        self.reward[:] = self._reward64
        self.terminated[:] = self.result != contract.UNDECIDED
        self.won[:] = self.result == contract.WIN
        self.truncated[:] = ~self.terminated & (self.t >= self.info.episode_limit)
        self._describe(running)

    def _describe(self, slots: np.ndarray) -> None:
        """Availability, observations and state of the slots marked True."""
        units, layout, last, t = self.units, self.layout, self.last_action, self.t
        available = self.available_actions
        contract.fill_available(units, layout, self.spec.terrain.walkable, slots, available)
        contract.fill_obs(units, self.profile, layout, available, last, t, slots, self.obs)
        contract.fill_state(units, self.profile, layout, last, t, slots, self.state)

    @property
    def _state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.units, self.marks, self.clocks


def _layout(spec: MapSpec, options: SkirmishOptions, *, mazero: bool) -> contract.Layout:
    return contract.Layout(
        n=spec.n_agents,
        m=spec.n_enemies,
        bits=spec.type_bits,
        ally_shields=int(spec.ally_shields),
        enemy_shields=int(spec.enemy_shields),
        episode_limit=spec.episode_limit,
        map_x=spec.terrain.size[0],
        map_y=spec.terrain.size[1],
        move_amount=float(options.move_amount),
        mazero=mazero,
        obs_last_action=bool(options.obs_last_action) or mazero,
        obs_timestep=bool(options.obs_timestep_number),
        state_last_action=bool(options.state_last_action),
        state_timestep=bool(options.state_timestep_number),
    )


def _profile(spec: MapSpec) -> np.ndarray:
    """(4, U) rows HEALTH_MAX, SHIELD_MAX, COOLDOWN_MAX, TYPE_BIT of `contract.py`."""
    # The maps so far have units of one type and no one-hot, so the type bit is 0.
    return np.array([(t.health_max, t.shield_max, t.cooldown_max, 0.0) for t in spec.unit_types]).T.copy()


def _columns(spec: MapSpec, rules: Rules) -> np.ndarray:
    """(NC, U) unit facts and creation spots, rows C_* of `kernels.py`."""
    types = spec.unit_types
    names = sorted({t.name for t in types})
    groups = spec.allies + spec.enemies
    spots = packed_spots(groups, rules.placement_gap)
    points = np.array([(g.x, g.y) for g in groups for _ in range(g.count)])
    goals = spec.attack_point + (spots - points if rules.formation_move else 0.0 * spots)
    columns = np.zeros((kernels.NUM_COLUMNS, len(types)))
    for u, t in enumerate(types):
        columns[: kernels.C_SPAWN_X, u] = (
            names.index(t.name),
            t.health_max,
            t.shield_max,
            t.armor,
            t.speed,
            t.radius,
            t.separation,
            t.weapon_range,
            t.weapon_slop,
            max(t.weapon_range, t.weapon_scan),
            t.weapon_period,
            t.jitter_low * rules.jitter_scale,
            t.jitter_high * rules.jitter_scale,
            t.weapon_damage_point,
            t.weapon_backswing,
            t.weapon_damage,
        )
    columns[kernels.C_SPAWN_X], columns[kernels.C_SPAWN_Y] = spots.T
    columns[kernels.C_GOAL_X], columns[kernels.C_GOAL_Y] = goals.T
    return columns


def _choices(spec: MapSpec, rules: Rules) -> kernels.Choices:
    facts = load_json("units.json")["rules"]
    chosen = {key: value for key, value in asdict(rules).items() if key in kernels.Choices._fields}
    return kernels.Choices(
        n_agents=spec.n_agents,
        map_x=float(spec.terrain.size[0]),
        map_y=float(spec.terrain.size[1]),
        minimum_damage=float(facts["minimum_damage"]),
        help_radius=float(facts["help_radius"]),
        help_period=int(facts["help_period"]),
        chase_limit=float(facts["chase_limit"]),
        **chosen,
    )
