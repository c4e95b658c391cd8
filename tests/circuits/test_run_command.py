"""`python -m circuits.run`: models and machines, files and flags that are wrong, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from circuits import machine_run, run
from circuits.backends import METHODS, Backend, SimulationError
from circuits.evolution import SYNTHESES, TERMS
from circuits.export import read_circuit
from hamiltonians.clock import SPACES
from qunn import QUNN, QUNNForecaster
from tests.systems.command_line import Command, called_here, process

BB2 = "bb:1RB1LB_1LA1RZ"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return called_here(run.main, "circuits.run", capsys, monkeypatch)


@pytest.fixture
def unitary(tmp_path: Path) -> str:
    torch.manual_seed(0)
    QUNN(2, 3, mode="unitary", dtype=torch.float64).save(tmp_path / "unitary.safetensors")
    return str(tmp_path / "unitary.safetensors")


def test_names_repeated_for_help_are_those_of_the_modules():
    assert set(run.SYNTHESES) == set(SYNTHESES)
    assert set(run.TERMS) == set(TERMS)
    assert set(run.METHODS) == set(METHODS)
    assert set(run.SPACES) == set(SPACES)


def test_help_loads_neither_torch_nor_qiskit():
    code = "import sys, circuits.run; print(sorted({'torch', 'qiskit', 'numpy'} & set(sys.modules)))"
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--synthesis", "unitary"),
        ("--synthesis", "suzuki2", "--reps", "2"),
        ("--synthesis", "lie", "--terms", "pauli", "--reps", "3"),
        ("--shots", "4000", "--seed", "3"),
    ],
)
def test_a_model(command, unitary, flags):
    report = command(unitary, "--json", "--device", "CPU", *flags).report
    assert report["verified"]
    assert report["kind"] == "model"
    assert report["elements"] == 6  # the period and three
    assert 0 <= report["max_difference"] <= report["tolerance"]
    assert report["resources"]["qubits"] == 3
    assert report["steps"] is None


def test_a_check_can_fail(command, unitary, monkeypatch):
    """A circuit that is off by far less than a person would see ends with status 1."""
    from circuits import network

    monkeypatch.setattr(network, "encoded", lambda v, r, of=network.encoded: of(v + 1e-8, r))
    found = command(unitary, "--json", "--device", "CPU")
    assert found.status == 1
    assert not found.report["verified"]


def test_qdrift_and_noise_promise_nothing(command, unitary):
    for flags in (("--synthesis", "qdrift", "--reps", "20"), ("--shots", "100", "--noise", "0.01", "--length", "2")):
        report = command(unitary, "--json", "--device", "CPU", *flags).report
        assert report["tolerance"] is None
        assert report["checks"] == []


def test_a_forecaster(command, tmp_path):
    torch.manual_seed(1)
    QUNNForecaster(1, 3, heads=2, dtype=torch.float64).save(tmp_path / "f.safetensors")
    (tmp_path / "x.csv").write_text("0.5\n-1.25\n2\n0.75\n")
    report = command(str(tmp_path / "f.safetensors"), "--series", str(tmp_path / "x.csv"), "--json").report
    assert report["verified"]
    assert report["mode"] == "literal"
    assert report["elements"] == 8
    assert 0 < report["success_probability"] <= 1


@pytest.mark.parametrize("encoding", ["binary", "unary"])
def test_a_machine(command, encoding):
    report = command(BB2, "--time", "7.3", "--encoding", encoding, "--json", "--device", "CPU").report
    assert report["verified"]
    assert report["infidelity"] <= 1e-12
    assert report["steps"] == 6
    by_string = command(BB2, "--time", "7.3", "--encoding", encoding, "--terms", "pauli", "--json").report
    assert by_string["infidelity"] > 1e-3
    assert by_string["tolerance"] is None


@pytest.mark.parametrize(
    ("flags", "rows"),
    [
        ((BB2,), ("Hamiltonian", "T = 6 steps, d = 7, binary clock", "infidelity", "exp(-iHt)")),
        ((BB2, "--synthesis", "suzuki2", "--reps", "2"), ("suzuki2 over natural terms, 2 repetitions",)),
    ],
)
def test_a_machines_page(command, flags, rows):
    found = command(*flags, "--device", "CPU")
    assert found.status == 0
    for row in rows:
        assert row in found.out


def test_counts_of_a_machine(command):
    report = command(BB2, "--shots", "2000", "--json", "--device", "CPU").report
    assert report["verified"]
    assert report["checks"][0]["name"] == "counts"


def test_blocks_change_nothing(command, unitary):
    asked = (unitary, "--length", "2", "--json", "--device", "CPU", "--shots", "300")
    whole = command(*asked).report
    split = command(*asked, "--aer", "blocking_enable=true", "--aer", "blocking_qubits=2").report
    assert {**split, "seconds": None} == {**whole, "seconds": None}


def test_files_that_are_written(command, unitary, tmp_path):
    picture, circuit = tmp_path / "p.svg", tmp_path / "c.qpy"
    found = command(unitary, "--length", "4", "--plot", str(picture), "--export", str(circuit), "--device", "CPU")
    assert found.status == 0
    assert "wrote" in found.err
    assert "suzuki4" in found.out
    assert picture.read_text().startswith("<?xml")
    assert read_circuit(circuit).num_qubits == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.safetensors",), "`file` must be a saved model"),
        (("nothing.json",), "nothing.json"),
        ((BB2, "--length", "3"), "`--length` must be left out for a machine"),
        ((BB2, "--synthesis", "qdrift"), "`--synthesis` must be one of lie"),
        (("{model}", "--time", "2"), "`--time` must be left out for a model"),
        (("{model}", "--reps", "0"), "`--reps` must be at least 1"),
        (("{model}", "--shots", "0"), "`--shots` must be at least 1"),
        (("{model}", "--synthesis", "magic"), "magic"),
        (("{model}", "--device", "TPU"), "TPU"),
        (("{model}", "--aer", "blocking"), "`--aer` must be KEY=VALUE"),
        (("{model}", "--aer", "blocking_qubits=many"), "`aer: blocking_qubits` must be a whole number"),
        (("{model}", "--noise", "0.1"), "`--noise` must come with `--shots`"),
        (("{model}", "--noise", "FakeNothing", "--shots", "5"), "FakeNothing"),
        (("{model}", "--plot", "p.gif"), "`--plot` must be a name that ends in"),
        (("{model}", "--export", "p.txt"), "`--export` must be a name that ends in"),
        (("{model}", "--series", "nothing.csv"), "`--series` must be a CSV file"),
        (("{model}", "--memory-limit", "100"), "needed, but"),
    ],
)
def test_bad_input(command, unitary, arguments, message):
    found = command(*(a.format(model=unitary) for a in arguments), "--json")
    assert found.status == 2
    assert found.out == ""
    assert found.err.count("\n") == 1 + found.err.count("circuits run on the CPU")
    assert message in found.err


def test_one_shot_is_no_failure(command):
    """One count of a state of probability 1/22 lies five binomial deviations off, and says nothing."""
    report = command("examples/busy_beaver_3_steps.txt", "--shots", "1", "--json", "--device", "CPU").report
    assert report["verified"]


def test_rounding_of_the_norm_is_no_infidelity():
    truth = np.array([0.6, 0.8j])
    assert np.linalg.norm(machine_run._away((1 - 1e-11) * truth, truth)) ** 2 <= 1e-24


def test_a_model_without_parameters(command, tmp_path):
    file = str(tmp_path / "fixed.safetensors")
    QUNN(2, 3, mode="unitary", p1=0.0, p2=1.0, dtype=torch.float64).save(file)
    assert command(file, "--json", "--device", "CPU").report["verified"]


def test_every_seed_that_is_allowed(command, unitary):
    assert command(unitary, "--seed", str(2**32 - 1), "--device", "CPU").status == 0


def test_a_failed_simulation_is_one_line(command, unitary, monkeypatch):
    def failing(*_: object) -> None:
        raise SimulationError("Aer failed: of itself")

    monkeypatch.setattr(Backend, "states", failing)
    found = command(unitary, "--json", "--device", "CPU")
    assert (found.status, found.out, found.err) == (1, "", "error: Aer failed: of itself\n")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("text", "message"), [("", "finite numbers"), ("1e200,1", "so small that all layers")])
def test_series_that_are_wrong(command, unitary, tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    found = command(unitary, "--series", str(tmp_path / "x.csv"), "--device", "CPU", "--json")
    assert (found.status, found.out, found.err.count("\n")) == (2, "", 1)
    assert message in found.err


def test_as_a_process(unitary):
    done = process("circuits.run", unitary, "--json", "--quiet")
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["verified"]


def test_a_machine_by_another_method(command):
    """Each method has gates of its own: a matrix product state has no multi-controlled phase."""
    report = command(BB2, "--method", "matrix_product_state", "--json", "--device", "CPU").report
    assert report["verified"]
    assert report["method"] == "matrix_product_state"
