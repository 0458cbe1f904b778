"""What makes two runs one configuration."""

import pytest

from training.identity import first_difference, identity, run_key

RECORD = {
    "program": "mazero", "preset": "laptop", "map": "3m", "seed": 0, "threads": 1, "device": "cpu",
    "budget": {"env_steps": 100}, "config": {"loss": {"awpo": True}, "optimiser": {"learning_rate": 1e-4}},
}  # fmt: skip


@pytest.mark.parametrize("change", [{"seed": 7}, {"threads": 2}, {"preset": "mine"}, {"env": {}}, {"identity": "x"}])
def test_seeds_threads_and_names_leave_the_identity_as_it_is(change):
    assert identity(RECORD | change) == identity(RECORD)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda"},
        {"budget": {"env_steps": 200}},
        {"env": {"obs_noise": 0.1}},
        {"unit_data": "4.6.2"},
        {"config": {"loss": {"awpo": True}, "optimiser": {"learning_rate": 2e-4}}},
        {"config": {"loss": {"awpo": True}}},
    ],
)
def test_what_may_change_a_result_changes_it(change):
    assert identity(RECORD | change) != identity(RECORD)


def test_the_order_of_keys_does_not_matter():
    assert identity(dict(reversed(RECORD.items()))) == identity(RECORD)


def test_a_run_is_an_identity_and_a_seed():
    assert run_key(RECORD) == {"identity": identity(RECORD), "seed": 0}


def test_the_first_difference_names_key_and_values():
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ("a.c", 2, 3)
    assert first_difference({"a": 1}, {"a": 1, "d": 4}) == ("d", "absent", 4)
    assert first_difference({"a": 1}, {"a": True}) == ("a", 1, True)
    assert first_difference({"a": [1, 2]}, {"a": [1, 2]}) is None
