"""Small parts by hand: evaluation, its seeds, random streams, greedy choices, rates, allocator, finiteness, films."""

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import envs
from training import memory, watch
from training.errors import Diverged, UserError, require_finite
from training.evaluation import evaluate, pooled
from training.greedy import best_of
from training.metrics import ABSOLUTE_TIMES
from training.seeding import STREAMS, Streams, absolute_seed, draw_seed, evaluation_seed
from training.throughput import Throughput


class Slots:
    """Three episodes of lengths 1, 2, 3; step t of slot b pays 10^b (t + 1); slots 0 and 2 are won."""

    def __init__(self, limit=3, lengths=(1, 2, 3)):
        self.info = SimpleNamespace(name="slots", episode_limit=limit)
        self.num_envs, self.lengths, self.discarded = 3, np.array(lengths), np.zeros(3, bool)
        self.won = np.array([True, False, True])
        self.seeds, self.actions = [], []

    def reset_later(self, seed):
        self.seeds.append(seed)
        self.time = 0
        self.finished, self.reward = np.zeros(3, bool), np.zeros(3)

    def step(self, actions):
        self.actions.append(actions)
        self.time += 1
        self.reward = 10.0 ** np.arange(3) * self.time  # also where an episode is over: nobody may count it
        self.finished = self.time >= self.lengths


class Policy:
    """Counts its calls."""

    def __init__(self):
        self.heard = []

    def start(self, num_envs):
        self.heard.append(("start", num_envs))

    def act(self, env):
        self.heard.append(("act", env.time))
        return self.heard[-1]


def test_an_evaluation_plays_every_slot_once_and_counts_only_what_is_running():
    env, policy = Slots(), Policy()
    returns = np.array([1.0, 10 + 20, 100 + 200 + 300])
    assert evaluate(policy, env, seed=17) == {
        "num_episodes": 3,
        "win_rate": pytest.approx(2 / 3),
        "return_mean": pytest.approx(631 / 3),
        "return_std": pytest.approx(np.sqrt(((returns - 631 / 3) ** 2).sum() / 3)),
        "length_mean": 2.0,
    }
    assert env.seeds == [17]
    assert policy.heard == [("start", 3), ("act", 0), ("act", 1), ("act", 2)] and env.actions == policy.heard[1:]


def test_an_evaluation_ends_with_its_last_episode():
    env, policy = Slots(limit=9), Policy()
    result = evaluate(policy, env, seed=0)
    assert len(env.actions) == 3 and {name: type(value) for name, value in result.items()} == {
        "num_episodes": int, "win_rate": float, "return_mean": float, "return_std": float, "length_mean": float,
    }  # fmt: skip


def test_an_episode_beyond_its_limit_is_an_error():
    with pytest.raises(RuntimeError, match="slots: an episode outlived its limit of 2 steps"):
        evaluate(Policy(), Slots(limit=2), seed=0)


def test_pooled_results_are_those_of_all_episodes_together():
    episodes = np.random.default_rng(0).normal(5.0, 3.0, (4, 6))
    results = [
        {"num_episodes": 6, "win_rate": k / 8, "return_mean": r.mean(), "return_std": r.std(), "length_mean": 2.0 * k}
        | {"extra": float(k)}
        for k, r in enumerate(episodes)
    ]
    assert pooled(results) == {
        "num_episodes": 24,
        "win_rate": pytest.approx((0 + 1 + 2 + 3) / 8 / 4),
        "return_mean": pytest.approx(episodes.mean()),
        "return_std": pytest.approx(episodes.std()),
        "length_mean": 3.0,
        "extra": 1.5,
    }
    assert type(pooled(results)["num_episodes"]) is int and pooled(results[:1]) == pytest.approx(results[0])
    assert ABSOLUTE_TIMES == 10


def seed_by_hand(*entropy):
    """63 bits that NumPy's seed sequence makes of the numbers."""
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) // 2


def test_seeds_of_evaluations_follow_from_run_mark_and_purpose_alone():
    assert evaluation_seed(5, 1000) == seed_by_hand(5, 1000, int.from_bytes(b"eval"))
    assert absolute_seed(5, 3) == seed_by_hand(5, 3, int.from_bytes(b"best"))
    seeds = {f(run, mark) for f in (evaluation_seed, absolute_seed) for run in range(10) for mark in range(10)}
    assert len(seeds) == 200 and all(0 <= seed < 2**63 for seed in seeds) and max(seeds) > 2**62


def test_streams_are_the_children_of_the_run_seed_in_their_fixed_order():
    assert STREAMS == ("init", "env", "actor", "search", "replay", "reanalyze", "eval", "explore")
    children = np.random.SeedSequence(9).spawn(8)
    streams = Streams(9)
    for name, child in zip(STREAMS, children, strict=True):
        assert (
            getattr(streams, name).random(3).tolist() == np.random.Generator(np.random.PCG64(child)).random(3).tolist()
        )


def test_all_streams_go_on_from_their_saved_states():
    first, second = Streams(1), Streams(2)
    for k, name in enumerate(STREAMS):
        getattr(first, name).random(k)
    second.load_state_dict(first.state_dict())
    assert [getattr(second, name).random() for name in STREAMS] == [getattr(first, name).random() for name in STREAMS]
    assert list(first.state_dict()) == list(STREAMS)


def test_drawn_seeds_have_63_bits():
    seeds = [draw_seed(np.random.default_rng(k)) for k in range(200)]
    assert all(type(seed) is int and 0 <= seed < 2**63 - 1 for seed in seeds) and len(set(seeds)) == 200
    assert max(seeds) > 2**62 and min(seeds) < 2**58
    assert seeds == [int(np.random.default_rng(k).integers(2**63 - 1)) for k in range(200)]


def test_an_unknown_stream_says_which_there_are():
    with pytest.raises(AttributeError) as error:
        Streams(0).envs  # noqa: B018
    assert str(error.value) == f"no random stream 'envs': known are {', '.join(STREAMS)}"


class Given:
    """A generator that gives the numbers it was given."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self, count):
        taken, self.numbers = self.numbers[:count], self.numbers[count:]
        return np.array(taken)


def test_one_number_for_each_tie_chooses_among_the_equals():
    """Ranks: floor(0.99 * 3) = 2, floor(0.34 * 3) = 1, floor(0.5 * 2) = 1; the second row of each pair has no tie."""
    scores = np.array(
        [
            [[1.0, 5.0, 5.0, 0.0, 5.0], [3.0, 2.0, 1.0, 0.0, -1.0]],
            [[2.0, 9.0, 2.0, 1.0, 2.0], [0.0, 0.0, -1.0, 9.0, 9.0]],
        ]
    )
    legal = np.ones((2, 2, 5), bool)
    legal[1, 0, 1] = legal[1, 1, 3] = legal[1, 1, 4] = False
    rng = Given(0.99, 0.34, 0.5, 0.0)
    chosen = best_of(scores, legal, rng)
    assert chosen.tolist() == [[4, 0], [2, 1]] and rng.numbers == [0.0]
    assert chosen.dtype == np.int64 and chosen.shape == (2, 2)
    assert best_of(scores, legal, Given(0.0, 0.999, 0.49)).tolist() == [[1, 0], [4, 0]]


def test_a_choice_of_one_needs_no_axis_before_it():
    assert best_of(np.array([3.0, 4.0]), np.array([True, False]), Given()) == 0


def test_illegal_scores_may_be_anything():
    scores = np.array([[np.nan, 1.0, np.inf, -np.inf]])
    assert best_of(scores, np.array([[False, True, False, False]]), Given()).tolist() == [1]


def test_rates_and_seconds_by_hand():
    clock = Throughput()
    assert clock.drain() == {}
    clock.add(10, 2, acting=0.5)
    clock.add(20, 4, acting=0.25, learning=0.75)
    assert clock.drain() == {
        "env_steps_per_second": 20.0, "updates_per_second": 4.0, "acting_seconds": 0.75, "learning_seconds": 0.75,
    }  # fmt: skip
    assert clock.drain() == {}
    clock.add(0, 5, learning=1.0)
    assert clock.drain() == {}  # kept until there are environment steps
    clock.add(1, 0, acting=1.0)
    assert clock.drain() == {
        "env_steps_per_second": 0.5, "updates_per_second": 2.5, "learning_seconds": 1.0, "acting_seconds": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("answers", [(1, 1), (1, 0), (0, 1)])
def test_the_allocator_is_told_what_to_keep(monkeypatch, answers):
    heard = []
    library = SimpleNamespace(mallopt=lambda *option: heard.append(option) or answers[len(heard) - 1])
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: {None: library}[name])
    assert memory.keep_freed_memory() is (answers == (1, 1))
    assert heard == [(-3, 2**30), (-1, 2**31 - 1)][: len(heard)] and heard


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", None)
    assert memory.keep_freed_memory() is False


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert memory.keep_freed_memory() is False


def test_the_first_number_that_is_not_finite_is_named():
    require_finite({"loss": 1.0, "count": 3})
    for value, text in ((float("nan"), "nan"), (float("-inf"), "-inf")):
        with pytest.raises(Diverged, match=f"^grad_norm is {text}$"):
            require_finite({"loss": 1.0, "grad_norm": value, "last": float("inf")})


def test_only_maps_of_the_simulator_can_be_filmed_with_flags_that_fit_them(monkeypatch):
    checked = []

    def check(map_data):
        checked.append(map_data)
        if len(checked) > 1:
            raise ValueError("agent must lie in 0..2")

    monkeypatch.setattr(watch, "load_map", lambda name: f"map {name}")
    how = SimpleNamespace(check=check)
    with pytest.raises(UserError, match=r"^only runs of the backend skirmish can be filmed, got one of matrix$"):
        watch.check_films({"backend": "matrix", "map": "matrix_1"}, how)
    assert checked == []
    watch.check_films({"backend": "skirmish", "map": "3m"}, how)
    assert checked == ["map 3m"]
    with pytest.raises(UserError, match=r"^agent must lie in 0\.\.2$"):
        watch.check_films({"backend": "skirmish", "map": "3m"}, how)


def test_a_film_shows_the_policy_in_its_environment(monkeypatch):
    class Env:
        time = 0

    def record(env, act, how, *, who, begin):
        begin()
        return env, act(), how, who

    monkeypatch.setattr(watch, "SkirmishEnv", Env)
    monkeypatch.setattr(watch, "record", record)
    env, policy = Env(), Policy()
    assert watch.film_policy(policy, env, "how", who="MAZero") == (env, ("act", 0), "how", "MAZero")
    assert policy.heard == [("start", 1), ("act", 0)]
    with pytest.raises(UserError, match=r"^only battles of the bare simulator can be filmed, got a perturbed"):
        watch.film_policy(policy, Slots(), "how", who="MAZero")


class Standing(Policy):
    """Stops, or does nothing where that is all there is."""

    def act(self, env):
        return env.available_actions[:, :, :2].argmax(2)


def test_evaluations_of_battles_are_later_ones():
    """With enemies that march 80 loops earlier, ten steps, those who stand still die that much sooner."""

    def length(respawn_loops):
        env = envs.make("3m", num_envs=8, respawn_loops=respawn_loops, placement_jitter=0.0, jitter_scale=0.0)
        return evaluate(Standing(), env, seed=3)["length_mean"]

    assert 9 <= length(0) - length(80) <= 11
