"""A policy that knows nothing plays at random among the legal actions, but the same episodes in the same way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.mappo.config import NetworkConfig
from baselines.mappo.networks import Network
from baselines.mappo.policy import PpoPolicy
from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import AgentConfig
from baselines.value_based.policy import RecurrentPolicy
from training.greedy import best_of


def knows_nothing(kind, info):
    torch.manual_seed(0)
    if kind == "values":
        agent = RecurrentAgent(info, AgentConfig(hidden_size=8))
        head, policy = agent.head, RecurrentPolicy(agent, device="cpu")
    else:
        actor = Network(2 * info.obs_size, info.n_actions, NetworkConfig(hidden_size=8, frames=2), gain=1.0)
        head, policy = actor.head, PpoPolicy(actor, n_agents=info.n_agents, frames=2, device="cpu")
    with torch.no_grad():
        head.weight.zero_(), head.bias.zero_()
    return policy


@pytest.mark.parametrize("kind", ["values", "policies"])
def test_equals_are_drawn_anew_in_each_step_and_alike_from_each_start(ragged_env, kind):
    env = ragged_env(40, 0)
    policy = knows_nothing(kind, env.info)
    for _ in range(2):
        env.reset(0)
        policy.start(40)
        rng, played = np.random.default_rng(0), []
        for _ in range(2):
            legal = env.available_actions.copy()
            played.append(policy.act(env))
            np.testing.assert_array_equal(played[-1], best_of(np.zeros(legal.shape), legal, rng))
            env.step(played[-1])
        assert set(played[0].flat) == {0, 1, 2, 3}


def test_a_new_policy_has_no_slots_and_new_episodes_have_no_past(ragged_env):
    env = ragged_env(3, 0)
    env.reset(0)
    values, policies = (knows_nothing(kind, env.info) for kind in ("values", "policies"))
    assert values.state_dict()["hidden"].shape == policies.state_dict()["hidden"].shape == (0, 2, 8)
    for policy in (values, policies):
        policy.start(3)
        first = policy.state_dict()
        assert first["hidden"].shape == (3, 2, 8) and first["hidden"].dtype == np.float32
        assert not first["hidden"].any()
        policy.act(env)
        policy.start_slots(np.array([0, 2]))
        hidden = policy.state_dict()["hidden"]
        assert hidden[1].any(-1).all() and not hidden[[0, 2]].any()
    last = values.state_dict()["last_action"]
    assert last.dtype == np.int64 and (last[[0, 2]] == -1).all() and (last[1] >= 0).all()
    past = policies.state_dict()["frames"]["past"]
    np.testing.assert_array_equal(past[1], env.obs[1])
    assert past.dtype == np.float32 and not past[[0, 2]].any()
