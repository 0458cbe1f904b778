"""What a person sees, letter by letter: lines, bar, TensorBoard, and silence where nobody looks any more."""

import io
import os
import sys
from types import SimpleNamespace

import pytest

from training import progress
from training.progress import Bar, Lines, TensorBoard, Unbreakable, make_reporters

EVAL = {"kind": "eval", "mark": 50, "env_steps": 52, "updates": 7, "win_rate": 0.256, "return_mean": 3.14159,
        "wall_seconds": 12.7}  # fmt: skip
TRAIN = {"kind": "train", "env_steps": 52, "loss": 0.5}
ABSOLUTE = {"kind": "absolute", "mark": 50, "wall_seconds": 14.0, "win_rate": 0.5, "return_mean": -2.0,
            "num_episodes": 320}  # fmt: skip


class Screen(io.StringIO):
    """Counts how often it is flushed."""

    flushed = 0

    def flush(self):
        self.flushed += 1


def test_evaluations_are_lines():
    screen = Screen()
    lines = Lines("3m", 1000, screen)
    for record in (TRAIN, EVAL, TRAIN):
        lines.advance(52)
        lines.record(record)
    assert screen.getvalue() == "3m    50/1000 steps  win 0.26  return    3.14      13 s\n" and screen.flushed == 1
    lines.record(ABSOLUTE)
    lines.close()
    assert screen.getvalue().splitlines()[1:] == [
        "3m  best policy, of step 50, again: win 0.50  return   -2.00  over 320 episodes"
    ]
    assert screen.flushed == 2


class FakeBar:
    """In the place of tqdm."""

    def __init__(self, asked):
        self.asked, self.total, self.n, self.shown, self.closed = asked, asked["total"], 0, [], False

    def update(self, steps):
        self.n += steps

    def set_postfix_str(self, text):
        self.shown.append(text)

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    """Bars that were made."""
    made = []

    def tqdm(**asked):
        made.append(FakeBar(asked))
        return made[-1]

    monkeypatch.setattr(progress, "tqdm", tqdm)
    return made


def test_a_bar_follows_the_steps_up_to_the_budget_and_shows_the_last_evaluation(bars):
    bar = Bar("3m", 100, "screen")
    (shown,) = bars
    assert shown.asked == {"total": 100, "desc": "3m", "unit": "step", "file": "screen", "dynamic_ncols": True}
    for steps, expected in ((30, 30), (30, 30), (75, 75), (105, 100)):
        bar.advance(steps)
        assert shown.n == expected
    for record in (TRAIN, EVAL, TRAIN, ABSOLUTE):
        bar.record(record)
    assert shown.shown[0] == "win 0.26 return 3.14" and not shown.closed
    bar.close()
    assert shown.closed


@pytest.fixture
def writers(monkeypatch):
    """SummaryWriters that were made."""
    made = []

    class Writer:
        def __init__(self, *args, **kwargs):
            self.asked, self.scalars, self.flushed, self.closed = (args, kwargs), [], 0, False
            made.append(self)

        def add_scalar(self, *given):
            self.scalars.append(given)

        def flush(self):
            self.flushed += 1

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    return made


@pytest.mark.parametrize(("given", "purge"), [({}, None), ({"from_step": 0}, None), ({"from_step": 52}, 52)])
def test_tensorboard_gets_every_number_over_environment_steps(tmp_path, writers, given, purge):
    board = TensorBoard(tmp_path, **given)
    (writer,) = writers
    assert writer.asked == ((str(tmp_path),), {"purge_step": purge})
    board.advance(52)
    board.record(EVAL | {"note": "a text"})
    numbers = {"mark": 50, "updates": 7, "win_rate": 0.256, "return_mean": 3.14159, "wall_seconds": 12.7}
    assert writer.scalars == [(f"eval/{name}", value, 52) for name, value in numbers.items()] and writer.flushed == 1
    writer.scalars.clear()
    board.record(TRAIN)
    assert writer.scalars == [("train/loss", 0.5, 52)]
    writer.scalars.clear()
    board.record(ABSOLUTE)
    assert ("absolute/win_rate", 0.5, 50) in writer.scalars and {step for *_, step in writer.scalars} == {50}
    assert writer.flushed == 3 and not writer.closed
    board.close()
    assert writer.closed


class Terminal(Screen):
    """A stream that may be a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("mode", ["auto", "bar", "lines", "none"])
def test_a_bar_is_for_terminals_and_lines_are_for_logs(monkeypatch, bars, writers, mode, terminal):
    screen = Terminal(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    reporters = make_reporters(mode, title="3m", total=1000)
    for reporter in reporters:
        reporter.advance(52)
        reporter.record(EVAL)
        reporter.close()
    chosen = {"auto": "bar" if terminal else "lines"}.get(mode, mode)
    assert len(reporters) == (chosen != "none") and writers == []
    lines = "3m    50/1000 steps  win 0.26  return    3.14      13 s\n"
    assert screen.getvalue() == (lines if chosen == "lines" else "")
    asked = {"total": 1000, "desc": "3m", "unit": "step", "file": screen, "dynamic_ncols": True}
    assert [bar.asked for bar in bars] == ([asked] if chosen == "bar" else [])
    assert all(bar.n == 52 and bar.shown == ["win 0.26 return 3.14"] and bar.closed for bar in bars)


def test_tensorboard_comes_on_request_and_beside_others(tmp_path, monkeypatch, writers):
    monkeypatch.setattr(sys, "stderr", Terminal(False))
    (alone,) = make_reporters("none", title="3m", total=9, tensorboard=tmp_path, from_step=6)
    lines, board = make_reporters("lines", title="3m", total=9, tensorboard=tmp_path)
    assert type(alone) is type(board) is TensorBoard and type(lines) is Unbreakable
    assert [writer.asked for writer in writers] == [((str(tmp_path),), {"purge_step": step}) for step in (6, None)]


@pytest.fixture
def pipe():
    """A stream that nobody reads any more, and one that somebody reads."""
    read, write = os.pipe()
    stream = os.fdopen(write, "w")
    yield read, stream
    stream.close()


@pytest.mark.parametrize("method", ["advance", "record", "close"])
def test_output_that_nobody_reads_is_given_up_and_the_run_goes_on(pipe, method):
    read, stream = pipe
    os.close(read)
    heard = []

    class Writing:
        def write(self, what):
            heard.append(what)
            stream.write("x")
            stream.flush()

        def advance(self, env_steps):
            self.write(env_steps)

        def record(self, record):
            self.write(record)

        def close(self):
            self.write("closed")

    reporter = Unbreakable(Writing, stream)
    for _ in range(2):
        getattr(reporter, method)(*([] if method == "close" else [EVAL]))
    assert heard == ["closed" if method == "close" else EVAL] * 2
    assert os.fstat(stream.fileno()).st_rdev == os.stat(os.devnull).st_rdev
    stream.write("more")
    stream.flush()


def test_a_reporter_that_writes_at_once_is_made_all_the_same(pipe):
    read, stream = pipe
    os.close(read)
    before = len(os.listdir("/proc/self/fd"))

    class Eager:
        def __init__(self):
            stream.write("x")
            stream.flush()
            self.closed = False

        def close(self):
            self.closed = True

    made = []
    Unbreakable(lambda: made.append(Eager()) or made[-1], stream).close()
    assert [one.closed for one in made] == [True] and len(os.listdir("/proc/self/fd")) == before


def test_output_that_is_read_arrives(pipe):
    read, stream = pipe
    reporter = Unbreakable(lambda: Lines("3m", 1000, stream), stream)
    reporter.record(EVAL)
    assert os.read(read, 1000).startswith(b"3m    50/1000 steps")
    os.close(read)


def test_other_errors_of_reporters_are_not_hidden(pipe):
    read, stream = pipe
    reporter = Unbreakable(lambda: Lines("3m", 1000, stream), stream)
    with pytest.raises(KeyError):
        reporter.record({"kind": "eval"})
    os.close(read)
