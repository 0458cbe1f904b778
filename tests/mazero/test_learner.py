"""The learner as a whole: same seed same run, stop and resume, targets of a known replay, schedules."""

import dataclasses

import numpy as np
import pytest
import torch

from mazero.reanalyze import make_batch
from mazero.update import optimise
from tests.mazero.tiny import tiny_config, tiny_learner
from training.errors import UserError
from training.loop import Schedule, train
from training.metrics import read_records, without_clock
from training.run import RunDirectory


def run(path, *overrides, seed=0, stop_at=None, game="matrix_1"):
    learner = tiny_learner(*overrides, seed=seed, game=game)
    directory = RunDirectory(path)
    with directory.claim({"seed": seed}):
        assert train(learner, directory, Schedule(env_steps=160, eval_every=40, stop_at=stop_at)) == 0
    return [without_clock(r) for r in read_records(path / "metrics.jsonl") if r["kind"] != "run"]


def test_same_seed_same_metrics_other_seed_others(tmp_path):
    first = run(tmp_path / "a")
    assert run(tmp_path / "b") == first
    assert run(tmp_path / "c", seed=1) != first
    assert first[-2]["updates"] == 16 and first[-2]["env_steps"] == 160  # the last record is the absolute one


@pytest.mark.parametrize("stop_at", [44, 100])
def test_stop_and_resume_is_no_stop(tmp_path, stop_at):
    """44: learning has hardly begun; 100: updates, target network and PER are under way."""
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", stop_at=stop_at)
    assert run(tmp_path / "parts") == whole


def test_stop_and_resume_is_no_stop_on_the_simulator(tmp_path):
    whole = run(tmp_path / "whole", game="3m")
    run(tmp_path / "parts", game="3m", stop_at=84)
    assert run(tmp_path / "parts", game="3m") == whole


BUSY = ("targets.prefetch=1", "optimiser.updates_per_env_step=0.5", "targets.write_back=true")


def test_prefetch_repeats_itself_and_survives_a_stop(tmp_path):
    whole = run(tmp_path / "a", *BUSY)
    assert run(tmp_path / "b", *BUSY) == whole
    run(tmp_path / "parts", *BUSY, stop_at=100)
    assert run(tmp_path / "parts", *BUSY) == whole
    assert run(tmp_path / "c", *BUSY, "targets.prefetch=0") != whole
    assert whole[-2]["updates"] == 80


def test_prefetch_is_the_order_it_says_it_is():
    """Restated in one thread: batch u + 1 is drawn before the step of u; then comes what u leaves."""

    def learn(goal):
        drawn = plain.draw(plain.updates) if plain.updates < goal else None
        while plain.updates < goal:
            following = plain.draw(plain.updates + 1) if plain.updates + 1 < goal else None
            plain._conclude(drawn, *plain._step(drawn.batch))
            drawn = following

    threaded = advanced(*BUSY, steps=80)
    plain = tiny_learner(*BUSY)  # made after the other has run: dropout draws from torch's global generator
    plain.update_until = learn
    while plain.env_steps < 80:
        plain.advance()
    assert threaded.updates == plain.updates == 40
    for name, value in threaded.network.state_dict().items():
        assert torch.equal(value, plain.network.state_dict()[name]), name
    np.testing.assert_array_equal(threaded.replay.priority, plain.replay.priority)


def test_an_error_of_the_prefetching_thread_ends_the_update(monkeypatch):
    import threading

    from mazero import learner as module

    learner, made = tiny_learner(*BUSY), []

    def failing(*arguments, **options):
        made.append(threading.current_thread().name)
        if len(made) == 3:
            raise FloatingPointError("targets went wrong")
        return make_batch(*arguments, **options)

    monkeypatch.setattr(module, "make_batch", failing)
    with pytest.raises(FloatingPointError, match="went wrong"):
        while learner.env_steps < 160:
            learner.advance()
    assert made[2].startswith("targets") and made[0] == "MainThread"
    assert not any(thread.name.startswith("targets") for thread in threading.enumerate())


def test_bfloat16_updates_are_close_to_single_precision_ones():
    results = []
    for precision in ("float32", "bfloat16"):
        learner = advanced("network.dropout=0.0", "optimiser.updates_per_env_step=0.001", steps=40)
        settings = dataclasses.replace(learner.config.optimiser, precision=precision)
        config = dataclasses.replace(learner.config, optimiser=settings)
        learner.network.train()
        predicted, scalars = optimise(learner.network, learner.optimiser, batch_of(learner, [0, 5, 12, 21]), config)
        assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in learner.network.parameters())
        results.append((predicted, scalars["loss"].item()))
    assert results[0][1] != results[1][1]  # 8 bits of mantissa: about 1%
    assert results[1][1] == pytest.approx(results[0][1], rel=0.05)
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("override", ["targets.prefetch=2", "targets.prefetch=-1", "optimiser.precision=half"])
def test_impossible_settings_of_an_update_are_refused(override):
    with pytest.raises(UserError, match=r"prefetch must be 0 or 1|precision must be one of"):
        tiny_config(override)


def advanced(*overrides, steps=100, **options):
    learner = tiny_learner(*overrides, **options)
    while learner.env_steps < steps:
        learner.advance()
    return learner


def batch_of(learner, positions):
    return make_batch(
        learner.replay,
        np.asarray(positions),
        np.ones(len(positions), np.float32),
        values=learner.values,
        searches=learner.searches,
        config=learner.config,
        planned_updates=learner.planned_updates,
        rng=np.random.default_rng(0),
    )


def test_targets_near_the_end_are_zero_and_masked_as_they_should_be():
    learner = advanced("targets.reanalyze_ratio=0.0", game="matrix_4")
    replay = learner.replay
    batch = batch_of(learner, [9])  # the last step of the first episode
    assert batch.real.tolist() == [[1, 0, 0]]
    assert batch.reward[0].tolist() == [float(replay.reward[9]), 0]
    torch.testing.assert_close(batch.value[0], torch.tensor([float(replay.reward[9]), 0.0, 0.0]))
    assert batch.policy_weight[0, 0].sum() > 0 and batch.policy_weight[0, 1:].abs().sum() == 0


def test_value_target_is_the_return_plus_the_target_networks_value():
    learner = advanced("targets.reanalyze_ratio=0.0", "targets.td_steps=2", "targets.td_age_share=9", game="matrix_4")
    replay, gamma = learner.replay, learner.config.search.discount
    batch = batch_of(learner, [3])
    with torch.no_grad():
        obs = torch.from_numpy(replay.stacked_obs(np.arange(10), 2))
        v = learner.target.initial_inference(obs).value.numpy()
    expected = [replay.reward[t] + gamma * replay.reward[t + 1] + gamma**2 * v[t + 2] for t in (3, 4, 5)]
    np.testing.assert_allclose(batch.value[0].numpy(), expected, rtol=1e-5)


def test_reanalysis_searches_with_the_target_network_and_can_be_kept():
    learner = advanced("targets.reanalyze_ratio=1.0", "targets.write_back=true")
    replay = learner.replay
    before = {name: getattr(replay, name).copy() for name in ("predicted_value", "q", "action", "reward")}
    batch_of(learner, [0, 12])
    changed = np.flatnonzero((replay.q != before["q"]).any(axis=1))
    assert set(changed) <= {0, 1, 2, 12, 13, 14} and len(changed) >= 4
    with torch.no_grad():
        v = learner.target.initial_inference(torch.from_numpy(replay.stacked_obs(np.array([12]), 2))).value
    np.testing.assert_allclose(replay.predicted_value[12], v.item(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(replay.action, before["action"])
    np.testing.assert_array_equal(replay.reward, before["reward"])


def test_without_write_back_the_replay_keeps_its_searches():
    learner = advanced("targets.reanalyze_ratio=1.0", "targets.write_back=false")
    before = learner.replay.q.copy()
    batch_of(learner, [0, 12])
    np.testing.assert_array_equal(learner.replay.q, before)


def test_the_target_network_lags_one_to_two_periods():
    learner = advanced("optimiser.updates_per_env_step=0.001", steps=40)  # data, and no update yet
    snapshots = {0: copy_of(learner.network)}
    while learner.updates < 9:
        learner._update()
        snapshots[learner.updates] = copy_of(learner.network)
        # period 3: copies are made at 3, 6, 9, each of what the network was one period before
        lag = max(0, learner.updates // 3 * 3 - 3)
        for name, value in learner.target.state_dict().items():
            assert torch.equal(value, snapshots[lag][name]), (learner.updates, name)


def copy_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_ablation_switches_reach_search_and_loss():
    both = tiny_learner("search.os_lambda=false", "loss.awpo=false")
    assert both.config.search.effective_rho == 0 and both.config.search.effective_lam == 1
    learner = advanced("targets.reanalyze_ratio=0.0", steps=120)
    plain = dataclasses.replace(learner.config, loss=dataclasses.replace(learner.config.loss, awpo=False))
    # Played by a network that has learnt: at first all values are exactly 0, and so are all advantages.
    weighted = batch_of(learner, [60, 72, 85]).policy_weight
    learner.config = plain
    cloned = batch_of(learner, [60, 72, 85]).policy_weight
    torch.testing.assert_close(cloned.sum(dim=-1), torch.ones(3, 3))  # w(c) = n_c / N
    ratio = (weighted / cloned)[cloned > 0]
    assert ratio.max() <= learner.config.loss.weight_cap + 1e-4 and ratio.min() < 1 < ratio.max()


@pytest.mark.slow
@pytest.mark.parametrize("game", ["matrix_1", "matrix_3", "matrix_4"])
@pytest.mark.parametrize("seed", range(5))
def test_matrix_games_end_at_the_known_optimum(game, seed):
    import envs
    from mazero.config import PRESETS, MAZeroConfig
    from mazero.learner import MAZeroLearner
    from training.config import load_preset

    learner = MAZeroLearner(
        load_preset(PRESETS, "matrix", MAZeroConfig),
        make_env=lambda num_envs, observation, s: envs.make(game, num_envs=num_envs, observation=observation, seed=s),
        seed=seed, device="cpu", eval_episodes=32, env_steps=1500,
    )  # fmt: skip
    while learner.env_steps < 1500:
        learner.advance()
    assert learner.evaluate(0)["win_rate"] == 1.0


def test_search_sees_the_weights_of_the_last_update_and_of_the_target_network():
    """Fused inference works on a copy of the weights, and fused Adam changes them behind torch's back."""
    learner = advanced("optimiser.updates_per_env_step=0.5", steps=44)
    obs = learner.replay.stacked_obs(np.arange(6), 2)
    for _ in range(7):  # across a copy into the target network
        learner._update()
        for model, network in ((learner.model, learner.network), (learner.target_model, learner.target)):
            with torch.inference_mode():
                expected = network.initial_inference(torch.from_numpy(obs))
            found = model.roots(obs)
            torch.testing.assert_close(found.value, expected.value, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(found.policy_logits, expected.policy_logits, atol=1e-5, rtol=1e-4)


def test_evaluation_is_a_function_of_weights_and_seed_and_touches_no_stream():
    learner = tiny_learner(game="3m")
    learner.advance()
    before = str(learner.streams.state_dict())
    first = [learner.evaluate(seed) for seed in (5, 6, 5)]
    assert str(learner.streams.state_dict()) == before
    assert first[0] == first[2] and first[0]["return_mean"] != first[1]["return_mean"]


@pytest.mark.parametrize(
    ("game", "option", "reach"), [("matrix_1", {"reward_scale": 10.0}, 800), ("3m", {"reward_scale": False}, 365)]
)
def test_returns_beyond_the_support_are_refused_before_training(game, option, reach):
    with pytest.raises(UserError, match=f"the support, which ends at .*, got up to {reach}: .*network.support="):
        tiny_learner(game=game, **option)


def test_clipped_targets_are_counted_and_told_once(caplog, monkeypatch):
    monkeypatch.setattr("mazero.learner.require_support", lambda env, bound: None)  # largest return not known
    learner = tiny_learner(game="matrix_1", reward_scale=100.0)
    while learner.updates < 3:
        learner.advance()
    assert 0 < learner.drain_metrics()["targets_clipped"] <= 1
    assert sum("are clipped" in record.message for record in caplog.records) == 1
    honest = tiny_learner(game="matrix_1")
    while honest.updates < 3:
        honest.advance()
    assert honest.drain_metrics()["targets_clipped"] == 0.0
