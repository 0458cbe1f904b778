"""Kill a run again and again, at random moments: `python -m tests.durability.kills --kills 200 --json kills.json`.

SIGKILL leaves no time for anything. The same command is started again at once until the run is finished, and its
records must be those of a run that nobody disturbed; then the next run begins, until enough kills are done. Moments are
drawn from process start on, so start-up, training, evaluation and the writing of checkpoints are all hit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.durability.programs import TRAIN, command, records

LONGEST = 5.0  # seconds until a kill; starting takes two to three of them
OFTEN = ("--checkpoint-every", "0.2")


def torment(name: str, kills: int, rng: np.random.Generator, folder: Path) -> dict[str, Any]:
    """Runs of one program until `kills` kills are done. Returns: how many runs there were, and how many were equal."""
    start(command(name, folder / "undisturbed", more=OFTEN)).wait()
    expected = records(folder / "undisturbed")
    done = runs = equal = after_progress = 0
    while done < kills:
        out = folder / f"run_{runs}"
        while not (out / "done.json").exists():
            process = start(command(name, out, more=OFTEN))
            if done >= kills:
                if process.wait() != 0:
                    raise SystemExit(f"error: {name} ended with exit code {process.returncode} after its last kill")
                continue
            try:
                if process.wait(float(rng.uniform(0.0, LONGEST))) != 0:
                    raise SystemExit(f"error: {name} ended by itself with exit code {process.returncode}")
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done += 1
                after_progress += (out / "checkpoint.pt").exists()
        equal += records(out) == expected
        runs += 1
        print(f"{name}: {done} kills, {equal} of {runs} runs like the undisturbed one", flush=True)
    return {"kills": done, "kills_after_first_checkpoint": after_progress, "runs": runs, "equal": equal}


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """A training process; what it says goes nowhere."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", *arguments], **quiet)


def main() -> int:
    """Print, and with --json write, what happened. Returns: 1 if a run differs."""
    parser = argparse.ArgumentParser(description="random SIGKILLs of training runs")
    parser.add_argument("--programs", nargs="+", choices=TRAIN, default=list(TRAIN))
    parser.add_argument("--kills", type=int, default=200, help="per program (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    outcome = {}
    for name in arguments.programs:
        with tempfile.TemporaryDirectory() as folder:
            outcome[name] = torment(name, arguments.kills, np.random.default_rng(arguments.seed), Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(outcome, indent=1) + "\n", encoding="utf-8")
    return int(any(item["equal"] != item["runs"] for item in outcome.values()))


if __name__ == "__main__":
    sys.exit(main())
