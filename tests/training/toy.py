"""A learner that learns nothing, for tests of everything around learners."""

from training.errors import require_finite


class Toy:
    """Three environment steps a call; what it says and plays follows from its state, so any loss of state shows."""

    def __init__(self, *, diverges_at=None):
        self.env_steps = self.updates = self.episodes = self.weights = 0
        self.diverges_at, self.seeds = diverges_at, []

    def advance(self):
        self.env_steps += 3
        self.updates += 1
        self.episodes = self.env_steps // 6
        self.weights = 10 * self.updates
        if self.diverges_at is not None and self.env_steps >= self.diverges_at:
            require_finite({"loss": float("nan")})

    def evaluate(self, seed):
        self.seeds.append(seed)
        share = (self.weights * 37 % 101) / 101
        return {"num_episodes": 4, "win_rate": share, "return_mean": share, "return_std": 0.0, "length_mean": 6.0}

    def policy_state(self):
        return {"weights": self.weights}

    def load_policy_state(self, state):
        self.weights = state["weights"]

    def drain_metrics(self):
        return {"loss": 1.0 / (1 + self.updates)} if self.updates else {}

    def state_dict(self):
        return {"counts": (self.env_steps, self.updates, self.episodes), "weights": self.weights}

    def load_state_dict(self, state):
        self.env_steps, self.updates, self.episodes = state["counts"]
        self.weights = state["weights"]
