"""How programs meet the simulator: vectorised, with SMAC's names, through PettingZoo."""
