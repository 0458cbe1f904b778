"""Named random streams: repeatable, independent, restorable."""

import numpy as np
import pytest

from training.seeding import STREAMS, Streams, draw_seed


def test_same_seed_same_streams_and_all_streams_differ():
    draws = [draw_seed(getattr(Streams(5), name)) for name in STREAMS]
    assert draws == [draw_seed(getattr(Streams(5), name)) for name in STREAMS]
    assert len(set(draws)) == len(STREAMS)
    assert draw_seed(Streams(6).env) != draws[STREAMS.index("env")]


def test_state_restores_the_next_draw():
    streams = Streams(0)
    streams.replay.random(5)
    state = streams.state_dict()
    expected = streams.replay.random(3)
    other = Streams(1)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.replay.random(3), expected)


def test_an_unknown_stream_is_named():
    with pytest.raises(AttributeError, match="no random stream 'enviroment'"):
        Streams(0).enviroment  # noqa: B018
