"""From representations to action sets: the numbers of the published rule, and what happens where it has none."""

from __future__ import annotations

import numpy as np
import pytest

from baselines.rode.clustering import action_sets, cluster_labels, most_roles, sets_of_clusters


def listed(sets) -> list[list[int]]:
    return [np.flatnonzero(members).tolist() for members in sets]


def blobs(labels, *, seed: int = 0) -> np.ndarray:
    """Points close to a centre of their label."""
    rng = np.random.default_rng(seed)
    centres = 10.0 * rng.normal(size=(max(labels) + 1, 20))
    return (centres[list(labels)] + 0.01 * rng.normal(size=(len(labels), 20))).astype(np.float32)


def test_small_clusters_are_dropped_pairs_stay_and_larger_ones_get_the_moves():
    """3m: no-op alone makes nothing; the moves make {0..5}; three attacks make everything."""
    labels = np.array([0, 1, 0, 0, 0, 0, 2, 2, 2])
    assert listed(sets_of_clusters(labels, 3)) == [list(range(6)), list(range(9))]
    labels = np.array([0, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4])
    assert listed(sets_of_clusters(labels, 5)) == [[0, 1, 2, 3, 4, 5], [0, 6, 7], [0, 1, 2, 3, 4, 5, 8, 9, 10]]


def test_a_pair_keeps_stop_only_if_stop_was_in_its_cluster():
    labels = np.array([2, 0, 0, 0, 1, 1, 2, 2, 2])
    assert listed(sets_of_clusters(labels, 3)) == [[0, 1, 2, 3], [0, 4, 5], list(range(9))]
    assert labels.tolist() == [2, 0, 0, 0, 1, 1, 2, 2, 2]


def test_fewer_than_three_sets_are_repeated():
    """Both sets of 3m, twice; a single set, three times."""
    two = np.array([0, 1, 0, 0, 0, 0, 2, 2, 2])
    assert listed(action_sets(blobs(two), 3)) in (
        [list(range(6)), list(range(9))] * 2,
        [list(range(9)), list(range(6))] * 2,
    )  # k-means numbers its clusters as it likes
    single = np.array([0, 0, 0, 0, 0, 1, 2, 3, 4])  # {2, 3, 4} are counted, the others are alone
    assert listed(action_sets(blobs(single), 5)) == [list(range(6))] * 3


def test_three_sets_are_three_roles():
    labels = np.array([0, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4])
    sets = action_sets(blobs(labels), 5)
    assert sets.dtype == bool
    assert sorted(listed(sets)) == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 8, 9, 10], [0, 6, 7]]


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0, 1]])
def test_without_any_role_all_actions_are_everybodys(labels):
    """Seven actions, as on 2m_vs_1z: five clusters may leave no two counted actions together."""
    assert not sets_of_clusters(np.array(labels), 5)
    np.testing.assert_array_equal(action_sets(blobs(labels), 5), np.ones((3, 7), bool))


def test_fewer_different_points_than_clusters_make_full_roles():
    points = np.repeat(np.eye(4, 20, dtype=np.float32), [3, 3, 2, 1], axis=0)
    assert cluster_labels(points, 5) is None
    assert cluster_labels(points, 4) is not None
    np.testing.assert_array_equal(action_sets(points, 5), np.ones((3, 9), bool))
    np.testing.assert_array_equal(action_sets(np.eye(3, dtype=np.float32), 5), np.ones((3, 3), bool))


def test_labels_depend_on_the_points_alone():
    points = np.random.default_rng(3).normal(size=(14, 20)).astype(np.float32)
    np.random.seed(0)
    first = cluster_labels(points, 5)
    np.random.seed(1)
    np.testing.assert_array_equal(cluster_labels(points, 5), first)
    assert set(first.tolist()) == set(range(5))


def test_labels_are_the_groups_that_are_there():
    labels = [0, 1, 2, 2, 1, 0, 0, 2, 1]
    found = cluster_labels(blobs(labels), 3).tolist()
    assert len(set(zip(labels, found))) == 3


@pytest.mark.parametrize("clusters", [1, 2, 3, 4, 5, 8])
def test_there_are_never_more_roles_than_heads(clusters):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sets = action_sets(rng.normal(size=(int(rng.integers(clusters, 40)) + 1, 20)), clusters)
        assert 3 <= len(sets) <= most_roles(clusters) and sets[:, 0].all()
