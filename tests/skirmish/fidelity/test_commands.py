"""The commands and the figure."""

import csv

import numpy as np
import pytest

from skirmish.fidelity.commands import parse_options
from skirmish.fidelity.figure import draw, fidelity_figure
from skirmish.fidelity.measure import Record, compare_lengths, compare_untrained
from skirmish.fidelity.targets import random_lengths, target_maps, untrained_returns
from skirmish.play import main

FAST = ["--maps", "2m_vs_1z", "--kinds", "alternating", "--quick"]


def test_fidelity_prints_and_writes(tmp_path, capsys):
    table, figure = tmp_path / "t.csv", tmp_path / "f.png"
    arguments = ["fidelity", *FAST, "--rules", "jitter_scale=0.5", "--csv", str(table), "--out", str(figure)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "alternating fire, 2 loops" in out and ">= 0.95" in out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["quantity"] for row in rows] == ["alternating fire, 2 loops", "alternating fire, 8 loops"]
    assert rows[0]["case"] == "game_version=4.10 jitter_scale=0.5"
    assert figure.read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.png", "t.csv"]  # no half-written files


def test_calibrate_prints_what_was_tried(capsys):
    arguments = [
        "calibrate",
        "--fit",
        "2m_vs_1z",
        "--grid",
        "jitter_scale=0,0.5",
        "--kinds",
        "alternating",
        "--rounds",
        "1",
    ]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "3 settings tried" in out and "held out, 1 maps: 2s_vs_1sc" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fidelity", "--maps", "3n"], "did you mean '3m'"),
        (["fidelity", "--kinds", "speed"], "unknown kind 'speed'"),
        (["fidelity", "--rules", "jiter_scale=1"], "did you mean 'jitter_scale'"),
        (["fidelity", "--rules", "jitter_scale"], "rules must be given as key=value"),
        (["fidelity", "--rules", "jitter_scale=much"], "jitter_scale must be of type float, got 'much'"),
        (["fidelity", "--rules", "turning=maybe"], "turning must be true or false, got 'maybe'"),
        (["fidelity", *FAST, "--rules", "jitter_scale=7"], "jitter_scale must lie in [0, 1]"),
        (["fidelity", *FAST, "--game-version", "3.0"], "3.0"),
        (["fidelity", "--out", "figure.gif"], "figure must be a .png, .svg or .pdf file"),
        (["fidelity", "--maps", "3m", "--kinds", "plateaus"], "must have a real value in common"),
        (["calibrate", "--fit", "odd", "--grid", "jitter_scale="], "rules must be given as key=value"),
        (["calibrate", "--fit", "3n", "--grid", "jitter_scale=1"], "did you mean '3m'"),
        (["calibrate", "--fit", "odd", "--grid", "jitter_scale=1", "--rounds", "0"], "rounds must be at least 1"),
    ],
)
def test_bad_input_is_one_line_and_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_options_have_the_types_of_their_fields():
    pairs = ["jitter_scale=1", "step_mul=4", "turning=false", "keep_acquired=1", "game_version=4.6.2"]
    options = parse_options(pairs)
    assert options == {
        "jitter_scale": 1.0,
        "step_mul": 4,
        "turning": False,
        "keep_acquired": True,
        "game_version": "4.6.2",
    }
    assert [type(value) for value in options.values()] == [float, int, bool, bool, str]


@pytest.fixture(scope="module")
def records():
    found = []
    for name in target_maps():
        found += compare_lengths(name, np.repeat(random_lengths(name), 3) + 1.0)
        found += compare_untrained(name, untrained_returns(name) * 0.5)
    found += [Record(name, "heuristic", 0.9, 0.4, 9, -0.5, -0.25) for name in ("3m", "MMM2")]
    found.append(Record("2m_vs_1z", "alternating fire, 2 loops", 1.0, 0.3, 9, -0.7, -0.49))
    return found


def test_the_figure_shows_what_was_measured(records):
    figure = fidelity_figure(records, "a=1")
    axes = [axes for part in figure.subfigs for axes in part.axes]
    titles = [axes.get_title("left") for axes in axes]
    assert set(target_maps()) <= set(titles)
    panel = axes[titles.index("6h_vs_8z")]
    ours, real, dots = panel.lines
    # Half of the real battles have ended after 24 steps, and of the shifted ones after 25.
    for line, at in ((real, 24.0), (ours, 25.0)):
        x, y = line.get_data()
        assert y[x <= at][-1] >= 0.5 > y[x < at][-1]
    assert dots.get_xdata().min() == 21
    heuristic = axes[titles.index("SMAC's heuristic")]
    assert [bar.get_height() for bar in heuristic.patches] == [0.9, 0.9, 0.4, 0.4]
    scripts = axes[titles.index("Scripts that must win at least so often")]
    assert scripts.patches[0].get_height() == 0.3
    assert scripts.lines[0].get_ydata()[0] == 0.95
    texts = [text.get_text() for part in figure.subfigs for text in part.texts]
    assert "a=1" in texts


def test_drawing_twice_gives_the_same_file(records, tmp_path):
    for name in ("a.svg", "b.svg"):
        draw(records, tmp_path / name, "a=1")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    with pytest.raises(ValueError, match=r"figure must be one of \.png, \.pdf, \.svg"):
        draw(records, tmp_path / "c.gif", "a=1")
