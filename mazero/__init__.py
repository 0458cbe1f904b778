"""MAZero: multi-agent MuZero with sampled joint actions, OS(lambda) and AWPO (Liu et al. 2024, arXiv 2405.11778)."""
