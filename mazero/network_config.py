"""Sizes and structure of MAZero's networks: Table 1 and Fig. 6 of the paper."""

from __future__ import annotations

from dataclasses import dataclass

STRUCTURES = ("individual", "flat")
SHARINGS = ("all", "type", "none")


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and structure of the networks."""

    hidden_size: int = 128
    """H, width of the hidden state of one agent and of the attention."""
    mlp_sizes: tuple[int, ...] = (128, 128)
    """Hidden layers of representation and dynamics."""
    head_size: int = 32
    """Hidden layer of the reward, value and policy heads."""
    attention_layers: int = 3
    attention_heads: int = 8
    dropout: float = 0.1
    """In the attention layers, during learning only."""
    projection_size: int = 128
    predictor_size: int = 64
    support: int = 5
    """Value and reward are distributions over the integers -support..support, after h(x)."""
    stacked_observations: int = 1
    """How many of the last observations, concatenated, make the input."""
    structure: str = "individual"
    """`individual`: every agent has a hidden state, dynamics and a policy. `flat`: the team is one agent, whose state
    is as wide as theirs together and whose policy still is a product of the agents' (Fig. 6)."""
    communication: bool = True
    """Attention over agents in the dynamics; false: an agent's next state follows from its own state and action."""
    sharing: str = "all"
    """Whose parameters are the same in what an agent computes of its own (representation, embedding, dynamics, policy):
    `all` agents', those of agents of one unit `type`, or `none`. What sees the whole team is one network anyway."""

    def __post_init__(self) -> None:
        for name, known in (("structure", STRUCTURES), ("sharing", SHARINGS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.structure == "flat" and not (self.communication and self.sharing == "all"):
            raise ValueError(
                "structure flat has no agents that could share parameters or communicate, got "
                f"communication {str(self.communication).lower()}, sharing {self.sharing!r}: leave both as they are"
            )
        if self.hidden_size % self.attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of attention_heads ({self.attention_heads})"
            )
        for name in ("hidden_size", "head_size", "attention_heads", "support", "stacked_observations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}: it is the share of features dropped")
