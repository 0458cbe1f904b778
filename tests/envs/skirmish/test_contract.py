"""The observation contract alone: the worked 3m example, sizes, masks, rewards."""

import math

import numpy as np
import pytest

import envs
from envs.skirmish import contract, kernels
from envs.skirmish.contract import COOLDOWN, HEALTH, HEALTH_MAX, SHIELD, SHIELD_MAX, X, Y

OPEN = np.ones((32, 32), np.bool_)
TERMS = contract.RewardTerms(
    sparse=False, only_positive=True, death_value=10.0, win=200.0, defeat=0.0, negative_scale=0.5, divisor=18.25
)


def layout(n=3, m=3, **changes):
    values = dict(
        n=n,
        m=m,
        bits=0,
        ally_shields=0,
        enemy_shields=0,
        episode_limit=60,
        map_x=32,
        map_y=32,
        move_amount=2.0,
        mazero=False,
        obs_last_action=False,
        obs_timestep=False,
        state_last_action=True,
        state_timestep=False,
    )
    return contract.Layout(**(values | changes))


def profile(units=6):
    rows = np.zeros((4, units))
    rows[HEALTH_MAX], rows[contract.COOLDOWN_MAX] = 45.0, 15.0
    return rows


def battle(allies, enemies):
    """(1, 5, U) units from (x, y, health, cooldown) rows."""
    units = np.zeros((1, 5, len(allies) + len(enemies)))
    for u, (x, y, health, cooldown) in enumerate([*allies, *enemies]):
        units[0, X, u], units[0, Y, u], units[0, HEALTH, u], units[0, COOLDOWN, u] = x, y, health, cooldown
    return units


@pytest.fixture
def worked():
    """The frame of the worked example, allies given in the game's order and sorted here."""
    game_order = [(9.5, 15.0, 36.0, 6.0), (8.75, 16.5, 45.0, 0.0), (9.5, 14.25, 45.0, 0.0)]  # tags 3, 1, 2
    x, y = np.array([a[0] for a in game_order]), np.array([a[1] for a in game_order])
    order = contract.agent_order(np.zeros(3), x, y)
    assert order.tolist() == [1, 2, 0]  # tags 1, 2, 3
    enemies = [(17.25, 15.5, 45.0, 0.0), (14.0, 18.0, 20.0, 0.0), (18.5, 15.0, 45.0, 0.0)]
    return battle([game_order[k] for k in order], enemies)


def settle(units, previous, flagged):
    reward, result = np.zeros(1), np.zeros(1, np.int64)
    contract.settle(units, TERMS, 3, np.ones(1, np.bool_), previous, flagged, reward, result)
    return reward[0], result[0]


def total(units):
    return units[:, HEALTH] + units[:, SHIELD]


def test_worked_example_after_reset(worked):
    sizes = layout()
    available = contract.available_actions(worked, sizes, OPEN)
    assert available.astype(int).tolist() == [[[0, 1, 1, 1, 1, 1, 0, 1, 0]] * 3]
    last, t = np.full((1, 3), -1), np.zeros(1, np.int64)
    obs = contract.observations(worked, profile(), sizes, available=available, last_action=last, t=t)
    assert obs.dtype == np.float32
    expected = [1, 1, 1, 1]
    expected += [0, 0.87224, 0.861111, 0.138889, 1, 1, 0.650854, 0.5, 0.416667, 0.444444, 0, 0, 0, 0, 0]
    expected += [1, 0.263523, -0.083333, 0.25, 1, 1, 0.083333, 0, 0.083333, 0.8, 1]
    np.testing.assert_allclose(obs[0, 1], expected, atol=1e-6)
    state = contract.states(worked, profile(), sizes, last_action=last, t=t)
    expected = [1, 0, -0.226562, 0.015625, 1, 0, -0.203125, -0.054688, 0.8, 0.4, -0.203125, -0.03125]
    expected += [1, 0.039062, -0.015625, 0.444444, -0.0625, 0.0625, 1, 0.078125, -0.03125] + [0] * 27
    np.testing.assert_allclose(state[0], expected, atol=1e-6)
    assert contract.max_reward(profile(), sizes, 10.0, 200.0) == 365


def test_worked_example_steps(worked):
    sizes, flagged, t = layout(), np.zeros((1, 6), np.bool_), np.ones(1, np.int64)
    previous = total(worked)
    worked[0, HEALTH, 4], worked[0, X, 1], worked[0, HEALTH, 1] = 14.0, 10.5, 30.0
    assert settle(worked, previous, flagged) == (pytest.approx(6 / 18.25), contract.UNDECIDED)
    available = contract.available_actions(worked, sizes, OPEN)
    last = np.array([[7, 4, 1]])
    obs = contract.observations(worked, profile(), sizes, available=available, last_action=last, t=t)
    np.testing.assert_allclose(obs[0, 1, 14:19], [0, 0.892787, 0.888889, 0.083333, 1], atol=1e-6)
    state = contract.states(worked, profile(), sizes, last_action=last, t=t)
    assert np.flatnonzero(state[0, -27:]).tolist() == [7, 9 + 4, 18 + 1]

    previous = total(worked)
    worked[0, HEALTH, [4, 1]] = 0.0
    assert settle(worked, previous, flagged) == (pytest.approx(24 / 18.25), contract.UNDECIDED)
    available = contract.available_actions(worked, sizes, OPEN)
    assert np.flatnonzero(available[0, 1]).tolist() == [0]
    last = np.array([[7, 1, 7]])
    obs = contract.observations(worked, profile(), sizes, available=available, last_action=last, t=t)
    assert not obs[0, 1].any()
    state = contract.states(worked, profile(), sizes, last_action=last, t=t)
    assert not state[0, 4:8].any()
    assert state[0, 21 + 9 + 1] == 1

    previous = total(worked)
    worked[0, HEALTH, [3, 5]] = 0.0
    assert settle(worked, previous, flagged) == (pytest.approx(310 / 18.25), contract.WIN)


def test_mazero_family_by_hand(worked):
    sizes = layout(mazero=True, obs_last_action=True)
    available = contract.available_actions(worked, sizes, OPEN)
    last = np.array([[7, 4, 1]])
    worked[0, HEALTH, 0] = 0.0
    obs = contract.observations(
        worked, profile(), sizes, available=available, last_action=last, t=np.zeros(1, np.int64)
    )
    assert obs.shape == (1, 3, 64)
    assert np.flatnonzero(obs[0, 0]).tolist() == [61]  # dead: only its id
    row = obs[0, 1]
    assert not row[:14].any()  # the dead team mate is not seen
    np.testing.assert_allclose(row[14:19], [1, 0.083333, 0, 0.083333, 0.8], atol=1e-6)
    assert np.flatnonzero(row[19:28]).tolist() == [1]  # its last action
    np.testing.assert_allclose(row[33:38], [1, 0.650854, 0.5, 0.416667, 0.444444], atol=1e-6)  # second enemy
    assert row[43:47].tolist() == [1, 1, 1, 1]
    assert row[47:52].tolist() == [1, 0, 0, 0, 1]
    assert np.flatnonzero(row[52:61]).tolist() == [4]
    assert row[61:].tolist() == [0, 1, 0]


SIZES = {  # map: agents, enemies, limit, obs, state, actions, mazero obs
    "3m": (3, 3, 60, 30, 48, 9, 64),
    "8m": (8, 8, 120, 80, 168, 14, 204),
    "25m": (25, 25, 150, 250, 950, 31, 1054),
    "5m_vs_6m": (5, 6, 70, 55, 98, 12, 124),
    "8m_vs_9m": (8, 9, 120, 85, 179, 15, 217),
    "10m_vs_11m": (10, 11, 150, 105, 243, 17, 289),
    "27m_vs_30m": (27, 30, 180, 285, 1170, 36, 1288),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_both_families(name):
    n, m, limit, obs, state, actions, mazero = SIZES[name]
    info = envs.make(name).info
    assert (info.n_agents, info.n_enemies, info.episode_limit) == (n, m, limit)
    assert (info.obs_size, info.state_size, info.n_actions) == (obs, state, actions)
    info = envs.make(name, observation="mazero").info
    assert (info.obs_size, info.state_size) == (mazero, state)


def test_optional_entries():
    assert layout(obs_last_action=True).obs_size == 30 + 2 * 9
    assert layout(obs_timestep=True).obs_size == 30 + 2  # one more than SMAC declares
    assert layout(obs_timestep=True, mazero=True, obs_last_action=True).obs_size == 64 + 1
    assert layout(state_last_action=False, state_timestep=True).state_size == 21 + 1


def test_time_step_entries(worked):
    sizes = layout(obs_timestep=True, state_timestep=True)
    available = contract.available_actions(worked, sizes, OPEN)
    last, t = np.full((1, 3), -1), np.array([15])
    obs = contract.observations(worked, profile(), sizes, available=available, last_action=last, t=t)
    assert obs[0, 0, -3:].tolist() == [1, 0, 0.25]  # own health, the odd zero, the time
    state = contract.states(worked, profile(), sizes, last_action=last, t=t)
    assert state[0, -1] == 0.25


def test_masks_at_their_borders():
    units = battle(
        [(10.0, 10.0, 45.0, 0.0)], [(16.0, 10.0, 45.0, 0.0), (16.001, 10.0, 45.0, 0.0), (10.0, 19.0, 45.0, 0.0)]
    )
    sizes = layout(1, 3)
    available = contract.available_actions(units, sizes, OPEN)
    assert available[0, 0, 6:].tolist() == [True, False, False]  # 6 itself may be shot at
    last, t = np.full((1, 1), -1), np.zeros(1, np.int64)
    obs = contract.observations(units, profile(4), sizes, available=available, last_action=last, t=t)
    assert obs[0, 0, 4:19].reshape(3, 5)[:, 4].tolist() == [1, 1, 0]  # 9 itself is out of sight


def test_move_masks_test_one_truncated_cell():
    walkable = OPEN.copy()
    walkable[:, 24:] = False
    walkable[:, :8] = False
    sizes = layout(1, 1)
    far = (30.0, 20.0, 45.0, 0.0)

    def moves(x, y):
        return contract.available_actions(battle([(x, y, 45.0, 0.0)], [far]), sizes, walkable)[0, 0, 2:6].tolist()

    assert moves(10.0, 16.0) == [True, True, True, True]
    assert moves(10.0, 23.0) == [False, True, True, True]
    assert moves(10.0, 22.99) == [True, True, True, True]
    assert moves(10.0, 8.9) == [True, False, True, True]
    assert moves(31.2, 16.0) == [True, True, False, True]
    assert moves(0.4, 16.0) == [True, True, True, True]  # -0.6 truncates to cell 0


def rows(sparse=False, only_positive=True, scale=1.0):
    return TERMS._replace(sparse=sparse, only_positive=only_positive, divisor=scale)


@pytest.mark.parametrize(
    ("terms", "health", "reward", "result"),
    [
        (rows(), [45, 45, 39, 20], 6.0, contract.UNDECIDED),
        (rows(), [45, 0, 45, 0], 10.0 + 20.0, contract.UNDECIDED),
        (rows(only_positive=False), [45, 0, 45, 0], 30.0 - 0.5 * 45 - 5.0, contract.UNDECIDED),
        (rows(only_positive=False), [41, 45, 45, 20], -0.5 * 4, contract.UNDECIDED),
        (rows(), [0, 0, 45, 20], 0.0, contract.LOSS),
        (rows()._replace(defeat=-7.0), [0, 0, 45, 20], -7.0, contract.LOSS),
        (rows(sparse=True), [0, 0, 45, 20], -1.0, contract.LOSS),
        (rows(sparse=True, scale=4.0), [1, 0, 0, 0], 0.25, contract.WIN),
        (rows(), [0, 0, 0, 0], 20.0 + 45 + 20, contract.DRAW),
        (rows(), [45, 45, 45, 26], 6.0, contract.UNDECIDED),  # regeneration pays: the absolute value
    ],
)
def test_rewards(terms, health, reward, result):
    previous = np.array([[45.0, 45.0, 45.0, 20.0]])
    units = battle([(0, 0, h, 0) for h in health[:2]], [(0, 0, h, 0) for h in health[2:]])
    got, code = np.zeros(1), np.zeros(1, np.int64)
    contract.settle(units, terms, 2, np.ones(1, np.bool_), previous, np.zeros((1, 4), np.bool_), got, code)
    assert got[0] == pytest.approx(reward)
    assert code[0] == result


def test_shields_and_type_bits_find_their_places():
    """Two Protoss allies of two types against two enemies of two types, as on a later map."""
    sizes = layout(2, 2, bits=2, ally_shields=1, enemy_shields=1)
    facts = profile(4)
    facts[SHIELD_MAX], facts[contract.TYPE_BIT] = 80.0, [0, 1, 1, 0]
    units = battle([(10, 10, 45, 3), (11, 10, 45, 0)], [(13, 10, 45, 0), (14, 10, 45, 0)])
    units[0, SHIELD] = [80, 40, 20, 60]
    available = contract.available_actions(units, sizes, OPEN)
    last, t = np.full((1, 2), -1), np.zeros(1, np.int64)
    obs = contract.observations(units, facts, sizes, available=available, last_action=last, t=t)[0, 0]
    assert len(obs) == 4 + 2 * 8 + 8 + 4
    np.testing.assert_allclose(obs[4:12], [1, 3 / 9, 3 / 9, 0, 1, 0.25, 0, 1], atol=1e-6)
    np.testing.assert_allclose(obs[20:28], [1, 1 / 9, 1 / 9, 0, 1, 0.5, 0, 1], atol=1e-6)
    assert obs[28:].tolist() == [1, 1, 1, 0]
    state = contract.states(units, facts, sizes, last_action=last, t=t)[0]
    np.testing.assert_allclose(state[:7], [1, 0.2, -6 / 32, -6 / 32, 1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(state[14:20], [1, -3 / 32, -6 / 32, 0.25, 0, 1], atol=1e-6)


def test_distance_agrees_with_hypot():
    rng = np.random.default_rng(0)
    units = np.zeros((500, 5, 2))
    units[:, :2] = rng.uniform(0, 32, (500, 2, 2))
    units[:, HEALTH] = 45
    available = contract.available_actions(units, layout(1, 1), OPEN)[:, 0, 6]
    expected = [math.hypot(u[0, 1] - u[0, 0], u[1, 1] - u[1, 0]) <= 6 for u in units]
    assert available.tolist() == expected


def test_rows_are_shared_with_the_simulator():
    assert (X, Y, HEALTH, SHIELD, COOLDOWN) == (kernels.X, kernels.Y, kernels.HEALTH, kernels.SHIELD, kernels.COOLDOWN)
