"""The training loop with a toy learner: marks, stop and resume, signals, finished runs."""

import json
import os
import shutil
import signal

import pytest

from tests.training.toy import Toy
from training.errors import UserError, require_finite
from training.loop import EXIT_DIVERGED, Schedule, train
from training.metrics import ABSOLUTE_TIMES, read_records, without_clock
from training.run import RunDirectory


class Counter(Toy):
    """A toy that sends a signal to its own process after some update."""

    def __init__(self, signal_at=None, number=signal.SIGTERM):
        super().__init__()
        self.signal_at, self.number = signal_at, number

    def advance(self):
        super().advance()
        if self.signal_at == self.updates:
            os.kill(os.getpid(), self.number)


@pytest.fixture(autouse=True)
def hang_ups_are_heard():
    """Also where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def start(path, learner, *, seed=0, rho=0.5, losses=dict, **schedule):
    run = RunDirectory(path)
    with run.claim({"config": {"rho": rho}, "seed": seed}):
        return train(learner, run, Schedule(**{"env_steps": 30, "eval_every": 10} | schedule), losses=losses)


def records(path):
    return [without_clock(r) for r in read_records(path / "metrics.jsonl")]


def test_evaluations_fall_on_their_marks_and_done_comes_last(tmp_path):
    assert start(tmp_path / "a", Counter()) == 0
    evals = [r for r in records(tmp_path / "a") if r["kind"] == "eval"]
    assert [(r["mark"], r["env_steps"]) for r in evals] == [(0, 0), (10, 12), (20, 21), (30, 30)]
    done = json.loads((tmp_path / "a" / "done.json").read_text())
    assert done["env_steps"] == 30
    assert without_clock(done["final"]) == evals[-1]


def test_losses_are_counted_over_all_sessions_of_a_run(tmp_path):
    learner = Counter()
    lost = lambda: {"game_faults": learner.env_steps + 1, "episodes_lost": learner.env_steps // 10}  # noqa: E731
    assert start(tmp_path / "a", learner, losses=lost, stop_at=15) == 0
    assert learner.env_steps == 15
    again = Counter()
    assert start(tmp_path / "a", again, losses=lambda: {"game_faults": 100, "episodes_lost": 0}) == 0
    found = [r for r in records(tmp_path / "a") if r["kind"] in ("eval", "absolute")]
    assert [r["game_faults"] for r in found] == [1, 13, 116, 116, 116]
    assert [r["episodes_lost"] for r in found] == [0, 1, 1, 1, 1]
    done = json.loads((tmp_path / "a" / "done.json").read_text())
    assert (done["game_faults"], done["episodes_lost"]) == (116, 1)
    start(tmp_path / "b", Counter())  # environments that lose nothing say nothing
    assert "game_faults" not in (tmp_path / "b" / "done.json").read_text()


def test_the_absolute_metric_is_the_best_policy_played_again_more_often_on_other_seeds(tmp_path):
    """The win rate goes up and down, so the best mark is not the last."""
    learner = Counter()
    start(tmp_path / "a", learner, eval_every=5)
    *_, absolute = records(tmp_path / "a")
    evals = [r for r in records(tmp_path / "a") if r["kind"] == "eval"]
    best = max(evals, key=lambda r: r["win_rate"])
    assert best is not evals[-1] and absolute["kind"] == "absolute"
    assert (absolute["mark"], absolute["win_rate"]) == (best["mark"], pytest.approx(best["win_rate"]))
    assert absolute["num_episodes"] == ABSOLUTE_TIMES * best["num_episodes"]
    assert not set(learner.seeds[: len(evals)]) & set(learner.seeds[len(evals) :])
    assert without_clock(json.loads((tmp_path / "a" / "done.json").read_text())["absolute"]) == absolute


def test_of_equally_good_policies_the_one_with_the_larger_return_then_the_later_is_the_best(tmp_path):
    class Equal(Counter):
        def evaluate(self, seed):
            returns = {0: 1.0, 40: 2.0, 70: 2.0, 100: 0.0}
            return super().evaluate(seed) | {"win_rate": 0.5, "return_mean": returns[self.weights]}

    start(tmp_path / "a", Equal())
    assert records(tmp_path / "a")[-1]["mark"] == 20


def test_a_kill_during_the_last_evaluation_costs_that_evaluation_only(tmp_path):
    class Dying(Counter):
        def evaluate(self, seed):
            if len(self.seeds) == 7:
                raise KeyboardInterrupt
            return super().evaluate(seed)

    start(tmp_path / "whole", Counter())
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "a", Dying())
    again = Counter()
    assert start(tmp_path / "a", again) == 0
    assert records(tmp_path / "a") == records(tmp_path / "whole") and len(again.seeds) == ABSOLUTE_TIMES


def test_runs_of_one_seed_are_evaluated_on_the_same_episodes_whatever_they_are(tmp_path):
    first, second, other, parts = Counter(), Counter(), Counter(), [Counter(), Counter()]
    start(tmp_path / "a", first)
    start(tmp_path / "b", second, rho=0.75)
    start(tmp_path / "c", other, seed=1)
    start(tmp_path / "d", parts[0], stop_at=14)
    start(tmp_path / "d", parts[1])
    assert first.seeds == second.seeds == parts[0].seeds + parts[1].seeds
    turns = 4 + ABSOLUTE_TIMES
    assert len({*first.seeds, *other.seeds}) == 2 * turns == 2 * len(first.seeds)
    assert all(0 <= seed < 2**63 for seed in first.seeds)


def test_stop_and_resume_writes_the_same_records_as_no_stop(tmp_path):
    start(tmp_path / "whole", Counter())
    assert start(tmp_path / "parts", Counter(), stop_at=14) == 0
    assert not (tmp_path / "parts" / "done.json").exists()
    start(tmp_path / "parts", Counter())
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_records_after_the_last_checkpoint_are_written_again_after_a_kill(tmp_path):
    start(tmp_path / "whole", Counter())
    start(tmp_path / "killed", Counter(), stop_at=14)
    with open(tmp_path / "killed" / "metrics.jsonl", "a") as file:  # what a killed process wrote after its checkpoint
        file.write(json.dumps(records(tmp_path / "whole")[-1] | {"wall_seconds": 1.0}) + '\n{"kind": "ev')
    start(tmp_path / "killed", Counter())
    assert records(tmp_path / "killed") == records(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_and_says_so_in_the_exit_code(tmp_path, number):
    start(tmp_path / "whole", Counter())
    assert start(tmp_path / "s", Counter(signal_at=3, number=number)) == 128 + number
    assert (tmp_path / "s" / "checkpoint.pt").exists() and not (tmp_path / "s" / "done.json").exists()
    start(tmp_path / "s", Counter())
    assert records(tmp_path / "s") == records(tmp_path / "whole")


def test_a_run_under_nohup_outlives_its_terminal(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert start(tmp_path / "a", Counter(signal_at=3, number=signal.SIGHUP)) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "a" / "done.json").exists()


def test_a_finished_run_is_left_alone(tmp_path):
    start(tmp_path / "a", Counter())
    before = (tmp_path / "a" / "metrics.jsonl").read_bytes()
    (tmp_path / "a" / "rows").mkdir()
    (tmp_path / "a" / "rows" / "0.rows").write_bytes(b"killed before these were removed")
    learner = Counter()
    assert start(tmp_path / "a", learner) == 0
    assert learner.env_steps == 0 and not (tmp_path / "a" / "rows").exists()
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("other", [{"seed": 1}, {"rho": 0.75}])
def test_the_checkpoint_of_another_run_is_not_continued(tmp_path, other):
    start(tmp_path / "a", Counter(), stop_at=14)
    start(tmp_path / "b", Counter(), stop_at=14, **other)
    shutil.copy(tmp_path / "b" / "checkpoint.pt", tmp_path / "a" / "checkpoint.pt")
    before, learner = (tmp_path / "a" / "metrics.jsonl").read_bytes(), Counter()
    with pytest.raises(UserError, match="must be one of run"):
        start(tmp_path / "a", learner)
    assert learner.env_steps == 0 and (tmp_path / "a" / "metrics.jsonl").read_bytes() == before


def damaged(lines, how, other):
    return {
        "deleted": None,
        "cut": lines[:-1],
        "out of order": [lines[0], lines[2], lines[1], *lines[3:]],
        "another run's": other,
        "edited": [line.replace(b'"win_rate": 0', b'"win_rate": 1') for line in lines],
    }[how]


@pytest.mark.parametrize("how", ["deleted", "cut", "out of order", "another run's", "edited"])
def test_metrics_that_are_not_what_the_checkpoint_followed_are_refused(tmp_path, how):
    start(tmp_path / "a", Counter(), stop_at=14)
    start(tmp_path / "b", Counter(), stop_at=14, seed=1)
    path = tmp_path / "a" / "metrics.jsonl"
    other = (tmp_path / "b" / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    changed = damaged(path.read_bytes().splitlines(keepends=True), how, other)
    path.unlink() if changed is None else path.write_bytes(b"".join(changed))
    with pytest.raises(UserError, match=r"metrics\.jsonl must begin with the \d+ bytes .*restore it from a copy"):
        start(tmp_path / "a", Counter())
    assert path.exists() == (changed is not None) and (changed is None or path.read_bytes() == b"".join(changed))


@pytest.mark.parametrize("where", ["advance", "evaluate"])
def test_a_learner_that_diverged_ends_the_run_with_one_line_and_keeps_its_checkpoint(tmp_path, caplog, where):
    class Diverging(Counter):
        def check(self):
            if self.env_steps >= 18:
                require_finite({"loss": 1.0, "grad_norm": float("nan")})

        def advance(self):
            super().advance()
            if where == "advance":
                self.check()

        def evaluate(self, seed):
            self.check()
            return super().evaluate(seed)

    start(tmp_path / "a", Diverging(), stop_at=14)
    before = (tmp_path / "a" / "checkpoint.pt").read_bytes()
    for _ in range(2):  # going on ends in the same way
        caplog.clear()
        assert start(tmp_path / "a", Diverging()) == EXIT_DIVERGED
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert "diverged after" in record.message and "(grad_norm is nan)" in record.message
        assert (tmp_path / "a" / "checkpoint.pt").read_bytes() == before and not (tmp_path / "a" / "done.json").exists()


def test_reporters_hear_where_a_run_goes_on(tmp_path):
    heard = []
    for stop_at in (14, None):
        run = RunDirectory(tmp_path / "a")
        with run.claim({"seed": 0}):
            train(Counter(), run, Schedule(30, 10, stop_at=stop_at), lambda step: heard.append(step) or [])
    assert heard == [0, 15]


def test_a_corrupt_checkpoint_stops_the_run_before_anything_is_overwritten(tmp_path):
    start(tmp_path / "a", Counter(), stop_at=14)
    (tmp_path / "a" / "checkpoint.pt").write_bytes(b"nonsense")
    before = (tmp_path / "a" / "metrics.jsonl").read_bytes()
    with pytest.raises(UserError, match="corrupt"):
        start(tmp_path / "a", Counter())
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == before


BAD = [
    {"env_steps": 0},
    {"eval_every": 0},
    {"eval_every": 31},
    {"stop_at": -1},
    {"env_steps": 100_001, "eval_every": 1},
]
BAD += [{"checkpoint_seconds": value} for value in (0, -1, float("nan"), float("inf"))]


@pytest.mark.parametrize("bad", BAD)
def test_bad_schedules_are_refused(bad):
    with pytest.raises(ValueError, match="must"):
        Schedule(**{"env_steps": 30, "eval_every": 10} | bad)


def test_the_budget_is_the_last_mark_even_if_it_is_no_multiple():
    assert Schedule(env_steps=25, eval_every=10).marks == [0, 10, 20, 25]
    assert Schedule(env_steps=20, eval_every=10).marks == [0, 10, 20]


def test_slow_checkpoints_come_seldom(tmp_path, monkeypatch):
    """A checkpoint that takes 4 seconds is written every 4 / 0.05 = 80 seconds at most, though 3 were asked for."""
    clock, saved = [0.0], []

    class Slow(Counter):
        def advance(self):
            super().advance()
            clock[0] += 3.0

        def state_dict(self):
            saved.append(clock[0])
            clock[0] += 4.0
            return super().state_dict()

    monkeypatch.setattr("training.loop.time.monotonic", lambda: clock[0])
    start(tmp_path / "a", Slow(), env_steps=300, checkpoint_seconds=3.0)
    assert saved == [3.0, 88.0, 173.0, 258.0, 316.0]  # the last one closes the run
