"""Reports as HTML, redrawn from result files where neither torch nor numba can be had, and opened in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis import collect, evidence, films, plots, recorded
from analysis.films import Shot
from analysis.study import FIGURES, StudyError
from skirmish.pictures.film import Mp4
from tests.analysis.measured import measured
from tests.analysis.synthetic import study_document, write_json, write_study
from tests.analysis.test_report import EVIDENCE

ROOT = Path(__file__).resolve().parents[2]
ODD = "<b>A & B</b> $x"  # a label that must stay text
REDRAW = """
import sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "numba", "mazero", "baselines", "skirmish"):
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Refuse())
from analysis import __main__
__main__.STUDIES = Path(sys.argv[1])
sys.exit(__main__.main(["redraw", sys.argv[2], "--claims", sys.argv[3]]))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with one study that is whole and one that is not its own, redrawn without torch."""
    home = tmp_path_factory.mktemp("home")
    frame, _ = measured(home)
    document = study_document("measured") | {"seeds": [5, 2]}
    del document["groups"]["matrix"]
    document["groups"]["smac"]["eval_every"] = 200
    document["algorithms"]["qmix"]["label"] = ODD
    (home / "measured.yaml").unlink()
    (home / "studies").mkdir()
    write_study(home / "studies", document)
    write_study(home / "studies", {**document, "name": "broken"})
    claim = {"id": "a", "text": "MAZero beats QMIX.", "source": "Fig. 3", "study": "measured", "better": "mazero"}
    claim |= {"than": ["qmix"], "metric": "final", "margin": 0.05}
    (home / "claims.yaml").write_text(yaml.safe_dump({"claims": [claim]}), encoding="utf-8")
    root = home / "results" / "measured"
    root.mkdir(parents=True)
    frame = frame[frame["group"] == "smac"].sort_index()
    collect.write(frame, root / "evaluations.csv")
    evidence.write(
        replace(EVIDENCE, identities=(("smac", "3m", "mazero", "feed0123"),), memory_mb={"qmix": 321.0}), root
    )
    _film(root)
    shutil.copytree(root, home / "results" / "broken")
    collect.write(frame.iloc[:-1], home / "results" / "broken" / "evaluations.csv")
    command = [sys.executable, "-c", REDRAW, str(home / "studies"), str(home / "results"), str(home / "claims.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr  # because of the broken one, which stands in nobody's way
    complaint = r"error: broken: \S+: holds 17 rows, study broken expects 18; [^\n]+\n"
    assert re.fullmatch(complaint, done.stderr), done.stderr
    assert f"{root}/report.html\n" in done.stdout and f"{home}/results/report.html\n" in done.stdout
    return home / "results"


def _film(root: Path) -> None:
    """Two frames of a won battle, and a reason why there is no other."""
    (root / "films").mkdir()
    film = Mp4(root / "films" / "won.mp4", 20)
    for shade in (0, 200):
        film.add(np.full((120, 160, 3), shade, np.uint8))
    film.finish(complete=True)
    won = Shot("SMAC", "3m", "MAZero, seed 5", "won", "films/won.mp4", 160, 120, "win after 9 steps, episode seed 0")
    lost = replace(won, outcome="lost", file="", text="none of 64 battles from seed 0 on is lost")
    write_json(root / films.NAME, [asdict(won), asdict(lost)])


class Page(HTMLParser):
    """What stands in a page: ids, links, images, tables and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("name", ["report.html", "measured/report.html"])
def test_a_page_is_whole_and_alone(results: Path, name: str) -> None:
    """Links within it lead somewhere, nothing comes from elsewhere, tables say what they are."""
    page = Page(results / name)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(attributes["href"]) for attributes in page.all("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= {*ids}
    assert all((results / name).parent.joinpath(link).is_file() for link in links if not link.startswith("#"))
    embedded = page.all("img") + page.all("video")
    assert embedded and all(str(item["src"]).startswith("data:") for item in embedded)
    assert all(int(str(item["width"])) > 100 and int(str(item["height"])) > 100 for item in embedded)
    assert all(item["alt"] for item in page.all("img"))
    assert not page.all("iframe") and not [item for item in page.all("script") if item.get("src")]
    tables = len(page.all("table"))
    assert tables and len(page.all("caption")) == tables
    assert all(item["scope"] in ("col", "row") for item in page.all("th"))


def test_a_study_says_what_it_rests_on(results: Path) -> None:
    page = Page(results / "measured" / "report.html")
    for text in ("c1 (2 runs)", "m1; m2", "feed0123", "61.2 minutes", "321 MB", "skirmish, unit data 4.10", "5, 2"):
        assert text in page.text, text
    assert "MAZero beats QMIX." in page.text and "inconclusive" in page.text  # two seeds settle nothing
    assert "SMAC, 3m, MAZero, seed 5, lost: none of 64 battles from seed 0 on is lost" in page.text
    assert len(page.all("video")) == 1 and len(page.all("img")) == len(FIGURES)
    assert ODD in page.text and not page.all("b")  # escaped
    assert page.text.index("Claims") < page.text.index("What was measured") < page.text.index("Provenance")


def test_the_report_on_all_has_what_could_be_drawn(results: Path) -> None:
    page = Page(results / "report.html")
    assert "#measured" in [item["href"] for item in page.all("a")] and "broken" not in page.text
    assert "1.26 hours" in page.text and "321 MB" in page.text
    assert (results / "claims.tex").read_text(encoding="utf-8").count("MAZero beats QMIX.") == 1


def test_result_files_can_be_copied_and_drawn_elsewhere(results: Path, tmp_path: Path) -> None:
    from analysis import redraw

    out = redraw.copied(results / "measured", tmp_path / "copy")
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {"evaluations.csv", "evidence.json", "films/films.json", "films/won.mp4"}


def test_what_cannot_be_embedded_is_one_line(results: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.svg: missing; draw the figures first"):
        plots.embed(tmp_path / "none.svg", title="T", caption="C")
    (tmp_path / "odd.svg").write_text('<svg width="10" height="20pt"></svg>', encoding="utf-8")
    with pytest.raises(StudyError, match=r"odd\.svg: no SVG with width and height in points"):
        plots.embed(tmp_path / "odd.svg", title="T", caption="C")
    [won, _] = films.read(results / "measured")
    with pytest.raises(StudyError, match=r"won\.mp4: missing; make the films again"):
        won.embedded(tmp_path)
    assert films.read(tmp_path) == []
    (tmp_path / "films").mkdir()
    (tmp_path / films.NAME).write_text("[{}]", encoding="utf-8")
    with pytest.raises(StudyError, match="not a list of films"):
        films.read(tmp_path)


@pytest.mark.parametrize("text", ['{"study": "measured"}', '{"study": 1}'])
def test_a_folder_that_says_nonsense_of_itself_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / recorded.NAME).write_text(text, encoding="utf-8")
    with pytest.raises(
        StudyError, match=r"variant\.json: expected texts for backend, maps, parts, scale, seeds, study"
    ):
        recorded.study_of(tmp_path)


BROWSER = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
# Clicks each head of the first long table twice and tells what the browser sees.
PROBE = """
<script>
addEventListener("load", async () => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  const images = [...document.images];
  await Promise.all(images.map((image) => image.decode()));
  const sorted = [];
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const cells = () => [...table.tBodies[0].rows].map((row) => row.cells[column]);
      const told = { table: table.id, numeric: head.classList.contains("number"), orders: [] };
      for (let click = 0; click < 2; click++) {
        head.querySelector("button").click();
        const texts = cells().map((cell) => cell.dataset.value ?? cell.textContent);
        told.orders.push([head.getAttribute("aria-sort"), texts]);
      }
      sorted.push(told);
    });
  }
  const sizes = images.map((image) => [image.naturalWidth, image.naturalHeight, image.getBoundingClientRect().width]);
  const films = [...document.querySelectorAll("video")].map((film) => [film.videoWidth, film.videoHeight]);
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const fetched = performance.getEntriesByType("resource").map((entry) => entry.name.slice(0, 60));
  const result = document.createElement("pre");
  result.id = "probe";
  result.textContent = JSON.stringify({ sizes, films, sorted, wide, fetched });
  document.body.append(result);
});
</script>
"""


def _opened(page: Path, width: int) -> dict[str, Any]:
    """What the probe tells of a page opened as a file, in a window of a width; console messages fail the test."""
    assert BROWSER
    probed = page.with_name(f"probed_{width}.html")
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},900", "--virtual-time-budget=20000"]
    command += [f"--user-data-dir={page.parent}/profile_{width}", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found, done.stderr
    told: dict[str, Any] = json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return told


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium or google-chrome on the path")
@pytest.mark.parametrize("name", ["report.html", "measured/report.html"])
@pytest.mark.parametrize("width", [1300, 500])  # no window of Chromium is narrower
def test_a_browser_shows_it_all_and_a_click_sorts(results: Path, name: str, width: int) -> None:
    told = _opened(results / name, width)
    assert told["sizes"] and all(min(size) > 100 for size in told["sizes"])
    assert told["films"] == ([[160, 120]] if name.startswith("measured") else [])
    assert told["wide"] <= 0  # tables and figures scroll, the page does not
    assert all(address.startswith("data:") for address in told["fetched"])
    numeric = [item for item in told["sorted"] if item["numeric"]]
    assert numeric and len(numeric) < len(told["sorted"])
    for item in told["sorted"]:
        (first, falling), (second, rising) = item["orders"]
        if not item["numeric"]:
            first, falling, second, rising = second, rising, first, falling
        assert (first, second) == ("descending", "ascending"), item
        if item["numeric"]:
            for order, values in ((-1, falling), (1, rising)):
                numbers = [float(value) for value in values if value != "-"]
                assert numbers == sorted(numbers, key=lambda value: order * value), item
                assert values[len(numbers) :] == ["-"] * (len(values) - len(numbers))  # empty ones last
        else:
            assert sorted(falling) == sorted(rising)
            distinct = len(set(rising)) > 1
            assert not distinct or rising[0] != falling[0] or rising[-1] != falling[-1], item
