"""Numbers of pages, held against the files they come from: `python -m analysis.cited [PAGE.md ...] [--write]`.

A number that comes from a file says so in a comment right behind it, which Markdown does not show:

    0.93<!--= mean win_rate results/reference/fig3/evaluations.csv map=3m algorithm=mazero mark=10000 -->
    34<!--= value results.0.steps_per_second results/reference/benchmarks/rivals_low_data.json -->
    2.3<!--= sum hours results/reference/fig3/costs.csv algorithm=mazero,qmix times=24 -->

First the statistic (`value` of the only row, `mean`, `least`, `most`, `sum`, `count`, or `different`: how many distinct
ones), then a column of a CSV file or a dotted path in a JSON file, the file seen from the root of the repository, and
which rows of it, each condition a column and one or more values. `times=` multiplies. A number with a percent sign
behind it is a hundred times what the file says. It must be what the file says, rounded to the decimals that are
written.

Whole tables are made from a study's evaluations and stand between two comments:

    <!--= curves results/reference/fig3/evaluations.csv map=3m at=5000,10000 algorithm=mazero,qmix -->
    <!--/ -->

Win rates by mark, mean over seeds and in brackets the least, the absolute metric, and the paper's curves below.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.paper_curves import paper_curve
from training.files import write_text

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"(?P<number>[-−]?\d[\d,]*(?:\.\d+)?)(?P<unit> ?%)?<!--= (?P<source>[^>]*?) -->")
TABLE = re.compile(r"<!--= (?P<source>curves [^>]*?) -->\n(?P<text>.*?)<!--/ -->", re.DOTALL)
MARK = re.compile(r"<!--= ")
STATISTICS: dict[str, Callable[[pd.Series], float]] = {
    "value": lambda values: float(values.item()),
    "mean": lambda values: float(values.mean()),
    "least": lambda values: float(values.min()),
    "most": lambda values: float(values.max()),
    "sum": lambda values: float(values.sum()),
    "count": lambda values: float(values.count()),
    "different": lambda values: float(values.nunique()),
}
SHAPE = "a source is STATISTIC COLUMN FILE KEY=VALUE..., or curves FILE map=MAP at=STEPS"


class CitedError(ValueError):
    """A source that cannot be read, or says nothing; the message tells what and why."""


def renewed(text: str, *, root: Path = ROOT) -> tuple[str, list[str]]:
    """A page as its sources have it.

    Args: text: Markdown.    root: from where sources are seen.
    Returns: the page with every cited number and table renewed, and what was wrong, a line each: numbers that are not
      what their file says, sources that cannot be read (what they stand behind is left as it is).
    """
    faults: list[str] = []

    def line_of(found: re.Match[str]) -> int:
        return found.string.count("\n", 0, found.start()) + 1

    def number(found: re.Match[str]) -> str:
        written = found["number"]
        try:
            value = figure(found["source"], root=root) * (100 if found["unit"] else 1)
        except CitedError as error:
            faults.append(f"{line_of(found)}: {error}")
            return found[0]
        right = _as_written(value, written)
        if right != written:
            faults.append(f"{line_of(found)}: {written} must be {right}: {found['source']}")
        return right + found[0][len(written) :]

    def table(found: re.Match[str]) -> str:
        try:
            right = curves(found["source"], root=root)
        except CitedError as error:
            faults.append(f"{line_of(found)}: {error}")
            return found[0]
        if right != found["text"]:
            faults.append(f"{line_of(found)}: the table is another now: {found['source']}")
        return f"<!--= {found['source']} -->\n{right}<!--/ -->"

    cited = [found.end("unit") if found["unit"] else found.end("number") for found in NUMBER.finditer(text)]
    cited += [found.start() for found in TABLE.finditer(text)]
    for found in MARK.finditer(text):
        if found.start() not in cited:
            faults.append(f"{line_of(found)}: a source behind no number, or of a table that no <!--/ --> ends: {SHAPE}")
    return TABLE.sub(table, NUMBER.sub(number, text)), faults


def _as_written(value: float, written: str) -> str:
    """The value with the decimals, separators and sign of what is written."""
    decimals = len(written.partition(".")[2])
    text = f"{value:{',' if ',' in written else ''}.{decimals}f}"
    return text.replace("-", "−") if written.startswith("−") else text


def figure(source: str, *, root: Path = ROOT) -> float:
    """The number that a source names. Raises: CitedError."""
    parts = source.split()
    if len(parts) < 3 or parts[0] not in STATISTICS:
        raise CitedError(f"{source!r}: {SHAPE}, with one of {', '.join(STATISTICS)}")
    statistic, column, file = parts[:3]
    conditions = _conditions(source, parts[3:])
    (factor,) = conditions.pop("times", ["1"])
    path = _file(root, file)
    if path.suffix == ".json":
        if statistic != "value" or conditions:
            raise CitedError(f"{source!r}: of a JSON file a source takes one value, by its dotted path, and no rows")
        return _entry(path, column) * float(factor)
    rows = _rows(_table(path), conditions, source)
    if column not in rows.columns:
        raise CitedError(f"{file} has no column {column!r}: it has {', '.join(rows.columns)}")
    values = rows[column].dropna()
    if statistic == "value" and len(values) != 1:
        raise CitedError(
            f"{source!r}: {len(values)} rows where one is expected: add conditions, or take another statistic"
        )
    if not len(values):
        raise CitedError(f"{source!r}: no rows")
    return STATISTICS[statistic](values) * float(factor)


def curves(source: str, *, root: Path = ROOT) -> str:
    """The table that a source names, Markdown. Raises: CitedError."""
    file, *rest = source.split()[1:]
    conditions = _conditions(source, rest)
    marks = [int(mark) for mark in conditions.pop("at", [])]
    if not marks or len(conditions.get("map", [])) != 1:
        raise CitedError(f"{source!r}: a table of curves needs one map=MAP and the steps at=5000,10000,...")
    name = conditions["map"][0]
    rows = _rows(_table(_file(root, file)), conditions, source)
    order = conditions.get("algorithm") or list(dict.fromkeys(rows["algorithm"]))
    head = "| mean (least) | " + " | ".join(f"{mark / 1000:g}k" for mark in marks) + " | absolute |"
    lines, papers = [head, "|---|" + "---|" * (len(marks) + 1)], []
    for algorithm in order:
        of_algorithm = rows[rows["algorithm"] == algorithm]
        if of_algorithm.empty:
            raise CitedError(f"{source!r}: no rows of {algorithm!r}")
        cells = [_cell(of_algorithm[of_algorithm["mark"] == mark], "win_rate", source) for mark in marks]
        cells.append(_cell(of_algorithm.drop_duplicates("seed"), "absolute_win_rate", source))
        label, seeds = str(of_algorithm["label"].iloc[0]), of_algorithm["seed"].nunique()
        lines.append(f"| {label}, {seeds} seed{'s' * (seeds > 1)} | {' | '.join(cells)} |")
        papers.append(label.partition(" (")[0])
    for method in dict.fromkeys(papers):
        curve = paper_curve(name, method)
        if curve is not None:
            there = ["-" if np.isnan(value) else f"{value:.2f}" for value in curve.at(marks)]
            lines.append(f"| {method}, the paper | {' | '.join(there)} | - |")
    return "".join(f"{line}\n" for line in lines)


def _cell(rows: pd.DataFrame, column: str, source: str) -> str:
    values = rows[column]
    if values.isna().any() or not len(values):
        raise CitedError(f"{source!r}: no {column} at one of the marks")
    return f"{values.mean():.2f} ({values.min():.2f})"


def _conditions(source: str, parts: list[str]) -> dict[str, list[str]]:
    pairs = [part.partition("=") for part in parts]
    if not all(key and equals and value for key, equals, value in pairs):
        raise CitedError(f"{source!r}: {SHAPE}")
    return {key: value.split(",") for key, _, value in pairs}


def _rows(table: pd.DataFrame, conditions: dict[str, list[str]], source: str) -> pd.DataFrame:
    for key, wanted in conditions.items():
        if key not in table.columns:
            raise CitedError(f"{source!r}: the file has no column {key!r}, it has {', '.join(table.columns)}")
        known = table[key].astype(str)
        absent = [value for value in wanted if value not in set(known)]
        if absent:
            raise CitedError(f"{source!r}: no row has {key}={absent[0]}")
        table = table[known.isin(wanted)]
    return table


def _entry(path: Path, dotted: str) -> float:
    value: Any = json.loads(path.read_text())
    for part in dotted.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise CitedError(f"{path.name}: nothing at {part!r} of {dotted!r}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CitedError(f"{path.name}: {dotted!r} is no number, but {value!r}")
    return float(value)


def _file(root: Path, name: str) -> Path:
    path = root / name
    if not path.is_file():
        raise CitedError(f"no file {name}: sources are seen from the root of the repository")
    return path


@cache
def _table(path: Path) -> pd.DataFrame:
    """A CSV file, texts as they stand: versions such as 4.10 are no numbers; `mark` of runs that were tried."""
    table = pd.read_csv(path, dtype={"unit_data": str, "commit": str})
    if "mark" not in table.columns and "env_steps" in table.columns:
        table["mark"] = (table["env_steps"] / 100).round().astype(int) * 100  # vector steps end a little behind it
    return table


def pages(root: Path = ROOT) -> list[Path]:
    """All Markdown files under version control."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in listed.splitlines()]


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: 1 if a page is not as its sources have it."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.cited", description="numbers of pages against their files"
    )
    parser.add_argument("pages", nargs="*", type=Path, help="Markdown files (default: all of the repository)")
    parser.add_argument("--write", action="store_true", help="renew what is not as its source has it")
    arguments = parser.parse_args(argv)
    faults = 0
    for page in arguments.pages or pages():
        if not page.is_file():
            parser.error(f"no page {page}: give Markdown files")
        text = page.read_text()
        right, wrong = renewed(text)
        faults += len(wrong)
        sys.stdout.write("".join(f"{page}:{fault}\n" for fault in wrong))
        if arguments.write and right != text:
            write_text(page, right)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
