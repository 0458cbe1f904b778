"""The observation contract by hand: the worked 3m example, masks at their borders, rewards, and SMAC's traps."""

import math

import numpy as np
import pytest

from skirmish.contract import smac as contract
from skirmish.contract.layout import (
    GEN_HEALERS,
    P_ALLY_BIT,
    P_ENEMY_BIT,
    P_HEALER,
    P_SHIELD_MAX,
    P_SHOOT,
    P_SIGHT,
    Grids,
)
from skirmish.contract.options import SkirmishOptions, build_kinds, build_layout, build_profile
from skirmish.data.maps import load_map
from skirmish.physics.tables import COOLDOWN, ENERGY, HEALTH, NUM_FLOATS, SHIELD, X, Y

OPEN = Grids(np.ones((32, 32), np.bool_), np.ones((32, 32)))
TERMS = contract.RewardTerms(
    sparse=False, only_positive=True, death_value=10.0, win=200.0, defeat=0.0, negative_scale=0.5, divisor=18.25
)
MARINE = np.array([[45.0, 0.0, 15.0, 0.0, 0.0, 9.0, 6.0, 0.0]])
NEVER, ZERO = -1, np.zeros(1, np.int64)


class Frame:
    """One battle at one moment, on a map's own layout and unit types or on given ones."""

    def __init__(self, rows, *, name="3m", mazero=False, layout=None, profile=None, kinds=None, grids=OPEN, **options):
        """rows: one [x, y, health] per unit, agents first."""
        spec = load_map(name)
        self.layout = layout or build_layout(spec, SkirmishOptions(**options), mazero=mazero)
        self.profile = build_profile(spec) if profile is None else profile
        self.grids = grids
        self.units = np.zeros((1, NUM_FLOATS, len(rows)))
        self.units[0, [X, Y, HEALTH]] = np.array(rows, float).T
        self.kinds = np.zeros((1, len(rows)), np.int64)
        self.kinds[0] = build_kinds(spec) if kinds is None and profile is None else (kinds or 0)
        self.last = np.full((1, self.layout.n), NEVER)
        self.t = ZERO

    @property
    def available(self):
        return contract.available_actions(self.units, self.kinds, self.profile, self.layout, self.grids)

    @property
    def obs(self):
        arguments = dict(available=self.available, last_action=self.last, t=self.t)
        return contract.observations(self.units, self.kinds, self.profile, self.layout, self.grids, **arguments)[0]

    @property
    def state(self):
        arguments = dict(last_action=self.last, t=self.t, obs=self.obs[None])
        return contract.states(self.units, self.kinds, self.profile, self.layout, **arguments)[0]

    @property
    def total(self):
        return self.units[:, HEALTH] + self.units[:, SHIELD]

    def settle(self, previous, flagged=None, terms=TERMS):
        """Reward and result; previous: (1, U) health plus shield before the step."""
        reward, result = np.zeros(1), np.zeros(1, np.int64)
        flagged = np.zeros(previous.shape, np.bool_) if flagged is None else flagged
        slots = np.ones(1, np.bool_)
        contract.settle(
            self.units, self.kinds, self.profile, self.layout, terms, slots, previous, flagged, reward, result
        )
        return reward[0], result[0]


def marines(n, m, rows, **changes):
    """A frame of n against m marines; changes: fields of the layout."""
    layout = build_layout(load_map("3m"), SkirmishOptions())._replace(n=n, m=m, n_actions=6 + m, **changes)
    return Frame(rows, layout=layout, profile=MARINE)


def worked_example(**options):
    """The frame of the worked example, allies given in the game's order and sorted here."""
    game_order = [(9.5, 15.0, 36.0), (8.75, 16.5, 45.0), (9.5, 14.25, 45.0)]  # tags 3, 1, 2
    x, y = np.array([a[0] for a in game_order]), np.array([a[1] for a in game_order])
    order = contract.agent_order(np.zeros(3), x, y)
    assert order.tolist() == [1, 2, 0]  # tags 1, 2, 3
    enemies = [(17.25, 15.5, 45.0), (14.0, 18.0, 20.0), (18.5, 15.0, 45.0)]
    frame = Frame([*(game_order[k] for k in order), *enemies], **options)
    frame.units[0, COOLDOWN, 2] = 6.0
    return frame


def test_worked_example_after_reset():
    frame = worked_example()
    assert frame.available.astype(int).tolist() == [[[0, 1, 1, 1, 1, 1, 0, 1, 0]] * 3]
    assert frame.obs.dtype == np.float32
    expected = [1, 1, 1, 1]
    expected += [0, 0.87224, 0.861111, 0.138889, 1, 1, 0.650854, 0.5, 0.416667, 0.444444, 0, 0, 0, 0, 0]
    expected += [1, 0.263523, -0.083333, 0.25, 1, 1, 0.083333, 0, 0.083333, 0.8, 1]
    np.testing.assert_allclose(frame.obs[1], expected, atol=1e-6)
    expected = [1, 0, -0.226562, 0.015625, 1, 0, -0.203125, -0.054688, 0.8, 0.4, -0.203125, -0.03125]
    expected += [1, 0.039062, -0.015625, 0.444444, -0.0625, 0.0625, 1, 0.078125, -0.03125] + [0] * 27
    np.testing.assert_allclose(frame.state, expected, atol=1e-6)
    assert contract.max_reward(frame.profile, frame.kinds[0, 3:], 10.0, 200.0) == 365


def test_worked_example_steps():
    frame, flagged = worked_example(), np.zeros((1, 6), np.bool_)
    previous = frame.total
    frame.units[0, HEALTH, 4], frame.units[0, X, 1], frame.units[0, HEALTH, 1] = 14.0, 10.5, 30.0
    frame.last = np.array([[7, 4, 1]])
    assert frame.settle(previous, flagged) == (pytest.approx(6 / 18.25), contract.UNDECIDED)
    np.testing.assert_allclose(frame.obs[1, 14:19], [0, 0.892787, 0.888889, 0.083333, 1], atol=1e-6)
    assert np.flatnonzero(frame.state[-27:]).tolist() == [7, 9 + 4, 18 + 1]

    previous = frame.total
    frame.units[0, HEALTH, [4, 1]] = 0.0
    frame.last = np.array([[7, 1, 7]])
    assert frame.settle(previous, flagged) == (pytest.approx(24 / 18.25), contract.UNDECIDED)
    assert np.flatnonzero(frame.available[0, 1]).tolist() == [0]
    assert not frame.obs[1].any()
    assert not frame.state[4:8].any()
    assert frame.state[21 + 9 + 1] == 1

    previous = frame.total
    frame.units[0, HEALTH, [3, 5]] = 0.0
    assert frame.settle(previous, flagged) == (pytest.approx(310 / 18.25), contract.WIN)


def test_mazero_family_by_hand():
    frame = worked_example(mazero=True)
    frame.last = np.array([[7, 4, 1]])
    frame.units[0, HEALTH, 0] = 0.0
    assert frame.obs.shape == (3, 64)
    assert np.flatnonzero(frame.obs[0]).tolist() == [61]  # dead: only its id
    row = frame.obs[1]
    assert not row[:14].any()  # the dead team mate is not seen
    np.testing.assert_allclose(row[14:19], [1, 0.083333, 0, 0.083333, 0.8], atol=1e-6)
    assert np.flatnonzero(row[19:28]).tolist() == [1]  # its last action
    np.testing.assert_allclose(row[33:38], [1, 0.650854, 0.5, 0.416667, 0.444444], atol=1e-6)  # second enemy
    assert row[43:47].tolist() == [1, 1, 1, 1]
    assert row[47:52].tolist() == [1, 0, 0, 0, 1]
    assert np.flatnonzero(row[52:61]).tolist() == [4]
    assert row[61:].tolist() == [0, 1, 0]


def test_time_step_entries():
    """The smac family's own block grows by a zero that SMAC's declared size does not count; the dead see the time."""
    frame = worked_example(obs_timestep_number=True, state_timestep_number=True)
    frame.t = np.array([15])
    frame.units[0, HEALTH, 2] = 0.0
    assert frame.obs.shape == (3, 30 + 2)
    assert frame.obs[0, -3:].tolist() == [1, 0, 0.25]  # own health, the odd zero, the time
    assert np.flatnonzero(frame.obs[2]).tolist() == [31]
    assert frame.state[-1] == 0.25
    assert len(frame.state) == 48 + 1
    assert len(worked_example(state_last_action=False).state) == 21
    fork = worked_example(obs_timestep_number=True, mazero=True)
    fork.t = np.array([15])
    assert fork.obs.shape == (3, 64 + 1)
    assert fork.obs[0, -4:].tolist() == [1, 0, 0, 0.25]  # id, time


def test_health_of_others_and_own_health_are_separate_options():
    frame = worked_example(obs_all_health=False)
    row = frame.obs[1]
    assert len(row) == 4 + 3 * 4 + 2 * 4 + 1
    np.testing.assert_allclose(row[8:12], [1, 0.650854, 0.5, 0.416667], atol=1e-6)  # second enemy
    assert row[-1] == 1
    assert worked_example(obs_all_health=False, obs_own_health=False).obs.shape == (3, 24)
    assert worked_example(obs_all_health=True, obs_own_health=False).obs.shape == (3, 30)  # as in SMAC
    fork = worked_example(obs_all_health=False, obs_own_health=False, mazero=True).obs
    assert fork.shape == (3, 64 - 2 - 3 - 1)


def test_observations_instead_of_the_state():
    frame = worked_example(obs_instead_of_state=True, state_timestep_number=True)
    assert frame.state.tolist() == frame.obs.ravel().tolist()
    with pytest.raises(ValueError, match="pass obs"):
        contract.states(frame.units, frame.kinds, frame.profile, frame.layout, last_action=frame.last, t=frame.t)
    obs, out = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4), np.full((2, 12), -1, np.float32)
    contract.fill_state_from_obs(obs, np.array([False, True]), out)
    assert out.tolist() == [[-1] * 12, list(range(12, 24))]


def test_masks_at_their_borders():
    frame = marines(1, 3, [(10, 10, 45), (16, 10, 45), (16.001, 10, 45), (10, 19, 45)])
    assert frame.available[0, 0, 6:].tolist() == [True, False, False]  # 6 itself may be shot at
    assert frame.obs[0, 4:19].reshape(3, 5)[:, 4].tolist() == [1, 1, 0]  # 9 itself is out of sight


def test_ranges_are_those_of_the_observing_agent():
    """Two types that see 10 and 6 and shoot 7 and 2, as SMACv2's; the own sight normalises what an agent sees."""
    profile = np.repeat(MARINE, 2, 0)
    profile[:, P_SIGHT], profile[:, P_SHOOT] = [10, 6], [7, 2]
    layout = build_layout(load_map("3m"), SkirmishOptions())._replace(n=2, m=1, n_actions=7)
    frame = Frame([(10, 10, 45), (12, 10, 45), (17, 10, 45)], layout=layout, profile=profile, kinds=[0, 1, 0])
    assert frame.available[0, :, 6].tolist() == [True, False]
    near, far = frame.obs
    np.testing.assert_allclose(near[4:14], [1, 0.7, 0.7, 0, 1, 1, 0.2, 0.2, 0, 1], atol=1e-6)
    np.testing.assert_allclose(far[4:14], [0, 5 / 6, 5 / 6, 0, 1, 1, 1 / 3, -1 / 3, 0, 1], atol=1e-6)


def test_move_masks_test_one_truncated_cell():
    walkable = np.ones((32, 32), np.bool_)
    walkable[:, 24:] = False
    walkable[:, :8] = False

    def moves(x, y, **changes):
        frame = marines(1, 1, [(x, y, 45), (30, 20, 45)], **changes)
        frame.grids = Grids(walkable, OPEN.height)
        return frame.available[0, 0, 2:6].tolist()

    assert moves(10.0, 16.0) == [True, True, True, True]
    assert moves(10.0, 23.0) == [False, True, True, True]
    assert moves(10.0, 22.99) == [True, True, True, True]
    assert moves(10.0, 22.99, move_amount=4.0) == [False, True, True, True]
    assert moves(10.0, 8.9) == [True, False, True, True]
    assert moves(31.2, 16.0) == [True, True, False, True]
    assert moves(0.4, 16.0) == [True, True, True, True]  # -0.6 truncates to cell 0
    assert moves(-0.5, 16.0) == [True, True, True, False]


def test_surrounding_points():
    """Order of the points, truncation, and ones beyond the map."""
    walkable, height = np.zeros((32, 32), np.bool_), np.zeros((32, 32))
    walkable[10, 14] = walkable[14, 10] = walkable[8, 8] = walkable[8, 12] = True  # N 2a, E 2a, SW, NW of (10, 10)
    height[10, 6], height[12, 8], height[10, 10] = 0.25, 0.5, 0.75  # S 2a, SE, itself
    rows = [(10.9, 10.2, 45), (0.5, 31.5, 45), (9, 9, 0), (30, 20, 45), (30, 20, 45), (30, 20, 45)]
    frame = Frame(rows, grids=Grids(walkable, height), obs_pathing_grid=True, obs_terrain_height=True)
    assert frame.obs.shape == (3, 30 + 17)
    assert frame.obs[0, 4:12].tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    assert frame.obs[0, 12:21].tolist() == [0, 0.25, 0, 0, 0, 0, 0.5, 0, 0.75]
    # From (0, 31), steps north and west leave the map; (0, 27), (4, 31) and (2, 29) do not.
    assert frame.obs[1, 4:12].tolist() == [1, 0, 0, 1, 1, 1, 0, 1]
    assert frame.obs[1, 12:21].tolist() == [1, 0, 0, 1, 1, 1, 0, 1, 0]
    assert not frame.obs[2].any()
    only = Frame(rows, grids=Grids(walkable, height), obs_terrain_height=True)
    assert only.obs[0, 4:13].tolist() == [0, 0.25, 0, 0, 0, 0, 0.5, 0, 0.75]
    fork = Frame(rows, grids=Grids(walkable, height), obs_pathing_grid=True, mazero=True)
    assert fork.obs[0, 28 + 15 + 4 : 28 + 15 + 12].tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    twice = Frame(rows, grids=Grids(walkable, height), obs_pathing_grid=True, move_amount=4)
    assert twice.obs[0, 4:12].tolist() == [0, 0, 0, 0, 0, 0, 0, 0]


def row_of(frame, agent, block, index, size):
    """Features of one row of an agent's observation in the smac family."""
    sizes = frame.layout.obs_blocks
    start = 4 + (0 if block == "enemy" else math.prod(sizes["enemy"])) + index * sizes[block][1]
    return frame.obs[agent, start : start + size]


def test_one_hots_swap_their_order_between_the_sides():
    """2s3z: agents are stalkers first, enemies zealots first."""
    frame = Frame([(10 + u, 10, 40) for u in range(5)] + [(12 + u / 4, 12, 40) for u in range(5)], name="2s3z")
    frame.units[0, SHIELD] = [80, 40, 50, 25, 0] * 2
    assert frame.obs[0, -4:].tolist() == [0.5, 1, 1, 0]  # a stalker itself: 40 of 80, all its shield
    np.testing.assert_allclose(row_of(frame, 0, "ally", 0, 8)[4:], [0.5, 0.5, 1, 0])
    np.testing.assert_allclose(row_of(frame, 0, "ally", 1, 8)[4:], [0.4, 1, 0, 1])  # a zealot: 40 of 100, 50 of 50
    np.testing.assert_allclose(row_of(frame, 0, "enemy", 0, 8)[4:], [0.5, 1, 0, 1])  # enemies: stalkers come first
    np.testing.assert_allclose(row_of(frame, 0, "enemy", 3, 8)[4:], [0.4, 0.5, 1, 0])
    rows = frame.state[: 5 * 7].reshape(5, 7)
    assert rows[:, 5:].tolist() == [[1, 0]] * 2 + [[0, 1]] * 3
    rows = frame.state[35 : 35 + 5 * 6].reshape(5, 6)
    assert rows[:, 4:].tolist() == [[0, 1]] * 2 + [[1, 0]] * 3


@pytest.mark.parametrize(
    ("name", "agents", "enemies"),
    [
        ("3s5z", "ssszzzzz", "ssszzzzz"),
        ("1c3s5z", "csssz zzzz", "csssz zzzz"),
        ("bane_vs_bane", "bbbb" + 20 * "g", 20 * "g" + "bbbb"),
        ("MMM", "rrmmmmmmmv", "mmmmmmmrrv"),
        ("MMM2", "rrmmmmmmmv", "mmmmmmmmrrrv"),
    ],
)
def test_one_hot_indices(name, agents, enemies):
    ally = {"s": 0, "z": 1} if name == "3s5z" else {"c": 0, "s": 1, "z": 2, "b": 0, "g": 1, "r": 0, "m": 1, "v": 2}
    enemy = {"s": 1, "z": 0} if name == "3s5z" else ally
    profile, kinds = build_profile(load_map(name)), build_kinds(load_map(name))
    agents, enemies = agents.replace(" ", ""), enemies.replace(" ", "")
    n = len(agents)
    assert profile[kinds[:n], P_ALLY_BIT].tolist() == [ally[c] for c in agents]
    assert profile[kinds[n:], P_ENEMY_BIT].tolist() == [enemy[c] for c in enemies]


def test_shields_only_of_protoss_sides():
    """2m_vs_1z: the marines have none to show, the zealot has; 50 is its maximum."""
    frame = Frame([(10, 10, 45), (11, 10, 45), (13, 10, 80)], name="2m_vs_1z")
    frame.units[0, SHIELD] = [0, 0, 20]
    np.testing.assert_allclose(frame.obs[0], [1, 1, 1, 1, 1, 1 / 3, 1 / 3, 0, 0.8, 0.4, 1, 1 / 9, 1 / 9, 0, 1, 1])
    assert frame.profile[1, P_SHIELD_MAX] == 50


def mmm(name="MMM", **options):
    """Units of MMM or MMM2 at full health in a column, one apart; the agents are 2 marauders, 7 marines, a medivac."""
    spec = load_map(name)
    rows = [(10, 2 + u, t.health_max) for u, t in enumerate(spec.unit_types[:10])]
    rows += [(10, 30, t.health_max) for t in spec.unit_types[10:]]
    return Frame(rows, name=name, **options)


def test_medivacs_aim_at_living_team_mates_in_range():
    frame = mmm("MMM2")
    frame.units[0, HEALTH, 7] = 0.0
    targets = frame.available[0, 9, 6:]  # the medivac at y = 11 reaches down to y = 5, that is agent 3
    assert np.flatnonzero(targets).tolist() == [3, 4, 5, 6, 8]  # not the dead, not itself, nothing beyond
    frame.units[0, Y, 10:] = 11.0
    assert np.flatnonzero(frame.available[0, 9, 6:]).tolist() == [3, 4, 5, 6, 8]  # enemies change nothing
    assert frame.available[0, 8, 6:].all()  # a marine shoots at all twelve
    assert frame.available[0, 0, 6:].sum() == 0


def test_a_medivac_sees_in_enemy_rows_whom_it_can_heal():
    frame = mmm()
    frame.units[0, X, 10:], frame.units[0, Y, 10:] = 14.0, 11.0
    rows = frame.obs[9, 4:84].reshape(10, 8)
    assert rows[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0]  # agents 3 to 8
    assert (rows[:, 4] == 1).all()  # all enemies are in sight
    assert rows[9, 5:].tolist() == [0, 0, 1]


def test_a_medivac_shows_its_energy_in_the_state():
    frame = mmm()
    frame.units[0, ENERGY], frame.units[0, COOLDOWN] = 50.0, 5.0
    rows = frame.state[: 10 * 7].reshape(10, 7)
    np.testing.assert_allclose(rows[:, 1], [5 / 25] * 2 + [5 / 15] * 7 + [50 / 200])


def alive(frame, agents, enemies):
    """Only these agents and enemies live."""
    keep = np.isin(np.arange(frame.units.shape[2]), [*agents, *(10 + e for e in enemies)])
    frame.units[0, HEALTH, ~keep] = 0.0
    return frame


@pytest.mark.parametrize(
    ("agents", "enemies", "smac", "gen"),
    [
        ([2, 9], [0, 11], "UNDECIDED", "UNDECIDED"),
        ([9], [0], "LOSS", "LOSS"),  # only medivacs are left
        ([9], [], "LOSS", "LOSS"),
        ([], [], "LOSS", "LOSS"),  # a mutual wipe-out
        ([9], [11], "LOSS", "LOSS"),  # only medivacs on both sides
        ([2], [11], "WIN", "WIN"),  # a single enemy medivac
        ([2], [], "WIN", "WIN"),
        ([2], [10, 11], "UNDECIDED", "WIN"),  # both made medivacs below: SMAC wants exactly one
    ],
)
def test_results_under_medivac_rules(agents, enemies, smac, gen):
    frame = alive(mmm("MMM2"), agents, enemies)
    if enemies == [10, 11]:
        frame.kinds[0, 20] = frame.kinds[0, 21]
    assert frame.profile[frame.kinds[0, 21], P_HEALER] == 1
    assert frame.settle(frame.total)[1] == getattr(contract, smac)
    frame.layout = frame.layout._replace(medivac_rules=GEN_HEALERS)
    assert frame.settle(frame.total)[1] == getattr(contract, gen)


def terms(sparse=False, only_positive=True, scale=1.0):
    return TERMS._replace(sparse=sparse, only_positive=only_positive, divisor=scale)


@pytest.mark.parametrize(
    ("terms", "health", "reward", "result"),
    [
        (terms(), [45, 45, 39, 20], 6.0, contract.UNDECIDED),
        (terms(), [45, 0, 45, 0], 10.0 + 20.0, contract.UNDECIDED),
        (terms(only_positive=False), [45, 0, 45, 0], 30.0 - 0.5 * 45 - 5.0, contract.UNDECIDED),
        (terms(only_positive=False), [41, 45, 45, 20], -0.5 * 4, contract.UNDECIDED),
        (terms(), [0, 0, 45, 20], 0.0, contract.LOSS),
        (terms()._replace(defeat=-7.0), [0, 0, 45, 20], -7.0, contract.LOSS),
        (terms(sparse=True), [0, 0, 45, 20], -1.0, contract.LOSS),
        (terms(sparse=True), [45, 45, 45, 0], 0.0, contract.UNDECIDED),
        (terms(sparse=True, scale=4.0), [1, 0, 0, 0], 0.25, contract.WIN),  # the scale divides sparse rewards, too
        (terms(), [0, 0, 0, 0], 20.0 + 45 + 20, contract.DRAW),
        (terms(), [45, 45, 45, 26], 6.0, contract.UNDECIDED),  # regeneration pays: the absolute value
        (terms(only_positive=False), [45, 45, 45, 26], -6.0, contract.UNDECIDED),
    ],
)
def test_rewards(terms, health, reward, result):
    frame = marines(2, 2, [(10, 10, h) for h in health])
    assert frame.settle(np.array([[45.0, 45.0, 45.0, 20.0]]), terms=terms) == (pytest.approx(reward), result)


def test_a_corpse_is_paid_once_with_what_it_had_left():
    frame, flagged = marines(1, 2, [(10, 10, 45), (12, 10, 0), (12, 11, 45)]), np.zeros((1, 3), np.bool_)
    frame.units[0, SHIELD, 1] = 5.0  # a corpse keeps its last shield
    previous = np.array([[45.0, 3.0 + 5.0, 45.0]])
    assert frame.settle(previous, flagged, terms())[0] == 10 + 8
    assert flagged.tolist() == [[False, True, False]]
    assert frame.settle(frame.total, flagged, terms())[0] == 0


def test_sparse_rewards_leave_the_death_flags_alone():
    frame, flagged = marines(1, 2, [(10, 10, 45), (12, 10, 0), (12, 11, 45)]), np.zeros((1, 3), np.bool_)
    frame.settle(np.array([[45.0, 8.0, 45.0]]), flagged, terms(sparse=True))
    assert not flagged.any()


def test_other_slots_are_left_alone():
    frame = marines(1, 1, [(10, 10, 45), (12, 10, 0)])
    sizes, none = frame.layout, np.zeros(1, np.bool_)
    common = (frame.units, frame.kinds, frame.profile, sizes)
    available = np.ones((1, 1, 7), np.bool_)
    contract.fill_available(*common, frame.grids, none, available)
    obs, state = np.full((1, 1, sizes.obs_size), 9, np.float32), np.full((1, sizes.state_size), 9, np.float32)
    contract.fill_obs(*common, frame.grids, available, frame.last, frame.t, none, obs)
    contract.fill_state(*common, frame.last, frame.t, none, state)
    reward, result, flagged = np.ones(1), np.array([contract.DRAW]), np.zeros((1, 2), np.bool_)
    contract.settle(*common, TERMS, none, frame.total, flagged, reward, result)
    assert available.all()
    assert (obs == 9).all()
    assert (state == 9).all()
    assert (reward[0], result[0], flagged.any()) == (0, contract.DRAW, False)


def test_distance_agrees_with_hypot():
    rng = np.random.default_rng(0)
    for x, y in rng.uniform(0, 12, (300, 2)):
        frame = marines(1, 1, [(3, 4, 45), (x, y, 45)])
        assert frame.available[0, 0, 6] == (math.hypot(x - 3, y - 4) <= 6)
