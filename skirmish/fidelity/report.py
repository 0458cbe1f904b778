"""Measured records as text, and the few numbers that say how near the simulator is."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from skirmish.fidelity import targets
from skirmish.fidelity.measure import Record
from skirmish.fidelity.study import BOARDS

LEAST_ALTERNATING = 0.95  # win rate of alternating fire; the real script won 10 of 10


@dataclass(frozen=True)
class Bar:
    """One summary number and the bar that it should reach."""

    name: str
    value: float
    bar: str  # as text; empty: for information, or not all maps of the bar were measured
    reached: bool


def summary(records: Sequence[Record]) -> list[Bar]:
    """The summary numbers that the records allow; sums over a part of their maps have no bar."""
    bars: list[Bar] = []

    def total(title: str, quantity: str, known: int, sign: float, bar: float | None) -> None:
        found = [r.score for r in records if r.quantity == quantity]
        if not found:
            return
        value = sign * sum(found) + 0.0  # no negative zero
        part = f" ({len(found)} of {known} maps)" if len(found) < known else ""
        text = "" if bar is None or part else f"{'>' if sign > 0 else '<='} {bar:g}"
        reached = bar is None or (value > bar if sign > 0 else value <= bar)
        bars.append(Bar(f"{title}{part}", value, text, reached))

    known = len(targets.target_maps())
    total("random lengths: sum of log10 p", "random length", known, 1.0, -8.0)
    least = [r.score for r in records if r.quantity == "random length"]
    if least:
        bars.append(Bar("random lengths: least log10 p", min(least), ">= -3", min(least) >= -3.0))
    total("means of 8 lengths: sum of log10 p", "random length, mean of 8", known, 1.0, None)
    total("untrained returns: sum of log10 p", "untrained return", known, 1.0, None)
    total("heuristic: squared error", "heuristic", len(targets.heuristic()), -1.0, 0.10)
    closest = len(targets.scripts("AC"))
    for quantity in BOARDS:
        bar = 1.0 if quantity == "attack closest" else None
        total(f"{quantity}: squared error", quantity, closest, -1.0, bar)
    for r in records:
        name = f"{r.quantity}, {r.map}"
        if r.quantity == "heuristic" and r.map == "corridor":
            bars.append(Bar(name, r.simulated, "<= 0.05", r.simulated <= 0.05))
        elif r.quantity == "alternating fire, 2 loops":
            bars.append(Bar(name, r.simulated, f">= {LEAST_ALTERNATING:g}", r.simulated >= LEAST_ALTERNATING))
        elif r.quantity == "head-on return" and r.map == "2s_vs_1sc":
            bars.append(Bar(name, r.simulated, "10.0 to 10.3", 10.0 <= r.simulated <= 10.3))
        elif r.quantity in ("kiting, 0.1 random", "step out and return", "faultless kiting"):
            bars.append(Bar(name, r.simulated, f">= {r.real:g}", r.simulated >= r.real))
    return bars


# How much a unit of each quantity's score weighs in `loss`: a bar's worth counts 1 where there is a bar.
WEIGHTS = {
    "random length": 1 / 8,
    "random length, mean of 8": 1 / 16,
    "untrained return": 1 / 16,
    "untrained share of 0": 1.0,
    "heuristic": 10.0,
    "attack closest": 1.0,
    "alternating fire, 2 loops": 1.0,
    "head-on return": 1.0,
    "kiting, 0.1 random": 1.0,
    "step out and return": 1.0,
    "faultless kiting": 1.0,
}


def loss(records: Sequence[Record]) -> float:
    """Weighted sum of minus the scores over the records, per map: 0 is perfect.

    Quantities without a weight (alternating fire at SMAC's pace, attack-closest under SMAC's order) only inform.
    Raises: ValueError without any record that has a weight.
    """
    weighed = [r for r in records if r.quantity in WEIGHTS]
    if not weighed:
        raise ValueError("a loss needs at least one record with a weight, got none: choose other maps or kinds")
    return -sum(WEIGHTS[r.quantity] * r.score for r in weighed) / len({r.map for r in weighed})


def records_table(records: Sequence[Record]) -> str:
    """One line per record."""
    width = max([3, *(len(r.map) for r in records)])
    name = max([8, *(len(r.quantity) for r in records)])
    lines = [f"{'map':{width}}  {'quantity':{name}}      real  simulated      n   error    score"]
    lines += [
        f"{r.map:{width}}  {r.quantity:{name}}  {r.real:8.3f}   {r.simulated:8.3f}  {r.n:5d}  "
        f"{r.error:+6.3f}  {r.score:7.3f}"
        for r in records
    ]
    return "\n".join(lines)


def summary_table(bars: Sequence[Bar]) -> str:
    """One line per summary number."""
    width = max([0, *(len(b.name) for b in bars)])
    verdict = {True: "reached", False: "missed"}
    return "\n".join(
        f"{b.name:{width}}  {b.value:8.3f}  {b.bar:12}  {verdict[b.reached] if b.bar else ''}".rstrip() for b in bars
    )


def write_csv(path: Path, records: Sequence[Record], label: str = "") -> None:
    """One row per record: the label of the case, then the fields of `Record` except the sample."""
    columns = [f.name for f in fields(Record) if f.name != "sample"]
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", *columns])
        writer.writerows([label, *(getattr(r, column) for column in columns)] for r in records)
    os.replace(part, path)
