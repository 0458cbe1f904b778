"""From representations of actions to the roles' action sets (RODE, section 3.1, as the authors' code does it)."""

from __future__ import annotations

import numpy as np

LEAST_ROLES = 3  # fewer action sets are repeated
ALWAYS = 0  # no-op: the only action of the dead, in every set
COMMON = 6  # no-op, stop and four moves come first; a cluster with enough of its own gets all of them
UNCOUNTED = 2  # no-op and stop say nothing about a cluster
RUNS = 10  # of k-means, the best of which counts: the default when the authors wrote theirs


def most_roles(clusters: int) -> int:
    """The largest number of roles that can come of so many clusters."""
    return max(clusters, LEAST_ROLES + 1)  # two sets are repeated as four


def action_sets(representations: np.ndarray, clusters: int) -> np.ndarray:
    """Sets of actions, one a role.

    Args: representations: (A, D) finite floats.    clusters: at least 1.
    Returns: (K, A) bool, 3 <= K <= `most_roles(clusters)`. All are full if there are fewer different representations
      than clusters, or if no cluster is large enough for a role.
    """
    labels = cluster_labels(representations, clusters)
    sets = [] if labels is None else sets_of_clusters(labels, clusters)
    if not sets:
        sets = [np.ones(len(representations), bool)]
    if len(sets) < LEAST_ROLES:
        sets = [*sets, sets[0], sets[1] if len(sets) > 1 else sets[0]]
    return np.stack(sets)


def cluster_labels(points: np.ndarray, clusters: int) -> np.ndarray | None:
    """The cluster of each point by k-means, always the same for the same points; None for fewer different points.

    Args: points: (A, D).
    Returns: (A,) integers below `clusters`.
    """
    if len(np.unique(points, axis=0)) < clusters:
        return None
    from sklearn.cluster import KMeans  # here, as only this method needs it and it takes a second to import

    labels: np.ndarray = KMeans(n_clusters=clusters, random_state=0, n_init=RUNS).fit(points).labels_
    return labels


def sets_of_clusters(labels: np.ndarray, clusters: int) -> list[np.ndarray]:
    """What becomes of each cluster: (A,) bool, or nothing.

    c actions are counted, no-op and stop left out. c < 2: no role. c = 2: a role with the cluster's actions. c > 2: a
    role with these and with no-op, stop and all moves. Every role may do nothing.

    Args: labels: (A,) cluster of each action.
    """
    sets = []
    for cluster in range(clusters):
        members = labels == cluster
        counted = members[UNCOUNTED:].sum()
        if counted < 2:
            continue
        if counted > 2:
            members[:COMMON] = True
        members[ALWAYS] = True
        sets.append(members)
    return sets
