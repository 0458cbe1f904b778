from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

import envs
from baselines import registry
from baselines.mappo.config import PpoConfig
from baselines.mappo.learner import _cut, _select, load_policy, resolve
from baselines.mappo.losses import policy_loss
from baselines.mappo.networks import log_policy
from baselines.mappo.policy import Frames, PpoPolicy, sample
from baselines.mappo.rollout import critic_input, living
from training.config import apply_overrides, from_dict, load_preset
from training.loop import Schedule, train
from training.metrics import read_records, without_clock
from training.run import RunDirectory

SMALL = ["rollout.num_envs=3", "rollout.steps=12", "network.hidden_size=32", "learning.chunk_length=4"]
SMALL += ["learning.epochs=2", "network.kind=rnn"]


def small_config(*overrides: str) -> PpoConfig:
    algorithm = registry.find("mappo")
    return apply_overrides(load_preset(algorithm.presets, "matrix", PpoConfig), [*SMALL, *overrides])


@pytest.fixture
def make(ragged_env):
    """A learner on a toy with ragged episodes in which the second agent may be dead from one step to the next."""

    class Mortal(ragged_env):
        def _observe(self, b):
            super()._observe(b)
            if self._t[b] > 0 and self._rng[b].random() < 0.5:
                self.available_actions[b, 1] = np.arange(4) == 0
                self.obs[b, 1] = 0.0

    def build(config, *, seed=0, algorithm="mappo"):
        def make_env(num_envs, observation, env_seed):
            return Mortal(num_envs, env_seed)

        return registry.find(algorithm).make_learner(
            config, make_env=make_env, seed=seed, device="cpu", eval_episodes=4
        )

    return build


def collect(learner, rounds=1):
    """Fill the last of so many rounds, without its updates."""
    for _ in range(rounds - 1):
        while not learner._rollout.full:
            learner._rollout.step()
        learner._chunks()
        learner._rollout.next_round()
    while not learner._rollout.full:
        learner._rollout.step()
    return learner


@pytest.mark.parametrize("overrides", [(), ("network.kind=mlp", "network.frames=3"), ("network.frames=2",)])
@pytest.mark.parametrize("rounds", [1, 2])
def test_all_ratios_are_one_before_the_first_update(make, overrides, rounds):
    learner = collect(make(small_config(*overrides)), rounds)
    chunks = learner._chunks()
    starts = chunks.mask == 0
    assert (starts[1:] if len(starts) > 1 else starts).any()  # episodes begin inside chunks
    logits, _ = learner._actor.unroll(chunks.obs, chunks.actor_hidden, chunks.mask)
    log_probs = log_policy(logits, chunks.avail)
    chosen = log_probs.gather(-1, chunks.action.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close((chosen - chunks.log_prob).exp(), torch.ones_like(chosen), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rounds", [1, 3])
def test_values_of_a_round_are_those_of_acting_step_by_step(make, rounds):
    learner = make(small_config())
    learner._actor.head.weight.data.mul_(100)
    hidden = torch.zeros(6, 32)
    for _ in range(rounds):
        collect(learner)
        rows, carried = learner._rollout.rows, hidden
        expected, before = [], []
        for t in range(13):
            carried = carried * torch.from_numpy(rows["mask"][t]).repeat_interleave(2)[:, None]
            before.append(carried)
            hidden = carried
            value, carried = learner._critic.step(torch.from_numpy(rows["central"][t]).flatten(0, 1), carried)
            expected.append(value.view(3, 2))
        chunks = learner._chunks()
        values = torch.stack(expected[:-1]).detach().numpy()
        torch.testing.assert_close(chunks.value, _cut(torch.from_numpy(values), 4), atol=1e-5, rtol=1e-5)
        masked = chunks.critic_hidden * chunks.mask[0][:, None]
        stored = _cut(torch.stack(before[:-1]).detach().view(12, 3, 2, 32), 4)[0]
        torch.testing.assert_close(masked, stored, atol=1e-5, rtol=1e-5)
        learner._rollout.next_round()


def test_chunks_are_consecutive_steps_of_one_agent():
    series = torch.arange(12 * 3 * 2).view(12, 3, 2)
    pieces = _cut(series, 4)
    assert pieces.shape == (4, 18)
    assert (pieces[1:] - pieces[:-1] == 6).all()
    assert sorted(pieces.flatten().tolist()) == list(range(72))


def test_dead_agents_have_no_weight_in_the_actor(make):
    learner = collect(make(small_config("network.kind=mlp")))
    chunks = learner._chunks()
    dead = chunks.active == 0
    assert 0 < int(dead.sum()) < dead.numel()

    def gradient(batch):
        logits, _ = learner._actor.unroll(batch.obs, batch.actor_hidden, batch.mask)
        rows = (batch.action, batch.log_prob - 0.1, batch.advantage, batch.active)
        loss, entropy, _ = policy_loss(log_policy(logits, batch.avail), *rows, clip=0.2)
        return torch.autograd.grad(loss - 0.01 * entropy, list(learner._actor.parameters()))

    expected = gradient(chunks)
    changed = chunks._replace(
        advantage=torch.where(dead, 1e3, chunks.advantage), obs=torch.where(dead[..., None], -7.0, chunks.obs)
    )
    living_only = _select(chunks, chunks.active.any(0).nonzero().squeeze(-1))
    for batch in (changed, living_only):
        for got, want in zip(gradient(batch), expected):
            torch.testing.assert_close(got, want, atol=1e-7, rtol=1e-4)
    chosen = chunks.advantage[~dead]
    assert chosen.mean().item() == pytest.approx(0, abs=1e-5)
    assert chosen.std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_masks_and_hidden_states_at_the_ends_of_episodes(make):
    learner = collect(make(small_config()), 2)
    rows = learner._rollout.rows
    begins = rows["mask"] == 0
    assert begins[1:].any() and not rows["hidden"][begins].any()
    assert rows["hidden"][1:][~begins[1:]].any(-1).all()
    assert living(rows["avail"])[begins].all()  # everybody lives when an episode begins
    assert (rows["bad"][~begins] == 1).all() and 0 < (rows["bad"][begins] == 0).sum() < begins.sum()


@pytest.mark.parametrize("proper", [False, True])
def test_time_outs(make, proper):
    learner = collect(make(small_config(f"learning.proper_time_limits={str(proper).lower()}", "network.kind=mlp")))
    chunks, rows = learner._chunks(), learner._rollout.rows
    value = learner._norm.denormalize(chunks.value)
    cut = _cut(torch.from_numpy(np.repeat(rows["bad"][1:, :, None] == 0, 2, -1)), 1)
    assert cut.any()
    expected = value if proper else _cut(torch.from_numpy(np.repeat(rows["reward"][..., None], 2, -1)), 1)
    torch.testing.assert_close(chunks.returns[cut], expected[cut], atol=1e-5, rtol=1e-5)


def test_frames_are_in_order_and_cleared():
    frames = Frames(3)
    x = [np.full((2, 1, 2), float(t), np.float32) for t in range(1, 5)]
    assert frames.push(x[0])[0, 0].tolist() == [0, 0, 0, 0, 1, 1]
    assert frames.push(x[1])[0, 0].tolist() == [0, 0, 1, 1, 2, 2]
    frames.start_slots(np.array([1]))
    stacked = frames.push(x[2])
    assert stacked[0, 0].tolist() == [1, 1, 2, 2, 3, 3] and stacked[1, 0].tolist() == [0, 0, 0, 0, 3, 3]
    frames.start()
    assert frames.push(x[3])[0, 0].tolist() == [0, 0, 0, 0, 4, 4]


def test_samples_follow_the_policy_and_never_the_illegal():
    probabilities = np.array([0.5, 0.0, 0.2, 0.3])
    log_probs = np.where(probabilities > 0, np.log(np.maximum(probabilities, 1e-30)), -1e10)
    drawn = sample(np.broadcast_to(log_probs, (40_000, 4)), np.random.default_rng(0))
    frequency = np.bincount(drawn, minlength=4) / 40_000
    assert frequency[1] == 0
    np.testing.assert_allclose(frequency, probabilities, atol=0.01)  # four standard errors


def test_minibatches_part_the_round_anew_in_each_epoch(make):
    learner = make(small_config("learning.minibatches=4", "learning.epochs=3"))
    parts = [part.tolist() for part in learner._minibatches(18)]
    assert len(parts) == 12
    epochs = [[index for part in parts[4 * e : 4 * e + 4] for index in part] for e in range(3)]
    assert all(sorted(epoch) == list(range(18)) for epoch in epochs) and epochs[0] != epochs[1]


@pytest.mark.parametrize(("minibatches", "norm"), [(1, "valuenorm"), (3, "popart"), (2, "none")])
def test_updates_of_a_round_are_counted_and_finite(make, minibatches, norm):
    learner = make(small_config(f"learning.minibatches={minibatches}", f"critic.normalization={norm}"))
    weights = learner._critic.head.weight
    for _ in range(24):
        learner.advance()
    assert learner.updates == 2 * 2 * minibatches and learner.env_steps == 72
    assert learner._critic.head.weight is weights
    metrics = learner.drain_metrics()
    assert {"policy_loss", "value_loss", "entropy", "actor_grad_norm", "clip_fraction"} <= set(metrics)
    assert all(np.isfinite(value) for value in metrics.values())
    assert all(p.isfinite().all() for p in learner._actor.parameters())


def test_popart_update_without_learning_changes_no_value(make):
    """The statistics move at every update, and the output layer with them."""
    learner = collect(make(small_config("critic.normalization=popart", "learning.critic_learning_rate=1e-30")))
    chunks = learner._chunks()
    before = learner._norm.denormalize(learner._critic.unroll(chunks.central, chunks.critic_hidden, chunks.mask)[0])
    learner._update()
    after = learner._norm.denormalize(learner._critic.unroll(chunks.central, chunks.critic_hidden, chunks.mask)[0])
    assert learner._norm.deviation != pytest.approx(0.1)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def run(learner, path, steps, **options):
    directory = RunDirectory(path)
    with directory.claim({"seed": 0}):
        assert train(learner, directory, Schedule(steps, 50, **options)) == 0
    return [without_clock(r) for r in read_records(directory.metrics_path)] if directory.finished else None


def weights(learner):
    return torch.cat([p.detach().flatten() for net in (learner._actor, learner._critic) for p in net.parameters()])


def test_same_seed_same_run_and_other_seed_other_run(make, tmp_path):
    learners = [make(small_config(), seed=seed) for seed in (0, 0, 1)]
    first, second, other = (run(learner, tmp_path / str(k), 200) for k, learner in enumerate(learners))
    assert first == second and torch.equal(weights(learners[0]), weights(learners[1]))
    assert first != other


@pytest.mark.parametrize(
    ("algorithm", "overrides"),
    [
        ("mappo", ()),
        ("mappo", ("learning.minibatches=2", "critic.normalization=popart", "network.frames=2")),
        ("ippo", ("network.kind=mlp", "network.frames=3")),
    ],
)
def test_stop_and_resume_is_no_stop(make, tmp_path, algorithm, overrides):
    """Stops in the middle of a round, right after one, and again in the next."""
    build = partial(make, small_config(*overrides), algorithm=algorithm)
    whole = build()
    expected = run(whole, tmp_path / "whole", 200)
    for stop in (10, 72, 130):  # a fresh learner each time, as in a new process
        assert run(build(), tmp_path / "parts", 200, stop_at=stop) is None
    last = build()
    assert run(last, tmp_path / "parts", 200) == expected
    assert torch.equal(weights(last), weights(whole))


def test_building_a_learner_leaves_torchs_generator_alone(make):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make(small_config())
    assert torch.equal(torch.rand(3), expected)


def test_loaded_policy_acts_like_the_learners():
    config = small_config("network.frames=2")

    def make_env(num_envs, observation, seed):
        return envs.make("matrix_3", num_envs=num_envs, observation=observation, seed=seed)

    learner = registry.find("mappo").make_learner(config, make_env=make_env, seed=0, device="cpu", eval_episodes=4)
    for _ in range(30):
        learner.advance()
    env = make_env(4, "mazero", 0)
    policies = [load_policy(config, env.info, learner.state_dict(), device="cpu"), learner._policy()]
    env.reset(0)
    for policy in policies:
        assert isinstance(policy, PpoPolicy)
        policy.start(4)
    for _ in range(10):
        first, second = (policy.act(env) for policy in policies)
        np.testing.assert_array_equal(first, second)
        env.step(first)


def test_what_the_critic_sees():
    battle, game = envs.make("3m", num_envs=2, observation="mazero"), envs.make("matrix_1", num_envs=2)
    for env in (battle, game):
        env.reset(0)
    config = load_preset(registry.find("mappo").presets, "published", PpoConfig)
    expected = {(True, battle): "agent_state", (True, game): "team_state"}
    expected |= {(False, battle): "obs", (False, game): "obs"}
    for (centralized, env), kind in expected.items():
        resolved = resolve(config, env, centralized=centralized)
        assert resolved.critic.input == kind and resolve(resolved, env, centralized=centralized) == resolved
    np.testing.assert_array_equal(critic_input(battle, "agent_state"), battle.agent_state)
    np.testing.assert_array_equal(critic_input(battle, "obs"), battle.obs)
    team = critic_input(game, "team_state")
    np.testing.assert_array_equal(team[..., :-2], np.repeat(game.state[:, None], 2, 1))
    np.testing.assert_array_equal(team[..., -2:], np.broadcast_to(np.eye(2), (2, 2, 2)))
    with pytest.raises(ValueError, match="use --algorithm ippo"):
        resolve(apply_overrides(config, ["critic.input=obs"]), battle, centralized=True)
    with pytest.raises(ValueError, match="use --algorithm mappo"):
        resolve(apply_overrides(config, ["critic.input=agent_state"]), battle, centralized=False)
    with pytest.raises(ValueError, match="matrix_1 has none"):
        resolve(apply_overrides(config, ["critic.input=agent_state"]), game, centralized=True)


def test_networks_of_a_3m_run_have_the_published_sizes():
    config = from_dict(PpoConfig, {})

    def make_env(num_envs, observation, seed):
        return envs.make("3m", num_envs=num_envs, observation=observation, seed=seed)

    for algorithm, critic_size in (("mappo", 34979), ("ippo", 34979 - 17 * 66)):
        make = registry.find(algorithm).make_learner
        learner = make(config, make_env=make_env, seed=0, device="cpu", eval_episodes=1)
        sizes = [sum(p.numel() for p in net.parameters()) for net in (learner._actor, learner._critic)]
        assert sizes == [34377, critic_size]


@pytest.mark.slow
def test_3m_is_learned():
    """12,000 steps of the preset for low budgets: from losing everything to winning most training battles."""
    config = load_preset(registry.find("mappo").presets, "low_data", PpoConfig)

    def make_env(num_envs, observation, seed):
        return envs.make("3m", num_envs=num_envs, observation=observation, seed=seed)

    learner = registry.find("mappo").make_learner(config, make_env=make_env, seed=0, device="cpu", eval_episodes=32)
    returns = []
    while learner.env_steps < 24_000:
        for _ in range(500):
            learner.advance()
        returns.append(learner.drain_metrics()["train_return_mean"])
    assert returns[0] < 8.0 and np.mean(returns[-2:]) > returns[0] + 4.0
