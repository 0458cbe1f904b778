"""Baselines MAZero is compared with, sorted by family. Nothing here knows of MAZero."""
