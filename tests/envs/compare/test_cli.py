"""`python -m envs compare` from the flags to the files, on the simulator and on its face behind worker processes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from baselines.__main__ import run as baselines
from envs.compare import cli as program
from envs.compare.battles import load
from envs.compare.cli import run
from envs.compare.sides import SCHEMA
from mazero.cli import run as mazero
from training.errors import UserError

FACE = ["--env", "factory=skirmish.env:StarCraft2Env"]
CHEAP = {"PERMUTATIONS": 100, "REPETITIONS": 100, "CHUNK": 100}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CHEAP.items():
        monkeypatch.setattr(program.difference, name, value)
    monkeypatch.setattr(program.cli, "set_up_process", lambda threads: None)


def compare(out: Path, *more: str, policy: str = "focus_fire", episodes: int = 6, name: str = "3m") -> dict:
    command = ["compare", "--map", name, "--policy", policy, "--episodes", str(episodes), "--out", str(out)]
    assert run([*command, "--games", "2", *more]) == 0
    document = json.loads((out / "comparison.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    return dict(document)


@pytest.mark.parametrize("policy", ["focus_fire", "heuristic"])
def test_two_backends(tmp_path: Path, policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = compare(tmp_path / "c", *FACE, "--record", policy=policy)
    there, here = document["sides"]
    assert (there["backend"], here["backend"]) == ("smac", "skirmish")
    assert there["game"] == "no StarCraft II (factory skirmish.env:StarCraft2Env)" and here["game"] == "4.10"
    assert there["env"] == {"factory": "skirmish.env:StarCraft2Env"} and here["env"] == {}
    assert (there["slots"], here["slots"]) == (2, 6)
    for side in (there, here):
        assert side["episodes"] == len(side["values"]["won"]) == 6 and side["discarded"] == 0
        battles, header = load(tmp_path / "c" / f"battles_{side['backend']}.npz")
        assert battles.lengths.tolist() == side["values"]["length"]
        assert header["kinds"] == ["marine"] and header["n_agents"] == 3 and header["game"] == side["game"]
        assert header["policy"] == {"script": policy}
    assert [d["measure"] for d in document["tests"][0]][:3] == ["won", "return", "length"]
    assert len(document["tests"]) == 1
    text = (tmp_path / "c" / "comparison.md").read_text()
    assert text in capsys.readouterr().out and "| Win rate |" in text
    assert {p.name for p in (tmp_path / "c").iterdir()} == {
        *("plan.json", "comparison.json", "comparison.md", "comparison.png", "comparison.pdf"),
        *("battles_smac.npz", "battles_skirmish.npz"),
    }


def test_one_side_is_compared_with_the_file_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = ("--backends", "skirmish")
    alone = compare(tmp_path / "a", *only, episodes=20)
    assert alone["tests"] == [] and len(alone["sides"]) == 1
    weaker = compare(tmp_path / "b", *only, "--env", "jitter_scale=0", "--seed", "5", episodes=20)
    both = compare(tmp_path / "c", *only, "--with", str(tmp_path / "b" / "comparison.json"), episodes=20)
    assert both["sides"][0]["values"] == alone["sides"][0]["values"]
    assert both["sides"][1] == weaker["sides"][0] and both["sides"][1]["env"] == {"jitter_scale": 0}

    def played(*arguments: object, **options: object) -> None:
        raise AssertionError("a finished comparison is not played again")

    figure = (tmp_path / "c" / "comparison.png").read_bytes()
    monkeypatch.setattr(program.playing, "play", played)
    again = compare(tmp_path / "c", *only, "--with", str(tmp_path / "b" / "comparison.json"), episodes=20)
    assert again == both and (tmp_path / "c" / "comparison.png").read_bytes() == figure
    fewer = compare(tmp_path / "c", *only, episodes=20)
    assert fewer["tests"] == [] and fewer["sides"] == [both["sides"][0]]


def test_battles_that_were_not_kept_are_played_again(tmp_path: Path) -> None:
    first = compare(tmp_path / "c", "--backends", "skirmish")
    assert not list((tmp_path / "c").glob("*.npz"))
    second = compare(tmp_path / "c", "--backends", "skirmish", "--record")
    assert first["sides"][0]["values"] == second["sides"][0]["values"]
    battles, _ = load(tmp_path / "c" / "battles_skirmish.npz")
    assert battles.won.astype(float).tolist() == second["sides"][0]["values"]["won"]


def test_a_trained_run_plays_on_both(tmp_path: Path) -> None:
    out = tmp_path / "qmix"
    command = ["train", "--algorithm", "qmix", "--map", "3m", "--preset", "low_data", "--seed", "100"]
    size = ["--env-steps", "60", "--eval-every", "60", "--eval-episodes", "1", "--progress", "none"]
    assert baselines([*command, *size, "--out", str(out), "--set", "agent.hidden_size=4"]) == 0
    document = compare(tmp_path / "c", *FACE, policy=str(out), episodes=4)
    assert document["policy"]["algorithm"] == "qmix" and document["policy"]["seed"] == 100
    assert document["policy"]["trained_on"] == "skirmish" and document["policy"]["best"] is False
    (out / "checkpoint.pt").write_bytes((out / "checkpoint.pt").read_bytes() + b"trained on")
    with pytest.raises(UserError, match=r"holds another comparison, with policy\.checkpoint_sha256"):
        compare(tmp_path / "c", *FACE, policy=str(out), episodes=4)
    (out / "checkpoint.pt").unlink()
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read \(No such file"):
        compare(tmp_path / "e", *FACE, policy=str(out), episodes=4)
    with pytest.raises(UserError, match="must be a run on 8m, got one on 3m"):
        compare(tmp_path / "d", policy=str(out), name="8m")


def test_mazero_plays_with_its_search(tmp_path: Path) -> None:
    out = tmp_path / "mazero"
    flags = ["--map", "3m", "--seed", "100", "--out", str(out), "--env-steps", "40", "--eval-every", "40"]
    small = [
        *("self_play.num_envs=2", "replay.start=20", "search.num_simulations=4", "search.num_sampled_actions=3"),
        *("optimiser.batch_size=4", "optimiser.updates_per_env_step=0.05", "network.support=50"),
    ]
    assert mazero(["train", *flags, "--eval-episodes", "1", "--progress", "none", "--set", *small]) == 0
    document = compare(tmp_path / "c", "--backends", "skirmish", policy=str(out), episodes=3)
    assert document["policy"]["algorithm"] == "mazero"
    again = compare(tmp_path / "d", "--backends", "skirmish", policy=str(out), episodes=3)
    assert again["sides"][0]["values"] == document["sides"][0]["values"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--map", "3n"], "unknown map '3n'"),
        (["--policy", "focusfire"], "unknown policy 'focusfire'.*'focus_fire'.*run is a policy too"),
        (["--policy", "no/such/run"], "no/such/run is not a run directory"),
        (["--backends", "smacv2"], "unknown backend 'smacv2'"),
        (["--backends", "skirmish,skirmish"], "backends must be different ones"),
        (["--backends", ","], "backends must be different ones"),
        (["--episodes", "1"], r"episodes must lie in 2\.\.10000, got 1"),
        (["--games", "0"], "games must lie in 1"),
        (["--seed", "-1"], "seed must lie in 0"),
        (["--env", "sight=3"], "unknown environment option 'sight'"),
        (["--env", "obs_noise=0.1"], "unknown environment option 'obs_noise'"),
        (["--env", "step_mul=no"], "step_mul"),
        (["--with", "nowhere.json"], "nowhere.json must be a comparison"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(tmp_path: Path, flags: list[str], message: str) -> None:
    given = {"--map": "3m", "--policy": "stop", "--backends": "skirmish", "--out": str(tmp_path / "c")}
    given |= {flags[0]: flags[1]}
    with pytest.raises(UserError, match=message):
        run(["compare", *(word for pair in given.items() for word in pair)])
    assert not (tmp_path / "c").exists()


def test_without_the_game_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"backend smac needs the StarCraft package|SC2PATH must name a folder"):
        compare(tmp_path / "c", policy="heuristic")


def test_files_of_other_comparisons_are_refused(tmp_path: Path) -> None:
    only = ("--backends", "skirmish")
    compare(tmp_path / "a", *only)
    for change, message in (
        ({"policy": "stop"}, "must be of policy {'script': 'stop'}"),
        ({"name": "8m"}, "must be of map 8m, got 3m"),
    ):
        with pytest.raises(UserError, match=message):
            compare(tmp_path / "b", *only, "--with", str(tmp_path / "a" / "comparison.json"), **change)
    with pytest.raises(UserError, match="must have steps of 4 game loops, got 8"):
        compare(tmp_path / "b", *only, "--env", "step_mul=4", "--with", str(tmp_path / "a" / "comparison.json"))
    document = json.loads((tmp_path / "a" / "comparison.json").read_text())
    document["sides"][0]["values"]["won"].pop()
    (tmp_path / "cut.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match="must have a value for each of 6 episodes"):
        compare(tmp_path / "b", *only, "--with", str(tmp_path / "cut.json"))
    with pytest.raises(UserError, match="holds another comparison, with episodes 6 and not 7"):
        compare(tmp_path / "a", *only, episodes=7)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("not to be touched")
    with pytest.raises(UserError, match="must be a new folder"):
        compare(tmp_path / "mine", *only)


def test_options_go_to_the_backends_that_have_them(tmp_path: Path) -> None:
    document = compare(tmp_path / "c", *FACE, "step_mul=4", "threats_first=false", policy="stop", episodes=2)
    there, here = document["sides"]
    assert there["env"] == {"factory": "skirmish.env:StarCraft2Env", "step_mul": 4}
    assert here["env"] == {"step_mul": 4, "threats_first": False}
    assert there["step_mul"] == here["step_mul"] == 4
    assert not np.isnan(np.array(here["values"]["length"], float)).any()
