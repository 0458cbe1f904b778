"""The commands end to end on a synthetic study: files, links, published outcome, errors."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.evidence import gather
from analysis.report import _protocol
from analysis.store import place
from analysis.study import FIGURES
from analysis.study_files import load_study
from tests.analysis.synthetic import make_run, make_runs, make_study, study_document, write_json
from tests.analysis.test_figures import win_rate

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A study directory after collect, figures, tables and report, and the options that name its study file."""
    directory = tmp_path_factory.mktemp("commands")
    study = make_study(directory)
    root = directory / "results" / "toy"
    make_runs(study, root, win_rate)
    options = ["--study", str(directory / "toy.yaml")]
    for command in ("collect", "figures", "tables", "report"):
        assert main([command, str(root), *options]) == 0
    return root, options


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))


def test_report_shows_what_exists_and_says_what_it_rests_on(done: tuple[Path, list[str]]) -> None:
    root, _ = done
    page = (root / "report.md").read_text(encoding="utf-8")
    for link in links(root / "report.md"):
        assert (root / link).is_file(), link
    assert len([link for link in links(root / "report.md") if link.endswith(".png")]) == 2 * len(FIGURES)
    assert "**SMAC** on backend `skirmish`: 3m; 400 environment steps per run, evaluated every 100 on 32 greedy" in page
    assert "not StarCraft II" in page and "With 2 seeds they show little more than the range" in page
    assert "- commit: 0123abc\n- sources (SHA-256 of code, presets and data): feed\n- machine: Test CPU, 2 CPUs" in page
    assert "its unit data: 4.10." in page and "- unit data of the simulator: 4.10\n" in page
    assert "## Figures: SMAC (backend skirmish, unit data 4.10)\n" in page
    assert "## Figures: Matrix games (backend matrix)\n" in page
    assert "python -m mazero train --map 3m --seed 0" in page
    assert "- **without AWPO** (`no_awpo`): `mazero`, mazero, loss.awpo = False" in page


def test_publish_copies_a_page_that_still_works_alone(done: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, options = done
    out = tmp_path / "reference" / "toy"
    (out / "figures" / "old").mkdir(parents=True)
    for name in ("figures/old/win_rate.png", "figures/old/mine.png", "tables.txt", "notes.md"):
        (out / name).write_text("x")
    assert main(["publish", str(root), *options, "--out", str(out), "--made-by", "make toy"]) == 0
    assert not (out / "figures" / "old" / "win_rate.png").exists()  # of a group that the study no longer has
    assert all((out / name).exists() for name in ("figures/old/mine.png", "tables.txt", "notes.md"))
    assert not [path for path in out.rglob("*") if path.suffix in (".pdf", ".parquet", ".jsonl")]
    for link in links(out / "report.md"):
        assert (out / link).is_file(), link
    command = (out / "COMMAND.md").read_text(encoding="utf-8")
    assert "```\nmake toy\n```" in command
    assert "- commit: 0123abc" in command and "- backend: matrix, skirmish" in command and "- seeds: 0, 1" in command
    new = tmp_path / "nothing" / "there yet"
    assert main(["publish", str(root), *options, "--out", str(new)]) == 0
    assert (new / "report.md").read_bytes() == (out / "report.md").read_bytes()
    # 6 runs of 4 minutes and 12 of 2
    assert "- cost: 18 runs, 0.80 hours of run time in all, longest run 4.0 minutes, 4,854 environment steps" in command


@pytest.mark.parametrize("name", ["evaluations.csv", "report.md"])
def test_publish_refuses_what_is_not_of_the_runs_that_lie_there(
    done: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A run that was made again since, with an old table, or a new table with an old report."""
    before, options = done
    root = tmp_path / before.name
    shutil.copytree(before.parent, tmp_path, dirs_exist_ok=True)
    study = load_study(options[1])
    run = next(study.runs())
    shutil.rmtree(place(study, run, root))
    make_run(study, run, place(study, run, root), lambda run, mark: 0.125)
    if name == "report.md":
        assert main(["collect", str(root), *options]) == 0
    capsys.readouterr()
    assert main(["publish", str(root), *options, "--out", str(tmp_path / "out")]) == 2
    assert f"{name}: not of the runs that lie there now; make it again" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_evidence_counts_what_differs(done: tuple[Path, list[str]], tmp_path: Path) -> None:
    study = make_study(tmp_path)
    make_runs(study, tmp_path / "toy", win_rate)
    run = next(study.runs())
    sessions = [{"git_commit": "fff", "git_dirty": True, "gpu": "H100"}, {"git_commit": "abc"}, {"git_commit": "abc"}]
    write_json(place(study, run, tmp_path / "toy") / "provenance.json", {"sessions": sessions})
    evidence = gather(study, tmp_path / "toy")
    assert evidence.commits == ("0123abc (17 runs)", "fff with uncommitted changes, then abc (1 runs)")
    assert evidence.sources == ("feed (17 runs)", "unknown (1 runs)")
    assert evidence.machines[1].startswith("unknown CPU, ? CPUs, H100")


def test_publish_of_an_unfinished_study_replaces_nothing(
    done: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, options = done
    make_runs(load_study(options[1]), tmp_path / "toy", win_rate)
    (tmp_path / "out" / "figures").mkdir(parents=True)
    assert main(["publish", str(tmp_path / "toy"), *options, "--out", str(tmp_path / "out")]) == 2
    assert "evaluations.csv: missing; run the study to its end first" in capsys.readouterr().err
    assert (tmp_path / "out" / "figures").is_dir()


def test_progress_command(done: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, options = done
    assert main(["progress", str(root), *options, "--follow"]) == 0  # all finished: returns at once
    assert capsys.readouterr().out.endswith("toy: 18 runs, 18 finished; 100% of all environment steps\n")


def test_only_one_group(done: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, options = done
    assert main(["figures", str(root), *options, "--group", "nothing"]) == 2
    assert capsys.readouterr().err == "error: unknown group 'nothing' in study toy; known: smac, matrix\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["collect", "results/quikstart"],
            "quikstart.yaml: no such study file; there are: baselines, easy_maps, ",
        ),
        (["collect", "results/nothing_here/quickstart"], "results/nothing_here/quickstart: no such directory"),
        (["progress", "results/quickstart", "--backend", "matrix"], "backend must be skirmish or smac, got 'matrix'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error


def test_analysis_imports_no_learner() -> None:
    code = (
        "import sys, analysis.__main__, analysis.figures, analysis.report, analysis.progress;"
        "print([name for name in ('torch', 'numba', 'envs', 'mazero', 'baselines') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_report_names_the_options_of_the_environment(tmp_path: Path) -> None:
    document = study_document()
    document["groups"]["smac"]["env"] = {"action_failure": 0.1, "obs_noise": 0.05}
    study = make_study(tmp_path, document)
    page = _protocol(study.groups["smac"], study, "4.10")
    assert "Environment options: action_failure = 0.1, obs_noise = 0.05." in page
    assert "Environment options" not in _protocol(study.groups["matrix"], study, "")
