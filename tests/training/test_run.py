"""Run directories: who may write where."""

import os

import pytest

from training.errors import UserError
from training.run import RunDirectory, read_config


def test_the_same_config_continues_and_another_is_refused_by_name(tmp_path):
    RunDirectory(tmp_path / "r").prepare({"config": {"rho": 0.25}, "seed": 1})
    RunDirectory(tmp_path / "r").prepare({"config": {"rho": 0.25}, "seed": 1})
    with pytest.raises(UserError, match=r"config\.rho: 0\.25 there, 0\.75 here"):
        RunDirectory(tmp_path / "r").prepare({"config": {"rho": 0.75}, "seed": 1})
    assert read_config(tmp_path / "r") == {"config": {"rho": 0.25}, "seed": 1}


def test_a_directory_with_other_files_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        RunDirectory(tmp_path).prepare({})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write to output directory"):
        RunDirectory(tmp_path / "file" / "run").prepare({})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_directory_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write"):
        RunDirectory(tmp_path / "r").prepare({})


def test_a_directory_without_config_is_no_run(tmp_path):
    (tmp_path / "seed=0").mkdir()
    with pytest.raises(UserError, match="did you mean 'seed=0'"):
        read_config(tmp_path / "seed=00")
