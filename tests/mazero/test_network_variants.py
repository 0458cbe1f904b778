"""Variants of the networks (Fig. 6): without communication or sharing, by unit type, flat; what they refuse."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import envs
from mazero.cli import record_of
from mazero.config import MAZeroConfig
from mazero.grouped import GroupedActionLinear, GroupedLinear, GroupedNorm
from mazero.inference import FusedModel, InferenceConfig, TorchModel, make_model
from mazero.learning import plan_for
from mazero.losses import batch_loss
from mazero.networks import MAZeroNetwork, NetworkConfig, groups_of
from tests.mazero.learning.test_step import LOSS, make_batch, make_network
from tests.mazero.test_learner import run
from training.errors import UserError

SIZES = NetworkConfig(
    hidden_size=12, mlp_sizes=(10, 7), head_size=6, attention_layers=2, attention_heads=3, dropout=0.0,
    projection_size=9, predictor_size=5, support=4, stacked_observations=2,
)  # fmt: skip
TYPES = ("stalker", "zealot", "zealot")
VARIANTS = {
    "no communication": {"communication": False},
    "no sharing": {"sharing": "none"},
    "by type": {"sharing": "type"},
    "neither": {"communication": False, "sharing": "none"},
    "flat": {"structure": "flat"},
}
EACH = pytest.mark.parametrize("name", VARIANTS)


def variant(name=None, *, n=3, types=TYPES, **changes):
    """In float64, away from where parameters start."""
    torch.manual_seed(0)
    config = dataclasses.replace(SIZES, **(VARIANTS[name] if name else {}), **changes)
    net = MAZeroNetwork(config, obs_size=4, n_agents=n, n_actions=5, agent_types=types).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def some_input(batch=6, n=3):
    return torch.randn(batch, n, 8).double(), torch.randint(0, 5, (batch, n))


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def feels(output, x):
    """(n, n) bool: whether agent i's output follows from agent j's input; output (B, n, .) of x (B, n, .)."""
    slopes = []
    for i in range(output.shape[1]):
        (slope,) = torch.autograd.grad(output[:, i].square().sum(), x, retain_graph=True)
        slopes.append(slope.abs().sum(dim=(0, 2)) > 0)
    return torch.stack(slopes)


@EACH
def test_shapes_and_zero_initial_predictions(name):
    config = dataclasses.replace(SIZES, **VARIANTS[name])
    net = MAZeroNetwork(config, obs_size=4, n_agents=3, n_actions=5, agent_types=TYPES).eval()
    root = net.initial_inference(torch.randn(6, 3, 8))
    step = net.recurrent_inference(root.hidden, torch.randint(0, 5, (6, 3)))
    for prediction in (root, step):
        assert prediction.hidden.shape == (6, 3, 12) and prediction.policy_logits.shape == (6, 3, 5)
        assert prediction.value.abs().max() < 1e-6 and prediction.policy_logits.abs().max() == 0
    assert net.policy_logits(torch.randn(6, 4, 3, 12)).shape == (6, 4, 3, 5)  # of all unrolled steps at once


@EACH
def test_every_parameter_gets_a_gradient_and_rows_do_not_leak(name):
    net, (obs, action) = variant(name).train(), some_input()
    root = net.initial_inference(obs)
    step = net.recurrent_inference(root.hidden, action)
    total = (step.reward + step.value).sum() + step.policy_logits.square().sum()
    (total + (net.predictor(net.project(step.hidden)) * torch.randn(6, 9)).sum()).backward()
    assert [key for key, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    one = net.recurrent_inference(root.hidden[2:3], action[2:3])
    for whole, part in zip(step, one, strict=True):
        close(part, whole[2:3])


@EACH
def test_who_feels_whom(name):
    """Root states, policies and steps: of oneself alone, or of everybody."""
    net, (obs, action) = variant(name), some_input()
    obs.requires_grad_()
    hidden = net.represent(obs)
    alone, everybody = torch.eye(3, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool)
    own = everybody if name == "flat" else alone
    assert torch.equal(feels(hidden, obs), own)
    assert torch.equal(feels(net.policy_logits(hidden), obs), own)
    state = hidden.detach().requires_grad_()
    following = net.step(state, action)
    told = alone if not net.config.communication else everybody
    assert torch.equal(feels(following, state), told)
    other = action.clone()
    other[:, 2] = (other[:, 2] + 1) % 5
    moved = (net.step(state, other) - following).abs().amax(dim=(0, 2)) > 1e-9
    assert moved.tolist() == [bool(told[0, 2]), bool(told[1, 2]), True]


@pytest.mark.parametrize("name", ["no communication", "no sharing", "by type"])
def test_agents_change_places_only_where_they_have_the_same_parameters(name):
    """Without communication nothing tells agents of equal parameters apart; with it their position does."""
    net, (obs, action) = (
        variant(name, communication=False) if name != "no communication" else variant(name),
        some_input(),
    )

    def places(order):
        hidden = net.represent(obs[:, order])
        return torch.cat((net.step(hidden, action[:, order]), net.policy_logits(hidden)), -1)

    plain = places([0, 1, 2])
    same = {tuple(o): bool((places(o) - plain[:, o]).abs().max() < 1e-10) for o in ([1, 0, 2], [0, 2, 1])}
    assert (
        same
        == {
            "no communication": {(1, 0, 2): True, (0, 2, 1): True},
            "no sharing": {(1, 0, 2): False, (0, 2, 1): False},
            "by type": {(1, 0, 2): False, (0, 2, 1): True},
        }[name]
    )


def test_with_equal_parameters_in_every_group_it_is_the_standard_network():
    """Reduction: groups that start alike compute what one does, and their gradients add up to its."""
    shared = variant()
    for name in ("no sharing", "by type"):
        net = variant(name)
        state = shared.state_dict()
        for key, parameter in net.named_parameters():
            value = state[key]
            if parameter.shape != value.shape:
                groups = parameter.shape[0]
                value = (value.t() if parameter.dim() == 3 and "rows" not in key else value).expand(
                    groups, *parameter.shape[1:]
                )
            parameter.data.copy_(value)
        obs, action = some_input()
        outputs = []
        for one in (shared, net):
            root = one.initial_inference(obs)
            step = one.recurrent_inference(root.hidden, action)
            outputs.append((*root, *step))
            one.zero_grad()
            sum(part.square().sum() for part in step).backward()
        for wanted, found in zip(*outputs, strict=True):
            close(found, wanted)
        close(net.dynamics.norm.weight.grad.sum(0), shared.dynamics.norm.weight.grad)
        close(net.policy[1].weight.grad.sum(0).t(), shared.policy[1].weight.grad)
        close(net.communication.embed.action_rows.grad.sum(0), shared.communication.embed.action_rows.grad)


def test_one_agent_by_itself_is_flat():
    """Reduction: with one agent the flat structure and the one without communication are the same function."""
    alone, flat = variant("no communication", n=1), variant("flat", n=1)
    names = dict(zip(flat.state_dict(), alone.state_dict(), strict=True))
    flat.load_state_dict({key: alone.state_dict()[other] for key, other in names.items()})
    obs, action = some_input(n=1)
    root, wanted = flat.initial_inference(obs), alone.initial_inference(obs)
    for pair in (
        (root, wanted),
        (flat.recurrent_inference(root.hidden, action), alone.recurrent_inference(wanted.hidden, action)),
    ):
        for found, expected in zip(*pair, strict=True):
            close(found, expected)


def test_the_flat_dynamics_read_the_joint_state_and_the_joint_action():
    net, (_, action) = variant("flat"), some_input()
    hidden = torch.randn(6, 3, 12).double()
    first = net.dynamics.first
    rows = first.action_rows.view(3, 5, -1)
    x = hidden.flatten(1) @ first.weight.t() + first.bias
    for i in range(3):
        x = x + F.one_hot(action[:, i], 5).double() @ rows[i]
    close(net.step(hidden, action), hidden + net.dynamics.rest(net.dynamics.norm(x.relu())).view(6, 3, 12))


def test_grouped_layers_are_one_layer_for_each_group():
    torch.manual_seed(0)
    group, x, action = (0, 1, 0), torch.randn(4, 2, 3, 5), torch.randint(0, 6, (4, 2, 3))
    linear = GroupedLinear(group, 5, 7, make=torch.nn.Linear)
    norm, joined = GroupedNorm(group, 5), GroupedActionLinear(group, 5, 6, 7)
    for parameter in (*norm.parameters(), joined.bias):
        torch.nn.init.normal_(parameter)
    for i, g in enumerate(group):
        own = x[..., i, :]
        torch.testing.assert_close(linear(x)[..., i, :], own @ linear.weight[g] + linear.bias[g])
        torch.testing.assert_close(norm(x)[..., i, :], F.layer_norm(own, (5,), norm.weight[g], norm.bias[g]))
        rows = F.one_hot(action[..., i], 6).float() @ joined.action_rows[g]
        torch.testing.assert_close(joined(x, action)[..., i, :], own @ joined.weight[g] + joined.bias[g] + rows)
    assert not torch.equal(linear.weight[0], linear.weight[1])


def test_first_values_of_every_group_are_orthogonal():
    net = MAZeroNetwork(
        dataclasses.replace(SIZES, sharing="none"), obs_size=4, n_agents=3, n_actions=5, agent_types=TYPES
    )
    weight = net.dynamics.rest.layers[0].weight.detach()  # (G, 10, 7)
    for g in range(3):
        torch.testing.assert_close(weight[g].t() @ weight[g], 2 * torch.eye(7), atol=1e-5, rtol=1e-5)
    assert not torch.equal(weight[0], weight[1])
    assert not net.policy[1].weight.any()


def test_parameters_of_the_variants():
    """Counts, by hand: H 12, first layer 10; embed 12 x (12 + 5), attention blocks; everything of an agent's own."""

    def own(net):
        parts = [net.normalise, net.representation, net.dynamics, net.policy]
        parts += [] if net.communication is None else [net.communication.embed]
        return sum(p.numel() for part in parts for p in part.parameters())

    counts = {name: sum(p.numel() for p in variant(name).parameters()) for name in VARIANTS}
    standard = sum(p.numel() for p in variant().parameters())
    mine = own(variant())
    communication = sum(p.numel() for p in variant().communication.parameters())
    assert counts["no communication"] == standard - communication - 12 * 10  # features enter the first layer
    assert counts["no sharing"] == standard + 2 * mine and counts["by type"] == standard + mine


def test_groups_follow_types_in_order_of_appearance():
    assert groups_of("all", 3, ()) == (0, 0, 0) and groups_of("none", 3, ()) == (0, 1, 2)
    assert groups_of("type", 4, ("a", "b", "a", "c")) == (0, 1, 0, 2)
    with pytest.raises(ValueError, match="sharing type needs the unit type of each of 3 agents, got 0: only maps"):
        groups_of("type", 3, ())


def test_the_kernels_of_inference_run_all_but_the_flat_structure():
    for name, changes in VARIANTS.items():
        net = make_network(agent_types=TYPES, **changes).eval()
        assert isinstance(make_model(net, InferenceConfig()), TorchModel if name == "flat" else FusedModel), name
    with pytest.raises(ValueError, match=r"the kernels run individual dynamics, got network\.structure flat"):
        FusedModel(net)


@EACH
def test_every_variant_learns_by_plain_torch_where_the_kernels_do_not_know_it(name):
    net = make_network(agent_types=TYPES, **VARIANTS[name])
    batch = make_batch(net)
    assert (plan_for(net, batch) is not None) == (name == "no communication")
    loss = batch_loss(net, batch, LOSS)[0]
    loss.backward()
    assert torch.isfinite(loss) and all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    before = copy.deepcopy(net)
    torch.optim.SGD(net.parameters(), lr=1e-3).step()
    assert batch_loss(net, batch, LOSS)[0] < batch_loss(before, batch, LOSS)[0]


def test_kernels_serve_the_standard_network():
    net = make_network()
    assert isinstance(make_model(net.eval(), InferenceConfig()), FusedModel)
    assert plan_for(net.train(), make_batch(net)) is not None


@pytest.mark.parametrize(
    ("change", "game"),
    [
        ("network.communication=false", "matrix_1"),
        ("network.sharing=type", "3m"),
        ("network.structure=flat", "matrix_1"),
    ],
)
def test_stop_and_resume_is_no_stop(tmp_path, change, game):
    whole = run(tmp_path / "whole", change, game=game)
    run(tmp_path / "parts", change, game=game, stop_at=100)
    assert run(tmp_path / "parts", change, game=game) == whole
    assert whole[-2]["updates"] == 16


def test_refusals():
    with pytest.raises(ValueError, match=r"^structure must be one of individual, flat, got 'joint'$"):
        NetworkConfig(structure="joint")
    with pytest.raises(ValueError, match=r"^sharing must be one of all, type, none, got 'some'$"):
        NetworkConfig(sharing="some")
    for changes in ({"communication": False}, {"sharing": "none"}):
        with pytest.raises(ValueError, match=r"structure flat has no agents that could share"):
            NetworkConfig(structure="flat", **changes)
    with pytest.raises(
        ValueError, match=r"inference\.backend fused runs individual dynamics, got network\.structure flat"
    ):
        MAZeroConfig(network=NetworkConfig(structure="flat"), inference=InferenceConfig(backend="fused"))


def test_types_that_are_not_known_are_a_mistake_of_the_caller():
    config = dataclasses.replace(SIZES, sharing="type")
    with pytest.raises(UserError, match=r"^matrix_1: sharing type needs the unit type of each of 2 agents, got 0"):
        MAZeroNetwork.for_environment(config, envs.make("matrix_1").info)
    words = ["--seed", "0", "--out", "-", "--preset", "matrix", "--set", "network.sharing=type"]
    with pytest.raises(UserError, match=r"^matrix_1: sharing type needs"):  # as the workflow asks, before any run
        record_of(["train", "--map", "matrix_1", *words])
    net = MAZeroNetwork.for_environment(config, envs.make("2s3z").info)
    assert net.groups == (0, 0, 1, 1, 1)
    obs = np.zeros((1, 5, net.inputs), np.float32)
    assert net.initial_inference(torch.from_numpy(obs)).hidden.shape == (1, 5, 12)
