"""A battle under way as a film, which clients get where the game gives a replay."""

from __future__ import annotations

import tempfile
from pathlib import Path

from skirmish.extras import needed_for
from skirmish.faces.records import FRAMES_PER_SECOND, HOLD, LOOPS_PER_FRAME
from skirmish.faces.vector import SkirmishEnv
from skirmish.protocol.battle import Battle


def film(battle: Battle) -> bytes:
    """A GIF of the battle from its first moment until now. Raises: ImportError without the packages for films."""
    with needed_for("films", "pillow", extra="films"):
        from skirmish.pictures.film import Films
        from skirmish.pictures.render import Painter
    env = SkirmishEnv(battle.spec, rules=battle.rules, reward_scale=False)
    brush = Painter(env, title=battle.scene.name)
    with tempfile.TemporaryDirectory(prefix="skirmish-film-") as folder:
        path = Path(folder) / "battle.gif"
        with Films([path], FRAMES_PER_SECOND) as films:
            for loops, twin in enumerate(battle.replay()):
                env.units[:], env.marks[:], env.clocks[:] = twin.units, twin.marks, twin.clocks
                env.t[:] = loops // int(env.options.step_mul)
                if loops % LOOPS_PER_FRAME == 0:
                    films.add(brush.frame())
                else:
                    brush.look()
            films.add(brush.frame(), seconds=HOLD)
        return path.read_bytes()
