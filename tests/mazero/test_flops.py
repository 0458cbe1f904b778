"""Multiply-adds counted from shapes against those that torch counts while it computes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mazero.bench.flops import step_multiply_adds
from mazero.bench.step import random_batch, step_line, step_speed
from mazero.config import PRESETS, LossConfig, MAZeroConfig
from mazero.losses import batch_loss
from mazero.networks import MAZeroNetwork, NetworkConfig
from tests.mazero.learning.test_step import doubled, make_batch
from training.config import apply_overrides, load_preset


@pytest.mark.parametrize(
    ("consistency", "changes"),
    [
        (2.0, {}),
        (0.0, {}),
        (2.0, {"communication": False}),
        (2.0, {"sharing": "none"}),
        (2.0, {"structure": "flat"}),
    ],
)
def test_a_step_needs_what_torch_counts(consistency, changes):
    config = NetworkConfig(
        hidden_size=12, mlp_sizes=(10, 8), head_size=7, attention_layers=2, attention_heads=3, dropout=0.0,
        projection_size=9, predictor_size=5, support=3, **changes,
    )  # fmt: skip
    net = MAZeroNetwork(config, obs_size=6, n_agents=3, n_actions=4).double()  # plain modules
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        batch_loss(net, doubled(make_batch(net, 5, 3)), LossConfig(consistency=consistency))[0].backward()
    assert counter.get_total_flops() == 2 * step_multiply_adds(net, 5, 3, consistency=consistency > 0)


def test_the_bench_tells_what_a_step_takes():
    overrides = [
        "network.hidden_size=8", "network.mlp_sizes=[8]", "network.attention_heads=2", "network.stacked_observations=2",
    ]  # fmt: skip
    config = apply_overrides(load_preset(PRESETS, "laptop", MAZeroConfig), overrides)
    torch.manual_seed(0)
    row = step_speed(config, "3m", 4, repeats=1, device="cpu")
    assert (row["map"], row["n_agents"], row["batch"], row["hidden_size"], row["unroll_steps"]) == ("3m", 3, 4, 8, 5)
    assert row["step_gflops"] == pytest.approx(row["flops"] / row["step_seconds"] / 1e9)
    assert row["times_its_products"] == pytest.approx(row["matmul_gflops"] / row["step_gflops"])
    assert step_line(row | {"step_seconds": 0.5, "plain_seconds": 1.0}).endswith("2.0 x as fast as plain torch")
    batch = random_batch(config, 4, obs_size=6, n_agents=3, n_actions=9, device="cpu")
    assert batch.joint_actions.shape == (4, 6, 10, 3) and batch.obs.shape == (4, 6, 3, 12)
