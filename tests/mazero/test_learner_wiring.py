"""The learner against the plain sequence it stands for, and its schedules, evaluations and records by hand."""

import copy
import dataclasses
import itertools
import logging
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import envs
from mazero import learner as module
from mazero import update
from mazero.inference import TorchModel, make_model
from mazero.learner import MAZeroLearner, require_support
from mazero.losses import batch_loss
from mazero.networks import MAZeroNetwork
from mazero.optimiser import clip_gradients
from mazero.reanalyze import make_batch
from mazero.replay import Replay
from mazero.searches import FreshSearches, position_seeds, search_fields, search_observations
from mazero.selfplay import NetworkPolicy, SearchPolicy, SelfPlay
from mazero.update import optimise
from tests.mazero.tiny import tiny_config, tiny_learner
from training.errors import Diverged, UserError
from training.evaluation import evaluate
from training.seeding import Streams, draw_seed

GAME, SEED, BUDGET = "matrix_4", 5, 64
# 64 steps of 4 environments' 10-step episodes: learning starts at 40 with 10 updates to make up for.
SETTINGS = (
    "optimiser.updates_per_env_step=0.25", "optimiser.final_learning_rate=1e-3", "optimiser.gradient_norm=0.5",
    "optimiser.adam_epsilon=1e-3", "targets.td_steps=3", "targets.td_age_share=1.0", "targets.write_back=true",
    "replay.priority_alpha=0.8", "replay.beta_start=0.3", "replay.beta_end=0.9", "self_play.temperature=0.7",
    "targets.period_searches=2",
)  # fmt: skip


def same_tensors(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


class Remembered:
    """Searches of one target network by position and turn, one at a time, each with a seed of its own."""

    def __init__(self, model, config, seed):
        self.model, self.config, self.seed = model, config, seed
        self.period = self.asked = self.made = 0
        self.rows, self.times = {}, Counter()

    def find(self, replay, positions):
        found = []
        for t in positions:
            turn = self.times[t] % self.config.targets.period_searches
            if (t, turn) not in self.rows:
                seeds = position_seeds(np.uint64(self.seed), self.period, np.array([t]), np.array([turn]))
                obs = replay.stacked_obs(np.array([t]), self.config.network.stacked_observations)
                result = search_observations(
                    self.model, obs, replay.available[[t]], self.config, seeds=seeds, noise=True
                )  # fmt: skip
                self.rows[t, turn] = search_fields(result)
                self.made += 1
            self.times[t] += 1
            self.asked += 1
            found.append(self.rows[t, turn])
        return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}

    def renew(self):
        self.rows, self.times, self.period = {}, Counter(), self.period + 1


class Recomputed:
    """Values of the target network as it is, computed anew whenever they are asked for."""

    def __init__(self, model, config):
        self.model, self.depth = model, config.network.stacked_observations

    def find(self, replay, positions):
        return self.model.roots(replay.stacked_obs(positions, self.depth)).value.numpy()


def plain_run(reuse):
    """Networks, replay, random streams, weights by update and logged numbers after BUDGET environment steps."""
    config, streams = tiny_config(*SETTINGS, f"targets.search_reuse={reuse}"), Streams(SEED)
    torch.manual_seed(draw_seed(streams.init))
    env = envs.make(GAME, num_envs=4, observation="mazero")
    player = SelfPlay(env, config, env_seed=draw_seed(streams.env))
    network = MAZeroNetwork(config.network, obs_size=12, n_agents=2, n_actions=3).eval()
    weights = [copy.deepcopy(network.state_dict())]  # after 0, 1, ... updates
    target = copy.deepcopy(network)
    models = [make_model(net, config.inference) for net in (network, target)]
    adam = torch.optim.Adam(network.parameters(), lr=1e-2, eps=1e-3, fused=True)
    replay = Replay(priority_alpha=0.8, searches_change=True)
    searches = FreshSearches(models[1], config, rng=streams.reanalyze)
    if reuse == "period":
        searches = Remembered(models[1], config, draw_seed(streams.reanalyze))
    logged, outcomes, planned, steps = [], [], 16, 0  # 64 steps * 0.25
    while steps < BUDGET:
        rngs = {"search_rng": streams.search, "actor_rng": streams.actor}
        ended = player.step(models[0], explore=steps < 40, **rngs)
        steps += 4
        for episode, outcome in ended:
            replay.add(episode)
            outcomes.append(outcome)
        while steps >= 40 and len(weights) - 1 < steps // 4:
            done = (len(weights) - 1) / planned
            positions, importance = replay.sample(8, beta=0.3 + 0.6 * done, rng=streams.replay)
            batch = make_batch(
                replay, positions, importance, values=Recomputed(models[1], config), config=config,
                planned_updates=planned, searches=searches, rng=streams.reanalyze,
            )  # fmt: skip
            adam.param_groups[0]["lr"] = 1e-2 + done * (1e-3 - 1e-2)
            network.train()
            loss, predicted, means = batch_loss(network, batch, config.loss)
            network.zero_grad()
            loss.backward()
            norm = clip_gradients(list(network.parameters()), 0.5)
            adam.step()
            network.eval()
            replay.priority[positions] = np.abs((predicted - batch.value[:, 0]).numpy()) + 1e-6
            logged.append(means | {"gradient_norm": norm, "value_target": batch.value[:, 0].mean()})
            weights.append(copy.deepcopy(network.state_dict()))
            count = len(weights) - 1
            target.load_state_dict(weights[max(0, count // 3 * 3 - 3)])  # every third update, three updates late
            for model in models:
                model.weights_changed()
            if reuse == "period" and count % 3 == 0:
                searches.renew()
    means = {name: np.mean([outcome[name] for outcome in outcomes]) for name in outcomes[0]}
    means |= {name: np.mean([float(entry[name]) for entry in logged]) for name in logged[0]}
    means["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    if reuse == "period":
        means |= {"searches_asked": searches.asked, "searches_made": searches.made}
    return network, target, adam, replay, streams, means, len(outcomes)


def made(*overrides, steps=0, **options):
    learner = tiny_learner(*SETTINGS, *overrides, **({"game": GAME, "seed": SEED, "env_steps": BUDGET} | options))
    while learner.env_steps < steps:
        learner.advance()
    return learner


@pytest.mark.parametrize("reuse", ["draw", "period"])
def test_a_run_is_this_plain_sequence(reuse):
    learner = made(f"targets.search_reuse={reuse}", steps=BUDGET)
    dropout = torch.get_rng_state()
    network, target, adam, replay, streams, means, episodes = plain_run(reuse)
    same_tensors(learner.network.state_dict(), network.state_dict())
    same_tensors(learner.target.state_dict(), target.state_dict())
    assert torch.equal(torch.get_rng_state(), dropout)
    assert str(learner.streams.state_dict()) == str(streams.state_dict())
    assert learner.optimiser.param_groups[0]["lr"] == adam.param_groups[0]["lr"]
    for name in replay._arrays:
        np.testing.assert_array_equal(getattr(learner.replay, name), getattr(replay, name), err_msg=name)
    assert (learner.env_steps, learner.updates, learner.episodes) == (64, 16, episodes)
    found = {name: value for name, value in learner.drain_metrics().items() if not name.endswith("_seconds")}
    assert found == pytest.approx(means, rel=1e-6)
    assert learner.drain_metrics() == {}
    assert not learner.network.training and not learner.target.training


def test_a_learner_is_made_as_its_settings_say(monkeypatch):
    built, inner, asked = [], envs.make, []

    def make(*arguments, **options):
        built.append(options)
        return inner(*arguments, **options)

    def checked(env, bound):
        asked.append((env, bound))

    monkeypatch.setattr(envs, "make", make)
    monkeypatch.setattr(module, "require_support", checked)
    learner = made("inference.backend=eager", "replay.capacity=77", "self_play.observation=smac", eval_episodes=3)
    assert built == [{"num_envs": b, "observation": "smac", "seed": 0} for b in (4, 3)]
    assert asked == [(learner.self_play.env, 12)]
    assert learner.self_play.env.num_envs == 4 and learner._eval_env.num_envs == 3
    [group] = learner.optimiser.param_groups
    assert (group["lr"], group["eps"], group["fused"]) == (0.01, 0.001, True)
    assert group["params"] == list(learner.network.parameters())
    for model, network in ((learner.model, learner.network), (learner.target_model, learner.target)):
        assert isinstance(model, TorchModel) and model._network is network
    assert not any(parameter.requires_grad for parameter in learner.target.parameters())
    assert all(parameter.requires_grad for parameter in learner.network.parameters())
    assert learner.replay.capacity == 77 and learner.replay.priority_alpha == 0.8
    assert learner.planned_updates == 16
    assert tiny_learner("optimiser.updates_per_env_step=0.01", env_steps=10).planned_updates == 1
    assert (learner.env_steps, learner.updates, learner.episodes) == (0, 0, 0)


def test_networks_go_where_the_device_says():
    with pytest.raises(ValueError, match="fused runs on the CPU, got device meta"):
        MAZeroLearner(
            tiny_config("inference.backend=fused"),
            make_env=lambda num_envs, observation, seed: envs.make(GAME, num_envs=num_envs, observation=observation),
            seed=0, device="meta", eval_episodes=1, env_steps=10,
        )  # fmt: skip


def test_learning_starts_when_enough_is_stored_and_acting_stops_to_be_random_after_it():
    learner, explored, lengths = made(), [], []
    inner = learner.self_play.step

    def step(model, *, explore, search_rng, actor_rng):
        assert model is learner.model
        assert search_rng is learner.streams.search and actor_rng is learner.streams.actor
        explored.append(explore)
        return inner(model, explore=explore, search_rng=search_rng, actor_rng=actor_rng)

    learner.self_play.step = step
    for _ in range(12):
        learner.advance()
        lengths.append(learner.updates)
    assert explored == [True] * 10 + [False] * 2  # ten steps of four slots make the first 40
    assert lengths == [0] * 9 + [10, 11, 12]


def test_updates_are_whole_shares_of_the_steps_whatever_the_rounding():
    """0.29 * 100 is 28.999999999999996 in float64."""
    learner, goals = made("optimiser.updates_per_env_step=0.29", steps=40), []
    learner.update_until = goals.append
    for steps in (96, 97, 99, 100):
        learner.env_steps = steps - 4
        learner.advance()
    assert goals == [27, 28, 28, 29]


def test_schedules_end_with_the_last_planned_update_and_stay_there():
    learner = made("optimiser.updates_per_env_step=0.001", steps=40)
    learner.planned_updates, betas, rates = 4, [], []
    inner = learner.replay.sample

    def sample(batch, *, beta, rng):
        assert batch == 8 and rng is learner.streams.replay
        betas.append(beta)
        return inner(batch, beta=beta, rng=rng)

    learner.replay.sample = sample
    for _ in range(6):
        learner._update()
        rates.append(learner.optimiser.param_groups[0]["lr"])
    assert betas == pytest.approx([0.3, 0.45, 0.6, 0.75, 0.9, 0.9])
    assert rates == pytest.approx([0.01, 0.00775, 0.0055, 0.00325, 0.001, 0.001])


def test_without_a_final_rate_the_rate_is_constant():
    learner = made("optimiser.updates_per_env_step=0.001", "optimiser.final_learning_rate=null", steps=40)
    learner._update()
    learner._update()
    assert learner.optimiser.param_groups[0]["lr"] == 0.01


def test_a_drawn_batch_is_made_of_these(monkeypatch):
    learner, calls = made(steps=48), []

    def recorded(*arguments, **options):
        calls.append((arguments, options))
        return make_batch(*arguments, **options)

    monkeypatch.setattr(module, "make_batch", recorded)
    rng = copy.deepcopy(learner.streams.replay)
    drawn = learner.draw(7)
    positions, importance = learner.replay.sample(8, beta=0.3 + 0.6 * 7 / 16, rng=rng)
    [((replay, found, weights), options)] = calls
    assert replay is learner.replay and drawn.positions is found
    np.testing.assert_array_equal(found, positions)
    np.testing.assert_array_equal(weights, importance)
    np.testing.assert_array_equal(drawn.batch.importance.numpy(), importance)
    assert options == {
        "values": learner.values, "searches": learner.searches, "config": learner.config, "planned_updates": 16,
        "rng": learner.streams.reanalyze, "device": "cpu",
    }  # fmt: skip
    assert learner.reanalyze_workspace.roots > 0


@pytest.mark.parametrize("most", [1e-3, 1e3])
def test_gradients_are_clipped_by_their_global_norm(most):
    """With plain gradient descent at rate 1 the step is the clipped gradient itself."""
    learner = made("network.dropout=0.0", steps=48)
    config = dataclasses.replace(
        learner.config, optimiser=dataclasses.replace(learner.config.optimiser, gradient_norm=most)
    )
    batch, network = learner.draw(0).batch, learner.network
    loss, predicted, scalars = batch_loss(network, batch, config.loss)
    before = [p.detach().clone() for p in network.parameters()]
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    for parameter in network.parameters():  # what an earlier step left behind
        parameter.grad = torch.full_like(parameter, 9.0)
    out, logged = optimise(network, torch.optim.SGD(network.parameters(), lr=1.0), batch, config)
    torch.testing.assert_close(out, predicted)
    for old, new, gradient in zip(before, network.parameters(), gradients, strict=True):
        torch.testing.assert_close(old - new, gradient * min(1.0, most / norm.item()), rtol=1e-4, atol=1e-6)
    assert list(logged) == [*scalars, "gradient_norm", "value_target"]
    torch.testing.assert_close(logged["gradient_norm"], norm)
    torch.testing.assert_close(logged["value_target"], batch.value[:, 0].mean())
    assert 1e-3 < norm < 1e3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_update_asks_for_its_precision_by_name(monkeypatch, precision):
    """The default of a GPU is another one: float16."""
    learner, asked = made(f"optimiser.precision={precision}", steps=40), []
    batch, autocast = learner.draw(0).batch, torch.autocast

    def recorded(*arguments, **options):
        asked.append((arguments, options))
        return autocast(*arguments, **options)

    monkeypatch.setattr(torch, "autocast", recorded)
    optimise(learner.network, learner.optimiser, batch, learner.config)
    assert asked[0] == (("cpu", torch.bfloat16), {"enabled": precision == "bfloat16"})


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
def test_an_update_that_is_not_finite_changes_no_weight(monkeypatch, name):
    learner = made(steps=48)
    batch, before = learner.draw(0).batch, copy.deepcopy(learner.network.state_dict())
    if name == "loss":
        batch = dataclasses.replace(batch, importance=batch.importance * float("nan"))
    else:
        monkeypatch.setattr(update, "clip_gradients", lambda parameters, most: torch.tensor(float("inf")))
    with pytest.raises(Diverged, match=rf"^{name} is"):
        optimise(learner.network, learner.optimiser, batch, learner.config)
    same_tensors(learner.network.state_dict(), before)


def test_priorities_are_the_errors_of_the_root_values_at_the_drawn_positions():
    learner = made("optimiser.updates_per_env_step=0.001", steps=40)
    before = learner.replay.priority.copy()
    drawn = learner.draw(0)
    _, scalars = learner._step(drawn.batch)
    with_error = drawn.batch.value[:, 0].numpy() + np.linspace(-2, 2, 8, dtype=np.float32)
    learner._conclude(drawn, torch.from_numpy(with_error), scalars)
    for position, error in zip(drawn.positions, np.linspace(-2, 2, 8), strict=True):
        before[position] = abs(error) + 1e-6
    np.testing.assert_allclose(learner.replay.priority, before, atol=1e-5)
    assert len(set(drawn.positions)) == 8


def test_a_logged_number_that_is_not_finite_ends_the_run():
    learner = made(steps=48)
    drawn = learner.draw(0)
    predicted, scalars = learner._step(drawn.batch)
    with pytest.raises(Diverged, match=r"^loss_reward is nan"):
        learner._conclude(drawn, predicted, scalars | {"loss_reward": torch.tensor(float("nan"))})


@pytest.mark.parametrize("policy_only", [True, False])
def test_an_evaluation_plays_these_policies_on_these_episodes(policy_only):
    """The episodes have the seed itself, the search a stream of its own, and no stream of the run is asked."""
    only = f"evaluation.policy_only={str(policy_only).lower()}"
    other = {"num_simulations": 4, "num_sampled_actions": 7, "pb_c_init": 3.5}
    learner = made(*(f"evaluation.{name}={value}" for name, value in other.items()), only, steps=48)
    config = dataclasses.replace(learner.config, search=dataclasses.replace(learner.config.search, **other))
    expected = []
    for seed in (3, 8):
        env = envs.make(GAME, num_envs=4, observation="mazero")
        rng = np.random.default_rng([seed, 1])
        result = evaluate(SearchPolicy(learner.model, config, rng=rng), env, seed=seed)
        if policy_only:
            bare = evaluate(NetworkPolicy(learner.model, learner.config), env, seed=seed)
            result |= {"policy_win_rate": bare["win_rate"], "policy_return_mean": bare["return_mean"]}
        expected.append(result)
    streams, dropout = str(learner.streams.state_dict()), torch.get_rng_state()
    assert [learner.evaluate(seed) for seed in (3, 8)] == expected
    assert expected[0] != expected[1]
    assert str(learner.streams.state_dict()) == streams and torch.equal(torch.get_rng_state(), dropout)


def test_an_evaluation_starts_its_episodes_with_its_seed(monkeypatch):
    learner, calls = made(), []

    def played(policy, env, *, seed):
        calls.append((type(policy), env, seed))
        return {"win_rate": float(len(calls)), "return_mean": 10.0 * len(calls)}

    monkeypatch.setattr(module, "evaluate", played)
    assert learner.evaluate(6) == {
        "win_rate": 1.0, "return_mean": 10.0, "policy_win_rate": 2.0, "policy_return_mean": 20.0
    }  # fmt: skip
    assert calls == [(policy, learner._eval_env, 6) for policy in (SearchPolicy, NetworkPolicy)]


def test_wall_time_is_counted_by_kind_of_work_since_the_last_report(monkeypatch):
    """On a clock that goes on by 1.00049 at every look: one span a vector step, one a batch, two an update."""
    looks = itertools.count()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: 1.00049 * next(looks)))
    learner = made(steps=48)  # 12 vector steps, 12 updates
    spans = {"self_play": 12, "targets": 12, "update": 24}
    means = learner.drain_metrics()
    assert {name: means[f"{name}_seconds"] for name in spans} == {
        "self_play": 12.006,
        "targets": 12.006,
        "update": 24.012,
    }
    learner._update()
    means = learner.drain_metrics()
    assert {name: means[f"{name}_seconds"] for name in spans} == {"self_play": 0.0, "targets": 1.0, "update": 2.001}


def states_agree(found, expected):
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            states_agree(found[name], expected[name])
    elif isinstance(expected, (list, tuple)):
        for one, other in zip(found, expected, strict=True):
            states_agree(one, other)
    elif hasattr(expected, "read"):
        assert (found.first, found.end) == (expected.first, expected.end)
        states_agree(found.read(found.first), expected.read(expected.first))
    else:
        np.testing.assert_equal(found, expected)


def test_a_learner_goes_on_from_a_state_in_every_part():
    """Between the copies into the target network, with a search model that has packed other weights."""
    learner = made(steps=44)
    state = learner.state_dict()
    copied = {name: copy.deepcopy(state[name]) for name in state if name != "replay"} | {"replay": state["replay"]}
    other = made(seed=SEED + 1, steps=52)
    other.load_state_dict(copied)
    states_agree(other.state_dict(), copied)
    assert state["counters"] == (44, 11, 4) and state["cuda_rng"] is None
    obs = learner.replay.stacked_obs(np.arange(6), 2)
    for name in ("model", "target_model"):
        found, expected = (getattr(each, name).roots(obs) for each in (other, learner))
        assert torch.equal(found.policy_logits, expected.policy_logits)
        assert torch.equal(found.value, expected.value)
    while other.env_steps < BUDGET:
        other.advance()
    torch.set_rng_state(copied["torch_rng"])
    while learner.env_steps < BUDGET:
        learner.advance()
    states_agree(other.state_dict(), learner.state_dict())
    means, expected = (
        {k: v for k, v in each.drain_metrics().items() if "seconds" not in k} for each in (other, learner)
    )
    assert means == expected


def test_the_random_state_of_a_gpu_is_part_of_the_state(monkeypatch):
    """Dropout draws there. A state saved on a CPU says nothing about it."""
    learner, put, here = made(), [], torch.arange(3)
    monkeypatch.setattr("torch.cuda.get_rng_state", lambda device: {"cpu": here}[device])
    monkeypatch.setattr("torch.cuda.set_rng_state", lambda state, device: put.append((state, device)))
    assert learner.state_dict()["cuda_rng"] is None
    learner.load_state_dict(learner.state_dict() | {"cuda_rng": here})
    learner._on_gpu = True
    state = learner.state_dict()
    assert state["cuda_rng"] is here
    learner.load_state_dict(state)
    learner.load_state_dict(state | {"cuda_rng": None})
    assert [(values.tolist(), device) for values, device in put] == [([0, 1, 2], "cpu")]


def test_a_policy_state_is_a_copy_that_plays_at_once():
    learner, other = made(steps=44), made(seed=SEED + 1, steps=44)
    state = learner.policy_state()
    before, obs = copy.deepcopy(state), learner.replay.stacked_obs(np.arange(6), 2)
    logits = learner.model.roots(obs).policy_logits.clone()
    learner._update()
    same_tensors(state["network"], before["network"])
    assert list(state) == ["network"]
    other.load_policy_state(state)
    assert torch.equal(other.model.roots(obs).policy_logits, logits)


def test_returns_beyond_the_support_are_told_with_what_would_do():
    """h(40) = sqrt(41) - 1 + 0.04 = 5.44; the inverse of 5 is 34.59."""
    env = envs.make("matrix_1", reward_scale=0.5)  # ten times 4
    require_support(env, 6)
    with pytest.raises(UserError) as told:
        require_support(env, 5)
    assert str(told.value) == (
        "returns of matrix_1 must lie within the support, which ends at 34.59, got up to 40: "
        "scale the rewards down (--env reward_scale=...), or --set network.support=6"
    )
    require_support(SimpleNamespace(largest_return=None), 5)  # not known


def test_targets_beyond_the_support_are_told_once(caplog, monkeypatch):
    learner = made(steps=44)
    drawn = learner.draw(0)
    predicted, scalars = learner._step(drawn.batch)
    with caplog.at_level(logging.WARNING, module.__name__):
        for clipped in (0.0, 0.25, 0.5):
            learner._conclude(drawn, predicted, scalars | {"targets_clipped": torch.tensor(clipped)})
    assert [record.getMessage() for record in caplog.records] == [
        "targets beyond the support, h(x) in -12..12, are clipped: their share is logged as targets_clipped"
    ]
