"""Numbers of pages against their files: each statistic by hand, what is refused, and every page of this repository."""

import json

import pytest

from analysis import cited

CSV = """map,algorithm,label,seed,mark,win_rate,absolute_win_rate,hours,unit_data
3m,mazero,MAZero,0,5000,0.50,0.90,0.25,4.10
3m,mazero,MAZero,1,5000,0.75,0.96,0.25,4.10
3m,mazero,MAZero,0,10000,1.00,0.90,0.50,4.10
3m,mazero,MAZero,1,10000,0.90,0.96,1.50,4.10
3m,qmix,QMIX (published),0,5000,0.00,0.10,,4.10
3m,qmix,QMIX (published),0,10000,0.02,0.10,,4.10
8m,mazero,MAZero,0,5000,0.125,0.2,1.0,4.10
"""
TRIED = "name,kind,env_steps,win_rate\nmine,eval,5008,0.25\nmine,absolute,5008,0.75\nmine,eval,10048,0.5\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "x.csv").write_text(CSV)
    (tmp_path / "tried.csv").write_text(TRIED)
    (tmp_path / "y.json").write_text(json.dumps({"results": [{"rate": 33.46}], "good": True, "name": "n"}))
    return tmp_path


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("0.950<!--= mean win_rate x.csv map=3m algorithm=mazero mark=10000 -->", "0.950"),
        ("0.7<!--= mean win_rate x.csv map=3m algorithm=mazero mark=5000 -->", "0.6"),
        ("95 %<!--= mean win_rate x.csv map=3m algorithm=mazero mark=10000 -->", "95"),
        ("50%<!--= least win_rate x.csv map=3m algorithm=mazero mark=5000 -->", "50"),
        ("0.5<!--= most win_rate x.csv algorithm=mazero mark=5000 -->", "0.8"),
        ("2.00<!--= sum hours x.csv map=3m algorithm=mazero,qmix mark=10000 -->", "2.00"),
        ("1<!--= sum hours x.csv map=3m algorithm=mazero mark=10000 times=60 -->", "120"),
        ("1,000<!--= sum hours x.csv map=3m algorithm=mazero mark=10000 times=3600 -->", "7,200"),
        ("−3<!--= sum hours x.csv map=3m algorithm=mazero mark=10000 times=-1 -->", "−2"),
        ("1<!--= count hours x.csv map=3m mark=5000 -->", "2"),
        ("3<!--= different seed x.csv map=3m -->", "2"),
        ("0.1<!--= value win_rate x.csv map=8m unit_data=4.10 -->", "0.1"),
        ("33.5<!--= value results.0.rate y.json -->", "33.5"),
        ("34<!--= value results.0.rate y.json -->", "33"),
        ("0.50<!--= value win_rate tried.csv name=mine kind=eval mark=10000 -->", "0.50"),
    ],
)
def test_a_number_is_what_its_file_says_in_the_decimals_written(root, written, right):
    number, _, comment = written.partition("<!--")
    unit = number[len(number.rstrip(" %")) :]
    page, faults = cited.renewed(f"first\nIt won {written} of all.", root=root)
    assert page == f"first\nIt won {right}{unit}<!--{comment} of all."
    assert len(faults) == (number.rstrip(" %") != right) and all(fault.startswith("2: ") for fault in faults)
    assert cited.renewed(page, root=root) == (page, [])


def test_numbers_without_a_source_and_other_comments_are_left_alone(root):
    page = "0.3 <!-- = 5 --> 12 <!-- what -->"
    assert cited.renewed(page, root=root) == (page, [])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mean win_rate z.csv map=3m", "no file z.csv"),
        ("mean winrate x.csv map=3m", "no column 'winrate': it has map, algorithm"),
        ("mean win_rate x.csv maps=3m", "no column 'maps'"),
        ("mean win_rate x.csv map=3m,9m", "no row has map=9m"),
        ("value win_rate x.csv map=3m", "6 rows where one is expected"),
        ("mean hours x.csv algorithm=qmix", "no rows"),
        ("median win_rate x.csv", "STATISTIC COLUMN FILE"),
        ("mean win_rate", "STATISTIC COLUMN FILE"),
        ("mean win_rate x.csv map", "STATISTIC COLUMN FILE"),
        ("value results.1.rate y.json", "nothing at '1'"),
        ("value results.rate y.json", "nothing at 'rate'"),
        ("value good y.json", "is no number, but True"),
        ("value name y.json", "is no number, but 'n'"),
        ("mean results.0.rate y.json", "one value, by its dotted path"),
    ],
)
def test_a_source_that_says_nothing_is_a_fault_and_changes_nothing(root, source, message):
    page = f"0.5<!--= {source} -->"
    text, (fault,) = cited.renewed(page, root=root)
    assert text == page and message in fault and fault.startswith("1: ")


def test_a_source_behind_no_number_is_a_fault(root):
    for stray in ("some<!--= mean win_rate x.csv -->", "<!--= curves x.csv map=3m at=5000 -->\nno end"):
        page = f"0.1<!--= value win_rate x.csv map=8m --> and\n{stray}"
        text, (fault,) = cited.renewed(page, root=root)
        assert text == page and fault.startswith("2: a source behind no number")


def test_tables_of_curves_are_made_with_the_papers_below(root):
    page = "<!--= curves x.csv map=3m at=5000,10000 -->\nold\n<!--/ -->\nend"
    text, (fault,) = cited.renewed(page, root=root)
    assert "1: the table is another now" in fault
    assert text.splitlines() == [
        "<!--= curves x.csv map=3m at=5000,10000 -->",
        "| mean (least) | 5k | 10k | absolute |",
        "|---|---|---|---|",
        "| MAZero, 2 seeds | 0.62 (0.50) | 0.95 (0.90) | 0.93 (0.90) |",
        "| QMIX (published), 1 seed | 0.00 (0.00) | 0.02 (0.02) | 0.10 (0.10) |",
        *[line for line in text.splitlines() if "the paper" in line],
        "<!--/ -->",
        "end",
    ]
    assert [line.split(",")[0] for line in text.splitlines() if "the paper" in line] == ["| MAZero", "| QMIX"]
    assert cited.renewed(text, root=root) == (text, [])
    only, _ = cited.renewed(page.replace("10000", "10000 algorithm=qmix"), root=root)
    assert "QMIX" in only and "MAZero" not in only


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("curves x.csv map=3m", "needs one map=MAP"),
        ("curves x.csv at=5000", "needs one map=MAP"),
        ("curves x.csv map=3m at=6000", "no win_rate at one of the marks"),
        ("curves x.csv map=8m at=5000 algorithm=mazero,vdn", "no row has algorithm=vdn"),
    ],
)
def test_a_table_without_its_rows_is_a_fault(root, source, message):
    page = f"<!--= {source} -->\nold\n<!--/ -->\n"
    text, (fault,) = cited.renewed(page, root=root)
    assert text == page and message in fault


def test_the_command_tells_and_writes(tmp_path, capsys):
    source = "value results.0.env_steps results/reference/benchmarks/rivals_low_data.json"
    page = tmp_path / "page.md"
    page.write_text(f"7<!--= {source} -->\n")
    assert cited.main([str(page)]) == 1 and page.read_text().startswith("7<")
    assert capsys.readouterr().out == f"{page}:1: 7 must be 852: {source}\n"
    assert cited.main([str(page), "--write"]) == 1 and page.read_text().startswith("852<")
    assert cited.main([str(page)]) == 0
    with pytest.raises(SystemExit):
        cited.main([str(tmp_path / "none.md")])


def test_every_cited_number_of_this_repository_is_what_its_file_says():
    faults = {page: cited.renewed(page.read_text())[1] for page in cited.pages()}
    assert len(faults) > 20 and not {page: wrong for page, wrong in faults.items() if wrong}
