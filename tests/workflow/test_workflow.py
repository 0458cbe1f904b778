"""The workflow plans the right jobs, survives failures and kills, and redoes nothing that is finished."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from analysis.store import directory
from analysis.study import Study
from analysis.study_files import load_studies, load_study
from tests.analysis.synthetic import study_document, write_study

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
STUDIES = f"studies={ROOT / 'workflow' / 'studies'}"

TABLE = "results/toy/evaluations.csv"


def planned(output: str) -> dict[str, int]:
    """Job name -> count, from the table that a dry run prints."""
    table = output.partition("Job stats:")[2].partition("\n\n")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}


class Sandbox:
    """A working directory with one small study and a training that takes no time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = small_document()
        for name in ("studies", "fail", "hang"):
            (path / name).mkdir()
        self.write(self.document)
        python = path / "python"
        python.write_text(
            f"#!{sys.executable}\n" + (ROOT / "tests/workflow/fake_python.py").read_text(), encoding="utf-8"
        )
        text = python.read_text(encoding="utf-8").replace("Path(__file__).resolve().parents[2]", repr(str(ROOT)))
        python.write_text(text, encoding="utf-8")
        python.chmod(0o755)
        self.environment = os.environ | {
            "FAKE_STUDY": str(path / "studies" / "toy.yaml"),
            "FAKE_CALLS": str(path / "calls.txt"),
            "FAKE_FAIL": str(path / "fail"),
            "FAKE_HANG": str(path / "hang"),
            "PYTHONPATH": str(ROOT),
        }

    def write(self, document: dict[str, Any]) -> None:
        write_study(self.path / "studies", document)

    def command(self, *arguments: str) -> list[str]:
        config = ["--config", f"studies={self.path / 'studies'}", f"python={self.path / 'python'}"]
        return [*SNAKEMAKE, "--cores", "2", *arguments, *config]

    def run(self, *arguments: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command(*arguments), *options],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def plan(self, target: str) -> dict[str, int]:
        result = self.run("-n", target)
        assert result.returncode == 0, result.stderr
        return planned(result.stdout + result.stderr)

    def study(self) -> Study:
        return load_study(self.path / "studies" / "toy.yaml")

    def place(self, name: str) -> str:
        """Directory of the run that the study calls backend/map/algorithm/seed=n, relative to the sandbox."""
        run = next(run for run in self.study().runs() if run.path.as_posix() == name)
        return f"results/{directory(self.study(), run).as_posix()}"

    def calls(self) -> list[str]:
        file = self.path / "calls.txt"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def small_document() -> dict[str, Any]:
    document = study_document()
    del document["groups"]["matrix"], document["algorithms"]["qmix"], document["groups"]["smac"]["presets"]["qmix"]
    return document


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    yield Sandbox(tmp_path)


def test_dry_run_plans_every_run_of_every_study_once(tmp_path: Path) -> None:
    studies, faults = load_studies(ROOT / "workflow" / "studies")
    assert not faults
    assert {"quickstart", "reference_3m", "matrix"} <= set(studies)
    command = [*SNAKEMAKE, "--cores", "2", "-n", *studies, "--config", STUDIES]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    runs = [directory(study, run) for study in studies.values() for run in study.runs()]
    assert len(list(studies["quickstart"].runs())) == 52  # 6 algorithms on 3m and 5 on 4 matrix games, 2 seeds
    assert len(list(studies["easy_maps"].runs())) == 87  # 3 algorithms, (3 + 1) maps x 5 seeds + 3 maps x 3 seeds
    assert len(runs) > len(set(runs))  # some are shared
    expected = dict.fromkeys(("warm_up", "collect", "tables", "films", "report"), len(studies)) | dict.fromkeys(
        studies, 1
    )
    expected |= {"over_paper": sum(study.over_paper for study in studies.values())}
    expected |= {"all_maps": sum(study.all_maps for study in studies.values())}
    expected |= {"agent_costs": sum(study.agent_costs for study in studies.values())}
    groups = sum(len(study.groups) for study in studies.values())
    expected |= {"train": len(set(runs)), "figures": groups, "export": groups}
    assert planned(result.stdout + result.stderr) == {**expected, "total": sum(expected.values())}


def test_without_a_target_what_reproduces_the_paper_is_made(tmp_path: Path) -> None:
    """No flag for the profile either: it lies where Snakemake looks."""
    studies, _ = load_studies(ROOT / "workflow" / "studies")
    command = [*SNAKEMAKE, "--cores", "2", "-n", "--config", STUDIES]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "workflow specific profile" in result.stderr and "profiles/default" in result.stderr
    jobs = planned(result.stdout + result.stderr)
    wanted = [study for study in studies.values() if study.reproduces]
    assert wanted and jobs["all"] == 1 and jobs["report"] == len(wanted)
    assert jobs["train"] == len({directory(study, run) for study in wanted for run in study.runs()})


def test_options_make_another_study_of_each_with_a_folder_of_its_own(sandbox: Sandbox) -> None:
    result = sandbox.run("-n", "-p", "toy", options=["scale=tiny", "maps=3m", "seeds=0,5-6"])
    assert result.returncode == 0, result.stderr
    output = result.stdout + result.stderr
    assert planned(output)["train"] == 6 and "output: results/toy_tiny_seeds_0_5_6/report.md" in output
    assert "--scale tiny --maps 3m --seeds 0,5-6" in output and "--env-steps 200 --eval-every 100" in output
    result = sandbox.run("-n", "toy", options=["maps=3m,8m"])
    assert result.returncode != 0 and "error: maps: no study has '8m'" in result.stderr


def test_the_bare_command_tells_its_cost_and_makes_the_reproduction(sandbox: Sandbox) -> None:
    """No target, no profile: what reproduces something is made, from training to report; then nothing is left to do."""
    sandbox.document["reproduces"] = "nothing but itself"
    sandbox.write(sandbox.document)
    more = write_study(sandbox.path / "studies", {**sandbox.document, "name": "more", "seeds": [0, 1, 2]})
    sandbox.environment["FAKE_STUDY"] = str(more)
    write_study(sandbox.path / "studies", {**small_document(), "name": "left_alone"})
    estimate = sandbox.run("estimate")
    assert estimate.returncode == 0 and sandbox.calls() == []
    assert re.search(r"^more +6 +0 +0\.0 +\d+\.\d min$", estimate.stdout, flags=re.MULTILINE), estimate.stdout
    result = sandbox.run()
    assert result.returncode == 0, result.stderr
    assert re.search(r"^in all +6 +0 +0\.0 ", result.stderr, flags=re.MULTILINE)  # two studies share four of them
    assert sorted(path.parent.name for path in sandbox.path.glob("results/*/report.html")) == ["more", "toy"]
    assert (sandbox.path / "results" / "report.html").is_file()
    assert len([call for call in sandbox.calls() if "warmup" not in call]) == 6
    assert "Nothing to be done" in (again := sandbox.run()).stdout + again.stderr


def test_command_line_of_a_run_comes_from_the_study(sandbox: Sandbox) -> None:
    place = sandbox.place("skirmish/3m/no_awpo/seed=1")
    result = sandbox.run("-n", "-p", f"{place}/done.json")
    assert (
        "-m mazero train --map 3m --seed 1 --backend skirmish --preset laptop --env-steps 400 --eval-every 100"
        " --eval-episodes 32 --device cpu --set replay.start=100 --set loss.awpo=false"
        f" --out {place} --threads 1 --progress lines $TENSORBOARD 2>&1 | tee -a {place}.log"
    ) in result.stdout + result.stderr
    assert "NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 " in result.stdout + result.stderr


def test_game_version_of_a_study_reaches_the_run_and_its_results(sandbox: Sandbox) -> None:
    sandbox.document["groups"]["smac"]["env"] = {"game_version": "4.10"}  # a text that looks like a number
    sandbox.write(sandbox.document)
    result = sandbox.run("-p", TABLE)
    assert result.returncode == 0, result.stderr
    assert (
        "--device cpu --env 'game_version=\"4.10\"' --set replay.start=100 --out results/runs/"
        in result.stdout + result.stderr
    )
    with open(sandbox.path / TABLE, encoding="utf-8") as file:
        assert {row["unit_data"] for row in csv.DictReader(file)} == {"4.10"}


def test_a_backend_that_is_not_there_ends_the_plan_with_one_line(sandbox: Sandbox) -> None:
    result = subprocess.run(
        [*sandbox.command("-n", "-p", "toy"), "backend=smac"],
        cwd=sandbox.path,
        env={key: value for key, value in sandbox.environment.items() if key != "SC2PATH"},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "error: study toy_smac, smac/3m/mazero: " in result.stderr and "docs/starcraft.md" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("groups", "smac", "maps", ["3mm"]), "unknown map '3mm'"),
        (("groups", "smac", "presets", {"mazero": "labtop"}), "unknown preset 'labtop': did you mean 'laptop'?"),
        (("algorithms", "no_awpo", "preset", "labtop"), "unknown preset 'labtop': did you mean 'laptop'?"),
        (("algorithms", "no_awpo", "overrides", {"loss.awpoo": False}), "unknown setting 'loss.awpoo': did you mean"),
        (("algorithms", "no_awpo", "overrides", {"loss.awpo_alpha": "much"}), "loss.awpo_alpha must be of type float"),
    ],
)
def test_what_training_would_refuse_ends_the_plan_with_one_line(
    sandbox: Sandbox, change: tuple[str, str, str, Any], message: str
) -> None:
    room, key, field, value = change
    sandbox.document[room][key][field] = value
    sandbox.write(sandbox.document)
    result = sandbox.run("-n", "toy")
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode != 0 and len(lines) == 1 and "Traceback" not in result.stderr
    assert f"error: study toy, skirmish/{'3mm' if '3mm' in message else '3m'}/" in lines[0] and message in lines[0]
    assert sandbox.calls() == []


def test_wrong_study_stops_before_anything_runs_with_one_line(sandbox: Sandbox) -> None:
    sandbox.document["seeds"] = [0, 0]
    sandbox.write(sandbox.document)
    result = sandbox.run("toy")
    lines = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    assert result.returncode != 0
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    assert lines[0].startswith("error: ") and "seeds: 0 given more than once" in lines[0]
    assert sandbox.calls() == [] and not (sandbox.path / "results").exists()


def test_one_wrong_file_does_not_stand_in_the_way_of_other_studies(sandbox: Sandbox) -> None:
    (sandbox.path / "studies" / "draft (1).yaml").write_text("name: [", encoding="utf-8")
    (sandbox.path / "studies" / "café.yaml").write_bytes("name: café".encode("latin-1"))
    result = sandbox.run("-n", "toy")
    assert result.returncode == 0, result.stderr
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: study left out: ")]
    assert len(warnings) == 2 and "not UTF-8 text (byte 9)" in result.stderr and "not valid YAML" in result.stderr


ODD = "od d/$(touch pwned) `touch pwned`; touch pwned 'é\" && x"


def test_no_name_of_a_folder_is_taken_for_a_command(sandbox: Sandbox) -> None:
    """Spaces, quotes and everything a shell would run: the study ends in a folder of that very name."""
    odd = sandbox.path / ODD
    odd.mkdir(parents=True)
    sandbox.document["seeds"], sandbox.document["algorithms"] = (
        [0],
        {"mazero": {"program": "mazero", "label": "$x & $y"}},
    )
    sandbox.write(sandbox.document)
    (sandbox.path / "studies").rename(odd / "studies")
    command = [*SNAKEMAKE, "--cores", "2", "toy", "--config"]
    command += [f"studies={odd / 'studies'}", f"python={sandbox.path / 'python'}", f"results={odd / 'results'}"]
    environment = sandbox.environment | {"FAKE_STUDY": str(odd / "studies" / "toy.yaml")}
    result = subprocess.run(command, cwd=sandbox.path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (odd / "results" / "toy" / "report.md").is_file()
    assert not list(sandbox.path.rglob("pwned"))


@pytest.mark.parametrize("name", ["a{b}", "a<b>", "a*", "-rf"])
def test_a_folder_name_that_snakemake_would_take_apart_is_refused(sandbox: Sandbox, name: str) -> None:
    result = subprocess.run(
        [*sandbox.command("-n", "toy"), f"results={name}"],
        cwd=sandbox.path,
        env=sandbox.environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0 and "error: results must be a folder's name without" in result.stderr


def test_two_do_not_work_in_one_folder(sandbox: Sandbox) -> None:
    """A process of that name there ends the start, before any job; in another folder, or in a dry run, it does not."""
    script = sandbox.path / "snakemake"
    script.write_text(f"#!{sys.executable}\nimport time\nprint(flush=True)\ntime.sleep(60)\n", encoding="utf-8")
    script.chmod(0o755)
    for arguments, folder, allowed in ((["toy"], sandbox.path, False), (["-n"], sandbox.path, True)):
        with subprocess.Popen([str(script), *arguments], cwd=folder, stdout=subprocess.PIPE) as busy:
            assert busy.stdout is not None and busy.stdout.readline()
            result = sandbox.run("results/toy/.warmup.done")
            busy.kill()
        assert (result.returncode == 0) == allowed
        complaint = f"error: Snakemake is at work in {sandbox.path} already (process {busy.pid}): wait, or end it by"
        assert (complaint in result.stderr) != allowed
        assert (sandbox.calls() == ["warmup 3m"]) == allowed


def test_failed_run_keeps_its_files_and_is_the_only_one_done_again(sandbox: Sandbox) -> None:
    (sandbox.path / "fail" / "no_awpo-1").touch()
    first = sandbox.run(TABLE)
    failed, other = (
        sandbox.path / sandbox.place(f"skirmish/3m/{name}") for name in ("no_awpo/seed=1", "mazero/seed=0")
    )
    assert first.returncode != 0
    assert "Error in rule train" in first.stderr  # the exit code of training is not hidden by the pipe into its log
    assert "MissingOutputException" not in first.stderr
    assert sandbox.calls()[0] == "warmup 3m"
    once = ["3m mazero-0 1", "3m mazero-1 1", "3m no_awpo-0 1"]
    assert sorted(sandbox.calls()[1:]) == [*once, *3 * ["3m no_awpo-1 1"]]  # which is tried three times
    assert "3m mazero-0 starts" in first.stdout + first.stderr  # a line of the run reaches the terminal ...
    assert Path(f"{other}.log").read_text(encoding="utf-8") == "3m mazero-0 starts\n"  # ... and its log
    assert (failed / "metrics.jsonl").exists()  # what the next attempt goes on from
    assert not (failed / "done.json").exists()
    assert not (sandbox.path / "results" / "toy" / "evaluations.csv").exists()

    (sandbox.path / "fail" / "no_awpo-1").unlink()
    second = sandbox.run(TABLE)
    assert second.returncode == 0, second.stderr
    assert sandbox.calls()[7:] == ["3m no_awpo-1 1"]
    assert "3m no_awpo-1 goes on" in second.stdout + second.stderr
    assert (sandbox.path / "results" / "toy" / "evaluations.csv").exists()

    # Nothing is left to do, also without the marker of the warm-up.
    (sandbox.path / "results" / "toy" / ".warmup.done").unlink()
    assert sandbox.plan(TABLE) == {}

    # Another override redoes the two runs that it changes, another seed adds one run per algorithm; two stay.
    overrides = sandbox.document["algorithms"]["no_awpo"]["overrides"]
    overrides["loss.awpo_alpha"] = 1.0
    sandbox.document["seeds"] = [0, 1, 2]
    sandbox.write(sandbox.document)
    plan = sandbox.plan(TABLE)
    assert (plan["train"], plan["warm_up"], plan["collect"]) == (4, 1, 1)

    # Spelled so that both algorithms are one configuration, they share their runs: one seed is new.
    overrides |= {"loss.awpo_alpha": 3.0, "loss.awpo": True}
    sandbox.write(sandbox.document)
    assert sandbox.plan(TABLE)["train"] == 1


def test_partial_plans_no_run_and_is_refused_where_nothing_is_finished(sandbox: Sandbox) -> None:
    for value, message in (("true", "no run of any study is"), ("maybe", "partial must be true or false, got 'maybe'")):
        result = sandbox.run("-n", "toy", options=[f"partial={value}"])
        assert result.returncode != 0 and message in result.stderr, result.stderr
    study = sandbox.study()
    finished = [run for run in study.runs() if (run.algorithm, run.seed) != ("no_awpo", 1)]
    for run in finished:
        (sandbox.path / "results" / directory(study, run)).mkdir(parents=True)
        (sandbox.path / "results" / directory(study, run) / "done.json").touch()
    result = sandbox.run("-n", "-p", "toy", options=["partial=true"])
    assert result.returncode == 0, result.stderr
    output = result.stdout + result.stderr
    jobs = planned(output)
    assert "train" not in jobs and jobs["report"] == 1 and "results/toy_partial/report.html" in output
    assert '"seeds":[0],"finished":3,"planned":4' in output  # which every command is told
    assert sandbox.plan("toy")["train"] == 1  # never silently


@pytest.mark.slow
def test_killed_workflow_goes_on(sandbox: Sandbox) -> None:
    (sandbox.path / "hang" / "mazero-1").touch()
    process = subprocess.Popen(
        sandbox.command("toy"),
        cwd=sandbox.path,
        env=sandbox.environment,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    waiting = sandbox.path / sandbox.place("skirmish/3m/mazero/seed=1") / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if waiting.exists() and len(list(sandbox.path.glob("results/runs/**/done.json"))) == 3:  # all the others
            break
        time.sleep(0.1)
    time.sleep(6)  # until Snakemake has noticed
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (sandbox.path / "hang" / "mazero-1").unlink()
    result = sandbox.run("toy")  # the same command
    assert result.returncode == 0, result.stderr
    assert sandbox.calls()[5:] == ["3m mazero-1 1"]
    assert (sandbox.path / "results" / "toy" / "report.html").exists()
    assert (sandbox.path / "results" / "toy" / "figures" / "smac" / "win_rate.png").exists()
    assert sandbox.plan("toy") == {}


@pytest.mark.slow
def test_lint_finds_nothing(tmp_path: Path) -> None:
    result = subprocess.run(
        [*SNAKEMAKE, "--lint", "--config", STUDIES],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and "Congratulations" in result.stdout + result.stderr, result.stderr


@pytest.mark.slow
def test_the_bare_command_in_a_clone_trains_and_reports(tmp_path: Path) -> None:
    """The real programs, at the tiny scale: report, claims and the exchange format; then nothing is left to do."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(clone)], check=True)
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "scale=tiny", "maps=matrix_1", "seeds=0"]
    result = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    root = clone / "results" / "matrix_tiny_maps_matrix_1_seeds_0"
    page = (root / "report.md").read_text(encoding="utf-8")
    assert (root / "report.html").is_file() and (
        clone / "results" / "report_scale_tiny_maps_matrix_1_seeds_0.html"
    ).is_file()
    assert "200 environment steps per run, evaluated every 100 on 2 greedy episodes" in page
    assert (root / "marl_eval" / "matrix.json").is_file() and (clone / "results" / "fig1" / "fig1.png").is_file()
    claims = (clone / "results" / "claims_scale_tiny_maps_matrix_1_seeds_0.md").read_text(encoding="utf-8")
    assert "3 inconclusive" in claims  # one seed says nothing
    assert len(list(clone.glob("results/runs/matrix/matrix_1/*/seed=0/done.json"))) == 5
    again = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
