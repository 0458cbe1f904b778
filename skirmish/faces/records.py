"""What SMAC's users read of single units and of played episodes: unit records, and an episode kept to be drawn.

Built on `SkirmishEnv` with one slot, for `smac.py` and its relatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skirmish.checks import Snapshot
from skirmish.faces.vector import SkirmishEnv
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, SHIELD, X, Y

ALLY, ENEMY = 1, 2  # owners
# Allied units are types of the maps' own with consecutive ids above the standard ones; SMAC finds the first at run
# time, here it is fixed.
FIRST_ALLY_TYPE = 2000
FRAMES_PER_SECOND, LOOPS_PER_FRAME = 20, 2  # of films: 40 game loops a second, not quite twice the game's speed
HOLD = 1.2  # seconds that the last frame stays


class Position(NamedTuple):
    """World coordinates."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Unit:
    """What the game reports of one unit. A dead unit has health 0 and otherwise what was last reported."""

    tag: int
    owner: int  # 1 ally, 2 enemy
    unit_type: int
    pos: Position
    radius: float
    health: float
    health_max: float
    shield: float
    shield_max: float
    energy: float
    energy_max: float
    weapon_cooldown: float  # game loops


class Tape:
    """The episode under way, kept as its beginning and its joint actions: cheap until somebody wants pictures."""

    def __init__(self, env: SkirmishEnv) -> None:
        """Bind to a one-slot environment; `restart` after each of its resets."""
        self.env = env
        self._beginning: Snapshot = {}
        self._played: list[tuple[np.ndarray, bool]] = []

    def restart(self) -> None:
        """Begin with the present state."""
        self._beginning, self._played = self.env.snapshot(), []

    def step(self, actions: np.ndarray, checked: bool) -> None:
        """Step the environment and remember it. Args: actions: (n,) int64; checked: False steps without the check."""
        self._played.append((actions.copy(), checked))
        if checked:
            self.env.step(actions[None])
        else:
            self.env.step_scripted(actions[None])

    def write(self, path: Path) -> None:
        """Play the episode again on an environment of its own and film it; the path's suffix is the format."""
        from skirmish.pictures.film import Films  # imported late: drawing is rarely wanted

        options = {f.name: getattr(self.env.options, f.name) for f in fields(self.env.options)}
        # Drawn battles are built from their scenario, those on maps from the map.
        env = type(self.env)(getattr(self.env, "scenario", self.env.spec), rules=self.env.rules, **options)
        env.restore(self._beginning)
        brush, loops = painter(env), 0
        with Films([path], FRAMES_PER_SECOND) as films:
            films.add(brush.frame())
            for actions, checked in self._played:
                for _ in env.step_loops(actions[None], checked=checked):
                    loops += 1
                    if loops % LOOPS_PER_FRAME == 0:
                        films.add(brush.frame())
                    else:
                        brush.look()
            films.add(brush.frame(), seconds=HOLD)


@dataclass(frozen=True)
class RawData:
    """The units of one moment."""

    units: list[Unit]


@dataclass(frozen=True)
class Observation:
    """What the game sees of one moment."""

    raw_data: RawData


@dataclass(frozen=True)
class ObservationResponse:
    """The game's answer when asked to observe: `response.observation.raw_data.units` lists the living units."""

    observation: Observation


def units_of(env: SkirmishEnv, floats: np.ndarray, ally_ids: Sequence[int]) -> tuple[dict[int, Unit], dict[int, Unit]]:
    """Agents and enemies of the only slot, each by index.

    Args: floats: (NF, U) unit states, those of the present or earlier ones of the same episode; ally_ids: type ids of
      allied units, by row of `env.spec.kinds`.
    """
    n = env.info.n_agents
    records = [_unit(env, floats[:, u].tolist(), ally_ids, u) for u in range(n + env.info.n_enemies)]
    return dict(enumerate(records[:n])), dict(enumerate(records[n:]))


def observe(units: Iterable[Unit]) -> ObservationResponse:
    """The living of these units, as the game lists them."""
    return ObservationResponse(Observation(RawData([unit for unit in units if unit.health > 0.0])))


def painter(env: SkirmishEnv) -> Any:
    """The drawer of a one-slot environment: its `frame()` is an (H, W, 3) uint8 picture."""
    from skirmish.pictures.render import Painter  # imported late, like the films

    return Painter(env)


def _unit(env: SkirmishEnv, f: list[float], ally_ids: Sequence[int], u: int) -> Unit:
    row = int(env.kinds[0, u])
    kind = env.spec.kinds[row]
    ally = u < env.info.n_agents
    return Unit(
        tag=u + 1,
        owner=ALLY if ally else ENEMY,
        unit_type=ally_ids[row] if ally else kind.type_id,
        pos=Position(f[X], f[Y]),
        radius=kind.radius,
        health=max(0.0, f[HEALTH]),
        health_max=kind.health_max,
        shield=f[SHIELD],
        shield_max=kind.shield_max,
        energy=f[ENERGY] if kind.energy_max > 0.0 else 0.0,
        energy_max=kind.energy_max,
        weapon_cooldown=max(0.0, f[COOLDOWN]),
    )
