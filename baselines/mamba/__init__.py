"""MAMBA: a world model with attention between agents, and PPO inside its imagination (arXiv 2205.15023)."""
