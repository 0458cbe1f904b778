"""One battle of drawn teams with SMACv2's class, method and option names.

`StarCraftCapabilityEnvWrapper` takes SMACv2's keywords with its `capability_config` (see `capabilities.py`) and draws
teams, places and abilities anew for every episode; its attribute `env` is the environment inside. Where it differs on
purpose, beside what `smac.py` lists:

- Teams and places follow from the seed; SMACv2 draws them from sources that no seed reaches. Without a seed every
  launch draws others.
- Observations are made once per step, not at every call: asking twice does not change who has found which enemy.
- A facing is turned and an attack fails when the step is made, not when `get_agent_action` describes the command.
- Units always find places, so that `reset` never has to try again (and never returns None).
- `agent_cone` and `render_fovs`, which draw into the game's window, are missing.

`enemy_memory`, `reward_scale_teams` and `sight_scale` are options of `ScenarioOptions` that SMACv2 has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skirmish.contract import smacv2 as contract_v2
from skirmish.contract.layout import P_ALLY_BIT
from skirmish.data.maps import MapSpec
from skirmish.faces import smac
from skirmish.faces.capabilities import read_config
from skirmish.faces.commands import Action
from skirmish.faces.feature_names import obs_feature_names, state_feature_names
from skirmish.faces.multi_agent import MultiAgentEnv
from skirmish.faces.records import Position, Unit
from skirmish.faces.registry import get_map_params
from skirmish.faces.unit_view import MEDIVAC
from skirmish.physics.rules import Rules
from skirmish.physics.tables import NOBODY
from skirmish.scenarios.draw import AGENT_TYPE_ORDER
from skirmish.scenarios.env import GeneratedEnv, ScenarioOptions


class DrawnStarCraft2Env(smac.StarCraft2Env):
    """SMACv2's environment class; every reset draws an episode's battle."""

    options_type = ScenarioOptions
    healing_map_types = ("MMM", "terran_gen")
    simulator: GeneratedEnv
    conic_fov: bool

    def __init__(
        self,
        map_name: str = "10gen_terran",
        *,
        capability_config: Mapping[str, Any] | None = None,
        rules: Rules | None = None,
        **options: Any,
    ) -> None:
        """Build the battle; `reset()` starts it.

        Args:
          map_name: "10gen_terran", "10gen_protoss" or "10gen_zerg".
          capability_config: what is drawn, see `capabilities.py`.
          rules: as for `smac.StarCraft2Env`.
          options: SMACv2's keywords: fields of `ScenarioOptions`, except what capability_config decides, and keys of
            `unit_view.FACE_OPTIONS`.
        Raises: KeyError (also a ValueError) for another map; ValueError for a configuration that is not supported, an
          unknown option, or a value without a meaning.
        """
        self.capability_config = {} if capability_config is None else capability_config
        self._scenario, decided = read_config(map_name, self.capability_config)
        for name in options.keys() & decided.keys():
            raise ValueError(f"{name} is decided by capability_config, got it as an option too: leave it out")
        super().__init__(map_name, rules=rules, **options, **decided)
        self._name_features(map_name)

    def _name_features(self, map_name: str) -> None:
        """SMACv2's attributes of what is drawn and seen."""
        layout = self.simulator.layout
        self.n_fov_actions, self.n_actions_no_attack = layout.facings, self.simulator.first_target
        self.conic_fov_angle = 2.0 * np.pi / layout.facings if layout.facings else 0.0
        self.stochastic_attack, self.stochastic_health = layout.chances, layout.levels
        self.mask_enemies = self.options["mask_probability"] is not None
        self.replace_teammates = self.random_start = True  # teams and places are always drawn
        self.observe_teammate_types, self.zero_pad_unit_types = layout.show_types, not layout.show_types
        if layout.chances:
            self.observe_attack_probs, self.zero_pad_stochastic_attack = layout.show_chances, not layout.show_chances
        if layout.levels:
            self.observe_teammate_health, self.zero_pad_health = layout.show_levels, not layout.show_levels
        self.map_params = get_map_params(map_name)
        self._kill_unit_step_mul = self.options["kill_unit_step_mul"]
        types = [f"type_{k}" for k in range(self.unit_type_bits)]
        drawn = ["attack_probability"] * layout.chances + ["total_health"] * layout.levels
        self.ally_state_attr_names = self.ally_state_attr_names[: -len(types)] + ["fov_x", "fov_y"] * self.conic_fov
        self.capability_attr_names = drawn + types
        self.obs_feature_names = self.build_obs_feature_names()
        # As in SMACv2, which cannot name the features of observations in a row.
        self.state_feature_names = None if layout.obs_instead_of_state else self.build_state_feature_names()

    def _build_simulator(self, map_name: str | MapSpec, rules: Rules | None, options: dict[str, Any]) -> GeneratedEnv:
        return GeneratedEnv(self._scenario, rules=rules, **options)

    def _ally_type_names(self) -> Sequence[str]:
        return AGENT_TYPE_ORDER

    def _largest_return(self) -> float:
        return float(self.simulator.max_rewards[0])

    def _reward_of(self, bounty: float, damage: float, penalty: float, own: float) -> float:
        if self.options["reward_only_positive"]:
            return max(damage + bounty, 0)
        return super()._reward_of(bounty, damage, penalty, own)

    # The first argument is SMACv2's.
    def reset(  # type: ignore[override]
        self, episode_config: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> Any:
        """Begin an episode with a battle of its own. Returns: observations as of `get_obs`, state.

        Args:
          episode_config: nothing; the battle is drawn in here.
          seed: None goes on; an integer begins the series of battles of that seed.
        Raises: ValueError for an episode_config with content.
        """
        if episode_config:
            raise ValueError(
                "battles are drawn by the simulator, got an episode_config with "
                f"{', '.join(map(str, episode_config))}: describe the distribution in capability_config"
            )
        return super().reset(seed)

    # Units

    def unit_max_shield(self, unit: Unit) -> int:
        """SMAC's divisor of a unit's shield, on either side. Raises: ValueError for a type without shields."""
        shield = super().unit_max_shield(unit)
        if shield is None:
            raise ValueError(
                f"units with shields are stalkers, zealots and colossi, got id {unit.unit_type}: ask for Protoss units"
            )
        return shield

    def get_unit_type_id(self, unit: Unit, ally: bool) -> int:
        """Index of a unit's type in the one-hot, the same for both sides. Raises: ValueError for another race's."""
        env, ids = self.simulator, self._ally_ids
        for row, kind in enumerate(env.spec.kinds):
            if unit.unit_type in (ids[row], kind.type_id):
                return int(env.profile[row, P_ALLY_BIT])
        raise ValueError(
            f"types on this map are {', '.join(self._scenario.types)}, got id {unit.unit_type}: ask for its own units"
        )

    def only_medivac_left(self, ally: bool) -> bool:
        """Whether a side has lost all its fighters, on maps where medivacs are none; never on others."""
        if ally or self.map_type not in self.healing_map_types:
            return super().only_medivac_left(ally)
        return not any(u.health > 0 and u.unit_type != MEDIVAC for u in self.enemies.values())

    # View and targets

    @property
    def fov_directions(self) -> np.ndarray:
        """(n, 2) unit vectors of the agents' views."""
        traits = self.simulator.traits
        directions: np.ndarray = traits.directions[traits.facing[0]]
        return directions

    @property
    def canonical_fov_directions(self) -> np.ndarray:
        """(F, 2) the directions that can be chosen."""
        return self.simulator.traits.directions[: self.n_fov_actions].copy()

    def is_position_in_cone(self, agent_id: int, pos: Position, range: str = "sight_range") -> bool:
        """Whether a point lies in an agent's cone of view, at most its "sight_range" or "shoot_range" away.

        As published slopes are compared without their quadrant: a view due east or west has a mirror image.
        """
        reaches = {"sight_range": self.unit_sight_range, "shoot_range": self.unit_shoot_range}
        if range not in reaches:
            raise ValueError(f"range must be one of {', '.join(reaches)}, got {range!r}: pass one of these")
        at, view, guard = self.get_unit_by_id(agent_id).pos, self.fov_directions[agent_id], contract_v2.SLOPE_GUARD
        if self.distance(at.x, at.y, pos.x, pos.y) > reaches[range](agent_id):
            return False
        dx, fx = pos.x - at.x, float(view[0])
        dx, fx = (max(dx, guard), max(fx, guard)) if dx > 0 else (min(dx, -guard), min(fx, -guard))
        off = np.arctan((pos.y - at.y) / dx) - np.arctan(view[1] / fx)
        return bool(abs(off) < self.conic_fov_angle / 2)

    def get_can_shoot(self, agent_id: int, t_unit: Unit) -> bool:
        """Whether a unit is within an agent's shooting range, and in its cone if it has one."""
        if self.conic_fov:
            return self.is_position_in_cone(agent_id, t_unit.pos, range="shoot_range")
        at = self.get_unit_by_id(agent_id).pos
        return self.distance(at.x, at.y, t_unit.pos.x, t_unit.pos.y) <= self.unit_shoot_range(agent_id)

    def get_true_avail_agent_actions(self, agent_id: int) -> list[int]:
        """A zeros and ones: as `get_avail_agent_actions`, but only targets that an order reaches."""
        available = self.get_avail_agent_actions(agent_id)
        reached = self.simulator.in_range[0, agent_id].astype(int).tolist()
        return available[: self.n_actions_no_attack] + reached

    def _at_target(self, unit: Unit, a_id: int, action: int) -> Action | None:
        """Facings give the game no command, nor do attacks out of range."""
        if 0 <= action < self.n_actions_no_attack:
            return None
        command = super()._at_target(unit, a_id, action)
        heals = self.map_type in self.healing_map_types and unit.unit_type == self.medivac_id
        target = (self.agents if heals else self.enemies)[action - self.n_actions_no_attack]
        return command if self.get_can_shoot(a_id, target) else None

    # Abilities and who has found whom

    @property
    def agent_attack_probabilities(self) -> np.ndarray | None:
        """(n, 1) that an order to attack or heal is carried out; None if it always is."""
        return self.simulator.traits.chance[0][:, None].copy() if self.stochastic_attack else None

    @property
    def agent_health_levels(self) -> np.ndarray | None:
        """(n, 1) share of their health at which agents die; None if it is 0."""
        return self.simulator.traits.level[0][:, None].copy() if self.stochastic_health else None

    @property
    def enemy_mask(self) -> np.ndarray | None:
        """(n, m) 1 where an enemy's health, shield and type are hidden from an agent; None without a mask."""
        return self.simulator.traits.hidden[0].astype(np.int64) if self.mask_enemies else None

    @property
    def obs_enemies(self) -> np.ndarray:
        """(m, n) 1 where an agent may see an enemy."""
        return self.simulator.memory.known[0].astype(np.float64)

    @property
    def enemy_tags(self) -> list[int | None]:
        """m agents that have found the enemies; None for those that nobody has."""
        return [None if holder == NOBODY else holder for holder in self.simulator.memory.holder[0].tolist()]

    def get_capabilities_agent(self, agent_id: int) -> np.ndarray:
        """(C,) float32 attack probability and health level, where they are drawn, and type one-hot."""
        self._require_started()
        row: np.ndarray = self.simulator.capabilities[0, agent_id]
        return row

    def get_capabilities(self) -> np.ndarray:
        """(n * C,) float32 the agents' capabilities in a row."""
        self._require_started()
        return self.simulator.capabilities[0].ravel()

    # Sizes and names

    def get_cap_size(self) -> int:
        """C."""
        return self.simulator.layout.cap_size

    def get_obs_ally_capability_size(self) -> int:
        """Entries of a team mate's capabilities in an observation, shown or not."""
        return self.get_cap_size()

    def _blocks(self) -> dict[str, tuple[int, int]]:
        return self.simulator.layout._replace(starcraft=True).obs_blocks

    def get_obs_move_feats_size(self) -> int:
        """Entries of the move block."""
        return self._blocks()["move"][1]

    def get_obs_enemy_feats_size(self) -> tuple[int, int]:
        """Enemies and entries per enemy."""
        return self._blocks()["enemy"]

    def get_obs_ally_feats_size(self) -> tuple[int, int]:
        """Team mates and entries per team mate."""
        return self._blocks()["ally"]

    def get_obs_own_feats_size(self) -> int:
        """Entries of the own block, without the time; with obs_starcraft off those of the capabilities."""
        layout = self.simulator.layout
        return layout.own_size if layout.starcraft else layout.cap_size

    def get_obs_size(self) -> int:
        """Length of an observation, the time included."""
        return self.simulator.layout.obs_size

    def get_env_info(self) -> dict[str, Any]:
        """Sizes, limit and feature names; cap_shape is C."""
        info = super().get_env_info()
        return info | {
            "cap_shape": self.get_cap_size(),
            "agent_features": self.ally_state_attr_names + self.capability_attr_names,
        }

    def build_obs_feature_names(self) -> list[str]:
        """Names of an observation's entries, from the point of view of agent 0."""
        return obs_feature_names(self.simulator.layout)

    def build_state_feature_names(self) -> list[str]:
        """Names of the state's entries. Raises: NotImplementedError with obs_instead_of_state, as SMACv2."""
        return state_feature_names(self.simulator.layout)

    def get_obs_feature_names(self) -> list[str]:
        """See `build_obs_feature_names`."""
        return self.obs_feature_names

    def get_state_feature_names(self) -> list[str]:
        """See `build_state_feature_names`."""
        return self.state_feature_names if self.state_feature_names is not None else self.build_state_feature_names()


class StarCraftCapabilityEnvWrapper(MultiAgentEnv):
    """SMACv2's wrapper. What is not defined here is asked of `env`, private names excepted."""

    def __init__(self, **kwargs: Any) -> None:
        """Build the battle. Args and Raises: as `DrawnStarCraft2Env`; capability_config is required."""
        if "capability_config" not in kwargs:
            raise ValueError(
                f"capability_config must be given, got {', '.join(kwargs) or 'nothing'}: see "
                "skirmish/faces/capabilities.py"
            )
        self.distribution_config = kwargs["capability_config"]
        self.env = DrawnStarCraft2Env(**kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # a half-built object, as pickle makes one
            raise AttributeError(f"{type(self).__name__} has no environment yet: construct it")
        return getattr(self.env, name)

    def reset(self) -> Any:
        """Draw and begin an episode. Returns: observations, state."""
        return self.env.reset()

    def step(self, actions: Sequence[int] | np.ndarray) -> Any:
        """See `smac.StarCraft2Env.step`."""
        return self.env.step(actions)

    def get_obs(self) -> list[np.ndarray]:
        """See `FeatureView.get_obs`."""
        return self.env.get_obs()

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        """See `FeatureView.get_obs_agent`."""
        return self.env.get_obs_agent(agent_id)

    def get_obs_size(self) -> int:
        """See `DrawnStarCraft2Env.get_obs_size`."""
        return self.env.get_obs_size()

    def get_state(self) -> np.ndarray:
        """See `FeatureView.get_state`."""
        return self.env.get_state()

    def get_state_size(self) -> int:
        """See `FeatureView.get_state_size`."""
        size: int = self.env.get_state_size()
        return size

    def get_avail_actions(self) -> list[list[int]]:
        """See `FeatureView.get_avail_actions`."""
        return self.env.get_avail_actions()

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """See `FeatureView.get_avail_agent_actions`."""
        return self.env.get_avail_agent_actions(agent_id)

    def get_total_actions(self) -> int:
        """A."""
        return self.env.get_total_actions()

    def get_env_info(self) -> dict[str, Any]:
        """See `DrawnStarCraft2Env.get_env_info`."""
        return self.env.get_env_info()

    def render(self, mode: str = "human") -> np.ndarray:
        """See `smac.StarCraft2Env.render`."""
        return self.env.render(mode=mode)

    def seed(self) -> int | None:
        """The seed given to the constructor."""
        return self.env.seed()

    def save_replay(self) -> str:
        """See `smac.StarCraft2Env.save_replay`."""
        return self.env.save_replay()

    def close(self) -> None:
        """May be called any number of times."""
        self.env.close()
