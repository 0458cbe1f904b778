"""Films of a study for its report: on each map of the simulator the first battle that MAZero wins and the first that it
loses.

Played by the latest policy of the first seed of the study's first MAZero that has finished, greedily, as evaluations
are: no run is chosen for what it shows. `python -m mazero watch` makes the films; what cannot be filmed is listed with
the reason and stops nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from analysis.plots import data_uri
from analysis.study import Group, Run, Study, StudyError

NAME = "films/films.json"
OUTCOMES = ("won", "lost")
SIZES = (480, 320, 240)  # pixels of width, the next one where a film takes more than MOST_BYTES
MOST_BYTES = 1_000_000
FPS, LOOPS_PER_FRAME = 20, 2  # nearly twice as fast as the game
TRIES = 64
ANSWER = re.compile(r"episode seed (?P<seed>\d+)\n.*frames of (?P<width>\d+) x (?P<height>\d+), .*?; (?P<end>.+)\n")


@dataclass(frozen=True)
class Shot:
    """One film, or why there is none."""

    group: str  # title
    map: str
    who: str  # label and seed of the run
    outcome: str  # won or lost
    file: str = ""  # below the folder of the study; empty: none
    width: int = 0
    height: int = 0
    text: str = ""  # how the battle ended and which episode it is, or why there is none

    @property
    def told(self) -> str:
        """In one line."""
        return f"{self.group}, {self.map}, {self.who}, {self.outcome}: {self.text}"

    def embedded(self, root: Path) -> dict[str, Any]:
        """As a page embeds it. Raises: StudyError if the file is missing."""
        try:
            content = (root / self.file).read_bytes()
        except FileNotFoundError as error:
            raise StudyError(f"{root / self.file}: missing; make the films again") from error
        return {
            "source": data_uri(content, "video/mp4"),
            "width": self.width,
            "height": self.height,
            "title": f"{self.who} on {self.map}: a battle that is {self.outcome}",
            "caption": f"{self.outcome.capitalize()}. {self.map} ({self.group}), {self.who}: {self.text}.",
        }


def make(study: Study, root: Path) -> Path:
    """Film a study whose own folder is `root` (results/<study>), into root/films. Returns: the list of films."""
    from analysis import store  # asks the training programs, and so needs torch
    from training.files import write_json

    shots: list[Shot] = []
    (root / NAME).parent.mkdir(parents=True, exist_ok=True)
    for group in study.groups.values():
        for runs in _candidates(study, group):
            places = {run: store.place(study, run, root) for run in runs}
            finished = [run for run, directory in places.items() if (directory / "done.json").is_file()]
            if finished:
                shots += [_film(study, group, finished[0], places[finished[0]], root, way) for way in OUTCOMES]
    write_json(root / NAME, [asdict(shot) for shot in shots])
    return root / NAME


def read(root: Path) -> list[Shot]:
    """The films of a study, [] where none were made. Raises: StudyError if the list cannot be read."""
    path = root / NAME
    try:
        return [Shot(**item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise StudyError(f"{path}: not a list of films ({error}); make the films again") from error


def _candidates(study: Study, group: Group) -> Iterator[list[Run]]:
    """For each map of the simulator the group's first MAZero's runs, by seed; none where another study has them."""
    if study.runs_of:
        return
    searching = [key for key in group.algorithms if study.algorithms[key].program == "mazero"]
    if group.backend == "skirmish" and searching:
        for name in group.maps:
            yield [Run(group.key, group.backend, name, searching[0], seed) for seed in group.seeds]


def _film(study: Study, group: Group, run: Run, directory: Path, root: Path, outcome: str) -> Shot:
    """One film, as small as it has to be."""
    who = f"{study.algorithms[run.algorithm].label}, seed {run.seed}"
    shot = Shot(group.title, run.map, who, outcome)
    if not (directory / "checkpoint.pt").is_file():
        return replace(shot, text="the policy of the run was not kept (checkpoint.pt)")
    file = Path(NAME).parent / f"{group.key}_{run.map}_{outcome}.mp4"
    seed = 0
    for size in SIZES:
        command = [
            sys.executable,
            "-m",
            "mazero",
            "watch",
            "--run",
            str(directory),
            "--out",
            str(root / file),
            "--force",
        ]
        command += ["--size", str(size), "--fps", str(FPS), "--loops-per-frame", str(LOOPS_PER_FRAME)]
        command += ["--outcome", outcome, "--tries", str(TRIES), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True)
        answer = ANSWER.search(done.stdout)
        if done.returncode or answer is None:
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            return replace(shot, text=reason.removeprefix("error: "))
        seed = int(answer["seed"])  # where a smaller one begins to look
        if (root / file).stat().st_size <= MOST_BYTES:
            text = f"{answer['end']}, episode seed {seed}"
            return replace(shot, file=str(file), width=int(answer["width"]), height=int(answer["height"]), text=text)
    (root / file).unlink()
    return replace(shot, text=f"longer than {MOST_BYTES / 1e6:g} MB of film at {SIZES[-1]} pixels")
