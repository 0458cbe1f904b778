"""SMAC's module name for its PettingZoo adapter, the module `StarCraft2PZEnv`."""
