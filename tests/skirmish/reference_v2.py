"""SMACv2's availability, observations, memory and state in the plainest way: one agent, one entry at a time.

Units are dictionaries, options a `ScenarioOptions`; nothing is shared with the kernels but the numbers they are given.
"""

import math

SHOOT = {"stalker": 6, "zealot": 0.1, "colossus": 7, "zergling": 0.1, "baneling": 0.25, "hydralisk": 5, "marine": 5,
         "marauder": 6, "medivac": 4}  # fmt: skip
SIGHT = {"stalker": 10, "zealot": 9, "colossus": 10, "zergling": 8, "baneling": 8, "hydralisk": 9, "marine": 9,
         "marauder": 10, "medivac": 11}  # fmt: skip
HEALTH = {"stalker": 80, "zealot": 100, "colossus": 200, "zergling": 35, "baneling": 30, "hydralisk": 80, "marine": 45,
          "marauder": 125, "medivac": 150}  # fmt: skip
ENEMY_HEALTH = HEALTH | {"hydralisk": 90}  # the agents' copy has less
SHIELD = {"stalker": 80, "zealot": 50, "colossus": 150}
COOLDOWN = {"marine": 15, "marauder": 25, "medivac": 200, "stalker": 35, "zealot": 22, "colossus": 24, "hydralisk": 10,
            "zergling": 11, "baneling": 1}  # fmt: skip
BIT = {"marine": 0, "marauder": 1, "medivac": 2, "stalker": 0, "zealot": 1, "colossus": 2, "zergling": 0,
       "hydralisk": 1, "baneling": 2}  # fmt: skip


class Slow:
    """One episode: allies and enemies (lists of dictionaries type, x, y, health, shield, cooldown, energy).

    An ally also has chance, level, facing (index) and hidden (set of enemies whose body it is not shown).
    """

    def __init__(self, allies, enemies, options, family="smac"):
        self.allies, self.enemies, self.o, self.family = allies, enemies, options, family
        self.holder = [None] * len(enemies)
        self.flag = [[0] * len(allies) for _ in enemies]
        self.last = [None] * len(allies)
        self.t = 0
        self.facings = options.num_fov_actions if options.conic_fov else 0
        self.shields = allies[0]["type"] in SHIELD
        terran = allies[0]["type"] in ("marine", "marauder", "medivac")
        self.targets = max(len(allies), len(enemies)) if terran else len(enemies)

    @property
    def actions(self):
        return 6 + self.facings + self.targets

    def shoot(self, u):
        return max(SHOOT[u["type"]], self.o.min_attack_range) if self.o.use_unit_ranges else 6

    def sight(self, u):
        return SIGHT[u["type"]] if self.o.use_unit_ranges else 9

    @staticmethod
    def dist(u, v):
        return math.sqrt((v["x"] - u["x"]) ** 2 + (v["y"] - u["y"]) ** 2)

    def direction(self, u):
        angle = 2 * math.pi * u["facing"] / self.facings
        return math.cos(angle), math.sin(angle)

    def cone(self, u, v, reach):
        if self.dist(u, v) > reach:
            return False
        dx, (fx, fy) = v["x"] - u["x"], self.direction(u)
        if dx > 0:
            dx, fx = max(dx, 1e-7), max(fx, 1e-7)
        else:
            dx, fx = min(dx, -1e-7), min(fx, -1e-7)
        return abs(math.atan((v["y"] - u["y"]) / dx) - math.atan(fy / fx)) < math.pi / self.facings

    def near(self, u, v):
        reach = self.o.sight_scale * self.sight(u)
        return self.cone(u, v, reach) if self.facings else self.dist(u, v) < reach

    def candidates(self, u):
        """Target entry -> unit, whatever the distance."""
        if u["type"] == "medivac":
            return {k: v for k, v in enumerate(self.allies) if v["health"] > 0 and v["type"] != "medivac"}
        return {k: v for k, v in enumerate(self.enemies) if v["health"] > 0}

    def in_range(self, u):
        """Set of target entries that the order really reaches."""
        if u["health"] <= 0:
            return set()
        test = (lambda v: self.cone(u, v, self.shoot(u))) if self.facings else (
            lambda v: self.dist(u, v) <= self.shoot(u))  # fmt: skip
        return {k for k, v in self.candidates(u).items() if test(v)}

    def available(self, i):
        u = self.allies[i]
        if u["health"] <= 0:
            return {0}
        result = {1}
        for action, (dx, dy) in {2: (0, 1), 3: (0, -1), 4: (1, 0), 5: (-1, 0)}.items():
            if 0 <= math.trunc(u["x"] + dx) < 32 and 0 <= math.trunc(u["y"] + dy) < 32:
                result.add(action)
        result |= set(range(6, 6 + self.facings))
        targets = self.in_range(u) if self.o.action_mask else self.candidates(u)
        return result | {6 + self.facings + k for k in targets}

    def forget(self):
        for d, ally in enumerate(self.allies):
            for e in range(len(self.enemies)):
                if ally["health"] <= 0 and self.holder[e] == d:
                    self.holder[e] = None
                    self.flag[e] = [0] * len(self.allies)
                    for row in self.flag:
                        row[d] = 0
        for e, enemy in enumerate(self.enemies):
            if enemy["health"] <= 0:
                self.holder[e] = None
                self.flag[e] = [0] * len(self.allies)

    def observe(self, draw):
        """All observations. draw(): the next uniform random number."""
        order = list(range(len(self.allies)))
        for last in reversed(range(1, len(order))):
            pick = int(draw() * (last + 1))
            order[last], order[pick] = order[pick], order[last]
        seen = {i: self.observation(i, draw) for i in order}
        return [seen[i] for i in range(len(order))]

    def observation(self, i, draw):
        u = self.allies[i]
        tail = [self.t / 200] if self.o.obs_timestep_number else []
        ids = [1.0 * (j == i) for j in range(len(self.allies))] if self.family == "mazero" else []
        if u["health"] <= 0 or not self.o.obs_starcraft:
            return [0.0] * (self.body_size() if self.o.obs_starcraft else 0) + ids + tail
        move = [1.0 * (a in self.available(i)) for a in (2, 3, 4, 5)]
        if self.o.obs_pathing_grid:
            move += [1.0] * 8  # everything is walkable, and so is what lies outside
        enemies = self.enemy_rows(i, draw)
        allies = []
        for j, v in enumerate(self.allies):
            if j != i:
                allies += self.ally_row(u, v, j)
        own = self.self_entries(u, own=True)
        if self.family == "mazero":
            own = [1.0, 0.0, 0.0, 0.0, *own, *self.one_hot(self.last[i])]
            return [*allies, *enemies, *move, *own, *ids, *tail]
        return [*move, *enemies, *allies, *own, *tail]

    def body_size(self):
        n, m, s, h = len(self.allies), len(self.enemies), int(self.shields), int(self.o.obs_all_health)
        drawn = (self.o.attack_probability is not None) + (self.o.health_level is not None)
        last = self.actions if self.o.obs_last_action or self.family == "mazero" else 0
        own = (1 + s) * int(self.o.obs_own_health or h) + drawn + 2 * self.o.obs_own_pos + 2 * (self.facings > 0) + 3
        if self.family == "mazero":
            own += 4 + last
        ally = 4 + h * (1 + s) + drawn + 3 + last
        return 4 + 8 * self.o.obs_pathing_grid + m * (4 + h * (1 + s) + 3) + (n - 1) * ally + own

    def one_hot(self, action):
        return [1.0 * (a == action) for a in range(self.actions)]

    def place(self, u, v):
        sight = self.sight(u)
        return [self.dist(u, v) / sight, (v["x"] - u["x"]) / sight, (v["y"] - u["y"]) / sight]

    def bits(self, v):
        return [1.0 * (k == BIT[v["type"]]) for k in range(3)]

    def enemy_rows(self, i, draw):
        u, rows = self.allies[i], []
        size = 4 + self.o.obs_all_health * (1 + self.shields) + 3
        for e, v in enumerate(self.enemies):
            near = self.near(u, v)
            if near and self.holder[e] is None:
                self.holder[e] = i
                self.flag[e][i] = 1
                for j in range(len(self.allies)):
                    if j != i and draw() < self.o.prob_obs_enemy:
                        self.flag[e][j] = 1
            row = [0.0] * size
            if v["health"] > 0 and ((near and self.flag[e][i]) or self.o.fully_observable):
                body = []
                if self.o.obs_all_health:
                    body.append(v["health"] / ENEMY_HEALTH[v["type"]])
                    if self.shields:
                        body.append(v["shield"] / SHIELD[v["type"]])
                body += self.bits(v)
                if e in u["hidden"]:
                    body = [0.0] * len(body)
                row = [1.0 * (e in self.in_range(u)), *self.place(u, v), *body]
            rows += row
            if not self.flag[e][i] and self.o.enemy_memory == "faithful":
                rows = [0.0] * len(rows)
        return rows

    def ally_row(self, u, v, j):
        last = self.o.obs_last_action or self.family == "mazero"
        entries = self.self_entries(v, own=False)
        if v["health"] > 0 and (self.near(u, v) or self.o.fully_observable):
            return [1.0, *self.place(u, v), *entries, *(self.one_hot(self.last[j]) if last else [])]
        return [0.0] * (4 + len(entries) + (self.actions if last else 0))

    def self_entries(self, v, own):
        o, entries = self.o, []
        levels, chances = o.health_level is not None, o.attack_probability is not None
        level = v["level"] if levels else 0.0
        if o.obs_all_health or (own and o.obs_own_health):
            health = (v["health"] / HEALTH[v["type"]] - level) / (1 - level)
            entries.append(health if own or not levels or o.observe_health_level else 0.0)
            if self.shields:
                entries.append(v["shield"] / SHIELD[v["type"]])
        if chances:
            entries.append(v["chance"] if own or o.observe_attack_probability else 0.0)
        if levels:
            entries.append(level if own or o.observe_health_level else 0.0)
        if own and o.obs_own_pos:
            entries += [v["x"] / 32, v["y"] / 32]
        if own and self.facings:
            entries += self.direction(v)
        return entries + (self.bits(v) if own or o.observe_types else [0.0] * 3)

    def state(self):
        o, entries = self.o, []
        levels, chances = o.health_level is not None, o.attack_probability is not None
        for v in self.allies:
            level = v["level"] if levels else 0.0
            reserve = v["energy"] if v["type"] == "medivac" else max(0.0, v["cooldown"])
            row = [(v["health"] / HEALTH[v["type"]] - level) / (1 - level), reserve / COOLDOWN[v["type"]]]
            row += [(v["x"] - 16) / 32, (v["y"] - 16) / 32]
            row += [v["shield"] / SHIELD[v["type"]]] if self.shields else []
            row += ([v["chance"]] if chances else []) + ([level] if levels else [])
            row += (list(self.direction(v)) if self.facings else []) + self.bits(v)
            entries += row if v["health"] > 0 else [0.0] * len(row)
        for v in self.enemies:
            row = [v["health"] / ENEMY_HEALTH[v["type"]], (v["x"] - 16) / 32, (v["y"] - 16) / 32]
            row += ([v["shield"] / SHIELD[v["type"]]] if self.shields else []) + self.bits(v)
            entries += row if v["health"] > 0 else [0.0] * len(row)
        if o.state_last_action:
            for action in self.last:
                entries += self.one_hot(action)
        return entries + ([self.t / 200] if o.state_timestep_number else [])
