"""Command line: collect, figures, tables, films, report, redraw, publish and progress of one study.

Every command takes the directory of the study, results/<study>; the study file is found by that name, or given by
--study. `redraw` takes the directory of all results too.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import partial, recorded
from analysis.study import Study, StudyError
from analysis.study_files import CLAIMS, STUDIES, load_study
from analysis.variants import LAPTOP, add_flags, options, variant

if TYPE_CHECKING:
    import pandas as pd

# Each command imports what it needs: pandas and matplotlib take seconds that `progress` and `--help` need not wait for.


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns: exit code; a mistake of the caller is one line on stderr and 2."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "redraw" and not arguments.study and _holds_studies(arguments.root):
            return _redraw_all(arguments)
        study = _study(arguments)
        COMMANDS[arguments.command](arguments, study)
    except StudyError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _collect(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import collect, evidence

    frame = collect.collect(study, arguments.root)
    paths = [arguments.root / "evaluations.csv", arguments.root / "evaluations.parquet"]
    collect.write(frame, *paths)
    paths.append(evidence.write(evidence.gather(study, arguments.root), arguments.root))
    paths.append(recorded.write(arguments.root, arguments.stem, options(arguments), arguments.parts))
    _say(f"{len(frame)} evaluations of {len(list(study.runs()))} runs", *paths)


def _figures(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import figures

    frame = _evaluations(arguments.root, study)
    _say(*figures.draw_all(frame, study, arguments.root / "figures", only=arguments.group))


def _over_paper(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import over_paper, style

    try:
        figure = over_paper.of_study(_evaluations(arguments.root, study), study)
    except ValueError as error:
        raise StudyError(str(error)) from error
    _say(*style.save(figure, arguments.root / "figures" / over_paper.NAME, suffixes=style.ALL))


def _all_maps(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import all_maps

    try:
        _say(*all_maps.write_all(_evaluations(arguments.root, study), study, arguments.root))
    except ValueError as error:
        raise StudyError(str(error)) from error


def _agent_costs(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import agent_costs, collect

    made_by = collect.study_made_by(_evaluations(arguments.root, study), study)
    _say(*agent_costs.write_all(study, arguments.root, made_by=made_by))


def _tables(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import tables

    _say(*tables.write_all(_evaluations(arguments.root, study), study, arguments.root / "tables"))


def _export(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import export

    folder = arguments.root / "marl_eval"
    _say(*export.write_all(_evaluations(arguments.root, study), study, folder, only=arguments.group))


def _films(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import films

    _say(films.make(study, arguments.root), *(shot.told for shot in films.read(arguments.root)))


def _report(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import redraw

    frame, scale = _evaluations(arguments.root, study), arguments.scale
    _say(
        *redraw.write_reports(
            frame, study, arguments.root, stem=arguments.stem, scale=scale, claims_file=arguments.claims
        )
    )


def _redraw(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import redraw

    if arguments.narrowed:
        _collect(arguments, study)
    root = redraw.copied(arguments.root, arguments.out) if arguments.out else arguments.root
    _say(*redraw.one(study, root, stem=arguments.stem, scale=arguments.scale, claims_file=arguments.claims))


def _holds_studies(root: Path) -> bool:
    from analysis import redraw

    return bool(redraw.studies_in(root))


def _redraw_all(arguments: argparse.Namespace) -> int:
    """All studies of a folder of results. Returns: exit code."""
    from analysis import redraw

    results = arguments.root
    if arguments.partial:
        raise StudyError(f"{results}: --partial is for one study, results/<study>; of all studies use the workflow")
    if arguments.out:
        for root in redraw.studies_in(results):
            redraw.copied(root, arguments.out / root.name)
        results = arguments.out
    written, faults = redraw.everything(results, studies=STUDIES, claims_file=arguments.claims)
    _say(*written)
    sys.stderr.write("".join(f"error: {' '.join(fault.split())}\n" for fault in faults))
    return 2 if faults else 0


def _publish(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import collect, report
    from analysis.evidence import gather

    frame = collect.collect(study, arguments.root)
    out = arguments.out or arguments.root.parent / "reference" / study.name
    command = arguments.made_by or f"make study STUDY={study.name}"
    evidence = gather(study, arguments.root)
    _say(*report.publish(study, arguments.root, out, frame=frame, evidence=evidence, command=command))


def _progress(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import progress

    while True:
        rows = progress.progress(study, arguments.root)
        clear = "\033[2J\033[H" if arguments.follow and sys.stdout.isatty() else ""
        sys.stdout.write(clear + progress.render(rows, study))
        sys.stdout.flush()
        if not arguments.follow or all(row.state == progress.FINISHED for row in rows):
            return
        time.sleep(arguments.every)


COMMANDS = {
    "collect": _collect,
    "figures": _figures,
    "over_paper": _over_paper,
    "all_maps": _all_maps,
    "agent_costs": _agent_costs,
    "tables": _tables,
    "export": _export,
    "films": _films,
    "report": _report,
    "redraw": _redraw,
    "publish": _publish,
    "progress": _progress,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description="Results of a study: tables, figures, report."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    about = {
        "collect": "run directories -> evaluations.csv and evaluations.parquet",
        "figures": "evaluations -> figures/<group>/*.png, *.pdf and *.svg",
        "over_paper": "evaluations -> figures/over_paper.png, .pdf and .svg, the study over the curves of the paper",
        "all_maps": "evaluations -> tables/all_maps.* and figures/all_maps.*, all groups together, over Figs. 7, 8",
        "agent_costs": "run directories -> tables/agent_costs.* and figures/agent_costs.*, costs over team sizes",
        "tables": "evaluations -> tables/*.csv, *.md and *.tex",
        "export": "evaluations -> marl_eval/<group>.json, the exchange format of marl-eval",
        "films": "trained policies -> films/*.mp4, a won and a lost battle of each map",
        "report": "everything -> report.md and report.html",
        "redraw": "figures, tables and reports again from result files alone, of one study or of all in a folder",
        "publish": "copy a finished study to results/reference/<study>, to be committed",
        "progress": "how far every run is",
    }
    for name, text in about.items():
        command = commands.add_parser(name, help=text, description=text)
        whose = ", or of all results" if name == "redraw" else ""
        command.add_argument("root", type=Path, help=f"directory of the study, e.g. results/quickstart{whose}")
        command.add_argument(
            "--study", type=Path, help="study file (default: workflow/studies/<name of the directory>.yaml)"
        )
        add_flags(command)
        if name not in ("publish", "progress"):  # which are of all runs
            command.add_argument(
                "--partial",
                nargs="?",
                const=partial.NOW,
                metavar="PARTS",
                help="of a study that is not finished, what is; results go to <study>_partial",
            )
    for name in ("report", "redraw"):
        commands.choices[name].add_argument("--claims", type=Path, default=CLAIMS, help="file of claims")
    commands.choices["redraw"].add_argument(
        "--out", type=Path, help="another directory: result files are copied there and what is drawn lies beside them"
    )
    for name in ("figures", "export"):
        commands.choices[name].add_argument("--group", help="this group of maps only")
    commands.choices["publish"].add_argument("--out", type=Path, help="default: results/reference/<study>")
    commands.choices["publish"].add_argument(
        "--made-by", metavar="COMMAND", help="what makes the study (default: make study STUDY=<study>)"
    )
    commands.choices["progress"].add_argument(
        "--follow", action="store_true", help="repeat until every run is finished"
    )
    commands.choices["progress"].add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="pause of --follow (default: 5)"
    )
    return parser


def _study(arguments: argparse.Namespace) -> Study:
    """The study that is asked for; its folder, the stem of its file and its parts, if any, go to `arguments`."""
    root: Path = arguments.root
    if arguments.study is None:
        held = recorded.study_of(root, STUDIES)
        arguments.stem, arguments.parts, study = held.stem, held.parts, held.study
        if held.options:
            given = {name: value for name, value in options(arguments).items() if value not in (None, LAPTOP)}
            if given:
                raise StudyError(f"{root}: holds a study made with {held.options}, got {given}: give --study as well")
            vars(arguments).update(held.options)
    else:
        arguments.stem, arguments.parts = arguments.study.stem, None
        study = load_study(arguments.study)
    if arguments.study or not held.options:
        study = variant(study, **options(arguments))
    asked = getattr(arguments, "partial", None)
    if asked and not study.part:
        now = asked == partial.NOW
        found = partial.parts_of(study, partial.finished_runs(study, root)) if now else partial.from_text(asked)
        study = partial.narrowed(study, found)
        if study.part:
            arguments.parts, arguments.root = found, root.with_name(study.name)
            arguments.root.mkdir(parents=True, exist_ok=True)
    arguments.narrowed = study.part and asked == partial.NOW and arguments.root != root
    if not arguments.root.is_dir() and arguments.command != "progress":
        raise StudyError(f"{root}: no such directory; run the study first")
    return study


def _evaluations(root: Path, study: Study) -> pd.DataFrame:
    from analysis import collect

    table = root / "evaluations.parquet"
    return collect.read(table if table.is_file() else root / "evaluations.csv", study)


def _say(*lines: object) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
