"""A run is the same whether its process compiles the kernels or finds them compiled."""

import os
import subprocess
import sys

import pytest

# Rows as wide as those of presets: sums of shorter ones have one order only.
SETTINGS = (
    "inference.backend=fused", "targets.search_reuse=period", "network.hidden_size=64", "network.mlp_sizes=[64]",
    "network.attention_layers=1", "network.attention_heads=4", "network.dropout=0.1", "network.projection_size=64",
)  # fmt: skip
PROGRAM = f"""
import hashlib

import torch

from tests.mazero.tiny import tiny_learner

torch.set_num_threads(1)
learner = tiny_learner(*{SETTINGS!r}, game="matrix_4")
while learner.env_steps < 160:
    learner.advance()
weights = b"".join(value.numpy().tobytes() for value in learner.network.state_dict().values())
print(learner.updates, hashlib.sha256(weights + learner.replay.q.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_the_process_that_compiles_learns_the_same(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_NUM_THREADS": "1"}
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=900
        ).stdout.split()
        for _ in range(2)
    ]
    assert int(said[0][0]) > 5 and said[0] == said[1]
