"""Moving: steps towards goals, ways around walls, keeping to open ground.

Arguments as in `combat.py`; ground: `terrain.Ground`; choices: `tables.Choices`.
"""

from __future__ import annotations

import math

from skirmish.compiled import njit
from skirmish.physics.tables import (
    FACING_X,
    FACING_Y,
    K_ACCELERATION,
    K_MOVER,
    K_SPEED,
    K_TURN_COS,
    K_TURN_SIN,
    KIND,
    MOVER_AIR,
    MOVER_CLIFF,
    MOVER_GROUND,
    MOVER_NONE,
    MOVING,
    SEPARATION,
    SPEED_NOW,
    STEP_X,
    STEP_Y,
    TOUCH,
    X,
    Y,
)
from skirmish.physics.terrain import GROUND_ONLY, NORMAL_X, NORMAL_Y, SIDES, STRAIGHT, X0, X1, Y0, Y1

AT_CORNER = 0.5  # from here on the next corner is aimed at
WALL_PASSES = 8  # in narrow angles one wall pushes a unit towards the next


@njit(cache=True, inline="always")
def turn_to(f, s, k, i, ux, uy, enough):
    """Turn unit i by at most one loop's turn towards the unit vector (ux, uy).

    Returns: True, looking there, if the angle had a cosine of at least `enough`.
    """
    along = f[FACING_X, i] * ux + f[FACING_Y, i] * uy
    if along >= enough - TOUCH:
        f[FACING_X, i] = ux
        f[FACING_Y, i] = uy
        return True
    cosine, sine = k[s[KIND, i], K_TURN_COS], k[s[KIND, i], K_TURN_SIN]
    if f[FACING_X, i] * uy - f[FACING_Y, i] * ux < 0.0:
        sine = -sine
    x = f[FACING_X, i]
    f[FACING_X, i] = cosine * x - sine * f[FACING_Y, i]
    f[FACING_Y, i] = sine * x + cosine * f[FACING_Y, i]
    return False


@njit(cache=True, inline="always")
def walk_towards(f, s, k, ground, i, x, y):
    """Plan one loop's step towards (x, y), around walls; standing on it is no step."""
    kind = s[KIND, i]
    if k[kind, K_MOVER] == MOVER_NONE:
        return
    if ground.winding and k[kind, K_MOVER] == MOVER_GROUND:
        x, y = _next_point(f, ground, i, x, y)
    dx = x - f[X, i]
    dy = y - f[Y, i]
    distance = math.sqrt(dx * dx + dy * dy)
    if distance <= TOUCH:
        return
    speed = k[kind, K_SPEED]
    if k[kind, K_ACCELERATION] > 0.0:
        f[SPEED_NOW, i] = speed = min(speed, f[SPEED_NOW, i] + k[kind, K_ACCELERATION])
    part = 1.0 / distance
    if not turn_to(f, s, k, i, part * dx, part * dy, k[kind, K_TURN_COS]):
        f[STEP_X, i] = f[X, i]
        f[STEP_Y, i] = f[Y, i]
        s[MOVING, i] = True
        return
    part = min(1.0, speed * part)
    f[STEP_X, i] = f[X, i] + part * dx
    f[STEP_Y, i] = f[Y, i] + part * dy
    s[MOVING, i] = True


@njit(cache=True, forceinline=True)
def _next_point(f, ground, i, x, y):
    """Where to walk to now on the way to (x, y): the goal itself, or a corner of a wall."""
    goal = _node(ground, x, y)
    corner = ground.way[_node(ground, f[X, i], f[Y, i]), goal]
    if corner == STRAIGHT:
        return x, y
    dx = ground.corners[corner, 0] - f[X, i]
    dy = ground.corners[corner, 1] - f[Y, i]
    if dx * dx + dy * dy < AT_CORNER * AT_CORNER:
        corner = ground.corner_way[corner, goal]
        if corner == STRAIGHT:
            return x, y
    return ground.corners[corner, 0], ground.corners[corner, 1]


@njit(cache=True, forceinline=True)
def _node(ground, x, y):
    cx = min(max(int(x), 0), ground.cell_node.shape[0] - 1)
    cy = min(max(int(y), 0), ground.cell_node.shape[1] - 1)
    return ground.cell_node[cx, cy]


@njit(cache=True, inline="always")
def inside(x, y, mover, size, choices, ground):
    """The nearest point that keeps off the walls by the clearance, and its own radius inside the map."""
    if mover != MOVER_AIR and ground.near_ids.shape[0] > 0:
        rows = ground.cell_node.shape[1]
        for _ in range(WALL_PASSES):
            cx = min(max(int(x), 0), ground.cell_node.shape[0] - 1)
            cy = min(max(int(y), 0), rows - 1)
            pushed = False
            for at in range(ground.near_start[cx * rows + cy], ground.near_start[cx * rows + cy + 1]):
                wall = ground.walls[ground.near_ids[at]]
                if mover == MOVER_CLIFF and wall[GROUND_ONLY] > 0.0:
                    continue
                line = (x - wall[X0]) * wall[NORMAL_X] + (y - wall[Y0]) * wall[NORMAL_Y]
                if line >= choices.cliff_clearance or (wall[SIDES] == 2.0 and -line >= choices.cliff_clearance):
                    continue  # far from the whole line
                nx, ny, distance = _off_wall(x, y, wall)
                if distance < choices.cliff_clearance - TOUCH:
                    x += (choices.cliff_clearance - distance) * nx
                    y += (choices.cliff_clearance - distance) * ny
                    pushed = True
            if not pushed:
                break
    return min(max(x, size), choices.map_x - size), min(max(y, size), choices.map_y - size)


@njit(cache=True)
def _off_wall(x, y, wall):
    """Unit vector away from a wall, and the distance along it; negative behind a one-sided wall."""
    ex, ey = wall[X1] - wall[X0], wall[Y1] - wall[Y0]
    along = ((x - wall[X0]) * ex + (y - wall[Y0]) * ey) / (ex * ex + ey * ey)
    if 0.0 <= along <= 1.0:
        distance = (x - wall[X0]) * wall[NORMAL_X] + (y - wall[Y0]) * wall[NORMAL_Y]
        if wall[SIDES] == 2.0 and distance < 0.0:
            return -wall[NORMAL_X], -wall[NORMAL_Y], -distance
        return wall[NORMAL_X], wall[NORMAL_Y], distance
    px, py = (wall[X0], wall[Y0]) if along < 0.0 else (wall[X1], wall[Y1])
    dx, dy = x - px, y - py
    distance = math.sqrt(dx * dx + dy * dy)
    if distance <= TOUCH:
        return wall[NORMAL_X], wall[NORMAL_Y], 0.0
    return dx / distance, dy / distance, distance


@njit(cache=True, inline="always")
def keep_inside(f, s, k, choices, ground, i):
    """Put unit i back onto open ground."""
    f[X, i], f[Y, i] = inside(f[X, i], f[Y, i], k[s[KIND, i], K_MOVER], f[SEPARATION, i], choices, ground)
