"""The page of a study, its evidence and its published copy, word for word."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import evidence, report
from analysis.collect import SUPERSEDED, as_csv
from analysis.evidence import Evidence, gather
from analysis.store import place
from analysis.study import FIGURES, TABLES, Study, StudyError
from tests.analysis.measured import measured
from tests.analysis.synthetic import write_json

EVIDENCE = Evidence(
    commits=("c1 (2 runs)", "c2 (1 runs)"),
    sources=("s1", "s2"),
    unit_data=("4.10", "4.6.2"),
    machines=("m1", "m2"),
    versions=("v1", "v2"),
    threads=("1", "2"),
    runs=3,
    wall_hours=1.256,
    longest_minutes=61.25,
    env_steps=1_234_567,
    commands={"mazero": "first command", "qmix": "second command"},
)
LINES = """\
- commit: c1 (2 runs), c2 (1 runs)
- sources (SHA-256 of code, presets and data): s1, s2
- machine: m1; m2
- threads per run: 1, 2
- versions: v1; v2
- unit data of the simulator: 4.10, 4.6.2
- cost: 3 runs, 1.26 hours of run time in all, longest run 61.2 minutes, 1,234,567 environment steps
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Study]:
    return measured(tmp_path_factory.mktemp("report"))


def seal(frame: pd.DataFrame) -> str:
    return hashlib.sha256(as_csv(frame).encode()).hexdigest()


def test_evidence_lines() -> None:
    assert EVIDENCE.lines() == LINES.splitlines()
    assert replace(EVIDENCE, unit_data=()).lines() == [line for line in LINES.splitlines() if "unit data" not in line]


def figures_of(title: str, made_by: str, group: str) -> str:
    parts = [f"## Figures: {title} (backend {made_by})\n\n"]
    for name in FIGURES:
        text = report.CAPTIONS[name]
        parts.append(f"![{title}, backend {made_by}: {text}](figures/{group}/{name}.png)\n\n*{text}*\n\n")
    return "".join(parts)


def test_page(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    options = replace(study.groups["smac"], env={"sight_scale": 0.5, "obs_noise": 0.1})
    changed = replace(study.algorithms["no_awpo"], overrides={"loss.awpo": False, "loss.bc": 2})
    study = replace(
        study,
        groups={**study.groups, "smac": options},
        algorithms={**study.algorithms, "no_awpo": changed},
    )
    tables = {name: pd.DataFrame({"group": [name], "unit_data": ["4.10"], "label": ["A"]}) for name in TABLES}
    tables["final"] = tables["final"].assign(eval_episodes=8, episodes_per_run=9, n=7)
    tables["improvement"] = tables["improvement"].iloc[:0]  # nothing to compare
    expected = f"""\
# measured

A toy study.

## What was measured

**SMAC** on backend `skirmish`: 3m; 400 environment steps per run, evaluated every 200 on 32 greedy episodes \
(absolute: 10 times as many, by the policy of the best evaluation); seeds 5, 2; presets mazero: laptop, qmix: \
published. Environment options: sight_scale = 0.5, obs_noise = 0.1. `skirmish` is this suite's own simulator, not \
StarCraft II; its unit data: 4.10.

**Matrix games** on backend `matrix`: matrix_1, matrix_2; 200 environment steps per run, evaluated every 100 on 8 \
greedy episodes (absolute: 10 times as many, by the policy of the best evaluation); seeds 5, 2; presets mazero: \
matrix, qmix: matrix.

Intervals are 95% percentile intervals of a stratified bootstrap over seeds (2,000 repetitions, arXiv 2108.13264). \
With 2 seeds they show little more than the range of what was seen: read them as such.

Algorithms:

- **MAZero** (`mazero`): `mazero`, mazero, no override
- **without AWPO** (`no_awpo`): `mazero`, mazero, loss.awpo = False, loss.bc = 2
- **QMIX** (`qmix`): `baselines`, qmix, no override

## Results

### Per map and algorithm

| group | algorithm | n |
| --- | --- | --- |
| final | A | 7 |

### With and without search at evaluation (Table 8 of the paper, which is of StarCraft II)

| algorithm |
| --- |
| A |

### Beside published figures, which are of StarCraft II

| algorithm |
| --- |
| A |

### Returns beside Table 9 of the paper

| algorithm |
| --- |
| A |

### Over maps and runs

| group | algorithm |
| --- | --- |
| aggregate | A |

### Environment steps and hours to a win rate

| group | algorithm |
| --- | --- |
| steps_to | A |

{figures_of("SMAC", "skirmish, unit data 4.10", "smac")}\
{figures_of("Matrix games", "matrix", "matrix")}\
## Where the numbers come from

{LINES}
Commands of the first run of each algorithm:

```
first command
second command
```

All 54 evaluations: [evaluations.csv](evaluations.csv), SHA-256 `{seal(frame)}`. Tables as CSV: \
{", ".join(f"[{name}](tables/{name}.csv)" for name in TABLES)}.
"""
    assert report.compose(frame, study, EVIDENCE, tables) == expected


@pytest.mark.parametrize(
    ("count", "caution"),
    [
        (1, "With a single seed per map they have no width: nothing can be said about the spread between seeds."),
        (4, "With 4 seeds they show little more than the range of what was seen: read them as such."),
        (5, ""),
    ],
)
def test_few_seeds_come_with_a_caution(data: tuple[pd.DataFrame, Study], count: int, caution: str) -> None:
    assert report.caution(with_seeds(data[1], smac=count, matrix=count)) == caution


def with_seeds(study: Study, **counts: int) -> Study:
    groups = {key: replace(study.groups[key], seeds=tuple(range(count))) for key, count in counts.items()}
    return replace(study, groups=groups)


def test_groups_with_different_seeds(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    """The caution is about the group with fewest, and every group names its own."""
    frame, study = data
    assert report.caution(with_seeds(study, smac=1, matrix=9)).startswith("With a single seed per map (SMAC) they ")
    assert report.caution(with_seeds(study, smac=9, matrix=3)).startswith("With 3 seeds (Matrix games) they show ")
    assert report.caution(with_seeds(study, smac=9, matrix=5)) == ""
    study = with_seeds(study, smac=3, matrix=1)
    assert "; seeds 0, 1, 2; presets" in report._protocol(study.groups["smac"], study, "4.10")
    assert "; seeds 0; presets" in report._protocol(study.groups["matrix"], study, "")
    root, out = tmp_path / "measured", tmp_path / "out"
    finished(root, frame, study)
    publish((frame, study), root, out)
    assert "\n- seeds: SMAC: 0, 1, 2; Matrix games: 0\n" in (out / "COMMAND.md").read_text(encoding="utf-8")


def test_an_algorithm_with_its_own_preset_says_so(data: tuple[pd.DataFrame, Study]) -> None:
    frame, study = data
    own = replace(study.algorithms["qmix"], preset="low_data")
    matrix = replace(study.groups["matrix"], algorithms=("mazero", "no_awpo"))
    study = replace(
        study,
        algorithms={**study.algorithms, "qmix": own},
        groups={"smac": replace(study.groups["smac"], presets={"mazero": "laptop"}), "matrix": matrix},
    )
    tables = {name: pd.DataFrame() for name in TABLES}
    page = report.compose(frame, study, EVIDENCE, tables)
    assert "- **QMIX** (`qmix`): `baselines`, qmix, preset low_data, no override\n" in page
    assert "seeds 5, 2; presets mazero: laptop, qmix: low_data. " in page
    assert "seeds 5, 2; presets mazero: matrix, qmix: matrix.\n" in page


def finished(root: Path, frame: pd.DataFrame, study: Study) -> list[str]:
    """Everything that a study leaves behind. Returns: what of it is published."""
    names = [f"figures/{group}/{name}.png" for group in study.groups for name in FIGURES]
    names += [f"tables/{name}.{kind}" for name in TABLES for kind in ("csv", "md")]
    for name in (*names, "figures/smac/win_rate.pdf", "evaluations.parquet"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"content of {name}")
    (root / "evaluations.csv").write_text(as_csv(frame))
    (root / "report.md").write_text(f"a page, SHA-256 `{seal(frame)}`.")
    return ["evaluations.csv", "report.md", *names]


def publish(data: tuple[pd.DataFrame, Study], root: Path, out: Path) -> list[Path]:
    frame, study = data
    return report.publish(study, root, out, frame=frame, evidence=EVIDENCE, command="make it")


def test_publish(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    root, out = tmp_path / "results" / "measured", tmp_path / "reference" / "measured"
    names = finished(root, *data)
    before = {"figures/gone/final.png", "figures/gone/mine.png", "figures/smac/final.png", "notes.md"}
    for name in before:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("old")
    assert publish(data, root, out) == [out / name for name in [*names, "evidence.json", "COMMAND.md"]]
    for name in names:
        assert (out / name).read_bytes() == (root / name).read_bytes()
    left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert evidence.read(out) == EVIDENCE
    assert left == {*names, "evidence.json", "COMMAND.md", "figures/gone/mine.png", "notes.md"}
    assert (out / "COMMAND.md").read_text(encoding="utf-8") == (
        f"# How measured was made\n\nA toy study.\n\n```\nmake it\n```\n\n{LINES}"
        "- backend: matrix, skirmish\n- seeds: 5, 2\n\nOne run alone, per algorithm:\n\n"
        "```\nfirst command\nsecond command\n```\n"
    )
    assert publish(data, root, out)  # again, over what is there


@pytest.mark.parametrize("number", range(2 + 2 * len(FIGURES) + 2 * len(TABLES)))
def test_publish_misses_every_file(data: tuple[pd.DataFrame, Study], tmp_path: Path, number: int) -> None:
    name = finished(tmp_path / "root", *data)[number]
    (tmp_path / "root" / name).unlink()
    with pytest.raises(StudyError, match=f"{name}: missing; run the study to its end first"):
        publish(data, tmp_path / "root", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["evaluations.csv", "report.md"])
def test_publish_refuses_what_is_of_other_runs(data: tuple[pd.DataFrame, Study], tmp_path: Path, name: str) -> None:
    finished(tmp_path / "root", *data)
    (tmp_path / "root" / name).write_text("of other runs")
    with pytest.raises(StudyError, match=f"{name}: not of the runs that lie there now"):
        publish(data, tmp_path / "root", tmp_path / "out")
    assert not (tmp_path / "out").exists()


SESSION: dict[str, Any] = {
    "unit_data": "4.10",
    "command": ["python", "-m", "mazero", "train"],
    "git_commit": "abc",
    "git_dirty": False,
    "sources_sha256": "0123456789abcdef0123",
    "python": "3.11.2",
    "versions": {"numpy": "2.4.6", "torch": "2.13"},
    "platform": "Linux",
    "cpu": "A processor",
    "cpu_count": 2,
    "gpu": "H100",
    "threads": 1,
}


def test_gather(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    """The second run was continued under another commit, the last of the simulator's is old and says nothing."""
    study = data[1]
    runs = list(study.runs())
    for number, run in enumerate(runs):
        sessions = [{**SESSION, "command": f"command {number}"}]
        if number == 1:
            sessions = [SESSION, {**SESSION, "git_commit": "def", "git_dirty": True, "gpu": None}, SESSION]
        if number == 5:
            sessions = [{}]
        if number == 0:
            sessions = [SESSION]
        directory = place(study, run, tmp_path / "toy")
        directory.mkdir(parents=True)
        write_json(directory / "provenance.json", {"sessions": sessions})
        write_json(directory / "done.json", {"wall_seconds": 600 + number, "env_steps": 1000 + number})
    directory = place(study, runs[0], tmp_path / "toy")  # started twice, and measured by Snakemake
    directory.with_name("seed=5.tsv").write_text("s\tmax_rss\n9.0\t-\n3.0\t512.5\n", encoding="utf-8")
    found = gather(study, tmp_path / "toy")
    assert len(found.identities) == 9 and found.identities[0] == ("smac", "3m", "mazero", store_identity(directory))
    assert replace(found, identities=()) == Evidence(
        commits=("abc (16 runs)", "abc, then def with uncommitted changes (1 runs)", "unknown (1 runs)"),
        sources=("0123456789abcdef (17 runs)", "unknown (1 runs)"),
        unit_data=("4.10 (5 runs)", f"{SUPERSEDED} (1 runs)"),
        machines=(
            "A processor, 2 CPUs, H100, Linux (16 runs)",
            "A processor, 2 CPUs, H100, Linux, then A processor, 2 CPUs, Linux (1 runs)",
            "unknown CPU, ? CPUs, unknown platform (1 runs)",
        ),
        versions=("python 3.11.2, numpy 2.4.6, torch 2.13 (17 runs)", "python unknown (1 runs)"),
        threads=("1 (17 runs)", "unknown (1 runs)"),
        runs=18,
        wall_hours=pytest.approx((18 * 600 + 153) / 3600),
        longest_minutes=pytest.approx(617 / 60),
        env_steps=18 * 1000 + 153,
        commands={"mazero": "python -m mazero train", "no_awpo": "command 2", "qmix": "command 4"},
        memory_mb={"mazero": 512.5},
    )
    assert evidence.read(evidence.write(found, tmp_path).parent) == found


def store_identity(directory: Path) -> str:
    return directory.parent.name.removeprefix("mazero-")


def test_evidence_of_a_study_published_before_it_was_kept(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    """Its page says the same, word for word."""
    finished(tmp_path / "root", *data)
    publish(data, tmp_path / "root", tmp_path / "out")
    (tmp_path / "out" / "evidence.json").unlink()
    found = evidence.read(tmp_path / "out")
    assert found.lines() == EVIDENCE.lines() and [*found.commands.values()] == [*EVIDENCE.commands.values()]
    page = tmp_path / "out" / "COMMAND.md"
    page.write_text(page.read_text(encoding="utf-8").replace("- cost: 3 runs", "- cost: some runs"), encoding="utf-8")
    with pytest.raises(StudyError, match=r"COMMAND\.md: its list lacks the cost of the runs"):
        evidence.read(tmp_path / "out")
    page.unlink()
    with pytest.raises(StudyError, match=r"neither evidence\.json nor COMMAND\.md beside the table"):
        evidence.read(tmp_path / "out")
    write_json(tmp_path / "out" / "evidence.json", {"runs": 3})
    with pytest.raises(StudyError, match=r"evidence\.json: not the evidence of a study"):
        evidence.read(tmp_path / "out")


def test_what_all_runs_agree_on_needs_no_count(data: tuple[pd.DataFrame, Study], tmp_path: Path) -> None:
    study = replace(data[1], groups={"matrix": data[1].groups["matrix"]})
    for run in study.runs():
        directory = place(study, run, tmp_path / "toy")
        directory.mkdir(parents=True)
        write_json(directory / "provenance.json", {"sessions": [{}]})
        write_json(directory / "done.json", {"wall_seconds": 0, "env_steps": 0})
    found = gather(study, tmp_path / "toy")
    assert (found.commits, found.threads, found.unit_data) == (("unknown",), ("unknown",), ())
    assert found.commands == dict.fromkeys(("mazero", "no_awpo", "qmix"), "unknown")


@pytest.mark.parametrize("sessions", [None, [], {}, {"a": 1}, ["text"], [{}, 1]])
def test_a_run_without_sessions_is_refused(data: tuple[pd.DataFrame, Study], tmp_path: Path, sessions: Any) -> None:
    run = next(data[1].runs())
    study = data[1]
    directory = place(study, run, tmp_path / "toy")
    directory.mkdir(parents=True)
    write_json(directory / "provenance.json", {"sessions": sessions})
    write_json(directory / "done.json", {"wall_seconds": 0, "env_steps": 0})
    with pytest.raises(StudyError, match=r"provenance\.json: expected a list of sessions, got "):
        gather(study, tmp_path / "toy")
