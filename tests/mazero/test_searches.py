"""Searches of replay positions: once per target network they find what a search at every draw finds."""

import numpy as np
import pytest
import torch

from mazero.replay import SEARCH_FIELDS, Replay
from mazero.searches import FreshSearches, PeriodSearches, position_seeds
from tests.mazero.test_learner_wiring import same_tensors
from tests.mazero.test_reanalyze import Toy, config_of, random_episode, random_replay
from tests.mazero.tiny import tiny_learner

PERIOD = "targets.search_reuse=period"


def searches_of(seed=5, *overrides):
    return PeriodSearches(Toy(), config_of(*overrides), seed=seed)


def rows_equal(found, expected, rows=slice(None)):
    assert set(found) == set(expected) == set(SEARCH_FIELDS)
    return all(np.array_equal(found[name], expected[name][rows]) for name in SEARCH_FIELDS)


def test_a_position_is_searched_once_whatever_is_asked_with_it():
    replay = random_replay()
    whole = searches_of().find(replay, np.arange(len(replay)))
    parts = searches_of()
    for positions in ([3, 9, 20], [0, 3, 4], [3, 20], list(range(len(replay)))):
        assert rows_equal(parts.find(replay, np.array(positions)), whole, positions)
    asked = np.concatenate(parts._model.asked)
    assert len(asked) == len(replay) == len(np.unique(asked.reshape(len(asked), -1), axis=0))
    assert parts.drain_counts() == {"searches_asked": 3 + 3 + 2 + 21, "searches_made": 21}
    assert parts.drain_counts() == {"searches_asked": 0, "searches_made": 0}


def test_draws_of_a_position_take_its_searches_in_turn():
    """With three a period: a first, second and third draw are searched, the fourth gets the first again."""
    replay = random_replay()
    searches = searches_of(5, "targets.period_searches=3")
    found = [searches.find(replay, np.array([t])) for t in (4, 4, 7, 4, 4, 7, 4)]
    first, second, third, again, second_again = (found[i] for i in (0, 1, 3, 4, 6))
    assert rows_equal(again, first) and rows_equal(second_again, second)
    assert not any(rows_equal(a, b) for a, b in ((first, second), (first, third), (second, third)))
    assert not rows_equal(found[2], found[5])
    assert rows_equal(first, searches_of().find(replay, np.array([4])))  # the only one where there is one
    assert searches.drain_counts() == {"searches_asked": 7, "searches_made": 5}
    assert len(searches._model.asked) == 5


def test_a_batch_that_costs_the_same_is_filled_with_the_likeliest_others():
    """Up to a multiple of what the model searches at once; what is counted is what was asked for."""
    replay = random_replay()
    replay.priority[:] = np.arange(21)[::-1]
    model = Toy(roots_per_search=8)
    searches = PeriodSearches(model, config_of(), seed=5)
    whole = searches_of().find(replay, np.arange(21))
    every = replay.stacked_obs(np.arange(21), config_of().network.stacked_observations)
    searched = ([0, 1, 2, 3, 4, 5, 9, 20], [], [6, 7, 8, 10, 11, 12, 13, 14], [15, 16, 17, 18, 19])
    for asked, expected in zip(([9, 20], [3, 9], [6, 7], [15]), searched, strict=True):
        model.asked.clear()
        assert rows_equal(searches.find(replay, np.array(asked)), whole, asked)
        assert [obs.tolist() for obs in model.asked] == ([every[expected].tolist()] if expected else [])
    assert searches.drain_counts() == {"searches_asked": 7, "searches_made": 6}


def test_every_thread_has_a_batch_to_fill(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    model = Toy(roots_per_search=4)
    PeriodSearches(model, config_of(), seed=5).find(random_replay(), np.array([2]))
    assert [len(obs) for obs in model.asked] == [12]


def test_another_target_network_another_run_another_position_is_another_search():
    replay, positions = random_replay(), np.arange(21)
    searches = searches_of()
    first = searches.find(replay, positions)
    searches.renew()
    assert not rows_equal(searches.find(replay, positions), first)
    assert not rows_equal(searches_of(6).find(replay, positions), first)
    seeds = [
        position_seeds(np.uint64(s), period, np.arange(1000), np.full(1000, turn))
        for s in (0, 1, 2**63)
        for period in range(10)
        for turn in range(2)
    ]
    assert len(np.unique(seeds)) == 60_000
    assert np.abs(np.mean(np.stack(seeds).astype(np.float64)) / 2**64 - 0.5) < 0.005


def test_what_the_replay_drops_is_forgotten_and_the_rest_keeps_its_searches():
    rng, config = np.random.default_rng(0), config_of()
    replay, kept = Replay(priority_alpha=0.6, capacity=40), PeriodSearches(Toy(), config, seed=5)
    everything, episodes = Replay(priority_alpha=0.6), [random_episode(6, rng) for _ in range(20)]
    for episode in episodes:
        everything.add(episode)
    whole = PeriodSearches(Toy(), config, seed=5).find(everything, np.arange(120))
    for episode in episodes:
        replay.add(episode)
        positions = np.sort(rng.choice(replay.size, min(7, replay.size), replace=False))
        assert rows_equal(kept.find(replay, positions), whole, replay.dropped + positions)
    assert replay.dropped > 70 and len(kept._row.follow(replay)) == replay.size


def test_targets_are_distributed_as_with_a_search_at_every_draw():
    """Mean and variance of visits over 400 target periods against 400 draws, within 4 standard errors."""
    replay, position, repeats = random_replay(), np.array([4]), 400
    config = config_of("search.num_simulations=20")
    period = PeriodSearches(Toy(), config, seed=1)
    draw = FreshSearches(Toy(), config, rng=np.random.default_rng(2))
    samples = []
    for searches in (period, draw):
        marginal = np.zeros((repeats, 2, 4))
        for r in range(repeats):
            found = searches.find(replay, position)
            for c in range(found["num_children"][0]):
                for i in range(2):
                    marginal[r, i, found["joint_actions"][0, c, i]] += found["visit_counts"][0, c] / 20
            period.renew()
        samples.append(marginal.reshape(repeats, -1))
    means, variances = (np.array([f(x) for x in samples]) for f in (lambda x: x.mean(0), lambda x: x.var(0)))
    assert variances.max() > 0.05  # searches do differ
    assert np.all(np.abs(means[0] - means[1]) <= 4 * np.sqrt(variances.sum(0) / repeats) + 1e-12)
    fourth = np.array([((x - x.mean(0)) ** 4).mean(0) for x in samples])
    error = np.sqrt((fourth - variances**2).sum(0) / repeats)
    assert np.all(np.abs(variances[0] - variances[1]) <= 4 * error + 1e-12)


def advanced(learner, steps):
    while learner.env_steps < steps:
        learner.advance()
    return learner


@pytest.mark.parametrize(("bootstrap", "searches"), [("predicted", 1), ("searched", 1), ("predicted", 3)])
def test_a_run_that_is_stopped_within_a_period_goes_on_as_if_it_had_not(bootstrap, searches):
    settings = (
        PERIOD, f"targets.value_bootstrap={bootstrap}", f"targets.period_searches={searches}",
        "targets.target_interval=7", "replay.capacity=60",
    )  # fmt: skip
    whole = advanced(tiny_learner(*settings), 160)
    stopped = advanced(tiny_learner(*settings), 104)
    assert stopped.updates % 7 != 0 and stopped.searches._times.follow(stopped.replay).any()
    state = stopped.state_dict()  # with torch's global generator, which a new learner seeds
    again = tiny_learner(*settings)
    again.load_state_dict(state)
    advanced(again, 160)
    same_tensors(again.network.state_dict(), whole.network.state_dict())
    whole_metrics, metrics = whole.drain_metrics(), again.drain_metrics()
    assert {k: v for k, v in metrics.items() if "seconds" not in k} == {
        k: v for k, v in whole_metrics.items() if "seconds" not in k
    }
    assert 0 < metrics["searches_made"] < metrics["searches_asked"]


def test_values_of_searches_are_those_that_policies_come_from():
    """`searched` bootstraps with the root value of the search that the position's policy target has."""
    learner = advanced(tiny_learner(PERIOD, "targets.value_bootstrap=searched", "targets.reanalyze_ratio=1.0"), 100)
    replay, searches = learner.replay, learner.searches
    searches.renew()
    learner.draw(learner.updates)
    every = np.arange(replay.size)
    roots = learner.reanalyze_workspace.roots
    values = searches.find(replay, every)["search_value"]
    assert learner.reanalyze_workspace.roots - roots < replay.size  # some were there already
    assert np.isfinite(values).all() and (values != replay.search_value).any()
