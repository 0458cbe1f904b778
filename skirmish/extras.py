"""What to install for the parts of the package that need more than numpy and numba."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

DISTRIBUTION = "skirmish-smac"


@contextmanager
def needed_for(purpose: str, package: str, *, extra: str) -> Iterator[None]:
    """Imports inside that fail say what to install.

    Args: purpose: plural, e.g. "films"; package: its name for people; extra: of the distribution that brings it.
    Raises: ImportError.
    """
    try:
        yield
    except ImportError as error:
        remedy = f"pip install '{DISTRIBUTION}[{extra}]'"
        raise ImportError(f"{purpose} need {package}, got {str(error)!r}: {remedy}", name=error.name) from error
