"""SMAC's module name for `skirmish.faces.multi_agent`."""

from skirmish.faces.multi_agent import MultiAgentEnv

__all__ = ["MultiAgentEnv"]
