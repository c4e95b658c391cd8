"""`python -m qunn.stability`: streams, exit statuses, saved models of every kind, narrow terminals."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from qunn import ARNN, CWRNN, ODERNN, URNN, ContractiveRNN, Readout, ResetBeforeGRU, TorchRNN, tableaux
from qunn.fields import FIELDS as ALL_FIELDS
from qunn.fields import GradientField
from qunn.implicit import Solver
from qunn.stability.__main__ import FIELDS, main
from tests.systems.command_line import Command, called_here, in_terminal, process

F64 = torch.float64
FAST = ("--pairs", "8", "--steps", "2", "--samples", "20")
LINES = ["I", "II", "delays", "form", "field", "contraction"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return called_here(main, "qunn.stability", capsys, monkeypatch)


# --- as a process ---


def test_text_goes_to_a_pipe_without_escape_codes() -> None:
    done = process("qunn.stability", "gauss2", *FAST)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "gauss2 with the field gradient, size 4, h = 0.1" in done.stdout
    assert all(name in done.stdout for name in LINES)
    assert done.stdout.rstrip().endswith("contractive (proved)")
    assert "eigenvalues of Q" in done.stdout


def test_json_is_one_object_and_nothing_else() -> None:
    done = process("qunn.stability", "gauss2", "--json", *FAST)
    assert done.returncode == 0
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert set(report) == {"title", "model", "layers", "linear", "contractive"}
    assert report["contractive"] is True
    assert report["linear"] is None
    assert [line["name"] for line in report["layers"][0]["lines"]] == LINES
    assert report["layers"][0]["lines"][0]["witness"] is None


def test_help_answers_at_once_and_without_torch() -> None:
    begin = time.perf_counter()
    done = process("qunn.stability", "--help")
    assert time.perf_counter() - begin < 1
    assert done.returncode == 0
    assert "--field" in done.stdout
    code = "import sys, qunn.stability.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bad_input_is_one_line_on_stderr() -> None:
    done = process("qunn.stability", "gauss9")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: `tableau` must be one of euler,")
    assert done.stderr.count("\n") == 1


def test_a_model_comes_from_stdin_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ContractiveRNN(2, 3, dtype=F64).save(tmp_path / "net.safetensors")
    data = (tmp_path / "net.safetensors").read_bytes()
    done = process("qunn.stability", "-", "--json", *FAST, input=data, text=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "stdin"
    assert json.loads(done.stdout)["contractive"] is True
    empty = process("qunn.stability", "-", input=b"", text=False)
    assert (empty.returncode, empty.stdout) == (2, b"")
    assert empty.stderr.startswith(b"error: stdin: `file` must be a safetensors file")


def test_the_page_fits_a_narrow_terminal() -> None:
    text = in_terminal("qunn.stability", "gauss2", *FAST, COLUMNS="40", NO_COLOR="1")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(len(line) for line in plain.splitlines()) <= 40
    words = " ".join(plain.split())
    assert "γ_{n+1} = κ_{n+1} = 1, W_{n+1} = 0" in words
    assert all(f"\r\n{name}\r\n" in plain for name in LINES)
    assert "contractive (proved)" in words


def test_colours_are_for_terminals_that_want_them() -> None:
    wide = in_terminal("qunn.stability", "rk4", *FAST, COLUMNS="100")
    assert "\x1b[31mrefuted" in wide
    assert "\x1b[32mproved" in wide
    plain = in_terminal("qunn.stability", "rk4", *FAST, COLUMNS="100", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", plain)


# --- verdicts ---


@pytest.mark.parametrize(
    ("arguments", "refuted", "contractive"),
    [
        (["gauss2"], [], True),
        (["radau_iia3", "--size", "2", "--h", "2"], [], True),
        (["backward_euler", "--field", "definite", "--activation", "relu"], [], True),
        (["gauss2", "--field", "antisymmetric", "--activation", "identity"], [], True),
        (["gauss2", "--field", "hamiltonian", "--activation", "identity"], [], True),
        (["rk4"], ["I"], None),
        (["trapezoid"], ["I"], None),
        (["gauss2", "--activation", "sin"], ["field", "contraction"], False),
        (["gauss2", "--field", "antisymmetric"], ["field", "contraction"], False),
        (["gauss2", "--field", "affine", "--seed", "3"], ["field", "contraction"], False),
    ],
)
def test_verdicts(command: Command, arguments: list[str], refuted: list[str], contractive: bool | None) -> None:
    outcome = command(*arguments, "--json", "--pairs", "128", "--steps", "5")
    assert outcome.status == 0  # a network that is not contractive is an answer and no failure
    report = outcome.report
    assert [line["name"] for line in report["layers"][0]["lines"] if line["verdict"] == "refuted"] == refuted
    assert report["contractive"] is contractive


@pytest.mark.parametrize("name", tableaux)
def test_every_tableau_has_a_name_here(command: Command, name: str) -> None:
    report = command(name, "--json", *FAST).report
    assert report["layers"][0]["n"] <= tableaux[name].n
    assert (report["contractive"] is True) == tableaux[name].algebraically_stable()


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_a_name_here(command: Command, field: str) -> None:
    assert command("gauss2", "--field", field, *FAST).status == 0


def test_the_fields_are_those_of_the_package() -> None:
    assert set(FIELDS) == set(ALL_FIELDS)
    assert list(FIELDS) == sorted(FIELDS)


def test_a_seed_repeats_a_report_and_another_does_not(command: Command) -> None:
    arguments = ("gauss2", "--field", "affine", "--json", *FAST)
    first = command(*arguments, "--seed", "5").out
    assert command(*arguments, "--seed", "5").out == first
    assert command(*arguments, "--seed", "6").out != first


def test_text_says_whether_it_is_open_or_refuted(command: Command) -> None:
    assert command("rk4", *FAST).out.rstrip().endswith("open: neither proved nor refuted")
    refuted = command("gauss2", "--field", "antisymmetric", "--pairs", "128").out
    assert refuted.rstrip().endswith("not contractive (refuted)")


# --- saved models ---


def saved(kind: str) -> Any:
    torch.manual_seed(1)
    made: dict[str, Callable[[], Any]] = {
        "ODERNN": lambda: ODERNN.from_tableau("gauss2", [GradientField(3, 2), GradientField(3, 3)], 0.1),
        "ARNN": lambda: ARNN(2, 4, 2, dtype=F64),
        "ContractiveRNN": lambda: ContractiveRNN(2, 3, dtype=F64),
        "TorchRNN": lambda: TorchRNN("lstm", 2, 3, 2),
        "URNN": lambda: URNN(2, 3, dtype=torch.complex64),
        "CWRNN": lambda: CWRNN(2, 4),
        "ResetBeforeGRU": lambda: ResetBeforeGRU(2, 3),
        "Readout": lambda: Readout(ContractiveRNN(2, 3, 2), 1),
    }
    return made[kind]()


@pytest.mark.parametrize(
    "kind", ["ODERNN", "ARNN", "ContractiveRNN", "TorchRNN", "URNN", "CWRNN", "ResetBeforeGRU", "Readout"]
)
def test_a_saved_model_of_every_kind(command: Command, tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "net.safetensors")
    model = saved(kind)
    model.save(path)
    outcome = command(path, "--json", *FAST)
    assert outcome.status == 0
    report = outcome.report
    assert report["title"] == path
    assert report["model"] == kind
    assert len(report["layers"]) == (2 if kind in ("ODERNN", "ARNN", "TorchRNN", "Readout") else 1)
    contractive = kind in ("ODERNN", "ContractiveRNN", "Readout")
    assert (report["contractive"] is True) == contractive
    assert (report["linear"] is None) == (kind != "ARNN")
    if kind == "TorchRNN":
        assert report["layers"][0]["Q_eigenvalues"] is None
        assert report["layers"][0]["beta"] is None
    text = command(path, *FAST)
    assert text.status == 0
    if kind == "ARNN":
        assert "linear (symplectic-euler): h·s_max(W)" in text.out


@pytest.mark.parametrize("option", [["--field", "gradient"], ["--size", "4"], ["--h", "0.1"], ["--activation", "tanh"]])
def test_a_saved_model_has_its_own_field(command: Command, tmp_path: Path, option: list[str]) -> None:
    """Also where the option says what is the default."""
    path = str(tmp_path / "net.safetensors")
    saved("ContractiveRNN").save(path)
    outcome = command(path, *option)
    assert (outcome.status, outcome.out) == (2, "")
    assert f"`{option[0]}` must be left out beside a saved model" in outcome.err


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["gauss2", "extra"], "unexpected extra argument"),
        (["nothing.safetensors"], "`file` must be a saved model (safetensors), but is 'nothing.safetensors'"),
        (["model.pt"], "`tableau` must be one of"),
        (["gauss2", "--field", "round"], "is not one of"),
        (["gauss2", "--activation", "tanhh"], "`activation` must be one of identity"),
        (["gauss2", "--h", "0"], "`h` must be a positive number, but is 0.0"),
        (["gauss2", "--h", "nan"], "`h` must be a positive number"),
        (["gauss2", "--h", "x"], "not a valid float"),
        (["gauss2", "--size", "0"], "`--size` must be an integer of at least 1, but is 0"),
        (["gauss2", "--size", "3", "--field", "hamiltonian"], "`size` must be even"),
        (["gauss2", "--pairs", "0"], "`pairs` must be an integer of at least 1"),
        (["gauss2", "--steps", "-1"], "`steps` must be an integer of at least 1"),
        (["gauss2", "--samples", "-3"], "`samples` must be an integer of at least 1"),
        (["gauss2", "--seed", "-1"], "--seed"),
        (["gauss2", "--unknown"], "--unknown"),
    ],
)
def test_bad_input(command: Command, arguments: list[str], said: str) -> None:
    outcome = command(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("error: ")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_files_that_are_no_models(command: Command, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    outcome = command(str(path), "--json")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1


def test_a_model_that_is_not_finite_is_bad_input(command: Command, tmp_path: Path) -> None:
    model = saved("ContractiveRNN")
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = float("nan")
    model.save(tmp_path / "net.safetensors")
    outcome = command(str(tmp_path / "net.safetensors"))
    assert (outcome.status, outcome.out) == (2, "")
    assert "finite" in outcome.err


def test_a_bidirectional_model_is_bad_input(command: Command, tmp_path: Path) -> None:
    TorchRNN("gru", 2, 3, bidirectional=True).save(tmp_path / "net.safetensors")
    outcome = command(str(tmp_path / "net.safetensors"))
    assert (outcome.status, outcome.out) == (2, "")
    assert "unidirectional" in outcome.err


def test_stages_that_are_not_solved_are_status_1_beside_the_report(command: Command, tmp_path: Path) -> None:
    torch.manual_seed(0)
    solver = Solver(method="fixed-point", max_iterations=1)
    ContractiveRNN(2, 3, solver=solver, dtype=F64).save(tmp_path / "net.safetensors")
    path = str(tmp_path / "net.safetensors")
    outcome = command(path, "--json", *FAST)
    assert outcome.status == 1
    assert outcome.report["layers"][0]["contraction"] is None
    assert outcome.report["contractive"] is True
    assert outcome.err.count("\n") == 1
    assert "not solved" in outcome.err
    quiet = command(path, "--quiet", *FAST)
    assert (quiet.status, quiet.err) == (1, "")
    assert "`tol` may" in quiet.out


@pytest.mark.parametrize("flags", [("--seed", "9" * 23), ("--size", "1000000"), ("--pairs", "100000000")])
def test_numbers_beyond_any_machine_are_refused(command: Command, flags: tuple[str, str]) -> None:
    outcome = command("gauss2", *flags)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1
