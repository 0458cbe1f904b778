"""Games that fail on a schedule."""

from tests.envs.smac.conftest import fragile

__all__ = ["fragile"]
