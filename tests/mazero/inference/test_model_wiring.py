"""What the models hand to the kernels and to torch, when they pack weights, and whose memory they use."""

import logging
import threading
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch

from mazero.inference import FusedModel, InferenceConfig, TorchModel, kernels, make_model, models
from mazero.inference.packed import Packed
from mazero.networks import NetworkConfig, Prediction
from tests.mazero.inference.test_fused import network_of, observations


@pytest.mark.parametrize("n", [1, 3, 8, 27])
def test_roots_at_once_are_the_fewest_whole_tiles_of_32_roots(n):
    tile = {1: 48, 3: 16, 8: 6, 27: 2}[n]
    assert FusedModel(network_of(n=n)).roots_at_once == next(tile * i for i in range(1, 99) if tile * i >= 32)


def test_weights_are_packed_again_only_when_they_have_changed(monkeypatch):
    count = []

    def packing(network):
        count.append(network)
        return Packed(network)

    monkeypatch.setattr(models, "Packed", packing)
    network = network_of()
    model, obs = FusedModel(network), observations(network, 2)
    assert model.recurrent is model
    changes = {
        "nothing": lambda: None,
        "a parameter": lambda: network.policy[1].bias.add_(1.0),
        "nothing again": lambda: None,
        "a buffer": lambda: network.communication.position.add_(1.0),
        "told so": model.weights_changed,
        "no more": lambda: None,
    }
    packed = []
    for change in changes.values():
        with torch.no_grad():
            change()
        before = len(count)
        model.roots(obs)
        packed.append(len(count) - before)
    assert packed == [0, 1, 0, 1, 1, 0] and set(count) == {network}


@pytest.fixture
def told(monkeypatch):
    """Calls of the kernels, which run all the same."""
    calls = []

    def recorded(kernel):
        def run(*arguments):
            calls.append(arguments)
            kernel(*arguments)

        return run

    for name in ("represent", "recur"):
        monkeypatch.setattr(kernels, name, recorded(getattr(kernels, name)))
    return calls


def test_roots_are_represented_from_contiguous_single_precision(told):
    network = network_of()
    model, obs = FusedModel(network), observations(network, 5).astype(np.float64)
    available = np.ones((5, 3, 5), bool)
    turned = np.asfortranarray(obs)
    root = model.roots(turned, available)
    ((weights, dense, plan, scratch, given, hidden, outputs),) = told
    packed = Packed(network)
    for found, wanted in ((weights, packed.weights), (dense, packed.dense), (plan, packed.plan)):
        np.testing.assert_array_equal(found, wanted)
    assert scratch.dtype == np.float32 and scratch.shape == (kernels.scratch_size(packed.plan),)
    assert given.flags.c_contiguous and given.dtype == np.float32
    np.testing.assert_array_equal(given, obs.astype(np.float32))
    assert (hidden.shape, hidden.dtype) == ((5, 3, 16), np.float32)
    assert (outputs.shape, outputs.dtype) == ((5, 2 + 3 * 5), np.float32)
    np.testing.assert_array_equal(root.hidden, hidden)
    np.testing.assert_array_equal(root.value, outputs[:, 1])
    np.testing.assert_array_equal(root.policy_logits, outputs[:, 2:].reshape(5, 3, 5))
    assert root.available_actions is available and root.value.is_contiguous()
    assert model.roots(obs).available_actions is None


@pytest.mark.parametrize("shape", [(2, 3, 8), (2, 2, 7), (2, 3, 7, 1), (2, 21)])
def test_observations_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError) as error:
        FusedModel(network_of()).roots(np.zeros(shape, np.float32))
    assert str(error.value) == f"obs must have shape (2, 3, 7), got {shape}: stacked observations of every agent"


def test_steps_use_memory_of_their_thread_that_is_kept_for_searches_of_one_size(told):
    network = network_of()
    model = FusedModel(network)
    packed = Packed(network)
    width = kernels.carried_size(packed.plan, packed.dense)
    rows, outputs = np.arange(4), np.zeros((4, 17), np.float32)
    actions = np.random.default_rng(1).integers(0, 5, (4, 3))

    def steps(size):
        """A search of two steps; what the kernel got for the first one, and which states were ready before each."""
        hidden, ready = np.ones((size, 3, 16), np.float32), []
        model.begin(hidden)
        for first in (4, 8):
            ready.append(model._memory.ready.copy())
            model.step_in_place(hidden, rows, actions, first, outputs)
        one, two = told[-2:]
        assert all(one[i] is two[i] for i in (0, 1, 2, 3, 4, 5, 6)) and one[4] is hidden
        assert (one[7] is rows, one[8] is actions, one[10] is outputs) == (True,) * 3
        assert (one[9], two[9]) == (4, 8)
        assert not ready[0].any() and ready[1].tolist() == [True] * 4 + [False] * (size - 4)
        assert (one[5].shape, one[5].dtype) == ((size, 3, width), np.float32)
        assert (one[6].shape, one[6].dtype) == ((size,), np.bool_)
        for found, wanted in zip(one, (packed.weights, packed.dense, packed.plan), strict=False):
            np.testing.assert_array_equal(found, wanted)
        assert one[3].shape == (kernels.scratch_size(packed.plan),) and one[3].dtype == np.float32
        return one[3], one[5]

    (scratch, carried), (again, kept), (third, other) = steps(12), steps(12), steps(15)
    assert again is scratch and kept is carried and third is scratch and other is not carried
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(steps(15)))
    thread.start()
    thread.join()
    assert elsewhere[0][0] is not scratch and elsewhere[0][1] is not other


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_which_model_a_config_makes(monkeypatch, device, jit):
    monkeypatch.setattr(models, "FusedModel", lambda network: ("fused", network))
    monkeypatch.setattr(models, "TorchModel", lambda network, **how: (how["compiled"], how["precision"], network))
    monkeypatch.setattr(numba.config, "DISABLE_JIT", not jit)
    network = torch.nn.Linear(1, 1, device=device)
    network.config = NetworkConfig()
    on_cpu = device == "cpu"
    made = {
        ("auto", "float32"): ("fused", network) if on_cpu and jit else (False, "float32", network),
        ("eager", "float32"): (False, "float32", network),
        ("compile", "float32"): (True, "float32", network),
        ("auto", "bfloat16"): (False, "bfloat16", network),
        ("eager", "bfloat16"): (False, "bfloat16", network),
        ("compile", "bfloat16"): (True, "bfloat16", network),
    }
    for (backend, precision), wanted in made.items():
        assert make_model(network, InferenceConfig(backend, precision)) == wanted
    if on_cpu:
        assert make_model(network, InferenceConfig("fused")) == ("fused", network)
    else:
        with pytest.raises(ValueError, match=r"^inference.backend fused runs on the CPU, got device meta: choose auto"):
            make_model(network, InferenceConfig("fused"))


@pytest.mark.parametrize(("device", "mode"), [("cpu", None), ("cuda", "reduce-overhead")])
def test_the_compiler_gets_one_step_and_replays_graphs_on_a_gpu(monkeypatch, device, mode):
    told = []

    def compiler(function, **how):
        told.append((function, how))
        return lambda hidden, action: Prediction(hidden, action, hidden, action)

    monkeypatch.setattr(torch, "compile", compiler)
    network = SimpleNamespace(
        parameters=lambda: iter([SimpleNamespace(device=torch.device(device))]), recurrent_inference=object()
    )
    TorchModel(network)
    assert told == []
    model = TorchModel(network, compiled=True)
    assert told == [(network.recurrent_inference, {"mode": mode, "dynamic": False})]
    assert model.recurrent("hidden", "action") == ("hidden", "action", "hidden", "action")


def test_only_the_first_call_of_what_was_compiled_may_fail(monkeypatch, caplog):
    calls = []

    def compiler(function, **_):
        def step(*arguments):
            calls.append(arguments)
            if len(calls) == 2:
                raise RuntimeError("later")
            return function(*arguments)

        return step

    monkeypatch.setattr(torch, "compile", compiler)
    network = network_of()
    model = TorchModel(network, compiled=True)
    hidden, action = torch.randn(2, 3, 16), torch.zeros(2, 3, dtype=torch.long)
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        model.recurrent(hidden, action)
        with pytest.raises(RuntimeError, match="later"):
            model.recurrent(hidden, action)
    assert caplog.text == "" and len(calls) == 2


def test_a_compiler_that_fails_is_told_and_not_tried_again(monkeypatch, caplog):
    calls = []

    def step(*arguments):
        calls.append(arguments)
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda function, **_: step)
    network = network_of()
    model, plain = TorchModel(network, compiled=True), TorchModel(network)
    hidden, action = torch.randn(2, 3, 16), torch.zeros(2, 3, dtype=torch.long)
    with torch.inference_mode(), caplog.at_level(logging.WARNING):
        for _ in range(2):
            for found, wanted in zip(model.recurrent(hidden, action), plain.recurrent(hidden, action), strict=True):
                assert torch.equal(found, wanted)
    assert len(calls) == 1 and [record.getMessage() for record in caplog.records] == [
        "torch.compile failed (RuntimeError: no C++ compiler): inference goes on uncompiled"
    ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("compiled", [None, "works", "fails"])
def test_torch_models_run_the_networks_own_inference_in_their_precision(monkeypatch, precision, compiled):
    def compiler(function, **_):
        def fail(*_):
            raise RuntimeError("no C++ compiler")

        return function if compiled == "works" else fail

    monkeypatch.setattr(torch, "compile", compiler)
    network = network_of()
    model, obs = TorchModel(network, compiled=compiled is not None, precision=precision), observations(network, 4)
    action, available = torch.randint(0, 5, (4, 3)), np.ones((4, 3, 5), bool)
    root = model.roots(obs, available)
    assert root.available_actions is available and not root.hidden.requires_grad
    with torch.inference_mode():
        steps = [model.recurrent(root.hidden, action) for _ in range(2)]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            first = network.initial_inference(torch.from_numpy(obs))
            following = network.recurrent_inference(root.hidden, action)
    found = (root.hidden, root.value, root.policy_logits)
    for mine, wanted in zip(found, (first.hidden, first.value, first.policy_logits), strict=True):
        assert mine.dtype == torch.float32 and torch.equal(mine, wanted.float())
    for step in steps:
        assert isinstance(step, Prediction)
        for mine, wanted in zip(step, following, strict=True):
            assert mine.dtype == torch.float32 and torch.equal(mine, wanted.float())
    assert following.policy_logits.dtype == getattr(torch, precision)


def test_coarse_precision_is_asked_for_on_the_networks_device(monkeypatch):
    told, autocast = [], torch.autocast

    def recorded(*how):
        told.append(how)
        return autocast(*how)

    monkeypatch.setattr(torch, "autocast", recorded)
    network = network_of()
    TorchModel(network).roots(observations(network, 2))
    assert told == []
    TorchModel(network, precision="bfloat16").roots(observations(network, 2))
    assert told == [("cpu", torch.bfloat16)]


def test_roots_of_a_torch_model_are_single_precision_and_its_steps_the_networks():
    network = network_of().double()
    model = TorchModel(network)
    root = model.roots(observations(network, 2).astype(np.float64))
    assert {root.hidden.dtype, root.value.dtype, root.policy_logits.dtype} == {torch.float32}
    with torch.inference_mode():
        step = model.recurrent(root.hidden.double(), torch.zeros(2, 3, dtype=torch.long))
    assert {part.dtype for part in step} == {torch.float64}
