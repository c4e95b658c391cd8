"""`python -m qunn.ground_state FILE`: the ground state of a Turing machine's clock Hamiltonian, certified."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import CHECK_FAILED, LateProgress, Size, common_options, limit_threads, run

if TYPE_CHECKING:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.machine import TuringMachine
    from hamiltonians.report import Report
    from hamiltonians.result import GroundState
    from hamiltonians.state import SparseState

# repeated from their modules, whose import takes a second that --help does not have; a test compares them
SPACES = ("configuration", "tape", "function")
SOLVERS = ("auto", "components", "sweep", "shift-invert", "lobpcg", "dense")
ENGINES = ("numpy", "slepc", "torch")
FORMATS = ("native", "automata-lib", "turingmachine-io", "jflap", "busy-beaver")


@dataclass(frozen=True)
class Problem:
    """A machine, how its Hamiltonian is asked for, and the Hamiltonian."""

    machine: TuringMachine
    options: dict[str, Any]
    H: ClockHamiltonian


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", required=False)
@click.option("--space", type=click.Choice(SPACES), default="configuration", show_default=True, help="The data space.")
@click.option("--tape-cells", type=int, help="tape: cells of the window; default: those the head reads.")
@click.option("--input-length", type=int, help="function: all inputs of this length at once.")
@click.option("--history", type=click.Choice(["bennett"]), help="function: keep the rule history, so that none merge.")
@click.option("--input", "word", help="The word on the tape; function: the one input that H_in selects.")
@click.option("--k", type=int, default=4, show_default=True, help="How many of the lowest energies.")
@click.option("--solver", type=click.Choice(SOLVERS), default="auto", show_default=True, help="How they are found.")
@click.option("--engine", type=click.Choice(ENGINES), default="numpy", show_default=True, help="Where it runs.")
@click.option("--device", help="Of the torch engine.")
@click.option("--max-steps", type=int, default=10**8, show_default=True, help="A run may take so many steps.")
@click.option("--memory-limit", type=Size(), help="Bytes that may be taken, such as 4GiB; default: what is free.")
@click.option("--format", "file_format", type=click.Choice(FORMATS), help="Of FILE; default: told by its content.")
@click.option("--plot", "plot_file", metavar="FILE", help="Draw the tape and the spectrum: PNG, SVG or PDF.")
@click.option("--save", "save_file", metavar="FILE.npz", help="Keep energies, ground state, H and the machine.")
@click.option("--load", "load_file", metavar="FILE.npz", help="Check such a file again, instead of FILE.")
@click.option("--list", "list_examples", is_flag=True, help="Show the examples and leave.")
@click.option("--explain", metavar="KEY", help="Explain a key of the report and leave.")
@common_options
def main(**given: Any) -> int:
    """The ground state of a Turing machine's Feynman-Kitaev clock Hamiltonian.

    FILE is a machine in any of the formats, bb:TABLE (such as bb:1RB1LB_1LA1RZ), or - for stdin. The report certifies
    that the ground energy is zero, the gap above it, that the ground state is the history of the computation, and that
    its part on the last clock state is the machine's output.
    """
    if given["explain"] is not None:
        return _explain(given["explain"])
    if given["list_examples"]:
        return _list_examples()
    return _certify(given)


def _certify(given: dict[str, Any]) -> int:
    begin = time.perf_counter()
    _check_flags(given)
    limit_threads(given["threads"])
    from hamiltonians.memory import memory_limit

    memory_limit.set(given["memory_limit"])
    progress = LateProgress(given["quiet"])
    try:
        problem, result, psi = _loaded(given) if given["load_file"] else _solved(given, progress)
        from dataclasses import replace

        from hamiltonians.report import certify

        progress("checking", 0, None)
        report = certify(problem.H, result, psi)
        report = replace(report, seconds=time.perf_counter() - begin)
        if given["save_file"] or given["plot_file"]:
            psi = _psi(problem.H, result) if psi is None else psi
            _write_files(given, problem, result, psi, report)
    finally:
        progress.close()
    if given["as_json"]:
        print(json.dumps(report.as_dict(), allow_nan=False))
    else:
        from qunn.page import print_report

        print_report(report)
        if not given["quiet"]:
            for name in (given["plot_file"], given["save_file"]):
                if name:
                    print(f"wrote {name}", file=sys.stderr)
    return 0 if report.verified else CHECK_FAILED


def _check_flags(given: dict[str, Any]) -> None:
    """What click cannot tell: flags that need each other, or names that would fail only at the end."""
    if (given["file"] is None) == (given["load_file"] is None):
        raise InputError("`FILE` must be given: a machine, bb:TABLE or - (or `--load FILE.npz` instead; see --help)")
    if given["device"] is not None and given["engine"] != "torch":
        raise must_be("--device", "left out: it belongs to `--engine torch`", given["device"])
    if given["engine"] != "numpy":
        raise must_be("--engine", "numpy: the engines slepc and torch are not part of this version", given["engine"])
    for name in ("tape_cells", "input_length", "max_steps"):
        if given[name] is not None and given[name] < 0:
            raise must_be("--" + name.replace("_", "-"), "at least 0", given[name])
    if given["k"] < 1:
        raise must_be("--k", "at least 1", given["k"])
    if given["plot_file"]:
        from hamiltonians.plot import check_suffix

        check_suffix(given["plot_file"])
    if given["save_file"] and not given["save_file"].endswith(".npz"):
        raise must_be("--save", "a name that ends in .npz", given["save_file"])


def _solved(given: dict[str, Any], progress: LateProgress) -> tuple[Problem, GroundState, SparseState | None]:
    from hamiltonians.solve import ground_state

    machine = _read(given["file"], given["file_format"])
    options = {
        name: given[key]
        for name, key in {
            "space": "space",
            "tape_cells": "tape_cells",
            "input_length": "input_length",
            "history": "history",
            "input": "word",
            "max_steps": "max_steps",
        }.items()
    }
    problem = _build(machine, options, progress)
    # the report needs one state; more are kept only where they are small
    few = problem.H.dimension * given["k"] <= 10**6
    vectors = min(given["k"], problem.H.dimension) if few else 1
    result = ground_state(
        problem.H, given["k"], given["solver"], given["engine"], vectors=vectors, seed=given["seed"], progress=progress
    )
    return problem, result, None


def _build(machine: TuringMachine, options: dict[str, Any], progress: LateProgress) -> Problem:
    from hamiltonians.clock import ClockHamiltonian

    return Problem(machine, options, ClockHamiltonian.from_machine(machine, **options, progress=progress))


def _read(file: str, file_format: str | None) -> TuringMachine:
    from hamiltonians.readers import load_machine, read_machine_text

    if file == "-":
        return read_machine_text(sys.stdin.buffer.read(), "stdin", file_format)
    return load_machine(file, file_format)


def _loaded(given: dict[str, Any]) -> tuple[Problem, GroundState, SparseState | None]:
    """Rebuild H from the machine in the file, compare it with the H in the file, and take the state from there."""
    from hamiltonians.readers import read_machine_text
    from hamiltonians.result import GroundState
    from hamiltonians.storage import check_block, load

    path = given["load_file"]
    saved = load(path)
    machine = read_machine_text(json.dumps(saved.machine), path, "native")
    problem = _build(machine, saved.options, LateProgress(given["quiet"]))
    check_block(path, problem.H, saved)
    result = GroundState(
        energies=saved.energies,
        states=saved.psi.values[:, None],
        indices=saved.psi.indices,
        residual=0.0,
        degeneracy=saved.degeneracy,
        gap=saved.gap,
        converged=True,
        solver=f"{saved.report['solver']}, read from a file",
        message="energies and state from the file; H rebuilt from the machine in it, and equal to the H in it",
        error=saved.error,
    )
    return problem, result, saved.psi


def _psi(H: ClockHamiltonian, result: GroundState) -> SparseState:
    from hamiltonians.report import ground_projection, history_of

    return ground_projection(H, result, history_of(H, result))


def _write_files(
    given: dict[str, Any], problem: Problem, result: GroundState, psi: SparseState, report: Report
) -> None:
    if given["plot_file"]:
        from hamiltonians.plot import plot

        plot(given["plot_file"], problem.H, psi, report)
    if given["save_file"]:
        from hamiltonians.readers.native import to_native
        from hamiltonians.storage import save

        save(given["save_file"], problem.H, result, psi, report, to_native(problem.machine), problem.options)


def _explain(key: str) -> int:
    from hamiltonians.explain import EXPLANATIONS
    from qunn.page import print_explanation

    if key not in EXPLANATIONS:
        raise must_be("--explain", one_of_all(EXPLANATIONS), key)
    print_explanation(key, EXPLANATIONS[key])
    return 0


def one_of_all(names: Any) -> str:
    """All names, however many: the reader is looking for one of them."""
    return "one of " + ", ".join(names)


def _list_examples() -> int:
    from hamiltonians.readers.examples import examples
    from qunn.page import print_examples

    print_examples(examples())
    return 0


if __name__ == "__main__":
    run(main, "qunn.ground_state")
