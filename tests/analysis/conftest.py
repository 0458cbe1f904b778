"""What tests of statistics share."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest

from analysis import aggregates, style
from analysis.study import Study
from tests.analysis.measured import measured

FEW = 200


@pytest.fixture
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Bootstraps of rliable with `FEW` repetitions, forgotten before other tests ask for theirs."""
    kept = (aggregates._resampled, aggregates._profile)
    for function in kept:
        function.cache_clear()
    monkeypatch.setattr(aggregates, "REPETITIONS", FEW)
    yield FEW
    for function in kept:
        function.cache_clear()


@pytest.fixture
def paper() -> Iterator[None]:
    """The style of all figures."""
    with style.paper_style():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Study]:
    """The table of `measured` and its study."""
    return measured(tmp_path_factory.mktemp("measured"))
