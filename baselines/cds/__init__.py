"""CDS: agents that share a network and are rewarded for being different; see README.md."""

from pathlib import Path

PRESETS = Path(__file__).parent / "presets"
