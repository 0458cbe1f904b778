"""Every run that was tried while settings were chosen: `python -m analysis.tried RUNS... --out tried.csv`.

One line per evaluation of every run directory found below RUNS, finished or not, with the settings that its command
changed: what did not work stays on record beside what did. Last comes the absolute metric of a finished run, its
`env_steps` being the mark of the policy that played again. Running it again with the same file adds and renews runs
and keeps those whose directories are gone.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.progress import read_json, read_records
from training.files import write_text

COLUMNS = (
    "name", "program", "algorithm", "preset", "changed", "map", "backend", "unit_data", "seed", "commit", "budget",
    "state", "kind", "env_steps", "updates", "num_episodes", "win_rate", "return_mean", "policy_win_rate",
    "wall_seconds",
)  # fmt: skip
RUN = ("name", "map", "seed")


def rows_of(directory: Path, root: Path) -> list[dict[str, Any]]:
    """The evaluations of one run directory, oldest first; it is named by the folders between `root` and itself."""
    config, provenance = (read_json(directory / name) for name in ("config.json", "provenance.json"))
    if config is None or provenance is None:
        return []
    session = provenance["sessions"][-1]
    command: list[str] = session["command"]
    known = {
        "name": directory.parent.relative_to(root).as_posix() if directory.parent != root else root.name,
        **{name: config[name] for name in ("program", "algorithm", "preset", "map", "backend", "seed")},
        "unit_data": config.get("unit_data", ""),  # of the simulator only
        "changed": " ".join(changed(command)),
        "commit": _version(session),
        "budget": config["budget"]["env_steps"],
        "state": "finished" if (directory / "done.json").is_file() else "stopped",
    }
    return [
        known | {name: record.get(name, "") for name in COLUMNS if name not in known} | _steps(record)
        for record in read_records(directory / "metrics.jsonl")
        if record.get("kind") in ("eval", "absolute")
    ]


def _version(session: dict[str, Any]) -> str:
    """The commit, or what the sources were outside a checkout."""
    commit: str | None = session["git_commit"]
    return commit[:7] if commit else f"sources {session['sources_sha256'][:7]}"


def _steps(record: dict[str, Any]) -> dict[str, Any]:
    """`env_steps` of a record; an absolute one has a mark instead."""
    return {"env_steps": record.get("env_steps", record.get("mark"))}


def changed(command: list[str]) -> list[str]:
    """The KEY=VALUE words behind --set and --env of a training command."""
    words, taking = [], False
    for word in command:
        if word.startswith("--"):
            taking = word in ("--set", "--env")
        elif taking:
            words.append(word)
    return words


def table(rows: list[dict[str, Any]]) -> str:
    """CSV text: runs in order of name, map and seed, evaluations of a run by steps, the absolute one last."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=_place))
    return text.getvalue()


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (row["name"], row["map"], int(row["seed"]), row["kind"] == "absolute", int(row["env_steps"]))


def main(argv: list[str] | None = None) -> int:
    """The command. Returns: exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders that hold run directories, at any depth")
    parser.add_argument("--out", type=Path, required=True, help="CSV file, renewed")
    arguments = parser.parse_args(argv)
    found = []
    for root in arguments.runs:
        for config in sorted(root.rglob("config.json")):
            found += rows_of(config.parent, root)
    if not found:
        sys.stderr.write(f"error: no evaluations below {', '.join(map(str, arguments.runs))}: give folders of runs\n")
        return 2
    names = {tuple(str(row[name]) for name in RUN) for row in found}
    if arguments.out.is_file():
        with arguments.out.open(encoding="utf-8", newline="") as file:
            found += [row for row in csv.DictReader(file) if tuple(row[name] for name in RUN) not in names]
    sys.stdout.write(f"{write_text(arguments.out, table(found))}: {len(found)} evaluations\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
