"""Preset `low_data` is what its written protocol chooses from the runs on record, and the page tells those runs."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean

from baselines import registry
from training.config import load_preset

TUNING = Path(__file__).resolve().parents[3] / "results" / "reference" / "tuning"
MAPS = ("3m", "2s_vs_1sc")  # chosen on
CONFIRMED = ("2m_vs_1z", "so_many_baneling")  # reported beside
GRID = tuple(f"qmix_eps{steps}_u{updates}" for steps in ("5k", "10k") for updates in (1, 4))
TIE = 0.02
LATE = 5  # last evaluations, all in the second half of these budgets


def rows() -> list[dict[str, str]]:
    with (TUNING / "baselines.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == "eval"]


def late() -> dict[tuple[str, str], float]:
    """Setting and map -> mean over seeds 100 and 101 of the mean of the last evaluations of a run."""
    runs: dict[tuple[str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows():
        assert (row["budget"], row["state"]) == ("30000", "finished")
        runs[row["name"], row["map"]][row["seed"]][int(row["env_steps"])] = float(row["win_rate"])
    assert all(set(seeds) == {"100", "101"} for seeds in runs.values())
    return {
        place: mean(mean(curve[step] for step in sorted(curve)[-LATE:]) for curve in seeds.values())
        for place, seeds in runs.items()
    }


def settings_of(name: str) -> tuple[int, int]:
    """Environment steps of the annealing and updates per episode, as the commands of the runs had them."""
    (changed,) = {row["changed"] for row in rows() if row["name"] == name}
    values = dict(word.split("=") for word in changed.split())
    return int(values["rollout.epsilon_steps"]), int(values["learning.updates_per_episode"])


def test_the_preset_is_the_outcome_of_the_protocol() -> None:
    scores = {name: mean(late()[name, place] for place in MAPS) for name in GRID}
    close = [name for name, score in scores.items() if score >= max(scores.values()) - TIE]
    steps, updates = min((settings_of(name) for name in close), key=lambda chosen: (chosen[1], -chosen[0]))
    entry = registry.find("qmix")
    preset = load_preset(entry.presets, "low_data", entry.config)
    assert (preset.rollout.epsilon_steps, preset.learning.updates_per_episode) == (steps, updates)


def test_the_page_tells_the_runs() -> None:
    scores = late()
    page = (TUNING / "README.md").read_text(encoding="utf-8")
    told = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0].startswith("`qmix_"):
            told[cells[0].strip("`")] = cells[1:]
    assert set(told) == {name for name, _ in scores}
    for name, cells in told.items():
        found = [scores.get((name, place)) for place in (*MAPS, *CONFIRMED)]
        found.insert(len(MAPS), mean(scores[name, place] for place in MAPS))
        assert cells == ["-" if score is None else f"{score:.2f}" for score in found]
