"""Measured records as text, and the few numbers that say how near the simulator is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skirmish.fidelity.measure import Record


@dataclass(frozen=True)
class Bar:
    """One summary number and the bar that it should reach."""

    name: str
    value: float
    bar: str  # as text
    reached: bool


def select(records: Sequence[Record], quantity: str, maps: Sequence[str] | None = None) -> list[Record]:
    """Records of a quantity, by its name or the beginning of its name before a comma."""
    return [
        r
        for r in records
        if (r.quantity == quantity or r.quantity.startswith(quantity + ",")) and (maps is None or r.map in maps)
    ]


def summary(records: Sequence[Record]) -> list[Bar]:
    """The summary numbers that the records allow, each with its bar."""
    bars: list[Bar] = []

    def add(name: str, value: float, bar: str, reached: bool) -> None:
        bars.append(Bar(name, value, bar, reached))

    lengths = [r for r in records if r.quantity == "random length"]
    if lengths:
        total, least = sum(r.score for r in lengths), min(r.score for r in lengths)
        add("random lengths, sum of log10 p", total, "> -8", total > -8.0)
        add("random lengths, least log10 p", least, ">= -3", least >= -3.0)
    eights = [r for r in records if r.quantity == "random length, mean of 8"]
    if eights:
        add("means of 8 lengths, sum of log10 p", sum(r.score for r in eights), "", True)
    untrained = select(records, "untrained return")
    if untrained:
        add("untrained returns, sum of log10 p", sum(r.score for r in untrained), "", True)
    published = select(records, "heuristic")
    if published:
        error = -sum(r.score for r in published)
        add("heuristic, squared error", error, "<= 0.10", error <= 0.10)
        for r in select(published, "heuristic", ["corridor"]):
            add("heuristic, corridor", r.simulated, "<= 0.05", r.simulated <= 0.05)
    closest = select(records, "attack closest")
    if closest:
        error = -sum(r.score for r in closest)
        add("attack closest, squared error", error, "<= 1.0", error <= 1.0)
    for r in select(records, "alternating fire, 2 loops"):
        add(f"alternating fire, {r.map}", r.simulated, ">= 0.95", r.simulated >= 0.95)
    for r in select(records, "head-on return", ["2s_vs_1sc"]):
        add("head-on return, 2s_vs_1sc", r.simulated, "10.0 to 10.3", 10.0 <= r.simulated <= 10.3)
    for quantity in ("kiting", "step out and return", "faultless kiting"):
        for r in select(records, quantity):
            add(f"{r.quantity}, {r.map}", r.simulated, f">= {r.real:g}", r.simulated >= r.real)
    return bars


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
