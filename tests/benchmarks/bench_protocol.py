"""The official `smac` on the served simulator: `python -m tests.benchmarks.bench_protocol --out DIR`.

DIR/equality.csv: the largest differences of what both show, by map. DIR/speed.csv: environment steps a second with
random legal actions, the face's before and after. Needs the package on PYTHONPATH and `requirements-starcraft.lock`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from skirmish.data.maps import map_names
from skirmish.protocol.standin import install_standin
from tests.protocol.test_official import play

SEEDS, EPISODES = (11, 12), 4
STEPS = {"3m": 3000, "27m_vs_30m": 500}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the tables")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        game = install_standin(Path(folder) / "game")
        speeds = [{"map": name, **play(game, "speed", name, "11", str(steps))} for name, steps in STEPS.items()]
        pd.DataFrame(speeds).round(1).to_csv(out / "speed.csv", index=False)
        rows = [
            {"map": name, "seed": seed, "episodes": EPISODES, **play(game, "smac", name, str(seed), str(EPISODES))}
            for name in map_names()
            for seed in SEEDS
        ]
    pd.DataFrame(rows).astype({"steps": int}).to_csv(out / "equality.csv", index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
