"""Which model a config makes, and how the torch ones behave."""

import logging
import shutil

import numpy as np
import pytest
import torch

from mazero.inference import FusedModel, InferenceConfig, TorchModel, make_model
from mazero.search import SearchConfig, search
from tests.mazero.inference.test_fused import network_of, observations


def test_auto_is_fused_on_the_cpu_in_float32():
    network = network_of()
    assert isinstance(make_model(network, InferenceConfig()), FusedModel)
    assert isinstance(make_model(network, InferenceConfig(backend="eager")), TorchModel)
    assert isinstance(make_model(network, InferenceConfig(precision="bfloat16")), TorchModel)
    with pytest.raises(ValueError, match="fused runs on the CPU, got device meta: choose auto, eager or compile"):
        make_model(network.to("meta"), InferenceConfig(backend="fused"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "fast"}, "inference.backend must be one of auto, fused, eager, compile, got 'fast'"),
        ({"precision": "half"}, "inference.precision must be one of float32, bfloat16, got 'half'"),
        (
            {"backend": "fused", "precision": "bfloat16"},
            "fused computes in float32, got inference.precision 'bfloat16'",
        ),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        InferenceConfig(**settings)


def result_of(model, obs):
    config = SearchConfig(num_simulations=8, num_sampled_actions=4)
    return search(model.recurrent, model.roots(obs), config, np.arange(len(obs), dtype=np.uint64), noise=False)


def test_a_failing_compiler_is_reported_once_and_does_without(monkeypatch, caplog):
    def compiler(function, **_):
        def fail(*_):
            raise RuntimeError("no C++ compiler")

        return fail

    monkeypatch.setattr(torch, "compile", compiler)
    network = network_of()
    obs = observations(network, 5)
    with caplog.at_level(logging.WARNING):
        found = result_of(make_model(network, InferenceConfig(backend="compile")), obs)
    assert caplog.text.count("torch.compile failed (RuntimeError: no C++ compiler)") == 1
    expected = result_of(make_model(network, InferenceConfig(backend="eager")), obs)
    np.testing.assert_array_equal(found.value, expected.value)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_compiled_is_the_same_function():
    network = network_of()
    obs = observations(network, 5)
    found = result_of(make_model(network, InferenceConfig(backend="compile")), obs)
    expected = result_of(make_model(network, InferenceConfig(backend="eager")), obs)
    np.testing.assert_allclose(found.value, expected.value, atol=1e-4)


def test_bfloat16_is_close():
    network = network_of()
    obs = observations(network, 64)
    coarse = make_model(network, InferenceConfig(precision="bfloat16")).roots(obs)
    fine = make_model(network, InferenceConfig()).roots(obs)
    assert coarse.hidden.dtype == torch.float32
    assert 0 < (coarse.policy_logits - fine.policy_logits).abs().mean() < 0.05
