"""Growing tables beside a checkpoint: written once, dropped in files, whole after a kill at any moment."""

import numpy as np
import pytest
import torch

from training import checkpoint, rows
from training.errors import UserError
from training.rows import Growing, RowFiles


class Table:
    """Rows of which row k holds k, in two columns; the first `dropped` are gone."""

    def __init__(self, end=0, dropped=0):
        self.end, self.dropped, self.asked = end, dropped, []

    def growing(self):
        def read(since):
            self.asked.append(since)
            numbers = np.arange(since, self.end)
            return {"number": numbers, "flags": np.stack([numbers % 2 == 0, numbers % 3 == 0], 1)}

        return Growing(self.dropped, self.end, read)


class Run:
    """A checkpoint and the files of its table, as the training loop uses them."""

    def __init__(self, folder):
        self.folder, self.files = folder, RowFiles(folder / "rows")

    def save(self, table, **more):
        checkpoint.save(self.folder / "c.pt", {"table": table.growing(), **more}, rows=self.files)

    def load(self):
        """In another process."""
        self.files = RowFiles(self.folder / "rows")
        return checkpoint.load(self.folder / "c.pt", rows=self.files)["table"]

    def sizes(self):
        return {path.name: path.stat().st_size for path in sorted((self.folder / "rows").glob("*"))}


def assert_holds(growing, table):
    assert (growing.first, growing.end) == (table.dropped, table.end)
    for since in {table.dropped, (table.dropped + table.end) // 2, table.end}:
        found, wanted = growing.read(since), table.growing().read(since)
        assert list(found) == list(wanted)
        for name, column in wanted.items():
            assert found[name].dtype == column.dtype and np.array_equal(found[name], column)


ROW = 8 + 2


def test_each_checkpoint_writes_only_the_rows_that_are_new(tmp_path):
    run, table = Run(tmp_path), Table()
    for before, end in [(0, 0), (0, 10), (10, 25), (25, 25), (25, 26)]:
        table.end, table.asked = end, []
        run.save(table)
        assert table.asked == [before]
        assert sum(run.sizes().values()) == end * ROW
        assert_holds(run.load(), table)
    assert (tmp_path / "c.pt").stat().st_size < 4000


def test_a_run_that_was_continued_goes_on_appending(tmp_path):
    run, table = Run(tmp_path), Table(10)
    run.save(table)
    run.load()
    table.end = 30
    run.save(table)
    assert run.sizes() == {"0.rows": 30 * ROW}
    assert_holds(run.load(), table)


def test_files_all_of_whose_rows_are_dropped_are_removed_when_no_checkpoint_names_them(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "FILE_BYTES", 10 * ROW)
    run, table = Run(tmp_path), Table()
    for end in range(5, 45, 5):
        table.end = end
        run.save(table)
    assert run.sizes() == {f"{k}.rows": 10 * ROW for k in range(4)}
    table.dropped = 21
    run.save(table)
    assert list(run.sizes()) == ["2.rows", "3.rows"]
    assert_holds(run.load(), table)
    table.dropped = table.end = 100  # none of these rows is wanted any more, and those since never were
    run.save(table)
    assert run.sizes() == {}
    table.end = 103
    run.save(table)
    assert_holds(run.load(), table)
    assert list(run.sizes()) == ["4.rows"]  # names are not used again


def test_a_table_that_is_not_saved_any_more_leaves_no_files(tmp_path):
    run = Run(tmp_path)
    run.save(Table(10))
    checkpoint.save(tmp_path / "c.pt", {"other": 1}, rows=run.files)
    assert run.sizes() == {}


def test_rows_before_the_first_wanted_one_are_not_written(tmp_path):
    run, table = Run(tmp_path), Table(end=10, dropped=4)
    run.save(table)
    assert run.sizes() == {"0.rows": 6 * ROW}
    assert_holds(run.load(), table)


@pytest.mark.parametrize("tear", [0, 1, 7, 1000])
def test_a_kill_between_rows_and_checkpoint_changes_nothing(tmp_path, tear):
    run, table = Run(tmp_path), Table(10)
    run.save(table)
    killed = Run(tmp_path)
    killed.load()
    table.end = 20
    killed.files.write("state.table", table.growing())
    whole = (tmp_path / "rows" / "0.rows").read_bytes()
    (tmp_path / "rows" / "0.rows").write_bytes(whole[: len(whole) - tear] if tear < 10 * ROW else whole + b"x" * tear)
    table.end = 10
    assert_holds(run.load(), table)
    table.end = 13
    run.save(table)
    assert run.sizes() == {"0.rows": 13 * ROW}
    assert_holds(run.load(), table)


def test_files_of_a_run_that_was_killed_before_its_first_checkpoint_are_written_over(tmp_path):
    Run(tmp_path).files.write("state.table", Table(50).growing())
    run, table = Run(tmp_path), Table(10)
    run.save(table)
    assert run.sizes() == {"0.rows": 10 * ROW}
    assert_holds(run.load(), table)


def test_a_checkpoint_that_cannot_be_written_is_tried_again(tmp_path, monkeypatch):
    run, table = Run(tmp_path), Table(10)
    run.save(table)

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    table.end = 20
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="No space"):
            run.save(table)
    before = Table(10)
    assert_holds(Run(tmp_path).load(), before)
    table.end = 22
    run.save(table)
    assert run.sizes() == {"0.rows": 22 * ROW}
    assert_holds(run.load(), table)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "got 0:"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "must hold 100 bytes from byte 0 on.*got 99:"),
        (lambda file: file.write_bytes(file.read_bytes()[::-1]), "got others: restore it from a copy, or move"),
    ],
)
def test_rows_that_are_not_the_checkpoints_are_refused(tmp_path, damage, message):
    run = Run(tmp_path)
    run.save(Table(10))
    damage(tmp_path / "rows" / "0.rows")
    growing = run.load()  # who only plays does not read the rows
    with pytest.raises(UserError, match=message):
        growing.read(0)


def test_only_numbers_go_into_rows_and_only_with_a_place_for_them(tmp_path):
    run = Run(tmp_path)
    odd = Growing(0, 1, lambda since: {"a": np.array(["text"])})
    with pytest.raises(TypeError, match=r"column a of state\.table must hold numbers, got <U4"):
        checkpoint.save(tmp_path / "c.pt", {"table": odd}, rows=run.files)
    with pytest.raises(TypeError, match=r"state\.table must be plain data, got Growing"):
        checkpoint.save(tmp_path / "c.pt", {"table": Table(1).growing()})


def test_without_files_a_table_is_left_out(tmp_path):
    Run(tmp_path).save(Table(3), weights=torch.ones(2))
    state = checkpoint.load(tmp_path / "c.pt")
    assert state["table"] is None and state["weights"].tolist() == [1, 1]


def test_a_finished_run_leaves_no_rows(tmp_path):
    run = Run(tmp_path)
    run.save(Table(3))
    (tmp_path / "rows" / "notes.txt").write_text("mine")
    run.files.remove()
    assert list(run.sizes()) == ["notes.txt"]
    (tmp_path / "rows" / "notes.txt").unlink()
    run.files.remove()
    assert not (tmp_path / "rows").exists()
