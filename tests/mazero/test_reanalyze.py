"""Batches against a restatement in plain loops, on a model whose numbers can be looked up."""

import dataclasses

import numpy as np
import pytest
import torch

from mazero.reanalyze import make_batch
from mazero.replay import FIELDS, SEARCH_FIELDS, Episode, Replay
from mazero.search import Root, SearchResult, Workspace, search
from mazero.searches import FreshSearches, search_fields, search_observations
from mazero.values import TargetValues
from tests.mazero.tiny import tiny_config
from training.errors import Diverged

N, A, OBS, K = 2, 4, 3, 5
LENGTHS = (7, 1, 4, 9)


class Toy:
    """Elementwise, so a root's numbers do not depend on the roots beside it. Keeps what it was asked."""

    def __init__(self, roots_per_search=1):
        self.asked, self.roots_per_search = [], roots_per_search

    def roots(self, obs, available_actions=None):
        self.asked.append(obs.copy())
        x = torch.from_numpy(obs)
        logits = torch.stack([torch.sin((a + 1) * x[..., 0] + x[..., -2]) for a in range(A)], dim=-1)
        return Root(x[..., -OBS:].clone(), x[:, 0, -1] - 2 * x[:, 1, 0], logits, available_actions)

    def recurrent(self, hidden, action):
        following = torch.cos(hidden + action[..., None])
        logits = torch.stack([torch.sin(a + following[..., 0]) for a in range(A)], dim=-1)
        return following, following[:, 0, 1], following[:, 1, 2], logits

    def value(self, obs):
        return float(obs[0, -1] - 2 * obs[1, 0])


def random_episode(length, rng):
    """Half of the actions are illegal; children beyond `num_children` are zero, as a search leaves them."""
    children = rng.integers(1, K + 1, length).astype(np.int32)
    exists = np.arange(K) < children[:, None]
    visits = np.where(exists, rng.integers(0, 5, (length, K)), 0)
    visits[:, 0] += 1
    visits[0] = np.arange(K) == 0  # one visit in all
    available = rng.random((length, N, A)) < 0.5
    available[..., 1] = True
    return Episode(
        obs=rng.normal(size=(length, N, OBS)).astype(np.float32),
        available=available,
        action=rng.integers(0, A, (length, N)).astype(np.int16),
        reward=rng.normal(size=length).astype(np.float32),
        search_value=rng.normal(size=length).astype(np.float32),
        predicted_value=rng.normal(size=length).astype(np.float32),
        num_children=children,
        joint_actions=np.where(exists[..., None], rng.integers(0, A, (length, K, N)), 0).astype(np.int16),
        visit_counts=visits.astype(np.int32),
        q=np.where(exists, rng.normal(size=(length, K)), 0).astype(np.float32),
        importance=np.where(exists, rng.random((length, K)), 0).astype(np.float32),
    )


def random_replay():
    rng = np.random.default_rng(3)
    replay = Replay(priority_alpha=0.6, searches_change=True)
    for length in LENGTHS:
        replay.add(random_episode(length, rng))
    return replay


def config_of(*overrides):
    return tiny_config(
        "targets.td_steps=3", "targets.td_age_share=0.05", f"search.num_sampled_actions={K}", "search.discount=0.8",
        "loss.awpo_alpha=0.7", "loss.weight_cap=1.5", *overrides,
    )  # fmt: skip


def plain_stack(replay, t, depth):
    frames = [replay.obs[max(t - back, replay.episode_start[t])] for back in range(depth)]
    return np.concatenate(frames[::-1], axis=-1)


def plain_batch(replay, positions, importance, *, config, planned_updates, rng):
    """One sample and one step at a time. Returns the batch, what was searched and what was evaluated."""
    size, steps, depth = len(positions), config.targets.unroll_steps, config.network.stacked_observations
    model, gamma = Toy(), config.search.discount
    padded = config.targets.padding_action == "zero"
    beyond = np.zeros((size, steps, N), int) if padded else rng.integers(0, A, (size, steps, N))
    stored = {t: {name: getattr(replay, name)[t] for name in SEARCH_FIELDS} for t in range(len(replay))}
    searched, again = [], []
    if config.targets.reanalyze_ratio > 0:
        again = rng.permutation(size)[: round(config.targets.reanalyze_ratio * size)]
    real = {(b, k): p + k < replay.episode_end[p] for b, p in enumerate(positions) for k in range(steps + 1)}
    searched = sorted({positions[b] + k for b in again for k in range(steps + 1) if real[b, k]})
    if searched:
        seeds = rng.integers(0, 2**64, len(searched), dtype=np.uint64)
        for i, t in enumerate(searched):
            root = model.roots(plain_stack(replay, t, depth)[None], replay.available[t][None])
            result = search(model.recurrent, root, config.search, seeds[i : i + 1], noise=True)
            fresh = {"search_value": result.value[0], "predicted_value": result.predicted_value[0]}
            for name in ("num_children", "joint_actions", "visit_counts", "q", "importance"):
                fresh[name] = getattr(result, name)[0]
            stored[t] = {name: fresh[name].astype(stored[t][name].dtype) for name in SEARCH_FIELDS} | {"fresh": True}

    advantages = {}
    out = {name: [] for name in ("obs", "action", "reward", "value", "joint_actions", "real")}
    evaluated = set()
    for b, p in enumerate(positions):
        end = replay.episode_end[p]
        m = 3 - int((sum(LENGTHS) - p) / (0.05 * planned_updates))  # td_steps and td_age_share of config_of
        m = min(3, max(1, m))
        for k in range(steps + 1):
            t, last = p + k, end - 1
            out["obs"].append(plain_stack(replay, min(t, last), depth))
            out["real"].append(real[b, k])
            if k < steps:
                out["action"].append(replay.action[t] if t < end else beyond[b, k])
                out["reward"].append(replay.reward[t] if t < end else 0.0)
            z = sum(gamma**i * replay.reward[t + i] for i in range(m) if t + i < end)
            if t + m < end:
                evaluated.add(t + m)
                if config.targets.value_bootstrap == "predicted":
                    z += gamma**m * model.value(plain_stack(replay, t + m, depth))
                else:
                    z += gamma**m * replay_value(stored, replay, t + m, config)
            out["value"].append(z)
            row = sample_row(stored, replay, min(t, last), b in again and t < end)
            out["joint_actions"].append(row["joint_actions"])
            for c in range(row["num_children"] if t < end else 0):
                share = row["visit_counts"][c] / row["visit_counts"].sum()
                share = share if config.loss.policy_weight == "visits" else row["importance"][c]
                advantages[b, k, c] = row["q"][c] - row["predicted_value"], share
    weight = np.zeros((size, steps + 1, K))
    raw = np.array([advantage for advantage, _ in advantages.values()], np.float64)
    for (b, k, c), (advantage, share) in advantages.items():
        standard = (advantage - raw.mean()) / (raw.std() + 1e-5)
        factor = min(np.exp(standard / config.loss.awpo_alpha), config.loss.weight_cap) if config.loss.awpo else 1.0
        weight[b, k, c] = share * factor
    arrays = {name: np.array(rows).reshape(size, -1, *np.shape(rows[0])) for name, rows in out.items()}
    arrays |= {"policy_weight": weight, "importance": importance}
    kept = {t: row for t, row in stored.items() if "fresh" in row} if config.targets.write_back else {}
    evaluated = evaluated if config.targets.value_bootstrap == "predicted" else set()
    return arrays, searched, sorted(evaluated), kept


def sample_row(stored, replay, t, again):
    """Only a sample that is reanalysed sees the fresh search of a position that it shares with others."""
    return stored[t] if again else {name: getattr(replay, name)[t] for name in SEARCH_FIELDS}


def replay_value(stored, replay, t, config):
    return stored[t]["search_value"] if config.targets.write_back else replay.search_value[t]


CASES = {
    "released": ["targets.reanalyze_ratio=1.0"],
    "half": ["targets.reanalyze_ratio=0.5", "network.stacked_observations=3"],
    "kept": ["targets.reanalyze_ratio=0.7", "targets.write_back=true", "targets.value_bootstrap=stored"],
    "stored": ["targets.reanalyze_ratio=0.0", "loss.policy_weight=importance", "network.stacked_observations=1"],
    "searched": ["targets.reanalyze_ratio=0.5", "targets.value_bootstrap=stored", "loss.policy_weight=importance"],
    "cloned": ["targets.reanalyze_ratio=0.0", "loss.awpo=false", "targets.padding_action=zero"],
    "too few": ["targets.reanalyze_ratio=0.05", "targets.value_bootstrap=stored"],
}
NONE = None  # in place of searches that nobody asks for
DTYPES = {"action": torch.int64, "joint_actions": torch.int64}


@pytest.mark.parametrize("case", CASES)
def test_a_batch_is_what_plain_loops_make_of_the_replay(case):
    config = config_of(*CASES[case])
    replay = random_replay()
    positions = np.array([0, 4, 5, 5, 7, 9, 14, 20])  # within and at the end of every episode, one of them twice
    importance = np.linspace(0.3, 1.0, len(positions)).astype(np.float32)
    rng, same = np.random.default_rng(11), np.random.default_rng(11)
    options = {"config": config, "planned_updates": 200}  # horizons 1, 2, 3 by age
    expected, searched, evaluated, kept = plain_batch(replay, positions, importance, rng=same, **options)
    before = {name: getattr(replay, name).copy() for name in (*FIELDS, "priority")}

    model, workspace = Toy(), Workspace()
    searches = FreshSearches(model, config, rng=rng, workspace=workspace)
    values = TargetValues(model, config.network.stacked_observations)
    batch = make_batch(replay, positions, importance, values=values, searches=searches, rng=rng, **options)

    for name, value in expected.items():
        found = getattr(batch, name)
        assert found.dtype == DTYPES.get(name, torch.float32), name
        assert found.shape == value.shape, name
        np.testing.assert_allclose(found.numpy(), value, rtol=2e-5, atol=1e-6, err_msg=name)
    assert rng.bit_generator.state == same.bit_generator.state
    # One search and one evaluation, of every position once.
    depth = config.network.stacked_observations
    wanted = [np.stack([plain_stack(replay, t, depth) for t in ts]) for ts in (searched, evaluated) if ts]
    assert len(model.asked) == len(wanted)
    for asked, rows in zip(model.asked, wanted, strict=True):
        np.testing.assert_array_equal(asked, rows)
    assert workspace.roots == len(searched)
    for t, row in kept.items():
        for name in SEARCH_FIELDS:
            before[name][t] = row[name]
    for name, value in before.items():
        np.testing.assert_allclose(getattr(replay, name), value, rtol=1e-6, err_msg=name)
    assert bool(kept) == (case == "kept")


def test_the_last_step_of_an_episode_needs_no_value_and_keeps_its_action():
    replay, model = random_replay(), Toy()
    batch = make_batch(
        replay, np.array([6, 7]), np.ones(2, np.float32), values=TargetValues(model, 1), searches=NONE,
        config=config_of("targets.reanalyze_ratio=0.0"), planned_updates=200, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert model.asked == []
    assert batch.value.tolist() == [[float(replay.reward[t]), 0, 0] for t in (6, 7)]
    assert batch.action[:, 0].tolist() == replay.action[[6, 7]].tolist()


def test_a_batch_lies_on_the_device_that_was_asked_for():
    batch = make_batch(
        random_replay(), np.array([0, 9]), np.ones(2, np.float32), values=TargetValues(Toy(), 1), searches=NONE,
        config=config_of("targets.reanalyze_ratio=0.0"), planned_updates=1, rng=np.random.default_rng(0), device="meta",
    )  # fmt: skip
    assert {getattr(batch, field.name).device.type for field in dataclasses.fields(batch)} == {"meta"}


def some_roots(count):
    rng = np.random.default_rng(1)
    available = np.ones((count, N, A), np.bool_)
    available[:, 0, 2:] = False
    return rng.normal(size=(count, N, OBS)).astype(np.float32), available, np.arange(count, dtype=np.uint64)


@pytest.mark.parametrize("other", [None, 3])
@pytest.mark.parametrize("noise", [True, False])
def test_a_search_gets_exactly_what_it_was_asked_with(monkeypatch, noise, other):
    config, model, workspace, calls = config_of("search.rho=0.4"), Toy(), Workspace(), []

    def recorded(recurrent, roots, settings, seeds, **options):
        calls.append((recurrent, roots, settings, seeds, options))
        return search(recurrent, roots, settings, seeds, **options)

    monkeypatch.setattr("mazero.searches.search", recorded)
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    obs, available, seeds = some_roots(3)
    options = {"seeds": seeds, "noise": noise, "workspace": workspace}
    result = search_observations(model, obs, available, config, num_simulations=other, **options)
    [(recurrent, roots, settings, given, rest)] = calls
    assert recurrent == model.recurrent and given is seeds
    assert roots.available_actions is available and torch.equal(roots.hidden, torch.from_numpy(obs))
    assert settings == dataclasses.replace(config.search, num_simulations=6 if other is None else other)
    assert rest == {"noise": noise, "workspace": workspace, "threads": 7}
    assert (result.visit_counts.sum(axis=1) == (6 if other is None else 3)).all()
    assert (result.joint_actions[..., 0] < 2).all()  # the first agent has two legal actions


def test_a_policy_that_is_not_finite_is_not_searched():
    obs, available, seeds = some_roots(2)
    obs[1, 0, 0] = np.inf
    with pytest.raises(Diverged, match=r"^a logit of the policy is not finite$"):
        search_observations(Toy(), obs, available, config_of(), seeds=seeds, noise=True)


def test_the_replay_stores_a_search_in_single_precision():
    fields = {f.name: np.array([[index + 0.1]]) for index, f in enumerate(dataclasses.fields(SearchResult))}
    whole = {"num_children": np.int32, "joint_actions": np.int16, "visit_counts": np.int32}
    fields |= {name: np.array([[7]], kind) for name, kind in whole.items()}
    stored = search_fields(SearchResult(**fields))
    assert tuple(stored) == SEARCH_FIELDS
    of = {"search_value": "value"}
    for name, value in stored.items():
        assert value.dtype == whole.get(name, np.float32), name
        assert value.item() == pytest.approx(fields[of.get(name, name)].item()), name
