"""How the weights of a network lie in the one flat array that the kernels read: records of where everything stands."""

from __future__ import annotations

import numpy as np

DENSE = np.dtype([(name, np.int64) for name in ("k", "n", "width", "weight", "bias", "scale", "shift")])
"""A Linear (k inputs, n padded and `width` real outputs) and the LayerNorm behind it, if there is one."""

PLAN = np.dtype(
    [
        (name, np.int64)
        for name in (
            "agents",
            "actions",
            "hidden",  # H
            "stride",  # floats from one agent to the next in a tile: H, padded
            "heads",
            "layers",  # of attention
            "observation",  # width of a root's input
            "representation",  # number of layers
            "rest",  # layers of the dynamics after the first one
            "support",  # largest atom
            "widest",  # floats of the widest row in scratch
            "tile",  # samples worked on together
            "communicates",  # 0: no embedding, no attention, no features in the dynamics
            # Offsets of what is no Linear: rows to look up, positions, the LayerNorms without a Linear before them. Of
            # what is an agent's own there is one for each copy, one behind the other, LayerNorms in cache lines.
            "embed_rows",
            "position",
            "first_rows",
            "first_scale",
            "first_shift",
            "reward_rows",
            "input_scale",
            "input_shift",
        )
    ]
)

# Where each Linear stands in the array of DENSE records; then 4 for each attention layer, the representation, the rest.
EMBED, FIRST_HIDDEN, FIRST_FEATURE, REWARD, REWARD_OUT, VALUE, VALUE_OUT, POLICY, POLICY_OUT, VARIABLE = range(10)
QKV, MIXED, FEED_IN, FEED_OUT, PER_LAYER = range(5)

LAYER_NORM_EPSILON = 1e-5  # torch's default
ALIGNMENT = 16  # floats: a cache line
