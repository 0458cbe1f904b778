"""The replay against a list of episodes: what is stored, drawn, stacked, forgotten and put back."""

import numpy as np
import pytest

from mazero.replay import FIELDS, SEARCH_FIELDS, Episode, Replay

N, OBS, A, K = 2, 3, 4, 5
SHAPES = {
    "obs": ((N, OBS), np.float32), "available": ((N, A), np.bool_), "action": ((N,), np.int16),
    "reward": ((), np.float32), "search_value": ((), np.float32), "predicted_value": ((), np.float32),
    "num_children": ((), np.int32), "joint_actions": ((K, N), np.int16), "visit_counts": ((K,), np.int32),
    "q": ((K,), np.float32), "importance": ((K,), np.float32),
}  # fmt: skip


def random_episode(length, rng):
    return Episode(
        **{name: rng.integers(0, 99, (length, *shape)).astype(kind) for name, (shape, kind) in SHAPES.items()}
    )


class Plain:
    """The same as a list of episodes; `number` counts transitions from the first one ever added."""

    def __init__(self):
        self.episodes = []

    def add(self, episode):
        top = max((p for each in self.episodes for p in each["priority"]), default=1.0)
        length = len(episode.reward)
        self.episodes.append({name: getattr(episode, name).copy() for name in FIELDS})
        self.episodes[-1]["priority"] = np.full(length, top)

    def expected(self):
        parts = {name: [each[name] for each in self.episodes] for name in self.episodes[0]}
        arrays = {name: np.concatenate(rows) for name, rows in parts.items()}
        lengths = [len(each["reward"]) for each in self.episodes]
        ends = np.cumsum(lengths)
        arrays["episode_start"] = np.repeat(ends - lengths, lengths)
        arrays["episode_end"] = np.repeat(ends, lengths)
        return arrays

    def set_priorities(self, positions, errors):
        flat = np.concatenate([each["priority"] for each in self.episodes])
        flat[positions] = np.abs(errors) + 1e-6
        for each in self.episodes:
            each["priority"], flat = flat[: len(each["reward"])], flat[len(each["reward"]) :]


def assert_holds(replay, plain):
    expected = plain.expected()
    assert len(replay) == replay.size == len(expected["reward"])
    for name, value in expected.items():
        found = getattr(replay, name)
        kind = SHAPES[name][1] if name in SHAPES else {"priority": np.float64}.get(name, np.int64)
        assert found.dtype == kind, name
        np.testing.assert_array_equal(found, value, err_msg=name)


@pytest.mark.parametrize("capacity", [None, 40])
def test_a_replay_holds_what_a_list_of_episodes_holds(capacity):
    """Across several enlargements; with room for 40, the oldest episodes go until at most 36 transitions are left."""
    rng = np.random.default_rng(0)
    replay, plain, dropped = Replay(priority_alpha=0.6, capacity=capacity), Plain(), 0
    for _ in range(60):
        episode = random_episode(int(rng.integers(1, 120 if capacity is None else 12)), rng)
        replay.add(episode)
        plain.add(episode)
        while capacity is not None and replay.size < plain.expected()["reward"].size:
            dropped += len(plain.episodes.pop(0)["reward"])
            assert replay.size >= 36 - 11  # no more episodes than needed
        positions = rng.choice(replay.size, min(5, replay.size), replace=False)
        errors = rng.normal(size=len(positions))
        replay.set_priorities(positions, errors)
        plain.set_priorities(positions, errors)
        assert_holds(replay, plain)
        assert replay.dropped == dropped
        assert capacity is None or replay.size <= capacity
    assert (dropped > 0) == (capacity is not None) and (capacity is not None or replay.size > 2048)


def test_memory_doubles_and_starts_with_1024_rows():
    rng, replay = np.random.default_rng(0), Replay(priority_alpha=0.6)
    rooms = []
    for length in (3, 1021, 1, 500):
        replay.add(random_episode(length, rng))
        rooms.append({len(array) for array in replay._arrays.values()})
    assert rooms == [{1024}, {1024}, {2050}, {2050}]


def test_forgetting_goes_by_whole_episodes_down_to_nine_tenths():
    rng, sizes = np.random.default_rng(0), []
    replay = Replay(priority_alpha=0.6, capacity=20)
    for length in (4, 7, 9, 1, 5, 2, 14):
        replay.add(random_episode(length, rng))
        sizes.append((replay.size, replay.dropped))
    # 20 is no more than the capacity. 21 - 18 = 3: transition 3 lies in the episode of 4. 22 - 18 = 4: in that of 7.
    # 15 + 2 fit; 31 - 18 = 13: behind those of 9 and 1, in that of 5.
    assert sizes == [(4, 0), (11, 0), (20, 0), (17, 4), (15, 11), (17, 11), (16, 26)]


def test_an_episode_of_which_one_transition_is_too_many_goes_as_a_whole():
    rng, replay = np.random.default_rng(0), Replay(priority_alpha=0.6, capacity=20)
    for length in (4, 7, 9, 3):  # 23 - 18 = 5: the first one of the episode of 7
        replay.add(random_episode(length, rng))
    assert (replay.size, replay.dropped) == (12, 11)


def test_draws_are_exponential_races_in_rising_order():
    """A transition arrives after an exponential time over its mass; the first four are drawn."""
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    replay = Replay(priority_alpha=0.5)
    replay.add(random_episode(9, np.random.default_rng(0)))
    replay.set_priorities(np.arange(9), np.arange(9) ** 2 + 1.0)
    mass = np.sqrt(np.arange(9) ** 2 + 1.0 + 1e-6)
    for _ in range(20):
        arrival = same.standard_exponential(9) / mass
        expected = sorted(np.argsort(arrival)[:4])
        positions, weights = replay.sample(4, beta=0.7, rng=rng)
        assert positions.tolist() == expected
        raw = np.array([(9 * mass[p] / mass.sum()) ** -0.7 for p in positions])
        np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)
        assert weights.dtype == np.float32
    positions, _ = replay.sample(9, beta=0.7, rng=rng)
    assert positions.tolist() == list(range(9))


def test_more_draws_than_transitions_repeat_them_by_priority():
    replay = Replay(priority_alpha=0.5)
    replay.add(random_episode(3, np.random.default_rng(0)))
    replay.set_priorities(np.arange(3), np.array([0.0, 1.0, 16.0]))
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    positions, weights = replay.sample(50_000, beta=1.0, rng=rng)
    mass = np.sqrt(np.array([0.0, 1.0, 16.0]) + 1e-6)
    shares = mass / mass.sum()
    assert positions.tolist() == same.choice(3, 50_000, p=shares).tolist()
    np.testing.assert_allclose(np.bincount(positions, minlength=3) / 50_000, shares, atol=0.01)
    least = shares[positions].min()
    np.testing.assert_allclose(weights, least / shares[positions], rtol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_stacks_are_the_last_observations_oldest_first(depth):
    rng = np.random.default_rng(0)
    replay, episodes = Replay(priority_alpha=0.6), [random_episode(length, rng) for length in (5, 1, 6)]
    for episode in episodes:
        replay.add(episode)
    expected = []
    for episode in episodes:
        for t in range(len(episode.reward)):
            expected.append(np.concatenate([episode.obs[max(0, t - back)] for back in range(depth)][::-1], axis=-1))
    positions = np.array([[0, 11, 3], [5, 6, 8]])
    np.testing.assert_array_equal(replay.stacked_obs(positions, depth), np.array(expected)[positions])


@pytest.mark.parametrize("searches_change", [True, False])
def test_a_state_is_a_table_of_what_lasts_and_copies_of_the_rest(searches_change):
    """Numbered from the first transition ever added; a state that is put back does not share memory with it."""
    rng = np.random.default_rng(0)
    made = {"priority_alpha": 0.6, "capacity": 20, "searches_change": searches_change}
    replay, plain = Replay(**made), Plain()
    for length in (9, 6, 7, 2):
        episode = random_episode(length, rng)
        replay.add(episode)
        plain.add(episode)
    plain.episodes.pop(0)
    state = replay.state_dict()
    table, changing = state["rows"], state["changing"]
    assert (table.first, table.end) == (9, 24)
    lasting = [name for name in FIELDS if not (searches_change and name in SEARCH_FIELDS)]
    assert list(table.read(9)) == lasting
    assert set(changing) == set(plain.expected()) - set(lasting)
    np.testing.assert_array_equal(table.read(12)["obs"], plain.expected()["obs"][3:])
    others = [Replay(**made) for _ in range(2)]
    for other in others:
        other.load_state_dict(state)
    replay.set_priorities(np.arange(15), np.full(15, 3.0))
    others[0].set_priorities(np.arange(15), np.full(15, 4.0))
    assert_holds(others[1], plain)
    assert others[1].dropped == 9
    more = random_episode(8, rng)  # forgets again
    others[1].add(more)
    plain.add(more)
    plain.episodes.pop(0)
    assert_holds(others[1], plain)


def test_an_empty_replay_has_an_empty_state():
    replay = Replay(priority_alpha=0.6)
    state = replay.state_dict()
    assert (state["rows"].first, state["rows"].end, state["rows"].read(0), state["changing"]) == (0, 0, {}, {})
    replay.load_state_dict(state)
    assert len(replay) == 0


def test_searches_are_written_only_into_a_replay_made_for_it():
    rng = np.random.default_rng(0)
    episode, fresh = random_episode(4, rng), random_episode(2, rng)
    search = {name: getattr(fresh, name) for name in SEARCH_FIELDS}
    for changing in (True, False):
        replay = Replay(priority_alpha=0.6, searches_change=changing)
        replay.add(episode)
        if not changing:
            with pytest.raises(AssertionError, match="must be made with searches_change"):
                replay.write_search(np.array([3, 1]), search)
            continue
        replay.write_search(np.array([3, 1]), search)
        for name in FIELDS:
            expected = getattr(episode, name).copy()
            if name in SEARCH_FIELDS:
                expected[[3, 1]] = search[name]
            np.testing.assert_array_equal(getattr(replay, name), expected, err_msg=name)
