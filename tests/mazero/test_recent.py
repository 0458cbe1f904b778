"""`replay.recent`: young searches teach the policy, everything kept teaches the model and the values."""

import numpy as np
import pytest

from mazero.reanalyze import make_batch
from mazero.replay import Replay
from mazero.searches import FreshSearches
from mazero.values import TargetValues
from tests.mazero.test_reanalyze import Toy, config_of, random_episode

LENGTHS = (7, 4, 9, 10)  # 30 transitions; the last 12 begin in the third episode


def filled():
    replay, rng = Replay(priority_alpha=0.5), np.random.default_rng(3)
    for length in LENGTHS:
        replay.add(random_episode(length, rng))
    replay.set_priorities(np.arange(30), rng.random(30))
    return replay


def batch_of(replay, positions, *overrides):
    config, model, rng = config_of(*overrides), Toy(), np.random.default_rng(0)
    return make_batch(
        replay,
        positions,
        np.ones(len(positions), np.float32),
        values=TargetValues(model, config.network.stacked_observations),
        searches=FreshSearches(model, config, rng=rng),
        config=config,
        planned_updates=100,
        rng=rng,
    )


def test_the_share_comes_from_the_recent_and_the_rest_from_all():
    replay = filled()
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    old = 0
    for _ in range(50):
        positions, weights = replay.sample(8, beta=0.7, rng=rng, recent=12, recent_share=0.75)
        mass = np.sqrt(replay.priority)
        expected, raw = [], []
        for count, first in ((2, 0), (6, 18)):  # two races, each with its own weights
            arrival = same.standard_exponential(30 - first) / mass[first:]
            drawn = first + np.sort(np.argsort(arrival)[:count])
            of_part = ((30 - first) * mass[drawn] / mass[first:].sum()) ** -0.7
            expected += drawn.tolist()
            raw += (of_part / of_part.max()).tolist()
        assert positions.tolist() == expected
        np.testing.assert_allclose(weights, raw, rtol=1e-5)
        old += (positions < 18).sum()
    assert 20 < old < 100  # of the 100 that were drawn from everything


@pytest.mark.parametrize(("share", "least"), [(0.0, 0), (1.0, 18)])
def test_all_or_none_of_a_batch_may_be_recent(share, least):
    positions, _ = filled().sample(8, beta=0.7, rng=np.random.default_rng(5), recent=12, recent_share=share)
    assert len(positions) == 8 and least <= positions.min() < least + 12


@pytest.mark.parametrize("recent", [None, 30, 31])
def test_while_everything_is_recent_nothing_changes(recent):
    replay = filled()
    plain = replay.sample(8, beta=0.7, rng=np.random.default_rng(5))
    found = replay.sample(8, beta=0.7, rng=np.random.default_rng(5), recent=recent, recent_share=0.75)
    for a, b in zip(plain, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_old_searches_teach_no_policy_and_all_else_is_as_ever():
    replay, positions = filled(), np.array([0, 11, 16, 20])
    stored = ("targets.reanalyze_ratio=0.0", "loss.awpo=false")
    plain = batch_of(replay, positions, *stored)
    found = batch_of(replay, positions, *stored, "replay.recent=12", "replay.start=1")
    steps = positions[:, None] + np.arange(plain.real.shape[1])
    young = steps >= 18  # the sample at 16 grows young on its way
    assert young[2].tolist().count(True) not in (0, young.shape[1])
    np.testing.assert_array_equal(found.policy_weight, np.where(young[..., None], plain.policy_weight, 0))
    assert (plain.policy_weight[0, 0] > 0).any() and (found.policy_weight[3, 0] > 0).any()
    for name in ("obs", "action", "reward", "value", "real", "joint_actions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


def test_advantages_are_standardised_among_the_young_alone():
    """So that old searches, whose values are stale, do not move the weights of young ones."""
    alone, beside = np.array([20, 25]), np.array([0, 3, 20, 25])
    stored = ("targets.reanalyze_ratio=0.0", "replay.recent=12", "replay.start=1")
    expected, found = (batch_of(filled(), positions, *stored).policy_weight for positions in (alone, beside))
    assert (found[:2] == 0).all()
    np.testing.assert_allclose(found[2:], expected, rtol=1e-6)  # summed in another order


def test_fresh_searches_are_young_wherever_they_are():
    positions = np.array([0, 11, 16, 20])
    afresh = "targets.reanalyze_ratio=1.0"
    plain = batch_of(filled(), positions, afresh)
    found = batch_of(filled(), positions, afresh, "replay.recent=12", "replay.start=1")
    np.testing.assert_array_equal(found.policy_weight, plain.policy_weight)
    half = batch_of(filled(), positions, "targets.reanalyze_ratio=0.25", "replay.recent=1", "replay.start=1")
    assert (half.policy_weight[:, 0] > 0).any(dim=-1).sum() == 1
