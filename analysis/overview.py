"""All studies on one HTML page: `python -m analysis.overview --results results --out results/report.html`.

The claims first, then each study that has a report of its own, in short, with a link to it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import all_maps, claims, collect, page, recorded, report, tables
from analysis import evidence as evidences
from analysis.claims import Verdict
from analysis.evidence import Evidence
from analysis.plots import Plot, embed
from analysis.study import Study, StudyError
from training.files import write_text

TITLE = "The reproduction"
DESCRIPTION = (
    "MAZero (arXiv 2405.11778) reproduced, ablated and compared: what each claim of the paper comes to on our runs, "
    "and every study that has been made, in short."
)
FIG1 = "Expected value of the policy in the paper's bandit: behaviour cloning of the better of two draws, and AWPO."


def compose(studies: Sequence[Study], results: Path, *, verdicts: Sequence[Verdict]) -> str:
    """The page.

    Args: studies: whose folders below `results` hold a table and figures.
    Raises: StudyError if something of a study is missing or does not fit it.
    """
    shown = [_study(study, results / study.name) for study in studies]
    evidence = [item["evidence"] for item in shown]
    fig1 = results / "fig1" / "fig1.svg"
    has_fig1 = fig1.is_file()
    facts = page.cost_facts(evidence) if evidence else []
    studies_table = page.table_context("studies-all", "Studies", _studies(studies, evidence), "What has been made")
    for row, study in zip(studies_table["rows"], studies, strict=True):
        row[0]["link"] = f"#{study.name}"
    sections = [
        page.section("claims", "Claims"),
        page.section("studies", "Studies"),
        *([page.section("fig1", "Fig. 1")] if has_fig1 else []),
        *(page.section(study.name, study.name) for study in studies),
        page.section("provenance", "Provenance"),
    ]
    return page.render(
        "overview.html",
        title=TITLE,
        description=DESCRIPTION,
        part=_part(studies),
        sections=sections,
        claims_table=page.claims_context(verdicts),
        studies_table=studies_table,
        cost_facts=facts,
        fig1=embed(fig1, title="Fig. 1, the bandit", caption=FIG1) if has_fig1 else None,
        studies=shown,
        provenance=page.table_context("provenance-all", "Provenance", _provenance(studies, evidence), "What ran"),
    )


def write(studies: Sequence[Study], results: Path, out: Path, *, verdicts: Sequence[Verdict]) -> Path:
    """Write the page. Returns: the file."""
    return write_text(out, compose(studies, results, verdicts=verdicts))


def _study(study: Study, root: Path) -> dict[str, Any]:
    table = recorded.holding(root)
    if table is None:
        raise StudyError(f"{root}: no table of evaluations; collect the study first")
    frame = collect.read(table, study)
    aggregate = tables.make("aggregate", frame, study).drop(columns="unit_data", errors="ignore")
    return {
        "id": study.name,
        "title": study.name,
        "description": study.description,
        "part": study.part,
        "link": f"{study.name}/report.html",
        "figures": _figures(study, frame, root),
        "aggregate": page.table_context(f"{study.name}-aggregate", "", aggregate, page.TABLE_CAPTIONS["aggregate"]),
        "evidence": evidences.read(root),
    }


def _figures(study: Study, frame: pd.DataFrame, root: Path) -> list[Plot]:
    """The study over what the paper shows, curves or bars, or the win rates of its groups."""
    if study.all_maps:
        path = root / "figures" / f"{all_maps.NAME}.svg"
        return [embed(path, title=f"{study.name}: {all_maps.TITLE}", caption=all_maps.CAPTION)]
    if study.over_paper:
        path = root / "figures" / "over_paper.svg"
        return [embed(path, title=f"{study.name} over the paper's curves", caption=report.OVER_PAPER)]
    return [
        embed(
            root / "figures" / group.key / "win_rate.svg",
            title=f"{study.name}, {group.title}, backend {collect.made_by(frame, group)}",
            caption=f"{group.title}, backend {collect.made_by(frame, group)}: {report.CAPTIONS['win_rate']}",
        )
        for group in study.groups.values()
    ]


def _part(studies: Sequence[Study]) -> tuple[str, ...]:
    names = [study.name for study in studies if study.part]
    return (f"Not all runs of {', '.join(names)} are finished; what is drawn of them is said there.",) if names else ()


def _studies(studies: Sequence[Study], evidence: Sequence[Evidence]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "study": study.name,
                "reproduces": study.reproduces or "",
                "backends": ", ".join(dict.fromkeys(group.backend for group in study.groups.values())),
                "maps": len({name for group in study.groups.values() for name in group.maps}),
                "algorithms": len({key for group in study.groups.values() for key in group.algorithms}),
                "seeds": " to ".join(dict.fromkeys(map(str, _bounds(study)))),
                "runs": item.runs,
                "run_hours": item.wall_hours,
                "complete": "no" if study.part else "yes",
            }
            for study, item in zip(studies, evidence, strict=True)
        ]
    )


def _bounds(study: Study) -> tuple[int, int]:
    """Least and greatest number of seeds of a group."""
    counts = [len(group.seeds) for group in study.groups.values()]
    return min(counts), max(counts)


def _provenance(studies: Sequence[Study], evidence: Sequence[Evidence]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "study": study.name,
                "commit": ", ".join(item.commits),
                "sources": ", ".join(item.sources),
                "unit_data": ", ".join(item.unit_data),
                "machine": "; ".join(item.machines),
                "versions": "; ".join(item.versions),
            }
            for study, item in zip(studies, evidence, strict=True)
        ]
    ).rename(columns={"unit_data": "unit data"})


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.overview", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="page to write, HTML")
    claims.add_inputs(parser)
    arguments = parser.parse_args(argv)
    try:
        studies, verdicts = claims.judged(arguments)
        made = [study for study in studies.values() if (arguments.results / study.name / "report.html").is_file()]
        written = write(made, arguments.results, arguments.out, verdicts=verdicts)
    except StudyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{written}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
