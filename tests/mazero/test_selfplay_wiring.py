"""Self-play and greedy play against restatements slot by slot, on the simulator: legality and episode ends matter."""

import copy

import numpy as np
import pytest
import torch

import envs
from mazero import selfplay as module
from mazero.inference import make_model
from mazero.networks import MAZeroNetwork
from mazero.replay import FIELDS
from mazero.search import search
from mazero.selfplay import (
    NetworkPolicy,
    ObservationStack,
    SearchPolicy,
    SelfPlay,
    draw_children,
    draw_uniformly,
    greedy_children,
)
from tests.mazero.test_selfplay import result as result_of
from tests.mazero.tiny import tiny_config
from training.greedy import best_of

ENVS, SEED = 3, 7
SETTINGS = ("network.stacked_observations=3", "self_play.temperature=0.5", "search.noise_fraction=0.5")


def make_env(num_envs=ENVS):
    return envs.make("3m", num_envs=num_envs, observation="mazero")


def setting(opinions=True):
    """Config and model. Heads start at zero, without opinions: every action is as good as any other."""
    config, info = tiny_config(*SETTINGS), make_env(1).info
    torch.manual_seed(0)
    sizes = {"obs_size": info.obs_size, "n_agents": info.n_agents, "n_actions": info.n_actions}
    network = MAZeroNetwork(config.network, **sizes).eval()
    for head in (network.value[1], network.policy[1], network.reward.out):
        if opinions:
            torch.nn.init.normal_(head.weight)
    return config, make_model(network, config.inference)


def plain_stack(frames):
    """The last three observations of one episode, its first one repeated."""
    return np.concatenate([frames[max(len(frames) - back, 0)] for back in (3, 2, 1)], axis=-1)


def searched(model, config, frames, available, rng, noise):
    obs = np.stack([plain_stack(of) for of in frames])
    seeds = rng.integers(0, 2**64, len(frames), dtype=np.uint64)
    return search(model.recurrent, model.roots(obs, available), config.search, seeds, noise=noise)


def plain_self_play(config, model, explores, search_rng, actor_rng):
    """Episodes and outcomes in the order in which they end."""
    env, ended = make_env(), []
    env.reset(SEED)
    frames, rows = [[] for _ in range(ENVS)], [[] for _ in range(ENVS)]
    for explore in explores:
        for slot in range(ENVS):
            frames[slot].append(env.obs[slot].copy())
        found = searched(model, config, frames, env.available_actions.copy(), search_rng, noise=True)
        child = draw_uniformly(found, actor_rng) if explore else draw_children(found, temperature=0.5, rng=actor_rng)
        actions = np.stack([found.joint_actions[slot, child[slot]] for slot in range(ENVS)])
        now = [(env.obs[slot].copy(), env.available_actions[slot].copy()) for slot in range(ENVS)]
        env.step(actions)
        for slot, (obs, available) in enumerate(now):
            row = {"obs": obs, "available": available, "action": actions[slot], "reward": env.reward[slot]}
            row |= {"search_value": found.value[slot], "predicted_value": found.predicted_value[slot]}
            for name in ("num_children", "joint_actions", "visit_counts", "q", "importance"):
                row[name] = getattr(found, name)[slot]
            rows[slot].append(row)
            if env.finished[slot]:
                outcome = {
                    "episode_return": float(sum(float(row["reward"]) for row in rows[slot])),
                    "episode_length": len(rows[slot]),
                    "episode_won": float(env.won[slot]),
                }
                ended.append(({name: np.array([row[name] for row in rows[slot]]) for name in FIELDS}, outcome))
                frames[slot], rows[slot] = [], []
        env.reset_done()
    return ended


DTYPES = dict.fromkeys(FIELDS, np.float32) | {
    "available": np.bool_, "action": np.int16, "num_children": np.int32, "joint_actions": np.int16,
    "visit_counts": np.int32,
}  # fmt: skip


def streams(seed=0):
    return {"search_rng": np.random.default_rng([seed, 0]), "actor_rng": np.random.default_rng([seed, 1])}


def play(player, model, explores, rngs):
    ended = []
    for explore in explores:
        ended += player.step(model, explore=explore, **rngs)
    return ended


def test_self_play_is_this_plain_loop():
    config, model = setting()
    explores = [step % 3 == 0 for step in range(90)]
    rngs, same = streams(), streams()
    ended = play(SelfPlay(make_env(), config, env_seed=SEED), model, explores, rngs)
    expected = plain_self_play(config, model, explores, **same)
    assert len(ended) == len(expected) >= 2 * ENVS
    for (episode, outcome), (fields, expected_outcome) in zip(ended, expected, strict=True):
        for name, value in fields.items():
            found = getattr(episode, name)
            assert found.dtype == DTYPES[name], name
            np.testing.assert_array_equal(found, value.astype(DTYPES[name]), err_msg=name)
        assert outcome == pytest.approx(expected_outcome)
        assert {type(value) for value in outcome.values()} == {float}
    for name, rng in rngs.items():
        assert rng.bit_generator.state == same[name].bit_generator.state


def test_every_search_of_a_run_reuses_one_memory(monkeypatch):
    spaces, inner = [], module.search_observations

    def recorded(*arguments, **options):
        spaces.append(options["workspace"])
        return inner(*arguments, **options)

    monkeypatch.setattr(module, "search_observations", recorded)
    config, model = setting()
    play(SelfPlay(make_env(), config, env_seed=SEED), model, [True] * 3, streams())
    policy, env = SearchPolicy(model, config, rng=np.random.default_rng(0)), make_env()
    env.reset(0)
    policy.start(ENVS)
    for _ in range(2):
        env.step(policy.act(env))
    assert len({id(space) for space in spaces[:3]}) == len({id(space) for space in spaces[3:]}) == 1
    assert [space.roots for space in (spaces[0], spaces[-1])] == [3 * ENVS, 2 * ENVS]


def test_self_play_goes_on_from_a_state_as_often_as_it_is_put_back():
    """The state is taken in the middle of episodes, right after one has ended in some slots."""
    config, model = setting()
    first, rngs = SelfPlay(make_env(), config, env_seed=SEED), streams()
    while not play(first, model, [True], rngs):
        pass
    state, then = first.state_dict(), copy.deepcopy(rngs)
    untouched = copy.deepcopy(state)
    whole = play(first, model, [False] * 40, rngs)
    for _ in range(2):
        other = SelfPlay(make_env(), config, env_seed=SEED + 1)
        play(other, model, [True] * 2, streams(5))
        other.load_state_dict(state)
        again = play(other, model, [False] * 40, copy.deepcopy(then))
        assert len(again) == len(whole) >= ENVS
        for (episode, outcome), (expected, expected_outcome) in zip(again, whole, strict=True):
            assert outcome == expected_outcome
            for name in FIELDS:
                np.testing.assert_array_equal(getattr(episode, name), getattr(expected, name), err_msg=name)
    np.testing.assert_equal(state, untouched)


def test_a_stack_goes_on_from_its_state():
    stack, other = ObservationStack(2), ObservationStack(2)
    assert stack.state_dict() == {"frames": None}
    obs, none = np.ones((1, 1, 1), np.float32), np.zeros(1, np.bool_)
    other.push(obs * 9, none)
    other.load_state_dict(stack.state_dict())  # before the first observation
    assert other.push(obs * 3, none).tolist() == [[[3, 3]]]
    stack.push(obs, none)
    state = stack.state_dict()
    stack.push(obs * 2, none)
    other.load_state_dict(state)
    assert other.push(obs * 5, none).tolist() == [[[1, 5]]]
    assert other.push(obs * 6, np.array([True])).tolist() == [[[6, 6]]]
    other.load_state_dict(state)
    assert other.push(obs * 7, none).tolist() == [[[1, 7]]]


def test_a_stack_owns_its_frames():
    """Environments overwrite their arrays."""
    stack, obs, none = ObservationStack(2), np.ones((1, 1, 1), np.float32), np.zeros(1, np.bool_)
    stack.push(obs, none)
    obs[:] = 2
    assert stack.push(obs, none).tolist() == [[[1, 2]]]


@pytest.mark.parametrize("other", [None, 3])
def test_search_policy_is_this_plain_loop(other):
    """Twice the same episodes with one policy: `start` forgets what was seen, the random stream goes on."""
    config, model = setting()
    rng, same = np.random.default_rng(4), np.random.default_rng(4)
    policy = SearchPolicy(model, config, rng=rng, num_simulations=other)
    fewer = tiny_config(*SETTINGS, f"search.num_simulations={other or 6}")
    env, unfinished = make_env(), []
    for _ in range(2):
        env.reset(SEED)
        policy.start(ENVS)
        frames = [[] for _ in range(ENVS)]
        while not env.finished.all():
            for slot in range(ENVS):
                frames[slot].append(env.obs[slot].copy())
            running = [slot for slot in range(ENVS) if not env.finished[slot]]
            unfinished.append(len(running))
            seeds = same.integers(0, 2**64, ENVS, dtype=np.uint64)[running]
            obs = np.stack([plain_stack(frames[slot]) for slot in running])
            roots = model.roots(obs, env.available_actions[running])
            found = search(model.recurrent, roots, fewer.search, seeds, noise=False)
            expected, child = np.zeros((ENVS, 3), np.int64), greedy_children(found, same)
            for i, slot in enumerate(running):
                expected[slot] = found.joint_actions[i, child[i]]
            actions = policy.act(env)
            assert actions.dtype == np.int64 and actions.tolist() == expected.tolist()
            env.step(actions)
    assert min(unfinished) < ENVS  # some slots had finished before others
    assert rng.bit_generator.state == same.bit_generator.state


def test_network_policy_is_this_plain_loop():
    config, model = setting()
    policy, env = NetworkPolicy(model, config), make_env()
    for _ in range(2):
        env.reset(SEED)
        policy.start(ENVS)
        frames, rng = [[] for _ in range(ENVS)], np.random.default_rng(0)  # for agents that see nothing
        while not env.finished.all():
            for slot in range(ENVS):
                frames[slot].append(env.obs[slot].copy())
            logits = model.roots(np.stack([plain_stack(of) for of in frames])).policy_logits.numpy()
            expected = best_of(logits, env.available_actions, rng)
            actions = policy.act(env)
            assert actions.tolist() == expected.tolist()
            env.step(actions)


def test_a_network_policy_without_opinions_draws_the_same_way_in_every_evaluation():
    config, model = setting(opinions=False)
    policy, env, played = NetworkPolicy(model, config), make_env(), []
    for _ in range(2):
        env.reset(SEED)
        policy.start(ENVS)
        played.append([policy.act(env).tolist() for _ in range(2)])
    assert played[0] == played[1] and played[0][0] != played[0][1]


class Fixed:
    """A generator that returns given numbers in [0, 1)."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def random(self, count):
        assert count == len(self.numbers)
        return np.array(self.numbers)


def test_children_own_intervals_as_wide_as_their_share():
    """Visits 1, 3, 4 at temperature 1/2: 1, 9, 16 of 26. A child without visits is never drawn, not even by 0."""
    visits, edges = [0, 1, 3, 4, 9], (0.0, 1 / 26 - 1e-9, 1 / 26 + 1e-9, 10 / 26 - 1e-9, 10 / 26 + 1e-9, 1 - 1e-9)
    many = result_of(np.tile(visits, (6, 1)), num_children=np.full(6, 4))
    assert draw_children(many, temperature=0.5, rng=Fixed(*edges)).tolist() == [1, 1, 2, 2, 3, 3]
    assert draw_uniformly(many, Fixed(0.0, 0.24, 0.26, 0.49, 0.51, 0.99)).tolist() == [0, 0, 1, 1, 2, 3]


def test_a_cold_temperature_takes_the_most_visited_without_overflow_or_underflow():
    """(299 / 300) ** 1000 = 0.035: beside it the first child owns 0.966. Every root has a scale of its own."""
    many = result_of([[300, 299, 0], [2, 1, 0]])
    assert draw_children(many, temperature=1e-3, rng=Fixed(0.96, 0.99)).tolist() == [0, 0]
    assert draw_children(many, temperature=1e-3, rng=Fixed(0.97, 0.0)).tolist() == [1, 0]


def test_greedy_never_takes_a_child_that_does_not_exist():
    rng = np.random.default_rng(0)
    assert greedy_children(result_of([[2, 2, 2]], q=[[-3.0, -2.0, 0.0]], num_children=[2]), rng).tolist() == [1]
