"""How a cross-validation is shown: the terminal page at every width, the HTML page, its pictures."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len

from circuits.validation.claim import (
    Cell,
    Curve,
    Picture,
    Row,
    Subject,
    Validation,
    absent,
    compared,
    reference,
    row,
)
from circuits.validation.html import write_html
from circuits.validation.page import print_validation
from circuits.validation.pictures import overview, overview_says, picture
from circuits.validation.wording import SILENT, number, parts, plain
from hamiltonians.errors import InputError
from tests.systems.browser import browser_or_skip, check_page

COLUMNS = {
    "theory": "closed forms: 0, 2 - 2cos(π/(T+1)), the history state",
    "dense": "numpy.linalg.eigvalsh on the dense matrix",
    "sparse": "shift-invert on the CSR matrix",
    "matrix-free": "sweeps along the clock, no matrix",
    "QUNN": "relaxation of the hidden state by the layers of a QUNN",
    "circuit": "the prepared history state, and the operator's terms",
    "evolution": "exp(-iHt) term by term",
    "phases": "phase estimation with 8 ancillas",
}
ROUNDING = "rounding: 64 ε ‖H‖, with the ε of float64 and the largest eigenvalue of H, which is at most 4"
TOO_LARGE = (
    "asks for 1.2 TB, and 12 GB are free; the dense matrix has 1,769,472 rows, so that it is left out of this row"
)
HOSTILE = '<script>alert("1")</script> & [bold red]x[/] \x1b[31m\x00$\\frac{$'


def broken_backend() -> Cell:
    raise ValueError("H is not Hermitian:\n  the largest entry of H - H† is 2")


def machine() -> Subject:
    names = list(COLUMNS)
    energies = [0.0, 0.0984, 0.381966, 1.38197]
    rows = [
        row(
            "ground-energy",
            "the lowest eigenvalue of H is 0, and the history state has it",
            "Theorem 5, Appendix A",
            "|E - 0|",
            names,
            {
                "theory": lambda: reference(0.0),
                "dense": lambda: compared(-1.2345e-16, 1.2345e-16, 5.68e-14, ROUNDING),
                "sparse": lambda: compared(3.3307e-16, 3.3307e-16, 5.68e-14, ROUNDING),
                "matrix-free": lambda: compared(0.0, 0.0, 5.68e-14, ROUNDING),
                "QUNN": lambda: compared(4.1e-11, 4.1e-11, 1e-9, "rate of the relaxation: (1 - h gap)^n"),
                "circuit": lambda: compared(0.3125, 0.3125, 5.68e-14, ROUNDING),
                "phases": lambda: compared(0.0, 0.0, 0.0123, "half a step of the phases, 2^-8"),
            },
        ),
        row(
            "gap",
            "the gap above the ground state is that of the path that the history runs along",
            "Appendix A",
            "|gap - theory|",
            names,
            {
                "theory": lambda: reference(0.0984915),
                "dense": lambda: absent(TOO_LARGE),
                "sparse": lambda: compared(0.0984915, 2.2e-15, 5.68e-14, ROUNDING),
                "QUNN": broken_backend,
                "circuit": lambda: compared(math.nan, math.nan, 1e-3, "5 standard deviations"),
                "phases": lambda: compared(0.0976562, 8.353e-4, 0.0123, "half a step of the phases, 2^-8"),
            },
        ),
        row(
            "low-energies",
            "the four lowest eigenvalues",
            "2 - 2cos(πk/(T+1))",
            "largest difference of an eigenvalue from its closed form",
            names,
            {
                "theory": lambda: reference(energies),
                "dense": lambda: compared(energies, 4.4e-16, 5.68e-14, ROUNDING, note="degenerate: 2 of each"),
                "sparse": lambda: compared(energies, 8.9e-16, 5.68e-14, ROUNDING),
            },
        ),
        row(
            "output",
            "the machine's output, read from the last clock state",
            "Eq. (40), E9",
            "characters that differ",
            names,
            {
                "theory": lambda: reference("1101"),
                "sparse": lambda: compared("1101", 0.0, 0.0, "exact"),
                "circuit": lambda: compared("1" * 70, 66.0, 0.0, "exact"),
            },
        ),
        row(
            "device",
            "CPU and GPU agree",
            "no formula",
            "‖ψ - ψ'‖",
            names,
            {"circuit": lambda: absent("no GPU answers")},
        ),
    ]
    facts = {"steps T": 107, "space": "tape", "rows": 1_769_472, "input": "", "accepted": True, "‖H‖ ≤": 4.0, "x": None}
    curve = [
        Curve("of H", range(5), [0.0, 1e-3, 1e-2, 0.1, math.inf], "line"),
        Curve("found", range(3), [0, 1e-3, 1e-2]),
    ]
    pictures = [Picture("Energies", "The energies lie on their closed form.", "index k", "energy", curve, log_y=True)]
    return Subject("machine", "examples/busy_beaver_4.json", facts, COLUMNS, rows, pictures)


def model() -> Subject:
    columns = {"theory": "the formula in NumPy", "structured": "qunn's own", "Trotter": "Suzuki's formula, $3$ reps"}
    rows = [
        row(
            "forward",
            "the outputs are those of Eqs. (30)-(33)",
            "Eqs. (30)-(33)",
            "‖y - y'‖∞",
            list(columns),
            {
                "theory": lambda: reference(0.73),
                "structured": lambda: compared(0.73, 1.1e-16, 2e-14, "rounding"),
                "Trotter": lambda: compared(0.7301, 1e-4, 3e-4, "commutator bound"),
            },
        )
    ]
    curves = [
        Curve("bound", [1, 2, 4], [3e-4, 7.5e-5, 1.9e-5], "line"),
        Curve("error", [1, 2, 4], [1e-4, 2.5e-5, 6.2e-6]),
    ]
    picture = Picture("Error against reps", "The error falls as 1/r².", "reps", "error", curves, log_x=True, log_y=True)
    return Subject("model", HOSTILE, {"d": 3, "N": 5, "h": 0.1, "name": HOSTILE}, columns, rows, [picture])


@pytest.fixture(scope="module")
def validation() -> Validation:
    return Validation([machine(), model()], broken="wrong-sign", seconds=12.345)


def shown(validation: Validation, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    print_validation(validation)
    return capsys.readouterr().out


@pytest.fixture
def at_width(monkeypatch, capsys, validation):
    """The page in a terminal of so many columns, with its colours taken off."""

    def page(width: int, colours: bool = False) -> str:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        text = shown(validation, capsys)
        return text if colours else re.sub(r"\x1b\[[0-9;]*m", "", text)

    return page


def numbers(cell: Cell) -> list[str]:
    return [] if isinstance(cell.value, str) else parts(cell.value)


def cells(validation: Validation) -> list[tuple[Row, str, Cell]]:
    return [(r, name, cell) for s in validation.subjects for r in s.rows for name, cell in r.cells.items()]


def is_whole(text: str, number: str) -> bool:
    return re.search(rf"(?<![\w.+-]){re.escape(number)}(?![\w.])", text) is not None


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (3.0, "3"),
        (1769472.0, "1769472"),
        (0.38196601125, "0.381966"),
        (-1.2345e-16, "-1.23e-16"),
        (0.00012345, "0.000123"),
        (1234567.8, "1.23e+06"),
        (1e300, "1e+300"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers_have_few_digits(x, expected):
    assert number(x) == expected


def test_a_text_is_one_line_without_control_characters():
    assert plain("a\nb\tc\x1b[31m\x00\ud800ψ") == "a b c\ufffd[31m\ufffd\ufffdψ"


def test_the_note_of_a_column_that_is_not_asked_is_known():
    assert row("k", "c", "s", "m", ["x"], {}).cells["x"].note == SILENT


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_in_a_terminal_every_number_is_whole_and_no_line_too_wide(at_width, validation, width):
    page = at_width(width)
    assert "…" not in page or "11111" in page
    for line in page.splitlines():
        assert cell_len(line.rstrip()) <= width, line
    for _, _, cell in cells(validation):
        for found in numbers(cell):
            assert is_whole(page, found), found


@pytest.mark.parametrize("width", [40, 80, 100])
def test_below_the_width_of_the_table_each_backend_has_its_difference_and_tolerance(at_width, validation, width):
    page = at_width(width)
    for _, _, cell in cells(Validation(validation.subjects[:1])):
        if cell.passed is not None and cell.difference is not None:
            assert f"{cell.difference:.3g} {'≤' if cell.passed else '>'} {cell.tolerance:.3g} [" in page


def test_the_layout_follows_the_width(at_width):
    heading = re.compile("^claim  .*theory .*verdict$", re.MULTILINE)
    assert [len(heading.findall(at_width(width))) for width in (80, 100, 200)] == [0, 1, 2]  # the model's is narrow


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_long_list_is_shown_whole(monkeypatch, capsys, width):
    energies = [2 - 2 * math.cos(math.pi * k / 24) for k in range(24)]
    one = Row("all", "c", "s", "m", {"theory": reference(energies), "dense": compared(energies, 1e-15, 1e-14, "w")})
    few = Subject("machine", "m", {}, {"theory": "t", "dense": "d" * 200}, [one])
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    page = shown(Validation([few]), capsys)
    assert all(is_whole(page, number(E)) for E in energies)


def test_what_agrees_without_a_value_is_not_shown_as_absent(tmp_path, capsys):
    moved = Cell(difference=0.0, tolerance=0.0, why="bit for bit", passed=True, note="7 elements")
    one = Subject("model", "m", {}, {"dense": "d", "sparse": "s"}, [Row("key", "c", "-", "m", {"dense": moved})])
    page = shown(Validation([one]), capsys)
    assert re.search(r"^key +ok \[1\]  - +0 \[2\] +0 \[3\] +ok$", page, re.MULTILINE)
    assert "(-)" not in page
    write_html(tmp_path / "page.html", Validation([one]), "1")
    table = Page((tmp_path / "page.html").read_text(encoding="utf-8")).tables[0]
    assert [part.strip() for part in table[1][2:4]] == ["ok", "-"]


def test_in_a_pipe_the_table_is_as_wide_as_it_is(capsys, validation):
    """A claim's numbers stand on one line, which begins with its key."""
    page = shown(validation, capsys)
    assert "\x1b" not in page
    for subject in validation.subjects:
        for claim in subject.rows:
            line = next(line for line in page.splitlines() if line.startswith(claim.key + " "))
            for cell in claim.cells.values():
                assert all(is_whole(line, found) for found in numbers(cell)[:1])
            assert line.endswith({True: "ok", False: "FAILED", None: "not run"}[claim.passed])
    assert all(line == line.rstrip() for line in page.split("Claims")[1].split("Model")[0].splitlines())


@pytest.mark.parametrize("width", [None, 80])
def test_notes_and_failures_stand_once_below_the_table(at_width, capsys, validation, width):
    page = shown(validation, capsys) if width is None else at_width(width)
    flat = " ".join(page.split())
    machine_part = flat.split("Model")[0]
    failed, notes = machine_part.split("Failed ")[1].split(" Notes ")
    assert "✗ ground-energy, circuit: off by 0.312; 5.68e-14 is allowed, 5.5" in failed
    assert "✗ gap, QUNN: ValueError: H is not Hermitian: the largest entry of H - H† is 2" in failed
    assert "✗ gap, circuit: the difference is not a finite number; 0.001 is allowed: 5 standard deviations" in failed
    assert "✗ output, circuit: off by 66; 0 is allowed: exact" in failed
    assert failed.count("✗") == 4
    for note in (TOO_LARGE, "degenerate: 2 of each", "no GPU answers", f"tolerance: {ROUNDING}"):
        assert notes.count(f"] {note}") == 1
    assert SILENT not in page
    referred = {int(n) for found in re.findall(r"\[([\d,]+)\]", machine_part) for n in found.split(",")}
    listed = [int(n) for n in re.findall(r"^\[(\d+)\] ", page.split("Notes")[1], re.MULTILINE)]
    assert listed == sorted(referred) == list(range(1, len(listed) + 1))


def test_a_failed_cell_has_a_sign_and_a_colour(at_width, monkeypatch, capsys, validation):
    coloured = at_width(100, colours=True)
    assert re.search(r"\x1b\[1;31m✗ FAILED", coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    plain_page = shown(validation, capsys)
    assert not re.search(r"\x1b\[[\d;]*3\dm", plain_page)
    assert "✗ FAILED" in plain_page


def test_a_name_neither_commands_the_terminal_nor_is_markup(capsys, validation):
    page = shown(validation, capsys)
    assert "\x1b" not in page
    assert "\x00" not in page
    assert '<script>alert("1")</script> & [bold red]x[/] \ufffd[31m\ufffd$\\frac{$' in page


def test_the_verdict_ends_the_page(capsys, validation):
    *_, before, last = shown(validation, capsys).splitlines()
    assert before == "a backend was broken on purpose: wrong-sign"
    assert last == "NOT VERIFIED in 12.35 s: 2 of 6 rows agree, 3 failed, 1 was not run"
    fine = Validation([model()])
    assert shown(fine, capsys).splitlines()[-1] == "verified: 1 of 1 rows agree"
    nothing = Validation([replace(machine(), rows=machine().rows[-1:])])
    assert shown(nothing, capsys).splitlines()[-1].startswith("nothing was compared")
    assert shown(Validation([]), capsys).splitlines()[-1].startswith("nothing was compared")


# --- HTML ---


class Page(HTMLParser):
    """Its tables, texts, addresses and identifiers; end tags must match."""

    EMPTY = frozenset({"meta", "link", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


COMMAND = "python -m circuits.cross_validate '<b>.json' --html page.html"


@pytest.fixture(scope="module")
def html(tmp_path_factory, validation) -> Path:
    path = tmp_path_factory.mktemp("html") / "page.html"
    write_html(path, validation, "1.2.3", COMMAND)
    return path


def test_the_page_holds_every_row_and_cell(html, validation):
    page = Page(html.read_text(encoding="utf-8"))
    tables = iter(page.tables)
    for subject in validation.subjects:
        heading, *body = next(tables)
        assert heading == ["claim", "verdict", *map(plain, subject.columns), "difference", "tolerance"]
        assert len(body) == len(subject.rows)
        for claim, line in zip(subject.rows, body, strict=True):
            assert claim.key in line[0]
            assert claim.claim in line[0]
            for name, said in zip(subject.columns, line[2:], strict=False):
                assert all(is_whole(said, found) for found in numbers(claim.cells[name]))
                assert ("✗ failed:" in said) == (claim.cells[name].passed is False)
            assert line[1].split(" ", 1)[1] == {True: "ok", False: "FAILED", None: "not run"}[claim.passed]
        for claim in subject.rows:
            _, *body = next(tables)
            for (name, cell), line in zip(claim.cells.items(), body, strict=True):
                words = [" ".join(part.split()) for part in line]
                assert words[0] == name
                assert all(plain(part) in words[1] for part in parts(cell.value))
                assert words[2] == ("-" if cell.difference is None else f"{cell.difference:.3g}")
                assert words[3] == ("-" if cell.tolerance is None else f"{cell.tolerance:.3g}")
                assert words[5] == (cell.why or "-")
                assert words[7] == (cell.note or "")
            assert claim.source in page.text
            assert claim.measure in page.text
    for subject in validation.subjects:
        assert all(plain(name) in page.text and says in page.text for name, says in subject.columns.items())
    assert page.text.startswith("Cross-validation: NOT VERIFIED Cross-validation NOT VERIFIED 2 of 6 rows agree")
    assert "a backend was broken on purpose: wrong-sign" in page.text
    assert COMMAND in page.text
    assert "qunn 1.2.3" in page.text


def test_the_page_asks_for_nothing(html):
    text = html.read_text(encoding="utf-8")
    page = Page(text)
    assert "http:" not in text
    assert "https:" not in text
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text
    images = page.every("img")
    assert len(images) == 4  # an overview and a picture each
    assert all(image["src"].startswith("data:image/svg+xml;base64,") and image["alt"] for image in images)
    assert all(link["href"].startswith(("#", "data:")) for link in page.every("a") + page.every("link"))
    identifiers = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    assert {a["href"][1:] for a in page.every("a")} <= set(identifiers)


def test_the_page_can_be_read_aloud(html):
    page = Page(html.read_text(encoding="utf-8"))
    assert page.every("html")[0]["lang"] == "en"
    assert all(th.get("scope") in ("col", "row") for th in page.every("th"))
    assert len(page.every("caption")) == len(page.tables)
    regions = [div for div in page.every("div") if div.get("role") == "region"]
    assert all(r.get("tabindex") == "0" and (r.get("aria-label") or r.get("aria-labelledby")) for r in regions)


def test_a_name_is_no_markup(html):
    text = html.read_text(encoding="utf-8")
    assert "alert(&#34;1&#34;)" in text
    assert "\x1b" not in text
    assert "\x00" not in text
    assert plain(HOSTILE) in Page(text).text


def test_equal_findings_give_equal_pages(html, tmp_path):
    write_html(
        tmp_path / "again.html", Validation([machine(), model()], broken="wrong-sign", seconds=12.345), "1.2.3", COMMAND
    )
    assert (tmp_path / "again.html").read_bytes() == html.read_bytes()


def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"file` must be one that can be written"):
        write_html(tmp_path / "missing" / "page.html", Validation([]), "1.2.3")
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_show(tmp_path):
    bare = Subject("machine", "", {}, {"theory": "closed forms"}, [])
    write_html(tmp_path / "page.html", Validation([bare]), "1.2.3")
    assert "nothing was compared" in Page((tmp_path / "page.html").read_text(encoding="utf-8")).text


@pytest.mark.parametrize("how", [{"width": 1300}, {"width": 420, "scheme": "dark"}])
def test_the_page_in_a_browser(html, how):
    browser_or_skip()
    facts = check_page(html, **how)
    assert facts.title == "Cross-validation: NOT VERIFIED"
    assert len(facts.images) == 4
    assert facts.overflow <= 0  # tables and pictures scroll by themselves


# --- pictures ---


def drawn(svg: str) -> str:
    """The words in a well-formed SVG."""
    return " ".join("".join(ElementTree.fromstring(svg).itertext()).split())


def test_the_overview_names_rows_columns_and_edges():
    svg = overview(machine())
    words = drawn(svg)
    for word in ("ground-energy", "gap", "dense", "matrix-free", "tolerance", "failed", "exactly", "finite", "10⁻¹³"):
        assert word in words
    assert "device" not in words  # nothing was compared there
    assert "date" not in svg.split("<defs>")[0].lower()
    assert "prefers-color-scheme:dark" in svg
    says = overview_says(machine())
    assert says.startswith("14 differences in 4 rows, each beside its tolerance; 4 are larger, or no number.")
    assert "gap, phases, 0.000835 of 0.0123" in says


def test_a_difference_that_is_far_below_rounding_does_not_stretch_the_axis():
    tiny = compared(1e-40, 1e-40, 1e-9, "rounding")
    words = drawn(overview(replace(machine(), rows=[Row("tiny", "c", "s", "m", {"dense": tiny})])))
    assert "below" in words
    assert "10⁻²⁰" in words
    assert "10⁻⁴" not in words.replace("10⁻⁴⁰", "10⁻⁴")


def test_points_that_cannot_be_drawn_are_counted():
    svg, says = picture(machine().pictures[0])
    assert "index k" in drawn(svg)
    assert says.endswith("3 points that are not finite, or not above 0 on a logarithmic axis, cannot be drawn.")
    svg, says = picture(model().pictures[0])
    assert says == "The error falls as 1/r²."
    assert {"bound", "error", "reps"} <= set(drawn(svg).split())


def test_a_picture_of_nothing_and_of_one_point():
    assert picture(Picture("t", "s", "x", "y", [], log_x=True, log_y=True))[1] == "s"
    assert (
        picture(Picture("t", "s", "$\\frac{", "漢", [Curve("_one", [1.0], [1e-3])], log_x=True, log_y=True))[1] == "s"
    )


def test_the_address_of_a_picture_is_the_picture(html):
    for image in Page(html.read_text(encoding="utf-8")).every("img"):
        assert drawn(base64.b64decode(image["src"].split(",")[1]).decode("utf-8"))
