"""What is kept about battles between their steps, written in one pass each: numpy would need a dozen small calls."""

from __future__ import annotations

from skirmish.compiled import njit
from skirmish.contract.smac import UNDECIDED, WIN
from skirmish.physics.tables import EPISODE, HEAD_START


@njit(cache=True)
def first_illegal(actions, available, finished):
    """Index of the first action, in flat order, that is not available in a slot that is not finished; -1: none.

    Args: actions (B, n) int64, available (B, n, A) bool, finished (B,) bool.
    """
    slots, agents, most = available.shape
    for b in range(slots):
        if not finished[b]:
            for i in range(agents):
                action = actions[b, i]
                if action < 0 or action >= most or not available[b, i, action]:
                    return b * agents + i
    return -1


@njit(cache=True)
def open_episodes(slots, respawn_loops, clocks, flagged, last_action, result, t, reward, terminated, truncated, won):
    """The next episode's beginning in the slots marked True; armies of all but the first are respawned.

    Args: slots (B,) bool, clocks (B, 4); what is overwritten: arrays of `faces.vector.SkirmishEnv`.
    """
    for b in range(slots.shape[0]):
        if slots[b]:
            clocks[b, EPISODE] += 1
            if clocks[b, EPISODE] > 0:
                clocks[b, HEAD_START] += respawn_loops
            t[b] = 0
            last_action[b] = -1
            result[b] = UNDECIDED
            flagged[b] = False
            reward[b] = 0.0
            terminated[b] = truncated[b] = won[b] = False


@njit(cache=True)
def end_step(slots, actions, reward64, limit, last_action, result, t, reward, terminated, truncated, won):
    """Count a step of the slots marked True; reward and flags of all from the contract's reward and result.

    Args: slots (B,) bool, actions (B, n) int64, reward64 (B,), limit: steps of an episode; the rest as above.
    """
    for b in range(slots.shape[0]):
        if slots[b]:
            t[b] += 1
            last_action[b] = actions[b]
        reward[b] = reward64[b]
        terminated[b] = result[b] != UNDECIDED
        won[b] = result[b] == WIN
        truncated[b] = result[b] == UNDECIDED and t[b] >= limit
