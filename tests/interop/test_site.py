"""The documentation site in a real browser: every link leads somewhere, nothing comes from elsewhere."""

from __future__ import annotations

import html
import http.server
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.interop.webdriver import Browser
from tests.support import requires
from tests.support.loopback import Quiet, serving

ROOT = Path(__file__).parents[2]
HTML = ROOT / "build" / "site" / "html"
SOME_PAGES = ("/", "/reference/commands/forward/", "/protocol/", "/how-to/sandbox/", "/reference/performance/")


class _Page(HTMLParser):
    """Links, ids and resources of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(str(values["id"]))
        for name in ("href", "src"):
            if values.get(name):
                self.links.append(str(values[name]))


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The built site, served on loopback: its address without a slash at the end."""
    requires.program("dot", package="graphviz")
    if not (ROOT / ".venv-site" / "bin" / "zensical").exists():
        requires.missing("needs the generator of the site (make interop installs it)")
    built = subprocess.run(
        ["make", "--no-print-directory", "site"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr

    class Files(Quiet, http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(HTML))

    with serving(Files) as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


def _pages() -> dict[str, _Page]:
    """Address of each page below the site -> what is in it."""
    found = {}
    for path in HTML.rglob("*.html"):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        found["/" + path.relative_to(HTML).as_posix().removesuffix("index.html")] = page
    return found


def test_every_link_leads_to_a_page_and_a_heading(site: str) -> None:
    pages = _pages()
    assert len(pages) > 80
    broken = []
    for address, page in pages.items():
        if address == "/404.html":  # its links are for every depth
            continue
        for link in page.links:
            target = urlsplit(urljoin(f"http://site{address}", link))
            if target.netloc != "site":
                continue
            path, fragment = unquote(target.path), unquote(target.fragment)
            is_file = (HTML / path.lstrip("/")).is_file()
            if path not in pages and not is_file:
                broken.append(f"{address}: {link}")
            elif fragment and path in pages and fragment not in pages[path].ids:
                broken.append(f"{address}: {link} (no such heading)")
    assert broken == []


def test_every_page_has_a_title_and_a_description_of_its_own(site: str) -> None:
    assert site
    heads = {}
    for path in HTML.rglob("index.html"):
        text = path.read_text(encoding="utf-8")
        title = re.search(r"<title>(.*?)</title>", text)
        description = re.search(r'<meta name="description" content="(.*?)">', text)
        heads[path.parent.relative_to(HTML).as_posix()] = (title and title[1], description and description[1])
    assert [page for page, (title, description) in heads.items() if not title or not description] == []
    assert heads["."][0] == "AWS credentials for a program, and SSM sessions - aws-runas"
    counts = Counter(description for _, description in heads.values())
    assert [description for description, count in counts.items() if count > 1] == []


def test_address_without_a_page_leads_on(site: str) -> None:
    assert site
    text = (HTML / "404.html").read_text(encoding="utf-8")
    assert "There is no page at this address" in text
    assert '<a href="/">the first page</a>' in text


def test_every_command_has_a_page_with_its_flags(site: str) -> None:
    text = (HTML / "reference" / "commands" / "forward" / "index.html").read_text(encoding="utf-8")
    assert "--through" in text
    assert "aws-runas forward -p 8888" in text


def test_every_chart_of_a_run_is_on_the_performance_page_below_its_heading(site: str) -> None:
    assert site
    text = (HTML / "reference" / "performance" / "index.html").read_text(encoding="utf-8")
    shown = re.findall(r'<img alt="([^"]*)" src="\.\./charts/(\w+)-\d+\.svg"', text)
    data = {path.stem: json.loads(path.read_text()) for path in (ROOT / "docs" / "reference" / "bench").glob("*.json")}
    wanted = {(f"{chart['title']}, {chart['unit']}", name) for name, found in data.items() for chart in found["charts"]}
    assert len(shown) == len(wanted)
    assert {(html.unescape(title), name) for title, name in shown} == wanted
    drawn = "".join(path.read_text(encoding="utf-8") for path in HTML.glob("reference/charts/*.svg"))
    assert re.findall(r": \d\.\d+e\+\d+<", drawn) == []
    order = [text.index(f"charts/{name}-") for name in ("forward", "codec", "startup", "fleet")]
    assert order == sorted(order)


def test_bars_in_the_code_of_tables_have_no_backslash(site: str) -> None:
    assert site
    cells = {}
    for path in HTML.rglob("*.html"):
        found = re.findall(r"<td[^>]*>(.*?)</td>", path.read_text(encoding="utf-8"), re.DOTALL)
        cells[path.relative_to(HTML).as_posix()] = [html.unescape(cell) for cell in found]
    assert any("<code>[run|status|output|" in cell for cell in cells["reference/commands/fleet/index.html"])
    assert [path for path, texts in cells.items() if any("\\|" in text for text in texts)] == []


@pytest.mark.parametrize("address", SOME_PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_fits_narrow_and_wide(
    site: str, browser: Browser, address: str
) -> None:
    for width in (360, 1280):
        browser.resize(width, 800)
        browser.open(site + address)
        browser.wait_script("return document.readyState === 'complete'")
        assert browser.run("return document.title")
        loaded = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded
        assert [name for name in loaded if not name.startswith(site)] == []
        overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert browser.run(overflow) <= 0, f"{address} is wider than {width} pixels"
    assert [line for line in browser.messages() if "favicon" not in line] == []


def test_search_finds_a_command(site: str, browser: Browser) -> None:
    browser.resize(1280, 800)
    browser.open(site + "/")
    browser.wait_script("return document.querySelector('.md-search__button') !== null")
    browser.press("/")
    shadow = "[...document.querySelectorAll('*')].map(element => element.shadowRoot).find(root => root)"
    browser.wait_script(f"const root = {shadow}; return root && root.activeElement")
    browser.press("tunnels")
    browser.wait_script(f"return {shadow}.textContent.includes('Keep tunnels open')")


def test_dark_follows_the_reader(site: str, tmp_path: Path) -> None:
    with Browser(tmp_path, dark=True) as window:
        window.open(site + "/")
        colour = window.wait_script("return getComputedStyle(document.body).backgroundColor")
        red = int(colour.removeprefix("rgb(").split(",")[0])
        assert red < 60, colour
