"""Colours, lines and markers of algorithms, sizes of figures, ticks, and what is written into files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib
import matplotlib.axes
import pytest
import seaborn
from matplotlib.figure import Figure
from PIL import Image

from analysis import style
from analysis.study import Algorithm, Study
from analysis.style import COLUMN, DASH_DOTTED, DASHED, HEADER, LEGEND_ROW, PAGE, Look
from tests.analysis.synthetic import make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("style"))


@pytest.fixture(autouse=True)
def paper() -> Iterator[None]:
    with style.paper_style():
        yield


def algorithm(key: str, program: str = "baselines") -> Algorithm:
    return Algorithm(key, program, key, key.upper(), {})


def with_algorithms(study: Study, *algorithms: Algorithm) -> Study:
    return replace(study, algorithms={item.key: item for item in algorithms})


def test_known_algorithms_keep_their_colour_and_others_take_what_is_left(study: Study) -> None:
    palette = seaborn.color_palette("colorblind")
    items = [algorithm("qmix"), algorithm("a"), algorithm("mazero", "mazero"), algorithm("b"), algorithm("no_awpo")]
    # 7, 0 and 2 are fixed: the free ones begin at 1, 3. Lines: the reference, those of its program, others.
    assert style.looks(with_algorithms(study, *items)) == {
        "qmix": Look("QMIX", palette[7], "-", "o"),
        "a": Look("A", palette[1], DASHED, "s"),
        "mazero": Look("MAZERO", palette[0], DASH_DOTTED, "D"),
        "b": Look("B", palette[3], DASHED, "^"),
        "no_awpo": Look("NO_AWPO", palette[2], DASHED, "v"),
    }
    assert DASHED != DASH_DOTTED


def test_more_algorithms_than_colours_begin_again_darker(study: Study) -> None:
    palette = seaborn.color_palette("colorblind")
    looks = list(style.looks(with_algorithms(study, *(algorithm(f"a{k}") for k in range(12)))).values())
    dark = [tuple(style.DARKER * part for part in colour) for colour in palette[:2]]
    assert [look.colour for look in looks] == [*palette, *dark] and 0 < style.DARKER < 0.8
    assert [look.marker for look in looks] == [*style.MARKERS, *style.MARKERS[:2]]


def share(figure: Figure) -> float:
    """Part of the figure's height that the panels may use."""
    engine = figure.get_layout_engine()
    assert engine is not None
    left, bottom, width, height = engine.get()["rect"]
    assert (left, bottom, width) == (0, 0, 1)
    return float(height)


@pytest.mark.parametrize(
    ("count", "rows", "columns", "width"), [(1, 1, 1, COLUMN), (2, 1, 2, 0.75 * PAGE), (3, 1, 3, PAGE), (9, 3, 4, PAGE)]
)
def test_panels(count: int, rows: int, columns: int, width: float) -> None:
    figure, axes = style.panels(count, height=2.0)
    total = 2.0 * rows + HEADER
    assert figure.get_size_inches() == pytest.approx([width, total])
    assert share(figure) == pytest.approx(1 - HEADER / total)
    assert figure.axes == axes and len(axes) == count
    spots = []
    for one in axes:
        spec = one.get_subplotspec()
        assert spec is not None and (spec.get_gridspec().nrows, spec.get_gridspec().ncols) == (rows, columns)
        spots.append((spec.rowspan.start, spec.colspan.start))
    assert spots == [divmod(index, columns) for index in range(count)]
    assert all(axes[0].get_shared_y_axes().joined(axes[0], other) for other in axes[1:])


def test_panels_with_a_legend_other_columns_and_scales_of_their_own() -> None:
    figure, axes = style.panels(5, height=1.5, legend_rows=3, most_columns=2, share_y=False)
    assert figure.get_size_inches() == pytest.approx([0.75 * PAGE, HEADER + 3 * 1.5 + 3 * LEGEND_ROW])
    assert not axes[0].get_shared_y_axes().joined(axes[0], axes[1])


def test_headline(study: Study) -> None:
    figure = Figure(figsize=(4, 5))
    style.headline(figure, "A title", study.groups["smac"], made_by="skirmish", notes=("bar: so", "dot: so"))
    one = replace(study.groups["matrix"], seeds=(3,))
    style.headline(figure, "Another", one, made_by="matrix")
    assert [text.get_text() for text in figure.texts] == [
        *("A title", "backend skirmish", "2 seeds · evaluations of 32 episodes", "bar: so", "dot: so"),
        *("Another", "backend matrix", "1 seed · evaluations of 8 episodes"),
    ]
    lines = (*style.HEADER_LINES, *style.HEADER_LINES[:3])
    for text, down in zip(figure.texts, lines, strict=True):  # inches from the upper left corner
        assert text.get_position() == pytest.approx((style.HEADER_INDENT / 4, 1 - down / 5))
        assert text.get_va() == "top"
    assert [text.get_weight() for text in figure.texts] == ["bold", *4 * ["normal"], "bold", *2 * ["normal"]]


def test_a_title_that_is_too_wide_is_written_smaller() -> None:
    words = "many words that go on and on beyond the edge of one panel, and then some more"
    for title, lines in ((words, ["short", "shorter"]), ("Short", [f"{words} and more", "short"])):
        figure, _ = style.panels(1, height=2)
        style.header(figure, title, *lines)
        assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in figure.texts)
        sizes = [text.get_fontsize() for text in figure.texts]
        assert (sizes[0] < style.TITLE["fontsize"]) == (title == words)
        assert sizes[1] == sizes[2] and (sizes[1] < style.SMALL["fontsize"]) == (title != words)


def test_a_taller_header_has_room_for_a_fourth_line() -> None:
    low, tall = (style.panels(1, height=2, header=header)[0] for header in (style.HEADER, style.TALL_HEADER))
    assert low.get_size_inches()[1] == pytest.approx(2 + style.HEADER)
    assert tall.get_size_inches()[1] == pytest.approx(2 + style.TALL_HEADER)
    assert share(tall) == pytest.approx(2 / (2 + style.TALL_HEADER))
    spacing = style.HEADER_LINES[-1] - style.HEADER_LINES[-2]
    assert spacing == pytest.approx(style.TALL_HEADER - style.HEADER)


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        (1, ["0", "0.25", "0.5", "0.75", "1"]),
        (400, ["0", "100", "200", "300", "400"]),
        (900, ["0", "250", "500", "750"]),
        (1500, ["0", "500", "1k", "1.5k"]),
        (20_000, ["0", "5k", "10k", "15k", "20k"]),
        (50_000, ["0", "20k", "40k"]),
        (1_000_000, ["0", "250k", "500k", "750k", "1M"]),
    ],
)
def test_steps_axis(study: Study, budget: int, wanted: list[str]) -> None:
    axes = Figure().subplots()
    style.steps_axis(axes, replace(study.groups["smac"], env_steps=budget))
    assert [text.get_text() for text in axes.get_xticklabels()] == wanted
    factor = {"k": 1e3, "M": 1e6}
    assert axes.get_xticks().tolist() == [float(text.rstrip("kM")) * factor.get(text[-1], 1.0) for text in wanted]
    assert axes.get_xlim() == pytest.approx((0, 1.02 * budget))


def test_steps_axis_with_more_ticks_and_room(study: Study) -> None:
    axes = Figure().subplots()
    style.steps_axis(axes, replace(study.groups["smac"], env_steps=50_000), ticks=5, room=0.5)
    assert axes.get_xticks().tolist() == [0, 10_000, 20_000, 30_000, 40_000, 50_000]
    assert axes.get_xlim() == (0, 75_000)


@pytest.mark.parametrize(
    ("steps", "text"), [(999, "999"), (1000, "1k"), (-1000, "-1k"), (1234, "1.234k"), (0.5, "0.5"), (1e6, "1M")]
)
def test_thousands(steps: float, text: str) -> None:
    assert style.thousands(steps) == text


def test_files_say_nothing_of_when_and_by_what_they_were_made(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 0.5))
    for _ in range(2):  # a second time, over what is there
        written = style.save(figure, tmp_path / "new" / "folder" / "name")
    png, pdf = tmp_path / "new" / "folder" / "name.png", tmp_path / "new" / "folder" / "name.pdf"
    assert written == (png, pdf)
    with Image.open(png) as image:
        assert image.size == (200, 100) and set(image.info) == {"dpi"} and image.format == "PNG"
    content = pdf.read_bytes()
    assert content.startswith(b"%PDF") and b"CreationDate" not in content and b"Producer" in content
    *_, svg = style.save(figure, tmp_path / "all", suffixes=style.ALL)
    text = svg.read_text(encoding="utf-8")
    assert svg.name == "all.svg" and 'width="72pt"' in text and "<dc:date>" not in text


def test_paper_style_ends_with_its_block() -> None:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        with style.paper_style():
            assert matplotlib.rcParams["pdf.fonttype"] == 42 and matplotlib.rcParams["axes.grid"]
        assert matplotlib.rcParams["pdf.fonttype"] == 3 and not matplotlib.rcParams["axes.grid"]
