"""The observation contract of SMAC and of MAZero's fork for one episode: slow, plain, straight from the description.

Facts about maps come from `sizes.json`, facts about unit types from the tables below; nothing is taken from the package
under test. Features are rounded to float32 one by one; the time step is not, as in SMAC.
"""

import json
from dataclasses import dataclass
from math import hypot, trunc
from pathlib import Path

import numpy as np

MAPS = json.loads(Path(__file__).with_name("sizes.json").read_text(encoding="utf-8"))["maps"]
SIGHT, SHOOT = 9, 6
MAP_X = MAP_Y = 32  # all maps; the playable rectangle is the whole map

HEALTH_MAX = {"marine": 45, "marauder": 125, "medivac": 150, "stalker": 80, "zealot": 100, "colossus": 200}
HEALTH_MAX |= {"zergling": 35, "baneling": 30, "hydralisk": 80, "spine_crawler": 300}
SHIELD_MAX = {"stalker": 80, "zealot": 50, "colossus": 150}
COOLDOWN_MAX = {"marine": 15, "marauder": 25, "stalker": 35, "zealot": 22, "colossus": 24}
COOLDOWN_MAX |= {"hydralisk": 10, "zergling": 11, "baneling": 1}
OTHER_COOLDOWN_MAX = 15

# Consecutive ids of the agents' types, in the order of the agents' one-hot.
ALLY_TYPES = {
    "stalkers_and_zealots": ["stalker", "zealot"],
    "colossi_stalkers_zealots": ["colossus", "stalker", "zealot"],
    "bane": ["baneling", "zergling"],
    "MMM": ["marauder", "marine", "medivac"],
}


@dataclass
class Unit:
    """What the game reports about a unit; dead: health 0, the rest as last seen."""

    type: str
    x: float
    y: float
    health: float
    shield: float = 0.0
    energy: float = 0.0
    cooldown: float = 0.0

    @property
    def alive(self):
        return self.health > 0


@dataclass
class Battle:
    """One episode at one moment. options: SMAC's names, all of them."""

    name: str
    options: dict
    walkable: np.ndarray  # [x, y]
    height: np.ndarray
    allies: list
    enemies: list
    last_action: list  # None before the first step
    t: int = 0
    mazero: bool = False

    @property
    def facts(self):
        return MAPS[self.name]

    @property
    def mmm(self):
        return self.facts["map_type"] == "MMM"

    @property
    def last_action_seen(self):
        return self.mazero or self.options["obs_last_action"]

    @property
    def own_health_seen(self):
        return self.options["obs_all_health"] or self.options["obs_own_health"]


def unit_types(name):
    """Types of the agents in their order, then of the enemies in creation order."""
    spawn = MAPS[name]["spawn"]
    allies = [unit for unit, count in spawn["ally"] for _ in range(count)]
    order = ALLY_TYPES.get(MAPS[name]["map_type"])
    if order:
        allies.sort(key=order.index)
    return allies, [unit for unit, count in spawn["enemy"] for _ in range(count)]


def dist(u, v):
    return hypot(v.x - u.x, v.y - u.y)


def f32(value):
    return float(np.float32(value))


def one_hot(index, size):
    return [1.0 if k == index else 0.0 for k in range(size)]


# ---------------------------------------------------------------------------------------------- availability


def inside(cx, cy):
    return 0 <= cx < MAP_X and 0 <= cy < MAP_Y


def can_move(battle, x, y):
    cx, cy = trunc(x), trunc(y)
    return inside(cx, cy) and bool(battle.walkable[cx, cy])


def availability(battle, i):
    """Entries of agent i, 0 or 1."""
    unit, n, m = battle.allies[i], len(battle.allies), len(battle.enemies)
    if not unit.alive:
        return [1] + [0] * (5 + m)
    d = battle.options["move_amount"] / 2
    moves = [(unit.x, unit.y + d), (unit.x, unit.y - d), (unit.x + d, unit.y), (unit.x - d, unit.y)]
    avail = [0, 1] + [int(can_move(battle, x, y)) for x, y in moves]
    targets = [0] * m
    if battle.mmm and unit.type == "medivac":
        for j in range(n):
            ally = battle.allies[j]
            targets[j] = int(ally.alive and ally.type != "medivac" and dist(unit, ally) <= SHOOT)
    else:
        for e in range(m):
            enemy = battle.enemies[e]
            targets[e] = int(enemy.alive and dist(unit, enemy) <= SHOOT)
    return avail + targets


# ---------------------------------------------------------------------------------------------- observations


def type_bits(battle, unit, ally):
    bits = battle.facts["unit_type_bits"]
    if bits == 0:
        return []
    kind = battle.facts["map_type"]
    if ally:
        return one_hot(ALLY_TYPES[kind].index(unit.type), bits)
    if kind == "stalkers_and_zealots":
        return one_hot({"zealot": 0, "stalker": 1}[unit.type], bits)
    if kind == "colossi_stalkers_zealots":
        return one_hot({"colossus": 0, "stalker": 1}.get(unit.type, 2), bits)
    if kind == "bane":
        return one_hot(0 if unit.type == "baneling" else 1, bits)
    return one_hot({"marauder": 0, "marine": 1}.get(unit.type, 2), bits)  # MMM


def has_shields(battle, ally):
    return battle.facts["ally_race" if ally else "enemy_race"] == "P"


def health_and_shield(battle, unit, ally):
    values = [unit.health / HEALTH_MAX[unit.type]]
    return values + ([unit.shield / SHIELD_MAX[unit.type]] if has_shields(battle, ally) else [])


def last_action_bits(battle, j):
    return one_hot(battle.last_action[j], battle.facts["n_actions"])


def place(unit, other):
    return [dist(unit, other) / SIGHT, (other.x - unit.x) / SIGHT, (other.y - unit.y) / SIGHT]


def other_size(battle, ally):
    health = (1 + has_shields(battle, ally)) if battle.options["obs_all_health"] else 0
    last = battle.facts["n_actions"] if ally and battle.last_action_seen else 0
    return 4 + health + battle.facts["unit_type_bits"] + last


def seen(unit, other):
    return dist(unit, other) < SIGHT and other.alive


def move_block(battle, i):
    unit, a = battle.allies[i], battle.options["move_amount"]
    block = [float(x) for x in availability(battle, i)[2:6]]
    x, y = trunc(unit.x), trunc(unit.y)
    if battle.options["obs_pathing_grid"] or battle.options["obs_terrain_height"]:
        assert a == int(a)
        a = int(a)
    points = [(x, y + 2 * a), (x, y - 2 * a), (x + 2 * a, y), (x - 2 * a, y)]
    points += [(x + a, y + a), (x - a, y - a), (x + a, y - a), (x - a, y + a)]
    if battle.options["obs_pathing_grid"]:
        block += [float(battle.walkable[p]) if inside(*p) else 1.0 for p in points]
    if battle.options["obs_terrain_height"]:
        block += [float(battle.height[p]) if inside(*p) else 1.0 for p in [*points, (x, y)]]
    return block


def enemy_block(battle, i):
    unit, avail, block = battle.allies[i], availability(battle, i), []
    for e, enemy in enumerate(battle.enemies):
        row = [0.0] * other_size(battle, ally=False)
        if seen(unit, enemy):
            row = [float(avail[6 + e]), *place(unit, enemy)]
            if battle.options["obs_all_health"]:
                row += health_and_shield(battle, enemy, ally=False)
            row += type_bits(battle, enemy, ally=False)
        block += row
    return block


def ally_block(battle, i):
    unit, block = battle.allies[i], []
    for j, ally in enumerate(battle.allies):
        if j == i:
            continue
        row = [0.0] * other_size(battle, ally=True)
        if seen(unit, ally):
            row = [1.0, *place(unit, ally)]
            if battle.options["obs_all_health"]:
                row += health_and_shield(battle, ally, ally=True)
            row += type_bits(battle, ally, ally=True)
            if battle.last_action_seen:
                row += last_action_bits(battle, j)
        block += row
    return block


def own_block(battle, i):
    unit = battle.allies[i]
    block = health_and_shield(battle, unit, ally=True) if battle.own_health_seen else []
    block += type_bits(battle, unit, ally=True)
    if battle.mazero:
        return [1.0, 0.0, 0.0, 0.0, *block, *last_action_bits(battle, i)]
    return block


def observation(battle, i):
    """Vector of agent i as SMAC or the fork returns it, features rounded to float32."""
    if battle.mazero:
        blocks = [ally_block(battle, i), enemy_block(battle, i), move_block(battle, i), own_block(battle, i)]
    else:
        blocks = [move_block(battle, i), enemy_block(battle, i), ally_block(battle, i), own_block(battle, i)]
    vector = [f32(value) for block in blocks for value in block]
    if not battle.allies[i].alive:
        vector = [0.0] * len(vector)
    time = battle.t / battle.facts["episode_limit"]
    if battle.mazero:
        vector += one_hot(i, len(battle.allies))
        return vector + ([time] if battle.options["obs_timestep_number"] else [])
    return vector + ([0.0, time] if battle.options["obs_timestep_number"] else [])


def declared_obs_size(battle):
    """get_obs_size() of the smac family by its formula."""
    facts, o = battle.facts, battle.options
    h, own, last = o["obs_all_health"], battle.own_health_seen, o["obs_last_action"]
    ally, enemy, b = facts["ally_race"] == "P", facts["enemy_race"] == "P", facts["unit_type_bits"]
    size = 4 + 8 * o["obs_pathing_grid"] + 9 * o["obs_terrain_height"]
    size += facts["n_enemies"] * (4 + h * (1 + enemy) + b)
    size += (facts["n_agents"] - 1) * (4 + h * (1 + ally) + b + last * facts["n_actions"])
    return size + own * (1 + ally) + b + o["obs_timestep_number"]


# ---------------------------------------------------------------------------------------------- state


def state(battle):
    if battle.options["obs_instead_of_state"]:
        return [f32(v) for i in range(len(battle.allies)) for v in observation(battle, i)]
    facts, values = battle.facts, []
    for unit in battle.allies:
        row = [0.0] * (4 + has_shields(battle, True) + facts["unit_type_bits"])
        if unit.alive:
            if battle.mmm and unit.type == "medivac":
                reserve = unit.energy / 200
            else:  # the game never reports a cooldown below 0
                reserve = max(0.0, unit.cooldown) / COOLDOWN_MAX.get(unit.type, OTHER_COOLDOWN_MAX)
            row = [unit.health / HEALTH_MAX[unit.type], reserve]
            row += [(unit.x - MAP_X / 2) / MAP_X, (unit.y - MAP_Y / 2) / MAP_Y]
            row += health_and_shield(battle, unit, ally=True)[1:]
            row += type_bits(battle, unit, ally=True)
        values += row
    for unit in battle.enemies:
        row = [0.0] * (3 + has_shields(battle, False) + facts["unit_type_bits"])
        if unit.alive:
            row = [unit.health / HEALTH_MAX[unit.type]]
            row += [(unit.x - MAP_X / 2) / MAP_X, (unit.y - MAP_Y / 2) / MAP_Y]
            row += health_and_shield(battle, unit, ally=False)[1:]
            row += type_bits(battle, unit, ally=False)
        values += row
    if battle.options["state_last_action"]:
        for j in range(len(battle.allies)):
            values += last_action_bits(battle, j)
    if battle.options["state_timestep_number"]:
        values.append(battle.t / facts["episode_limit"])
    return [f32(v) for v in values]


# ---------------------------------------------------------------------------------------------- reward, result


def max_reward(name, options):
    _, enemies = unit_types(name)
    total = len(enemies) * options["reward_death_value"] + options["reward_win"]
    for enemy in enemies:
        total += HEALTH_MAX[enemy] + SHIELD_MAX.get(enemy, 0)
    return total


def result(battle):
    """SMAC's code: 1, -1, 0 or None while the battle goes on."""
    allies = [u for u in battle.allies if u.alive]
    enemies = [u for u in battle.enemies if u.alive]
    if (not allies and enemies) or (battle.mmm and not [u for u in allies if u.type != "medivac"]):
        return -1
    if (allies and not enemies) or (battle.mmm and len(enemies) == 1 and enemies[0].type == "medivac"):
        return 1
    return 0 if not allies and not enemies else None


def reward(battle, before, flags):
    """Reward of the step that led to `battle`; updates flags.

    before: (health, shield) of every unit at the previous observation, agents first; flags: death flags in that order.
    """
    o, n = battle.options, len(battle.allies)
    r = 0.0
    if not o["reward_sparse"]:
        ally_loss, enemy_loss, deaths = 0.0, 0.0, 0.0
        for j, unit in enumerate(battle.allies + battle.enemies):
            if flags[j]:
                continue
            had = before[j][0] + before[j][1]
            if j < n:
                if unit.health == 0:
                    flags[j] = True
                    ally_loss += had * o["reward_negative_scale"]
                    if not o["reward_only_positive"]:
                        deaths -= o["reward_death_value"] * o["reward_negative_scale"]
                else:
                    ally_loss += o["reward_negative_scale"] * (had - unit.health - unit.shield)
            elif unit.health == 0:
                flags[j] = True
                deaths += o["reward_death_value"]
                enemy_loss += had
            else:
                enemy_loss += had - unit.health - unit.shield
        r = abs(enemy_loss + deaths) if o["reward_only_positive"] else enemy_loss + deaths - ally_loss
    code = result(battle)
    if code == 1:
        r = 1 if o["reward_sparse"] else r + o["reward_win"]
    if code == -1:
        r = -1 if o["reward_sparse"] else r + o["reward_defeat"]
    if o["reward_scale"]:
        r /= max_reward(battle.name, o) / o["reward_scale_rate"]
    return r
