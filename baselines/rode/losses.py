"""The loss of both levels (RODE, sections 3.2 and 3.3, equations 3 and 4), each an episode TD error like QMIX's.

    roles:    y_j = sum of r over interval j + gamma (1 - terminated) Q_tot^role,-(s at the next interval, best roles)
    actions:  y_t = r_t + gamma (1 - terminated_t) Q_tot^-(s_{t+1}, best legal actions in the roles of t + 1)
    loss = mean over intervals of (Q_tot^role - y_j)^2 + mean over steps of (Q_tot - y_t)^2

The best actions are those of all legal ones: the action set of a role binds the acting, not the values.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from baselines.rode.agent import RodeAgent, RodeNetwork
from baselines.rode.intervals import Intervals
from baselines.value_based.mixers import JointChoice
from baselines.value_based.store import EpisodeBatch
from baselines.value_based.td import Outcome, joint_td

ROLES = "roles"  # name of the recorded roles among the notes of a batch
RESELECT_EPSILON = 0.05  # share of random roles when roles are chosen anew, as in the authors' learner


def batch_loss(
    live: RodeNetwork,
    target: RodeNetwork,
    batch: EpisodeBatch,
    intervals: Intervals,
    *,
    gamma: float,
    double_q: bool,
    device: str,
    draws: np.ndarray | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """TD loss of roles and actions; both networks are unrolled from the start of each episode.

    Args:
      intervals: of this batch.
      draws: (2, 2, S, n) in [0, 1) chooses roles anew where intervals start, for the live and for the target network;
        None values actions in the recorded roles.
    Returns: the scalar loss, and scalars for the log.
    """

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(device)

    now, after, starts = tensor(batch.now), tensor(batch.after), tensor(intervals.starts)
    state, avail = tensor(batch.state), tensor(batch.avail)
    recorded = tensor(batch.notes[ROLES][intervals.step].astype(np.int64))  # (I, n)
    inputs = live.agent.inputs(tensor(batch.obs), tensor(batch.last_action))
    hidden, role_hidden = live.agent.unroll(inputs, batch.counts)
    role_q = live.agent.role_values(role_hidden[starts])  # (S, n, K)
    with torch.no_grad():
        target_hidden, target_role_hidden = target.agent.unroll(inputs, batch.counts)
        target_role_q = target.agent.role_values(target_role_hidden[starts])
        of_row = tensor(intervals.of_row)
        if draws is None:
            roles = greedy_roles(live.agent, role_q)  # stands where no step was taken: at the end of an episode
            roles[tensor(intervals.begun)] = recorded
            rows = target_rows = roles[of_row]  # (R, n)
        else:
            rows = random_or_greedy_roles(live.agent, role_q, tensor(draws[0]))[of_row]
            target_rows = random_or_greedy_roles(target.agent, target_role_q, tensor(draws[1]))[of_row]
        q_target = target.agent.action_values(target_hidden[after], target_rows[after])

    q = live.agent.action_values(hidden, rows)  # (R, n, A)
    choice = JointChoice(q[now], avail[now], tensor(batch.actions), state[now])
    outcome = Outcome(tensor(batch.reward), tensor(batch.terminated), q[after], q_target, avail[after], state[after])
    loss, log = joint_td(live.mixer, target.mixer, choice, outcome, gamma=gamma, double_q=double_q)

    known, following = tensor(intervals.known), tensor(intervals.following)
    first = tensor(intervals.begun)[known]
    active = live.agent.active.expand(len(known), live.agent.n_agents, -1)
    choice = JointChoice(role_q[first], active, recorded[known], state[starts[first]])
    outcome = Outcome(
        tensor(intervals.reward),
        tensor(intervals.terminated),
        role_q[following],
        target_role_q[following],
        active,
        state[starts[following]],
    )
    role_loss, role_log = joint_td(live.role_mixer, target.role_mixer, choice, outcome, gamma=gamma, double_q=double_q)
    log |= {f"role_{name}": value for name, value in role_log.items()} | {"role_loss": role_loss.detach()}
    return loss + role_loss, log


def greedy_roles(agent: RodeAgent, role_q: Tensor) -> Tensor:
    """The best roles in use, (..., n) int64, from Q^role (..., n, K)."""
    return role_q.masked_fill(~agent.active, -torch.inf).argmax(-1)


def random_or_greedy_roles(agent: RodeAgent, role_q: Tensor, draws: Tensor) -> Tensor:
    """The best roles, one in twenty at random. role_q: (S, n, K).    draws: (2, S, n) in [0, 1). Returns: (S, n)."""
    at_random = (draws[1] * agent.active.sum()).long()
    return torch.where(draws[0] < RESELECT_EPSILON, at_random, greedy_roles(agent, role_q))
