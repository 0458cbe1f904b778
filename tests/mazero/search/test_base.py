"""Settings, roots and results: what is refused, and in which words."""

import re

import numpy as np
import pytest
import torch

from mazero.search import Root, SearchConfig, SearchResult


def test_message_of_rho_is_one_line_with_value_and_meaning():
    text = "rho must lie in [0, 1), got 1.2: it is the fraction of values thrown away"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        SearchConfig(rho=1.2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_simulations", 0),
        ("num_simulations", 1.5),
        ("num_sampled_actions", 0),
        ("num_sampled_actions", True),
        ("discount", 0.0),
        ("discount", 1.01),
        ("rho", 1.0),
        ("rho", -0.1),
        ("rho", float("nan")),
        ("lam", 0.0),
        ("lam", 1.1),
        ("lam", "0.8"),
        ("os_lambda", 1),
        ("pb_c_init", -1.0),
        ("pb_c_base", 0.0),
        ("dirichlet_alpha", 0.0),
        ("noise_fraction", 1.5),
        ("clean_share", 0.0),
        ("clean_share", 1.5),
        ("min_max_floor", 0.0),
        ("tie_tolerance", float("inf")),
    ],
)
def test_refuses(name, value):
    with pytest.raises(ValueError, match=name):
        SearchConfig(**{name: value})


def test_no_os_lambda_is_rho_0_and_lambda_1():
    off = SearchConfig(rho=0.5, lam=0.3, os_lambda=False)
    assert (off.effective_rho, off.effective_lam) == (0.0, 1.0)
    on = SearchConfig(rho=0.5, lam=0.3)
    assert (on.effective_rho, on.effective_lam) == (0.5, 0.3)


def test_a_share_of_clean_draws_is_the_same_for_every_team():
    config = SearchConfig(clean_share=0.5625)
    assert config.for_team(2) == SearchConfig(noise_fraction=0.25)
    for n in (1, 3, 8):
        assert (1 - config.for_team(n).noise_fraction) ** n == pytest.approx(0.5625)
    assert SearchConfig().for_team(8) == SearchConfig()


def root(**changes) -> Root:
    fields = {"hidden": torch.zeros(2, 3, 4), "value": torch.zeros(2), "policy_logits": torch.zeros(2, 3, 5)}
    return Root(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"hidden": torch.zeros(2, 2, 4)}, "root.hidden must have shape"),
        ({"value": torch.zeros(2, 1)}, "root.value must have shape"),
        ({"policy_logits": torch.zeros(2, 3)}, "root.policy_logits must have shape"),
        ({"available_actions": np.ones((2, 3, 4), bool)}, "root.available_actions must be bool"),
        ({"available_actions": np.ones((2, 3, 5))}, "root.available_actions must be bool"),
        ({"available_actions": np.arange(30).reshape(2, 3, 5) < 25}, "agent 2 of root 1 has no available action"),
    ],
)
def test_root_is_checked(changes, text):
    assert root().check() == (2, 3, 5)
    with pytest.raises(ValueError, match=text):
        root(**changes).check()


def test_marginal_visits():
    #                      a0 a1  visits
    actions = np.array([[[0, 2], [1, 0], [1, 2], [0, 0]]], np.int16)
    visits = np.array([[3, 4, 1, 0]], np.int32)  # the last entry is padding
    zero = np.zeros((1, 4))
    one = np.zeros(1)
    result = SearchResult(one, one, np.array([3], np.int32), actions, visits, zero, zero, zero, zero, zero, zero)
    assert result.mask.tolist() == [[True, True, True, False]]
    assert result.marginal_visits(3).tolist() == [[[3, 5, 0], [4, 0, 4]]]
