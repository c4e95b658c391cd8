"""Documents of the repository that have one home outside `docs/`, as pages of the site, with links that work in both.

A link is written relative to the file that holds it, as a code host reads it. On the site the same link leads to the
page that the file has become. A file that is no page stays a name without a link.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

#: file in the repository -> page of the site
PAGES = {
    "GLOSSARY.md": "mathematics/glossary.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/README.md": "examples.md",
    "benchmarks/results/README.md": "benchmarks/index.md",
} | {
    f"benchmarks/results/{path.name}": f"benchmarks/{path.name}"
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.md"))
    if path.name != "README.md"
}
#: files that are offered as they are
FILES = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
ORIGINS = {page: origin for origin, page in PAGES.items()}

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`[^`]*`)")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Adds the documents that live outside `docs/`."""
    for origin, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / origin)))
    for path in FILES:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links of the repository -> links of the site; and what a code host reads otherwise than MkDocs."""
    source = page.file.src_uri
    origin = ORIGINS.get(source, f"docs/{source}")
    parts = _FENCE.split(markdown)
    parts[::2] = [_outside_fences(part, source, origin) for part in parts[::2]]
    return "".join(parts)


def _outside_fences(text: str, source: str, origin: str) -> str:
    """In the repository's own documents bras and kets are no HTML, braces no attributes, and a table's code has its
    pipes escaped."""
    text = _LINK.sub(lambda link: _moved(link, source, origin), text)
    if source in ORIGINS:
        pieces = _CODE.split(text)
        pieces[::2] = [re.sub(r"<(?!!--|https?:)", "&lt;", piece).replace("{", "&#123;") for piece in pieces[::2]]
        pieces[1::2] = [code.replace("\\|", "|") if code != "``" else "" for code in pieces[1::2]]
        text = "".join(pieces)
    return text


def _moved(link: re.Match[str], source: str, origin: str) -> str:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link["target"]))
    if target in PAGES:
        there = PAGES[target]
    elif target in FILES:
        there = target
    elif target.startswith("docs/"):
        there = target.removeprefix("docs/")
    elif target == "README.md":
        there = "index.md"
    else:
        return link["text"]
    relative = posixpath.relpath(there, posixpath.dirname(source) or ".")
    return f"{link['image']}[{link['text']}]({relative}{link['anchor'] or ''})"
