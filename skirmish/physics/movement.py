"""Moving: steps towards goals, ways around walls, steering around those who stand, pushing apart.

Arguments as in `combat.py`; ground: `terrain.Ground`; choices: `tables.Choices`.
"""

from __future__ import annotations

import math

from skirmish.compiled import njit
from skirmish.physics.tables import (
    ALIVE,
    BACKSWING,
    DETOUR,
    ENGAGED,
    FACING_X,
    FACING_Y,
    HOLD_ENGAGED,
    HOLD_NEVER,
    K_ACCELERATION,
    K_MOVER,
    K_SPEED,
    K_TURN_COS,
    K_TURN_SIN,
    KIND,
    LAYERS,
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
    WINDUP,
    X,
    Y,
)
from skirmish.physics.terrain import GROUND_ONLY, NORMAL_X, NORMAL_Y, SIDES, STRAIGHT, X0, X1, Y0, Y1

DIAGONAL = math.sqrt(0.5)
MARGIN = 1.25  # two units get nearer by 0.37 in a loop's walk; the rest is for pushes in a crowd
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
    if not turn_to(f, s, k, i, dx / distance, dy / distance, k[kind, K_TURN_COS]):
        f[STEP_X, i] = f[X, i]
        f[STEP_Y, i] = f[Y, i]
        s[MOVING, i] = True
        return
    part = min(1.0, speed / distance)
    f[STEP_X, i] = f[X, i] + part * dx
    f[STEP_Y, i] = f[Y, i] + part * dy
    s[MOVING, i] = True


@njit(cache=True)
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


@njit(cache=True)
def _node(ground, x, y):
    cx = min(max(int(x), 0), ground.cell_node.shape[0] - 1)
    cy = min(max(int(y), 0), ground.cell_node.shape[1] - 1)
    return ground.cell_node[cx, cy]


@njit(cache=True, inline="always")
def fights(f, s, j):
    """Is unit j attacking: in wind-up or backswing, or standing with its target in range?"""
    return s[ENGAGED, j] != 0 or f[WINDUP, j] > 0.0 or f[BACKSWING, j] > 0.0


@njit(cache=True)
def find_neighbours(f, s, near, counts):
    """List for every living unit whom it may touch in this loop: layers shared, edges less than `MARGIN` apart.

    Args, filled: near (U, U) int16, row i the neighbours of unit i in ascending order; counts (2, U): how many of them
    have a lower index than i, and how many there are.
    """
    xs, ys, sizes, alive, layers = f[X], f[Y], f[SEPARATION], s[ALIVE], s[LAYERS]
    lower, total = counts[0], counts[1]
    units = xs.shape[0]
    total[:] = 0
    for i in range(units):
        count = total[i]
        lower[i] = count
        if not alive[i]:
            continue
        x, y, size, own = xs[i], ys[i], sizes[i] + MARGIN, layers[i]
        row = near[i]
        for j in range(i + 1, units):
            dx, dy, reach = xs[j] - x, ys[j] - y, size + sizes[j]
            if dx * dx + dy * dy < reach * reach and alive[j] and own & layers[j] != 0:
                row[count] = j
                count += 1
                near[j, total[j]] = i
                total[j] += 1
        total[i] = count


@njit(cache=True)
def _blocked(f, s, near, counts, i, x, y):
    """Would unit i at (x, y) run further into somebody who stands and fights?"""
    for at in range(counts[1, i]):
        j = near[i, at]
        if s[MOVING, j] or not s[ALIVE, j] or not fights(f, s, j):
            continue
        size = f[SEPARATION, i] + f[SEPARATION, j]
        dx = f[X, j] - x
        dy = f[Y, j] - y
        gap = dx * dx + dy * dy
        if gap < size * size - TOUCH:
            ox = f[X, j] - f[X, i]
            oy = f[Y, j] - f[Y, i]
            if gap < ox * ox + oy * oy:
                return True
    return False


@njit(cache=True)
def steer(f, s, near, counts, i):
    """Turn a blocked step by 45 or 90 degrees, on the side taken before if there was one; else press on."""
    if not _blocked(f, s, near, counts, i, f[STEP_X, i], f[STEP_Y, i]):
        s[DETOUR, i] = 0
        return
    dx = f[STEP_X, i] - f[X, i]
    dy = f[STEP_Y, i] - f[Y, i]
    first = s[DETOUR, i]
    if first == 0:
        first = 1 if i % 2 == 0 else -1
    for attempt in range(4):
        side = first if attempt < 2 else -first
        if attempt % 2 == 0:
            sx, sy = DIAGONAL * (dx - side * dy), DIAGONAL * (dy + side * dx)
        else:
            sx, sy = -side * dy, side * dx
        if not _blocked(f, s, near, counts, i, f[X, i] + sx, f[Y, i] + sy):
            s[DETOUR, i] = side
            f[STEP_X, i] = f[X, i] + sx
            f[STEP_Y, i] = f[Y, i] + sy
            return


@njit(cache=True, inline="always")
def _share(f, s, k, choices, i, j):
    """Part of an overlap that unit i gives way to unit j; what cannot move gives none, equals half each."""
    if k[s[KIND, j], K_MOVER] == MOVER_NONE:
        return 1.0
    if k[s[KIND, i], K_MOVER] == MOVER_NONE:
        return 0.0
    if s[MOVING, i] == s[MOVING, j]:
        return 0.5
    standing = j if s[MOVING, i] else i
    if choices.ground_holding == HOLD_NEVER:
        part = 0.5
    elif f[WINDUP, standing] > 0.0 or f[BACKSWING, standing] > 0.0:
        part = choices.yield_to_holders
    elif choices.ground_holding == HOLD_ENGAGED and s[ENGAGED, standing]:
        part = choices.yield_to_holders
    elif (i < choices.n_agents) != (j < choices.n_agents):
        part = choices.yield_to_idle_foes
    else:
        part = choices.yield_to_idle_friends
    return part if standing == j else 1.0 - part


@njit(cache=True)
def push_apart(f, s, k, choices, near, counts):
    """One pass over all overlapping pairs of neighbours."""
    for i in range(f.shape[1]):
        if not s[ALIVE, i]:
            continue
        for at in range(counts[0, i], counts[1, i]):
            j = near[i, at]
            size = f[SEPARATION, i] + f[SEPARATION, j]
            dx = f[X, j] - f[X, i]
            dy = f[Y, j] - f[Y, i]
            gap = dx * dx + dy * dy
            if gap >= size * size or not s[ALIVE, j]:
                continue
            distance = math.sqrt(gap)
            if distance <= TOUCH:  # on one spot: apart north-south
                dx, dy, unit = 0.0, 1.0, 1.0
            else:
                unit = 1.0 / distance
            overlap = size - distance
            part = _share(f, s, k, choices, i, j)
            f[X, i] -= part * overlap * dx * unit
            f[Y, i] -= part * overlap * dy * unit
            f[X, j] += (1.0 - part) * overlap * dx * unit
            f[Y, j] += (1.0 - part) * overlap * dy * unit


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
