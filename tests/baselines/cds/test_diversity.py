"""The intrinsic reward of a batch, and what of it reaches the targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.cds.agent import diverse_agent
from baselines.cds.config import CdsConfig, DiversityConfig, PredictorConfig
from baselines.cds.diversity import Diversity
from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import AgentConfig, QplexConfig, QplexMixerConfig
from baselines.value_based.learner import QNetwork, batch_loss, unroll
from baselines.value_based.qplex import qplex
from baselines.value_based.store import Episode, EpisodeStore
from envs.interface import EnvInfo
from training.config import apply_overrides

INFO = EnvInfo("toy", "test", "smac", 2, 1, 4, 3, 5, 12, False)
AGENT = AgentConfig(hidden_size=6, agent_id=False)
MIXER = QplexMixerConfig(unit_features=2, heads=2, embed_size=3, query_size=4)
CONFIG = CdsConfig(agent=AGENT, mixer=MIXER, predictor=PredictorConfig(hidden_size=7, minibatch=8))


def episode(rng: np.random.Generator, steps: int) -> Episode:
    avail = rng.random((steps + 1, 2, 4)) < 0.5
    avail[..., 2] = True
    return Episode(
        obs=rng.random((steps + 1, 2, 3), np.float32),
        state=rng.random((steps + 1, 5), np.float32),
        avail=avail,
        actions=rng.integers(0, 4, (steps, 2)),
        reward=rng.random(steps, np.float32),
        terminated=True,
    )


def batch_of(*lengths: int, seed: int = 0):
    """Episodes, longest first, and their batch."""
    rng, store = np.random.default_rng(seed), EpisodeStore(INFO, 10)
    episodes = [episode(rng, steps) for steps in sorted(lengths, reverse=True)]
    for each in episodes:
        store.add(each)
    return episodes, store.batch(np.arange(len(episodes)))


def network(config: CdsConfig, seed: int = 0) -> QNetwork:
    torch.manual_seed(seed)
    return QNetwork(diverse_agent(config, INFO), qplex(config, INFO))


def diversity(config: CdsConfig, seed: int = 0) -> Diversity:
    torch.manual_seed(seed)
    return Diversity(config, INFO, np.random.default_rng(seed), "cpu")


def rewards(of: Diversity, seen, env_steps: int = 0):
    x, observation = of.rows(seen)
    agents = torch.arange(2).repeat(len(seen.now))
    return of.rewards(seen, x, observation, agents, env_steps=env_steps)


def test_rows_hold_what_was_remembered_seen_and_done_and_what_followed():
    episodes, batch = batch_of(4, 2, 1)
    live = network(CONFIG)
    x, observation = diversity(CONFIG).rows(unroll(live, batch, device="cpu"))
    assert not x.requires_grad
    row = 0
    for t in range(4):
        for each in episodes:
            if t >= len(each.actions):
                continue
            for i in range(2):
                hidden = torch.zeros(1, 6)
                for k in range(t):  # before the step: zero at the start
                    last = torch.full((1, 2), -1) if not k else torch.from_numpy(each.actions[k - 1 : k])
                    inputs = live.agent.inputs(torch.from_numpy(each.obs[k : k + 1]), last)[0, i]
                    hidden = live.agent.rnn(live.agent.encoder(inputs[None]).relu(), hidden)
                done = torch.eye(4)[each.actions[t, i]]
                expected = torch.cat([hidden.detach()[0], torch.from_numpy(each.obs[t, i]), done])
                torch.testing.assert_close(x[row], expected)
                assert torch.equal(observation[row], torch.from_numpy(each.obs[t + 1, i]))
                row += 1
    assert row == len(x) == len(observation) == 2 * 7


def test_equal_predictors_and_beta1_of_one_cancel_the_observation_term():
    """q that ignores its index and has p's weights says what p says."""
    config = apply_overrides(CONFIG, ["diversity.beta1=1", "diversity.beta2=0"])
    of, (_, batch) = diversity(config), batch_of(5, 3)
    seen = unroll(network(config), batch, device="cpu")
    reward, log = rewards(of, seen)
    assert reward.abs().max() > 0
    p, q = of._target["p"], of._target["q"]
    with torch.no_grad():
        for a, b in ((p.first, q.first), (p.second, q.second), (p.last, q.last)):
            b.weight.zero_()
            b.weight[:, : a.weight.shape[1]] = a.weight
            b.bias.copy_(a.bias)
    reward, log = rewards(of, seen)
    torch.testing.assert_close(reward, torch.zeros(8), atol=1e-7, rtol=0)
    assert abs(log["intrinsic_observation_mean"].item()) < 1e-6


def test_team_reward_is_the_mean_of_the_agents_and_its_parts_add_up():
    of, (_, batch) = diversity(CONFIG), batch_of(5, 3)
    seen = unroll(network(CONFIG), batch, device="cpu")
    reward, log = rewards(of, seen)
    assert reward.shape == (8,) and not reward.requires_grad
    total = 0.05 * (log["intrinsic_observation_mean"] + log["intrinsic_policy_mean"])
    torch.testing.assert_close(reward.mean(), total)
    torch.testing.assert_close(log["intrinsic_mean"], total)


def test_illegal_actions_are_in_the_softmax():
    of, (_, batch) = diversity(CONFIG), batch_of(5, 3)
    live = network(CONFIG)
    before, _ = rewards(of, unroll(live, batch, device="cpu"))
    batch.avail[...] = True
    after, _ = rewards(of, unroll(live, batch, device="cpu"))
    assert torch.equal(before, after)


@pytest.mark.parametrize(("env_steps", "share"), [(0, 1.0), (100, 1.0), (300_100, 0.4), (10**7, 0.0)])
def test_the_reward_anneals(env_steps, share):
    config = apply_overrides(CONFIG, ["diversity.anneal_rate=2", "diversity.anneal_after=100"])
    of, (_, batch) = diversity(config), batch_of(4)
    seen = unroll(network(config), batch, device="cpu")
    torch.testing.assert_close(rewards(of, seen, env_steps)[0], share * rewards(of, seen)[0])


def test_without_bonus_and_local_values_the_learner_is_qplex():
    """beta = 0 and zero local heads: loss and gradients of QPLEX's own learner, to the last bit."""
    config = apply_overrides(CONFIG, ["diversity.beta=0"])
    live, target = network(config, 0), network(config, 1)
    plain = []
    for net in (live, target):
        with torch.no_grad():
            for parameter in net.agent.local_heads.parameters():
                parameter.zero_()
        twin = QNetwork(RecurrentAgent(INFO, AGENT), qplex(QplexConfig(mixer=MIXER), INFO))
        twin.load_state_dict({k: v for k, v in net.state_dict().items() if "local" not in k})
        plain.append(twin)
    _, batch = batch_of(6, 3, 3, 1)
    seen = unroll(live, batch, device="cpu")
    bonus, _ = diversity(config).update(seen, env_steps=0)
    assert not bonus.any()
    loss, log = batch_loss(live, target, seen, gamma=0.9, double_q=True, bonus=bonus)
    expected, facts = batch_loss(*plain, unroll(plain[0], batch, device="cpu"), gamma=0.9, double_q=True)
    assert torch.equal(loss, expected) and all(torch.equal(log[k], facts[k]) for k in facts)
    loss.backward()
    expected.backward()
    for name, parameter in plain[0].named_parameters():
        torch.testing.assert_close(dict(live.named_parameters())[name].grad, parameter.grad)


def test_the_bonus_is_added_to_the_reward():
    config = CONFIG
    live, target = network(config, 0), network(config, 1)
    _, batch = batch_of(6, 3)
    seen = unroll(live, batch, device="cpu")
    bonus = torch.arange(9.0)
    _, log = batch_loss(live, target, seen, gamma=0.9, double_q=True, bonus=bonus)
    batch.reward[:] += bonus.numpy()
    _, expected = batch_loss(live, target, unroll(live, batch, device="cpu"), gamma=0.9, double_q=True)
    torch.testing.assert_close(log["target_mean"], expected["target_mean"])


def test_rewards_are_those_of_the_copies_until_they_are_renewed():
    of, (_, batch) = diversity(CONFIG), batch_of(6, 3)
    seen = unroll(network(CONFIG), batch, device="cpu")
    first, log = of.update(seen, env_steps=0)
    second, _ = of.update(seen, env_steps=0)
    assert torch.equal(first, second)
    losses = [log["predictor_q_loss"].item()]
    for _ in range(30):
        losses.append(of.update(seen, env_steps=0)[1]["predictor_q_loss"].item())
    assert losses[-1] < 0.7 * losses[0]
    of.copy_target()
    assert not torch.allclose(of.update(seen, env_steps=0)[0], first)


def test_the_batch_is_left_alone_and_nothing_reaches_the_agents():
    of, (_, batch) = diversity(CONFIG), batch_of(6, 3)
    live = network(CONFIG)
    seen = unroll(live, batch, device="cpu")
    kept = seen.memories.detach().clone()
    of.update(seen, env_steps=0)
    assert torch.equal(seen.memories, kept) and all(p.grad is None for p in live.parameters())


def test_only_padding_in_a_minibatch_is_no_step_and_no_nan():
    """One long and many short episodes: most cells are padding, and with two a piece some pieces are nothing else."""
    config = CdsConfig(agent=AGENT, mixer=MIXER, predictor=PredictorConfig(hidden_size=7, minibatch=2))
    of, (_, batch) = diversity(config), batch_of(12, *[1] * 8)
    _, log = of.update(unroll(network(config), batch, device="cpu"), env_steps=0)
    assert all(torch.isfinite(value) for value in log.values())
    steps = of._optimizers["p"].state_dict()["state"][0]["step"].item()
    assert steps < 9 * 12  # pieces of two of 9 episodes of 12 steps and 2 agents
    assert all(torch.isfinite(p).all() for p in of._live["q"].parameters())


def test_published_settings_are_the_defaults():
    assert DiversityConfig() == DiversityConfig(0.05, 0.5, 0.5, 0.1, 0.0, 1_000_000)
    assert PredictorConfig() == PredictorConfig(128, 256, "adam", 1e-3, 1e-8, 1.0)
