"""Typed configs: what is accepted, what is refused and how the message reads."""

import pytest

from mazero.config import PRESETS, MAZeroConfig
from training.config import apply_overrides, from_dict, load_preset, to_dict
from training.errors import UserError


@pytest.mark.parametrize("name", ["paper", "released", "laptop", "matrix", "lander"])
def test_presets_load_and_survive_the_way_through_json(name):
    config = load_preset(PRESETS, name, MAZeroConfig)
    assert from_dict(MAZeroConfig, to_dict(config)) == config


def test_paper_and_released_presets_hold_the_published_numbers():
    paper, released = (load_preset(PRESETS, name, MAZeroConfig) for name in ("paper", "released"))
    assert (paper.search.rho, paper.optimiser.learning_rate, paper.loss.awpo_alpha) == (0.75, 1e-4, 3.0)
    assert (released.search.rho, released.optimiser.learning_rate, released.loss.awpo_alpha) == (0.25, 5e-4, 2.0)
    assert (paper.network.stacked_observations, released.network.stacked_observations) == (4, 1)
    for config in (paper, released):
        assert (config.search.num_simulations, config.search.num_sampled_actions, config.search.lam) == (100, 10, 0.8)
        assert (config.optimiser.batch_size, config.targets.reanalyze_ratio, config.network.hidden_size) == (
            256,
            1.0,
            128,
        )


def test_overrides_replace_values_and_keep_types():
    config = apply_overrides(
        MAZeroConfig(),
        ["search.num_simulations=7", "optimiser.learning_rate=3e-4", "network.mlp_sizes=[8, 8]", "loss.awpo=false"],
    )
    assert config.search.num_simulations == 7
    assert config.optimiser.learning_rate == 3e-4
    assert config.network.mlp_sizes == (8, 8)
    assert config.loss.awpo is False
    assert apply_overrides(config, ["replay.capacity=5000"]).replay.capacity == 5000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.num_simulation=7", "did you mean 'num_simulations'"),
        ("serach.rho=0.5", "did you mean 'search'"),
        ("search.rho=1.0", r"rho must lie in \[0, 1\)"),
        ("search.rho=-0.1", r"rho must lie in \[0, 1\)"),
        ("search.num_sampled_actions=0", "num_sampled_actions must be"),
        ("search.num_simulations=many", "must be of type int"),
        ("loss.awpo=1", "must be of type bool"),
        ("search.num_simulations=2.5", "must be of type int"),
        ("search", "not of the form"),
        ("search=3", "is a section"),
        ("optimiser.batch_size=0", "batch_size must be at least 1"),
    ],
)
def test_bad_overrides_are_refused_with_the_remedy(override, message):
    with pytest.raises(UserError, match=message):
        apply_overrides(MAZeroConfig(), [override])


def test_unknown_preset_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'laptop'"):
        load_preset(PRESETS, "labtop", MAZeroConfig)
