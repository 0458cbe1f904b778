"""Costs over the number of agents: numbers by hand from records of runs, the figure, the command, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import agent_costs
from analysis.__main__ import main
from analysis.study import Study, StudyError
from tests.analysis.synthetic import Runs, make_runs, make_study, study_document

TSV = "s\th:m:s\tmax_rss\tmax_vms\n12.3\t0:00:12\t{}\t999.0\n"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    document = study_document() | {"agent_costs": True}
    del document["groups"]["matrix"]
    document["groups"]["smac"]["maps"] = ["8m", "3m"]
    document["groups"]["smac"]["seeds"] = [0, 1]
    return make_study(tmp_path, document)


def records(directory: Path, *rows: dict[str, float]) -> None:
    """The training records of a run, in the place of those it has."""
    metrics = directory / "metrics.jsonl"
    kept = [line for line in metrics.read_text().splitlines() if '"kind": "train"' not in line]
    fixed = {"kind": "train", "episodes": 1, "wall_seconds": 1.0}
    metrics.write_text("".join(f"{line}\n" for line in [*kept, *(json.dumps(fixed | row) for row in rows)]))


def spent(steps: int, updates: int, *seconds: float, **more: float) -> dict[str, float]:
    return {"env_steps": steps, "updates": updates, **dict(zip(agent_costs.SPENT, seconds, strict=True)), **more}


@pytest.fixture
def root(tmp_path: Path, study: Study) -> Path:
    """Play of 100 simulations a step: 8 ms on 8m, 3 on 3m, in seed 1 two more; the first records would spoil them."""
    root = tmp_path / "results" / "toy"
    make_runs(study, root, lambda run, mark: 0.5)
    assert main(["collect", str(root), "--study", str(tmp_path / "toy.yaml")]) == 0
    runs = Runs(study, root)
    for name, ms in (("8m", 8.0), ("3m", 3.0)):
        for key in ("mazero", "no_awpo"):
            for seed in (0, 1):
                play = (ms + 2 * seed) / 1000
                records(
                    runs / f"skirmish/{name}/{key}/seed={seed}",
                    spent(100, 10, 99.0, 99.0, 99.0, parameters=1000 * ms),
                    spent(200, 30, 100 * play, 0.4, 0.6, parameters=1000 * ms),
                    spent(400, 50, 200 * play, 0.4, 0.2, parameters=1000 * ms),
                )
        directory = runs / f"skirmish/{name}/mazero/seed=0"
        directory.with_name("seed=0.tsv").write_text(TSV.format(100 * ms))
        directory.with_name("seed=1.tsv").write_text(TSV.format("-"))
    return root


def test_numbers_by_hand_in_the_order_of_team_sizes(study: Study, root: Path) -> None:
    table = agent_costs.table(study, root)
    assert list(zip(table["map"], table["agents"], table["algorithm"], table["runs"], strict=True)) == [
        ("3m", 3, "mazero", 2), ("3m", 3, "no_awpo", 2), ("8m", 8, "mazero", 2), ("8m", 8, "no_awpo", 2),
    ]  # fmt: skip
    first, large = table.iloc[0], table.iloc[2]
    assert (first["play_ms_per_step"], large["play_ms_per_step"]) == pytest.approx((4.0, 9.0))  # 3 and 5, 8 and 10
    assert (first["search_us_per_simulation"], large["search_us_per_simulation"]) == pytest.approx((40.0, 90.0))
    assert (first["update_ms"], first["targets_ms"]) == pytest.approx((20.0, 20.0))  # 0.8 s each, 40 updates
    assert (first["parameters"], large["parameters"]) == (3000, 8000)
    assert (first["memory_mb"], large["memory_mb"]) == (300, 800)  # of the run that says
    assert np.isnan(table.iloc[1]["memory_mb"])  # without_awpo was not measured


def test_a_single_record_is_taken_whole(study: Study, root: Path) -> None:
    directory = Runs(study, root) / "skirmish/3m/mazero/seed=0"
    records(directory, spent(200, 0, 2.0, 0.0, 0.0))
    costs = agent_costs.costs(directory)
    assert costs["play_ms_per_step"] == pytest.approx(10.0)
    assert np.isnan([costs["update_ms"], costs["targets_ms"], costs["parameters"]]).all()  # no update, no count


def test_the_figure_shows_every_algorithm_in_every_panel(study: Study, root: Path) -> None:
    table = agent_costs.table(study, root)
    figure = agent_costs.draw(table, study, made_by="skirmish, unit data 4.10")
    assert [axes.get_title() for axes in figure.axes] == list(agent_costs.PANELS.values())
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines] == ["MAZero", "without AWPO"]
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[3, 4], [8, 9]])
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["3", "8"]
    assert {text.get_text() for text in figure.axes[4].get_yticklabels()} >= {"5k"}  # 3,000 and 8,000 parameters
    unmeasured = agent_costs.draw(table.assign(memory_mb=np.nan), study, made_by="skirmish")
    assert "MB of memory" not in [axes.get_title() for axes in unmeasured.axes]


def test_the_command_and_the_page(study: Study, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = [str(root), "--study", str(tmp_path / "toy.yaml")]
    assert main(["agent_costs", *where]) == 0
    names = [root / "tables" / "agent_costs.csv", root / "tables" / "agent_costs.md"]
    names += [root / "figures" / f"agent_costs.{suffix}" for suffix in ("png", "pdf", "svg")]
    assert capsys.readouterr().out.split("\n")[:-1] == [str(name) for name in names]
    saved = pd.read_csv(names[0])
    pd.testing.assert_frame_equal(saved, agent_costs.table(study, root))
    assert "| smac | skirmish | 3m | 3 | MAZero | 2 | 4.00 |" in names[1].read_text()
    assert all(name.stat().st_size > 1000 for name in names[2:])


def test_they_are_drawn_again_without_the_runs(study: Study, root: Path, tmp_path: Path) -> None:
    where, out = [str(root), "--study", str(tmp_path / "toy.yaml")], tmp_path / "again"
    assert main(["agent_costs", *where]) == 0
    assert main(["redraw", *where, "--out", str(out)]) == 0
    for name in ("tables/agent_costs.csv", "tables/agent_costs.md", "figures/agent_costs.png"):
        assert (out / name).read_bytes() == (root / name).read_bytes(), name
    assert agent_costs.CAPTION in (out / "report.html").read_text(encoding="utf-8")
    (root / agent_costs.TABLE).write_text("group,backend\n")
    with pytest.raises(StudyError, match=r"agent_costs\.csv: lacks the columns agents, algorithm, .*; make it again"):
        agent_costs.redraw(study, root, made_by="skirmish")


def test_runs_that_do_not_record_it(study: Study, root: Path, tmp_path: Path) -> None:
    directory = Runs(study, root) / "skirmish/8m/no_awpo/seed=1"
    records(directory)  # too short for an episode to end
    assert np.isnan([*agent_costs.costs(directory).values()]).all()
    nothing = agent_costs.table(study, root).assign(**dict.fromkeys(agent_costs.PANELS, np.nan))
    agent_costs.draw(nothing, study, made_by="skirmish").draw_without_rendering()
    records(directory, {"env_steps": 1, "updates": 1})
    with pytest.raises(
        StudyError, match=r"metrics\.jsonl: no training record with self_play_seconds, .*update_seconds; make"
    ):
        agent_costs.table(study, root)
    (directory / "metrics.jsonl").unlink()
    with pytest.raises(StudyError, match=r"metrics\.jsonl: .*No such file.*; make the run again"):
        agent_costs.table(study, root)
    document = study_document("none") | {"agent_costs": True}
    document["algorithms"] = {"qmix": document["algorithms"]["qmix"]}
    for group in document["groups"].values():
        del group["overrides"], group["presets"]["mazero"]
    with pytest.raises(StudyError, match="study none: agent_costs needs runs of mazero, got none"):
        agent_costs.table(make_study(tmp_path, document), root)
