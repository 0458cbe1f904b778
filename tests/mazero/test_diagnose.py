"""`mazero diagnose` end to end on tiny runs: the table is complete, planted faults are seen, bad input is one line."""

import argparse
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

import analysis.diagnosis
from mazero import cli
from mazero.diagnose.command import diagnose, measured
from mazero.diagnose.play import play, record
from mazero.diagnose.rows import MEASURES, lookahead_rows, recording_rows
from mazero.diagnose.simulated import _follow, look_ahead
from mazero.diagnose.unrolled import unroll
from mazero.losses import consistency_loss
from mazero.selfplay import NetworkPolicy, ObservationStack, SearchPolicy
from mazero.transforms import two_hot
from tests.mazero.tiny import TINY
from training import checkpoint
from training.cli import main
from training.errors import UserError

FLAGS = ["--seed", "3", "--env-steps", "120", "--eval-every", "60", "--eval-episodes", "2", "--progress", "none",
         "--set", *TINY]  # fmt: skip
EPISODES = 6
DIAGNOSE = ["--episodes", str(EPISODES), "--seed", "4"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs: map -> directory. Heads are shaken: after a few updates they would still say next to nothing."""
    root = tmp_path_factory.mktemp("runs")
    presets = {"3m": "laptop", "matrix_1": "matrix"}
    for name, preset in presets.items():
        assert cli.run(["train", "--map", name, "--preset", preset, "--out", str(root / name), *FLAGS]) == 0
        change(root / name, shake)
        assert (root / name / "done.json").is_file() and not (root / name / "rows").exists()
    return {name: root / name for name in presets}


def change(path, how):
    """Alter the network in the checkpoint of a run."""
    saved = checkpoint.load(path / "checkpoint.pt")
    with torch.no_grad():
        how(saved["learner"]["network"])
    # The tables beside it are gone with the end of the run: without a replay it can be played, not continued.
    checkpoint.save(path / "checkpoint.pt", {key: saved[key] for key in ("run", "progress")} | {
        "learner": {key: saved["learner"][key] for key in ("network", "counters")}
    })  # fmt: skip


def shake(weights):
    generator = torch.Generator().manual_seed(6)
    for tensor in weights.values():
        tensor.add_(0.3 * torch.randn(tensor.shape, generator=generator))


def diagnosed(path, *flags):
    assert cli.run(["diagnose", "--run", str(path), *DIAGNOSE, *flags]) == 0
    out = path / "diagnosis"
    return json.loads((out / "diagnosis.json").read_text())


@pytest.fixture(scope="module")
def table(runs):
    """Of the 3m run."""
    return diagnosed(runs["3m"])


def loaded(path):
    arguments = cli._parser().parse_args(["diagnose", "--run", str(path), *DIAGNOSE])
    return cli._load(arguments, cli._read_run(arguments), num_envs=EPISODES)


def faulty(runs, tmp_path, how):
    """Rows by (set, measure, at) of the 3m run with a fault put into its network."""
    path = tmp_path / "3m"
    shutil.copytree(runs["3m"], path)
    change(path, how)
    return rows_of({"rows": measured(loaded(path), seed=4, num_simulations=6)})


def rows_of(table):
    return {(row["set"], row["measure"], row["at"]): row["value"] for row in table["rows"]}


@pytest.mark.parametrize("name", ["3m", "matrix_1"])
def test_the_table_is_complete_finite_and_in_range(runs, name, capsys):
    table = diagnosed(runs[name])
    printed = capsys.readouterr().out.splitlines()
    files = [runs[name] / "diagnosis" / f"diagnosis.{end}" for end in ("json", "png", "pdf")]
    assert printed == [*table["summary"], *map(str, files)]
    assert files[1].read_bytes().startswith(b"\x89PNG") and files[2].read_bytes().startswith(b"%PDF")
    assert "nan" not in " ".join(printed)
    keys = [(row["set"], row["measure"], row["at"]) for row in table["rows"]]
    assert len({*keys}) == len(keys)
    for row in table["rows"]:
        numbers = [row[key] for key in ("value", "low", "high")]
        assert np.isfinite(numbers).all() and row["low"] <= row["high"] and row["count"] >= 1, row
        measure, unit = row["measure"], row["unit"]
        if unit == "share" and "explained" not in measure:
            least = -1.0 if "gain" in measure else 0.0
            assert all(least <= x <= 1.0 + 1e-9 for x in numbers), row
        if unit in ("cosine", "correlation"):
            assert all(-1.0 - 1e-6 <= x <= 1.0 + 1e-6 for x in numbers), row
        if unit in ("nats", "agents") or measure.endswith(("error", "rmse", "spread", "size", "residual")):
            assert min(numbers) >= -1e-9, row
    unit_data = {"3m": "4.10", "matrix_1": ""}[name]
    facts = {"map": name, "seed": 3, "unit_data": unit_data, "env_steps": 120, "updates": 12, "episodes": EPISODES,
             "policy": "last", "unroll_steps": 2, "num_simulations": 6, "simulations": [1, 3, 6, 12]}  # fmt: skip
    assert facts.items() <= table.items()
    assert table["identity"] == json.loads((runs[name] / "config.json").read_text())["identity"]
    assert len(table["trained_at_commits"]) == 1 and "git_commit" in table["provenance"]
    assert [record["mark"] for record in table["curves"]["eval"]] == [0, 60, 120] and table["curves"]["train"]
    if name == "3m":  # where everything varies, every measure is there
        assert {measure for _, measure, _ in keys} == {*MEASURES} == {*table["definitions"]}
        depths = [at for name, measure, at in keys if (name, measure) == ("greedy", "value_drift")]
        assert depths == [1, 2, 3, 4]  # 2 U
    else:  # nothing to lose in an agent with a fixed set of actions
        rows = rows_of(table)
        assert rows["self_play", "illegal_share", 1] == 0 and rows["self_play", "agents_choosing", None] == 2


def test_the_same_command_gives_the_same_files_and_another_seed_others(runs, table):
    files = [runs["3m"] / "diagnosis" / f"diagnosis.{end}" for end in ("json", "png", "pdf")]
    contents = [file.read_bytes() for file in files]
    assert diagnosed(runs["3m"]) == table and [file.read_bytes() for file in files] == contents
    assert measured(loaded(runs["3m"]), seed=5, num_simulations=6) != table["rows"]


def test_greedy_play_is_that_of_evaluate_with_the_same_seed(runs, table, capsys):
    rows = rows_of(table)
    capsys.readouterr()
    cases = [([], 6, "greedy"), (["--num-simulations", "3"], 3, None), (["--num-simulations", "12"], 12, None),
             (["--no-search"], 0, "policy")]  # fmt: skip
    for flags, at, name in cases:
        assert cli.run(["evaluate", "--run", str(runs["3m"]), *DIAGNOSE, *flags]) == 0
        answer = json.loads(capsys.readouterr().out)
        found = {"win_rate": rows["greedy", "win_rate_at", at], "return_mean": rows["greedy", "return_at", at]}
        assert found == pytest.approx({key: answer[key] for key in found})
        if name:
            lengths = (rows[name, "return", None], rows[name, "length", None])
            assert lengths == pytest.approx((answer["return_mean"], answer["length_mean"]))
        bare = rows["greedy", "return_at", 0]
        if at:
            assert rows["greedy", "return_gain", at] == pytest.approx(answer["return_mean"] - bare)


def test_flags_choose_policy_simulations_folder_and_environment(runs, table, tmp_path):
    last = rows_of(table)
    out = tmp_path / "elsewhere" / "here"
    flags = ["--out", str(out), "--num-simulations", "2", "--env", "reward_scale_rate=10"]
    assert cli.run(["diagnose", "--run", str(runs["3m"]), *DIAGNOSE, *flags]) == 0
    other = json.loads((out / "diagnosis.json").read_text())
    assert other["simulations"] == [1, 2, 4] and other["env"] == {"reward_scale_rate": 10}
    assert other["num_simulations"] == 2 and {p.name for p in out.iterdir()} == {
        "diagnosis.json", "diagnosis.png", "diagnosis.pdf",
    }  # fmt: skip
    assert rows_of(other)["self_play", "reward_size", 1] != last["self_play", "reward_size", 1]
    assert cli.run(["diagnose", "--run", str(runs["3m"]), *DIAGNOSE, "--best", "--out", str(out)]) == 0
    best = json.loads((out / "diagnosis.json").read_text())
    saved = checkpoint.load(runs["3m"] / "checkpoint.pt")["progress"]["best"]
    evaluation = next(record for record in best["curves"]["eval"] if record["mark"] == saved["mark"])
    assert (best["policy"], best["env_steps"]) == ("best", evaluation["env_steps"])
    assert rows_of(best) != last  # the last one was shaken


def test_a_reward_head_that_says_0_misses_all_of_every_reward(runs, tmp_path):
    def silence(weights):
        weights["reward.out.weight"].zero_()
        weights["reward.out.bias"].zero_()

    rows = faulty(runs, tmp_path, silence)
    for name in ("self_play", "greedy"):
        for k in (1, 2, 3, 4):
            assert rows[name, "reward_error", k] == pytest.approx(rows[name, "reward_size", k], abs=1e-6)
            assert rows[name, "reward_explained", k] <= 0.0
            assert abs(rows[name, "last_reward_error", k] - rows[name, "last_reward_size", k]) < 1e-6


def test_a_value_head_that_says_3_is_3_above_what_comes(runs, tmp_path):
    def insist(weights):
        bound = (len(weights["value.1.bias"]) - 1) // 2
        weights["value.1.weight"].zero_()
        weights["value.1.bias"].copy_(torch.log(two_hot(torch.tensor(3.0), bound) + 1e-9))

    rows = faulty(runs, tmp_path, insist)
    for name in ("self_play", "greedy"):
        assert rows[name, "predicted_bias", None] == pytest.approx(3 - rows[name, "outcome_mean", None], abs=1e-3)
        assert rows[name, "predicted_residual", None] == pytest.approx(rows[name, "outcome_spread", None], abs=1e-3)
        assert (name, "predicted_correlation", None) not in rows and (name, "value_drift_explained", 1) not in rows
        assert rows[name, "value_drift", 2] == pytest.approx(0, abs=1e-5)
        assert rows[name, "end_value", 1] == rows[name, "end_value_error", 1] == pytest.approx(3, abs=1e-3)
        assert rows[name, "beyond_value_error", 2] == pytest.approx(3, abs=1e-3)


def test_dynamics_that_change_nothing_fall_further_behind_the_deeper_they_go(runs, tmp_path):
    def stop(weights):
        last = max(key for key in weights if key.startswith("dynamics.rest.layers") and key.endswith("weight"))
        weights[last].zero_()
        weights[last.replace("weight", "bias")].zero_()

    rows = faulty(runs, tmp_path, stop)
    for name in ("self_play", "greedy"):
        cosine = [rows[name, "consistency", k] for k in (1, 2, 3, 4)]
        assert cosine == pytest.approx([rows[name, "consistency_still", k] for k in (1, 2, 3, 4)], abs=1e-5)
        drift = [rows[name, "value_drift", k] for k in (1, 2, 3, 4)]
        assert sum(drift[2:]) > sum(drift[:2]) > 0, drift


def test_a_policy_that_wants_what_only_the_dead_may_do_is_seen(runs, tmp_path):
    def play_dead(weights):
        weights["policy.1.bias"][0] = 100.0

    rows = faulty(runs, tmp_path, play_dead)
    assert rows["self_play", "illegal_share_choosing", 2] == pytest.approx(1.0, abs=1e-6)
    assert 0.5 < rows["self_play", "illegal_share", 2] <= 1.0


@pytest.fixture(scope="module")
def explored(runs):
    """The 3m run as loaded, and episodes as self-play plays them."""
    trained = loaded(runs["3m"])
    rng = np.random.default_rng(1)
    return trained, record(trained.model, trained.env, trained.config, seed=4, rng=rng, explore=True)


def test_a_recording_holds_whole_episodes_one_after_the_other(explored):
    trained, recording = explored
    outcome = recording.outcome
    assert recording.num_episodes == EPISODES and len(recording.episode) == outcome.length.sum()
    assert recording.episode.tolist() == np.repeat(np.arange(EPISODES), outcome.length).tolist()
    assert recording.step.tolist() == [t for length in outcome.length for t in range(length)]
    assert recording.remaining.tolist() == [length - t for length in outcome.length for t in range(length)]
    np.testing.assert_allclose(recording.padded(recording.reward).sum(axis=1), outcome.returns)
    rows = np.arange(len(recording.child))
    assert (recording.joint_actions[rows, recording.child] == recording.action).all()
    assert np.take_along_axis(recording.available, recording.action[..., None], axis=2).all()
    assert (recording.visit_counts.sum(axis=1) == trained.config.search.num_simulations).all()


def test_n_step_targets_of_a_recording_by_hand(explored):
    _, recording = explored
    target = recording.n_step(2, discount=0.9)
    first, length = 0, int(recording.outcome.length[0])
    r, v = recording.reward, recording.value
    assert target[first] == pytest.approx(r[0] + 0.9 * r[1] + 0.81 * v[2])
    assert target[length - 2] == pytest.approx(r[length - 2] + 0.9 * r[length - 1])
    assert target[length - 1] == pytest.approx(r[length - 1])


def test_greedy_recordings_are_the_games_of_the_search_policy(explored):
    trained, _ = explored
    for n in (None, 3):
        recording = record(trained.model, trained.env, trained.config, seed=4, rng=np.random.default_rng(8),
                           explore=False, num_simulations=n)  # fmt: skip
        policy = SearchPolicy(trained.model, trained.config, rng=np.random.default_rng(8), num_simulations=n)
        played = play(policy, trained.env, seed=4)
        for field in dataclasses.fields(played):
            found, expected = (getattr(x, field.name) for x in (recording.outcome, played))
            np.testing.assert_allclose(found, expected)


def test_the_model_is_unrolled_along_what_was_played(explored):
    """Against the plainest loop, and the cosine against the loss that training minimises."""
    trained, recording = explored
    network, depth = trained.network, 4
    found = unroll(network, recording, depth=depth, rng=np.random.default_rng(0))
    first, length = int(recording.outcome.length[0]), int(recording.outcome.length[1])
    for start in (first, first + length - 3):  # of the second episode: its beginning, and close to its end
        with torch.no_grad():
            hidden = torch.from_numpy(recording.hidden[start : start + 1])
            for k in range(1, min(depth, first + length - start) + 1):
                action = torch.from_numpy(recording.action[start + k - 1 : start + k])
                hidden, reward, value, _ = network.recurrent_inference(hidden, action)
                assert found.reward[start, k - 1] == pytest.approx(reward.item(), rel=1e-5, abs=1e-5)
                assert found.value[start, k - 1] == pytest.approx(value.item(), rel=1e-5, abs=1e-5)
    row, near = first, first + length - 3
    assert found.reached[row].all() and found.inside[row].all()
    assert found.reached[near].tolist() == [True, True, True, False]
    assert found.inside[near].tolist() == [True, True, False, False]
    assert np.isnan(found.cosine[near]).tolist() == [False, False, True, True]
    assert np.isfinite(found.value).all() and np.isfinite(found.reward).all()


def test_the_cosine_is_that_of_the_consistency_loss(explored, monkeypatch):
    trained, recording = explored
    found = unroll(trained.network, recording, depth=1, rng=np.random.default_rng(0))
    monkeypatch.setattr(trained.network, "represent", lambda encoded: encoded)  # observations arrive encoded
    rows = np.flatnonzero(found.inside[:, 0])
    encoded = torch.from_numpy(recording.hidden)
    with torch.no_grad():
        states = trained.network.step(encoded[rows], torch.from_numpy(recording.action[rows]))
        loss = consistency_loss(trained.network, states[:, None], encoded[rows + 1][:, None])[:, 0]
    np.testing.assert_allclose(found.cosine[rows, 0], -loss.numpy(), atol=1e-5)


def looked_ahead(trained, *, draws, depth, seed=4):
    config = dataclasses.replace(
        trained.config, search=dataclasses.replace(trained.config.search, num_sampled_actions=draws)
    )
    rng = np.random.default_rng(2)
    return look_ahead(trained.network, trained.model, trained.env, config, seed=seed, rng=rng, depth=depth)


def test_looking_ahead_leaves_no_trace_in_the_battle(explored):
    """With the policy's own action as the only draw, the simulator goes forth and back and the episodes stay."""
    trained, _ = explored
    bare = play(NetworkPolicy(trained.model, trained.config), trained.env, seed=4)
    found = looked_ahead(trained, draws=1, depth=3)
    for field in dataclasses.fields(bare):
        np.testing.assert_array_equal(getattr(found.outcome, field.name), getattr(bare, field.name))


def test_looking_ahead_finds_the_optimum_of_a_matrix_game_and_does_not_need_the_model(runs):
    trained = loaded(runs["matrix_1"])
    assert play(NetworkPolicy(trained.model, trained.config), trained.env, seed=4).won.mean() < 1
    assert looked_ahead(trained, draws=200, depth=1).outcome.won.all()


def test_rewards_of_the_branches_are_those_of_simulator_and_model(explored, monkeypatch):
    trained, _ = explored
    found = looked_ahead(trained, draws=3, depth=2)
    roots = len(found.episode)
    assert found.reward.shape == found.predicted.shape == (roots, 3, 2) and roots > 0
    # The first draw is the policy's own in every slot: its first reward is that of play without search.
    env = trained.env
    env.reset_later(4)
    policy = NetworkPolicy(trained.model, trained.config)
    policy.start(env.num_envs)
    stack = ObservationStack(trained.config.network.stacked_observations)
    obs = stack.push(env.obs, np.zeros(env.num_envs, np.bool_))
    action = policy.act(env)
    env.step(action)
    np.testing.assert_allclose(found.reward[: env.num_envs, 0, 0], env.reward)
    with torch.no_grad():
        hidden = trained.network.represent(torch.from_numpy(np.ascontiguousarray(obs)))
        reward = trained.network.recurrent_inference(hidden, torch.from_numpy(action.astype(np.int64))).reward
    np.testing.assert_allclose(found.predicted[: env.num_envs, 0, 0], reward, rtol=1e-4, atol=1e-5)


def test_a_branch_promises_its_rewards_and_the_value_behind_them(explored):
    trained, _ = explored
    env, depth, discount = trained.env, 2, 0.5
    env.reset_later(4)
    stack = ObservationStack(trained.config.network.stacked_observations)
    policy = NetworkPolicy(trained.model, trained.config)
    policy.start(env.num_envs)
    first, fresh = policy.act(env), np.zeros(env.num_envs, np.bool_)
    stack.push(env.obs, fresh)
    before, frames = env.snapshot(), stack.state_dict()
    actions, rewards, promise, whole = _follow(trained.model, env, stack, first, depth=depth, discount=discount)
    env.restore(before)
    stack.load_state_dict(frames)
    expected = np.zeros(env.num_envs)
    for d in range(depth):
        env.step(actions[:, d])
        np.testing.assert_allclose(rewards[:, d], env.reward)
        expected += discount**d * env.reward
        obs = np.ascontiguousarray(stack.push(env.obs, fresh))
    value = trained.model.roots(obs, np.ascontiguousarray(env.available_actions)).value.cpu().numpy()
    assert whole.all() and np.abs(value).max() > 0.1
    np.testing.assert_allclose(promise, expected + discount**depth * value, rtol=1e-5)
    assert (actions[:, 0] == first).all()


def test_a_model_that_is_right_knows_all_consequences_and_one_that_sees_no_actions_none(explored):
    trained, _ = explored
    found = looked_ahead(trained, draws=4, depth=2)
    blind = np.repeat(found.reward[:, :1], 4, axis=1)  # the same for all draws
    noise = np.random.default_rng(0).normal(size=found.reward.shape)
    for predicted, least, most in ((found.reward, 1, 1), (-2 * found.reward, -1, -1), (noise, -0.35, 0.35)):
        lookahead = dataclasses.replace(found, predicted=predicted)
        rows = rows_of({"rows": lookahead_rows("greedy", found.outcome, {2: lookahead}, discount=0.9)})
        assert least - 1e-9 <= rows["greedy", "consequence", 2] <= most + 1e-9
        assert rows["greedy", "return_gain_simulated", 2] == 0
    total = found.reward[:, :, 0] + 0.9 * found.reward[:, :, 1]
    apart = (total - total.mean(axis=1, keepdims=True)).std()
    assert rows["greedy", "consequence_spread", 2] == pytest.approx(apart)
    rows = lookahead_rows("greedy", found.outcome, {2: dataclasses.replace(found, predicted=blind)}, discount=0.9)
    assert "consequence" not in {row["measure"] for row in rows}


def test_a_value_off_by_3_has_a_bias_3_larger_and_the_same_correlation(explored):
    trained, recording = explored
    unrolled = unroll(trained.network, recording, depth=4, rng=np.random.default_rng(0))
    off = dataclasses.replace(recording, value=recording.value + 3, search_value=recording.search_value + 3)
    before, after = (
        rows_of({"rows": recording_rows("self_play", x, unrolled, trained.config)}) for x in (recording, off)
    )
    for kind in ("predicted", "searched"):
        assert after["self_play", f"{kind}_bias", None] == pytest.approx(before["self_play", f"{kind}_bias", None] + 3)
        key = ("self_play", f"{kind}_correlation", None)
        assert after[key] == pytest.approx(before[key])
    key = ("self_play", "value_drift_bias", 1)
    assert after[key] == pytest.approx(before[key] - 3)


def test_without_a_consistency_loss_states_are_not_compared(explored):
    trained, recording = explored
    unrolled = unroll(trained.network, recording, depth=2, rng=np.random.default_rng(0))
    loss = dataclasses.replace(trained.config.loss, consistency=0.0)
    rows = recording_rows("greedy", recording, unrolled, dataclasses.replace(trained.config, loss=loss))
    names = {row["measure"] for row in rows}
    assert "consistency" not in names and {"clean_draws", "advantage_true"} & names == set()


def test_bad_input_is_one_line(runs, tmp_path, capsys):
    damaged = {}
    for name, lost in (("no_checkpoint", "checkpoint.pt"), ("no_metrics", "metrics.jsonl")):
        damaged[name] = tmp_path / name
        shutil.copytree(runs["matrix_1"], damaged[name])
        (damaged[name] / lost).unlink()
    record = json.loads((runs["3m"] / "config.json").read_text())
    for name, file, text in (
        ("bad_metrics", "metrics.jsonl", "{}\n"),
        ("bad_provenance", "provenance.json", "[]"),
        ("other", "config.json", json.dumps(record | {"program": "baselines"})),
    ):
        damaged[name] = tmp_path / name
        shutil.copytree(runs["matrix_1"], damaged[name])
        (damaged[name] / file).write_text(text)
    damaged["no_best"] = tmp_path / "no_best"
    shutil.copytree(runs["matrix_1"], damaged["no_best"])
    metrics = damaged["no_best"] / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:1]))
    cases = [
        (tmp_path / "nowhere", [], "is not a run directory, it has no config.json"),
        (damaged["no_checkpoint"], [], "no checkpoint at"),
        (damaged["no_metrics"], [], "no metrics at"),
        (damaged["bad_metrics"], [], "not a metrics record"),
        (damaged["bad_provenance"], [], "must hold the sessions of a run"),
        (damaged["other"], [], "is a run of baselines: use python -m baselines diagnose"),
        (damaged["no_best"], ["--best"], "lacks the evaluation of the best policy"),
        (runs["matrix_1"], ["--episodes", "0"], "episodes must be at least 1, got 0"),
        (runs["matrix_1"], ["--num-simulations", "0"], "num-simulations must be at least 1, got 0"),
        (runs["matrix_1"], ["--out", str(runs["matrix_1"] / "config.json")], "choose another --out"),
    ]
    for path, flags, message in cases:
        assert main(cli.run, ["diagnose", "--run", str(path), *flags]) == 2, message
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and message in error


def test_a_table_can_be_drawn_anew_and_another_file_is_refused(runs, table, tmp_path, capsys):
    file = tmp_path / "diagnosis.json"
    shutil.copy(runs["3m"] / "diagnosis" / "diagnosis.json", file)
    capsys.readouterr()
    assert analysis.diagnosis.main([str(file)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / f"diagnosis.{end}") for end in ("png", "pdf")]
    for end in ("png", "pdf"):
        drawn = (tmp_path / f"diagnosis.{end}").read_bytes()
        assert drawn == (runs["3m"] / "diagnosis" / f"diagnosis.{end}").read_bytes()
    for text in ("{}", "[", "[]"):
        file.write_text(text)
        assert analysis.diagnosis.main([str(file)]) == 2
        assert "is not a table of `python -m mazero diagnose`" in capsys.readouterr().err


def test_panels_show_what_the_table_holds(table):
    figure = analysis.diagnosis.draw(table)
    panels = {axes.get_title(): axes for axes in figure.axes}
    rows = rows_of(table)
    drawn = [line.get_ydata() for line in panels["Value drift (spread)"].lines if len(line.get_ydata()) == 4]
    for name, measure in (("self_play", "value_drift"), ("greedy", "value_drift"), ("self_play", "value_spread")):
        assert [rows[name, measure, k] for k in (1, 2, 3, 4)] in [list(values) for values in drawn]
    win_rate = panels["Win rate"].lines[0]
    assert list(win_rate.get_ydata()) == [record["win_rate"] for record in table["curves"]["eval"]]
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "3m, seed 3" in texts and "unit data 4.10" in texts and "6 episodes a set" in texts


def test_a_run_on_starcraft_is_refused():
    with pytest.raises(UserError, match="only environments that can go back to a state can be diagnosed, got a run on"):
        diagnose(argparse.Namespace(), {"backend": "smac"}, trained=None)
