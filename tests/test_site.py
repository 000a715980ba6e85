"""The site is built without a warning, and all its links within lead somewhere."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

pytest.importorskip("sphinx", reason="the site needs Sphinx: pip install '.[docs]'")

ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """The places and the links of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name"):
                self.ids.add(value or "")
            elif name in ("href", "src"):
                self.links.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-c", "docs/site"]
    command = [sys.executable, "-m", "sphinx", *options, ".", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {path.as_uri(): Page(path) for path in site.rglob("*.html")}


def test_links_within_the_site_lead_somewhere(pages: dict[str, Page]) -> None:
    dead = []
    for uri, page in pages.items():
        for link in page.links:
            target = urljoin(uri, link)
            if not target.startswith("file:"):
                continue
            file, _, place = target.partition("#")
            there = Path(unquote(urlsplit(file).path)).is_file()
            # What has "=" in it is the state of the playground, and no place.
            checked = file in pages and place and "=" not in place
            if not there or (checked and unquote(place) not in pages[file].ids):
                dead.append(f"{uri}: {link}")
    assert not dead


def test_names_of_functions_in_the_method_are_links_to_them(site: Path) -> None:
    links = Page(site / "docs" / "method.html").links
    for name in ("sampling.ugs", "sampling.lds", "sampling.targets", "theory.expected_deviation"):
        assert f"site/api.html#pslref.{name}" in links


def test_a_type_of_arguments_stands_in_the_reference_by_its_name(site: Path) -> None:
    reference = (site / "docs" / "site" / "api.html").read_text("utf-8")
    assert "ArrayLike" in reference
    assert "_SupportsArray" not in reference


def test_it_has_the_playground_with_the_code_that_it_shares(site: Path) -> None:
    for folder in ("playground", "examples"):
        own = {path.name for path in (ROOT / "docs" / folder).iterdir()}
        assert own == {path.name for path in (site / "docs" / folder).iterdir()}
