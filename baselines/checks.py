"""Bounds of settings: what the dataclasses of all families ask of their fields, in one wording."""

from __future__ import annotations


def at_least(section: str, minimum: float, **values: float) -> None:
    """Raises: ValueError naming the first of `values` that is smaller than `minimum`."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{section}.{name} must be at least {minimum}, got {value}: correct the setting")


def positive(section: str, **values: float) -> None:
    """Raises: ValueError naming the first of `values` that is not above 0."""
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{section}.{name} must be positive, got {value}: correct the setting")


def fraction(section: str, **values: float) -> None:
    """Raises: ValueError naming the first of `values` outside [0, 1]."""
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{section}.{name} must lie in [0, 1], got {value}: correct the setting")


def one_of(section: str, known: tuple[str, ...], **values: str) -> None:
    """Raises: ValueError naming the first of `values` that is not among `known`."""
    for name, value in values.items():
        if value not in known:
            raise ValueError(f"{section}.{name} must be one of {', '.join(known)}, got {value!r}")
