"""Damage a run directory and go on: `python -m tests.durability.mutations --count 100 --json mutations.json`.

Each time one file of a run that was stopped half-way is changed (a bit flipped, cut off, emptied, deleted, taken from
another run, a line doubled, a number edited), and the run is continued. It must end with the records of a run that
nobody touched, or be refused in one line; anything else is an error. The same is done to finished runs, which are then
collected: the table must be the same, or the collection refused.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis import collect
from analysis.study import Study, StudyError
from analysis.study_files import load_study
from baselines.__main__ import run as baselines
from mazero.cli import run as mazero
from tests.durability.programs import TRAIN, command, records
from training import cli

FILES = ("config.json", "provenance.json", "metrics.jsonl", "checkpoint.pt", "rows/0.rows")
FINISHED_FILES = ("config.json", "provenance.json", "metrics.jsonl", "done.json")
STUDY = """
name: durable
description: One run.
seeds: [0]
algorithms: {qmix: {program: baselines, algorithm: qmix, label: QMIX}}
groups:
  matrix: {title: Matrix, backend: matrix, maps: [matrix_1], env_steps: 8000, eval_every: 400, eval_episodes: 4,
           presets: {qmix: matrix}}
"""
Mutation = Callable[[bytes, bytes, np.random.Generator], bytes | None]


def flip(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """One bit."""
    changed = bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """Everything from somewhere on is lost."""
    return content[: rng.integers(len(content))]


def double(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """A line stands there twice."""
    lines = content.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    return b"".join([*lines[: at + 1], *lines[at:]])


def edit(content: bytes, _: bytes, rng: np.random.Generator) -> bytes:
    """A digit becomes another one; a bit, where there is none."""
    digits = [found.start() for found in re.finditer(rb"\d", content)]
    if not digits:
        return flip(content, b"", rng)
    at = digits[rng.integers(len(digits))]
    return content[:at] + bytes([ord("0") + (content[at] - ord("0") + 1) % 10]) + content[at + 1 :]


MUTATIONS: dict[str, Mutation] = {
    "flip": flip,
    "cut": cut,
    "empty": lambda content, other, rng: b"",
    "delete": lambda content, other, rng: None,
    "swap": lambda content, other, rng: other,
    "double": double,
    "edit": edit,
}


def attempt(work: Callable[[], bool]) -> str:
    """What came of it: `same`, `refused` in one line, `WRONG` result or `CRASHED`."""
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stderr(said):
            return "same" if work() else "WRONG"
    except Refused:
        lines = [line for line in said.getvalue().splitlines() if line.startswith("error: ")]
        return "refused" if len(lines) == 1 else "CRASHED"
    except StudyError as error:
        return "refused" if "\n" not in str(error) else "CRASHED"
    except Exception:  # whatever it is, it is what this looks for
        return "CRASHED"
    finally:
        logging.getLogger().removeHandler(handler)


class Refused(Exception):
    """A command ended with the exit code for bad input."""


def train(name: str, out: Path, *, seed: int = 0, more: tuple[str, ...] = ()) -> None:
    """Run, or continue, in this process. Raises: Refused."""
    program, *arguments = command(name, out, seed=seed, more=more)
    if cli.main({"mazero": mazero, "baselines": baselines}[program], arguments) != 0:
        raise Refused


def mutate(run: Path, other: Path, file: str, how: str, rng: np.random.Generator) -> None:
    """Change one file of a run."""
    path = run / file
    changed = MUTATIONS[how](path.read_bytes(), (other / file).read_bytes(), rng)
    path.unlink() if changed is None else path.write_bytes(changed)


def continued(name: str, count: int, rng: np.random.Generator, folder: Path) -> Counter[str]:
    """Mutations of a run that was stopped half-way."""
    half = ("--stop-at", str(int(TRAIN[name][TRAIN[name].index("--env-steps") + 1]) // 2))
    train(name, folder / "whole")
    train(name, folder / "half", more=half)
    train(name, folder / "other", seed=1, more=half)
    expected = records(folder / "whole")
    outcomes: Counter[str] = Counter()
    for index in range(count):
        file, how = FILES[rng.integers(len(FILES))], list(MUTATIONS)[rng.integers(len(MUTATIONS))]
        run = folder / "run"
        shutil.copytree(folder / "half", run)
        mutate(run, folder / "other", file, how, rng)

        def go_on(run: Path = run) -> bool:
            train(name, run)
            return records(run) == expected

        outcome = attempt(go_on)
        outcomes[f"{file} {how}: {outcome}"] += 1
        if outcome.isupper():
            print(f"{name} {index}: {file} {how}: {outcome}", flush=True)
        shutil.rmtree(run)
    return outcomes


def collected(count: int, rng: np.random.Generator, folder: Path) -> Counter[str]:
    """Mutations of a finished run, which is then collected."""
    (folder / "durable.yaml").write_text(STUDY, encoding="utf-8")
    study: Study = load_study(folder / "durable.yaml")
    path = next(study.runs()).path
    train("qmix", folder / "whole" / path)
    train("qmix", folder / "other", seed=1)
    expected = collect.as_csv(collect.collect(study, folder / "whole"))
    outcomes: Counter[str] = Counter()
    for index in range(count):
        file = FINISHED_FILES[rng.integers(len(FINISHED_FILES))]
        how, root = list(MUTATIONS)[rng.integers(len(MUTATIONS))], folder / "root"
        shutil.copytree(folder / "whole", root)
        mutate(root / path, folder / "other", file, how, rng)
        outcome = attempt(lambda root=root: collect.as_csv(collect.collect(study, root)) == expected)  # type: ignore[misc]
        outcomes[f"{file} {how}: {outcome}"] += 1
        if outcome.isupper():
            print(f"collected {index}: {file} {how}: {outcome}", flush=True)
        shutil.rmtree(root)
    return outcomes


def main() -> int:
    """Print, and with --json write, what came of it. Returns: 1 if anything was wrong or crashed."""
    parser = argparse.ArgumentParser(description="damaged run directories")
    parser.add_argument("--count", type=int, default=100, help="mutations of each kind of run (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    outcomes: dict[str, Counter[str]] = {}
    for name in (*TRAIN, "collected"):
        with tempfile.TemporaryDirectory() as folder:
            if name == "collected":
                outcomes[name] = collected(arguments.count, rng, Path(folder))
            else:
                outcomes[name] = continued(name, arguments.count, rng, Path(folder))
    totals = {
        name: dict(Counter(outcome.rpartition(" ")[2] for outcome in found.elements()))
        for name, found in outcomes.items()
    }
    print(json.dumps(totals))
    if arguments.json:
        detail = {name: dict(sorted(found.items())) for name, found in outcomes.items()}
        arguments.json.write_text(json.dumps({"totals": totals, "outcomes": detail}, indent=1) + "\n", encoding="utf-8")
    return int(any(total.get("WRONG", 0) or total.get("CRASHED", 0) for total in totals.values()))


if __name__ == "__main__":
    sys.exit(main())
