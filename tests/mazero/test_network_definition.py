"""The networks against their definition in plain torch: every parameter, its first value, every output, dropout."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from mazero.networks import MAZeroNetwork, NetworkConfig, position_code

# No two sizes alike, so that no axis can stand for another.
CONFIG = NetworkConfig(
    hidden_size=12, mlp_sizes=(10, 7), head_size=6, attention_layers=2, attention_heads=3, dropout=0.25,
    projection_size=9, predictor_size=5, support=4, stacked_observations=2,
)  # fmt: skip
AGENTS, ACTIONS, OBSERVATION = 3, 4, 11


def network(config=CONFIG, *, n=AGENTS, seed=0):
    torch.manual_seed(seed)
    return MAZeroNetwork(config, obs_size=OBSERVATION, n_agents=n, n_actions=ACTIONS)


def randomised(config=CONFIG, *, n=AGENTS):
    """In float64, every parameter away from where it starts: zeros and ones would hide mistakes."""
    net = network(config, n=n).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def linear(fan_out, fan_in, name):
    return {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}


def norm(size, name):
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def test_all_parameters_have_their_shapes_and_nothing_else_is_saved():
    attention = {}
    for i in range(2):
        at = f"communication.layers.{i}"
        attention |= linear(36, 12, f"{at}.qkv") | linear(12, 12, f"{at}.out") | norm(12, f"{at}.norm_attention")
        attention |= linear(12, 12, f"{at}.feed_in") | linear(12, 12, f"{at}.feed_out") | norm(12, f"{at}.norm_feed")
    expected = {
        **norm(22, "normalise"),
        **linear(10, 22, "representation.layers.0"), **norm(10, "representation.layers.2"),
        **linear(7, 10, "representation.layers.3"), **norm(7, "representation.layers.5"),
        **linear(12, 7, "representation.layers.6"), **norm(12, "representation.layers.8"),
        **linear(12, 12, "communication.embed"), "communication.embed.action_rows": (4, 12), **attention,
        **linear(10, 24, "dynamics.first"), "dynamics.first.action_rows": (4, 10), **norm(10, "dynamics.norm"),
        **linear(7, 10, "dynamics.rest.layers.0"), **norm(7, "dynamics.rest.layers.2"),
        **linear(12, 7, "dynamics.rest.layers.3"), **norm(12, "dynamics.rest.layers.5"),
        **linear(6, 36, "reward"), "reward.action_rows": (12, 6), **norm(6, "reward.norm"),
        **linear(9, 6, "reward.out"),
        **linear(6, 36, "value.0.layers.0"), **norm(6, "value.0.layers.2"), **linear(9, 6, "value.1"),
        **linear(6, 12, "policy.0.layers.0"), **norm(6, "policy.0.layers.2"), **linear(4, 6, "policy.1"),
        **linear(9, 36, "projection.0.layers.0"), **norm(9, "projection.0.layers.2"),
        **linear(9, 9, "projection.0.layers.3"), **norm(9, "projection.0.layers.5"), **norm(9, "projection.1"),
        **linear(5, 9, "predictor.layers.0"), **norm(5, "predictor.layers.2"),
        **linear(9, 5, "predictor.layers.3"), **norm(9, "predictor.layers.5"),
    }  # fmt: skip
    net = network()
    assert {name: tuple(p.shape) for name, p in net.named_parameters()} == expected
    assert set(net.state_dict()) == set(expected)  # positions and offsets follow from the sizes
    assert all(p.dtype == torch.float32 and p.requires_grad for p in net.parameters())


def test_first_values_are_orthogonal_with_the_gain_of_relu_zero_or_those_of_torch():
    net = network(dataclasses.replace(CONFIG, hidden_size=48))
    start = dict(net.named_parameters())

    def rows_of(name):
        """A Linear's weight, (out, in), put together again where the actions have rows of their own."""
        weight = start[f"{name}.weight"].detach()
        if name == "reward":  # per agent: hidden state, then one-hot action
            rows = start["reward.action_rows"].detach().view(3, 4, 6)
            return torch.cat([part for i in range(3) for part in (weight[:, 48 * i : 48 * i + 48], rows[i].t())], 1)
        rows = start.get(f"{name}.action_rows")
        return weight if rows is None else torch.cat((weight, rows.detach().t()), 1)

    zero = {"reward.out", "value.1", "policy.1"}
    as_torch = {"communication.embed": 48 + 4, "out": 48, "feed_in": 48, "feed_out": 48}  # inputs
    attention = {f"communication.layers.{i}.{part}" for i in (0, 1) for part in ("qkv", "out", "feed_in", "feed_out")}
    linears = {name.removesuffix(".weight") for name, p in start.items() if name.endswith("weight") and p.ndim == 2}
    assert zero | attention < linears
    for name in linears:
        weight, bias = rows_of(name), start[f"{name}.bias"].detach()
        if name in zero:
            assert not weight.any() and not bias.any(), name
        elif name not in attention | {"communication.embed"}:
            small = weight if weight.shape[0] <= weight.shape[1] else weight.t()
            torch.testing.assert_close(small @ small.t(), 2 * torch.eye(len(small)), atol=1e-5, rtol=1e-5, msg=name)
            assert not bias.any(), name
        else:  # qkv: Xavier, sqrt(6 / (48 + 3 * 48)); the others as torch makes a Linear: 1 / sqrt(inputs)
            inputs = as_torch.get(name, as_torch.get(name.rsplit(".", 1)[-1]))
            limit = math.sqrt(6 / 192) if name.endswith("qkv") else 1 / math.sqrt(inputs)
            assert 0.98 * limit < weight.abs().max() <= limit, name
            assert abs(weight.mean()) < 0.1 * limit, name
            assert bias.any() == ("feed" in name or name == "communication.embed"), name
            if "layers.1" in name:  # all layers start alike, as those of torch's TransformerEncoder
                assert torch.equal(weight, rows_of(name.replace("layers.1", "layers.0"))), name
    norms = {name.removesuffix(".weight") for name, p in start.items() if name.endswith("weight") and p.ndim == 1}
    assert len(norms) == 19
    for name in norms:
        assert (start[f"{name}.weight"] == 1).all() and not start[f"{name}.bias"].any(), name


class Plain:
    """The paper's networks from a dictionary of weights: concatenations, one-hots and loops over agents and heads.

    Args: dropped: what becomes of features and attention weights on the way, called in order.
    """

    def __init__(self, net, dropped=lambda x: x):
        self.p, self.c, self.n, self.dropped = dict(net.named_parameters()), net.config, net.n_agents, dropped

    def linear(self, name, x):
        return x @ self.p[f"{name}.weight"].t() + self.p[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdim=True)
        scaled = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.p[f"{name}.weight"] + self.p[f"{name}.bias"]

    def mlp(self, name, x, layers):
        for i in range(layers):
            x = self.norm(f"{name}.layers.{3 * i + 2}", self.linear(f"{name}.layers.{3 * i}", x).relu())
        return x

    def joined(self, name, x, one_hot):
        weight = torch.cat((self.p[f"{name}.weight"], self.p[f"{name}.action_rows"].t()), 1)
        return torch.cat((x, one_hot), -1) @ weight.t() + self.p[f"{name}.bias"]

    def attention(self, name, x):
        q, k, v = self.linear(f"{name}.qkv", x).chunk(3, -1)
        d = self.c.hidden_size // self.c.attention_heads
        own = [slice(h * d, h * d + d) for h in range(self.c.attention_heads)]
        share = [(q[..., h] @ k[..., h].transpose(1, 2) / d**0.5).softmax(-1) for h in own]
        share = self.dropped(torch.stack(share, 1))  # (B, heads, n, n)
        mixed = torch.cat([share[:, i] @ v[..., h] for i, h in enumerate(own)], -1)
        x = self.norm(f"{name}.norm_attention", x + self.dropped(self.linear(f"{name}.out", mixed)))
        feed = self.linear(f"{name}.feed_out", self.dropped(self.linear(f"{name}.feed_in", x).relu()))
        return self.norm(f"{name}.norm_feed", x + self.dropped(feed))

    def represent(self, obs):
        return self.mlp("representation", self.norm("normalise", obs), len(self.c.mlp_sizes) + 1)

    def step(self, hidden, action):
        one_hot = F.one_hot(action, ACTIONS).to(hidden.dtype)
        agent, channel = torch.arange(self.n)[:, None], torch.arange(self.c.hidden_size)
        angle = agent / 10_000 ** ((channel - channel % 2) / self.c.hidden_size)
        feature = self.joined("communication.embed", hidden, one_hot).relu()
        feature = feature + torch.where(channel % 2 == 0, angle.sin(), angle.cos())
        for i in range(self.c.attention_layers):
            feature = self.attention(f"communication.layers.{i}", feature)
        x = self.joined("dynamics.first", torch.cat((hidden, feature), -1), one_hot)
        return hidden + self.mlp("dynamics.rest", self.norm("dynamics.norm", x.relu()), len(self.c.mlp_sizes))

    def reward_logits(self, hidden, action):
        x = self.p["reward.bias"]
        for i in range(self.n):
            weight = self.p["reward.weight"][:, self.c.hidden_size * i : self.c.hidden_size * (i + 1)]
            x = x + hidden[:, i] @ weight.t() + self.p["reward.action_rows"][ACTIONS * i + action[:, i]]
        return self.linear("reward.out", self.norm("reward.norm", x.relu()))

    def value_logits(self, hidden):
        return self.linear("value.1", self.mlp("value.0", torch.cat([*hidden.unbind(1)], -1), 1))

    def policy_logits(self, hidden):
        return self.linear("policy.1", self.mlp("policy.0", hidden, 1))

    def project(self, hidden):
        return self.norm("projection.1", self.mlp("projection.0", torch.cat([*hidden.unbind(1)], -1), 2))

    def predict(self, projected):
        return self.mlp("predictor", projected, 2)

    def scalar(self, logits):
        """Mean of the distribution over -support..support, through the textbook inverse of h."""
        y = logits.softmax(-1) @ torch.arange(-self.c.support, self.c.support + 1.0, dtype=logits.dtype)
        return y.sign() * (((1 + 0.004 * (y.abs() + 1.001)).sqrt() - 1) / 0.002).square().sub(1)


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def some_input(batch=5, n=AGENTS):
    return torch.randn(batch, n, 2 * OBSERVATION).double(), torch.randint(0, ACTIONS, (batch, n))


def test_every_output_of_evaluation_follows_the_definition_and_nothing_is_dropped():
    net, (obs, action) = randomised().eval(), some_input()
    plain = Plain(net)
    with torch.no_grad():
        root = net.initial_inference(obs)
        step = net.recurrent_inference(root.hidden, action)
        hidden = plain.represent(obs)
        close(root.hidden, hidden)
        close(root.reward, torch.zeros(5).double())
        close(root.value, plain.scalar(plain.value_logits(hidden)))
        close(root.policy_logits, plain.policy_logits(hidden))
        close(net.represent(obs), hidden)
        following = plain.step(hidden, action)
        close(step.hidden, following)
        close(net.step(root.hidden, action), following)
        close(step.reward, plain.scalar(plain.reward_logits(following, action)))
        close(step.value, plain.scalar(plain.value_logits(following)))
        close(step.policy_logits, plain.policy_logits(following))
        close(net.reward_logits(following, action), plain.reward_logits(following, action))
        close(net.value_logits(hidden), plain.value_logits(hidden))
        close(net.policy_logits(hidden), plain.policy_logits(hidden))
        close(net.project(hidden), plain.project(hidden))
        close(net.predictor(plain.project(hidden)), plain.predict(plain.project(hidden)))


def by_torch(x):
    return F.dropout(x, 0.25, training=True)


def test_learning_drops_attention_weights_and_the_outputs_of_three_linears_in_every_layer():
    net, (obs, action) = randomised().train(), some_input()
    hidden = net.represent(obs).detach()
    torch.manual_seed(5)
    found = net.step(hidden, action)
    torch.manual_seed(5)
    torch.testing.assert_close(found, Plain(net, by_torch).step(hidden, action), rtol=1e-4, atol=1e-5)
    assert (found - net.eval().step(hidden, action)).abs().max() > 0.1


@pytest.mark.parametrize("width", [4, 5])
def test_positions_of_even_and_odd_widths(width):
    code = position_code(3, width)
    assert code.shape == (3, width)
    for agent in range(3):
        for c in range(width):
            angle = agent / 10_000 ** ((c - c % 2) / width)
            assert code[agent, c] == pytest.approx((math.cos if c % 2 else math.sin)(angle), abs=1e-6)


@pytest.mark.parametrize("name", ["hidden_size", "head_size", "attention_heads", "support", "stacked_observations"])
def test_sizes_start_at_one(name):
    assert getattr(NetworkConfig(**{"hidden_size": 8, name: 1, "attention_heads": 1}), name) == 1
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got -8$"):
        NetworkConfig(**{name: -8})


def test_bounds_of_dropout_and_heads():
    assert NetworkConfig(dropout=0.0).dropout == 0
    with pytest.raises(ValueError, match=r"^dropout must lie in \[0, 1\), got 1: it is the share of features dropped$"):
        NetworkConfig(dropout=1)
    with pytest.raises(ValueError, match=r"dropout must lie in \[0, 1\), got -0.1"):
        NetworkConfig(dropout=-0.1)
    with pytest.raises(ValueError, match=r"^hidden_size \(30\) must be a multiple of attention_heads \(4\)$"):
        NetworkConfig(hidden_size=30, attention_heads=4)
