"""The report of a study as one HTML file: claims first, sortable tables, figures and films inside, no network.

`report.py` makes the Markdown page of the same results, which reads well in a repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis import agent_costs, all_maps, claims, report
from analysis.claims import Verdict
from analysis.collect import made_by
from analysis.evidence import Evidence
from analysis.films import Shot
from analysis.formats import cells
from analysis.plots import embed
from analysis.study import FIGURES, STARCRAFT, Group, Study
from training.metrics import ABSOLUTE_TIMES

TEMPLATES = Path(__file__).parent / "templates"
FOLDED = 40  # rows: longer tables are folded
CLAIMS_CAPTION = (
    "Claims of the paper and open questions, held against these runs. Which verdict is reached when: "
    "analysis/claims.py; the claims: workflow/claims.yaml."
)
CLAIM_COLUMNS = (
    "claim", "verdict", "difference", "difference_low", "difference_high", "difference_in_paper", "against", "metric",
    "margin", "source", "scope", "the_paper_on_itself",
)  # fmt: skip
TABLE_CAPTIONS = {
    "runs": "One row a run: where it ended and what it took.",
    "final": "Means over seeds with intervals; late: mean over the last five evaluations of the second half; absolute: "
    "a run's best policy, played again on other seeds.",
    "search": "The last evaluation with search and without it, where every agent takes its own most likely action.",
    "published": "Published figures are of StarCraft II: read the two side by side, never as one.",
    "aggregate": "Over maps and runs: interquartile mean, mean, median and optimality gap of final win rates.",
    "improvement": "Probability that a run of the reference beats one of the other algorithm, ties counting one half.",
    "differences": "Win rate of the reference minus that of the other algorithm, runs with the same seed paired; "
    "ahead: share of pairs in which it is.",
    "steps_to": "Environment steps and hours to the first evaluation at or above a win rate; a dash where half of the "
    "seeds do not get there.",
}


def compose(
    frame: pd.DataFrame,
    study: Study,
    evidence: Evidence,
    tables: dict[str, pd.DataFrame],
    *,
    verdicts: Sequence[Verdict],
    shots: Sequence[Shot],
    root: Path,
    sha256: str | None = None,
) -> str:
    """The page.

    Args:
      tables: name -> table, as of `analysis.tables.make`.    verdicts: on the claims that rest on this study.
      shots: its films.    root: folder of the study, with its figures as SVG.
      sha256: as of `report.compose`.
    Raises: StudyError if a figure is missing.
    """
    groups = [_group(group, study, frame, root) for group in study.groups.values()]
    shown = [
        table_context(name, report.TABLE_TITLES.get(name, name), _without(table, name), TABLE_CAPTIONS.get(name, ""))
        for name, table in tables.items()
        if len(table)
    ]
    films = [shot.embedded(root) for shot in shots if shot.file]
    sections = [
        section("claims", "Claims"),
        section("measured", "What was measured", [(group["id"], group["title"]) for group in groups]),
        section("figures", "Figures", [(f"figures-{group['id']}", group["title"]) for group in groups]),
        section("tables", "Tables", [(item["id"], item["title"]) for item in shown]),
        *([section("films", "Films")] if shots else []),
        section("cost", "Cost"),
        section("provenance", "Provenance"),
    ]
    over_paper = None
    if study.over_paper:
        path = root / "figures" / "over_paper.svg"
        over_paper = embed(path, title="Over the paper's curves", caption=report.OVER_PAPER)
    together = None
    if study.all_maps:
        path = root / "figures" / f"{all_maps.NAME}.svg"
        together = embed(path, title=all_maps.TITLE, caption=all_maps.CAPTION)
    costs = None
    path = root / "figures" / f"{agent_costs.NAME}.svg"
    if study.agent_costs and path.is_file():  # not where a page is drawn anew without the runs
        costs = embed(path, title=agent_costs.TITLE, caption=agent_costs.CAPTION)
    return render(
        "study.html",
        title=study.name,
        description=study.description,
        part=study.part,
        sections=sections,
        claims_table=claims_context(verdicts),
        groups=groups,
        intervals=report.intervals(study),
        algorithms=table_context("algorithms", "Algorithms", _algorithms(study), "Algorithms"),
        over_paper=over_paper,
        all_maps=together,
        agent_costs=costs,
        tables=shown,
        films=films,
        unfilmed=[shot.told for shot in shots if not shot.file],
        cost_facts=cost_facts([evidence]),
        cost=table_context(
            "cost-by", "Cost", cost(tables["runs"], study, evidence), "What the runs of each algorithm took"
        ),
        provenance=_provenance(study, evidence, frame),
        identities=table_context(
            "identities", "Identities", _identities(study, evidence), "Hash of all that a run resolves to"
        ),
        commands=list(evidence.commands.values()),
        seal=f"All {len(frame):,} evaluations: evaluations.csv, SHA-256 {sha256 or report.digest(frame)}. "
        "Tables as CSV, Markdown and LaTeX: folder tables.",
    )


def render(template: str, **context: Any) -> str:
    """A page from its template; what is missing in `context` is an error, not a gap."""
    return _environment().get_template(template).render(**context)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def section(key: str, title: str, parts: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    """One entry of the contents."""
    return {"id": key, "title": title, "parts": [{"id": part, "title": text} for part, text in parts]}


def table_context(key: str, title: str, table: pd.DataFrame, caption: str) -> dict[str, Any]:
    """A table as the templates show it."""
    heads, rows = cells(table)
    shown: list[list[Any]] = [[{**cell._asdict(), "link": ""} for cell in row] for row in rows]
    return {
        "id": key, "title": title, "caption": caption, "heads": heads, "rows": shown, "folded": len(rows) > FOLDED
    }  # fmt: skip


def claims_context(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The table of claims, verdicts next to what they are on; columns that say nothing are left out."""
    table = claims.table(list(verdicts)).reindex(columns=list(CLAIM_COLUMNS))
    if len(table) and not table["the_paper_on_itself"].any():
        table = table.drop(columns="the_paper_on_itself")
    return table_context("claims-all", "Claims", table, f"{claims.counted(verdicts)} {CLAIMS_CAPTION}")


def cost(runs: pd.DataFrame, study: Study, evidence: Evidence) -> pd.DataFrame:
    """One row a group and algorithm: what its runs took. `runs`: the table of that name, of `analysis.tables`."""
    rows = []
    for group in study.groups.values():
        for key in group.algorithms:
            own = runs[(runs["group"] == group.key) & (runs["algorithm"] == key)]
            hours = own["wall_minutes"].sum() / 60
            rows.append(
                {
                    "group": group.title,
                    "label": study.algorithms[key].label,
                    "runs": len(own),
                    "core_hours": hours * study.threads,
                    "minutes_per_run": own["wall_minutes"].mean(),
                    "longest_minutes": own["wall_minutes"].max(),
                    "steps_per_second": own["env_steps"].sum() / (3600 * hours) if hours else float("nan"),
                    "peak_memory_mb": evidence.memory_mb.get(key, float("nan")),
                }
            )
    return pd.DataFrame(rows)


def cost_facts(evidence: Sequence[Evidence]) -> list[tuple[str, str]]:
    """What all runs took together."""
    memory = [peak for item in evidence for peak in item.memory_mb.values()]
    return [
        ("Runs", f"{sum(item.runs for item in evidence):,}"),
        ("Environment steps", f"{sum(item.env_steps for item in evidence):,}"),
        ("Run time in all", f"{sum(item.wall_hours for item in evidence):.2f} hours"),
        ("Longest run", f"{max(item.longest_minutes for item in evidence):.1f} minutes"),
        ("Threads per run", "; ".join(dict.fromkeys(", ".join(item.threads) for item in evidence))),
        ("Most memory of a run", f"{max(memory):,.0f} MB" if memory else "not measured"),
    ]


def group_facts(group: Group, study: Study, frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The protocol of a group."""
    presets = {
        key: study.algorithms[key].preset or group.presets[study.algorithms[key].family] for key in group.algorithms
    }
    named: dict[str, list[str]] = {}
    for key, preset in presets.items():
        named.setdefault(preset, []).append(study.algorithms[key].label)
    own = "skirmish is this suite's own simulator, not StarCraft II" if group.backend == "skirmish" else ""
    if group.backend in STARCRAFT:
        own = f"through the official package {group.backend}"
    options = ", ".join(f"{name} = {value}" for name, value in group.env.items())
    return [
        ("Backend", "; ".join(filter(None, (made_by(frame, group), own)))),
        ("Maps", ", ".join(group.maps)),
        ("Budget", f"{group.env_steps:,} environment steps per run"),
        ("Evaluation", f"every {group.eval_every:,} steps on {study.evaluation(group)}; absolute: "
         f"{ABSOLUTE_TIMES} times as many, by the policy of the best evaluation"),
        ("Seeds", ", ".join(map(str, group.seeds))),
        ("Presets", "; ".join(f"{preset}: {', '.join(labels)}" for preset, labels in named.items())),
        *([("Environment options", options)] if options else []),
    ]  # fmt: skip


def _group(group: Group, study: Study, frame: pd.DataFrame, root: Path) -> dict[str, Any]:
    made = made_by(frame, group)
    plots = [
        embed(
            root / "figures" / group.key / f"{name}.svg",
            title=f"{group.title}, backend {made}: {name.replace('_', ' ')}",
            caption=report.CAPTIONS.get(name, name.replace("_", " ")),
            id=f"{group.key}-{name}",
        )
        for name in FIGURES
    ]
    facts = group_facts(group, study, frame)
    return {"id": f"group-{group.key}", "title": group.title, "made_by": made, "facts": facts, "figures": plots}


def _without(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Without the columns that the Markdown page leaves out too."""
    return table.drop(columns=[*report.TABLE_HIDDEN.get(name, ()), "unit_data"], errors="ignore")


def _algorithms(study: Study) -> pd.DataFrame:
    shown = {key for group in study.groups.values() for key in group.algorithms}
    return pd.DataFrame(
        [
            {
                "label": item.label,
                "program": item.program,
                "family": item.family,
                "own_preset": item.preset or "",
                "overrides": ", ".join(f"{name} = {value}" for name, value in item.overrides.items()),
            }
            for key, item in study.algorithms.items()
            if key in shown
        ]
    )


def _provenance(study: Study, evidence: Evidence, frame: pd.DataFrame) -> list[tuple[str, str]]:
    groups = study.groups.values()
    seeds = dict.fromkeys(", ".join(map(str, group.seeds)) for group in groups)
    return [
        ("Backend", "; ".join(dict.fromkeys(made_by(frame, group) for group in groups))),
        ("Commit", ", ".join(evidence.commits)),
        ("Sources", f"SHA-256 of code, presets and data: {', '.join(evidence.sources)}"),
        ("Versions", "; ".join(evidence.versions)),
        ("Machine", "; ".join(evidence.machines)),
        ("Seeds", "; ".join(seeds)),
    ]


def _identities(study: Study, evidence: Evidence) -> pd.DataFrame:
    labels = {key: item.label for key, item in study.algorithms.items()}
    return pd.DataFrame(
        [
            {"group": group, "map": name, "label": labels[key], "identity": identity}
            for group, name, key, identity in evidence.identities
            if key in labels
        ],
        columns=["group", "map", "label", "identity"],
    )
