"""Both TD errors against loops over episodes, steps and agents, and the reduction to QMIX."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from baselines.rode.agent import RodeAgent, RodeNetwork
from baselines.rode.config import EncoderConfig, RodeConfig, RolesConfig
from baselines.rode.intervals import role_intervals
from baselines.rode.losses import batch_loss, random_or_greedy_roles
from baselines.value_based import learner as value_based
from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import AgentConfig, QmixMixerConfig
from baselines.value_based.mixers import JointChoice, QMixer
from baselines.value_based.store import Episode, EpisodeStore
from envs.interface import EnvInfo

INFO = EnvInfo("toy", "test", "smac", 2, 1, 4, 3, 5, 40, False)
N, A, C, GAMMA = 2, 4, 3, 0.9
CONFIG = RodeConfig(
    agent=AgentConfig(hidden_size=6), roles=RolesConfig(clusters=5, interval=C), encoder=EncoderConfig(action_size=3)
)


def network(seed: int) -> RodeNetwork:
    """Four roles in use of five."""
    torch.manual_seed(seed)
    mixers = [QMixer(N, 5, QmixMixerConfig(embed_size=4, hypernet_size=7)) for _ in range(2)]
    result = RodeNetwork(RodeAgent(INFO, CONFIG), *mixers)
    result.agent.set_roles(torch.rand(4, A) < 2.0, torch.randn(A, 3))
    result.agent.role_points.copy_(torch.randn(5, 3))
    result.agent.role_points[4] = 100.0  # not in use: must not enter anywhere
    return result


def episode(rng: np.random.Generator, steps: int, *, terminated: bool, roles: int = 4) -> Episode:
    avail = rng.random((steps + 1, N, A)) < 0.5
    avail[..., 2] = True
    held = rng.integers(0, roles, (steps // C + 1, N)).repeat(C, 0)[:steps]
    return Episode(
        obs=rng.random((steps + 1, N, 3), np.float32),
        state=rng.random((steps + 1, 5), np.float32),
        avail=avail,
        actions=rng.integers(0, A, (steps, N)),
        reward=rng.random(steps, np.float32),
        terminated=terminated,
        notes={"roles": held.astype(np.uint8)},
    )


def batch_of(episodes: list[Episode]):
    store = EpisodeStore(INFO, 20, {"roles": np.uint8})
    for item in episodes:
        store.add(item)
    return store.batch(np.arange(len(episodes)))


def hidden_states(trunk, item: Episode) -> torch.Tensor:
    """(L + 1, n, H) with torch's own cell."""
    rows, h = [], torch.zeros(N, trunk.hidden_size)
    for t in range(len(item.obs)):
        last = torch.zeros(N, A)
        if t:
            last[range(N), item.actions[t - 1]] = 1.0
        x = torch.cat([torch.from_numpy(item.obs[t]), last, torch.eye(N)], -1)
        h = trunk.rnn(torch.relu(trunk.encoder(x)), h)
        rows.append(h)
    return torch.stack(rows)


def role_values(agent: RodeAgent, item: Episode) -> torch.Tensor:
    """(L + 1, n, 4), the roles in use."""
    return (agent.selector(hidden_states(agent.role_trunk, item)) @ agent.role_points.t())[..., :4]


def action_values(agent: RodeAgent, item: Episode, roles) -> torch.Tensor:
    """(L + 1, n, A) in roles[t][i]."""
    hidden = hidden_states(agent.trunk, item)
    rows = []
    for t in range(len(hidden)):
        row = []
        for i in range(N):
            first = 3 * int(roles[t][i])
            key = agent.heads.weight[first : first + 3] @ hidden[t, i] + agent.heads.bias[first : first + 3]
            row.append(agent.action_points @ key)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def errors(live: RodeNetwork, target: RodeNetwork, item: Episode, roles, target_roles, *, double_q: bool = True):
    """Squared errors of each step and of each interval with a known outcome."""
    steps = len(item.actions)
    state, avail = torch.from_numpy(item.state), torch.from_numpy(item.avail)
    q = action_values(live.agent, item, roles)
    with torch.no_grad():
        q_target = action_values(target.agent, item, target_roles)

    def mixed(mixer, values, chosen, t):
        whole = torch.ones(N, values.shape[-1], dtype=torch.bool)
        return mixer(JointChoice(values[t], whole, torch.tensor(chosen), state[t]))[0]

    def best(chooser, t, legal=None):
        return [
            max(
                (k for k, q in enumerate(chooser[t, i]) if legal is None or legal[t, i, k]),
                key=lambda k: chooser[t, i, k],
            )
            for i in range(N)
        ]

    of_steps, of_intervals = [], []
    for t in range(steps):
        y = float(item.reward[t])
        if t < steps - 1 or not item.terminated:
            chosen = best(q if double_q else q_target, t + 1, avail)
            with torch.no_grad():
                y = y + GAMMA * mixed(target.mixer, q_target, chosen, t + 1)
        of_steps.append((mixed(live.mixer, q, item.actions[t].tolist(), t) - y) ** 2)
    role_q = role_values(live.agent, item)
    with torch.no_grad():
        role_target = role_values(target.agent, item)
    for t in range(0, steps, C):
        y, following = float(item.reward[t : t + C].sum()), t + C
        over = item.terminated and following >= steps
        if not over and following > steps:
            continue  # nobody knows what came after
        if not over:
            chosen = best(role_q if double_q else role_target, following)
            with torch.no_grad():
                y = y + GAMMA * mixed(target.role_mixer, role_target, chosen, following)
        recorded = item.notes["roles"][t].astype(np.int64).tolist()
        of_intervals.append((mixed(live.role_mixer, role_q, recorded, t) - y) ** 2)
    return of_steps, of_intervals


def recorded_roles(live: RodeNetwork, item: Episode) -> list[list[int]]:
    """The recorded roles; behind the last step the last ones, or the best ones if they would be chosen there."""
    steps, roles = len(item.actions), item.notes["roles"].astype(np.int64).tolist()
    behind = role_values(live.agent, item)[steps].argmax(-1).tolist() if steps % C == 0 else roles[-1]
    return [*roles, behind]


def naive(live, target, episodes, role_rows, *, double_q=True):
    """Losses of actions and of roles. role_rows: of each episode, roles of the live and of the target network."""
    steps, intervals = [], []
    for item, (rows, target_rows) in zip(episodes, role_rows):
        a, b = errors(live, target, item, rows, target_rows, double_q=double_q)
        steps, intervals = steps + a, intervals + b
    return sum(steps) / len(steps), sum(intervals) / len(intervals)


def ours(live, target, episodes, *, double_q=True, draws=None):
    batch = batch_of(episodes)
    intervals = role_intervals(batch, C)
    return batch_loss(
        live, target, batch, intervals, gamma=GAMMA, double_q=double_q, device="cpu",
        draws=None if draws is None else draws(len(intervals.starts)),
    )  # fmt: skip


def compare(live, target, episodes, role_rows, **how):
    action, role = naive(live, target, episodes, role_rows, double_q=how.get("double_q", True))
    parameters = list(live.parameters())
    wanted = torch.autograd.grad(action + role, parameters)
    loss, log = ours(live, target, episodes, **how)
    torch.testing.assert_close(loss, action + role, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(log["role_loss"], role.detach(), atol=1e-6, rtol=1e-5)
    for got, want in zip(torch.autograd.grad(loss, parameters), wanted):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-4)
    return log


@pytest.mark.parametrize("double_q", [True, False])
@pytest.mark.parametrize(
    ("lengths", "ends"),
    [((7, 4, 1), (True, True, True)), ((7, 6, 3, 2), (False, False, True, False)), ((5, 6), (True, False))],
)
def test_loss_and_gradients_match_the_loops(lengths, ends, double_q):
    rng = np.random.default_rng(0)
    episodes = [episode(rng, steps, terminated=end) for steps, end in zip(lengths, ends)]
    live, target = network(0), network(1)
    rows = [(recorded_roles(live, item),) * 2 for item in episodes]
    log = compare(live, target, episodes, rows, double_q=double_q)
    assert set(log) == {
        *(prefix + name for prefix in ("", "role_") for name in ("q_tot_mean", "target_mean", "td_error_abs")),
        "role_loss",
    }


def test_roles_can_be_chosen_anew_by_each_network():
    """As the authors' learner does; the draws make no role random here."""
    rng = np.random.default_rng(1)
    episodes = [episode(rng, steps, terminated=True) for steps in (7, 3)]
    live, target = network(2), network(3)
    rows = []
    for item in episodes:
        best = [role_values(net.agent, item).argmax(-1).tolist() for net in (live, target)]
        rows.append(tuple([[each[t - t % C] for t in range(len(each))] for each in best]))
    assert any(a != b for item, pair in zip(episodes, rows) for a, b in zip(item.notes["roles"].tolist(), pair[0]))
    compare(live, target, episodes, rows, draws=lambda starts: np.full((2, 2, starts, N), 0.05))


def test_one_in_twenty_roles_is_random_among_those_in_use():
    agent, role_q = network(4).agent, torch.randn(3, N, 5)
    draws = torch.zeros(2, 3, N)
    draws[0] = torch.tensor([[0.0499, 0.06], [0.0499, 0.0499], [0.06, 0.06]])
    draws[1] = torch.tensor([[0.0, 0.9], [0.26, 0.999], [0.5, 0.5]])
    best = role_q[..., :4].argmax(-1)
    expected = torch.tensor([[0, best[0, 1]], [1, 3], [best[2, 0], best[2, 1]]])
    torch.testing.assert_close(random_or_greedy_roles(agent, role_q, draws), expected)


def test_a_single_role_with_all_actions_is_qmix_with_a_factored_output_layer():
    """Q(a) = z_a . (W h + b) is a linear layer with weight z W and bias z b."""
    rng = np.random.default_rng(5)
    episodes = [episode(rng, steps, terminated=steps != 4, roles=1) for steps in (7, 4, 2)]
    live, target = network(6), network(7)

    def qmix_of(net: RodeNetwork) -> value_based.QNetwork:
        agent = RecurrentAgent(INFO, CONFIG.agent)
        agent.encoder, agent.rnn = (copy.deepcopy(x) for x in (net.agent.trunk.encoder, net.agent.trunk.rnn))
        with torch.no_grad():
            agent.head.weight.copy_(net.agent.action_points @ net.agent.heads.weight[:3])
            agent.head.bias.copy_(net.agent.action_points @ net.agent.heads.bias[:3])
        return value_based.QNetwork(agent, copy.deepcopy(net.mixer))

    for net in (live, target):
        net.agent.active.copy_(torch.arange(5) < 1)
    pair = qmix_of(live), qmix_of(target)
    seen = value_based.unroll(pair[0], batch_of(episodes), device="cpu")
    expected, expected_log = value_based.batch_loss(*pair, seen, gamma=GAMMA, double_q=True)
    loss, log = ours(live, target, episodes)
    torch.testing.assert_close(loss - log["role_loss"], expected)
    for name, value in expected_log.items():
        torch.testing.assert_close(log[name], value)
    (loss - log["role_loss"]).backward()
    expected.backward()
    for got, want in (
        (live.agent.trunk.encoder.weight.grad, pair[0].agent.encoder.weight.grad),
        (live.agent.trunk.rnn.weight_hh.grad, pair[0].agent.rnn.weight_hh.grad),
        (live.mixer.hyper_b1.weight.grad, pair[0].mixer.hyper_b1.weight.grad),
        (live.agent.heads.weight.grad[:3], live.agent.action_points.t() @ pair[0].agent.head.weight.grad),
    ):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-4)


def test_the_frozen_constants_are_no_parameters():
    names = {name for name, _ in network(0).named_parameters()}
    assert not any("points" in name or "sets" in name for name in names)
    state = network(0).state_dict()
    assert {"agent.action_points", "agent.role_points", "agent.action_sets", "agent.active"} <= set(state)
