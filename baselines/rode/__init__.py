"""RODE: roles over action representations that are learned first."""
