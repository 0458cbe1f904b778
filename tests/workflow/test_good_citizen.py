"""What jobs ask for, who shares a job on a cluster, and what the ecosystem expects of a workflow."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from analysis.resources import memory_mb, runtime_minutes
from tests.workflow.test_workflow import ROOT, SNAKEMAKE, TABLE, Sandbox, planned


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_a_run_asks_for_what_its_settings_need(sandbox: Sandbox) -> None:
    """Memory and time by estimate, more with each attempt; rules without runs state theirs."""
    place = sandbox.place("skirmish/3m/no_awpo/seed=1")
    result = sandbox.run("-n", f"{place}/done.json", "results/toy/.warmup.done")
    study = sandbox.study()
    run = next(run for run in study.runs() if (run.algorithm, run.seed) == ("no_awpo", 1))
    needs = f"runtime={runtime_minutes(study, run)}, mem_mb={memory_mb(study, run)},"
    assert needs in result.stdout + result.stderr and "runtime=30, mem_mb=2000," in result.stdout + result.stderr
    assert memory_mb(study, run, attempt=2) == 2 * memory_mb(study, run)


def test_every_rule_that_runs_something_says_what_it_needs() -> None:
    """Log, memory, time, and how often it is tried."""
    files = [ROOT / "workflow" / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    rules = [rule for file in files for rule in re.split(r"^(?=rule )", file.read_text("utf-8"), flags=re.MULTILINE)]
    working = [rule for rule in rules if re.search(r"^    shell:", rule, flags=re.MULTILINE)]
    assert len(working) >= 10
    for rule in working:
        for directive in ("    log:", "    resources:", "        mem_mb=", "        runtime=", "    retries: "):
            assert f"\n{directive}" in rule, f"{rule.splitlines()[0]} lacks {directive.strip()}"


def test_short_runs_share_a_group_and_others_have_none(sandbox: Sandbox) -> None:
    """Of use on a cluster, where a job of seconds is a waste; a dry run shows groups too."""
    shared = sandbox.run("-n", TABLE)
    assert (shared.stdout + shared.stderr).count("Group job short ") == 4, shared.stdout
    alone = sandbox.run("-n", TABLE, options=["short_runs=0"])
    assert "Group job" not in alone.stdout + alone.stderr
    wrong = sandbox.run("-n", TABLE, options=["short_runs=few"])
    assert wrong.returncode != 0 and "error: short_runs must be seconds, got 'few'" in wrong.stderr


def test_the_conda_environment_is_that_of_the_lock_file() -> None:
    """One environment serves all rules; `--sdm conda` copies its file, which so cannot point to another."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (packages,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert packages == [line for line in lock if not line.startswith("#")]


def test_options_may_stand_in_a_file_of_the_working_directory() -> None:
    """As those of `.test` do, for `snakemake --directory .test`."""
    command = [*SNAKEMAKE, "--cores", "2", "--directory", str(ROOT / ".test"), "-n"]
    result = subprocess.run([*command, "matrix"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    output = result.stdout + result.stderr
    assert planned(output)["train"] == 5 and "results/matrix_tiny_maps_matrix_1_seeds_0/report.md" in output
