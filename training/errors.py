"""The one exception that stands for a mistake of the caller and is shown as a single line."""


class UserError(ValueError):
    """Bad input found before any work started. Its message says what, got, expected and the remedy."""
