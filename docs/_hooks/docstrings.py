"""Docstrings as this project writes them, rewritten as Markdown for the API pages.

A section is a title underlined with dashes; its items read `name : what it is`, several on a line where they are
short. Everything else is prose and indented blocks, in which Greek letters, bras and kets stand for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from griffe import Alias, Extension, GriffeLoader, Module, Object

_SECTION = re.compile(r"^(?P<title>[A-Z]\w+)\n-{3,}$", re.MULTILINE)
_NAME = r"\*{0,2}[A-Za-z_][\w.]*"
_NAMES = rf"{_NAME}(?:, {_NAME})*"
_SHAPE = r"(?P<shape> \[[^\]]*\])?"
_ITEM = re.compile(rf"^(?P<names>{_NAMES}){_SHAPE} : (?P<text>.*)$")
_NEXT_ITEM = re.compile(rf"(?<=[.;]) (?={_NAMES}(?: \[[^\]]*\])? : )")
_CODE = re.compile(r"(`+[^`]+`+)")
# characters that stand for themselves in a docstring and would not in Markdown
_PLAIN = {
    "&": "&amp;",
    "<": "&lt;",
    "[": "&#91;",
    "]": "&#93;",
    "*": "&#42;",
    "_": "&#95;",
    "$": "&#36;",
    "\\": "&#92;",
}
_SECTION_CLASS = "{: .doc-heading-of-section }"


class HouseDocstrings(Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **kwargs: Any) -> None:  # noqa: ARG002
        """Called by griffe with the package."""
        for member in _everything(pkg):
            if member.docstring is not None:
                member.docstring.value = as_markdown(member.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring in Markdown: prose escaped, formulas as code, sections as definition lists."""
    parts = _SECTION.split(docstring)  # prose, title, body, title, body, …
    written = [_prose(parts[0])]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        written += [f"{title}\n{_SECTION_CLASS}", _prose(body) if title in ("Examples", "References") else _items(body)]
    return "\n\n".join(written)


def escaped(text: str) -> str:
    """Text in which only code spans mean something to Markdown; a name that has a place on these pages leads there."""
    parts = _CODE.split(text)
    parts[::2] = ["".join(_PLAIN.get(c, c) for c in part) for part in parts[::2]]
    parts[1::2] = [
        f"[{code}][{_PLACES[code.strip('`')]}]" if code.strip("`") in _PLACES else code for code in parts[1::2]
    ]
    return "".join(parts)


def _places() -> dict[str, str]:
    """Name -> identifier, by full path and, for a class, by its name alone."""
    pages = sorted((Path(__file__).parents[1] / "api").glob("*.md"))
    listed = [name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)]
    short = {path.rpartition(".")[2]: path for path in listed}
    return {name: path for name, path in short.items() if name[0].isupper()} | {path: path for path in listed}


_PLACES = _places()


def _prose(text: str) -> str:
    return "\n\n".join(_block(block) for block in _blocks(text))


def _block(block: str) -> str:
    if block.startswith(">>>"):
        return f"```pycon\n{block}\n```"
    if block.startswith("    "):
        return f"```text\n{dedent(block)}\n```" if not _is_python(block) else f"```python\n{dedent(block)}\n```"
    return escaped(block)


def _is_python(block: str) -> bool:
    try:
        compile(dedent(block), "block", "exec")
    except SyntaxError:
        return False
    return "(" in block or "import " in block


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, indented blocks whole with the empty lines inside them, and sessions from `>>>` to an empty line."""
    lines: list[str] = []
    for line in [*text.strip("\n").splitlines(), ""]:
        indented = line.startswith("    ")
        inside = bool(lines) and lines[0].startswith("    ")
        if lines and (
            (not line and not inside)
            or (line and inside and not indented)
            or (line.startswith(">>>") and not lines[0].startswith(">>>"))
        ):
            yield "\n".join(lines).rstrip()
            lines = []
        if line or lines:
            lines.append(line)
    if "".join(lines).strip():
        yield "\n".join(lines).rstrip()


def _items(body: str) -> str:
    """`name : text` lines, each with its indented continuation, as a definition list; paragraphs below stay prose."""
    items: list[list[str]] = []
    open_paragraph = False
    for line in body.strip("\n").splitlines():
        if found := _ITEM.match(line):
            items.append([*found.group("names", "text"), found["shape"] or ""])
            open_paragraph = False
        elif items and (line.startswith(" ") or (open_paragraph and line)):
            items[-1][1] += f" {line.strip()}"
        elif line:
            items.append(["", line, ""])
            open_paragraph = True
        else:
            open_paragraph = False
    return "\n\n".join(_definition(*item) for item in _one_each(items))


def _one_each(items: list[list[str]]) -> Iterator[tuple[str, str, str]]:
    for names, text, shape in items:
        first, *others = _NEXT_ITEM.split(text)
        yield names, first, shape
        for other in others:
            found = _ITEM.match(other)
            assert found is not None
            yield found["names"], found["text"], found["shape"] or ""


def _definition(names: str, text: str, shape: str) -> str:
    if not names:
        return escaped(text)
    return ", ".join(f"`{name}`" for name in names.split(", ")) + f"{escaped(shape)}\n:   {escaped(text)}"


def _everything(member: Object | Alias) -> Iterator[Object | Alias]:
    for one in member.members.values():
        if not one.is_alias:
            yield one
            yield from _everything(one)
