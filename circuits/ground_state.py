"""`python -m circuits.ground_state CIRCUIT.qasm`: the ground state of a circuit's clock Hamiltonian, certified."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import CHECK_FAILED, LateProgress, Size, common_options, limit_threads, run

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.report import Report
    from hamiltonians.result import GroundState

# repeated from its module, whose import takes a second that --help does not have; a test compares them
SOLVERS = ("auto", "components", "sweep", "shift-invert", "lobpcg", "dense")
_MAX_BYTES = 64 * 2**20  # of stdin, as of a file


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", required=False)
@click.option("--k", type=int, default=4, show_default=True, help="How many of the lowest energies.")
@click.option("--solver", type=click.Choice(SOLVERS), default="auto", show_default=True, help="How they are found.")
@click.option("--memory-limit", type=Size(), help="Bytes that may be taken, such as 4GiB; default: what is free.")
@common_options
def main(**given: Any) -> int:
    """The ground state of a quantum circuit's Feynman-Kitaev clock Hamiltonian.

    FILE is a circuit in OpenQASM 2 or 3 or QPY, or - for stdin; it starts in |0…0>. The report is that of a machine
    (`python -m qunn.ground_state`): the ground energy is zero, the gap above it, the ground state the history of the
    circuit. One more check compares its part on the last clock state with the circuit's own output state.
    """
    begin = time.perf_counter()
    if given["file"] is None:
        raise InputError("`FILE` must be given: a circuit in OpenQASM or QPY, or - for stdin (see --help)")
    if given["k"] < 1:
        raise must_be("--k", "at least 1", given["k"])
    limit_threads(given["threads"])
    from hamiltonians.memory import memory_limit

    memory_limit.set(given["memory_limit"])
    progress = LateProgress(given["quiet"])
    try:
        report = _certified(_read(given["file"]), given, progress)
    finally:
        progress.close()
    report = replace(report, seconds=time.perf_counter() - begin)
    if given["as_json"]:
        print(json.dumps(report.as_dict(), allow_nan=False))
    else:
        from qunn.page import print_report

        print_report(report)
    return 0 if report.verified else CHECK_FAILED


def _read(file: str) -> QuantumCircuit:
    from circuits.export import read_circuit

    if file != "-":
        from pathlib import Path

        return read_circuit(Path(file))
    from hamiltonians.readers import standard_input

    return read_circuit(standard_input(_MAX_BYTES))


def _certified(circuit: QuantumCircuit, given: dict[str, Any], progress: LateProgress) -> Report:
    from circuits.clock.from_qiskit import from_circuit
    from hamiltonians.report import certify
    from hamiltonians.solve import ground_state

    progress("gates to steps", 0, None)
    H = from_circuit(circuit)
    few = H.dimension * given["k"] <= 10**6  # the report needs one state; more are kept only where they are small
    vectors = min(given["k"], H.dimension) if few else 1
    result = ground_state(H, given["k"], given["solver"], vectors=vectors, seed=given["seed"], progress=progress)
    progress("checking", 0, None)
    return _with_output_state(certify(H, result), circuit, H, result)


def _with_output_state(report: Report, circuit: QuantumCircuit, H: ClockHamiltonian, result: GroundState) -> Report:
    """One check more: ψ on the last clock state against the circuit's state from |0…0>."""
    import numpy as np

    from circuits.clock.from_qiskit import output_fidelity
    from hamiltonians.report import Check, ground_projection, history_of

    fidelity = output_fidelity(H, ground_projection(H, result, history_of(H, result)), circuit)
    slack = float(max(1e-12, 4 * np.finfo(float).eps * np.sqrt(report.rows_of_ground_state)))
    check = Check("output state", abs(1 - fidelity) <= slack, fidelity, f"the circuit's: fidelity 1 within {slack:.1e}")
    checks = [*report.checks, check]
    return replace(report, checks=checks, verified=all(c.passed for c in checks))


if __name__ == "__main__":
    run(main, "circuits.ground_state")
