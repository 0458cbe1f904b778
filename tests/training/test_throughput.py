import pytest

from training.throughput import Throughput


def test_rates_are_over_all_the_time_that_was_counted():
    clock = Throughput()
    clock.add(40, 0, collecting=1.0, learning=0.0)
    clock.add(60, 5, collecting=1.0, learning=2.0)
    assert clock.drain() == pytest.approx(
        {"env_steps_per_second": 25.0, "updates_per_second": 1.25, "collecting_seconds": 2.0, "learning_seconds": 2.0}
    )
    assert clock.drain() == {}
    clock.add(10, 0, learning=5.0)
    assert clock.drain()["env_steps_per_second"] == 2.0  # nothing is left of what was drained
