"""The table of runs that were tried: every evaluation, what was changed, runs whose folders are gone."""

import csv
import json

import pytest

from analysis import tried
from analysis.tried import changed

COMMAND = ["python", "-m", "mazero", "train", "--map", "3m", "--set", "a.b=1", "c.d=x", "--env", "obs_noise=0.1", "--x"]


def run(root, name, seed, wins, *, done=False, commit="0123456789abcdef"):
    directory = root / name / f"3m_{seed}"
    directory.mkdir(parents=True)
    known = {"program": "mazero", "algorithm": "mazero", "preset": "laptop", "map": "3m", "backend": "skirmish"}
    config = known | {"unit_data": "4.10", "seed": seed, "budget": {"env_steps": 200}, "config": {}}
    (directory / "config.json").write_text(json.dumps(config))
    session = {"command": COMMAND, "git_commit": commit, "sources_sha256": "fedcba98"}
    (directory / "provenance.json").write_text(json.dumps({"sessions": [{"git_commit": "old"}, session]}))
    records = [{"kind": "eval", "env_steps": 100 * i, "win_rate": win} for i, win in enumerate(wins)]
    records += [{"kind": "train", "env_steps": 150}]
    if done:
        records += [{"kind": "absolute", "mark": 100 * wins.index(max(wins)), "win_rate": 0.75}]
    lines = [json.dumps(record) for record in records]
    (directory / "metrics.jsonl").write_text("\n".join(lines) + '\n{"kind": "eval", "env_st')
    if done:
        (directory / "done.json").write_text("{}")


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_evaluation_of_every_run_is_a_line(tmp_path):
    run(tmp_path, "b", 101, [0.0, 0.5, 0.25], done=True)
    run(tmp_path, "a", 100, [0.25])
    assert tried.main([str(tmp_path), "--out", str(tmp_path / "out.csv")]) == 0
    lines = read(tmp_path / "out.csv")
    assert tuple(lines[0]) == tried.COLUMNS
    found = [(row["name"], row["seed"], row["env_steps"], row["win_rate"], row["state"]) for row in lines]
    assert found == [
        ("a", "100", "0", "0.25", "stopped"),
        ("b", "101", "0", "0.0", "finished"),
        ("b", "101", "100", "0.5", "finished"),
        ("b", "101", "200", "0.25", "finished"),
        ("b", "101", "100", "0.75", "finished"),  # the best policy again, after all evaluations
    ]
    assert [row["kind"] for row in lines] == [*["eval"] * 4, "absolute"]
    assert {(row["commit"], row["changed"], row["budget"]) for row in lines} == {
        ("0123456", "a.b=1 c.d=x obs_noise=0.1", "200")
    }


def test_runs_of_other_backends_have_no_unit_data(tmp_path):
    run(tmp_path, "a", 100, [0.25])
    path = tmp_path / "a" / "3m_100" / "config.json"
    config = json.loads(path.read_text()) | {"backend": "gymnasium"}
    del config["unit_data"]
    path.write_text(json.dumps(config))
    assert tried.main([str(tmp_path), "--out", str(tmp_path / "out.csv")]) == 0
    assert [(row["backend"], row["unit_data"]) for row in read(tmp_path / "out.csv")] == [("gymnasium", "")]


def test_sources_outside_a_checkout_are_told_by_their_hash(tmp_path):
    run(tmp_path, "a", 100, [0.25], commit=None)
    assert tried.main([str(tmp_path), "--out", str(tmp_path / "out.csv")]) == 0
    assert [row["commit"] for row in read(tmp_path / "out.csv")] == ["sources fedcba9"]


def test_runs_that_are_gone_stay_and_others_are_renewed(tmp_path):
    out = tmp_path / "out.csv"
    for folder, wins in (("first", [0.0]), ("second", [0.0, 1.0])):
        run(tmp_path / folder, "a", 100, wins)
        if folder == "first":
            run(tmp_path / folder, "gone", 7, [0.125])
        assert tried.main([str(tmp_path / folder), "--out", str(out)]) == 0
    assert [(row["name"], row["win_rate"]) for row in read(out)] == [("a", "0.0"), ("a", "1.0"), ("gone", "0.125")]


def test_no_runs_is_an_error(tmp_path, capsys):
    assert tried.main([str(tmp_path), "--out", str(tmp_path / "out.csv")]) == 2
    assert "no evaluations below" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(("command", "words"), [(COMMAND, ["a.b=1", "c.d=x", "obs_noise=0.1"]), (COMMAND[:6], [])])
def test_what_a_command_changed(command, words):
    assert changed(command) == words
