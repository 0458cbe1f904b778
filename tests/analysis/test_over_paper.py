"""Our curves over the paper's: what is drawn is what the tables and the paper's figures say."""

import csv

import numpy as np
import pytest

from analysis import coverage, over_paper
from analysis.paper_curves import paper_curve
from analysis.tried import COLUMNS


def table(path, name="3m", seeds=(0, 1), **changes):
    """A table of `analysis.tried`: win rates 0 and 0.5 + seed / 10, and one run that was stopped."""
    known = {"preset": "laptop", "backend": "skirmish", "unit_data": "4.10", "num_episodes": 32, "map": name}
    known |= {"program": "mazero", "budget": 20_000} | changes
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for seed, state in [*((seed, "finished") for seed in seeds), (9, "stopped")]:
            for steps, win in ((0, 0.0), (10_000, 0.5 + seed / 10)):
                writer.writerow(
                    known | {"seed": seed, "state": state, "kind": "eval", "env_steps": steps, "win_rate": win}
                )
            writer.writerow(known | {"seed": seed, "state": state, "kind": "absolute", "env_steps": 0, "win_rate": 1})
    return path


def lines_of(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


def test_the_papers_curves():
    curve = paper_curve("3m")
    assert (curve.figure, len(curve.x)) == ("Fig. 3", 51)
    assert curve.at([10_000, 9_500]).tolist() == pytest.approx([0.642, (0.554 + 0.642) / 2])
    assert np.isnan(curve.at(60_000)) and curve.at(50_001) == curve.win_rate[-1]
    assert paper_curve("3m", "QMIX").at(50_000) < 0.5
    assert paper_curve("8m").figure == "Fig. 5" and paper_curve("8m").at(300_000) == pytest.approx(0.775, abs=1e-3)
    assert paper_curve("8m", "MAZero without AWPO").at(300_000) == pytest.approx(0.40, abs=0.01)
    assert paper_curve("25m") is None


def test_means_seeds_and_the_papers_curve_are_drawn(tmp_path):
    rows = [over_paper.evaluations(table(tmp_path / f"{name}.csv", name)) for name in ("3m", "8m", "25m")]
    figure = over_paper.of_tables(over_paper.pd.concat(rows))
    assert [axes.get_title() for axes in figure.axes] == ["3m", "8m", "25m"]
    drawn = lines_of(figure.axes[0])
    assert drawn["MAZero, ours"] == [[0, 0], [10_000, pytest.approx(0.55)]]
    assert [10_000, 0.642] in drawn["MAZero, the paper"]
    assert "MAZero, the paper" in lines_of(figure.axes[1]) and "MAZero, the paper" not in lines_of(figure.axes[2])
    assert len(figure.axes[2].lines) == 3  # two finished seeds and their mean
    words = " ".join(text.get_text() for text in figure.texts)
    assert "unit data 4.10, preset laptop" in words and "2 seeds, 32 games an evaluation; thin: seed" in words
    assert f"simulated coverage {coverage.covers('mean', seeds=2, maps=1)} with 2 seeds" in words
    assert "(Fig. 3, 8m: Fig. 5)" in words


def test_command_line(tmp_path, capsys):
    one, other = table(tmp_path / "3m.csv"), table(tmp_path / "8m.csv", "8m", seeds=(0,))
    assert over_paper.main([str(one), str(other), "--out", str(tmp_path / "over.png")]) == 0
    assert (tmp_path / "over.png").stat().st_size > 5000 and (tmp_path / "over.pdf").is_file()
    assert str(tmp_path / "over.png") in capsys.readouterr().out


def test_stopped_runs_are_drawn_on_request_and_called_so(tmp_path):
    path = table(tmp_path / "3m.csv", seeds=())
    assert over_paper.evaluations(path).empty
    [axes] = over_paper.of_tables(over_paper.evaluations(path, stopped=True)).axes
    assert axes.get_title() == "3m, stopped at 10,000 of 20,000"
    assert lines_of(axes)["MAZero, ours"][-1] == [10_000, pytest.approx(1.4)]


def test_rivals_in_a_table_are_not_drawn(tmp_path):
    path, other = table(tmp_path / "3m.csv"), table(tmp_path / "qmix.csv", program="baselines", preset="low_data")
    alone = over_paper.evaluations(path)
    path.write_text(path.read_text() + other.read_text().split("\n", 1)[1])
    assert len(over_paper.evaluations(path)) == len(alone) == 4


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"preset": "paper"}, "one preset, backend"),
        ({"unit_data": "4.6.2"}, "one preset, backend"),
        ({"name": "3m", "seeds": (2, 3), "num_episodes": 8}, "one preset, backend"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, capsys, second, message):
    tables = [table(tmp_path / "a.csv"), table(tmp_path / "b.csv", **second)]
    assert over_paper.main([*map(str, tables), "--out", str(tmp_path / "over.png")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "over.png").exists()


def test_runs_with_other_marks_and_nothing_at_all(tmp_path):
    rows = over_paper.evaluations(table(tmp_path / "a.csv"))
    with pytest.raises(ValueError, match="all seeds of 3m must have the same evaluations"):
        over_paper.of_tables(rows.iloc[:-1])
    with pytest.raises(ValueError, match="got none"):
        over_paper.of_tables(rows.iloc[:0])
