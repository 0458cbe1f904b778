"""Films of episodes, of scripted and of trained policies."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skirmish.checks import require_known
from skirmish.data.maps import MapSpec, load_map
from skirmish.faces.vector import SkirmishEnv
from skirmish.policies import POLICIES, make_policy

# Films and painters are imported late: the flags are wanted where nothing can be drawn, too.
if TYPE_CHECKING:
    from skirmish.pictures.film import Films
    from skirmish.pictures.render import Painter

HOLD = 1.2  # seconds that the outcome stays


@dataclass(frozen=True)
class Shooting:
    """How to film; the flags of `add_flags`."""

    out: tuple[Path, ...]  # .gif and .mp4
    episodes: int = 1
    seed: int = 0
    agent: int | None = None  # whose sight and attack circles are drawn
    size: int = 640  # width in pixels
    fps: int = 20
    loops_per_frame: int = 2
    force: bool = False  # replace existing files

    def check(self, spec: MapSpec) -> None:
        """Raises: ValueError for what cannot be filmed on this map, before any work; ImportError without Pillow."""
        from skirmish.pictures.film import FORMATS, require_outputs
        from skirmish.pictures.render import SIZES

        require_outputs(self.out, FORMATS, force=self.force)
        _require("episodes", self.episodes, 1, None, "it is how many to film")
        _require("seed", self.seed, 0, 2**64 - 1, "it is the seed of these episodes")
        _require("size", self.size, *SIZES, "it is the width of the film in pixels")
        _require("fps", self.fps, 1, 50, "it is the number of frames per second")
        _require("loops-per-frame", self.loops_per_frame, 1, None, "it counts game loops")
        if self.agent is not None:
            _require("agent", self.agent, 0, spec.n_agents - 1, f"{spec.name} has {spec.n_agents} agents")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags every `watch` command takes."""
    default = Shooting(out=())
    add_output_flags(parser, "film to write, .gif or .mp4")
    parser.add_argument("--episodes", type=int, default=default.episodes, help="episodes to film (default %(default)s)")
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of these episodes (default %(default)s)")
    parser.add_argument("--agent", type=int, default=None, help="draw sight and attack circles of this agent (from 0)")
    parser.add_argument("--size", type=int, default=default.size, help="width in pixels (default %(default)s)")
    parser.add_argument("--fps", type=int, default=default.fps, help="frames per second (default %(default)s)")
    parser.add_argument(
        "--loops-per-frame", type=int, default=default.loops_per_frame, metavar="LOOPS",
        help="game loops from frame to frame; 22.4 loops are a second of the game (default %(default)s)",
    )  # fmt: skip


def add_output_flags(parser: argparse.ArgumentParser, what: str) -> None:
    """Flags of commands that write pictures: `--out`, as often as wanted, and `--force`."""
    help_text = f"{what}; may be given several times"
    parser.add_argument("--out", type=Path, action="append", default=[], metavar="FILE", help=help_text)
    parser.add_argument("--force", action="store_true", help="replace existing files")


def shooting(arguments: argparse.Namespace) -> Shooting:
    """The values of the flags of `add_flags`."""
    return Shooting(
        out=tuple(arguments.out),
        episodes=arguments.episodes,
        seed=arguments.seed,
        agent=arguments.agent,
        size=arguments.size,
        fps=arguments.fps,
        loops_per_frame=arguments.loops_per_frame,
        force=arguments.force,
    )


def watch_script(name: str, policy: str, how: Shooting) -> str:
    """Film a scripted policy; see `record`. Raises: ValueError for unknown names, before any work."""
    spec = load_map(name)
    require_known("policy", policy, POLICIES)
    how.check(spec)
    env = SkirmishEnv(name, seed=how.seed)
    script = make_policy(policy, env, how.seed)
    return record(env, script.act, how, who=policy, checked=script.checked)


def record(
    env: SkirmishEnv,
    act: Callable[[], np.ndarray],
    how: Shooting,
    *,
    who: str,
    checked: bool = True,
    begin: Callable[[], None] = lambda: None,
) -> str:
    """Play episodes in slot 0 and film them.

    Args:
      env: of one slot.
      act: joint actions (1, n) for the current state.
      how: checked for this map.
      who: name of the policy in the pictures.
      checked: actions are bound by availability.
      begin: called when an episode has begun.
    Returns: a line per film for people.
    """
    from skirmish.pictures.film import Films
    from skirmish.pictures.render import Painter

    painter = Painter(env, size=how.size, agent=how.agent)
    outcomes = []
    with Films(how.out, how.fps) as films:
        for episode in range(how.episodes):
            env.reset(how.seed if episode == 0 else None)
            begin()
            count = f" · {episode + 1} of {how.episodes}" if how.episodes > 1 else ""
            painter.title = f"{env.info.name} · {who}{count}"
            _film_episode(env, painter, films, act, how.loops_per_frame, checked)
            outcomes.append(f"{painter.outcome} after {int(env.t[0])} steps")
    height, width, _ = painter.shape
    return "\n".join(
        f"{film.path}: {film.frames} frames of {width} x {height}, {_megabytes(film.path)}; {', '.join(outcomes)}"
        for film in films.files
    )


def _film_episode(
    env: SkirmishEnv,
    painter: Painter,
    films: Films,
    act: Callable[[], np.ndarray],
    loops_per_frame: int,
    checked: bool,
) -> None:
    films.add(painter.frame())
    loops = 0
    while not env.finished[0]:
        for _ in env.step_loops(act(), checked=checked):
            loops += 1
            if loops % loops_per_frame == 0:
                films.add(painter.frame())
            else:
                painter.look()
    films.add(painter.frame(), seconds=HOLD)


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"


def _require(what: str, got: int, least: int, most: int | None, meaning: str) -> None:
    if not least <= got <= (math.inf if most is None else most):
        bounds = f"be at least {least}" if most is None else f"lie in {least}..{most}"
        raise ValueError(f"{what} must {bounds}, got {got!r}: {meaning}")
