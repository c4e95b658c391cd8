"""Every public name, and every other that an API page lists, has an example, which gives what it prints."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

PACKAGES = ("hamiltonians", "qunn", "qunn.stability", "circuits", "circuits.clock")
PUBLIC: dict[str, Any] = {
    f"{package}.{name}": getattr(import_module(package), name)
    for package in PACKAGES
    for name in import_module(package).__all__
}
PAGES = Path(__file__).parent.parent / "docs" / "api"
LISTED = [
    name for page in PAGES.glob("*.md") for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
]
PUBLIC |= {path: getattr(import_module(path.rpartition(".")[0]), path.rpartition(".")[2]) for path in sorted(LISTED)}
MODULES = {path for path, what in PUBLIC.items() if isinstance(what, ModuleType)}
NAMES = [path for path in PUBLIC if path not in MODULES]


def examples(path: str) -> list[doctest.DocTest]:
    """Those of a name and of its own methods; each runs by itself and knows only what it imports."""
    public = PUBLIC[path]
    documented = public if callable(public) else type(public)  # `tableaux` is an instance
    # a decorator of torch's hides which module a method is of; with `module=False` the finder does not ask
    found = doctest.DocTestFinder(exclude_empty=True).find(documented, path, module=False, globs={})
    return [test for test in found if test.examples]


@pytest.mark.parametrize("path", NAMES)
def test_example(path):
    found = examples(path)
    assert path in {test.name for test in found}, f"the docstring of {path} has no example"
    said: list[str] = []
    runner = doctest.DocTestRunner()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for test in found:
            runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def test_a_module_among_the_names_is_asked_for_names_of_its_own():
    assert set(PACKAGES) >= MODULES


def test_no_example_is_weakened_by_a_directive():
    flags = {flag for path in NAMES for test in examples(path) for line in test.examples for flag in line.options}
    assert flags <= {doctest.ELLIPSIS}
