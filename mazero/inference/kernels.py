"""The network of MAZero without autograd, a tile of samples at a time: what lies between two layers stays in cache.

The same function as `mazero.networks.MAZeroNetwork` in evaluation mode, up to the rounding of float32. `packed.py`
prepares what makes it cheap: weights by panels, the attention's scale folded into its queries, and the features of
queries, keys and values in the order (feature of the head, head), so that attention is vector arithmetic over heads.

What an agent computes of its own, with parameters of its own (`sharing` none or type), is one product an agent: its
rows lie n rows apart. With shared parameters it is one product of all rows. Copies: n or 1, the columns of `dense`.

B samples, n agents, A actions, H hidden units, as in `networks.py`. Offsets are in floats, from the array's start.
"""

from __future__ import annotations

import math

import numpy as np

from mazero.inference.attention import mix, similarity, softmax
from mazero.inference.jit import njit
from mazero.inference.layers import address, linear, lines, mlp, norm_behind, normalise, own_linear, own_normalise
from mazero.inference.records import (
    EMBED,
    FEED_IN,
    FEED_OUT,
    FIRST_FEATURE,
    FIRST_HIDDEN,
    MIXED,
    PER_LAYER,
    POLICY,
    POLICY_OUT,
    QKV,
    REWARD,
    VALUE,
    VARIABLE,
)
from mazero.inference.tiles import RELU, START_FROM_OUT

_SQUASH_EPSILON = 0.001  # of h(x); see mazero.transforms


@njit(cache=True, nogil=True)
def recur(weights, dense, plan, scratch, hidden, carried, ready, rows, actions, first, outputs):
    """One step of the model for B samples.

    What two layers make of the hidden state alone, before an action is added, is computed when a state is first stepped
    from and kept: a search steps from the same state about three times.

    Args:
      weights: float32.    dense: (parts, copies) DENSE records.    plan: one PLAN record.
      scratch: float32, see `scratch_size`.
      hidden: (R, n, H) float32, a stack of states: row rows[b] is read, row first + b is written.
      carried: (R, n, C) float32, what is kept of each state; C is `carried_size`.    ready: (R,) bool, whether it is.
      rows: (B,) int64, all different.    actions: (B, n) int64.    first: int.
      outputs: (B, 2 + n * A) float32, filled: reward and value in reward units, policy logits.
    """
    p = plan[0]
    data, at = address(weights), address(scratch)
    n, hidden_size, stride = p.agents, p.hidden, p.stride
    for start in range(0, rows.size, p.tile):
        count = min(p.tile, rows.size - start)
        agents = count * n
        x, y, z, head, head_out = _areas(p)
        _carry(weights, dense, p, scratch, hidden, carried, ready, rows, start, count, y, z)
        _gather(hidden, rows, start, count, n, hidden_size, stride, scratch)
        if p.communicates:
            _embed(weights, p, dense.shape[1], carried, rows, actions, start, count, scratch, x)
        for layer in range(p.layers):
            _attention_layer(weights, dense, VARIABLE + PER_LAYER * layer, p, scratch, x, y, z, count)
        first_layer = dense[FIRST_HIDDEN, 0]
        _begin_dynamics(weights, p, first_layer.n, dense.shape[1], carried, rows, actions, start, count, scratch, y)
        if p.communicates:
            mode = START_FROM_OUT | RELU
            own_linear(data, dense, FIRST_FEATURE, at + 4 * x, stride, agents, at + 4 * y, p.widest, mode)
        width = first_layer.width
        own_normalise(
            scratch, y, p.widest, agents, width, weights, p.first_scale, p.first_shift, dense.shape[1], lines(width)
        )
        end = mlp(weights, dense, VARIABLE + PER_LAYER * p.layers + p.representation, p.rest, scratch, y, z, p, agents)
        _move_on(hidden, first + start, count, n, hidden_size, stride, scratch, end, p.widest)
        _reward_rows(weights, p.reward_rows, dense[REWARD, 0].n, actions, start, count, n, p.actions, scratch, head)
        _scalar_head(weights, dense, REWARD, p, scratch, head, head_out, count, START_FROM_OUT, outputs, start, 0)
        _scalar_head(weights, dense, VALUE, p, scratch, head, head_out, count, 0, outputs, start, 1)
        _policy_head(weights, dense, p, scratch, y, z, count, outputs, start)


@njit(cache=True, nogil=True)
def represent(weights, dense, plan, scratch, obs, hidden, outputs):
    """Roots: obs (B, n, O) -> hidden (B, n, H) and outputs (B, 2 + n * A) with reward 0, both filled; all float32."""
    p = plan[0]
    n, width, stride = p.agents, p.hidden, p.stride
    for start in range(0, obs.shape[0], p.tile):
        count = min(p.tile, obs.shape[0] - start)
        _, y, z, head, head_out = _areas(p)
        _read_observations(obs, start, count, n, p.observation, scratch, y, p.widest)
        size, copies = p.observation, dense.shape[1]
        own_normalise(scratch, y, p.widest, count * n, size, weights, p.input_scale, p.input_shift, copies, lines(size))
        begin = VARIABLE + PER_LAYER * p.layers
        end = mlp(weights, dense, begin, p.representation, scratch, y, z, p, count * n)
        scratch[: count * n * stride] = np.float32(0.0)
        _move_on(hidden, start, count, n, width, stride, scratch, end, p.widest)
        outputs[start : start + count, 0] = 0.0
        _scalar_head(weights, dense, VALUE, p, scratch, head, head_out, count, 0, outputs, start, 1)
        _policy_head(weights, dense, p, scratch, y, z, count, outputs, start)


def carried_size(plan: np.ndarray, dense: np.ndarray) -> int:
    """Floats that `recur` keeps for an agent of a state: inputs of the embedding and of the dynamics' first layer."""
    return int(plan[0]["stride"] + dense[FIRST_HIDDEN, 0]["n"])


def scratch_size(plan: np.ndarray) -> int:
    """Floats of scratch memory that `recur` and `represent` need."""
    p = plan[0]
    rows = int(p["tile"] * p["agents"])
    scores = int(p["agents"]) ** 2 * int(p["heads"])
    return rows * (2 * int(p["stride"]) + 4 * int(p["widest"])) + scores + 64


# ------------------------------------------------------------------------------------------------------ parts of a step


@njit(cache=True, nogil=True)
def _areas(p):
    """Offsets in scratch: x (rows of `stride`), y, z (rows of `widest`), two areas of heads (`widest` a sample).

    The hidden states of the tile begin at 0; the scores of attention stand behind everything.
    """
    rows = p.tile * p.agents
    x = rows * p.stride
    y = 2 * x
    z = y + rows * p.widest
    head = z + rows * p.widest
    return x, y, z, head, head + p.tile * p.widest


@njit(cache=True, nogil=True)
def _gather(hidden, rows, start, count, n, width, stride, scratch):
    for b in range(count):
        for i in range(n):
            to = (b * n + i) * stride
            scratch[to : to + width] = hidden[rows[start + b], i]
            scratch[to + width : to + stride] = np.float32(0.0)


@njit(cache=True, nogil=True)
def _carry(weights, dense, p, scratch, hidden, carried, ready, rows, start, count, y, z):
    """Fills `carried` for the rows of a tile that are not ready; areas 0, y and z are overwritten."""
    data, at = address(weights), address(scratch)
    n, width, stride = p.agents, p.hidden, p.stride
    missing = 0
    for b in range(count):
        row = rows[start + b]
        if not ready[row]:
            for i in range(n):
                to = (missing * n + i) * stride
                scratch[to : to + width] = hidden[row, i]
                scratch[to + width : to + stride] = np.float32(0.0)
            missing += 1
    if missing == 0:
        return
    first = dense[FIRST_HIDDEN, 0]
    if p.communicates:
        own_linear(data, dense, EMBED, at, stride, missing * n, at + 4 * y, p.widest, 0)
    own_linear(data, dense, FIRST_HIDDEN, at, stride, missing * n, at + 4 * z, p.widest, 0)
    done = 0
    for b in range(count):
        row = rows[start + b]
        if not ready[row]:
            for i in range(n):
                of = (done * n + i) * p.widest
                if p.communicates:
                    carried[row, i, :stride] = scratch[y + of : y + of + stride]
                carried[row, i, stride : stride + first.n] = scratch[z + of : z + of + first.n]
            ready[row] = True
            done += 1


@njit(cache=True, nogil=True)
def _embed(weights, p, copies, carried, rows, actions, start, count, scratch, x):
    """x = relu(what is carried + row of the action) + position."""
    n, stride = p.agents, p.stride
    for b in range(count):
        for i in range(n):
            kept = carried[rows[start + b], i]
            row = weights[p.embed_rows + (i % copies * p.actions + actions[start + b, i]) * stride :][:stride]
            code = weights[p.position + i * stride :][:stride]
            out = scratch[x + (b * n + i) * stride :][:stride]
            for c in range(stride):
                value = kept[c] + row[c]
                out[c] = (np.float32(0.0) if value < np.float32(0.0) else value) + code[c]  # NaN stays NaN


@njit(cache=True, nogil=True)
def _begin_dynamics(weights, p, width, copies, carried, rows, actions, start, count, scratch, out):
    """What is carried, behind `stride` columns, plus the rows of the actions; the features' part is added later.

    Without communication there is none: ReLU follows here.
    """
    n = p.agents
    for b in range(count):
        for i in range(n):
            kept = carried[rows[start + b], i, p.stride :]
            row = weights[p.first_rows + (i % copies * p.actions + actions[start + b, i]) * width :][:width]
            total = scratch[out + (b * n + i) * p.widest :][:width]
            for c in range(width):
                total[c] = kept[c] + row[c]
            if not p.communicates:
                for c in range(width):
                    if total[c] < np.float32(0.0):  # NaN stays NaN
                        total[c] = np.float32(0.0)


@njit(cache=True, nogil=True)
def _reward_rows(weights, table, width, actions, start, count, n, per_agent, scratch, out):
    """Sum over agents of the rows of their actions, `per_agent` rows for each agent; one row of `width` a sample."""
    for b in range(count):
        total = scratch[out + b * width :][:width]
        total[:] = np.float32(0.0)
        for i in range(n):
            row = weights[table + (i * per_agent + actions[start + b, i]) * width :][:width]
            for c in range(width):
                total[c] += row[c]


@njit(cache=True, nogil=True)
def _attention_layer(weights, dense, first, p, scratch, x, y, z, count):
    """x: rows of one post-norm encoder layer in, and out; y and z are overwritten."""
    data, at = address(weights), address(scratch)
    rows, stride, widest = count * p.agents, p.stride, p.widest
    mixed, feed_out = dense[first + MIXED, 0], dense[first + FEED_OUT, 0]
    linear(data, dense[first + QKV, 0], at + 4 * x, stride, rows, at + 4 * y, widest, 0)
    _attend(scratch, y, z, widest, count, p.agents, p.heads, p.hidden)
    linear(data, mixed, at + 4 * z, widest, rows, at + 4 * x, stride, START_FROM_OUT)
    normalise(scratch, x, stride, rows, mixed.width, weights, mixed.scale, mixed.shift)
    linear(data, dense[first + FEED_IN, 0], at + 4 * x, stride, rows, at + 4 * y, widest, RELU)
    linear(data, feed_out, at + 4 * y, widest, rows, at + 4 * x, stride, START_FROM_OUT)
    normalise(scratch, x, stride, rows, feed_out.width, weights, feed_out.scale, feed_out.shift)


@njit(cache=True, nogil=True)
def _attend(scratch, qkv, out, stride, count, n, heads, width):
    """Softmax attention of n agents per sample; features are ordered (feature of the head, head)."""
    at = address(scratch)
    dim = width // heads
    behind = scratch.size - n * n * heads
    scores = scratch[behind:]
    where = at + 4 * behind
    for b in range(count):
        base = at + 4 * (qkv + b * n * stride)
        for i in range(n):
            for j in range(n):
                q = base + 4 * i * stride
                k = base + 4 * (j * stride + width)
                similarity(q, k, dim, heads, where + 4 * (i * n + j) * heads)
        softmax(scores, n, heads)
        for i in range(n):
            to = at + 4 * (out + (b * n + i) * stride)
            mix(where + 4 * i * n * heads, base + 8 * width, n, stride, dim, heads, to)


@njit(cache=True, nogil=True)
def _move_on(hidden, first, count, n, width, stride, scratch, change, change_stride):
    """Next hidden state = state + change: to the tile (area 0) and to rows `first`, ... of the stack."""
    for b in range(count):
        for i in range(n):
            state = scratch[(b * n + i) * stride :][:width]
            step = scratch[change + (b * n + i) * change_stride :][:width]
            for c in range(width):
                state[c] += step[c]
            hidden[first + b, i, :] = state


@njit(cache=True, nogil=True)
def _read_observations(obs, start, count, n, width, scratch, y, stride):
    for b in range(count):
        for i in range(n):
            to = y + (b * n + i) * stride
            scratch[to : to + width] = obs[start + b, i]


@njit(cache=True, nogil=True)
def _scalar_head(weights, dense, index, p, scratch, head, head_out, count, mode, outputs, start, column):
    """Reward or value of each sample from the joint state in area 0, in reward units, to a column of `outputs`."""
    data, at = address(weights), address(scratch)
    layer, last = dense[index, 0], dense[index + 1, 0]
    linear(data, layer, at, p.agents * p.stride, count, at + 4 * head, layer.n, mode | RELU)
    normalise(scratch, head, layer.n, count, layer.width, weights, layer.scale, layer.shift)
    linear(data, last, at + 4 * head, layer.n, count, at + 4 * head_out, last.n, 0)
    for b in range(count):
        outputs[start + b, column] = _expected_scalar(scratch[head_out + b * last.n :][: last.width], p.support)


@njit(cache=True, nogil=True)
def _expected_scalar(logits, bound):
    """`mazero.transforms.expected_scalar` of one head."""
    top = logits[0]
    for c in range(1, logits.size):
        top = max(top, logits[c])
    total = 0.0
    mean = 0.0
    for c in range(logits.size):
        share = math.exp(logits[c] - top)
        total += share
        mean += share * (c - bound)
    y = mean / total
    d = 4.0 * _SQUASH_EPSILON * (abs(y) + 1.0 + _SQUASH_EPSILON)
    root = d / (math.sqrt(1.0 + d) + 1.0) / (2.0 * _SQUASH_EPSILON)
    return math.copysign(root * root - 1.0, y)


@njit(cache=True, nogil=True)
def _policy_head(weights, dense, p, scratch, y, z, count, outputs, start):
    """Policy logits of each agent from the states in area 0, to the columns of `outputs` behind the scalars."""
    data, at = address(weights), address(scratch)
    rows, layer, last = count * p.agents, dense[POLICY, 0], dense[POLICY_OUT, 0]
    own_linear(data, dense, POLICY, at, p.stride, rows, at + 4 * y, layer.n, RELU)
    norm_behind(weights, dense, POLICY, scratch, y, layer.n, rows)
    own_linear(data, dense, POLICY_OUT, at + 4 * y, layer.n, rows, at + 4 * z, last.n, 0)
    for b in range(count):
        for i in range(p.agents):
            of = z + (b * p.agents + i) * last.n
            to = 2 + i * p.actions
            outputs[start + b, to : to + p.actions] = scratch[of : of + p.actions]
