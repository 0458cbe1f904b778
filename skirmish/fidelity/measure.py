"""What the simulator does where real games are known: pure functions of (map, episodes, seed, options).

`options` are those of `skirmish.make`: SMAC's options, fields of `Rules` and the data set. Every function plays whole
episodes of a fresh environment. Scores are 0 when perfect and negative otherwise: log10 p of a Kolmogorov-Smirnov test
for distributions, minus the squared error for rates, minus the squared distance from the real interval for plateaus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from skirmish.checks import require_known
from skirmish.faces.making import make
from skirmish.faces.vector import SkirmishEnv
from skirmish.fidelity import targets
from skirmish.fidelity.distributions import ks_test
from skirmish.fidelity.networks import UntrainedPolicy
from skirmish.fidelity.scripts import (
    ALTERNATING,
    MARINES_KITE,
    STEP_OUTS,
    AttackClosestPolicy,
    KitingPolicy,
    StepOutPolicy,
)
from skirmish.fidelity.study import BOARDS, StudyEnv
from skirmish.policies import FocusFirePolicy, HeuristicPolicy, Policy, RandomPolicy

Options = Mapping[str, Any]

SLOTS = 256  # episodes side by side
NORMAL_LOOPS = 8  # game loops of one of SMAC's steps
STUDY_LOOPS = 2  # of one step in the study of real_scripts.csv
TEST_EPISODES = 32  # of one test in the real runs
NEARLY_ZERO = 0.05  # return of networks that never hurt an enemy, as in real_targets.csv
KITERS = {"3s_vs_3z": 0.6, "3s_vs_4z": 0.6, "3s_vs_5z": 0.3}  # {map: least win rate} of faultless kiting


@dataclass(frozen=True)
class Episodes:
    """Finished episodes; all arrays (E,)."""

    returns: np.ndarray
    lengths: np.ndarray  # steps
    won: np.ndarray  # bool


@dataclass(frozen=True)
class Record:
    """One measured quantity beside its real value."""

    map: str
    quantity: str
    real: float  # rates and returns: the real value or the least wanted one; distributions: the real median
    simulated: float
    n: int  # episodes, or means of episodes, on the simulator
    error: float  # simulated - real, 0 inside a wanted interval
    score: float  # 0 is perfect, below is worse
    sample: np.ndarray | None = field(default=None, compare=False, repr=False)  # (n,) of distributions, for drawings


def play_episodes(
    name: str,
    policy: Callable[[SkirmishEnv, int], Policy],
    *,
    episodes: int,
    seed: int = 0,
    first: bool = False,
    slots: int = SLOTS,
    options: Options | None = None,
    board: type[SkirmishEnv] = SkirmishEnv,
) -> Episodes:
    """Play whole episodes, the same number in every slot.

    Args:
      name: map; policy: makes the script for an environment and a seed.
      episodes: rounded up to a multiple of the slots used.
      first: only first episodes of freshly started games, where the enemy has no head start; else later ones.
      options: as for `skirmish.make`.
      board: class of the battles: SMAC's, or `study.StudyEnv`.
    Raises: ValueError for episodes < 1, or what `skirmish.make` refuses.
    """
    if episodes < 1:
        raise ValueError(f"episodes must be at least 1, got {episodes!r}: pass how many to play")
    rounds = -(-episodes // slots)
    env = make(name, num_envs=-(-episodes // rounds), seed=seed, on_map=board, **dict(options or {}))
    script = policy(env, seed)
    if not first:
        env.reset(seed)
    played = []
    for k in range(rounds):
        env.reset(seed + k if first else None)
        total = np.zeros(env.num_envs)
        while not env.finished.all():
            running = ~env.finished
            script.play_step()
            total += np.where(running, env.reward, 0.0)
        played.append((total, env.t.copy(), env.won.copy()))
    returns, lengths, won = (np.concatenate(parts) for parts in zip(*played, strict=True))
    return Episodes(returns, lengths, won)


def random_lengths(name: str, *, episodes: int = 1024, seed: int = 0, options: Options | None = None) -> np.ndarray:
    """(E,) lengths in steps of first episodes of uniformly random play."""
    return play_episodes(name, RandomPolicy, episodes=episodes, seed=seed, first=True, options=options).lengths


def compare_lengths(name: str, lengths: np.ndarray) -> list[Record]:
    """Random play against the real first episodes, singly and in means over eight (COMA)."""
    real, real_means = targets.random_lengths(name), targets.random_lengths_of_eight(name)
    eights = lengths[: len(lengths) // targets.COMA_EPISODES * targets.COMA_EPISODES]
    means = eights.reshape(-1, targets.COMA_EPISODES).mean(1)
    records = [_distribution(name, "random length", real, lengths)]
    if len(real_means) and len(means):
        records.append(_distribution(name, "random length, mean of 8", real_means, means))
    return records


def untrained_returns(
    name: str, *, networks: int = 48, episodes: int = TEST_EPISODES, seed: int = 0, options: Options | None = None
) -> np.ndarray:
    """(S,) mean return over `episodes` greedy episodes of each of S untrained networks.

    Networks play in the second episode of their slots, as tests come after an episode of training.
    """
    group = max(1, min(networks, 2 * SLOTS // episodes))
    means: list[np.ndarray] = []
    while len(means) * group < networks:
        script = partial(UntrainedPolicy, networks=group)
        slots = group * episodes
        run = play_episodes(name, script, episodes=slots, seed=seed + len(means), slots=slots, options=options)
        means.append(run.returns.reshape(group, episodes).mean(1))
    return np.concatenate(means)[:networks]


def compare_untrained(name: str, returns: np.ndarray) -> list[Record]:
    """Untrained networks against the real first tests: the distribution, and the share that never hurts an enemy."""
    real = targets.untrained_returns(name)
    real_share, share = float((real < NEARLY_ZERO).mean()), float((returns < NEARLY_ZERO).mean())
    return [
        _distribution(name, "untrained return", real, returns),
        _rate(name, "untrained share of 0", real_share, share, len(returns)),
    ]


def heuristic(name: str, *, episodes: int = 512, seed: int = 0, options: Options | None = None) -> Record:
    """SMAC's heuristic against its published win rate."""
    run = play_episodes(name, HeuristicPolicy, episodes=episodes, seed=seed, options=options)
    return _rate(name, "heuristic", targets.heuristic()[name].win_rate, float(run.won.mean()), len(run.won))


def attack_closest(
    name: str, *, quantity: str = "attack closest", episodes: int = 256, seed: int = 0, options: Options | None = None
) -> Record:
    """Attack-closest at two loops a step against ten real battles; quantity: one of `study.BOARDS`."""
    require_known("quantity", quantity, BOARDS)
    options = {**(options or {}), "step_mul": STUDY_LOOPS}
    board = BOARDS[quantity]
    run = play_episodes(name, AttackClosestPolicy, episodes=episodes, seed=seed, options=options, board=board)
    return _rate(name, quantity, targets.scripts("AC")[name].win_rate, float(run.won.mean()), len(run.won))


def alternating_fire(
    name: str, *, loops: int = STUDY_LOOPS, episodes: int = 128, seed: int = 0, options: Options | None = None
) -> Record:
    """Alternating fire at so many loops a step, under the study's order to the enemy; the real battles had two."""
    options = {**(options or {}), "step_mul": loops}
    run = play_episodes(name, ALTERNATING[name], episodes=episodes, seed=seed, options=options, board=StudyEnv)
    real = targets.scripts("AF")[name].win_rate
    return _rate(name, f"alternating fire, {loops} loops", real, float(run.won.mean()), len(run.won))


def plateau(name: str, *, episodes: int = 128, seed: int = 0, options: Options | None = None) -> Record:
    """Return of agents that walk up, attack and stand until they die, against the interval of the real plateau.

    Only available actions: real agents could not order an attack from beyond SMAC's shooting range either.
    """
    run = play_episodes(name, FocusFirePolicy, episodes=episodes, seed=seed, options=options)
    low, high = targets.plateaus()[name]
    return _interval(name, "head-on return", low, high, float(run.returns.mean()), len(run.returns))


def noisy_kiting(
    name: str = "2m_vs_1z", *, noise: float = 0.1, episodes: int = 256, seed: int = 0, options: Options | None = None
) -> Record:
    """Kiting marines with a fraction of random actions; wanted: 0.6 at least."""
    script = partial(KitingPolicy, noise=noise, **MARINES_KITE)
    run = play_episodes(name, script, episodes=episodes, seed=seed, options=options)
    return _at_least(name, f"kiting, {noise:g} random", 0.6, run.won)


def step_out(name: str = "2s_vs_1sc", *, episodes: int = 256, seed: int = 0, options: Options | None = None) -> Record:
    """Stalkers that share the crawler's hits by stepping out and returning; wanted: 0.8 at least.

    Which way of stepping out pays depends on the rules by which the enemy picks its target, as it would for a learner:
    the better of `STEP_OUTS` counts.
    """
    runs = [
        play_episodes(name, partial(StepOutPolicy, **way), episodes=episodes, seed=seed, options=options)
        for way in STEP_OUTS
    ]
    return _at_least(name, "step out and return", 0.8, max((run.won for run in runs), key=lambda won: won.mean()))


def faultless_kiting(name: str, *, episodes: int = 128, seed: int = 0, options: Options | None = None) -> Record:
    """Stalkers that kite zealots without an error; wanted: `KITERS`."""
    run = play_episodes(name, KitingPolicy, episodes=episodes, seed=seed, options=options)
    return _at_least(name, "faultless kiting", KITERS[name], run.won)


def _distribution(name: str, quantity: str, real: np.ndarray, simulated: np.ndarray) -> Record:
    _, p = ks_test(real, simulated)
    medians = float(np.median(real)), float(np.median(simulated))
    return Record(name, quantity, *medians, len(simulated), medians[1] - medians[0], float(np.log10(p)), simulated)


def _rate(name: str, quantity: str, real: float, simulated: float, n: int) -> Record:
    error = simulated - real
    return Record(name, quantity, real, simulated, n, error, -(error**2))


def _interval(name: str, quantity: str, low: float, high: float, simulated: float, n: int) -> Record:
    error = max(0.0, simulated - high) + min(0.0, simulated - low)
    return Record(name, quantity, 0.5 * (low + high), simulated, n, error, -(error**2))


def _at_least(name: str, quantity: str, wanted: float, won: np.ndarray) -> Record:
    rate = float(won.mean())
    error = min(0.0, rate - wanted)
    return Record(name, quantity, wanted, rate, len(won), error, -(error**2))


@dataclass(frozen=True)
class Kind:
    """One kind of measurement: where it is known, and how it is measured with `scale` of the default episodes."""

    maps: Callable[[], Sequence[str]]
    measure: Callable[[str, float, int, Options], list[Record]]


def _count(full: int, scale: float) -> int:
    return max(8, round(full * scale))


KINDS: dict[str, Kind] = {
    "lengths": Kind(
        targets.target_maps,
        lambda m, q, seed, o: compare_lengths(m, random_lengths(m, episodes=_count(1024, q), seed=seed, options=o)),
    ),
    "untrained": Kind(
        targets.target_maps,
        lambda m, q, seed, o: compare_untrained(
            m, untrained_returns(m, networks=48, episodes=_count(TEST_EPISODES, q), seed=seed, options=o)
        ),
    ),
    "heuristic": Kind(
        lambda: tuple(targets.heuristic()),
        lambda m, q, seed, o: [heuristic(m, episodes=_count(512, q), seed=seed, options=o)],
    ),
    "closest": Kind(
        lambda: tuple(targets.scripts("AC")),
        lambda m, q, seed, o: [
            attack_closest(m, quantity=b, episodes=_count(256, q), seed=seed, options=o) for b in BOARDS
        ],
    ),
    "alternating": Kind(
        lambda: tuple(targets.scripts("AF")),
        lambda m, q, seed, o: [
            alternating_fire(m, loops=loops, episodes=_count(128, q), seed=seed, options=o)
            for loops in (STUDY_LOOPS, NORMAL_LOOPS)
        ],
    ),
    "plateaus": Kind(
        lambda: tuple(targets.plateaus()),
        lambda m, q, seed, o: [plateau(m, episodes=_count(128, q), seed=seed, options=o)],
    ),
    "noisy": Kind(
        lambda: ("2m_vs_1z",),
        lambda m, q, seed, o: [noisy_kiting(m, episodes=_count(256, q), seed=seed, options=o)],
    ),
    "stepout": Kind(
        lambda: ("2s_vs_1sc",),
        lambda m, q, seed, o: [step_out(m, episodes=_count(256, q), seed=seed, options=o)],
    ),
    "kiting": Kind(
        lambda: tuple(KITERS),
        lambda m, q, seed, o: [faultless_kiting(m, episodes=_count(128, q), seed=seed, options=o)],
    ),
}
QUICK = 0.25  # part of the episodes that a quick measurement plays


def measurable_maps(kinds: Sequence[str] | None = None) -> tuple[str, ...]:
    """All maps on which something real is known, sorted."""
    return tuple(sorted({m for kind in kinds or KINDS for m in KINDS[kind].maps()}))


def measure_all(
    options: Options | None = None,
    maps: Sequence[str] | None = None,
    *,
    quick: bool = False,
    kinds: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Record]:
    """Every quantity that is known on the given maps.

    Args:
      options: as for `skirmish.make`: rules, data set, options; maps: None for all.
      quick: play a quarter of the episodes; kinds: names of `KINDS`, None for all.
    Raises: ValueError for an unknown map or kind, or options that `skirmish.make` refuses.
    """
    for kind in kinds or ():
        require_known("kind", kind, KINDS)
    for name in maps or ():
        require_known("map with real values", name, measurable_maps())
    records = []
    for kind in kinds or KINDS:
        for name in KINDS[kind].maps():
            if maps is None or name in maps:
                records += KINDS[kind].measure(name, QUICK if quick else 1.0, seed, options or {})
    return records
