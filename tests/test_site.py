"""The documentation is built with warnings as errors, and its pages are opened in Chromium.

Pages are opened from the folder, without a server. They may ask no other host for anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.systems.browser import browser_or_skip, browsing, check_page, opened

ROOT = Path(__file__).parent.parent
API = {
    "hamiltonians": ["hamiltonians"],
    "qunn": ["qunn", "qunn.stability"],
    "circuits": ["circuits", "circuits.clock"],
}
NARROW = 400  # px, a telephone


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site; `strict` in mkdocs.yml makes every warning an error."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))], done.stderr
    return folder


def build(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    # the theme advertises its successor on stderr, which is no warning of ours
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)


class Page(HTMLParser):
    """The ids of a page, its links, the addresses of what it loads, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.without_words: list[str] = []
        self.formulas: list[str] = []
        self.text = ""
        self._in_formula = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.add(found["id"])
        self._in_formula = found.get("class") == "arithmatex"
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe", "source", "video") and "src" in found:
            self.loaded.append(found["src"])
        if tag == "link" and "canonical" not in found.get("rel", ""):
            self.loaded.append(found["href"])
        if tag == "img" and not found.get("alt"):
            self.without_words.append(found.get("src", ""))

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_formula:
            self.formulas.append(data.strip())

    def handle_endtag(self, _: str) -> None:
        self._in_formula = False


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


# --- the files ---


def test_every_document_is_a_page(site):
    sources = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site) for path in pages(site)}
    assert sources <= built
    included = ["mathematics/glossary", "changelog", "contributing", "examples", "benchmarks/index"]
    included += [f"benchmarks/{p.stem}" for p in (ROOT / "benchmarks/results").glob("*.md") if p.stem != "README"]
    assert {Path(f"{name}.html") for name in included} <= built
    assert not list(site.rglob("*.py"))


def test_links_and_files_are_there(site):
    """Also those to a place within a page; and nothing is loaded from elsewhere."""
    read = {path: Page(path) for path in pages(site)}
    for path, page in read.items():
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if address in page.loaded:
                assert not parts.netloc, f"{path}: {address}"
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert there.is_file(), f"{path}: {address}"
            if parts.fragment and there in read and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in read[there].ids, f"{path}: {address}"
        assert not page.without_words, f"{path}: {page.without_words}"


def test_styles_load_files_that_are_there(site):
    for style in site.rglob("*.css"):
        for address in re.findall(r"url\(['\"]?([^)'\"]+)", style.read_text(encoding="utf-8")):
            if not address.startswith("data:"):
                assert not urlsplit(address).netloc, f"{style}: {address}"
                assert (style.parent / urlsplit(address).path).is_file(), f"{style}: {address}"


@pytest.mark.parametrize("name", ["GLOSSARY.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md", "results"])
def test_included_documents_are_whole(name, site):
    """Every cell and line is on the page: a ket is not taken for a tag, nor a set in braces for an attribute."""
    pages_of = {"results": "benchmarks/index.html", "GLOSSARY.md": "mathematics/glossary.html"}
    page = pages_of.get(name, "examples.html" if name.startswith("examples") else name.replace(".md", ".html").lower())
    source = ROOT / ("benchmarks/results/README.md" if name == "results" else name)
    shown = _signs(Page(site / page).text)
    for line in source.read_text(encoding="utf-8").splitlines():
        for cell in re.split(r"(?<!\\)\|", line):
            words = re.sub(r"\]\([^)]*\)", "", cell)  # addresses of links are not shown
            assert _signs(words.replace("\\|", "|")) in shown, cell


def _signs(text: str) -> str:
    """What Markdown takes for no mark-up of its own, so that a page can be compared with its source."""
    return re.sub(r"[\s`*_#\[\]-]|^\d\. ", "", text)


def test_tables_of_included_documents(site):
    text = (site / "mathematics" / "glossary.html").read_text(encoding="utf-8")
    rows = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
    examples = (site / "examples.html").read_text(encoding="utf-8")
    assert "<code>||*||</code>" in examples
    assert "``" not in examples
    titles = len(re.findall(r"^## ", rows, re.MULTILINE))  # of each table the line of dashes is no row
    assert text.count("<tr>") == len(re.findall(r"^\|", rows, re.MULTILINE)) - titles


def test_results_name_the_machine():
    """Every page of results says on what it was measured."""
    for path in (ROOT / "benchmarks" / "results").glob("*.md"):
        assert "cores" in path.read_text(encoding="utf-8"), path.name


# --- the API ---


@pytest.mark.parametrize("name", API)
def test_every_public_name_is_documented(name, site):
    """A name in `__all__` that its page does not list, and one listed that is not in `__all__`, are errors."""
    text = (ROOT / "docs" / "api" / f"{name}.md").read_text(encoding="utf-8")
    listed = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    page = Page(site / "api" / f"{name}.html")
    html = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
    for module in API[name]:
        package = import_module(module)
        public = {f"{module}.{one}" for one in package.__all__ if not isinstance(getattr(package, one), ModuleType)}
        assert public <= set(listed), public - set(listed)
        extra = {one for one in listed if one.rpartition(".")[0] == module} - public
        assert not extra
        for one in public:
            home = getattr(package, one.rpartition(".")[2])
            names = {one, f"{getattr(home, '__module__', module)}.{one.rpartition('.')[2]}"}
            assert page.ids & names, one
    for one in listed:
        path, _, last = one.rpartition(".")
        assert hasattr(import_module(path), last), one
    assert "doc-heading-of-section" in html
    assert "<p>----" not in html


def test_docstrings_are_rewritten():
    spec = spec_from_file_location("docstrings", ROOT / "docs" / "_hooks" / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    docstrings = module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    text = (
        "What it *is*: |j><k|, `a*b`.\n\n    H = |j><j|\n\nMore\nof it.\n\n>>> f(1)\n2\n\n"
        "Parameters\n----------\na : one. b, c : two;\n    still two.\nd [B, T] : three.\n\nBehind.\n\n"
        "Raises\n------\nInputError : always."
    )
    assert docstrings.as_markdown(text).split("\n\n") == [
        "What it &#42;is&#42;: |j>&lt;k|, `a*b`.",
        "```text\nH = |j><j|\n```",
        "More\nof it.",
        "```pycon\n>>> f(1)\n2\n```",
        "Parameters\n{: .doc-heading-of-section }",
        "`a`\n:   one.",
        "`b`, `c`\n:   two; still two.",
        "`d` &#91;B, T&#93;\n:   three.",
        "Behind.",
        "Raises\n{: .doc-heading-of-section }",
        "`InputError`\n:   always.",
    ]


# --- errata ---


def test_every_erratum_has_evidence():
    """Each has a command, code that runs, or a test; the tests that are named are there."""
    text = (ROOT / "docs" / "mathematics" / "errata.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (E\d+): .*$", text, flags=re.MULTILINE)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(found) == [f"E{number}" for number in range(1, 18)]
    for number, part in found.items():
        named = re.findall(r"`(tests/\S+)::(test_\w+)`", part)
        for path, test in named:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test
        assert named or number == "E13", number  # E13 is about the text alone
    for number in found:
        assert f"| [{number}](#" in text


def test_errata_are_those_of_the_code():
    """Every number that code or documents name is one of the list."""
    for path in [
        *ROOT.glob("*.md"),
        *(p for x in ("hamiltonians", "qunn", "circuits") for p in (ROOT / x).rglob("*.py")),
    ]:
        for number in re.findall(r"\((?:[^()]*\b)?E(\d{1,2})\)", path.read_text(encoding="utf-8")):
            assert 1 <= int(number) <= 17, f"{path}: E{number}"


# --- in the browser ---


def test_front_page(site):
    facts = check_page(site / "index.html")
    assert facts.title == "qunn"
    assert "Start here" in facts.text
    assert len(facts.images) >= 1
    assert facts.overflow <= 0


def test_pages_on_a_narrow_screen_and_in_the_dark(site):
    """The page itself never scrolls sideways."""
    with browsing() as browser:
        for page, width, scheme in [
            ("index.html", NARROW, "dark"),
            ("mathematics/errata.html", NARROW, "light"),
            ("api/circuits.html", 1200, "dark"),
            ("how-to/ground-state.html", NARROW, "light"),
            ("benchmarks/index.html", NARROW, "light"),
        ]:
            facts = browser.open(site / page, width=width, scheme=scheme)
            assert not facts.complaints, f"{page}: {facts.complaints}"
            assert facts.overflow <= 0, page


def test_every_formula_can_be_set(site):
    """All formulas of the site by the KaTeX that is shipped, and those of one page where they stand."""
    texts = [text for path in pages(site) for text in Page(path).formulas]
    assert len(texts) >= 100

    def set_all(page: Any) -> None:
        marked, done = page.evaluate(FORMULAS)
        assert marked == done > 20
        assert not page.evaluate(UNREADABLE, texts)
        assert page.evaluate(UNREADABLE, ["\\(\\frac{\\)"])  # and one that is

    check_page(site / "mathematics" / "qunn.html", acting=set_all)


@pytest.mark.parametrize(
    ("words", "where"), [("Burrage", "mathematics/odernn.html"), ("--checkpoint", "how-to/mpi.html")]
)
def test_search_works_from_a_folder(words, where, site):
    """A flag too, as it is copied from a page: to the search engine two dashes are an error."""

    def search(page: Any) -> None:
        page.fill("input.md-search__input", words)
        page.wait_for_selector(".md-search-result__link")
        found = [link.get_attribute("href") for link in page.query_selector_all(".md-search-result__link")]
        assert any(where in address for address in found), found

    facts = opened(site / "index.html", acting=search)
    assert not facts.complaints, facts.complaints


FORMULAS = """() => ['.arithmatex', '.arithmatex > .katex, .arithmatex > .katex-display > .katex']
    .map(what => document.querySelectorAll(what).length)"""
UNREADABLE = """texts => texts.filter(text => {
    try { katex.renderToString(text.slice(2, -2)); return false; } catch { return true; }
})"""
DAMAGE = {
    "a missing image": ('<img alt="x" src="missing.png">', "missing.png (net::ERR_FILE_NOT_FOUND)"),
    "a lazy missing image": ('<img alt="x" loading="lazy" src="nothing.png">', "empty image: "),
    "an error of a script": ("<script>nothing();</script>", "error: nothing is not defined"),
    "an error on the console": ("<script>console.error('told');</script>", "console: told"),
    "a font from elsewhere": (
        '<link rel="stylesheet" href="https://fonts.example/css?family=Roboto">',
        "another host: https://fonts.example",
    ),
    "a script from elsewhere": ('<script src="//cdn.example/katex.js"></script>', "cdn.example"),
    "a font that is missing": (
        '<style>@font-face { font-family: F; src: url("f.woff2"); } body { font-family: F; }</style>',
        "font not loaded: F",
    ),
    "a formula that cannot be read": ('<span class="arithmatex">\\(\\frac{\\)</span>', "error: KaTeX parse error"),
}


def test_a_damaged_page_is_seen(site, tmp_path):
    """The checks of the front page can fail, each for its reason."""
    browser_or_skip()
    text = (site / "index.html").read_text(encoding="utf-8")
    for part in ("assets", "busy_beaver_4.png", "search"):
        (tmp_path / part).symlink_to(site / part)
    damaged = tmp_path / "index.html"
    additions = "".join(addition for addition, _ in DAMAGE.values())
    damaged.write_text(text.replace("</article>", f"{additions}</article>"), encoding="utf-8")
    with pytest.raises(AssertionError) as caught:
        check_page(damaged)
    for damage, (_, complaint) in DAMAGE.items():
        assert complaint in str(caught.value), damage


def test_without_chromium_the_test_skips_and_says_so(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="apt install chromium"):
        browser_or_skip()
