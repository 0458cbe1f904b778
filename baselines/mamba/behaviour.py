"""Actor and critic: both read the features (z, h) of the world model; the critic attends over agents."""

from __future__ import annotations

from torch import Tensor, nn

from baselines.mamba.attention import AgentAttention, xavier
from baselines.mamba.config import ModelConfig
from baselines.mamba.world_model import FeatureLinear, FeatureNet, State
from envs.interface import EnvInfo


def make_actor(info: EnvInfo, config: ModelConfig) -> FeatureNet:
    """Logits of actions, (R, A); orthogonal matrices of gain 1."""
    actor = FeatureNet(config.categoricals * config.classes, config.hidden_size, info.n_actions, nn.ReLU)
    for parameter in actor.parameters():
        if parameter.ndim >= 2:
            nn.init.orthogonal_(parameter)
    return actor


class Critic(nn.Module):
    """One value per agent, from the features of its whole team."""

    def __init__(self, info: EnvInfo, config: ModelConfig) -> None:
        super().__init__()
        size = self.size = config.hidden_size
        self.n_agents = info.n_agents
        self.first = FeatureLinear(config.categoricals * config.classes, size)
        self.attention = AgentAttention(size, config.heads, 1)
        self.rest = nn.Sequential(nn.ReLU(), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1))
        xavier(self)

    def forward(self, state: State) -> Tensor:
        """state: R rows, whole teams. Returns: (R,) float32 in reward units."""
        x = self.first(state).relu()
        x = self.attention(x.view(-1, self.n_agents, self.size)).view(-1, self.size)
        return self.rest(x).float().squeeze(-1)
