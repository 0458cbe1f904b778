"""Caches of kernels follow their sources."""

import pytest

from skirmish.compiled import STAMP, forget_stale_kernels


@pytest.mark.parametrize("mark", ["from numba import njit", "from package.jit import helper"])
def test_kernels_of_other_sources_are_forgotten(tmp_path, mark):
    cache = tmp_path / "physics" / "__pycache__"
    cache.mkdir(parents=True)
    source, kernel = tmp_path / "physics" / "loop.py", cache / "loop.step-1.py311.nbi"
    source.write_text(f"{mark}\ndef a(): return 1")
    kernel.write_bytes(b"old")
    assert forget_stale_kernels(tmp_path)
    assert not kernel.exists()
    kernel.write_bytes(b"new")
    assert not forget_stale_kernels(tmp_path)
    assert kernel.exists()
    (tmp_path / "film.py").write_text("no kernels here")
    assert not forget_stale_kernels(tmp_path)
    source.write_text(f"{mark}\ndef a(): return 2")
    assert forget_stale_kernels(tmp_path)
    assert not kernel.exists()
    assert (tmp_path / "__pycache__" / STAMP).exists()
