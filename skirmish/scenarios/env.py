"""Drawn battles behind the vectorised interface: SMACv2's scenarios and options on the kernels of the SMAC maps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from skirmish.checks import Snapshot, restore_arrays
from skirmish.contract import smac as contract
from skirmish.contract import smacv2 as contract_v2
from skirmish.contract.layout import P_ALLY_BIT, P_ENEMY_BIT, P_HEALTH_MAX, P_SHOOT, P_SIGHT
from skirmish.contract.layout_v2 import Memory, SceneLayout, Traits, directions
from skirmish.contract.options import SkirmishOptions, build_layout, build_profile
from skirmish.counters import BATTLES, TRAITS, CounterStreams
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics import tables
from skirmish.physics.placement import free_spots
from skirmish.physics.rules import Rules
from skirmish.scenarios.draw import (
    AGENT_TYPE_ORDER,
    UNIT_SHOOT_RANGES,
    UNIT_SIGHT_RANGES,
    Scenario,
    build_spec,
    draw_battle,
    find_scenario,
)

ENEMY_MEMORIES = ("faithful", "repaired")
REWARD_SCALES = ("first", "episode")
FIRST_LOOPS = 1  # game loops between the creation of the teams and the first observation


@dataclass(frozen=True)
class ScenarioOptions(SkirmishOptions):
    """SMACv2's options with SMACv2's names and defaults; a scenario brings its published values along.

    SMACv2's capability_config is spread over the last options. Ranges (low, high) are drawn from uniformly, once per
    agent and episode.
    """

    use_unit_ranges: bool = False  # shoot and see as far as the unit type does, not 6 and 9
    min_attack_range: float = 2.0  # with use_unit_ranges nobody shoots less far
    obs_own_pos: bool = False
    obs_starcraft: bool = True  # False: observe nothing but the time step
    conic_fov: bool = False  # see and shoot within a cone only; adds the actions that turn it
    num_fov_actions: int = 12  # directions of the cone, which is 2 pi / num_fov_actions wide
    fully_observable: bool = False
    prob_obs_enemy: float = 1.0  # probability that an agent hears of an enemy that another one has found
    # "faithful": an enemy that an agent does not know of hides all enemies of smaller index from it, as published;
    # "repaired": it hides itself only. With prob_obs_enemy = 1, repaired means: who is in sight is seen.
    enemy_memory: str = "faithful"
    action_mask: bool = True  # False: every living target may be chosen; out of range nothing happens
    # Whose teams fix the scale of a slot's rewards: those of its first episode, as published, or each episode's own.
    reward_scale_teams: str = "first"
    kill_unit_step_mul: int = 2  # game loops of a step after the units below their health level were killed
    attack_probability: tuple[float, float] | None = None  # that an order to attack or heal is carried out
    observe_attack_probability: bool = True  # of team mates
    health_level: tuple[float, float] | None = None  # share of its health at which an agent dies
    observe_health_level: bool = True  # of team mates
    mask_probability: float | None = None  # that an agent is *shown* an enemy's health, shield and type
    observe_types: bool = True  # of team mates

    def __post_init__(self) -> None:
        """Raises: ValueError for values without a meaning."""
        super().__post_init__()
        if self.enemy_memory not in ENEMY_MEMORIES:
            raise ValueError(f"enemy_memory must be one of {', '.join(ENEMY_MEMORIES)}, got {self.enemy_memory!r}")
        if self.reward_scale_teams not in REWARD_SCALES:
            raise ValueError(
                f"reward_scale_teams must be one of {', '.join(REWARD_SCALES)}, got {self.reward_scale_teams!r}"
            )
        if not 0.0 <= self.prob_obs_enemy <= 1.0:
            raise ValueError(f"prob_obs_enemy must lie in [0, 1], got {self.prob_obs_enemy!r}: it is a probability")
        if not _is_count(self.num_fov_actions) or self.num_fov_actions < 1:
            raise ValueError(
                f"num_fov_actions must be an integer of at least 1, got {self.num_fov_actions!r}: "
                "it counts the directions of the cone"
            )
        if not _is_count(self.kill_unit_step_mul) or not 0 <= self.kill_unit_step_mul < self.step_mul:
            raise ValueError(
                f"kill_unit_step_mul must be an integer in 0..step_mul - 1 ({self.step_mul - 1}), "
                f"got {self.kill_unit_step_mul!r}: it counts the last game loops of a step"
            )
        if self.mask_probability is not None and not 0.0 <= _number(self.mask_probability, "mask_probability") <= 1.0:
            raise ValueError(f"mask_probability must lie in [0, 1], got {self.mask_probability!r}")
        for name, most in (("attack_probability", 1.0), ("health_level", 0.99)):
            _check_range(name, getattr(self, name), most)
        if not self.obs_starcraft and not self.obs_timestep_number:
            raise ValueError("obs_starcraft=False needs obs_timestep_number=True, got False: nothing would be observed")


class GeneratedEnv(SkirmishEnv):
    """B battles of one scenario. The teams and places of slot b's episode k follow from (seed, b, k) alone."""

    options_type = ScenarioOptions
    options: ScenarioOptions
    layout: SceneLayout
    _started = False  # the base class's constructor asks for a battle before there is a seed

    def __init__(
        self,
        name: str | Scenario,
        *,
        num_envs: int = 1,
        observation: str = "smac",
        seed: int = 0,
        rules: Rules | None = None,
        **options: Any,
    ) -> None:
        """Build B battles; `reset()` draws and starts them from `seed`.

        Args:
          name: a scenario of `scenarios.scenario_names()`, or one of your own.
          observation, rules: as for `SkirmishEnv`.
          options: fields of `ScenarioOptions`, instead of what the scenario is published with.
        Raises: ValueError for an unknown scenario, family or option (with the nearest name) or a bad value.
        """
        self.scenario = find_scenario(name) if isinstance(name, str) else name
        options = {**self.scenario.options, **options}
        spec = build_spec(self.scenario)
        super().__init__(spec, num_envs=num_envs, observation=observation, seed=seed, rules=rules, **options)
        n, m, b = self.info.n_agents, self.info.n_enemies, num_envs
        # (2, types) rows of the profile, of agents and of enemies
        self._kind_of = np.array([[self.spec.row_of(t, agents=a) for t in self.scenario.types] for a in (True, False)])
        self._rank_of = np.array([AGENT_TYPE_ORDER.index(name) for name in self.scenario.types])
        self._battles, self._draws = CounterStreams(BATTLES), CounterStreams(TRAITS)
        facings = self.layout.facings
        self.traits = Traits(
            facing=np.zeros((b, n), np.int64),
            directions=directions(facings),
            chance=np.ones((b, n)),
            level=np.zeros((b, n)),
            hidden=np.zeros((b, n, m), np.bool_),
        )
        self.memory = _empty_memory(b, n, m)
        self._memory_before = _empty_memory(b, n, m)  # as it was when the present observation was made
        self.in_range = np.zeros((b, n, self.layout.targets), np.bool_)  # targets that orders reach, masked or not
        self.max_rewards = np.full(b, self.max_reward)  # (B,) largest returns that scale the rewards

    @property
    def agent_state_size(self) -> None:
        """None: MAPPO's central input is defined for SMAC's maps only."""
        return None

    @property
    def largest_return(self) -> float | None:
        """The same for all teams if rewards are scaled by each team's, otherwise not known."""
        scaled = self.options.reward_scale and self.options.reward_scale_teams == "episode"
        return self.options.reward_scale_rate if scaled and not self._terms.sparse else None

    @property
    def capabilities(self) -> np.ndarray:
        """(B, n, C) float32: attack probability and health level if they are drawn, type one-hot."""
        return contract_v2.capabilities(self.kinds, self.profile, self.layout, self.traits)

    @property
    def first_target(self) -> int:
        """Id of the first action with a target; the facings stand before it."""
        return contract_v2.FIRST_FACING + self.layout.facings

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot. Raises: ValueError if it does not fit."""
        restore_arrays(self._arrays(), snapshot)
        for before, now in zip(self._memory_before, self.memory, strict=True):
            now[:] = before  # making the observations again changes the memory as it did the first time
        self._kinds[:] = self.kinds
        self._started = True
        self._describe(np.ones(self.num_envs, np.bool_))

    def _build_contract(self, *, mazero: bool) -> tuple[SceneLayout, np.ndarray]:
        o, bits = self.options, self.scenario.types
        plain = build_layout(self.spec, o, mazero=mazero)
        targets = plain.n_actions - contract_v2.FIRST_FACING
        facings = int(o.num_fov_actions) if o.conic_fov else 0
        layout = SceneLayout(
            **(plain._asdict() | {"n_actions": plain.n_actions + facings}),
            targets=targets,
            facings=facings,
            starcraft=bool(o.obs_starcraft),
            own_pos=bool(o.obs_own_pos),
            fully_observable=bool(o.fully_observable),
            prob_obs_enemy=float(o.prob_obs_enemy),
            wipes=o.enemy_memory == "faithful",
            action_mask=bool(o.action_mask),
            chances=o.attack_probability is not None,
            show_chances=bool(o.observe_attack_probability),
            levels=o.health_level is not None,
            show_levels=bool(o.observe_health_level),
            show_types=bool(o.observe_types),
        )
        profile = build_profile(replace(self.spec, type_bits=0))  # one-hots of SMAC's maps do not apply
        for row, kind in zip(profile, self.spec.kinds, strict=True):
            row[P_ALLY_BIT] = row[P_ENEMY_BIT] = bits.index(kind.name)
            if o.use_unit_ranges:
                row[P_SHOOT] = max(UNIT_SHOOT_RANGES[kind.name], o.min_attack_range)
                row[P_SIGHT] = UNIT_SIGHT_RANGES[kind.name]
        return layout, profile

    def _arrays(self) -> Snapshot:
        holder, known = self._memory_before
        traits = self.traits._asdict()
        arrays = super()._arrays() | {name: traits[name] for name in ("facing", "chance", "level", "hidden")}
        return arrays | {"holder": holder, "known": known, "max_rewards": self.max_rewards}

    def _agent_types(self) -> tuple[str, ...]:
        """None: they are drawn anew for every episode."""
        return ()

    def _draw_battles(self, slots: np.ndarray) -> None:
        """Draw teams, places and traits of the next episode in the slots marked True."""
        if not self._started:
            return
        seed, n = int(self._key[0]) | int(self._key[1]) << 32, self.info.n_agents
        for slot in map(int, np.flatnonzero(slots)):
            episode = int(self.clocks[slot, tables.EPISODE])
            battle = draw_battle(self.scenario, self._battles.at(seed, slot=slot, episode=episode))
            types = np.concatenate([battle.ally_types, battle.enemy_types])
            points = np.concatenate([battle.ally_positions, battle.enemy_positions])
            names = [self.scenario.types[k] for k in types]
            spots = free_spots(points, names, self.rules.placement_gap, self.spec.terrain.size)
            order = np.arange(len(types))
            order[:n] = contract.agent_order(self._rank_of[types[:n]], spots[:n, 0], spots[:n, 1])
            self._next_kinds[slot, :n] = self._kind_of[0, types[order[:n]]]
            self._next_kinds[slot, n:] = self._kind_of[1, types[order[n:]]]
            self._places[slot, :2] = self._places[slot, 2:] = spots[order].T
            self._draw_traits(slot, self._draws.at(seed, slot=slot, episode=episode))
            if episode == 0 or self.options.reward_scale_teams == "episode":
                death_value, win = self.options.reward_death_value, self.options.reward_win
                enemies = self._next_kinds[slot, n:]
                self.max_rewards[slot] = contract.max_reward(self.profile, enemies, death_value, win)
        # Every battle is created by debug commands: no respawning armies, no head start but the first loops.
        self.clocks[slots, tables.HEAD_START] = FIRST_LOOPS
        self.traits.facing[slots] = 0
        self.memory.holder[slots], self.memory.known[slots] = tables.NOBODY, False

    def _draw_traits(self, slot: int, rng: np.random.Generator) -> None:
        """Draw what is drawn per agent, always in the same order, so that options do not change each other's draws."""
        o, n = self.options, self.info.n_agents
        chance, level, shown = rng.random(n), rng.random(n), rng.random((n, self.info.n_enemies))
        if o.attack_probability is not None:
            low, high = o.attack_probability
            self.traits.chance[slot] = low + (high - low) * chance
        if o.health_level is not None:
            low, high = o.health_level
            self.traits.level[slot] = low + (high - low) * level
        if o.mask_probability is not None:
            self.traits.hidden[slot] = shown >= o.mask_probability

    def _pieces(self) -> list[int]:
        last = int(self.options.kill_unit_step_mul) if self.layout.levels else 0
        return [loops for loops in (int(self.options.step_mul) - last, last) if loops > 0]

    def _orders(self, actions: np.ndarray, running: np.ndarray, *, checked: bool) -> np.ndarray:
        orders, traits = np.zeros_like(actions), self.traits
        counters = (self._key, self._episodes(), self.t)
        chosen = (actions, self.layout, traits.facing, traits.chance, self.in_range)
        contract_v2.to_orders(*chosen, *counters, checked, running, orders)
        return orders

    def _between(self, loops: int, running: np.ndarray) -> None:
        """Agents below their health level lose what they have left; the simulator buries them in its next loop."""
        if not self.layout.levels or loops != self.options.step_mul - self.options.kill_unit_step_mul:
            return
        n = self.info.n_agents
        health = self.units[:, tables.HEALTH, :n]
        share = health / self.profile[self.kinds[:, :n], P_HEALTH_MAX]
        health[running[:, None] & (share < self.traits.level)] = 0.0

    def _settle(self, running: np.ndarray, previous: np.ndarray) -> None:
        divisors = self.max_rewards / self.options.reward_scale_rate
        contract_v2.settle(
            *self._seen(),
            self._terms,
            divisors if self.options.reward_scale else np.ones(self.num_envs),
            slots=running,
            previous=previous,
            flagged=self._flagged,
            reward=self._reward64,
            result=self.result,
        )

    def _describe(self, slots: np.ndarray) -> None:
        """Availability, observations and state of the slots marked True; agents remember what they find."""
        seen = self._seen()
        available, in_range, traits = self.available_actions, self.in_range, self.traits
        for before, now in zip(self._memory_before, self.memory, strict=True):
            before[slots] = now[slots]
        contract_v2.fill_available(*seen, self.grids, traits, slots, in_range, available)
        counters = (self.t, self._episodes(), self._key)
        contract_v2.fill_obs(
            *(*seen, self.grids, available, in_range, traits, self.memory, self.last_action, *counters),
            *(slots, self.obs),
        )
        if self.layout.obs_instead_of_state:
            contract.fill_state_from_obs(self.obs, slots, self.state)
        else:
            contract_v2.fill_state(*seen, traits, self.last_action, self.t, slots, self.state)

    def _episodes(self) -> np.ndarray:
        # One slot's column is contiguous, that of several is not: kernels would be compiled for both.
        return np.ascontiguousarray(self.clocks[:, tables.EPISODE])


def _empty_memory(b: int, n: int, m: int) -> Memory:
    return Memory(np.full((b, m), tables.NOBODY, np.int64), np.zeros((b, m, n), np.bool_))


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(value: object, name: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {value!r}: it is a probability")
    return float(value)


def _check_range(name: str, value: object, most: float) -> None:
    """Raises: ValueError unless value is None or low <= high within [0, most]."""
    if value is None:
        return
    good = isinstance(value, tuple | list) and len(value) == 2
    if not good or not 0.0 <= _number(value[0], name) <= _number(value[1], name) <= most:  # type: ignore[index]
        raise ValueError(f"{name} must be (low, high) with 0 <= low <= high <= {most}, got {value!r}")
