"""The figure of search cost, whole, and the command that draws it."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import seaborn
from matplotlib.colors import to_hex
from PIL import Image

from analysis import speed, style

SHARES = {"inference": 0.5, "tree": 0.3, "glue": 0.2}


def row(rate: float, **axis: int) -> dict[str, Any]:
    base = {"n_agents": 3, "num_sampled_actions": 10, "num_simulations": 50, "batch": 64}
    return {**base, **axis, "simulations_per_second": rate, "share": SHARES}


RECORD: dict[str, Any] = {
    "provenance": {"cpu": "a processor", "threads": 1},
    "inference": {"backend": "auto"},
    "sweep": {
        "base": {"agents": "3m", "num_sampled_actions": 10, "num_simulations": 50, "batch": 64},
        "agents": [row(1e5, n_agents=3), row(5e4, n_agents=8)],
        "num_sampled_actions": [row(2e5, num_sampled_actions=5)],
        "num_simulations": [row(1e5, num_simulations=100)],
        "batch": [row(2e4, batch=1), row(1e5, batch=64), row(2e5, batch=256)],
    },
}
# Axis of a panel -> values of the axis and microseconds per simulation.
COSTS = {
    "agents n": {"3": 10, "8": 20},
    "sampled joint actions K": {"5": 5},
    "simulations N": {"100": 10},
    "roots searched together B": {"1": 50, "64": 10, "256": 5},
}


def test_figure() -> None:
    figure = speed.draw(RECORD)
    assert [axes.get_xlabel() for axes in figure.axes] == list(COSTS)
    assert [axes.get_ylabel() for axes in figure.axes] == ["µs per simulation and root", "", "", ""]
    colours = [to_hex(colour) for colour in seaborn.color_palette("colorblind")[:3]]
    for axes, costs in zip(figure.axes, COSTS.values(), strict=True):
        assert axes.get_xticks().tolist() == list(range(len(costs)))
        assert [text.get_text() for text in axes.get_xticklabels()] == list(costs)
        assert [container.get_label() for container in axes.containers] == list(SHARES)
        below = [0.0] * len(costs)
        for container, colour, share in zip(axes.containers, colours, SHARES.values(), strict=True):
            for position, (bar, cost) in enumerate(zip(container, costs.values(), strict=True)):
                assert to_hex(bar.get_facecolor()) == colour and bar.get_linewidth() == 0
                assert bar.get_x() + bar.get_width() / 2 == pytest.approx(position) and 0.5 < bar.get_width() < 1
                assert (bar.get_y(), bar.get_height()) == pytest.approx((below[position], share * cost))
                below[position] += share * cost
        assert not axes.xaxis.get_gridlines()[0].get_visible() and axes.yaxis.get_gridlines()[0].get_visible()
        assert max(text.get_fontsize() for text in axes.get_xticklabels()) < style.RC["xtick.labelsize"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(SHARES)
    assert [to_hex(patch.get_facecolor()) for patch in legend.get_patches()] == colours
    assert figure.get_suptitle() == (
        "Cost of search: 3m, K = 10, N = 50, B = 64 unless varied; a processor, 1 thread(s), auto"
    )
    assert figure.get_size_inches()[0] == style.PAGE


def test_nothing_is_drawn_over_anything_else() -> None:
    """Title at the left above the panels, the legend in one row in the middle below them, all within the page."""
    figure = speed.draw(RECORD)
    with style.paper_style():
        figure.draw_without_rendering()
    (title,) = figure.texts
    (legend,) = figure.legends
    assert not legend.get_frame_on() and len({round(text.get_window_extent().y0) for text in legend.get_texts()}) == 1
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    top, bottom = title.get_window_extent(), legend.get_window_extent()
    for box in boxes:
        assert box is not None and bottom.y1 <= box.y0 < box.y1 <= top.y0 and 0 <= box.x0 < box.x1 <= figure.bbox.x1
    for left, right in pairwise(boxes):
        assert left is not None and right is not None and left.x1 <= right.x0 + 1
    assert 0 <= top.x0 < 0.02 * figure.bbox.x1 and top.x1 <= figure.bbox.x1 and top.y1 <= figure.bbox.y1
    assert bottom.y0 >= 0 and abs((bottom.x0 + bottom.x1) / 2 - figure.bbox.x1 / 2) < 2


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is UTF-8, also where ASCII is Python's own default."""
    monkeypatch.setattr(io, "text_encoding", lambda encoding, stacklevel=2: encoding or "ascii")
    record, out = tmp_path / "bench.json", tmp_path / "cost.png"
    text = json.dumps(RECORD, ensure_ascii=False)
    record.write_text(text.replace("a processor", "ein Prozessor für Türme"), encoding="utf-8")
    assert speed.main([str(record), "--out", str(out)]) == 0
    with Image.open(out) as image:
        assert image.size[0] == style.PAGE * style.DPI
    assert capsys.readouterr() == ("", "")
    missing, broken = tmp_path / "nothing.json", tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    assert speed.main([str(missing), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {missing}: [Errno 2] No such file") and said.endswith("\n")
    assert speed.main([str(broken), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {broken}: Expecting property name")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        speed.main(["--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert page.startswith("usage: python -m analysis.speed [-h] --out OUT record The cost of MAZero's search against ")
    assert "Reads what" not in page


def test_the_style_ends_with_the_figure() -> None:
    before = dict(matplotlib.rcParams)
    speed.draw(RECORD)
    assert dict(matplotlib.rcParams) == before
