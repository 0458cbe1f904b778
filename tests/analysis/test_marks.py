"""The table of marks, by hand."""

import pytest

from analysis import marks

HEADER = "name,map,state,seed,kind,env_steps,win_rate,policy_win_rate\n"
ROWS = """\
a,3m,finished,0,eval,0,0.0,0.0
a,3m,finished,0,eval,5000,0.5,0.25
a,3m,finished,0,eval,7500,1.0,1.0
a,3m,finished,0,absolute,5000,0.75,
a,3m,stopped,1,eval,0,0.0,0.0
a,3m,stopped,1,eval,5000,1.0,0.5
"""


def test_means_and_least_of_the_marks_that_all_have_reached(tmp_path, capsys):
    path = tmp_path / "3m.csv"
    path.write_text(HEADER + ROWS)
    assert marks.main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3m, seeds 0, 1",
        "",
        "| mean (least) | 5k | absolute |",
        "|---|---|---|",
        "| with search | 0.75 (0.50) | - |",  # one run is not finished
        "| without search | 0.38 (0.25) | - |",
        "| the paper, Fig. 3 | 0.14 | - |",
        "",
    ]
    assert marks.main([str(path), "--finished"]) == 0
    assert capsys.readouterr().out.splitlines()[2:5:2] == [
        "| mean (least) | 5k | 7.5k | absolute |",
        "| with search | 0.50 (0.50) | 1.00 (1.00) | 0.75 (0.75) |",
    ]
    path.write_text(HEADER + ROWS + "a,3m,stopped,1,eval,7500,0.5,0.5\na,3m,stopped,1,absolute,5000,1.0,\n")
    marks.main([str(path)])
    assert capsys.readouterr().out.splitlines()[4] == "| with search | 0.75 (0.50) | 0.75 (0.50) | 0.88 (0.75) |"


def test_kinds_of_run_share_a_table_and_baselines_have_one_line_each(tmp_path, capsys):
    path = tmp_path / "3m.csv"
    qmix = "qmix,3m,finished,{seed},eval,5000,{rate},\nqmix,3m,finished,{seed},absolute,5000,{rate},\n"
    path.write_text(HEADER + ROWS + qmix.format(seed=0, rate=0.5) + qmix.format(seed=2, rate=0.0))
    assert marks.main([str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "3m, seeds 0, 1",
        "",
        "| mean (least) | 5k | absolute |",
        "|---|---|---|",
        "| a, with search | 0.75 (0.50) | - |",
        "| a, without search | 0.38 (0.25) | - |",
        "| qmix, seeds 0, 2 | 0.25 (0.00) | 0.25 (0.00) |",
        "| the paper, Fig. 3 | 0.14 | - |",
        "",
    ]


def test_intervals_over_seeds_on_request(tmp_path, capsys):
    path = tmp_path / "3m.csv"
    path.write_text(HEADER + ROWS)
    assert marks.main([str(path), "--intervals"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| mean [95 %] | 5k | absolute |"
    assert lines[4] == "| with search | 0.75 [0.50, 1.00] | - |"  # a resample of two seeds is all one in half the cases


def test_a_missing_table_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        marks.main([str(tmp_path / "none.csv")])
    assert "no table" in capsys.readouterr().err
