"""The maps of the study behind `real_scripts.csv`: SMAC's, with another order to the enemy.

Its maps were saved anew with a trigger that SMAC's do not have: every 0.075 s of game time each living enemy gets a
fresh order to attack-move to the centre of the living agents. So these enemies never arrive, never idle, and choose
their target afresh nearly every game loop. The study's environment has no step limit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from skirmish.faces.vector import SkirmishEnv
from skirmish.physics import tables

TRIGGER_LOOPS = 1.2  # 0.075 s of 16 loops each
LIMIT_LOOPS = 16_000  # a thousand seconds: who is still fighting then will not finish


class UnlimitedEnv(SkirmishEnv):
    """SMAC's battles without a step limit, as the study's environment plays them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As `SkirmishEnv`."""
        super().__init__(*arguments, **options)
        self.info = replace(self.info, episode_limit=LIMIT_LOOPS // int(self.options.step_mul))


class StudyEnv(UnlimitedEnv):
    """The study's battles: its order to the enemy, no step limit.

    A fresh order ends the backswing and drops the target; an attack that has begun goes on as far as the rules let it.
    """

    forgets = True  # False: a fresh order moves the goal only

    def _pieces(self) -> list[int]:
        return [1] * int(self.options.step_mul)

    def _between(self, loops: int, running: np.ndarray) -> None:
        """Send the enemy at the agents' centre in the slots whose trigger is due."""
        n, clock = self.info.n_agents, self.clocks[:, tables.LOOPS]
        due = running & ((clock / TRIGGER_LOOPS).astype(np.int64) > ((clock - 1) / TRIGGER_LOOPS).astype(np.int64))
        living = self.units[:, tables.HEALTH, :n] > 0.0
        due &= living.any(1)
        weight = living / np.maximum(1, living.sum(1, keepdims=True))
        marks = self.marks
        marks[due, tables.ORDER, n:] = tables.ATTACK_MOVE
        if self.forgets:
            marks[due, tables.TARGET, n:] = tables.NOBODY
            marks[due, tables.SCAN_WAIT, n:] = 0
            marks[due, tables.PROVOKED, n:] = False
            self.units[due, tables.BACKSWING, n:] = 0.0
        for row, order in ((tables.X, tables.ORDER_X), (tables.Y, tables.ORDER_Y)):
            centre = (self.units[:, row, :n] * weight).sum(1)
            self.units[due, order, n:] = centre[due, None]


class KeepingStudyEnv(StudyEnv):
    """The other reading: attackers keep target and backswing under a fresh order of the same kind."""

    forgets = False


BOARDS: dict[str, type[SkirmishEnv]] = {
    "attack closest": StudyEnv,
    "attack closest, targets kept": KeepingStudyEnv,
    "attack closest, SMAC's order": UnlimitedEnv,
}
