"""What documents list is complete: examples, notebooks, words, flags, checks, benchmarks; and the citation is valid."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from hamiltonians import ClockHamiltonian, certify, ground_state, load_machine
from hamiltonians.solve import DENSE_LIMIT, ENGINES, SOLVERS
from qunn.sweeping.commands import COMMANDS
from tests.test_documents import PAGES, words

ROOT = Path(__file__).parent.parent
HOW_TO = ROOT / "docs" / "how-to"
COMMON = {"--json", "--seed", "--threads", "--quiet", "--version", "--help", "--memory-limit"}


def test_examples_and_notebooks_are_all_listed():
    text = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "examples").rglob("*"):
        assert path.is_dir() or path.name == "README.md" or f"`{path.name}`" in text, path.name
    text = (ROOT / "docs" / "notebooks.md").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"](../notebooks/{path.name})" in text, path.name


def test_words_of_one_world_are_in_the_glossary():
    """A reader knows one of the three worlds; the words of the others stand in a first column."""
    glossary = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
    entries = "\n".join(re.findall(r"^\| (.*?) (?<!\\)\| ", glossary, re.MULTILINE))
    pages = "\n".join(words(page) for page in PAGES).lower()
    for word in (
        *("Turing machine", "Hamiltonian", "ground state", "unitary", "qubit", "recurrent network", "LSTM", "epoch"),
        *("busy beaver", "contraction", "partial isometry", "frustration-free", "history state", "relaxation"),
        *("certificate", "explicit", "implicit", "A-stable", "anti-Hermitian", "one-hot", "structured", "dense"),
        *(
            "product formula",
            "commutator bound",
            "phase estimation",
            "shots",
            "CX",
            "dilation",
            "ancilla",
            "seasonal-naive",
        ),
    ):
        assert word.lower() in pages, word
        assert word in entries, word


@pytest.mark.parametrize(
    ("module", "pages"),
    [
        ("qunn.ground_state", ["ground-state"]),
        ("qunn.train", ["train"]),
        ("qunn.forecast", ["forecast"]),
        ("qunn.stability.__main__", ["stability"]),
        ("qunn.sweep", ["sweep"]),
        ("qunn.table1.__main__", ["known-networks"]),
        ("circuits.run", ["circuits", "evolve", "export"]),
        ("circuits.ground_state", ["circuit-hamiltonian"]),
        ("circuits.cross_validate", ["cross-validate"]),
    ],
)
def test_every_flag_is_on_its_page(module, pages):
    """Those that all commands have are on the first page of the how-tos."""
    text = "\n".join((HOW_TO / f"{page}.md").read_text(encoding="utf-8") for page in pages)
    options = [option for option in import_module(module).main.params if not set(option.opts) & COMMON]
    for flag in (flag for option in options for flag in (*option.opts, *option.secondary_opts)):
        assert not flag.startswith("--") or re.search(rf"{flag}(?![\w-])", text), flag
    index = (HOW_TO / "index.md").read_text(encoding="utf-8")
    assert all(f"`{flag}`" in index for flag in COMMON)


def test_every_check_of_a_report_is_explained():
    text = (HOW_TO / "report.md").read_text(encoding="utf-8")
    explained = {name for row in re.findall(r"^\| ([a-z, ]+) \|", text, re.MULTILINE) for name in row.split(", ")}
    for space in ("configuration", "tape"):
        H = ClockHamiltonian.from_machine(load_machine("bb:1RB1LB_1LA1RZ"), space)
        assert {check.name for check in certify(H, ground_state(H)).checks} <= explained


def test_every_solver_and_engine_is_told():
    text = (HOW_TO / "any-steps.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in (*SOLVERS, *ENGINES))
    assert f"`dense` up to {DENSE_LIMIT:,} rows" in text


def test_every_command_of_a_sweep_is_told():
    text = (HOW_TO / "sweep.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"^Commands are (.*?)\.\s", text, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`([\w.]+)`", named)) == set(COMMANDS)


def test_nothing_is_installed_by_the_name_of_this_project():
    """It is in no registry: an environment is made from a clone."""
    for page in PAGES:
        assert not re.search(r"pip install [^`\n]*\bqunn\b", page.read_text(encoding="utf-8")), page


def test_every_benchmark_is_listed():
    scripts = {
        path.name for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
    }
    text = (HOW_TO / "speed.md").read_text(encoding="utf-8")
    assert scripts == set(re.findall(r"`(\w+\.py)`", text))


def test_citation():
    """Citation File Format 1.2.0: the keys that it requires, of the types that it asks for, and no others."""
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    allowed = {
        *("cff-version", "message", "title", "authors", "type", "version", "abstract", "license", "keywords"),
        *("preferred-citation", "references", "date-released", "doi", "url", "repository-code", "identifiers"),
    }
    assert {"cff-version", "message", "title", "authors"} <= set(found) <= allowed
    assert found["cff-version"] == "1.2.0"
    assert found["type"] in ("software", "dataset")
    _check_reference(found)
    paper = found["preferred-citation"]
    assert {"type", "title", "authors"} <= set(paper)
    _check_reference(paper)
    assert [author["family-names"] for author in paper["authors"]] == ["Niu", "Horesh", "Chuang"]
    assert type(paper["year"]) is int
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{found["version"]}"' in project
    assert f'license = "{found["license"]}"' in project
    page = (ROOT / "docs" / "citing.md").read_text(encoding="utf-8")
    assert paper["title"] in page
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in page


def _check_reference(found: dict[str, object]) -> None:
    assert isinstance(found["title"], str)
    authors = found["authors"]
    assert isinstance(authors, list)
    assert authors
    for author in authors:
        assert set(author) in ({"name"}, {"family-names", "given-names"})
