"""Playing E episodes on one backend, a round of them at a time, so that a killed program goes on where it was.

A round is one episode in every slot; it is written down when all are whole. So every slot plays the same number of
episodes, and none is missing because it was long.

The first battle of a game is played and not counted. SMAC's later ones begin otherwise: their units are created in a
running game, and the enemy has its orders some loops earlier (`Rules.respawn_loops`). Games of StarCraft II play some
ten or a hundred battles, the simulator's slots as many as one likes; counting first battles would compare the shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from envs.compare.battles import COOLDOWN, ROWS, Battles, Recorder, join, load
from envs.compare.players import Player
from envs.interface import VectorEnv
from envs.smac import SmacEnv
from skirmish.contract.layout import P_HEALTH_MAX
from training.files import clear_leftovers, replacing


@dataclass(frozen=True)
class Played:
    """What was played on one backend."""

    battles: Battles
    discarded: int  # episodes that were lost with their game
    faults: dict[str, int]  # by kind


def play(
    player: Player,
    folder: Path,
    header: Mapping[str, Any],
    *,
    episodes: int,
    seed: int,
    progress: Callable[[int], None],
) -> Played:
    """Play until there are `episodes` whole ones, and read them all.

    Args:
      folder: what this and earlier calls have finished.    header: of every file.
      progress: called with the number of whole episodes after every round.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    env = player.env
    rounds = -(-episodes // env.num_envs)
    paths = [folder / f"round_{number:05d}.npz" for number in range(rounds)]
    finished = _go_on(env, folder / "env.npz", seed)
    for number in range(finished, rounds):
        before = _faults(env)
        battles, discarded = play_round(player, int(np.random.SeedSequence((seed, number)).generate_state(1)[0] >> 1))
        faults = {kind: count - before.get(kind, 0) for kind, count in _faults(env).items()}
        battles.save(paths[number], {**header, "discarded": discarded, "faults": faults})
        with replacing(folder / "env.npz") as file:
            np.savez(file, allow_pickle=False, finished=np.array(number + 1), **env.snapshot())
        progress(min(episodes, (number + 1) * env.num_envs))
    parts = [load(path) for path in paths]
    kinds = sorted({kind for _, told in parts for kind in told["faults"]})
    return Played(
        join(battles for battles, _ in parts).first(episodes),
        sum(told["discarded"] for _, told in parts),
        {kind: sum(told["faults"].get(kind, 0) for _, told in parts) for kind in kinds},
    )


def _go_on(env: VectorEnv, path: Path, seed: int) -> int:
    """Bring the environment to its start, or to the end of the last finished round. Returns: rounds finished."""
    if not path.is_file():
        env.reset(seed)
        return 0
    with np.load(path) as file:
        env.restore({name: file[name] for name in file.files if name != "finished"})
        return int(file["finished"])


def play_round(player: Player, seed: int) -> tuple[Battles, int]:
    """One whole episode in every slot, first ones of a game not counted.

    Begins with episodes that have just begun, or with finished ones. Returns: them, and how many were lost on the way.
    """
    env: Any = player.env
    recorder = Recorder(env.num_envs, env.info.n_agents)
    missing, discarded, passes = np.ones(env.num_envs, np.bool_), 0, 0
    while missing.any():
        fresh = not env.finished.any()
        env.reset_done()
        first = env.first_of_game if isinstance(env, SmacEnv) else np.full(env.num_envs, fresh)
        counted = missing & ~first
        player.begin(seed + passes)
        for slot in np.flatnonzero(counted):
            kinds = env.kinds[slot]
            recorder.begin(int(slot), kinds, env.profile[kinds, P_HEALTH_MAX], _state(env, slot))
        while not env.finished.all():
            playing = counted & ~env.finished
            actions = player.step()
            for slot in np.flatnonzero(playing & ~env.discarded):
                recorder.step(int(slot), actions[slot], float(env.reward[slot]), _state(env, slot))
        for slot in np.flatnonzero(counted & ~env.discarded):
            recorder.end(int(slot), won=bool(env.won[slot]), truncated=bool(env.truncated[slot]))
        discarded += int((missing & env.discarded).sum())
        missing &= ~counted | env.discarded
        passes += 1
    return recorder.take(), discarded


def _state(env: Any, slot: Any) -> np.ndarray:
    """(6, U) what the game tells of the units; it keeps the enemies' cooldowns to itself, and so does this."""
    state: np.ndarray = env.units[slot, :ROWS].copy()
    state[COOLDOWN, env.info.n_agents :] = 0.0
    return state


def _faults(env: VectorEnv) -> dict[str, int]:
    return env.faults.by_kind if isinstance(env, SmacEnv) else {}
