"""When a function runs, is recorded and is replayed. That a replay is right, only a GPU can show (`test_gpu`)."""

import contextlib
import logging
from types import SimpleNamespace

import pytest
import torch

from mazero import captured
from mazero.captured import CALLS_BEFORE, Captured


class FakeCuda:
    """Records by calling; a replay calls again on the recorded inputs and puts the results where the first ones lay."""

    class CUDAGraph:
        def replay(self):
            self.owner.replays += 1
            for held, value in zip(self.owner.outputs(), self.owner.again(), strict=True):
                held.copy_(value)

    def __init__(self, fails=False):
        self.fails, self.replays, self.streams = fails, 0, []
        self.CUDAGraph.owner = self

    @contextlib.contextmanager
    def graph(self, graph, capture_error_mode):
        assert isinstance(graph, self.CUDAGraph) and capture_error_mode == "thread_local"
        if self.fails:
            raise RuntimeError("operation not permitted")
        yield

    def current_stream(self):
        return self.Stream()

    def Stream(self):
        return SimpleNamespace(wait_stream=self.streams.append)

    def stream(self, stream):
        return contextlib.nullcontext()


@pytest.fixture
def cuda(monkeypatch):
    def make(**how):
        fake = FakeCuda(**how)
        monkeypatch.setattr(captured.torch, "cuda", fake)
        monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
        return fake

    return make


def test_the_first_calls_are_ordinary_the_next_is_recorded_later_ones_are_replayed(cuda):
    fake, calls = cuda(), []

    def function(x, y):
        calls.append((x, y))
        return [x + y, x * y]

    whole = Captured(function, "a sum")
    fake.outputs = lambda: whole._outputs
    fake.again = lambda: (whole._inputs[0] + whole._inputs[1], whole._inputs[0] * whole._inputs[1])
    kept = []
    for i in range(CALLS_BEFORE + 4):
        x, y = torch.full((2,), float(i)), torch.full((2,), 3.0)
        kept.append(whole(x, y))
        assert (calls[-1][0] is x) == (i < CALLS_BEFORE)
    assert len(calls) == CALLS_BEFORE + 1 and fake.replays == 4
    assert [[t.tolist() for t in pair] for pair in kept] == [[[i + 3.0] * 2, [i * 3.0] * 2] for i in range(len(kept))]


def test_what_cannot_be_recorded_runs_as_it_is_with_one_warning(cuda, caplog):
    fake, calls = cuda(fails=True), []
    function = Captured(lambda x: calls.append(x) or [2 * x], "an update")
    with caplog.at_level(logging.WARNING):
        for i in range(CALLS_BEFORE + 3):
            assert function(torch.tensor(float(i)))[0] == 2 * i
    assert len(calls) == CALLS_BEFORE + 3 and fake.replays == 0
    assert caplog.text.count("an update runs without a CUDA graph (RuntimeError: operation not permitted)") == 1
