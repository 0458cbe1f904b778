"""The exceptions that are shown as a single line: a mistake of the caller, and a learner that came to grief."""

import math
from collections.abc import Mapping


class UserError(ValueError):
    """Bad input found before any work started. Its message says what, got, expected and the remedy."""


class Diverged(ArithmeticError):
    """A number of a learner is no longer finite; what would follow from it would mean nothing."""


def require_finite(values: Mapping[str, float]) -> None:
    """Raises: Diverged naming the first of `values` that is not finite."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise Diverged(f"{name} is {value}")
