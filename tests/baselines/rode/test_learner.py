"""The two phases of a run, its clocks, and that a checkpoint before or after the clustering is all there is."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from baselines import registry
from baselines.__main__ import run
from baselines.rode import learner as rode
from baselines.rode.agent import RodeAgent
from baselines.rode.clustering import action_sets
from tests.baselines.states import plain, same
from training.cli import main
from training.evaluation import evaluate
from training.loop import Schedule, train
from training.metrics import read_records, without_clock
from training.run import RunDirectory

SMALL = (
    "roles.interval=2", "roles.cluster_after=60", "roles.epsilon_steps=50", "encoder.action_size=3",
    "encoder.state_size=4", "mixer.embed_size=4", "mixer.hypernet_size=5",
)  # fmt: skip


@pytest.fixture
def make(small_config, make_learner):
    """A learner on the ragged environment (two agents, four actions)."""

    def build(*overrides: str, seed: int = 0):
        return make_learner(small_config(*SMALL, *overrides, name="rode"), seed=seed, algorithm="rode")

    return build


@pytest.fixture(autouse=True)
def two_kinds_of_roles(monkeypatch):
    """Sets that differ, whatever was learned: four actions are too few for the published rule."""

    def sets(representations, clusters):
        assert clusters == 2
        result = action_sets(representations, clusters)
        result[1] = [True, True, False, False]
        result[2] = [False, True, True, False]
        return result

    monkeypatch.setattr(rode, "action_sets", sets)


def weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def test_the_encoder_learns_until_the_actions_are_clustered_and_never_after(make):
    learner = make()
    agent, before, passed = learner._live.agent, None, 0
    while learner.env_steps < 200:
        encoder, updates = weights(learner._encoder).clone(), learner.updates
        clustered = learner._clustered
        learner.advance()
        if learner.updates == updates or clustered:
            assert torch.equal(weights(learner._encoder), encoder)
        else:
            assert not torch.equal(weights(learner._encoder), encoder)
        if not learner._clustered:
            assert learner.env_steps <= 60 or learner.updates == updates
            assert (agent.action_points == 1).all() and (agent.role_points == 1).all() and agent.action_sets.all()
        if learner._clustered and before is None:
            before, passed = agent.action_points.clone(), learner.env_steps
    with torch.no_grad():
        torch.testing.assert_close(learner._encoder.representations(), before)
    assert passed > 60 and torch.equal(agent.action_points, before)
    assert agent.action_sets[:3].tolist() == [[True] * 4, [True, True, False, False], [False, True, True, False]]
    torch.testing.assert_close(agent.role_points[1], before[:2].mean(0))


def test_clustering_copies_the_target_and_its_clock_starts_anew(make):
    learner = make("rollout.num_envs=1", "learning.target_every_episodes=10")
    copies, at = [], None
    before = copy.deepcopy(learner._target.state_dict())
    while learner.episodes < 90:
        clustered = learner._clustered
        learner.advance()
        if learner._clustered and not clustered:
            at = learner.episodes - 1
        now = learner._target.state_dict()
        if any(not torch.equal(now[k], before[k]) for k in now):
            copies.append(learner.episodes - 1)
            assert all(torch.equal(v, learner._live.state_dict()[k]) for k, v in now.items())
            before = copy.deepcopy(now)
    assert at is not None and at % 10, "choose another seed: the copy would be due anyhow"
    assert copies == [*range(10, at, 10), at, *range(at + 10, 90, 10)]


def test_every_episode_brings_its_updates_through_both_phases(make):
    learner = make("learning.updates_per_episode=3")
    while learner.env_steps < 240:
        learner.advance()
        assert learner.updates == 3 * max(0, learner.episodes - 5)
    assert learner._clustered


def test_epsilon_is_annealed_once_more_from_the_first_episode_after_the_step(make):
    learner = make("rollout.num_envs=1", "rollout.epsilon_steps=80")
    started_at, seen = 0, []
    while learner.env_steps < 200:
        before = learner.episodes
        learner.advance()
        if learner.episodes > before:
            seen.append((started_at, learner.drain_metrics()["epsilon"]))
            started_at = learner.env_steps
    restart = min(start for start, _ in seen if start > 60)
    for start, epsilon in seen:
        done = start / 80 if start <= 60 else (start - restart) / 50
        assert epsilon == pytest.approx(1.0 - 0.95 * min(1.0, done))
    assert dict(seen)[restart] == 1.0 and max(start for start, _ in seen if start <= 60) > 40


def test_the_restart_is_strictly_after_the_step(make):
    learner = make("roles.cluster_after=100", "rollout.epsilon_steps=200")
    assert learner._epsilon_at(100) == pytest.approx(1.0 - 0.95 / 2)
    assert learner._epsilon_at(101) == 1.0
    assert learner._epsilon_at(126) == pytest.approx(1.0 - 0.95 / 2)
    assert learner._epsilon_at(900) == pytest.approx(0.05)


def test_stored_roles_are_held_and_are_those_of_the_policy(make):
    learner = make("rollout.num_envs=1", "learning.capacity_episodes=100")
    played: list[list[np.ndarray]] = [[]]
    while learner.episodes < 40:
        before = learner.episodes
        learner.advance()
        played[-1].append(learner._rollout._policy.notes()["roles"][0].copy())
        if learner.episodes > before:
            played.append([])
    state = learner.state_dict()["store"]
    rows = state["rows"].read(0)["roles"]
    assert rows.dtype == np.uint8
    first = 0
    for steps, roles in zip(state["length"], played):
        np.testing.assert_array_equal(rows[first : first + steps], roles)
        for t in range(1, steps):
            assert t % 2 == 0 or (rows[first + t] == rows[first + t - 1]).all()
        first += steps + 1


@pytest.mark.parametrize("reselect", ["false", "true"])
@pytest.mark.parametrize("at", [4, 19, 40])  # before the first update, in the first phase, after the clustering
def test_a_learner_of_another_seed_goes_on_from_a_state_exactly(make, at, reselect):
    overrides = ("learning.capacity_episodes=8", f"roles.reselect={reselect}")
    first, second, again = (make(*overrides, seed=seed) for seed in (0, 1, 2))
    for _ in range(at):
        first.advance()
    assert first._clustered == (at == 40) and (first.updates > 0) == (at > 4)
    kept = copy.deepcopy(plain(first.state_dict()))
    second.load_state_dict(first.state_dict())
    assert same(plain(second.state_dict()), kept)
    for _ in range(25):
        first.advance()
    for _ in range(33):
        again.advance()
    again.load_state_dict(second.state_dict())
    for learner in (second, again):
        for _ in range(25):
            learner.advance()
        assert same(plain(learner.state_dict()), plain(first.state_dict()))
    assert first._clustered
    assert without_clock(second.drain_metrics()) == without_clock(first.drain_metrics())
    assert second.evaluate(3) == first.evaluate(3)


def whole_run(learner, path, steps, **options):
    directory = RunDirectory(path)
    with directory.claim({"seed": 0}):
        assert train(learner, directory, Schedule(steps, 50, **options)) == 0
    return [without_clock(r) for r in read_records(directory.metrics_path)] if directory.finished else None


@pytest.mark.parametrize("stops", [(40,), (61, 64, 130)])  # before, at and after the clustering
def test_stop_and_resume_is_no_stop(make, tmp_path, stops):
    whole = make()
    expected = whole_run(whole, tmp_path / "whole", 200)
    for stop in stops:  # a fresh learner each time, as in a new process
        assert whole_run(make(), tmp_path / "parts", 200, stop_at=stop) is None
    last = make()
    assert whole_run(last, tmp_path / "parts", 200) == expected
    assert torch.equal(weights(last._live), weights(whole._live)) and last._clustered


def test_policies_of_a_checkpoint_play_in_the_roles_of_their_time(make, ragged_env):
    learner, other = make("learning.learning_rate=0.02"), make("learning.learning_rate=0.02", seed=1)
    for _ in range(12):
        learner.advance()
    assert not learner._clustered
    early, expected_early = learner.policy_state(), learner.evaluate(5)
    for _ in range(40):
        learner.advance()
    late, expected_late = learner.policy_state(), learner.evaluate(5)
    assert learner._clustered and expected_early != expected_late
    config = learner._config
    for state, expected in ((late, expected_late), (early, expected_early)):
        env = ragged_env(4, 0)
        loaded = registry.find("rode").load_policy(config, env.info, state, device="cpu")
        assert evaluate(loaded, env, seed=5) == expected
        other.load_policy_state(state)
        assert other.evaluate(5) == expected
    info = ragged_env(1, 0).info
    agent = rode.load_agent(RodeAgent(info, config), late)
    assert agent.action_sets[1].tolist() == [True, True, False, False]


def test_streams_have_one_use_each(make):
    learner = make()
    before = learner._streams.state_dict()
    learner.evaluate(1)
    assert learner._streams.state_dict() == before
    while not learner._clustered:
        learner.advance()
    after = learner._streams.state_dict()
    assert {name for name in after if after[name] != before[name]} == {"explore", "replay"}


def test_all_parts_are_trained_but_heads_without_a_role(make):
    learner = make()
    while not learner._clustered:
        learner.advance()
    first = copy.deepcopy(learner._live.state_dict())
    for _ in range(30):
        learner.advance()
    now = learner._live.state_dict()
    parameters = dict(learner._live.named_parameters())
    assert {name for name in parameters if torch.equal(now[name], first[name])} == set()
    assert torch.equal(now["agent.heads.weight"][9:], first["agent.heads.weight"][9:])  # the fourth of four
    for role in range(3):
        rows = slice(3 * role, 3 * role + 3)
        assert not torch.equal(now["agent.heads.weight"][rows], first["agent.heads.weight"][rows])


def test_metrics_name_both_levels_and_the_encoder_in_its_phase(make):
    learner = make()
    for _ in range(18):
        learner.advance()
    metrics = learner.drain_metrics()
    level = {"q_tot_mean", "target_mean", "td_error_abs"}
    both = {*level, *(f"role_{name}" for name in level), "loss", "role_loss", "grad_norm", "epsilon"}
    encoder = {"encoder_obs_error", "encoder_reward_error", "encoder_grad_norm"}
    assert both | encoder <= set(metrics)
    while not learner._clustered:
        learner.advance()
    learner.drain_metrics()
    for _ in range(18):
        learner.advance()
    metrics = learner.drain_metrics()
    assert both <= set(metrics) and not encoder & set(metrics)


@pytest.mark.parametrize("preset", ["low_data", "published"])
def test_it_trains_on_3m_and_its_checkpoint_plays(tmp_path, capsys, monkeypatch, preset):
    monkeypatch.undo()
    out = tmp_path / "run"
    command = ["train", "--algorithm", "rode", "--map", "3m", "--preset", preset, "--seed", "0", "--out", str(out)]
    command += ["--env-steps", "400", "--eval-every", "400", "--eval-episodes", "2", "--progress", "none", "--set"]
    command += ["learning.batch_episodes=2", "learning.start_episodes=2", "roles.cluster_after=200"]
    assert main(run, command) == 0
    done = json.loads((out / "done.json").read_text())
    assert done["updates"] > 0 and json.loads((out / "config.json").read_text())["algorithm"] == "rode"
    capsys.readouterr()
    assert main(run, ["evaluate", "--run", str(out), "--episodes", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["num_episodes"] == 2


def test_the_two_step_game_is_solved(small_config, make_learner, monkeypatch):
    """QMIX's game, whose better half pays 8 only if both choose it; with two actions every role has both."""
    monkeypatch.undo()
    config = small_config(
        "rollout.epsilon_finish=1.0", "learning.batch_episodes=32", "learning.start_episodes=32",
        "agent.hidden_size=32", "learning.capacity_episodes=500", "learning.target_every_episodes=20",
        "learning.learning_rate=3e-3", "roles.cluster_after=200", name="rode",
    )  # fmt: skip
    learner = make_learner(config, game="two_step", algorithm="rode")
    while learner.updates < 600:
        learner.advance()
    assert learner.evaluate(0)["return_mean"] == 8.0
