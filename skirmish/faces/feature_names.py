"""SMACv2's names of what observations and states hold, entry by entry."""

from __future__ import annotations

from skirmish.contract.layout_v2 import SceneLayout


def obs_feature_names(layout: SceneLayout) -> list[str]:
    """Names of the entries of agent 0's observation, in order."""
    names = []
    if layout.starcraft:
        moves = [f"move_action_{side}" for side in ("north", "south", "east", "west")]
        pathing = [f"pathing_grid_{k}" for k in range(8 * layout.pathing_grid)]
        height = [f"terrain_height_{k}" for k in range(9 * layout.terrain_height)]
        enemies = [name for e in range(layout.m) for name in _enemy(layout, e)]
        allies = [name for j in range(1, layout.n) for name in _ally(layout, j)]
        names = moves + pathing + height + enemies + allies + _own(layout)
    return names + ["timestep"] * layout.obs_timestep


def state_feature_names(layout: SceneLayout) -> list[str]:
    """Names of the entries of the state, in order. Raises: NotImplementedError with obs_instead_of_state."""
    if layout.obs_instead_of_state:
        raise NotImplementedError(
            "names exist for the entries of a state, got obs_instead_of_state=True: use get_obs_feature_names"
        )
    names = []
    for j in range(layout.n):
        names += [f"ally_{what}_{j}" for what in ("health", "cooldown", "relative_x", "relative_y")]
        names += [f"ally_shield_{j}"] * layout.ally_shields
        names += _drawn(layout, f"ally_attack_prob_{j}", f"ally_health_level_{j}")
        names += [f"ally_fov_{axis}_{j}" for axis in "xy" if layout.facings]
        names += [f"ally_unit_type_{j}_bit_{bit}" for bit in range(layout.bits)]
    for e in range(layout.m):
        names += [f"enemy_{what}_{e}" for what in ("health", "relative_x", "relative_y")]
        names += [f"enemy_shield_{e}"] * layout.enemy_shields
        names += [f"enemy_unit_type_{e}_bit_{bit}" for bit in range(layout.bits)]
    if layout.state_last_action:
        names += [f"ally_last_action_{j}_action_{a}" for j in range(layout.n) for a in range(layout.n_actions)]
    return names + ["timestep"] * layout.state_timestep


def _enemy(layout: SceneLayout, e: int) -> list[str]:
    names = [f"enemy_{what}_{e}" for what in ("shootable", "distance", "relative_x", "relative_y")]
    if layout.all_health:
        names += [f"enemy_health_{e}"] + [f"enemy_shield_{e}"] * layout.enemy_shields
    return names + [f"enemy_unit_type_{e}_bit_{bit}" for bit in range(layout.bits)]


def _ally(layout: SceneLayout, j: int) -> list[str]:
    names = [f"ally_{what}_{j}" for what in ("visible", "distance", "relative_x", "relative_y")]
    if layout.all_health:
        names += [f"ally_health_{j}"] + [f"ally_shield_{j}"] * layout.ally_shields
    names += _drawn(layout, f"ally_attack_prob_{j}", f"ally_health_level_{j}")
    names += [f"ally_unit_type_{j}_bit_{bit}" for bit in range(layout.bits)]
    if layout.obs_last_action:
        names += [f"ally_last_action_{j}_action_{a}" for a in range(layout.n_actions)]
    return names


def _own(layout: SceneLayout) -> list[str]:
    names = []
    if layout.own_health:
        names += ["own_health"] + ["own_shield"] * layout.ally_shields
    names += _drawn(layout, "own_attack_prob", "own_health_level")
    names += ["own_pos_x", "own_pos_y"] * layout.own_pos
    names += ["own_fov_x", "own_fov_y"] * bool(layout.facings)
    return names + [f"own_unit_type_bit_{bit}" for bit in range(layout.bits)]


def _drawn(layout: SceneLayout, chance: str, level: str) -> list[str]:
    return [chance] * layout.chances + [level] * layout.levels
