"""Which model a config makes, and how the torch ones behave."""

import logging
import shutil

import numpy as np
import pytest
import torch

from mazero.inference import FusedModel, InferenceConfig, MirroredModel, TorchModel, make_model, make_player, models
from mazero.search import SearchConfig, search
from tests.mazero.inference.test_fused import network_of, observations


def test_auto_is_fused_on_the_cpu_in_float32():
    network = network_of()
    assert isinstance(make_model(network, InferenceConfig()), FusedModel)
    assert isinstance(make_model(network, InferenceConfig(backend="eager")), TorchModel)
    assert isinstance(make_model(network, InferenceConfig(precision="bfloat16")), TorchModel)
    with pytest.raises(ValueError, match="fused runs on the CPU, got device meta: choose auto, eager or compile"):
        make_model(network.to("meta"), InferenceConfig(backend="fused"))
    with pytest.raises(ValueError, match="graph runs on a GPU, got device cpu: choose auto, eager or compile"):
        make_model(network_of(), InferenceConfig(backend="graph"))


def test_who_plays_is_who_searches_but_on_another_device():
    network = network_of()
    assert type(make_player(network, InferenceConfig())) is FusedModel
    assert type(make_player(network, InferenceConfig(backend="eager"))) is TorchModel
    there = network_of().to("meta")
    assert type(make_player(there, InferenceConfig(precision="bfloat16"))) is TorchModel
    assert type(make_player(there, InferenceConfig(backend="eager"))) is TorchModel


def test_a_mirror_follows_the_network_when_it_is_told_to():
    network = network_of()
    mirror, obs = MirroredModel(network), observations(network, 5)
    before = result_of(mirror, obs)
    np.testing.assert_array_equal(before.value, result_of(FusedModel(network), obs).value)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.1)
    np.testing.assert_array_equal(result_of(mirror, obs).value, before.value)
    mirror.weights_changed()
    np.testing.assert_array_equal(result_of(mirror, obs).value, result_of(FusedModel(network), obs).value)
    assert not np.array_equal(result_of(mirror, obs).value, before.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "fast"}, "inference.backend must be one of auto, fused, eager, compile, graph, got 'fast'"),
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


@pytest.mark.parametrize("threads", [1, 2])
def test_fewer_roots_than_a_graph_has_rows_are_padded(monkeypatch, threads):
    """Without a GPU: the function in the place of its graph."""
    asked = []

    def uncaptured(function, what):
        def call(hidden, action):
            asked.append((len(hidden), len(action)))
            return function(hidden, action)

        return call

    monkeypatch.setattr(models, "Captured", uncaptured)
    monkeypatch.setattr(models, "ROOTS_OF_A_GRAPH", 4)
    network = network_of()
    model, obs = models.GraphModel(network), observations(network, 10)
    config = SearchConfig(num_simulations=8, num_sampled_actions=4)
    seeds = np.arange(10, dtype=np.uint64)
    found = search(model.recurrent, model.roots(obs), config, seeds, noise=True, threads=threads)
    eager = TorchModel(network)
    expected = search(eager.recurrent, eager.roots(obs), config, seeds, noise=True)
    np.testing.assert_array_equal(found.visit_counts, expected.visit_counts)
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-5, atol=1e-6)
    before = models.CALLS_BEFORE + 1  # until the graph is there, without threads
    assert asked == [(4, 4)] * (before + 3 * 8) and model.roots_per_search == 4


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
