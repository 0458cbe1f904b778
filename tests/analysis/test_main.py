"""Every command in process: what it calls with what, what it says, and where its files lie."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import __main__, claims, collect, evidence, figures, films, page, progress, report, tables
from analysis.__main__ import main
from analysis.study import Study
from analysis.study_files import load_study
from tests.analysis.measured import measured
from tests.analysis.synthetic import study_document, write_study
from tests.analysis.test_report import EVIDENCE

Call = tuple[Any, ...]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with results/toy, and studies/toy.yaml where study files are looked for."""
    (tmp_path / "results" / "toy").mkdir(parents=True)
    (tmp_path / "studies").mkdir()
    write_study(tmp_path / "studies", study_document())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(__main__, "STUDIES", tmp_path / "studies")
    return tmp_path


@pytest.fixture
def study(folder: Path) -> Study:
    return load_study(folder / "studies" / "toy.yaml")


@pytest.fixture
def calls() -> list[Call]:
    return []


def recording(calls: list[Call], name: str, result: Any) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        calls.append((name, *arguments, *options.items()))
        return result

    return call


ROOT = Path("results/toy")


def test_collect(
    study: Study, calls: list[Call], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "collect", recording(calls, "collect", "abc"))
    monkeypatch.setattr(collect, "write", recording(calls, "write", None))
    monkeypatch.setattr(evidence, "gather", recording(calls, "gather", "evidence"))
    monkeypatch.setattr(evidence, "write", recording(calls, "keep", ROOT / "evidence.json"))
    assert main(["collect", "results/toy", "--seeds", "0,1"]) == 0
    paths = (ROOT / "evaluations.csv", ROOT / "evaluations.parquet")
    assert calls == [
        ("collect", study, ROOT),
        ("write", "abc", *paths),
        ("gather", study, ROOT),
        ("keep", "evidence", ROOT),
    ]
    written = [*paths, ROOT / "evidence.json", ROOT / "variant.json"]
    assert capsys.readouterr().out == "".join(f"{line}\n" for line in ("3 evaluations of 18 runs", *written))
    assert json.loads((ROOT / "variant.json").read_text(encoding="utf-8")) == {
        "study": "toy",
        "scale": "laptop",
        "maps": None,
        "seeds": "0,1",
        "backend": None,
        "parts": None,
    }


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(("options", "group"), [([], None), (["--group", "matrix"], "matrix")])
def test_figures(
    study: Study,
    calls: list[Call],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    options: list[str],
    group: str | None,
) -> None:
    """Parquet is read where there is one."""
    monkeypatch.setattr(collect, "read", recording(calls, "read", "frame"))
    monkeypatch.setattr(figures, "draw_all", recording(calls, "draw", ["a.png", "a.pdf"]))
    (ROOT / f"evaluations.{kind}").touch()
    (ROOT / "evaluations.csv").touch()
    assert main(["figures", "results/toy", *options]) == 0
    assert calls == [
        ("read", ROOT / f"evaluations.{kind}", study),
        ("draw", "frame", study, ROOT / "figures", ("only", group)),
    ]
    assert capsys.readouterr().out == "a.png\na.pdf\n"


def test_tables(
    study: Study, calls: list[Call], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "read", recording(calls, "read", "frame"))
    monkeypatch.setattr(tables, "write_all", recording(calls, "tables", ["a.csv", "a.md"]))
    assert main(["tables", "results/toy"]) == 0
    assert calls == [("read", ROOT / "evaluations.csv", study), ("tables", "frame", study, ROOT / "tables")]
    assert capsys.readouterr().out == "a.csv\na.md\n"


def test_report(
    study: Study, calls: list[Call], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "read", recording(calls, "read", "frame"))
    monkeypatch.setattr(tables, "MAKE", {"one": None, "two": None})
    monkeypatch.setattr(tables, "make", lambda name, frame, of: (name, frame, of))
    monkeypatch.setattr(evidence, "read", recording(calls, "evidence", "evidence"))
    monkeypatch.setattr(claims, "load", recording(calls, "load", ["claim"]))
    monkeypatch.setattr(claims, "of_study", recording(calls, "claims", ["verdict"]))
    monkeypatch.setattr(films, "read", recording(calls, "films", ["shot"]))
    monkeypatch.setattr(report, "compose", recording(calls, "compose", "The page."))
    monkeypatch.setattr(page, "compose", recording(calls, "page", "<html>"))
    (ROOT / "evaluations.csv").write_bytes(b"table")
    assert main(["report", "results/toy", "--claims", "c.yaml"]) == 0
    made = {name: (name, "frame", study) for name in ("one", "two")}
    seal = ("sha256", hashlib.sha256(b"table").hexdigest())
    given = (("verdicts", ["verdict"]), ("shots", ["shot"]), ("root", ROOT))
    assert calls == [
        ("read", ROOT / "evaluations.csv", study),
        ("evidence", ROOT),
        ("load", Path("c.yaml")),
        ("claims", ["claim"], "toy", study, "frame", ("scale", "laptop")),
        ("compose", "frame", study, "evidence", made, seal),
        ("films", ROOT),
        ("page", "frame", study, "evidence", made, *given, seal),
    ]
    assert (ROOT / "report.md").read_text(encoding="utf-8") == "The page."
    assert (ROOT / "report.html").read_text(encoding="utf-8") == "<html>"
    assert capsys.readouterr().out == "results/toy/report.md\nresults/toy/report.html\n"


def test_films(
    study: Study, calls: list[Call], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list, and below it what became of each film."""
    shot = films.Shot("SMAC", "3m", "MAZero, seed 0", "lost", text="none is lost")
    monkeypatch.setattr(films, "make", recording(calls, "make", "films.json"))
    monkeypatch.setattr(films, "read", recording(calls, "read", [shot]))
    assert main(["films", "results/toy"]) == 0
    assert calls == [("make", study, ROOT), ("read", ROOT)]
    assert capsys.readouterr().out == "films.json\nSMAC, 3m, MAZero, seed 0, lost: none is lost\n"


@pytest.mark.parametrize(
    ("options", "out", "command"),
    [
        ([], "results/reference/toy", "make study STUDY=toy"),
        (["--out", "elsewhere", "--made-by", "make toy"], "elsewhere", "make toy"),
        (["--backend", "smac"], "results/reference/toy_smac", "make study STUDY=toy_smac"),
    ],
)
def test_publish(
    study: Study,
    calls: list[Call],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    out: str,
    command: str,
) -> None:
    monkeypatch.setattr(collect, "collect", recording(calls, "collect", "frame"))
    monkeypatch.setattr(evidence, "gather", recording(calls, "gather", "evidence"))
    monkeypatch.setattr(report, "publish", recording(calls, "publish", ["a", "b"]))
    assert main(["publish", "results/toy", *options]) == 0
    study = study.on_backend("smac") if "--backend" in options else study
    given = (("frame", "frame"), ("evidence", "evidence"), ("command", command))
    assert calls == [
        ("collect", study, ROOT),
        ("gather", study, ROOT),
        ("publish", study, ROOT, Path(out), *given),
    ]
    assert capsys.readouterr().out == "a\nb\n"


@pytest.fixture
def rounds(calls: list[Call], study: Study, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Calls of `progress`, whose rows are finished one after the other, and of `sleep`."""
    states = iter([("running", "running"), (progress.FINISHED, "running"), (progress.FINISHED, progress.FINISHED)])

    def rows(of: Study, root: Path) -> list[Any]:
        calls.append(("progress", of, root))
        return [SimpleNamespace(state=state) for state in next(states)]

    monkeypatch.setattr(progress, "progress", rows)
    monkeypatch.setattr(progress, "render", lambda rows, of: f"{of.name}: {[row.state for row in rows]}\n")
    monkeypatch.setattr(time, "sleep", lambda seconds: calls.append(("sleep", seconds)))
    return calls


def test_progress_is_told_once(rounds: list[Call], study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of a directory that does not exist yet."""
    ROOT.rmdir()
    assert main(["progress", "results/toy"]) == 0
    assert rounds == [("progress", study, ROOT)]
    assert capsys.readouterr().out == "toy: ['running', 'running']\n"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(("options", "pause"), [([], 5.0), (["--every", "0.5"], 0.5)])
def test_progress_follows_until_every_run_is_finished(
    rounds: list[Call],
    study: Study,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    options: list[str],
    pause: float,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert main(["progress", "results/toy", "--follow", *options]) == 0
    told, slept = ("progress", study, ROOT), ("sleep", pause)
    assert rounds == [told, slept, told, slept, told]
    clear = "\033[2J\033[H" if terminal else ""
    states = ("['running', 'running']", "['finished', 'running']", "['finished', 'finished']")
    assert capsys.readouterr().out == "".join(f"{clear}toy: {state}\n" for state in states)


def test_progress_told_once_does_not_clear_the_terminal(
    rounds: list[Call], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["progress", "results/toy"]) == 0
    assert capsys.readouterr().out == "toy: ['running', 'running']\n"


def test_control_c_ends_with_130(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(progress, "progress", interrupted)
    assert main(["progress", "results/toy"]) == 130


def test_a_study_is_found_by_the_name_of_its_directory_or_given(
    folder: Path, study: Study, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "collect", recording(calls, "collect", "abc"))
    monkeypatch.setattr(collect, "write", lambda *_: None)
    monkeypatch.setattr(evidence, "gather", lambda *_: None)
    monkeypatch.setattr(evidence, "write", lambda *_: None)
    monkeypatch.chdir(ROOT)
    assert main(["collect", "."]) == 0
    (folder / "other").mkdir()
    assert main(["collect", str(folder / "other"), "--study", str(folder / "studies" / "toy.yaml")]) == 0
    Path("variant.json").unlink()
    assert main(["collect", ".", "--backend", "smac"]) == 0
    assert main(["collect", "."]) == 0  # which remembers
    assert [(of.name, root) for _, of, root in calls] == [
        ("toy", Path(".")),
        ("toy", folder / "other"),
        ("toy_smac", Path(".")),
        ("toy_smac", Path(".")),
    ]
    with pytest.raises(SystemExit):
        main(["collect"])
    assert main(["collect", ".", "--scale", "tiny"]) == 2  # the folder is of another study


@pytest.mark.parametrize("command", ["collect", "figures", "tables", "films", "report", "redraw", "publish"])
def test_a_directory_that_is_missing_is_one_line(
    study: Study, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    ROOT.rmdir()
    assert main([command, "results/toy"]) == 2
    assert capsys.readouterr().err == "error: results/toy: no such directory; run the study first\n"


def test_an_error_of_several_lines_is_told_in_one(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise __main__.StudyError("one\n  two   three")

    monkeypatch.setattr(collect, "collect", refuse)
    assert main(["collect", "results/toy"]) == 2
    assert capsys.readouterr() == ("", "error: one two three\n")


ABOUT = {
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


def words(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a call that ends at once says, in one line."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert ended.value.code == (2 if err else 0)
    return re.sub(r"\s+", " ", out + err)


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    page = words(capsys, "--help")
    assert page.startswith(
        "usage: python -m analysis [-h] COMMAND ... Results of a study: tables, figures, report. positional arguments: "
    )
    about = " ".join(f"{name} {text}" for name, text in ABOUT.items())
    assert f" COMMAND {about} " in page
    for name, text in ABOUT.items():
        page = words(capsys, name, "--help")
        assert page.startswith(f"usage: python -m analysis {name} [-h] [--study STUDY] [--scale SCALE] [--maps MAPS] ")
        assert f" root {text} positional arguments: root directory of the study" in page


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert words(capsys).endswith("error: the following arguments are required: COMMAND ")
    assert "invalid choice: 'draw'" in words(capsys, "draw", "results/toy")


def test_the_chain_of_commands(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """A table that was collected, tables of it as files, without any stand-in."""
    frame, study = measured(folder / "studies")
    monkeypatch.setattr(collect, "collect", lambda *_: frame.sort_index())
    monkeypatch.setattr(evidence, "gather", lambda *_: EVIDENCE)
    (folder / "results" / "measured").mkdir()
    assert main(["collect", "results/measured"]) == 0
    assert main(["tables", "results/measured"]) == 0
    assert capsys.readouterr().out.startswith("54 evaluations of 18 runs\nresults/measured/evaluations.csv\n")
    written = pd.read_csv("results/measured/tables/runs.csv")
    assert len(written) == 18 and study.name == "measured"
