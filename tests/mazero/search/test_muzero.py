"""Reduction: one agent, all actions drawn, rho = 0, lambda = 1 is MuZero's tree search (arXiv 1911.08265, appendix B).

The comparison below is written from MuZero's rules alone: mean values, Q and not advantages, priors from the policy.
The model predicts the same value everywhere, where the two agree: then advantages are Q less a constant, and min-max
normalisation does not see it. The first visit of each root child in turn is MAZero's and is kept.
"""

import math
import random

import numpy as np
import torch

from mazero.search import Root, SearchConfig, search
from tests.mazero.search.models import hash_model

CONSTANT = 0.3
DISCOUNT = 0.6


class MuZeroNode:
    def __init__(self, hidden, reward, logits):
        self.hidden, self.reward = hidden, reward
        weights = [math.exp(x) for x in logits]
        self.priors = [w / sum(weights) for w in weights]
        self.children = [None] * len(weights)
        self.count, self.total = 1, CONSTANT

    def q_of(self, action):
        child = self.children[action]
        return CONSTANT if child is None else child.reward + DISCOUNT * child.total / child.count


def muzero_search(model, root_hidden, root_logits, num_simulations, draw):
    """Returns (visit counts, root value). model(hidden, action) -> (hidden, reward, logits), memoised by the caller."""
    root = MuZeroNode(root_hidden, 0.0, root_logits)
    for simulation in range(num_simulations):
        seen = []

        def collect(node, seen=seen):
            for action, child in enumerate(node.children):
                if child is not None:
                    seen.append(node.q_of(action))
                    collect(child, seen)

        collect(root)
        node, path, action = root, [root], None
        while node is not None:
            if node is root and simulation < len(root.children):
                action = simulation
            else:
                low, high = min(seen), max(seen)
                weight = math.sqrt(node.count - 1) * (1.25 + math.log((node.count - 1 + 19652 + 1) / 19652))
                score = []
                for a, child in enumerate(node.children):
                    scaled = min(1.0, max(0.0, (node.q_of(a) - low) / max(0.01, high - low)))
                    score.append(scaled + weight * node.priors[a] / (1 + (child.count if child else 0)))
                action = draw.choice([a for a, x in enumerate(score) if x >= max(score) - 1e-6])
            node = node.children[action]
            if node is not None:
                path.append(node)
        hidden, reward, logits = model(path[-1].hidden, action)
        leaf = MuZeroNode(hidden, reward, logits)
        path[-1].children[action] = leaf
        value = CONSTANT
        for below, above in zip([leaf, *path[:0:-1]], path[::-1]):
            value = below.reward + DISCOUNT * value
            above.count += 1
            above.total += value
    return [child.count for child in root.children], root.total / root.count


def test_one_agent_is_muzero():
    """Visit counts and root value agree on average; only ties are random, and K is so large that priors are exact."""
    num_actions, num_simulations, runs = 3, 20, 1000
    recurrent_fn, make_root = hash_model(1, num_actions, constant_value=CONSTANT)
    root = make_root(1, seed=2)
    memory = {}

    def model(hidden, action):
        if (hidden, action) not in memory:
            state = torch.full((1, 1, 2), hidden, dtype=torch.float64)
            following, reward, _, logits = recurrent_fn(state, torch.tensor([[action]]))
            memory[hidden, action] = (float(following[0, 0, 0]), float(reward), logits[0, 0].tolist())
        return memory[hidden, action]

    draw = random.Random(0)
    start = (float(root.hidden[0, 0, 0]), root.policy_logits[0, 0].tolist())
    expected = [muzero_search(model, *start, num_simulations, draw) for _ in range(runs)]
    expected_visits = np.array([visits for visits, _ in expected], float)
    expected_value = np.array([value for _, value in expected])

    config = SearchConfig(
        num_simulations=num_simulations, num_sampled_actions=3000, rho=0.0, lam=1.0, discount=DISCOUNT
    )
    many = Root(*(x.expand(runs, *x.shape[1:]) for x in (root.hidden, root.value, root.policy_logits)))
    found = search(recurrent_fn, many, config, np.arange(runs, dtype=np.uint64), noise=False)
    assert (found.num_children == num_actions).all()

    for a in range(num_actions):
        x, y = found.visit_counts[:, a].astype(float), expected_visits[:, a]
        error = math.sqrt((x.var() + y.var()) / runs) + 0.02  # 0.02 visits: beta_hat is the policy only up to 1 %
        assert abs(x.mean() - y.mean()) < 4.5 * error
    error = math.sqrt((found.value.var() + expected_value.var()) / runs) + 1e-3
    assert abs(found.value.mean() - expected_value.mean()) < 4.5 * error
    assert found.visit_counts[:, :num_actions].std(axis=0).max() < 6  # the comparison has power


def test_plain_mean_is_what_the_ablation_uses():
    recurrent_fn, make_root = hash_model(2, 4)
    root, seeds = make_root(5), np.arange(5, dtype=np.uint64)
    plain = SearchConfig(num_simulations=40, rho=0.0, lam=1.0)
    ablation = SearchConfig(num_simulations=40, rho=0.75, lam=0.8, os_lambda=False)
    one = search(recurrent_fn, root, plain, seeds, noise=True)
    two = search(recurrent_fn, root, ablation, seeds, noise=True)
    np.testing.assert_array_equal(one.value, two.value)
    np.testing.assert_array_equal(one.visit_counts, two.visit_counts)
