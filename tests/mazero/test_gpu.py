"""MAZero on a CUDA device: the CPU's function, whole runs, and coming back."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from mazero.captured import CALLS_BEFORE
from mazero.inference import GraphModel, InferenceConfig, MirroredModel, make_model, make_player
from mazero.losses import batch_loss
from mazero.optimiser import Adam
from mazero.search import SearchConfig, search
from mazero.update import optimise
from tests.mazero.inference.test_fused import SMALL, network_of, observations
from tests.mazero.test_learner import advanced, batch_of
from tests.mazero.tiny import tiny_learner
from training.loop import Schedule, train
from training.metrics import read_records, without_clock
from training.run import RunDirectory

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("default")]


def run(path, *overrides, device="cuda", stop_at=None, learner=None):
    learner = learner or tiny_learner(*overrides, device=device)
    directory = RunDirectory(path)
    with directory.claim({"seed": 0, "device": device}):
        assert train(learner, directory, Schedule(env_steps=160, eval_every=40, stop_at=stop_at)) == 0
    return [without_clock(r) for r in read_records(path / "metrics.jsonl") if r["kind"] != "run"]


VARIANTS = [{}, {"communication": False}, {"sharing": "none"}, {"sharing": "type"}, {"structure": "flat"}]


@pytest.mark.parametrize(
    ("backend", "changes"), [("eager", {}), ("compile", {}), *(("graph", changes) for changes in VARIANTS)]
)
def test_inference_is_the_cpus_function(backend, changes):
    network = network_of(dataclasses.replace(SMALL, **changes))
    obs = observations(network, 33)
    actions = torch.from_numpy(np.random.default_rng(0).integers(0, network.n_actions, (33, network.n_agents)))
    here = make_model(network, InferenceConfig(backend="eager"))
    root = here.roots(obs)
    with torch.inference_mode():
        expected = [*here.recurrent(root.hidden, actions)]
    root = [root.hidden, root.value, root.policy_logits]
    model = make_model(network.to("cuda"), InferenceConfig(backend=backend))
    there = model.roots(obs)
    with torch.inference_mode():
        for _ in range(CALLS_BEFORE + 2):  # at the end, a graph is replayed
            found = [*model.recurrent(there.hidden, actions.to("cuda"))]
    for a, b in zip([*root, *expected], [there.hidden, there.value, there.policy_logits, *found], strict=True):
        torch.testing.assert_close(b.cpu(), a, rtol=1e-4, atol=1e-4)


def test_loss_and_gradient_of_a_batch_are_the_cpus():
    learner = advanced("network.dropout=0.0", steps=80)
    batch, gradients = batch_of(learner, [0, 5, 12, 21]), {}
    for device in ("cpu", "cuda"):
        network = learner.network.to(device)
        network.zero_grad()
        moved = type(batch)(**{name: getattr(batch, name).to(device) for name in batch.__dataclass_fields__})
        loss, _, _ = batch_loss(network, moved, learner.config.loss)
        loss.backward()
        found = [loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]
        gradients[device] = [tensor.cpu().clone() for tensor in found]  # moving a network moves its gradients too
    for a, b in zip(gradients["cpu"], gradients["cuda"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", ["network.communication=true", "network.sharing=none", "network.structure=flat"])
def test_the_same_seed_gives_the_same_run_and_a_stop_is_no_stop(tmp_path, change):
    """With dropout, which draws from the device's own generator."""
    whole = run(tmp_path / "whole", change)
    assert run(tmp_path / "again", change) == whole
    run(tmp_path / "parts", change, stop_at=100)
    assert run(tmp_path / "parts", change) == whole
    assert whole[-1]["kind"] == "absolute" and whole[-2]["updates"] == 16


def searched(model, obs, threads=1):
    config = SearchConfig(num_simulations=25, num_sampled_actions=5)
    seeds = np.arange(len(obs), dtype=np.uint64)
    return search(model.recurrent, model.roots(obs), config, seeds, noise=True, threads=threads)


def test_searches_do_not_depend_on_batches_and_threads():
    network = network_of().to("cuda")
    obs, model = observations(network, 1300), make_model(network, InferenceConfig())
    assert isinstance(model, GraphModel)
    first = searched(model, obs)
    for again in (searched(model, obs, threads=3), searched(model, obs[:700])):
        for name in ("value", "visit_counts", "joint_actions"):
            found = getattr(again, name)
            np.testing.assert_array_equal(found, getattr(first, name)[: len(found)])


def test_a_graph_sees_new_weights_and_so_does_who_plays():
    network = network_of().to("cuda")
    obs = observations(network, 40)
    models = [make_model(network, InferenceConfig()), make_player(network, InferenceConfig())]
    assert isinstance(models[1], MirroredModel)
    before = [searched(model, obs).value for model in models]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.05)
    models[1].weights_changed()
    after = [searched(model, obs).value for model in models]
    eager = searched(make_model(network, InferenceConfig(backend="eager")), obs).value
    for found in (before, after):
        assert np.mean(np.abs(found[0] - found[1]) < 1e-3) > 0.9  # rounding may decide a tie
    assert np.mean(np.abs(after[0] - eager) < 1e-3) > 0.9 and np.mean(np.abs(after[0] - before[0]) < 1e-3) < 0.5


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_updates_as_a_graph_are_updates(precision):
    learner = advanced(
        "network.dropout=0.0", f"optimiser.precision={precision}", "optimiser.final_learning_rate=null", device="cuda",
        steps=40,
    )  # fmt: skip
    learner.network.train()
    plain = copy.deepcopy(learner.network)
    adam = Adam(plain.parameters(), lr=learner.config.optimiser.learning_rate, eps=1e-5)
    adam.load_state_dict(copy.deepcopy(learner.optimiser.state_dict()))
    for _ in range(CALLS_BEFORE + 5):
        batch = learner.draw(0).batch
        found, expected = learner.optimise(batch), optimise(plain, adam, batch, learner.config)
        torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-4)
        assert found[1].keys() == expected[1].keys()
        for name, value in expected[1].items():
            torch.testing.assert_close(found[1][name], value, rtol=1e-3, atol=1e-4)
    assert learner.optimise._captured._graph is not None
    for a, b in zip(learner.network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_prefetch_and_bfloat16_run(tmp_path):
    overrides = ["targets.prefetch=1", "optimiser.precision=bfloat16", "inference.precision=bfloat16"]
    records = run(tmp_path / "a", *overrides)
    assert records[-2]["updates"] == 16
    assert all(np.isfinite(value) for record in records for value in record.values() if isinstance(value, float))


def test_weights_learned_there_play_here():
    there = tiny_learner(device="cuda")
    while there.env_steps < 80:
        there.advance()
    here = tiny_learner()
    here.load_policy_state({"network": {k: v.cpu() for k, v in there.policy_state()["network"].items()}})
    assert here.evaluate(3)["num_episodes"] == 4
    for name, value in here.network.state_dict().items():
        assert torch.equal(value, there.network.state_dict()[name].cpu()), name


def test_an_update_leaves_everything_on_the_device():
    learner = tiny_learner(device="cuda")
    while not learner.updates:
        learner.advance()
    drawn = learner.draw(learner.updates)
    learner.network.train()
    predicted, scalars = optimise(learner.network, learner.optimiser, drawn.batch, learner.config)
    assert {tensor.device.type for tensor in (predicted, *scalars.values(), *learner.network.parameters())} == {"cuda"}
