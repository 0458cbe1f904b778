"""What theory says the methods can and cannot represent, on one-step games whose every joint action is in the data."""

from __future__ import annotations

import itertools

import pytest
import torch

import envs
from baselines import registry
from baselines.value_based.config import QmixMixerConfig
from baselines.value_based.losses import td_loss
from baselines.value_based.mixers import JointChoice, Mixer, QMixer, Sum
from envs.interface import EnvInfo
from envs.matrix import MATRIX_GAMES
from training.config import apply_overrides, load_preset

PAYOFF = torch.tensor(MATRIX_GAMES["matrix_1"])  # (8, -12, -12 / -12, 0, 0 / -12, 0, 0)
STATE_SIZE = 2


def qplex_mixer() -> Mixer:
    """As the preset `matrix` has it."""
    algorithm = registry.find("qplex")
    info = EnvInfo("matrix_1", "matrix", "smac", 2, 0, 3, 1, STATE_SIZE, 1, True)
    learner_mixer = algorithm.make_learner.keywords["make_mixer"]
    return learner_mixer(load_preset(algorithm.presets, "matrix", algorithm.config), info)


MIXERS = {"vdn": Sum, "qmix": lambda: QMixer(2, STATE_SIZE, QmixMixerConfig()), "qplex": qplex_mixer}


def fit(make_mixer, *, updates: int, learning_rate: float, seed: int) -> tuple[torch.Tensor, list[int]]:
    """Regress tables Q_i and a mixer on the pay-off, all nine joint actions equally often.

    Returns: Q_tot (3, 3) and the agents' greedy actions.
    """
    torch.manual_seed(seed)
    table, mixer = torch.nn.Parameter(0.1 * torch.randn(2, 3)), make_mixer()
    joint = torch.tensor(list(itertools.product(range(3), repeat=2)))
    every, legal = torch.ones(9, STATE_SIZE), torch.ones(9, 2, 3, dtype=torch.bool)
    optimizer = torch.optim.Adam([table, *mixer.parameters()], lr=learning_rate)
    for _ in range(updates):
        value, _ = mixer.with_penalty(JointChoice(table.expand(9, 2, 3), legal, joint, every))
        optimizer.zero_grad()
        td_loss(value, PAYOFF.float().reshape(9, 1)).backward()
        optimizer.step()
    with torch.no_grad():
        return mixer(JointChoice(table.expand(9, 2, 3), legal, joint, every)).reshape(3, 3), table.argmax(-1).tolist()


def test_vdn_finds_the_best_sum_which_hides_the_optimum():
    """Least squares by hand: row mean + column mean - mean, so -6.2 at the optimum and -3.6 where nothing happens."""
    rows, columns = PAYOFF.float().mean(1, keepdim=True), PAYOFF.float().mean(0, keepdim=True)
    q_tot, greedy = fit(MIXERS["vdn"], updates=800, learning_rate=0.03, seed=0)
    torch.testing.assert_close(q_tot, rows + columns - PAYOFF.float().mean(), atol=0.01, rtol=0)
    assert PAYOFF[tuple(greedy)] == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_qmix_levels_the_first_row_and_column_and_misses_the_optimum(seed):
    """Monotonic: the best fit has the mean of (8, -12, -12, -12, -12) wherever somebody plays 0, and 0 elsewhere."""
    q_tot, greedy = fit(MIXERS["qmix"], updates=1500, learning_rate=0.01, seed=seed)
    expected = torch.zeros(3, 3)
    expected[0, :] = expected[:, 0] = -8.0
    torch.testing.assert_close(q_tot, expected, atol=0.1, rtol=0)
    assert PAYOFF[tuple(greedy)] == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_qplex_fits_the_whole_table(seed):
    q_tot, greedy = fit(MIXERS["qplex"], updates=2000, learning_rate=0.01, seed=seed)
    torch.testing.assert_close(q_tot, PAYOFF.float(), atol=0.1, rtol=0)
    assert greedy == [0, 0]


@pytest.mark.parametrize("algorithm", ["qplex", "qmix", "vdn"])
def test_learners_from_uniform_data_end_where_theory_says(algorithm):
    """The whole learner on ten plays of the same table, epsilon 1 throughout: QPLEX plays for 8, the others for 0.

    Their data are drawn, so the others may see a table whose least squares look different in a step of the ten.
    """
    entry = registry.find(algorithm)
    config = load_preset(entry.presets, "matrix", entry.config)
    small = ["mixer.kernels=4", "mixer.kernel_size=32"] if algorithm == "qplex" else []
    everywhere = ["rollout.epsilon_finish=1.0", "agent.hidden_size=32", "learning.gamma=0"]
    config = apply_overrides(config, [*everywhere, *small])

    def make_env(num_envs: int, observation: str, seed: int) -> envs.VectorEnv:
        return envs.make("matrix_1", num_envs=num_envs, observation=observation, seed=seed)

    learner = entry.make_learner(config, make_env=make_env, seed=0, device="cpu", eval_episodes=1)
    while learner.updates < 500:
        learner.advance()
    reached = learner.evaluate(0)["return_mean"]
    assert reached == 80 if algorithm == "qplex" else reached <= 16
