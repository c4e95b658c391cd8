"""`python -m qunn.ground_state`: streams, exit statuses, files, as interfaces promise them."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hamiltonians import ClockHamiltonian, load_machine
from hamiltonians.explain import EXPLANATIONS
from hamiltonians.memory import memory_limit
from hamiltonians.readers.examples import examples_folder
from qunn.ground_state import main
from tests.systems.command_line import Command, called_here, process

EXAMPLES = examples_folder()
INCREMENT = str(EXAMPLES / "binary_increment.json")
BB2 = "bb:1RB1LB_1LA1RZ"
FIXED_KEYS = {
    *("machine", "input", "space", "steps", "clock_states", "dimension", "ground_energy", "residual", "degeneracy"),
    *("energies", "gap", "gap_closed_form", "history_overlap", "printed_eq40_energy", "output", "machine_output"),
    *("final_state", "accepted", "solver", "verified", "seconds"),
}


#: arrays that `--save` never writes
TAMPERED = [
    ("H_indices", np.array([-1] * 25, np.int32)),
    ("H_indices", np.full(25, 100, np.int32)),
    ("H_data", np.array(["a"] * 25)),
    ("options", np.array("[1]")),
    ("options", np.array('{"space": "tape", "unknown": 1}')),
    ("options", np.array('{"space": "configuration", "max_steps": "x"}')),
    ("report", np.array("{}")),
    ("report", np.array("5")),
    ("energies", np.array([])),
    ("energies", np.array(["a"])),
    ("energies", np.array([[0.0]])),
    ("energies", np.array([np.nan])),
    ("energies", np.array([0j])),
    ("gap", np.array(np.inf)),
    ("degeneracy", np.array("many")),
    ("psi_values", np.ones(9, bool)),
    ("psi_values", np.ones((9, 1))),
    ("psi_values", np.ones(9, np.float16)),
    ("psi_values", np.zeros(9)),
    ("psi_indices", np.arange(9)[::-1]),
    ("machine", np.array("{}")),
    ("format", np.array(2)),
]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    yield called_here(main, "qunn.ground_state", capsys, monkeypatch)
    memory_limit.set(None)


# ------------------------------------------------------------------------------------ what it answers


def test_json_is_one_object_with_every_fixed_key(command):
    outcome = command(BB2, "--json")
    assert outcome.status == 0
    assert outcome.err == ""
    assert set(outcome.report) >= FIXED_KEYS
    assert outcome.report["dimension"] == 49
    assert outcome.report["verified"] is True


def test_every_key_of_the_report_is_explained(command):
    assert set(command(BB2, "--json").report) == set(EXPLANATIONS)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([BB2], {"output": "1111", "degeneracy": 1, "accepted": True, "final_state": "Z", "steps": 6}),
        ([BB2, "--space", "tape"], {"dimension": 112, "degeneracy": 1, "input": ""}),
        ([BB2, "--space", "tape", "--tape-cells", "6"], {"dimension": 448, "degeneracy": 4}),
        ([INCREMENT, "--input", "111"], {"output": "1000", "input": "111"}),
        (["bb:1RB---_1LA1LB"], {"accepted": False}),
        ([INCREMENT, "--k", "2"], {"k": None}),
    ],
)
def test_report(command, arguments, expected):
    report = command(*arguments, "--json").report
    for key, value in expected.items():
        if key == "k":
            assert len(report["energies"]) == 2
        else:
            assert report[key] == value, key


def test_function_space_gives_a_table_and_h_in_selects_one_input(command):
    arguments = INCREMENT, "--space", "function", "--input-length", "3", "--json"
    report = command(*arguments).report
    truth = {format(n, "03b"): format(n + 1, "03b") for n in range(8)}
    assert report["output"] == report["machine_output"] == truth
    assert (report["degeneracy"], report["input"]) == (8, None)
    one = command(*arguments, "--input", "011").report
    assert (one["degeneracy"], one["output"], one["input"]) == (1, {"011": "100"}, "011")
    assert one["gap"] == pytest.approx(2 - 2 * np.cos(np.pi / (2 * one["steps"] + 3)), rel=1e-12)


def test_what_does_not_apply_is_null(command, tmp_path):
    """A machine that halts without a step: no gap, no Eq. (40), no history path."""
    machine = json.loads(Path(INCREMENT).read_text())
    machine["transitions"] = {}
    (tmp_path / "idle.json").write_text(json.dumps(machine))
    report = command(str(tmp_path / "idle.json"), "--json").report
    nothing = ("gap", "gap_closed_form", "gap_history_path", "printed_eq40_energy", "printed_eq40_closed_form")
    assert [report[key] for key in nothing] == [None] * 5
    assert (report["steps"], report["dimension"], report["verified"]) == (0, 1, True)


@pytest.mark.parametrize("solver", ["components", "shift-invert", "lobpcg", "dense"])
def test_solvers_agree(command, solver):
    report = command(BB2, "--space", "tape", "--solver", solver, "--json").report
    assert report["verified"] is True
    assert report["gap"] == pytest.approx(0.081014052771, rel=1e-9)
    assert report["solver"] == solver


def test_the_page_fits_a_narrow_terminal():
    """In a terminal of 40 columns no line is longer, and nothing is lost but folded."""
    parent, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": "40", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "qunn.ground_state", INCREMENT, "--quiet"], stdout=child, stderr=child, env=environment
    ) as running:
        os.close(child)
        text = b""
        while True:
            try:
                text += os.read(parent, 4096)
            except OSError:
                break
    os.close(parent)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text.decode().replace("\r", "")).split("\n")
    assert running.returncode == 0
    assert max(len(line) for line in lines) <= 40
    assert "\x1b[3" not in text.decode()  # NO_COLOR
    assert any("verified" in line for line in lines)


def test_stdin_and_pipe():
    done = process("qunn.ground_state", "-", "--json", input=Path(INCREMENT).read_text())
    assert json.loads(done.stdout)["output"] == "1100"
    page = process("qunn.ground_state", "-", input=Path(INCREMENT).read_text())
    assert page.stderr == ""
    assert "\x1b" not in page.stdout


def test_a_reader_that_leaves_early_is_no_traceback():
    with subprocess.Popen(
        [sys.executable, "-m", "qunn.ground_state", INCREMENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert b"Traceback" not in running.stderr.read()


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "FILE"),
        (["no_such_machine.json"], "no_such_machine.json"),
        (["bb:1RB1LX1"], "bb:1RB1LX1"),
        ([BB2, "--space", "nowhere"], "nowhere"),
        ([BB2, "--k", "0"], "--k"),
        ([BB2, "--tape-cells", "9"], "tape_cells"),
        ([BB2, "--space", "tape", "--tape-cells", "1"], "at least 4"),
        ([BB2, "--space", "function"], "input_length"),
        ([BB2, "--history", "bennett"], "history"),
        ([BB2, "--input", "7"], "input"),
        ([BB2, "--max-steps", "5"], "5 steps"),
        ([BB2, "--engine", "slepc"], "make mpi"),
        ([BB2, "--engine", "torch", "--device", "abacus"], "abacus"),
        ([BB2, "--device", "cuda"], "`--device` must be left out: it belongs to `--engine torch`"),
        ([BB2, "--precision", "float32"], "`--precision` must be left out: it belongs to `--engine torch`"),
        ([BB2, "--plan", "--engine", "slepc"], "`--plan` must be left out: it belongs to `--engine torch`"),
        ([BB2, "--checkpoint", "basis"], "`--checkpoint` must be left out: it belongs to `--engine slepc`"),
        ([BB2, "--ranks", "2"], "`--ranks` must be left out: it belongs to `--engine slepc`"),
        ([BB2, "--ranks", "0", "--engine", "slepc"], "`--ranks` must be at least 1"),
        ([BB2, "--checkpoint", "no_such_folder/basis", "--engine", "slepc"], "no_such_folder"),
        (["--plan", "--engine", "torch", "--device", "abacus"], "abacus"),
        ([BB2, "--solver", "sweep"], "sweep"),
        ([BB2, "--memory-limit", "lots"], "lots"),
        ([BB2, "--memory-limit", "10"], "10 bytes may be taken"),
        ([BB2, "--plot", "picture.bmp"], "picture.bmp"),
        ([BB2, "--save", "result.txt"], "result.txt"),
        ([BB2, "--save", "no_such_folder/result.npz"], "no_such_folder"),
        ([BB2, "--load", "result.npz"], "FILE"),
        (["--load", "result.npz", "--space", "tape"], "--space"),
        ([INCREMENT, "--space", "function", "--input-length", "40"], "600.0 TiB needed"),
        ([INCREMENT, "--space", "function", "--input-length", "1" + 30 * "0"], "input_length"),
        ([BB2, "--memory-limit", 400 * "9"], "memory-limit"),
        ([BB2, "--plot", ""], "--plot"),
        ([BB2, "--save", ""], "--save"),
        (["--load", "no_such_file.npz"], "no_such_file.npz"),
        ([BB2, "--unknown"], "--unknown"),
        ([BB2, "--space", "tape", "--tape-cells", "100"], "2^63"),
        ([str(EXAMPLES / "busy_beaver_5.txt"), "--space", "tape"], "2^63"),
        ([str(EXAMPLES / "logical_and.json"), "--space", "function", "--input-length", "2"], "merges"),
        (["--explain", "nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_line_and_status_2(command, arguments, named):
    outcome = command(*arguments, "--json")
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert named in outcome.err
    assert "Traceback" not in outcome.err


def test_bennett_history_cures_merging(command):
    arguments = str(EXAMPLES / "logical_and.json"), "--space", "function", "--input-length", "2", "--history", "bennett"
    report = command(*arguments, "--json").report
    assert report["verified"] is True
    assert report["output"] == {"00": "00", "01": "00", "10": "10", "11": "11"} or report["degeneracy"] == 4


# ------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize("space", [["configuration"], ["tape"], ["function", "--input-length", "2"]])
def test_plot(command, tmp_path, suffix, space):
    name = tmp_path / f"picture.{suffix}"
    outcome = command(INCREMENT, "--space", *space, "--plot", str(name))
    assert outcome.status == 0
    begins = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert name.read_bytes().startswith(begins)
    assert os.listdir(tmp_path) == [name.name]


@pytest.mark.parametrize(
    "arguments",
    [
        [INCREMENT],
        [BB2, "--space", "tape", "--tape-cells", "5"],
        [INCREMENT, "--space", "function", "--input-length", "2"],
        [INCREMENT, "--space", "function", "--input-length", "2", "--input", "11"],
        [str(EXAMPLES / "logical_and.json"), "--space", "function", "--input-length", "2", "--history", "bennett"],
    ],
)
def test_save_and_load(command, tmp_path, arguments):
    name = str(tmp_path / "result.npz")
    saved = command(*arguments, "--save", name, "--json").report
    loaded = command("--load", name, "--json")
    assert loaded.status == 0
    ignored = ("seconds", "solver", "solver_message", "gap_component", "checks")
    assert {k: v for k, v in loaded.report.items() if k not in ignored} == {
        k: v for k, v in saved.items() if k not in ignored
    }


def test_saved_h_is_h(command, tmp_path):
    """The CSR parts in the file are H on the rows of ψ."""
    name = str(tmp_path / "result.npz")
    command(BB2, "--space", "tape", "--save", name)
    H = ClockHamiltonian.from_machine(load_machine(BB2), "tape").to_sparse()
    with np.load(name) as file:
        rows = file["H_rows"]
        n = len(rows)
        import scipy.sparse as sp

        block = sp.csr_array((file["H_data"], file["H_indices"], file["H_indptr"]), shape=(n, n))
        assert abs(block - H[rows][:, rows]).max() == 0
        np.testing.assert_allclose(H[:, rows] @ file["psi_values"], 0, atol=1e-15)


def test_a_corrupted_file_is_caught(command, tmp_path):
    """A wrong amplitude fails the certificate with its step; a wrong H, or no such file at all, is bad input."""
    name = tmp_path / "result.npz"
    command(INCREMENT, "--save", str(name))
    with np.load(name) as file:
        good = dict(file)
    wrong = good["psi_values"].copy()
    wrong[-1] *= -1
    np.savez(name, **{**good, "psi_values": wrong})
    outcome = command("--load", str(name), "--json")
    assert outcome.status == 1
    assert outcome.report["verified"] is False
    assert outcome.report["first_bad_step"] == outcome.report["steps"]
    np.savez(name, **{**good, "H_data": good["H_data"] * 2})
    assert (command("--load", str(name)).status, "H_data" in command("--load", str(name)).err) == (2, True)
    np.savez(name, **{k: v for k, v in good.items() if k != "psi_values"})
    assert "psi_values" in command("--load", str(name)).err
    for key, value in TAMPERED:
        np.savez(name, **{**good, key: value})
        outcome = command("--load", str(name), "--json")
        assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1), (key, outcome.err)
    for key, value in {"energies": good["energies"] + 1, "gap": good["gap"] / 2, "degeneracy": np.array("7")}.items():
        np.savez(name, **{**good, key: value})
        assert command("--load", str(name), "--json").status == 1, key
    name.write_bytes(b"not an archive")
    assert command("--load", str(name)).status == 2
    name.write_bytes(b"PK\x03\x04 broken")
    assert command("--load", str(name)).status == 2


def test_a_failed_write_leaves_the_old_file(command, tmp_path):
    name = tmp_path / "result.npz"
    name.write_text("old")
    assert command(BB2, "--space", "tape", "--tape-cells", "1", "--save", str(name)).status == 2
    assert name.read_text() == "old"


# ------------------------------------------------------------------------------------ around it


def test_help_loads_nothing_slow():
    code = (
        "import sys, runpy; sys.argv = ['ground_state', '--help']\n"
        "try: runpy.run_module('qunn.ground_state', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'qiskit', 'numba', 'scipy', 'numpy', 'matplotlib', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_the_report_needs_neither_torch_nor_qiskit():
    code = (
        "import sys, runpy; sys.argv = ['ground_state', 'bb:1RB1LB_1LA1RZ']\n"
        "try: runpy.run_module('qunn.ground_state', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'qiskit', 'qiskit_aer'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_torch_gives_the_same_report(command, tmp_path, precision):
    """Every number of the certificate, and files that the other engine accepts."""
    asked = (BB2, "--space", "tape", "--tape-cells", "5", "--json")
    torch = ("--engine", "torch", "--device", "cpu", "--precision", precision)
    files = str(tmp_path / "result.npz"), str(tmp_path / "picture.png")
    found = command(*asked, *torch, "--save", files[0], "--plot", files[1]).report
    truth = command(*asked).report
    assert found["verified"] is True
    assert set(found) == set(truth)
    assert precision in found["solver"]
    assert found["gap"] == pytest.approx(truth["gap"], rel=1e-10)
    for key in ("degeneracy", "output", "dimension", "steps"):
        assert found[key] == truth[key], key
    assert Path(files[1]).read_bytes().startswith(b"\x89PNG")
    for engine in (torch, ()):
        again = command("--load", files[0], "--json", *engine)
        assert (again.status, again.report["gap"]) == (0, found["gap"])


def test_an_engine_without_its_library_is_one_line(command, monkeypatch):
    """As in the environment of `make mpi`, which has no torch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("qunn.clock_engine")]:
        monkeypatch.delitem(sys.modules, name)
    for flags in ((BB2,), ("--plan",)):
        outcome = command(*flags, "--engine", "torch")
        assert outcome.status == 2
        assert outcome.err == "error: `engine` must be installed, but torch needs torch, which is not\n"


def test_the_plan_of_a_card_needs_no_card(command):
    """What the memory that is told holds; a problem beside it is looked at and not solved."""
    asked = ("--plan", "--engine", "torch", "--device", "cuda", "--memory-limit", "141GB")
    plan = command(*asked, "--json").report
    assert (plan["memory_bytes"], plan["device"], plan["precision"]) == (141 * 2**30, "cuda", "float64")
    assert plan["problem"] is None
    largest = {fit["steps"]: fit["rows"] for fit in plan["largest"]}
    half = command(*asked, "--precision", "float32", "--json").report
    assert {fit["steps"]: fit["rows"] for fit in half["largest"]}["permutations"] > 1.8 * largest["permutations"]
    beside = command(*asked, INCREMENT, "--space", "tape", "--json").report
    assert beside["problem"]["fits"] is True
    assert beside["problem"]["rows"] == command(INCREMENT, "--space", "tape", "--json").report["dimension"]
    assert "cuda" in command(*asked).out
    assert command("--plan", "--engine", "torch", "--json").report["device"] == "cpu"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--device", "mps"), "`device` must be cpu, cuda or a card's number such as cuda:1, but is 'mps'"),
        (("--load", "no.npz"), "`--load` must be left out beside `--plan`, which solves nothing, but is 'no.npz'"),
        (("--save", "a.npz"), "`--save` must be left out beside `--plan`, which solves nothing, but is 'a.npz'"),
    ],
)
def test_a_plan_refuses_what_it_cannot_do(command, flags, told):
    outcome = command("--engine", "torch", "--plan", *flags)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"error: {told}\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here, whose memory can be asked for")
def test_a_plan_for_a_card_that_is_not_here_asks_for_its_memory(command):
    outcome = command("--engine", "torch", "--plan", "--device", "cuda:1")
    told = "`device` must be cpu here: torch sees no CUDA card, but is 'cuda:1'"
    expected = f"error: {told}; for a card elsewhere `--memory-limit` tells its memory\n"
    assert (outcome.status, outcome.out, outcome.err) == (2, "", expected)


def test_threads_bound_torch_too():
    """In a process of its own: numba, where it does not load the OpenMP that torch has, cannot bound it."""
    code = (
        f"import sys, runpy; sys.argv = ['ground_state', {BB2!r}, '--engine', 'torch', '--threads', '1', '--json']\n"
        "try: runpy.run_module('qunn.ground_state', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "import torch; print(torch.get_num_threads())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "NUMBA_THREADING_LAYER": "workqueue"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "1"


def test_a_plan_counts_the_states_that_would_be_kept(command):
    asked = (BB2, "--engine", "torch", "--memory-limit", "100K")
    assert command(*asked, "--plan", "--json", "--k", "40").report["problem"]["fits"] is False
    assert command(*asked, "--k", "40").status == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["m.json", "--ranks", "2", "--json"], ["m.json", "--json"]),
        (["--ranks=2", "--input", "--ranks2"], ["--input", "--ranks2"]),
    ],
)
def test_ranks_are_not_asked_for_again(given, kept):
    from qunn.ground_state import _without_ranks

    assert _without_ranks(given) == kept


def test_names_offered_are_the_names_known():
    from hamiltonians import clock, plot, readers, solve
    from qunn import ground_state as module

    assert module.SPACES == clock.SPACES
    assert module.SOLVERS == solve.SOLVERS
    assert set(module.FORMATS) == set(readers.FORMATS)
    assert module.ENGINES == solve.ENGINES
    assert module.PRECISIONS == solve.PRECISIONS
    assert tuple("." + suffix for suffix in plot.FORMATS) == module.PICTURES


def test_list_and_explain_as_json(command):
    assert len(command("--list", "--json").report["examples"]) >= 10
    assert command("--explain", "gap", "--json").report["key"] == "gap"


def test_closed_and_full_streams():
    """Nothing that the shell does to the streams is a traceback."""
    run_it = f"{sys.executable} -m qunn.ground_state"
    for line, status in {
        f"{run_it} {BB2} --json > /dev/full": 2,
        f"{run_it} {BB2} --json >&-": 0,
        f"{run_it} {BB2} 2>&-": 0,
        f"{run_it} - <&-": 2,
    }.items():
        done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=EXAMPLES.parent)
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), (line, done.stderr)


def test_a_folder_is_no_file_to_write(command, tmp_path):
    (tmp_path / "result.npz").mkdir()
    outcome = command(BB2, "--save", str(tmp_path / "result.npz"), "--json")
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1)


def test_list_version_and_explain(command):
    listing = command("--list")
    assert listing.status == 0
    assert all(path.name in listing.out.replace("\n", "") for path in EXAMPLES.glob("*.json"))
    assert "0.1.0" in command("--version").out
    assert "E9" in command("--explain", "printed_eq40_energy").out


def test_seed_and_threads_do_not_change_the_answer(command):
    first = command(BB2, "--space", "tape", "--solver", "lobpcg", "--seed", "1", "--threads", "1", "--json").report
    second = command(BB2, "--space", "tape", "--solver", "lobpcg", "--seed", "2", "--json").report
    assert first["gap"] == pytest.approx(second["gap"], rel=1e-12)


def test_a_method_that_does_not_converge_has_status_1(command, monkeypatch):
    """LOBPCG stopped after one iteration says so, and nothing is called verified."""
    from hamiltonians.solvers import lobpcg

    monkeypatch.setattr(lobpcg, "_ITERATIONS", 1)
    monkeypatch.setattr(lobpcg, "shift_for", lambda _: 10.0)  # and a poor preconditioner
    outcome = command(BB2, "--space", "tape", "--solver", "lobpcg", "--json")
    assert outcome.status == 1
    assert outcome.report["verified"] is False
    assert "not converged" in outcome.report["solver_message"]


@pytest.mark.slow
def test_ctrl_c(tmp_path):
    """Interrupted in the middle of BB(5): status 130, one line, and no file, not even a temporary one."""
    target = tmp_path / "result.npz"
    with subprocess.Popen(
        [sys.executable, "-m", "qunn.ground_state", str(EXAMPLES / "busy_beaver_5.txt"), "--save", str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        time.sleep(3)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_bb5(command):
    """47,176,870 steps, 2.2·10^15 rows, and a gap of 4.43e-15 that keeps its digits."""
    report = command(str(EXAMPLES / "busy_beaver_5.txt"), "--json").report
    assert report["verified"] is True
    assert report["dimension"] == 47176871**2
    assert report["output"].count("1") == 4098
    assert report["gap"] == pytest.approx(4.434467531754913e-15, rel=1e-11)
