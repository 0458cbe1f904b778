"""Sampled tree search over joint actions with OS(lambda) values (MAZero, arXiv 2405.11778).

Rules that a rival may replace: `rules`.
"""

from mazero.search.base import InPlaceModel, RecurrentFn, Root, SearchConfig, SearchResult
from mazero.search.reference import reference_search
from mazero.search.search import Workspace, search

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
