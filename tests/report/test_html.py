"""report.html: complete in itself, well formed, and whole on a wide screen and on a phone."""

import base64
import html
import json
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers.example_report import comparison, report, with_figures
from matplotlib.figure import Figure

from rl_warmup.report.html import LARGEST_SVG, picture, render

CHROMIUM = shutil.which("chromium")
QUIET = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --hide-scrollbars --virtual-time-budget=5000
    --enable-logging=stderr --dump-dom
""".split()  # noqa: SIM905
VOID = {"meta", "link", "img", "br", "hr"}
# What a browser says about the page in the frame: opened details, then everything that is wrong.
LOOK = """
function wrong(frame) {
  const page = frame.contentDocument, width = page.documentElement.clientWidth, found = [];
  page.querySelectorAll("details").forEach(one => { one.open = true; });
  if (page.documentElement.scrollWidth > width) found.push("the page is wider than the screen");
  const scrolls = one => one && (["auto", "scroll"].includes(frame.contentWindow.getComputedStyle(one).overflowX)
    || scrolls(one.parentElement));
  page.querySelectorAll("body *").forEach(one => {
    const box = one.getBoundingClientRect();
    if (scrolls(one)) return;
    if (box.width && (box.right > width + 1 || box.left < -1)) found.push("beyond: " + one.outerHTML);
    if (one.clientWidth && one.scrollWidth > one.clientWidth + 1) found.push("within: " + one.outerHTML);
  });
  page.querySelectorAll("img").forEach(one => {
    if (!one.complete || !one.naturalWidth) found.push("not loaded: " + one.alt);
  });
  frame.contentWindow.performance.getEntriesByType("resource").forEach(one => {
    if (!one.name.startsWith("data:")) found.push("requested: " + one.name);
  });
  return {width, images: page.images.length, wrong: found.map(text => text.slice(0, 300))};
}
window.onload = () => {
  const all = [...document.querySelectorAll("iframe")].map(wrong);
  document.getElementById("seen").textContent = JSON.stringify(all);
};
"""


class Page(HTMLParser):
    """Every tag of a page with its attributes, and whether tags are closed in the order they are opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of a name."""
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with every section."""
    folder = tmp_path_factory.mktemp("figures")
    return render(with_figures(report(), folder), folder)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_nothing_is_loaded_from_anywhere(text: str, page: Page) -> None:
    sources = [
        value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "srcset")
    ]
    assert sources
    assert all((source or "").startswith("data:image/") for source in sources)
    assert not {"script", "iframe", "object", "embed", "video", "audio"} & {tag for tag, _ in page.tags}
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face|https?:", style)
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)


def test_addresses_are_references_in_the_protocol_only(text: str) -> None:
    addresses = [link["href"] or "" for link in Page(text).all("a")]
    outside = [address for address in addresses if not address.startswith("#")]
    assert len(outside) > 3
    assert all(address.startswith("https://arxiv.org/abs/") for address in outside)
    assert all(text.index(address) > text.index('id="protocol"') for address in outside)


def test_the_page_is_well_formed_and_says_its_language_and_width(page: Page) -> None:
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert {"charset": "utf-8"} in page.all("meta")
    assert len(page.all("h1")) == len(page.all("title")) == len(page.all("main")) == 1


def test_ids_are_unique_and_all_contents_resolve(page: Page) -> None:
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert max(ids.values()) == 1
    links = [(link["href"] or "")[1:] for link in page.all("a") if (link["href"] or "").startswith("#")]
    assert links == [section["id"] for section in page.all("section")]
    assert set(links) <= set(ids)
    assert {table["aria-describedby"] for table in page.all("table")} <= set(ids)


def test_sections_come_in_the_order_of_the_argument(page: Page) -> None:
    assert [section["id"] for section in page.all("section")] == [
        "answer",
        "forest",
        "main-table",
        "curves",
        "heatmaps",
        "differences",
        "robustness",
        "stability",
        "dose",
        "diagnostics",
        "problems",
        "protocol",
        "reproduce",
    ]


def test_every_figure_has_words_for_who_cannot_see_it(page: Page) -> None:
    images = page.all("img")
    assert len(images) == 7
    assert images[0]["alt"] == "Title forest. n < 9"
    assert all(image["alt"] for image in images)


def test_every_table_row_is_as_wide_as_its_head(text: str) -> None:
    tables = re.findall(r"<table.*?</table>", text, flags=re.S)
    assert len(tables) > 9
    for table in tables:
        width = table[: table.index("</thead>")].count("<th scope")
        for row in re.findall(r"<tr>.*?</tr>", table[table.index("</thead>") :], flags=re.S):
            assert row.count("<td") == width, row


def test_verdicts_are_told_by_symbol_and_word(text: str) -> None:
    for verdict, symbol in {"better": "▲", "worse": "▼", "equivalent": "=", "inconclusive": "?"}.items():
        assert f'<span class="verdict {verdict}">{symbol} {verdict}</span>' in text


def test_what_others_wrote_stays_text(text: str, page: Page) -> None:
    assert "Does it &lt;help&gt;?" in text
    assert any("run <b>x</b> is left out & named" in words for words in page.words)
    assert not page.all("b")


def test_a_study_without_comparisons_is_still_a_page(tmp_path: Path) -> None:
    empty: dict[str, Any] = {"comparisons": [], "dose": [], "dispersion": [], "problems": []}
    content = report() | empty | {"robustness": {"edges": [], "sensitivity": []}}
    page = Page(render(content, tmp_path))
    assert page.open == []
    assert [section["id"] for section in page.all("section")] == [
        "answer",
        "curves",
        "stability",
        "diagnostics",
        "problems",
        "protocol",
        "reproduce",
    ]
    assert "None were found." in " ".join(page.words)


def test_many_findings_are_folded(tmp_path: Path) -> None:
    rows = [comparison(0.004, "shortfall", treatment=f"linear {n}% gradient steps") for n in range(1, 31)]
    text = render(report() | {"comparisons": rows}, tmp_path)
    assert "22 more findings" in text
    assert "At a glance (30 pairs of arms)" in text
    assert text.count('<strong class="better in the runs seen">') == 30  # gathered, but each arm has its own


def test_a_large_svg_is_shown_as_png(tmp_path: Path) -> None:
    drawn = with_figures(report(), tmp_path)["figures"][0]
    Figure(figsize=(1, 1)).savefig(tmp_path / "forest-x.png")
    assert picture(drawn, tmp_path)["source"].startswith("data:image/svg+xml;base64,")
    (tmp_path / "forest-x.svg").write_text(" " * (LARGEST_SVG + 1))
    source = picture(drawn, tmp_path)["source"]
    assert source.startswith("data:image/png;base64,")
    assert base64.b64decode(source.partition(",")[2]) == (tmp_path / "forest-x.png").read_bytes()


def test_a_figure_without_files_is_an_error(tmp_path: Path) -> None:
    content = with_figures(report(), tmp_path)
    (tmp_path / "curves-x.svg").unlink()
    with pytest.raises(FileNotFoundError, match=r"curves-x\.png"):
        render(content, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH (Debian: apt-get install chromium)")
def test_a_browser_shows_it_whole_on_a_wide_screen_and_on_a_phone(text: str, tmp_path: Path) -> None:
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(text)}"></iframe>'
        for width in (1280, 390)
    )
    (tmp_path / "harness.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><script>{LOOK}</script>{frames}<pre id="seen"></pre>'
    )
    done = subprocess.run(
        [CHROMIUM or "", *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'harness.html'}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seen = json.loads(html.unescape(done.stdout.partition('<pre id="seen">')[2].partition("</pre>")[0]))
    assert seen == [{"width": width, "images": 7, "wrong": []} for width in (1280, 390)]
    assert "CONSOLE" not in done.stderr
