from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.value_based.agent import RecurrentAgent
from baselines.value_based.config import AgentConfig, LearningConfig, QmixMixerConfig, QplexConfig, QplexMixerConfig
from baselines.value_based.learner import QNetwork, batch_loss, unroll
from baselines.value_based.mixers import Independent, QMixer, Sum
from baselines.value_based.optimizer import FlatOptimizer
from baselines.value_based.qplex import qplex
from baselines.value_based.store import Episode, EpisodeStore
from envs.interface import EnvInfo
from training.config import apply_overrides, load_preset
from training.loop import Schedule, train
from training.metrics import read_records, without_clock
from training.run import RunDirectory

_spec = importlib.util.spec_from_file_location("value_reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

INFO = EnvInfo("toy", "test", "smac", 2, 1, 4, 3, 5, 12, False)


ATTENTION = QplexMixerConfig(unit_features=2, heads=2, embed_size=3, query_size=4)
MIXERS = {
    "iql": Independent,
    "vdn": Sum,
    "qmix": lambda: QMixer(2, 5, QmixMixerConfig(embed_size=4, hypernet_size=7)),
    "qplex": lambda: qplex(QplexConfig(mixer=ATTENTION), INFO),
    "qplex dmaq": lambda: qplex(
        QplexConfig(mixer=QplexMixerConfig(kind="dmaq", weighted_head=("*",), nonlinear=(), kernel_layers=3)), INFO
    ),
}


def network(seed: int, mixer: str = "qmix") -> QNetwork:
    torch.manual_seed(seed)
    agent = RecurrentAgent(INFO, AgentConfig(hidden_size=6))
    return QNetwork(agent, MIXERS[mixer]())


def random_episode(rng: np.random.Generator, steps: int, *, terminated: bool = True) -> Episode:
    avail = rng.random((steps + 1, 2, 4)) < 0.5
    avail[..., 2] = True
    return Episode(
        obs=rng.random((steps + 1, 2, 3), np.float32),
        state=rng.random((steps + 1, 5), np.float32),
        avail=avail,
        actions=rng.integers(0, 4, (steps, 2)),
        reward=rng.random(steps, np.float32),
        terminated=terminated,
    )


def loss_and_gradients(live, target, episodes):
    store = EpisodeStore(INFO, 10)
    for episode in episodes:
        store.add(episode)
    batch = store.batch(np.arange(len(episodes)))
    loss, log = batch_loss(live, target, unroll(live, batch, device="cpu"), gamma=0.9, double_q=True)
    return loss, torch.autograd.grad(loss, list(live.parameters())), log


def plain_loss(live: QNetwork, target: QNetwork, episodes: list[Episode]) -> torch.Tensor:
    """Mean over steps and agents of the squared errors, and the mixer's penalty, which is a mean over steps too."""
    errors = torch.cat([reference.squared_errors(live, target, e, 0.9) for e in episodes]).mean()
    states = torch.cat([torch.from_numpy(e.state[:-1]) for e in episodes])
    weights = getattr(live.mixer, "weights", None)
    penalty = None if weights is None else weights(torch.zeros(len(states), 2), states)[2]
    return errors if penalty is None else errors + penalty


@pytest.mark.parametrize("mixer", MIXERS)
def test_loss_and_gradients_match_the_plain_loops(mixer):
    rng = np.random.default_rng(0)
    episodes = [random_episode(rng, 3), random_episode(rng, 5, terminated=False), random_episode(rng, 1)]
    live, target = network(0, mixer), network(1, mixer)
    expected = plain_loss(live, target, episodes)
    expected_grads = torch.autograd.grad(expected, list(live.parameters()))
    loss, grads, log = loss_and_gradients(live, target, episodes)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-5)
    for got, want in zip(grads, expected_grads):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=1e-4)
    assert set(log) == {"q_tot_mean", "target_mean", "td_error_abs"}


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_longer_episode_beside_it_changes_nothing_of_a_short_one(mixer):
    """No padding: a batch's loss and gradient are the step-weighted means of its episodes' own."""
    rng = np.random.default_rng(1)
    short, long = random_episode(rng, 2), random_episode(rng, 12)
    live, target = network(2, mixer), network(3, mixer)
    together, grads, _ = loss_and_gradients(live, target, [short, long])
    alone = [loss_and_gradients(live, target, [e]) for e in (short, long)]
    torch.testing.assert_close(together, (2 * alone[0][0] + 12 * alone[1][0]) / 14)
    for both, one, other in zip(grads, alone[0][1], alone[1][1]):
        torch.testing.assert_close(both, (2 * one + 12 * other) / 14, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam"])
def test_flat_optimizer_takes_the_steps_of_torch_on_single_parameters(optimizer):
    config = LearningConfig(optimizer=optimizer, grad_clip=0.5, learning_rate=0.01)
    live, other = network(4), network(4)
    flat = FlatOptimizer(live, config)
    kind = torch.optim.RMSprop if optimizer == "rmsprop" else torch.optim.Adam
    plain = kind(other.parameters(), lr=0.01, eps=1e-5, **({"alpha": 0.99} if optimizer == "rmsprop" else {}))
    for step in range(4):  # the first two gradients are cut, the others are small
        losses = [
            (10.0 if step < 2 else 0.01) * sum((p - 1.0).square().sum() for p in n.parameters()) for n in (live, other)
        ]
        norm = flat.step(losses[0])
        plain.zero_grad()
        losses[1].backward()
        torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5))
        assert (norm > 0.5) == (step < 2)
        plain.step()
        for got, want in zip(live.parameters(), other.parameters()):
            torch.testing.assert_close(got, want)


def test_counters_and_one_update_per_episode(small_config, make_learner):
    config = small_config("learning.updates_per_episode=3")
    learner = make_learner(config)
    for call in range(60):
        learner.advance()
        assert learner.env_steps == 3 * (call + 1)
        assert learner.updates == 3 * max(0, learner.episodes - 5)  # the sixth stored episode brings the first ones
    assert learner.episodes > 20
    metrics = learner.drain_metrics()
    assert {"loss", "grad_norm", "q_tot_mean", "target_mean", "epsilon", "env_steps_per_second"} <= set(metrics)
    assert learner.drain_metrics() == {}


def test_target_is_copied_on_schedule_and_constant_in_between(small_config, make_learner):
    learner = make_learner(small_config("rollout.num_envs=1"))
    copies, before = [], copy.deepcopy(learner._target.state_dict())
    while learner.episodes < 45:
        learner.advance()
        now = learner._target.state_dict()
        if any(not torch.equal(now[k], before[k]) for k in now):
            copies.append(learner.episodes - 1)
            assert all(torch.equal(v, learner._live.state_dict()[k]) for k, v in now.items())
            before = copy.deepcopy(now)
    assert copies == [10, 20, 30, 40]  # 0-based episodes; updates begin with index 5


def test_epsilon_belongs_to_the_episode(small_config, make_learner):
    learner = make_learner(small_config("rollout.num_envs=1", "rollout.epsilon_steps=20"))
    started_at, seen = 0, []
    while learner.episodes < 12:
        before = learner.episodes
        learner.advance()
        if learner.episodes > before:
            seen.append((started_at, learner.drain_metrics()["epsilon"]))
            started_at = learner.env_steps
    for start, epsilon in seen:
        assert epsilon == pytest.approx(1.0 - 0.95 * min(1.0, start / 20))


@pytest.mark.parametrize(("timeout", "expected"), [("terminal", True), ("bootstrap", False)])
def test_a_timeout_ends_or_bootstraps_by_config(small_config, make_learner, timeout, expected):
    learner = make_learner(small_config(f"rollout.timeout={timeout}", "learning.capacity_episodes=200"))
    while learner.episodes < 60:
        learner.advance()
    state = learner.state_dict()["store"]
    cut = state["length"] == 6  # the limit of the ragged environment; a quarter of these end of their own
    assert state["terminated"][~cut].all()
    assert state["terminated"][cut].all() == expected


def run(learner, path, steps, **options):
    directory = RunDirectory(path)
    with directory.claim({"seed": 0}):
        assert train(learner, directory, Schedule(steps, 50, **options)) == 0
    return [without_clock(r) for r in read_records(directory.metrics_path)] if directory.finished else None


def weights(learner):
    return torch.cat([p.detach().flatten() for p in learner._live.parameters()])


def test_same_seed_same_run_and_other_seed_other_run(small_config, make_learner, tmp_path):
    config = small_config()
    learners = [make_learner(config, seed=seed) for seed in (0, 0, 1)]
    first, second, other = (run(learner, tmp_path / str(k), 200) for k, learner in enumerate(learners))
    assert first == second and torch.equal(weights(learners[0]), weights(learners[1]))
    assert first != other


@pytest.mark.parametrize("stops", [(10,), (61, 130)])
def test_stop_and_resume_is_no_stop(small_config, make_learner, tmp_path, stops):
    config = small_config()
    whole = make_learner(config)
    expected = run(whole, tmp_path / "whole", 200)
    for stop in stops:  # a fresh learner each time, as in a new process
        assert run(make_learner(config), tmp_path / "parts", 200, stop_at=stop) is None
    last = make_learner(config)
    assert run(last, tmp_path / "parts", 200) == expected
    assert torch.equal(weights(last), weights(whole))


def test_building_a_learner_leaves_torchs_generator_alone(small_config, make_learner):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make_learner(small_config())
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(("algorithm", "reached"), [("qmix", 8.0), ("vdn", 7.0), ("qplex", 8.0)])
def test_two_step_game_with_random_data(small_config, make_learner, algorithm, reached):
    """QMIX paper, section 5: QMIX finds the hidden 8. The best sum for (0, 1 / 1, 8) has 6.5 there: VDN takes the 7."""
    small = ["mixer.kernels=4", "mixer.kernel_size=32"] if algorithm == "qplex" else []
    config = small_config(
        "rollout.epsilon_finish=1.0", "learning.batch_episodes=32", "learning.start_episodes=32",
        "agent.hidden_size=32",
        "learning.capacity_episodes=500", "learning.target_every_episodes=20", "learning.learning_rate=3e-3",
        *small, name=algorithm,
    )  # fmt: skip
    learner = make_learner(config, game="two_step", algorithm=algorithm)
    while learner.updates < 600:
        learner.advance()
    assert learner.evaluate(0)["return_mean"] == reached


def test_published_schedule_of_updates_and_copies(make_learner):
    """PyMARL: first update with episode index 31, copies after the updates of the indices 200, 400, ...."""
    algorithm = registry.find("vdn")
    config = load_preset(algorithm.presets, "published", algorithm.config)
    config = apply_overrides(config, ["rollout.num_envs=1", "learning.batch_episodes=1", "agent.hidden_size=4"])
    learner = make_learner(config, algorithm="vdn")
    first, copies, before = None, [], copy.deepcopy(learner._target.state_dict())
    while learner.episodes < 410:
        learner.advance()
        if learner.updates and first is None:
            first = learner.episodes - 1
        now = learner._target.state_dict()
        if any(not torch.equal(now[k], before[k]) for k in now):
            copies.append(learner.episodes - 1)
            before = copy.deepcopy(now)
    assert first == 31 and copies == [200, 400]


@pytest.mark.parametrize("algorithm", ["iql", "vdn", "qplex"])
def test_other_mixers_resume_exactly_too(small_config, make_learner, tmp_path, algorithm):
    config = small_config(name=algorithm)

    def make():
        return make_learner(config, algorithm=algorithm)

    whole = make()
    expected = run(whole, tmp_path / "whole", 120)
    assert run(make(), tmp_path / "parts", 120, stop_at=70) is None
    last = make()
    assert run(last, tmp_path / "parts", 120) == expected
    assert torch.equal(weights(last), weights(whole))


def test_evaluation_is_a_function_of_weights_and_seed_and_touches_no_stream(small_config, make_learner):
    learner = make_learner(small_config())
    learner.advance()
    before = str(learner._streams.state_dict())
    first = [learner.evaluate(seed) for seed in (5, 6, 5)]
    assert str(learner._streams.state_dict()) == before and first[0] == first[2]
