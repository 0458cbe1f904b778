"""A whole run by hand, under a clock of its own: every record, report, file and seed, in one go and in two sessions."""

import hashlib
import json
import signal

import numpy as np
import pytest

from tests.training.toy import Toy
from training import checkpoint, loop
from training.evaluation import pooled
from training.identity import identity
from training.loop import EXIT_DIVERGED, Schedule, StopSignal, train
from training.rows import Growing
from training.run import RunDirectory
from training.seeding import absolute_seed, evaluation_seed

SHARES = {0: 0.0, 2: 740 % 101 / 101, 4: 1480 % 101 / 101, 5: 1850 % 101 / 101}  # by updates; the third is the best
COUNTS = {0: (0, 0, 0), 2: (6, 2, 1), 4: (12, 4, 2), 5: (15, 5, 2)}


@pytest.fixture
def clock(monkeypatch):
    """Seconds; a step takes 1, an evaluation 0.1236."""
    now = [1000.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    return now


class Timed(Toy):
    """Lets the clock go on; drains its losses."""

    def __init__(self, clock, **kwargs):
        super().__init__(**kwargs)
        self.clock, self.told = clock, True

    def advance(self):
        self.clock[0] += 1.0
        super().advance()
        self.told = False

    def drain_metrics(self):
        told, self.told = self.told, True
        return {} if told else super().drain_metrics()

    def evaluate(self, seed):
        self.clock[0] += 0.1236
        return super().evaluate(seed)


class Listener:
    """A reporter that writes down what it hears."""

    def __init__(self):
        self.heard = []

    def advance(self, env_steps):
        self.heard.append(env_steps)

    def record(self, record):
        self.heard.append(record)

    def close(self):
        self.heard.append("closed")


def counts(updates):
    return dict(zip(("env_steps", "updates", "episodes"), COUNTS[updates], strict=True))


def result(share):
    return {"num_episodes": 4, "win_rate": share, "return_mean": share, "return_std": 0.0, "length_mean": 6.0}


def eval_record(mark, updates, seconds):
    return {"kind": "eval", "mark": mark, **counts(updates), "wall_seconds": seconds} | result(SHARES[updates])


def train_record(updates, seconds):
    return {"kind": "train", **counts(updates), "wall_seconds": seconds, "loss": 1 / (1 + updates)}


EVAL_0 = eval_record(0, 0, 0.124)
AT_6 = [train_record(2, 2.124), eval_record(6, 2, 2.247)]
AT_12 = [train_record(4, 4.247), eval_record(12, 4, 4.371)]
AT_14 = [train_record(5, 5.371), eval_record(14, 5, 5.494)]
ABSOLUTE = {"kind": "absolute", "mark": 12, "wall_seconds": 6.73} | pooled([result(SHARES[4])] * 10)
SECONDS = {k: v for k, v in ABSOLUTE.items() if k == "wall_seconds"}
RECORD = {"config": {"rho": 0.5}, "seed": 3}
KEY = {"identity": identity(RECORD), "seed": 3}


def start(path, learner, *, record=RECORD, listeners=(), **schedule):
    run = RunDirectory(path)
    with run.claim(record):
        return train(learner, run, Schedule(**{"env_steps": 14, "eval_every": 6} | schedule), lambda _: listeners)


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_a_whole_run_by_hand(tmp_path, clock):
    learner, listeners = Timed(clock), [Listener(), Listener()]
    assert SHARES[4] == max(SHARES.values())
    assert start(tmp_path, learner, listeners=listeners) == 0
    assert lines(tmp_path) == [{"kind": "run", **KEY}, EVAL_0, *AT_6, *AT_12, *AT_14, ABSOLUTE]
    assert listeners[0].heard == [EVAL_0, 3, 6, *AT_6, 9, 12, *AT_12, 15, *AT_14, ABSOLUTE, "closed"]
    assert listeners[1].heard == listeners[0].heard
    assert learner.seeds == [evaluation_seed(3, m) for m in (0, 6, 12, 14)] + [absolute_seed(3, k) for k in range(10)]
    raw = (tmp_path / "metrics.jsonl").read_bytes()
    assert json.loads((tmp_path / "done.json").read_text()) == {
        **KEY, "env_steps": 15, "updates": 5, "episodes": 2, "wall_seconds": 6.73, "final": AT_14[1],
        "absolute": ABSOLUTE, "metrics_sha256": hashlib.sha256(raw).hexdigest(),
    }  # fmt: skip
    assert learner.weights == 40  # the policy that was the best is in place


def test_a_stop_saves_everything_and_the_next_session_goes_on_with_its_clock(tmp_path, clock):
    first, second = Listener(), Listener()
    assert start(tmp_path, Timed(clock), listeners=[first], stop_at=7) == 0
    assert first.heard == [EVAL_0, 3, 6, *AT_6, 9, "closed"]
    raw = (tmp_path / "metrics.jsonl").read_bytes()
    saved = checkpoint.load(tmp_path / "checkpoint.pt", run=KEY)
    assert saved.pop("progress") == {
        "pending": [12, 14],
        "last_eval": AT_6[1],
        "best": {"mark": 6, "score": [SHARES[2], SHARES[2]], "policy": {"weights": 20}},
        "wall_seconds": pytest.approx(3 + 2 * 0.1236),
        "losses": {},
    }
    assert saved == {
        "run": KEY,
        "learner": {"counts": (9, 3, 1), "weights": 30},
        "metrics": (len(raw), hashlib.sha256(raw).hexdigest()),
    }
    clock[0] += 5000.0  # nobody is at work
    learner = Timed(clock)
    learner.told = False  # losses since the last record are part of the state of a learner that has any
    assert start(tmp_path, learner, listeners=[second]) == 0
    assert second.heard == [12, *AT_12, 15, *AT_14, ABSOLUTE, "closed"]
    assert lines(tmp_path) == [{"kind": "run", **KEY}, EVAL_0, *AT_6, *AT_12, *AT_14, ABSOLUTE]
    assert json.loads((tmp_path / "done.json").read_text())["wall_seconds"] == 6.73


def test_marks_that_are_passed_in_one_step_are_all_evaluated(tmp_path, clock):
    learner = Timed(clock)
    assert start(tmp_path, learner, env_steps=4, eval_every=1, record=RECORD | {"seed": 0}) == 0
    evals = [(r["mark"], r["env_steps"]) for r in lines(tmp_path) if r["kind"] == "eval"]
    assert evals == [(0, 0), (1, 3), (2, 3), (3, 3), (4, 6)]
    assert learner.seeds[:5] == [evaluation_seed(0, mark) for mark in range(5)]
    assert learner.seeds[5:] == [absolute_seed(0, k) for k in range(10)]
    assert [r["env_steps"] for r in lines(tmp_path) if r["kind"] == "train"] == [3, 6]


def test_a_stop_at_a_mark_comes_after_its_evaluation(tmp_path, clock):
    listener = Listener()
    assert start(tmp_path, Timed(clock), listeners=[listener], stop_at=6) == 0
    assert listener.heard == [EVAL_0, 3, 6, *AT_6, "closed"]
    assert start(tmp_path, Timed(clock), stop_at=0) == 0
    assert len(lines(tmp_path)) == 4


def test_the_smallest_schedules_are_allowed():
    assert Schedule(1, 1).marks == [0, 1]
    assert Schedule(30, 30, checkpoint_seconds=0.5, stop_at=0).marks == [0, 30]
    assert (Schedule(1, 1).checkpoint_seconds, Schedule(1, 1).stop_at) == (60.0, None)


def test_signals_are_caught_while_a_run_goes_on_and_given_back_afterwards(tmp_path):
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before, heard = [signal.getsignal(number) for number in numbers], []
    own = [lambda *_, n=number: heard.append(n) for number in numbers]
    for number, handler in zip(numbers, own, strict=True):
        signal.signal(number, handler)
    try:
        for number in numbers:
            with StopSignal() as stop:
                assert stop.received is None
                signal.raise_signal(number)
                assert stop.received == number
            assert [signal.getsignal(n) for n in numbers] == own
        with pytest.raises(RuntimeError, match="inside"), StopSignal():
            raise RuntimeError("inside")
        assert [signal.getsignal(n) for n in numbers] == own and heard == []
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_reporters_are_closed_however_a_run_ends(tmp_path, clock, error):
    class Failing(Timed):
        def advance(self):
            super().advance()
            if error is not None and self.updates == 2:
                raise error("a bug")

    listener, learner = Listener(), Failing(clock, diverges_at=6)
    if error is None:
        assert start(tmp_path, learner, listeners=[listener]) == EXIT_DIVERGED
    else:
        learner.diverges_at = None
        with pytest.raises(error, match="a bug"):
            start(tmp_path, learner, listeners=[listener])
    assert listener.heard == [EVAL_0, 3, "closed"] and not (tmp_path / "done.json").exists()


class Remembering(Toy):
    """Keeps a table that only grows beside its counts."""

    def __init__(self):
        super().__init__()
        self.table = np.zeros(0)

    def advance(self):
        super().advance()
        self.table = np.append(self.table, float(self.updates))

    def state_dict(self):
        table = self.table
        return super().state_dict() | {"table": Growing(0, len(table), lambda since: {"number": table[since:]})}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.table = state["table"].read(0)["number"]


def test_tables_lie_beside_the_checkpoint_until_the_run_is_finished(tmp_path):
    assert start(tmp_path, Remembering(), stop_at=7) == 0
    assert (tmp_path / "rows" / "0.rows").stat().st_size == 3 * 8
    learner = Remembering()
    assert start(tmp_path, learner, stop_at=10) == 0
    assert learner.table.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert np.fromfile(tmp_path / "rows" / "0.rows").tolist() == [1.0, 2.0, 3.0, 4.0]
    assert start(tmp_path, learner) == 0
    assert learner.table.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0] and not (tmp_path / "rows").exists()
