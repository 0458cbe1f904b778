"""Acting: observation stacks, drawing and greedy choice, episodes as they were played."""

import numpy as np
import pytest

from mazero.search import SearchResult
from mazero.selfplay import (
    NetworkPolicy,
    ObservationStack,
    SearchPolicy,
    draw_children,
    draw_uniformly,
    greedy_children,
)
from tests.mazero.tiny import tiny_learner
from training.evaluation import evaluate


def result(visits, q=None, num_children=None):
    visits = np.asarray(visits, np.int32)
    b, k = visits.shape
    zeros = np.zeros((b, k))
    return SearchResult(
        value=np.zeros(b), predicted_value=np.zeros(b),
        num_children=np.full(b, k, np.int32) if num_children is None else np.asarray(num_children, np.int32),
        joint_actions=np.zeros((b, k, 2), np.int16), visit_counts=visits, q=zeros if q is None else np.asarray(q),
        prior=zeros, importance=zeros, log_beta=zeros, reward=zeros, child_value=zeros,
    )  # fmt: skip


def test_stack_repeats_the_first_observation_and_starts_anew_in_fresh_slots():
    stack = ObservationStack(3)
    one = np.arange(4, dtype=np.float32).reshape(2, 2, 1)  # two slots, two agents, one feature
    no = np.zeros(2, np.bool_)
    assert stack.push(one, no)[0, 1].tolist() == [1, 1, 1]
    assert stack.push(one + 10, no)[0, 1].tolist() == [1, 1, 11]
    out = stack.push(one + 20, np.array([True, False]))
    assert out[0, 1].tolist() == [21, 21, 21]
    assert out[1, 0].tolist() == [2, 12, 22]


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, [0.1, 0.3, 0.6]), (0.5, [1 / 46, 9 / 46, 36 / 46])])
def test_children_are_drawn_by_visit_counts(temperature, expected):
    many = result(np.tile([1, 3, 6], (40_000, 1)))
    drawn = draw_children(many, temperature=temperature, rng=np.random.default_rng(0))
    share = np.bincount(drawn, minlength=3) / 40_000
    np.testing.assert_allclose(share, expected, atol=0.01)  # four standard errors


def test_uniform_draws_ignore_visits_and_padding():
    many = result(np.tile([1, 30, 6], (30_000, 1)), num_children=np.full(30_000, 2))
    share = np.bincount(draw_uniformly(many, np.random.default_rng(0)), minlength=3) / 30_000
    np.testing.assert_allclose(share, [0.5, 0.5, 0.0], atol=0.012)


def test_greedy_takes_the_most_visited_and_breaks_ties_by_q():
    rng = np.random.default_rng(0)
    out = greedy_children(result([[5, 5, 1], [1, 2, 9]], q=[[0.1, 0.7, 9.0], [9.0, 9.0, -5.0]]), rng)
    assert out.tolist() == [1, 2]


def test_greedy_has_no_preference_among_equal_children():
    """Children are sorted by their actions: always the first would be action 0 of everybody."""
    many = result(np.tile([2, 2, 1, 2], (6000, 1)), num_children=np.full(6000, 3))
    share = np.bincount(greedy_children(many, np.random.default_rng(0)), minlength=4) / 6000
    np.testing.assert_allclose(share, [0.5, 0.5, 0.0, 0.0], atol=0.03)


def test_an_episode_in_the_replay_is_what_was_played():
    learner = tiny_learner(game="matrix_4")
    table = np.array([[2, 6, 10], [2, 4, 9], [1, 2, 3]])
    while not learner.replay.size:
        learner.advance()
    replay = learner.replay
    assert replay.size == 40 and learner.episodes == 4
    np.testing.assert_array_equal(replay.reward, table[replay.action[:, 0], replay.action[:, 1]])
    step = replay.obs[:, 0].argmax(axis=1)  # matrix games show the step as a one-hot
    np.testing.assert_array_equal(step, np.tile(np.arange(10), 4))
    played = replay.action[:, None] == replay.joint_actions
    existing = np.arange(replay.q.shape[1]) < replay.num_children[:, None]
    assert (played.all(axis=2) & existing).any(axis=1).all()  # acted within the sampled joint actions
    assert (replay.visit_counts.sum(axis=1) == 6).all()


@pytest.mark.parametrize("kind", ["search", "network"])
def test_policies_play_whole_episodes_with_legal_actions(kind):
    learner = tiny_learner()
    model, config = learner.model, learner.config
    policy = (
        SearchPolicy(model, config, rng=np.random.default_rng(0)) if kind == "search" else NetworkPolicy(model, config)
    )
    out = evaluate(policy, learner._eval_env, seed=3)
    assert out["num_episodes"] == 4 and out["length_mean"] == 10
