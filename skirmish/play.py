"""Let scripted policies play: win rate, return and length; what the simulator's choices do to them; films, pictures."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from skirmish.data.maps import map_names
from skirmish.faces.vector import SkirmishEnv
from skirmish.fidelity import commands as fidelity
from skirmish.physics.rules import Rules
from skirmish.pictures.watch import add_flags, add_output_flags, shooting, watch_script
from skirmish.policies import POLICIES, make_policy

MAX_SLOTS = 256

# One change at a time of a choice of `rules.py`, to see how much rests on it.
ALTERNATIVES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("documented choices", {}),
    ("no cooldown jitter", {"jitter_scale": 0.0}),
    ("cooldown fraction dropped", {"carry_fraction": False}),
    ("acquisition between centres", {"acquire_to_edge": False}),
    ("scan every 8 loops", {"scan_interval": 8}),
    ("target kept within the acquisition radius", {"keep_acquired": True}),
    ("no head start", {"respawn_loops": 0}),
    ("placement does not vary", {"placement_jitter": 0.0}),
    ("placement varies by 0.3", {"placement_jitter": 0.3}),
    ("placement gap 0.05", {"placement_gap": 0.05}),
    ("placement gap 0.3", {"placement_gap": 0.3}),
    ("acquisition ends at the scan range", {"acquire_beyond": 0.0}),
    ("enemies converge on the point", {"formation_move": False}),
    ("backswing never holds", {"backswing_holds": False}),
    ("enemies take the nearest, attacking or not", {"threats_first": False}),
    ("a target in reach is kept, attacking or not", {"threat_reach": -1.0}),
    ("a hit enemy turns on the shooter", {"retaliation": True}),
    ("units push each other evenly", {"ground_holding": "never"}),
    ("attackers hold their ground between shots", {"ground_holding": "engaged"}),
    ("holders do not give way at all", {"yield_to_holders": 1.0}),
    ("one pass of pushes a loop", {"push_passes": 1}),
    ("only who overlaps is pushed", {"push_margin": 0.0}),
    ("pairs are parted just so", {"push_factor": 1.0}),
    ("walkers press on behind those who fight", {"steer_around": False}),
    ("units need not turn", {"turning": False}),
    ("cliff clearance 0.5", {"cliff_clearance": 0.5}),
    ("splash reaches centres only", {"splash_to_edge": False}),
    ("enemy medivac idles", {"enemy_medivac_follows": False}),
    ("group order moves on to the next colossus", {"group_order_moves_on": True}),
)


@dataclass(frozen=True)
class Outcome:
    """Statistics of finished episodes."""

    episodes: int
    win_rate: float
    draw_or_timeout_rate: float  # neither won nor lost
    return_mean: float
    return_std: float
    length_mean: float
    length_min: int
    length_max: int


def play(
    name: str,
    *,
    policy: str = "heuristic",
    episodes: int = 1000,
    seed: int = 0,
    rules: Rules | None = None,
    **options: Any,
) -> Outcome:
    """Play episodes to their end, every slot the same number, so that short episodes are not over-represented.

    Args:
      name: map; policy: one of `policies.POLICIES`.
      episodes: at least 1; rounded up to a multiple of the slots (at most 256).
      rules, options: as for `SkirmishEnv`.
    Raises: ValueError for unknown names or episodes < 1.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes!r}: pass how many to play")
    rounds = -(-episodes // MAX_SLOTS)
    slots = -(-episodes // rounds)
    env = SkirmishEnv(name, num_envs=slots, seed=seed, rules=rules, **options)
    script = make_policy(policy, env, seed)
    returns, lengths, won, lost = [], [], [], []
    for _ in range(rounds):
        env.reset()
        total = np.zeros(slots)
        while not env.finished.all():
            script.play_step()
            total += env.reward
        returns.append(total)
        lengths.append(env.t.copy())
        won.append(env.won.copy())
        lost.append(env.terminated & ~env.won & env.alive[:, env.info.n_agents :].any(1))
    flat_returns, flat_lengths = np.concatenate(returns), np.concatenate(lengths)
    wins, losses = np.concatenate(won), np.concatenate(lost)
    return Outcome(
        episodes=len(wins),
        win_rate=float(wins.mean()),
        draw_or_timeout_rate=float((~wins & ~losses).mean()),
        return_mean=float(flat_returns.mean()),
        return_std=float(flat_returns.std()),
        length_mean=float(flat_lengths.mean()),
        length_min=int(flat_lengths.min()),
        length_max=int(flat_lengths.max()),
    )


def sensitivity(name: str, *, policy: str = "heuristic", episodes: int = 1000, seed: int = 0) -> dict[str, Outcome]:
    """Outcome under each of `ALTERNATIVES`; arguments as for `play`."""
    return {
        label: play(name, policy=policy, episodes=episodes, seed=seed, rules=replace(Rules(), **change))
        for label, change in ALTERNATIVES
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit code; bad input is one line on stderr and code 2."""
    parser = argparse.ArgumentParser(prog="python -m skirmish", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (
        ("play", "let a scripted policy play and print its statistics"),
        ("sensitivity", "the same under other choices where the public facts end"),
        ("survey", "every policy on every map"),
        ("maps", "list the maps"),
        ("watch", "film a scripted policy"),
        ("gallery", "draw all maps at their start into one figure"),
        ("serve", "serve StarCraft II's API to other programs (flags: serve --help)"),
        ("install-standin", "make a folder that smac and pysc2 take for StarCraft II"),
    ):
        sub = commands.add_parser(command, help=text)
        if command in ("play", "sensitivity", "watch"):
            sub.add_argument("--map", default="3m", help="map name (default 3m)")
            sub.add_argument("--policy", default="heuristic", help=f"one of {', '.join(POLICIES)} (default heuristic)")
        if command == "watch":
            add_flags(sub)
        elif command == "gallery":
            add_output_flags(sub, "figure to write, .png, .svg or .pdf")
        elif command != "maps":
            sub.add_argument("--episodes", type=int, default=1000, help="number of episodes (default 1000)")
            sub.add_argument("--seed", type=int, default=0, help="seed of all randomness (default 0)")
            sub.add_argument("--csv", type=Path, help="also write the statistics to this file")
    fidelity.add_commands(commands)
    arguments = parser.parse_args(argv)
    if arguments.command == "maps":
        print("\n".join(map_names()))
        return 0
    if arguments.command in ("watch", "gallery"):
        return _draw(arguments)
    try:
        if arguments.command in fidelity.COMMANDS:
            print(fidelity.run(arguments))
            return 0
        run = {"episodes": arguments.episodes, "seed": arguments.seed}
        if arguments.command == "survey":
            pairs = [(name, policy) for name in map_names() for policy in POLICIES]
            outcomes = {f"{name} {policy}": play(name, policy=policy, **run) for name, policy in pairs}
        elif arguments.command == "play":
            label = f"{arguments.map} {arguments.policy}"
            outcomes = {label: play(arguments.map, policy=arguments.policy, **run)}
        else:
            outcomes = sensitivity(arguments.map, policy=arguments.policy, **run)
        if arguments.csv is not None:
            write_csv(arguments.csv, outcomes)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(table(outcomes))
    return 0


def _draw(arguments: argparse.Namespace) -> int:
    """The commands that write pictures."""
    try:
        if arguments.command == "watch":
            written = watch_script(arguments.map, arguments.policy, shooting(arguments))
        else:
            from skirmish.pictures.gallery import write_gallery  # imported late: matplotlib takes a moment to load

            written = write_gallery(arguments.out, force=arguments.force)
    except (ValueError, OSError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    print(written)
    return 0


def write_csv(path: Path, outcomes: dict[str, Outcome]) -> None:
    """One row per outcome: its label, then the fields of `Outcome`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", *Outcome.__dataclass_fields__])
        writer.writerows([label, *asdict(outcome).values()] for label, outcome in outcomes.items())


def table(outcomes: dict[str, Outcome]) -> str:
    """Outcomes as aligned text, one line each."""
    width = max(len(label) for label in outcomes)
    header = f"{'':{width}}  episodes  win rate   (+-)  undecided  return        length (steps)"
    lines = [header]
    for label, o in outcomes.items():
        error = 1.96 * np.sqrt(o.win_rate * (1 - o.win_rate) / o.episodes)
        lines.append(
            f"{label:{width}}  {o.episodes:8d}  {o.win_rate:8.3f}  {error:5.3f}  {o.draw_or_timeout_rate:9.3f}  "
            f"{o.return_mean:5.2f} +- {o.return_std:4.2f}  {o.length_mean:5.1f} ({o.length_min}-{o.length_max})"
        )
    return "\n".join(lines)
