"""Frames, films and the gallery of maps."""
