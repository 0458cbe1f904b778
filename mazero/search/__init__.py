"""Sampled tree search over joint actions with OS(lambda) values (MAZero, arXiv 2405.11778)."""

from pathlib import Path

from skirmish.compiled import forget_stale_kernels

forget_stale_kernels(Path(__file__).parent)  # before any kernel is loaded

from mazero.search.base import InPlaceModel, RecurrentFn, Root, SearchConfig, SearchResult  # noqa: E402
from mazero.search.reference import reference_search  # noqa: E402
from mazero.search.search import Workspace, search  # noqa: E402

__all__ = [
    "InPlaceModel",
    "RecurrentFn",
    "Root",
    "SearchConfig",
    "SearchResult",
    "Workspace",
    "reference_search",
    "search",
]
