"""The report of a study: one Markdown page that shows its figures and tables and says what they rest on."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from types import ModuleType

import pandas as pd

from analysis import agent_costs, all_maps
from analysis.aggregates import REPETITIONS
from analysis.collect import as_csv, made_by, unit_data
from analysis.evidence import PUBLISHED, Evidence
from analysis.evidence import write as keep
from analysis.formats import markdown
from analysis.statistics import CONFIDENCE
from analysis.study import FIGURES, STARCRAFT, TABLES, Group, Study, StudyError
from training.files import write_text
from training.metrics import ABSOLUTE_TIMES

CAPTIONS = {
    "win_rate": "Win rate of greedy evaluation episodes over environment steps: mean over seeds, interval, seeds.",
    "return": "Mean return of the same evaluation episodes.",
    "hours": "Win rate over wall time, as Fig. 4 of the paper; runs that were made side by side slow each other down.",
    "sample_efficiency": "Interquartile mean of the win rate over all runs and maps of the group.",
    "profile": "Performance profiles: share of runs, of all maps, whose last win rate is above a threshold.",
    "final": "Win rate of the last evaluation, with every seed; diamond: absolute, a run's best policy played again. "
    "In the tables, late is the mean over the last five evaluations of the second half of the budget.",
    "area": "Area under the curve of win rates, as a share of the budget: the mean win rate on the way.",
    "improvement": "Probability that a run of the first algorithm beats a run of another, ties counting one half.",
    "differences": "Final win rate of the first algorithm minus another's, runs with the same seed paired.",
    "steps_to": "Environment steps to the first evaluation at or above a win rate; triangles: seeds never there.",
    "hours_to": "Hours of wall time to the same; triangles stand where runs ended without.",
}
OVER_PAPER = (
    "Win rate over the paper's curves (grey, on StarCraft II and smoothed): mean over seeds and interval, ours on the "
    "backend named above it, not smoothed."
)
TABLE_TITLES = {
    "runs": "All runs",
    "final": "Per map and algorithm",
    "search": "With and without search at evaluation (Table 8 of the paper, which is of StarCraft II)",
    "published": "Beside published figures, which are of StarCraft II",
    "returns": "Returns beside Table 9 of the paper",
    "aggregate": "Over maps and runs",
    "improvement": "Probability of improvement",
    "differences": "Differences between runs with the same seed",
    "steps_to": "Environment steps and hours to a win rate",
}
# Tables that stand in the page, and what is left out there: it says the same in every row or stands elsewhere.
TABLE_HIDDEN: dict[str, tuple[str, ...]] = {
    "final": ("eval_episodes", "episodes_per_run"),
    "search": ("group",),
    "published": ("group",),
    "returns": ("group",),
    "aggregate": (),
    "improvement": (),
    "steps_to": (),
}


def compose(
    frame: pd.DataFrame, study: Study, evidence: Evidence, tables: dict[str, pd.DataFrame], *, sha256: str | None = None
) -> str:
    """The page, with links relative to the directory it lies in (results/<study>).

    Args:
      tables: name -> table, as of `analysis.tables.make`.
      sha256: of evaluations.csv, if that is not what `collect.as_csv` makes of the frame: a table of an older format.
    """
    lines = [f"# {study.name}", "", study.description, ""]
    if study.part:
        lines += ["> **Partial.** " + "  \n> ".join(study.part), ""]
    lines += ["## What was measured", ""]
    for group in study.groups.values():
        lines += [_protocol(group, study, unit_data(frame, group)), ""]
    lines += [intervals(study), ""]
    lines += ["Algorithms:", ""]
    for key, algorithm in study.algorithms.items():
        changes = ", ".join(f"{name} = {value}" for name, value in algorithm.overrides.items()) or "no override"
        own = f", preset {algorithm.preset}" if algorithm.preset else ""
        lines.append(f"- **{algorithm.label}** (`{key}`): `{algorithm.program}`, {algorithm.family}{own}, {changes}")
    lines += ["", "## Results", ""]
    if study.over_paper:
        lines += [f"![{OVER_PAPER}](figures/over_paper.png)", "", f"*{OVER_PAPER}*", ""]
    for part in _extras(study):
        files = f"[table](tables/{part.NAME}.md), [CSV](tables/{part.NAME}.csv)"
        lines += [f"### {part.TITLE}", "", f"![{part.TITLE}](figures/{part.NAME}.png)", ""]
        lines += [f"*{part.CAPTION}* {files}", ""]
    for name in TABLE_HIDDEN:
        if len(tables[name]):
            lines += [f"### {TABLE_TITLES[name]}", "", _table(tables[name], name), ""]
    for group in study.groups.values():
        lines += [f"## Figures: {group.title} (backend {made_by(frame, group)})", ""]
        for figure in FIGURES:
            path = f"figures/{group.key}/{figure}.png"
            lines += [
                f"![{group.title}, backend {made_by(frame, group)}: {CAPTIONS[figure]}]({path})",
                "",
                f"*{CAPTIONS[figure]}*",
                "",
            ]
    lines += [
        "## Where the numbers come from",
        "",
        *evidence.lines(),
        "",
        "Commands of the first run of each algorithm:",
        "",
    ]
    lines += ["```", *evidence.commands.values(), "```", ""]
    files = ", ".join(f"[{name}](tables/{name}.csv)" for name in TABLES)
    lines += [
        f"All {len(frame):,} evaluations: [evaluations.csv](evaluations.csv), {_seal(sha256 or digest(frame))}."
        f" Tables as CSV: {files}."
    ]
    return "\n".join([*lines, ""])


def _extras(study: Study) -> list[ModuleType]:
    """What draws a figure and a table of the whole study, of those that it asks for."""
    return [part for part, wanted in ((all_maps, study.all_maps), (agent_costs, study.agent_costs)) if wanted]


def digest(frame: pd.DataFrame) -> str:
    """SHA-256 of a table as `evaluations.csv` holds it: what ties a page to its table."""
    return hashlib.sha256(as_csv(frame).encode()).hexdigest()


def _seal(sha256: str) -> str:
    return f"SHA-256 `{sha256}`"


def publish(
    study: Study, root: Path, out: Path, *, frame: pd.DataFrame, evidence: Evidence, command: str
) -> list[Path]:
    """Copy what is worth committing (evaluations, PNG figures, tables, report) and write evidence.json and COMMAND.md.

    Args:
      root: results/<study>, with a finished report.    out: results/reference/<study>; of what lies there, figures and
        tables of the kinds that a study leaves behind are replaced, other files are left alone.
      frame: what `collect` makes of the runs now.    command: what a person types to make the study again.
    Raises: StudyError, before anything is replaced, naming the first file that is missing, or if table or report are
      not those of the runs as they are now.
    """
    names = ["evaluations.csv", "report.md"]
    names += [f"figures/{group}/{figure}.png" for group in study.groups for figure in FIGURES]
    names += ["figures/over_paper.png"] if study.over_paper else []
    for part in _extras(study):
        names += [f"figures/{part.NAME}.png", f"tables/{part.NAME}.csv", f"tables/{part.NAME}.md"]
    names += [f"tables/{table}.{suffix}" for table in TABLES for suffix in ("csv", "md")]
    for name in names:
        if not (root / name).is_file():
            raise StudyError(f"{root / name}: missing; run the study to its end first, then publish")
    table, page = ((root / name).read_text(encoding="utf-8", errors="replace") for name in names[:2])
    for name, current in (("evaluations.csv", table == as_csv(frame)), ("report.md", _seal(digest(frame)) in page)):
        if not current:
            raise StudyError(
                f"{root / name}: not of the runs that lie there now; make it again (collect, figures, tables, report)"
            )
    kept = {out / name for name in names}
    old = [path for figure in FIGURES for path in out.glob(f"figures/*/{figure}.png")]
    for path in {*old} - kept:
        path.unlink()
    written = []
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        written.append(Path(shutil.copyfile(root / name, out / name)))
    lines = [f"# How {study.name} was made", "", study.description, "", "```", command, "```", "", *evidence.lines()]
    lines += [f"- backend: {', '.join(sorted({group.backend for group in study.groups.values()}))}"]
    lines += [f"- seeds: {_seeds(study)}", "", "One run alone, per algorithm:", ""]
    lines += ["```", *evidence.commands.values(), "```", ""]
    return [*written, keep(evidence, out), write_text(out / PUBLISHED, "\n".join(lines))]


def _table(table: pd.DataFrame, name: str) -> str:
    """A table for the page: without columns that say the same in every row of the study or stand elsewhere."""
    return markdown(table.drop(columns=[*TABLE_HIDDEN[name], "unit_data"], errors="ignore")).rstrip()


def _protocol(group: Group, study: Study, units: str) -> str:
    own = {key: preset for key in group.algorithms if (preset := study.algorithms[key].preset)}
    presets = ", ".join(f"{name}: {preset}" for name, preset in [*group.presets.items(), *own.items()])
    text = (
        f"**{group.title}** on backend `{group.backend}`: {', '.join(group.maps)}; {group.env_steps:,} environment"
        f" steps per run, evaluated every {group.eval_every:,} on {study.evaluation(group)}"
        f" (absolute: {ABSOLUTE_TIMES} times as many, by the policy of the best evaluation); seeds"
        f" {', '.join(map(str, group.seeds))}; presets {presets}."
    )
    if group.env:
        text += f" Environment options: {', '.join(f'{name} = {value}' for name, value in group.env.items())}."
    if group.backend == "gymnasium":
        text += " A win is a return of at least 200, from where Gymnasium calls the task solved; compare the returns."
    if group.backend == "skirmish":
        text += f" `skirmish` is this suite's own simulator, not StarCraft II; its unit data: {units}."
    if group.backend in STARCRAFT:
        text += f" Played through the official package `{group.backend}`; the game: {units}."
    return text


def intervals(study: Study) -> str:
    """What the intervals are, and what they are not where there are few seeds."""
    return (
        f"Intervals are {CONFIDENCE:.0%} percentile intervals of a stratified bootstrap over seeds"
        f" ({REPETITIONS:,} repetitions, arXiv 2108.13264). {caution(study)}"
    )


def caution(study: Study) -> str:
    """What few seeds do not show, of the group that has fewest; it is named where another has more."""
    counts = {group.title: len(group.seeds) for group in study.groups.values()}
    count = min(counts.values())
    fewest = [title for title, number in counts.items() if number == count]
    where = f" ({', '.join(fewest)})" if len(fewest) < len(counts) else ""
    if count == 1:
        text = "With a single seed per map{} they have no width: nothing can be said about the spread between seeds."
        return text.format(where)
    if count < 5:
        return f"With {count} seeds{where} they show little more than the range of what was seen: read them as such."
    return ""


def _seeds(study: Study) -> str:
    """The seeds of all groups, or those of each group where they differ."""
    texts = {group.title: ", ".join(map(str, group.seeds)) for group in study.groups.values()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{title}: {text}" for title, text in texts.items())
