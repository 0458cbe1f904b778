"""The loss of a batch and its gradient by hand: `mazero.losses.batch_loss` for learning on a CPU in float32.

The same function as the plain modules of `mazero.networks` and `mazero.losses`, up to the rounding of float32. All rows
of all unrolled steps lie one below the other, step by step, in memory that every update uses again; a chunk of samples
goes through all steps while its rows are in the cache, and back; the gradient of each weight is then one product over
all steps. B samples, U steps, n agents, H hidden units, as there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mazero.learning import rows
from mazero.learning.encoder import Encoder
from mazero.learning.layers import ActionDense, Chain, Dense, FirstDense, Norm, Parameters, Rows, Stage, stages, usable
from mazero.learning.objective import consistency_loss, policy_loss, scalar_loss
from mazero.networks import AttentionLayer, Communication, MAZeroNetwork

CHUNK = 65536  # floats of a row of features times rows of a chunk: a quarter of a megabyte


class Weights(NamedTuple):
    """Of the parts of the loss."""

    value: float
    reward: float
    consistency: float


class Parts(NamedTuple):
    """Parts of the loss."""

    sums: np.ndarray  # (4, B) float32, over steps: value, reward, policy, consistency (0 without a weight)
    root: np.ndarray  # (B,) float32, mean atom of the value at the root
    entropy: float  # of the policy at the root, nats, summed over samples and agents
    clipped: int  # targets of value and reward beyond the support


class LearningStep:
    """Memory and plan for batches of one size.

    Args:
      network: whose parameters are used, where they are now.    batch: B.    steps: U.
    Raises: ValueError if the network has parts that are not those of `MAZeroNetwork`, is flat, or is not shared by all.
    """

    def __init__(self, network: MAZeroNetwork, batch: int, steps: int) -> None:
        if network.config.structure == "flat" or network.config.sharing != "all":
            raise ValueError(
                "the kernels learn individual dynamics with shared parameters, got "
                f"network.structure {network.config.structure}, network.sharing {network.config.sharing}"
            )
        for name, parameter in network.named_parameters():
            if not usable(parameter):
                raise ValueError(f"{name} must be float32 in main memory, got {parameter.dtype}, {parameter.device}")
        config, n = network.config, network.n_agents
        self.batch, self.steps, self.n, self.bound = batch, steps, n, config.support
        self.children = tuple(network.children())
        self.known = known = Parameters(network.parameters())
        self.addresses = [tensor.data_ptr() for tensor in known.tensors]
        width, of, total = config.hidden_size, known.of, batch * n
        self.chunks = _chunks(batch, n * width)
        once = [(first * n, last * n) for first, last in self.chunks]
        each = [(k * total + start, k * total + stop) for k in range(steps) for start, stop in once]
        scratch = [(0, stop - start) for start, stop in each]

        # States of all steps; those that a step starts from, those that it ends in, the roots.
        self.states, self.d_states = Rows([(0, (steps + 1) * total)], width), Rows([(0, (steps + 1) * total)], width)
        self.before, self.d_before = (Rows.over(x.array[:-total], each) for x in (self.states, self.d_states))
        self.after, self.d_after = (Rows.over(x.array[total:], each) for x in (self.states, self.d_states))
        self.root, self.d_root = (Rows.over(x.array[:total], once) for x in (self.states, self.d_states))
        self.action = Rows(each, dtype=np.int64)

        inputs = Norm(of(network.normalise.weight), of(network.normalise.bias))
        parts = stages(network.representation)
        # The observations to agree with, at all steps: nothing of them is kept.
        self.targets = _chunks(steps * batch, n * width)
        passing = [(0, (last - first) * n) for first, last in self.targets]
        self.target = Rows([(first * n, last * n) for first, last in self.targets], width)
        self.standard, self.target_standard = (Rows(slots, len(inputs.gain.array)) for slots in (once, passing))
        self.representation, self.target_representation = (
            Chain(parts[1:], known, slots, out=out, first=_first(parts[0], known, inputs, slots))
            for slots, out in ((once, self.root), (passing, self.target))
        )
        self.embed: ActionDense | None = None
        self.encoders: list[Encoder] = []
        if network.communication is not None:
            embed = network.communication.embed
            self.embed = ActionDense(
                of(embed.weight), of(embed.bias), each, action_rows=of(embed.action_rows), row=self.action
            )
            self.embedded, self.position = Rows(each, width), network.communication.position.numpy()
            self.encoders = [Encoder(layer, known, n, each) for layer in _encoder_layers(network.communication)]
        first = network.dynamics.first
        norm = Norm(of(network.dynamics.norm.weight), of(network.dynamics.norm.bias))
        self.first = ActionDense(
            of(first.weight), of(first.bias), each, action_rows=of(first.action_rows), row=self.action, norm=norm
        )
        self.from_hidden, *from_feature = self.first.weight.value.split(width, dim=1)
        self.from_feature = from_feature[0] if from_feature else None  # None: no communication
        self.rest = Chain(stages(network.dynamics.rest), known, each, out=self.after)
        self.d_feature, self.d_first = Rows(scratch, width), Rows(scratch, len(first.weight))

        joint = [(0, steps * batch)]
        self.value = Chain(stages(network.value), known, [(0, (steps + 1) * batch)])
        self.policy = Chain(stages(network.policy), known, [(0, (steps + 1) * total)])
        reward = network.reward
        norm = Norm(of(reward.norm.weight), of(reward.norm.bias))
        self.team_rows, self.team, self.offset = of(reward.action_rows), Rows(joint, n, dtype=np.int64), reward.offset
        self.team_table, self.team_slope = np.zeros((2, *self.team_rows.array.shape), np.float32)
        self.reward_first = Dense(of(reward.weight), of(reward.bias), joint, relu=True, norm=norm)
        self.reward_first.table = np.zeros_like(self.reward_first.table)  # the bias comes with the actions' rows
        self.reward = Chain([Stage(reward.out, False, None)], known, joint, first=self.reward_first)
        self.projection, self.target_projection = (Chain(stages(network.projection), known, joint) for _ in range(2))
        self.predictor = Chain(stages(network.predictor), known, joint)
        self.d_projected = Rows(joint, self.predictor.layers[0].fan_in)

    def serves(self, network: MAZeroNetwork, batch: int, steps: int) -> bool:
        """Whether this is the plan for batches of that size, and the network's parameters are where they were."""
        return (
            (self.batch, self.steps) == (batch, steps)
            and self.children == tuple(network.children())
            and self.addresses == [tensor.data_ptr() for tensor in self.known.tensors]
        )

    def forward(self, obs: np.ndarray, action: Tensor, *, consistency: bool) -> None:
        """States and heads' logits; with `consistency`, encoded states of the observations too.

        Args:
          obs: (B, U + 1, n, D) contiguous.    action: (B, U, n).
        """
        self.action.tensor.view(self.steps, self.batch, self.n).copy_(action.transpose(0, 1))
        torch.add(self.action.tensor.view(-1, self.n), self.offset, out=self.team.tensor)
        self._prepare()
        chunks = len(self.chunks)
        for c, (first, _) in enumerate(self.chunks):
            rows.standardise(obs, first, self.standard.arrays[c])
            self.representation.forward(c, self.standard.tensors[c])
            for k in range(self.steps):
                self._dynamics(k * chunks + c)
        joint = self.states.tensor.view((self.steps + 1) * self.batch, -1)
        self.value.forward(0, joint)
        self.policy.forward(0, self.states.tensor)
        products, later = self.reward_first.z, joint[self.batch :]
        np.copyto(self.team_table, self.team_rows.array)
        rows.team_rows(self.team.array, self.reward_first.bias.array, self.team_table, products.array)
        products.tensor.addmm_(later, self.reward_first.transposed)
        self.reward.layers[1].forward(0, self.reward_first.activate(0))
        if consistency:
            self.predictor.forward(0, self.projection.forward(0, later))
            for c, (first, _) in enumerate(self.targets):
                rows.standardise(obs, self.batch + first, self.target_standard.arrays[c])
                self.target_representation.forward(c, self.target_standard.tensors[c])
            self.target_projection.forward(0, self.target.tensor.view(self.steps * self.batch, -1))

    def _prepare(self) -> None:
        """Whatever is made of weights; draws dropout."""
        for part in (self.representation, self.target_representation, self.first):
            part.prepare()
        if self.embed is not None:
            self.embed.prepare()
        for layer in self.encoders:
            layer.prepare()

    def _dynamics(self, slot: int) -> None:
        """One step of the model from the states of a slot."""
        hidden, first = self.before.tensors[slot], self.first
        products = first.z.tensors[slot]
        torch.mm(hidden, self.from_hidden.t(), out=products)
        if self.embed is not None and self.from_feature is not None:
            products.addmm_(self._features(slot, self.embed), self.from_feature.t())
        self.rest.forward(slot, first.activate(slot), self.before.arrays[slot])

    def _features(self, slot: int, embed: ActionDense) -> Tensor:
        """What communication tells every agent in a slot, (R, H)."""
        torch.mm(self.before.tensors[slot], embed.transposed, out=embed.z.tensors[slot])
        rows.relu(
            embed.z.arrays[slot], embed.table, self.action.arrays[slot], self.position, self.embedded.arrays[slot]
        )
        feature = self.embedded
        for layer in self.encoders:
            layer.forward(slot, feature)
            feature = layer.out
        return feature.tensors[slot]

    def objective(
        self, targets: tuple[np.ndarray, ...], importance: np.ndarray, real: np.ndarray, agrees: np.ndarray,
        weights: Weights,
    ) -> Parts:  # fmt: skip
        """Parts of the loss; logits and predictions become its gradient.

        Args:
          targets: value (B, U + 1), reward (B, U), joint_actions (B, U + 1, K, n), policy_weight (B, U + 1, K).
          importance: (B,).    real: (B, U + 1): the policy counts there.    agrees: (B, U + 1): consistency does.
        """
        value, reward, joint_actions, policy_weight = targets
        share = (importance / np.float32(self.batch * self.steps)).astype(np.float32)
        of_value, of_reward, of_policy, of_consistency, root, unused = sums = np.zeros((6, self.batch), np.float32)
        atoms = 2 * self.bound + 1
        logits = self.value.out.array.reshape(-1, self.batch, atoms)
        clipped = scalar_loss(logits, value, self.bound, share, weights.value, of_value, root)
        logits = self.reward.out.array.reshape(-1, self.batch, atoms)
        clipped += scalar_loss(logits, reward, self.bound, share, weights.reward, of_reward, unused)
        own_logits = self.policy.out.array.reshape(self.steps + 1, self.batch, self.n, -1)
        entropy = policy_loss(own_logits, joint_actions, policy_weight, real, share, of_policy)
        if weights.consistency:
            shape = (self.steps, self.batch, -1)
            online, target = self.predictor.out.array.reshape(shape), self.target_projection.out.array.reshape(shape)
            consistency_loss(online, target, agrees[:, 1:], share, weights.consistency, of_consistency)
        return Parts(sums[:4], root, entropy, clipped)

    def backward(self, *, consistency: bool, halved_heads: bool) -> None:
        """Gradients of all parameters in `known.slopes`, after `objective`.

        Args:
          halved_heads: unrolled states get half the gradient of their value, policy and consistency.
        """
        share = 0.5 if halved_heads else 1.0
        self.known.slopes.zero_()
        joint = self.d_states.tensor.view((self.steps + 1) * self.batch, -1)
        later = joint[self.batch :]
        first = self.policy.backward(0, self.policy.out.array)
        torch.mm(first, self.policy.layers[0].weight.value, out=self.d_states.tensor)
        joint.addmm_(self.value.backward(0, self.value.out.array), self.value.layers[0].weight.value)
        if halved_heads:
            later.mul_(share)
        first = self.reward.backward(0, self.reward.out.array)
        later.addmm_(first, self.reward_first.weight.value)
        self.team_slope.fill(0.0)
        rows.team_rows_backward(self.reward_first.z.array, self.team.array, self.team_slope)
        np.copyto(self.team_rows.slope_array, self.team_slope)
        if consistency:
            first = self.predictor.backward(0, self.predictor.out.array)
            torch.mm(first, self.predictor.layers[0].weight.value, out=self.d_projected.tensor)
            first = self.projection.backward(0, self.d_projected.array)
            later.addmm_(first, self.projection.layers[0].weight.value, alpha=share)
        chunks = len(self.chunks)
        for c in range(chunks):
            for k in range(self.steps - 1, -1, -1):
                # MuZero, appendix G: half the gradient on the way into every step but the first.
                self._dynamics_backward(k * chunks + c, 0.5 if k else 1.0)
            self.representation.backward(c, self.d_root.arrays[c])
        self._finish(consistency=consistency)

    def _dynamics_backward(self, slot: int, share: float) -> None:
        """Adds `share` of the gradient of a step's result to that of the states it starts from."""
        d_after, d_before = self.d_after.tensors[slot], self.d_before.tensors[slot]
        slope = self.rest.backward(slot, self.d_after.arrays[slot])
        torch.mm(slope, self.rest.layers[0].weight.value, out=self.d_first.tensors[slot])
        slope = self.first.backward(slot, self.d_first.arrays[slot])
        d_before.add_(d_after, alpha=share)
        d_before.addmm_(slope, self.from_hidden, alpha=share)
        if self.embed is None or self.from_feature is None:
            return
        d_feature, embed = self.d_feature.tensors[slot], self.embed
        torch.mm(slope, self.from_feature, out=d_feature)
        for layer in reversed(self.encoders):
            layer.backward(slot, d_feature, self.d_feature.arrays[slot])
        rows.relu_backward(
            self.d_feature.arrays[slot], embed.z.arrays[slot], self.action.arrays[slot], embed.table_slope
        )
        d_before.addmm_(embed.z.tensors[slot], embed.weight.value, alpha=share)

    def _finish(self, *, consistency: bool) -> None:
        """Gradients of all weights."""
        hidden = self.before.tensor
        joint = self.states.tensor.view((self.steps + 1) * self.batch, -1)
        later = joint[self.batch :]
        self.representation.finish(self.standard.tensor)
        told = []
        if self.embed is not None:
            self.embed.finish(hidden)
            told = [self.embedded.tensor]
            for layer in self.encoders:
                layer.finish(told[0])
                told = [layer.out.tensor]
        self.first.finish(hidden, *told)
        self.rest.finish(self.first.out.tensor)
        self.value.finish(joint)
        self.policy.finish(self.states.tensor)
        self.reward.finish(later)
        if consistency:
            self.projection.finish(later)
            self.predictor.finish(self.projection.out.tensor)


def _chunks(samples: int, floats: int) -> list[tuple[int, int]]:
    """Ranges of samples of `floats` each, as even as possible, of at most `CHUNK` floats or one sample."""
    count = min(samples, -(-samples * floats // CHUNK))
    return [(c * samples // count, (c + 1) * samples // count) for c in range(count)]


def _first(part: Stage, known: Parameters, inputs: Norm, slots: list[tuple[int, int]]) -> FirstDense:
    """The representation's first layer."""
    if part.norm is None or not part.relu or part.linear is None:
        raise ValueError(f"the representation begins with Linear, ReLU, LayerNorm, got {part}")
    norm = Norm(known.of(part.norm.weight), known.of(part.norm.bias))
    return FirstDense(known.of(part.linear.weight), known.of(part.linear.bias), slots, inputs=inputs, norm=norm)


def _encoder_layers(communication: Communication) -> list[AttentionLayer]:
    layers = [layer for layer in communication.layers if type(layer) is AttentionLayer]
    if len(layers) < len(communication.layers):
        raise ValueError(f"encoder layers must be AttentionLayers, got {communication.layers}")
    return layers
