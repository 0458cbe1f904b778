"""One run seed, several independent named random streams."""

from __future__ import annotations

from typing import Any

import numpy as np

# These tell seeds of evaluations from those of `Streams`, which are spawned from the run seed alone.
EVALUATION, ABSOLUTE = 0x65_76_61_6C, 0x62_65_73_74
STREAMS = ("init", "env", "actor", "search", "replay", "reanalyze", "eval", "explore")


class Streams:
    """Named `numpy` generators spawned from one seed; their states can be saved and put back.

    The order of `STREAMS` is part of the format: append new names at the end, or old seeds change meaning.
    """

    def __init__(self, seed: int) -> None:
        children = np.random.SeedSequence(seed).spawn(len(STREAMS))
        self._generators = {name: np.random.Generator(np.random.PCG64(child)) for name, child in zip(STREAMS, children)}

    def __getattr__(self, name: str) -> np.random.Generator:
        try:
            return self.__dict__["_generators"][name]
        except KeyError:
            raise AttributeError(f"no random stream {name!r}: known are {', '.join(STREAMS)}") from None

    def state_dict(self) -> dict[str, Any]:
        """Bit-generator states by stream name."""
        return {name: generator.bit_generator.state for name, generator in self._generators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        for name, generator in self._generators.items():
            generator.bit_generator.state = state[name]


def draw_seed(generator: np.random.Generator) -> int:
    """A fresh 63-bit seed for an environment or a kernel."""
    return int(generator.integers(0, 2**63 - 1))


def evaluation_seed(run_seed: int, mark: int) -> int:
    """Seed of the evaluation episodes of a run at a mark.

    It depends on nothing else: algorithms with the same run seed are evaluated on the same episodes (paired), and
    nothing that training draws is drawn there.
    """
    return _seed_of(run_seed, mark, EVALUATION)


def absolute_seed(run_seed: int, turn: int) -> int:
    """Seed of the `turn`-th evaluation of the absolute metric: episodes that chose no policy."""
    return _seed_of(run_seed, turn, ABSOLUTE)


def _seed_of(*entropy: int) -> int:
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))
