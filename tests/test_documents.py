"""Every command and code block of README and the documentation runs as printed; what the documents list exists.

A page is run from top to bottom in one empty folder that holds `examples/`: its commands one process each, its Python
blocks one after the other in one process. README's commands start as a shell starts them, those of the other pages with
the libraries loaded. Not run are install lines and `make`. A block under a comment `<!-- status 1 -->` shows commands
that find something wrong, and end with that status.

Commands for several MPI ranks need the environment of `make mpi`. Without it they are left out, and the page's test is
skipped with that reason after everything else on it has run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from hamiltonians import load_machine
from hamiltonians.readers.native import NativeMachine
from tests.systems import warm_python

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LISTS = [ROOT / "GLOSSARY.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "benchmarks" / "results").glob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)(?P<marks>```+) *(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)(?P=marks)[ ]*$",
    re.DOTALL | re.MULTILINE,
)
FAILING = re.compile(r"<!-- status 1 -->\s*\Z")
MPI_ENVIRONMENT = ROOT / ".venv-mpi"
MPI = re.compile(r"(mpirun\b|\.venv-mpi/bin/python\b)")
INSTALL = re.compile(r"(make|apt|git|cd|python3 -m venv|(\S*/)?(pip|python -m pip) install)\b")
TIMEOUT = 300  # seconds: a guard against hanging


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    status: int

    @property
    def commands(self) -> list[str]:
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if shlex.split(line, comments=True) and not INSTALL.match(line)]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        inside = re.sub(rf"^{fence['indent']}", "", fence["text"], flags=re.MULTILINE)
        found.append(Block(fence["language"], inside, int(bool(FAILING.search(text[: fence.start()])))))
    return found


def to_run(page: Path) -> list[Block]:
    run = [block for block in blocks(page) if block.language in ("sh", "python")]
    return [block for block in run if block.language == "python" or block.commands]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Folder:
    """An empty folder with the examples, in which a page's commands and blocks run."""

    def __init__(self, path: Path) -> None:
        (path / "examples").symlink_to(ROOT / "examples")
        (path / ".venv-mpi").symlink_to(MPI_ENVIRONMENT)
        self.path = path
        self.python: warm_python.Blocks | None = None

    def command(self, line: str, *, status: int = 0, cold: bool = False) -> None:
        words = shlex.split(line, comments=True)
        assert words[0] in ("python", ".venv/bin/python"), line
        done = self._from_a_shell(words[1:]) if cold else warm_python.command(words[1:], self.path)
        assert done.status == status, f"{line}\n{done.out}\n{done.err}"
        assert all(said.startswith("wrote ") for said in done.err.splitlines()), f"{line}\n{done.err}"
        assert done.out, line

    def mpi(self, line: str) -> str:
        """A command that starts MPI ranks, or is one; Open MPI is told that there may be more ranks than cores here."""
        settings = {
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
            "OMP_NUM_THREADS": "1",
        }
        environment = {**os.environ, **settings}
        if os.geteuid() == 0:
            environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        words = shlex.split(line, comments=True)
        done = subprocess.run(
            words, cwd=self.path, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout, line
        return done.stdout

    def _from_a_shell(self, arguments: list[str]) -> warm_python.Done:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        return warm_python.Done(done.returncode, done.stdout, done.stderr)

    def block(self, text: str) -> None:
        """Runs without a warning; every line that ends in `# True` or `# True: why` prints True."""
        if self.python is None:
            self.python = warm_python.Blocks(self.path)
        said, error = self.python.run(text)
        assert error is None, f"{text}\n{error}"
        promised = len(re.findall(r"# True(:.*)?$", text, re.MULTILINE))
        kept = len(re.findall(r"^(True|tensor\(True\))$", said, re.MULTILINE))
        assert kept == promised, f"{text}\n{said}"

    def close(self) -> None:
        if self.python is not None:
            self.python.close()


@pytest.mark.parametrize("page", [page for page in PAGES if to_run(page)], ids=name)
def test_page_runs(page, tmp_path):
    folder, left_out, said = Folder(tmp_path), [], None
    try:
        for block in to_run(page):
            if block.language == "python":
                folder.block(block.text)
                continue
            for line in block.commands:
                if not MPI.match(line):
                    folder.command(line, status=block.status, cold=page.name == "README.md")
                elif MPI_ENVIRONMENT.exists():
                    said = folder.mpi(line)
                else:
                    left_out.append(line)
    finally:
        folder.close()
    if said is not None:
        check_shown(page, said)
    if left_out:
        pytest.skip(f"{len(left_out)} commands for MPI ranks were not run: no environment of `make mpi` is here")


def check_shown(page: Path, said: str) -> None:
    """A block of JSON on a page of MPI commands is what the last of them reports, in part."""
    for shown in (json.loads(block.text) for block in blocks(page) if block.language == "json"):
        report = json.loads(said)
        for key, value in shown.items():
            expected = pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            assert report[key] == expected, key


def test_what_is_in_blocks():
    """A block in another language is text, data, or a reference; what can be run is run."""
    run = [block for page in PAGES for block in to_run(page)]
    assert len(run) >= 40
    others = {block.language for page in PAGES for block in blocks(page)} - {"sh", "python"}
    assert others <= {"json", "bibtex", "yaml"}, others


@pytest.mark.parametrize("page", PAGES + LISTS, ids=name)
def test_no_block_escapes(page):
    """Blocks are fenced by backticks; what is merely indented, or fenced otherwise, would be shown and not run."""
    assert not unfenced(page.read_text(encoding="utf-8"))
    assert page in PAGES or not blocks(page)


def unfenced(text: str) -> list[str]:
    """Lines of blocks by indentation or by tildes; the text of a list item may be indented."""
    lines = FENCE.sub("", text).splitlines()
    indented = []
    before, item = "", False
    for line in lines:
        item = bool(re.match(r" *([-*]|\d+\.) ", line)) or (item and (not line or line.startswith("  ")))
        if re.match(r" {4}\S", line) and not before and not item:
            indented.append(line)
        before = line
    return indented + [line for line in lines if line.lstrip().startswith(("~~~", "```", "<pre"))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so\n\n    make test\n", ["    make test"]),
        ("~~~sh\nls\n~~~\n", ["~~~sh", "~~~"]),
        ("```sh\nls\n", ["```sh"]),
        ("- a\n\n    of the item\n", []),
        ("```sh\n\n    ls\n```\n", []),
    ],
)
def test_a_block_that_escapes_is_seen(text, found):
    assert unfenced(text) == found


def test_the_sweep_of_the_how_to_runs(tmp_path):
    """The only block of YAML, and every point of it."""
    (block,) = (b for page in PAGES for b in blocks(page) if b.language == "yaml")
    (tmp_path / "points.yaml").write_text(block.text)
    folder = Folder(tmp_path)
    folder.command("python -m qunn.sweep points.yaml --json")
    assert len((tmp_path / "points.jsonl").read_text().splitlines()) == 2 * 3 * 2


def test_machine_of_the_format(tmp_path):
    """The file that shows the native format is read, has every key, and does what is said of it."""
    (block,) = (b for b in blocks(ROOT / "docs" / "how-to" / "machine-file.md") if b.language == "json")
    path = tmp_path / "flip.json"
    path.write_text(block.text, encoding="utf-8")
    machine = load_machine(str(path))
    assert set(json.loads(block.text)) == set(NativeMachine.model_fields)
    for word in ("abb", "b", "aab"):
        run = machine.run(word)
        assert run.accepted
        assert run.output == word.translate(str.maketrans("ab", "ba"))
        assert run.configurations[-1].head == 0  # back at the start


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("```sh\nmake test\n.venv/bin/pip install .\npython -m a\n```\n", ["python -m a"]),
        ("<!-- status 1 -->\n```sh\npython -m a\n```\n", ["python -m a"]),
        ("```text\npython -m a\n```\n~~~\n", []),
        ("1. so\n\n    ```sh\n    python -m a  # why\n    ```\n", ["python -m a  # why"]),
        ("```sh\npython -m a \\\n  --flag\n```\n", ["python -m a    --flag"]),
    ],
)
def test_which_commands_run(text, runs, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    assert [line for block in to_run(page) for line in block.commands] == runs


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("python -m qunn.ground_state nothing.json", "nothing.json"),
        ("python -m qunn.ground_state bb:1RB1LB_1LA1RZ --device cuda", "--device"),
        ("python -c pass", "-c"),
        ("ls", "ls"),
    ],
)
def test_a_command_that_fails_is_seen(line, complaint, tmp_path):
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        Folder(tmp_path).command(line)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("print(1 == 2)  # True", "1 == 2"),
        ("import warnings; warnings.warn('old')", "UserWarning: old"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_block_that_fails_is_seen(text, complaint, tmp_path):
    folder = Folder(tmp_path)
    try:
        with pytest.raises(AssertionError, match=re.escape(complaint)):
            folder.block(text)
    finally:
        folder.close()


@pytest.mark.parametrize("page", PAGES + LISTS, ids=name)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)", text):
        there = (page.parent / target) if target else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor[1:] in anchors(there), f"{target}{anchor}"


def anchors(page: Path) -> set[str]:
    """As a code host and MkDocs make them of headings in plain words."""
    headings = re.findall(r"^#+ (.*?)(?: *\{[^}]*\})?$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def words(page: Path) -> str:
    """A document without its blocks; the text of a notebook."""
    if page.suffix == ".ipynb":
        cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
        return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands_in_words(page: Path) -> list[str]:
    """The commands that a page mentions within its text."""
    return [" ".join(found.split()) for found in re.findall(r"`(python -m [^`]+)`", words(page))]


EVERYTHING = PAGES + LISTS + NOTEBOOKS


@pytest.mark.parametrize("page", EVERYTHING, ids=name)
def test_files_and_targets_in_words_exist(page):
    """What is named as a file of the repository is there, and so is what `make` is asked for."""
    text = words(page)
    for path in re.findall(
        r"`((?:tests|docs|examples|benchmarks|notebooks|hamiltonians|qunn|circuits)/[\w./-]+)", text
    ):
        assert (ROOT / path).exists() or re.search(r"[A-Z]{4}", path), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    fenced = "\n".join(block.text for block in blocks(page)) if page.suffix == ".md" else ""
    for target in re.findall(r"`make ([\w-]+)`", text) + re.findall(r"^make ([\w-]+)", fenced, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("line", sorted({line for page in EVERYTHING for line in commands_in_words(page)}))
def test_commands_in_words_exist(line):
    """Their modules are there, and their flags too; `…`, NAME and FILE stand for something."""
    module, *arguments = shlex.split(line)[2:]
    if module == "pytest":
        return
    found = find_spec(module)
    assert found is not None, module
    name = f"{module}.__main__" if found.submodule_search_locations else module
    main = import_module(name).main
    flags = {flag for option in main.params for flag in (*option.opts, *option.secondary_opts)}
    assert {word for word in arguments if word.startswith("--")} <= flags
