"""The report in a browser: it opens from disk, is drawn, can be read, and is never run as code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report import write_report
from tests.report.browser import CHROMIUM, DRIVER, Browser, browser
from tests.report.stores import plant

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH"
    ),
]
SCRIPT = "<script>alert(1)</script>"
IMAGE = "<img src=x onerror=\"window.ran = 1; alert('2')\">"
EMOJI = "🚣‍♀️ 'single' \"double\" `back` \\ & {{ 7 * 7 }} ${window.ran = 1}"
LONG = "w" * 10_000
NAMES = [SCRIPT, IMAGE, EMOJI, LONG]
PHONE = 390
OPEN_ALL = "for (const one of document.querySelectorAll('details')) one.open = true"
TOO_WIDE = """
const right = document.documentElement.clientWidth;
const clipped = (node) => node.closest(".scroll, pre, svg *, #vg-tooltip-element");
return [...document.body.querySelectorAll("*")]
  .filter((node) => node.getBoundingClientRect().right > right + 1 && !clipped(node))
  .map((node) => `${node.tagName}.${node.getAttribute("class")} ${node.textContent.slice(0, 60)}`);
"""

CUT = """
return [...document.querySelectorAll(".chart svg")].flatMap((svg) => {
  const whole = svg.getBoundingClientRect();
  const out = (box) => box.left < whole.left - 3 || box.right > whole.right + 3
    || box.top < whole.top - 3 || box.bottom > whole.bottom + 3;
  return [...svg.querySelectorAll("text")].filter((one) => out(one.getBoundingClientRect()))
    .map((one) => one.textContent.slice(0, 60));
});
"""


def loss(chosen: dict[str, Any], seed: int) -> float | str:
    rate = float(chosen["optimizer.lr"])
    return "failed" if rate == 1.0 and seed == 2 else rate + 0.01 * seed + 1


def errors(window: Browser) -> list[str]:
    """What the console has in red; Vega's warnings are its authors'."""
    return [one["message"] for one in window.log("browser") if one["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ordinary")
    plant(folder, loss, spec="study: planted\n", command="regatta run planted.yaml")
    return write_report(folder, figures=False)


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with other people's text wherever a report shows any."""
    folder = tmp_path_factory.mktemp("nasty")
    said = " ".join(NAMES)
    axes = {"optimizer.lr": [0.1, 0.3, 1.0], "data.name": NAMES}
    plant(
        folder,
        loss,
        axes,
        error=said,
        spec=said,
        command=said,
        report={"title": f"{SCRIPT}{IMAGE}{EMOJI}"},
        overrides=[f"data.name={name}" for name in NAMES],
    )
    return write_report(folder, figures=False)


@pytest.fixture
def opened(reader: Browser, page: Path) -> Browser:
    reader.media()
    reader.resize(1280, 900)
    reader.open(page)
    return reader


def test_every_figure_is_drawn_offline_and_without_an_error(opened: Browser, page: Path) -> None:
    assert opened.requests() == [page.as_uri()]
    assert errors(opened) == []
    charts = opened.value("document.querySelectorAll('.chart').length")
    assert charts == opened.value("document.querySelectorAll('script.spec').length") > 5
    assert opened.value("document.querySelectorAll('.chart svg').length") == charts
    assert "could not be drawn" not in opened.value("document.body.innerText")
    marks = "[...document.querySelectorAll('.chart')].map(c => c.querySelectorAll('path').length)"
    assert min(opened.value(marks)) > 3


def test_a_browser_finds_faults(reader: Browser, tmp_path: Path) -> None:
    """The tests around this one can fail: requests and errors are seen where there are any."""
    reader.media()
    reader.resize(PHONE, 844, phone=True)
    file = tmp_path / "faulty.html"
    file.write_text(
        "<!DOCTYPE html><meta name=viewport content='width=device-width'>"
        "<div style='width:900px' class=wide>wide</div>"
        "<script src='http://127.0.0.1:9/nothing.js'></script><script>missing()</script>"
    )
    reader.open(file)
    assert reader.requests() == [file.as_uri(), "http://127.0.0.1:9/nothing.js"]
    assert any("missing is not defined" in message for message in errors(reader))
    assert [text for text in reader.run(TOO_WIDE) if "wide" in text]


def test_a_tooltip_follows_the_pointer(opened: Browser) -> None:
    spot = opened.run("""
      const marks = [...document.querySelectorAll(".chart .mark-symbol.role-mark path")];
      const mark = marks.find((one) => one.getBoundingClientRect().width > 4);
      mark.scrollIntoView({block: "center", behavior: "instant"});
      const box = mark.getBoundingClientRect();
      return {x: box.x + box.width / 2, y: box.y + box.height / 2};
    """)
    assert not opened.value("document.querySelector('#vg-tooltip-element.visible')")
    opened.hover(**spot)
    opened.wait_for("document.querySelector('#vg-tooltip-element.visible td.value')", 5)
    shown = opened.value("document.querySelector('#vg-tooltip-element').innerText")
    assert "schedule" in shown
    assert "null" not in shown


COLOURS = """
const style = (node) => node ? getComputedStyle(node) : {};
return {
  paper: style(document.body).backgroundColor,
  ink: style(document.body).color,
  label: style(document.querySelector(".chart .role-axis-label text")).fill,
  mark: style(document.querySelector(".chart .mark-line.role-mark path")).stroke,
};
"""


def test_dark_mode_and_paper_change_colours_without_drawing_again(opened: Browser) -> None:
    light = opened.run(COLOURS)
    assert light["paper"] == "rgb(255, 255, 255)"
    opened.media(scheme="dark")
    dark = opened.run(COLOURS)
    assert all(dark[part] != light[part] for part in light), (light, dark)
    assert _luminance(dark["paper"]) < 0.02 < 0.6 < _luminance(dark["ink"])
    opened.media("print", "dark")  # paper is white, whatever the screen is
    assert opened.run(COLOURS) == light
    shown = "getComputedStyle(document.querySelector('nav')).display"
    assert opened.value(shown) == "none"
    pdf = opened.cdp("Page.printToPDF", printBackground=False)["data"]
    assert len(pdf) > 50_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(opened: Browser, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1 for text; 3 to 1 for lines (1.4.11)."""
    opened.media(scheme=scheme)
    colours = opened.run(COLOURS)
    paper = colours.pop("paper")
    for part, colour in colours.items():
        high, low = sorted([_luminance(colour), _luminance(paper)], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= (3.0 if part == "mark" else 4.5), part


def _luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)``: WCAG's definition."""
    levels = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("which", ["page", "nasty"])
@pytest.mark.parametrize("width", [PHONE, 768, 1280])
def test_nothing_is_wider_than_the_screen(
    reader: Browser, which: str, width: int, request: pytest.FixtureRequest
) -> None:
    reader.media()
    reader.resize(width, 844, phone=width == PHONE)
    reader.open(request.getfixturevalue(which))
    reader.run(OPEN_ALL)
    assert reader.value("window.innerWidth") == width
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert reader.value(wide) == 0
    assert reader.run(TOO_WIDE) == []
    assert reader.run(CUT) == []


def test_other_peoples_text_is_shown_and_runs_nothing(reader: Browser, nasty: Path) -> None:
    reader.media()
    reader.resize(1280, 900)
    reader.open(nasty)
    reader.run(OPEN_ALL)
    # An alert would have made every call since then fail: "unexpected alert open".
    assert reader.value("window.ran === undefined")
    assert reader.value("document.querySelectorAll('img, main script:not(.spec)').length") == 0
    assert reader.requests() == [nasty.as_uri()]
    assert errors(reader) == []
    shown = reader.value("document.body.innerText")
    for text in (SCRIPT, IMAGE, EMOJI):
        assert shown.count(text) >= 3, text
    assert reader.value("document.title") == f"{SCRIPT}{IMAGE}{EMOJI} · Regatta"
    in_figures = reader.value(
        "[...document.querySelectorAll('.chart svg text')].map(t => t.textContent).join(' ')"
    )
    assert SCRIPT in in_figures
    assert "🚣" in in_figures
    assert "w" * 1000 not in in_figures


def test_a_tooltip_shows_other_peoples_text_as_text(reader: Browser, nasty: Path) -> None:
    reader.media()
    reader.resize(1280, 900)
    reader.open(nasty)
    spots = """
      const marks = [...document.querySelectorAll(".chart .mark-symbol.role-mark path")];
      const seen = marks.filter((one) => one.getBoundingClientRect().width > 4);
      const mark = seen[arguments[0]];
      if (!mark) return null;
      mark.scrollIntoView({block: "center", behavior: "instant"});
      const box = mark.getBoundingClientRect();
      return {x: box.x + box.width / 2, y: box.y + box.height / 2};
    """
    said = ""
    for number in range(0, 60, 3):
        if (spot := reader.run(spots, number)) is None:
            break
        reader.hover(**spot)
        said += reader.value("document.querySelector('#vg-tooltip-element')?.innerText ?? ''")
    assert SCRIPT in said
    assert (
        reader.value("document.querySelectorAll('#vg-tooltip-element :is(img, script)').length")
        == 0
    )
    assert reader.value("window.ran === undefined")
