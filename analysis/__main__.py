"""Command line: collect, figures, tables, report, publish and progress of one study.

Every command takes the directory of the study, results/<study>; the study file is found by that name, or given by
--study.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.study import STUDIES, Study, StudyError, load_study
from analysis.variants import add_flags, options, variant

if TYPE_CHECKING:
    import pandas as pd

# Each command imports what it needs: pandas and matplotlib take seconds that `progress` and `--help` need not wait for.


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns: exit code; a mistake of the caller is one line on stderr and 2."""
    arguments = _parser().parse_args(argv)
    try:
        study = _study(arguments)
        COMMANDS[arguments.command](arguments, study)
    except StudyError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _collect(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import collect

    frame = collect.collect(study, arguments.root)
    paths = [arguments.root / "evaluations.csv", arguments.root / "evaluations.parquet"]
    collect.write(frame, *paths)
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
    _say(*style.save(figure, arguments.root / "figures" / over_paper.NAME))


def _tables(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import tables

    _say(*tables.write_all(_evaluations(arguments.root, study), study, arguments.root / "tables"))


def _export(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import export

    folder = arguments.root / "marl_eval"
    _say(*export.write_all(_evaluations(arguments.root, study), study, folder, only=arguments.group))


def _report(arguments: argparse.Namespace, study: Study) -> None:
    from analysis import report, tables
    from analysis.evidence import gather
    from training.files import write_text

    frame = _evaluations(arguments.root, study)
    made = {name: tables.make(name, frame, study) for name in tables.MAKE}
    page = report.compose(frame, study, gather(study, arguments.root), made)
    _say(write_text(arguments.root / "report.md", page))


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
    "tables": _tables,
    "export": _export,
    "report": _report,
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
        "figures": "evaluations -> figures/<group>/*.png and *.pdf",
        "over_paper": "evaluations -> figures/over_paper.png and .pdf, the study over the curves of the paper",
        "tables": "evaluations -> tables/*.csv and *.md",
        "export": "evaluations -> marl_eval/<group>.json, the exchange format of marl-eval",
        "report": "everything -> report.md",
        "publish": "copy a finished study to results/reference/<study>, to be committed",
        "progress": "how far every run is",
    }
    for name, text in about.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("root", type=Path, help="directory of the study, e.g. results/quickstart")
        command.add_argument(
            "--study", type=Path, help="study file (default: workflow/studies/<name of the directory>.yaml)"
        )
        add_flags(command)
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
    study = load_study(arguments.study or STUDIES / f"{arguments.root.resolve().name}.yaml")
    study = variant(study, **options(arguments))
    if not arguments.root.is_dir() and arguments.command != "progress":
        raise StudyError(f"{arguments.root}: no such directory; run the study first")
    return study


def _evaluations(root: Path, study: Study) -> pd.DataFrame:
    from analysis import collect

    table = root / "evaluations.parquet"
    return collect.read(table if table.is_file() else root / "evaluations.csv", study)


def _say(*lines: object) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
