"""Kernels follow their sources, wherever they lie; numba stays quiet; long compilations are announced."""

import importlib
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skirmish import compiled
from skirmish.progress import Announcer

ROOT = Path(__file__).parents[2]

KERNELS = """
from pathlib import Path
from skirmish.compiled import compiler_of
njit = compiler_of(Path(__file__).parent)
"""
CALLER = """
from small_package.jit import njit
from small_package.callee import value

@njit(cache=True)
def twice():
    return 2 * value()
"""
CALLEE = """
from small_package.jit import njit

@njit(cache=True)
def value():
    return {}
"""
RUN = "from small_package.caller import twice; print(twice(), sum(twice.stats.cache_hits.values()))"


def write_package(folder, value):
    package = folder / "small_package"
    package.mkdir(exist_ok=True)
    for name, text in (("__init__", ""), ("jit", KERNELS), ("caller", CALLER), ("callee", CALLEE.format(value))):
        (package / f"{name}.py").write_text(text)
    return package


def run_python(code, **environment):
    environment = {"PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("place", ["package", "NUMBA_CACHE_DIR", "user"])
def test_a_changed_callee_in_another_file_is_compiled_anew(tmp_path, place):
    package = write_package(tmp_path, 3)
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(tmp_path / "home")}
    expected = package / "__pycache__"
    if place == "NUMBA_CACHE_DIR":
        expected = tmp_path / "chosen"
        environment[place] = str(expected)
    elif place == "user":  # nothing can be written beside the sources
        expected = tmp_path / "home" / "small_package"
        (package / "__pycache__").write_text("a file where the folder would be")

    assert run_python(RUN, **environment).stdout.split() == ["6", "0"]
    assert run_python(RUN, **environment).stdout.split() == ["6", "1"]  # found on disk
    write_package(tmp_path, 4)
    assert run_python(RUN, **environment).stdout.split() == ["8", "0"]
    kernels = list(tmp_path.rglob("caller.twice*.nbi"))
    assert len(kernels) == 2 and all(expected in kernel.parents for kernel in kernels)


def test_kernels_are_compiled_where_nothing_can_be_written(tmp_path, monkeypatch):
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    monkeypatch.setattr(compiled, "_bases", lambda package: [nowhere / "folder"])
    assert compiled.kernel_folder(tmp_path) is None
    njit = compiled.compiler_of(tmp_path)
    one = njit(cache=True)(lambda: 1)
    assert one() == 1 and one.stats.cache_path is None


def test_folders_of_older_sources_are_removed_but_for_the_latest(tmp_path):
    package = write_package(tmp_path, 0)
    folders = []
    for value in range(5):
        write_package(tmp_path, value)
        folders.append(compiled.kernel_folder(package))
        os.utime(folders[-1], (value, value))
    assert [folder.exists() for folder in folders] == [False, False, True, True, True]
    (package / "film.py").write_text("no kernels here")
    assert compiled.kernel_folder(package) == folders[-1]


def test_the_cache_of_other_packages_stays_where_it_is():
    numba = importlib.import_module("numba")
    before = numba.config.CACHE_DIR
    compiled.njit(cache=True)(lambda: 1)
    assert numba.config.CACHE_DIR == before


DEBUG = """
import logging
logging.basicConfig(level=logging.DEBUG)
{before}
from skirmish.compiled import njit
assert njit(lambda: 1)() == 1
"""


def test_numba_is_quiet_under_a_root_logger_at_debug():
    assert run_python(DEBUG.format(before=""), PYTHONPATH=str(ROOT)).stderr == ""


def test_who_sets_the_level_of_numbas_logger_keeps_it():
    before = "logging.getLogger('numba').setLevel(logging.DEBUG)"
    assert "numba.core" in run_python(DEBUG.format(before=before), PYTHONPATH=str(ROOT)).stderr
    assert logging.getLogger("numba").level == logging.WARNING  # set by the import above


def announce(*steps):
    """Let an announcer that watches "kernel" hear of `steps`."""
    announcer = Announcer()
    kernel, helper = object(), object()
    announcer.watch(kernel)
    with announcer.together():
        for step in steps:
            dispatcher = helper if step == "helper" else kernel
            event = type("Event", (), {"data": {"dispatcher": dispatcher}})
            announcer.on_start(event)
            announcer.on_end(event)


def test_kernels_compiled_together_are_announced_once(monkeypatch, capsys):
    monkeypatch.setenv("SKIRMISH_QUIET", "")
    announce("helper")
    assert capsys.readouterr().err == ""
    announce("kernel", "helper", "kernel")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("skirmish: compiling kernels") and second.startswith("skirmish: ... compiled in")
    monkeypatch.setenv("SKIRMISH_QUIET", "1")
    announce("kernel")
    assert capsys.readouterr().err == ""
