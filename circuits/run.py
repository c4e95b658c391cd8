"""`python -m circuits.run MODEL.safetensors|MACHINE`: circuits on Aer, beside torch or the exact history state."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import CHECK_FAILED, LateProgress, Size, common_options, limit_torch_threads, run

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from torch import Tensor, nn

    from circuits.backends import Backend
    from circuits.run_report import RunReport

# repeated from their modules, whose import takes seconds that --help does not have; a test compares them
SYNTHESES = ("lie", "suzuki2", "suzuki4", "qdrift", "subspace", "unitary")
TERMS = ("pauli", "natural")
METHODS = ("statevector", "matrix_product_state", "density_matrix", "stabilizer", "automatic")
SPACES = ("configuration", "tape", "function")
PICTURES = (".png", ".svg", ".pdf")
EXPORTS = (".qasm", ".qasm2", ".qpy")
_OF_MODELS, _OF_MACHINES = ("series", "length"), ("time", "space", "word", "encoding")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file")
@click.option("--synthesis", type=click.Choice(SYNTHESES), help="Default: subspace for a model, lie for a machine.")
@click.option("--terms", type=click.Choice(TERMS), default="natural", show_default=True, help="Of a product formula.")
@click.option("--reps", type=int, default=1, show_default=True, help="Repetitions of the formula; draws of qdrift.")
@click.option("--device", type=click.Choice(["auto", "CPU", "GPU"]), default="auto", show_default=True, help="Of Aer.")
@click.option("--method", type=click.Choice(METHODS), default="statevector", show_default=True, help="Of Aer.")
@click.option("--precision", type=click.Choice(["double", "single"]), default="double", show_default=True)
@click.option("--aer", metavar="KEY=VALUE", multiple=True, help="Another option of AerSimulator; may be repeated.")
@click.option("--shots", type=int, help="Shots a circuit; default: the exact state.")
@click.option("--noise", metavar="RATE|NAME", help="Error of CX and read-out (one-qubit gates: a tenth), or a Fake*.")
@click.option("--series", metavar="FILE.csv", help="Model: its input, a row of numbers a time; default: random.")
@click.option("--length", type=int, help="Model: how many random unit vectors; default: the period and three.")
@click.option("--time", type=float, default=1.0, show_default=True, help="Machine: t of exp(-iHt).")
@click.option("--space", type=click.Choice(SPACES), default="configuration", show_default=True, help="Machine.")
@click.option("--input", "word", help="Machine: the word on its tape.")
@click.option("--encoding", type=click.Choice(["binary", "unary"]), default="binary", show_default=True, help="Clock.")
@click.option("--export", "export_file", metavar="FILE", help="Keep the circuit: .qasm (3), .qasm2 or .qpy.")
@click.option("--plot", "plot_file", metavar="FILE", help="Draw the circuit and error against reps: PNG, SVG or PDF.")
@click.option("--memory-limit", type=Size(), help="Bytes that may be taken, such as 4GiB; default: what is free.")
@common_options
@click.pass_context
def main(context: click.Context, /, **given: Any) -> int:
    """Run a QUNN, or the history state of a Turing machine, as circuits on Aer, and check them.

    FILE is a saved model that holds a QUNN (*.safetensors), or a machine: a file, bb:TABLE, or - for stdin. A model's
    outputs are compared with torch's; a machine's history state is prepared and evolved under its clock Hamiltonian,
    which must leave it as it is.
    """
    spoken = {name for name in given if context.get_parameter_source(name) != click.core.ParameterSource.DEFAULT}
    return _run(given, spoken)


def _run(given: dict[str, Any], spoken: set[str]) -> int:
    begin = time.perf_counter()
    is_model = given["file"].endswith(".safetensors")
    _check_flags(given, spoken, is_model)
    limit_torch_threads(given["threads"])
    from hamiltonians.memory import memory_limit

    memory_limit.set(given["memory_limit"])
    progress = LateProgress(given["quiet"])
    from circuits.backends import SimulationError

    try:
        report, circuit = (_of_model if is_model else _of_machine)(given, progress)
        report = replace(report, seconds=time.perf_counter() - begin)
        if given["plot_file"]:
            from circuits.run_picture import plot

            progress("drawing", 0, None)
            plot(given["plot_file"], report, circuit)
        if given["export_file"]:
            from circuits.export import export

            export(circuit, given["export_file"])
    except SimulationError as failed:
        print(f"error: {failed}", file=sys.stderr)
        return CHECK_FAILED
    finally:
        progress.close()
    if given["as_json"]:
        print(json.dumps(report.as_dict(), allow_nan=False))
    else:
        from circuits.run_page import print_run

        print_run(report)
    if not given["quiet"]:
        for name in (given["plot_file"], given["export_file"]):
            if name:
                print(f"wrote {name}", file=sys.stderr)
    return 0 if report.verified else CHECK_FAILED


def _check_flags(given: dict[str, Any], spoken: set[str], is_model: bool) -> None:
    """What click cannot tell."""
    others, kind = (_OF_MACHINES, "model") if is_model else (_OF_MODELS, "machine")
    for name in others:
        if name in spoken:
            flag = "--input" if name == "word" else f"--{name}"
            raise must_be(flag, f"left out for a {kind}", given[name])
    for name in ("reps", "shots", "length"):
        if given[name] is not None and given[name] < 1:
            raise must_be(f"--{name}", "at least 1", given[name])
    if not is_model and given["synthesis"] in ("subspace", "qdrift"):
        raise must_be("--synthesis", "one of lie, suzuki2, suzuki4, unitary for a machine", given["synthesis"])
    if given["noise"] is not None and given["shots"] is None:
        raise InputError("`--noise` must come with `--shots`: a noisy state is no vector", "--noise")
    for name, endings in (("plot", PICTURES), ("export", EXPORTS)):
        file = given[f"{name}_file"]
        if file is None:
            continue
        if not file.lower().endswith(endings):
            raise must_be(f"--{name}", f"a name that ends in {', '.join(endings)}", file)
        from hamiltonians.files import check_target

        check_target(file)


def _backend(given: dict[str, Any]) -> Backend:
    from circuits.aer_options import read_options
    from circuits.backends import backend

    noise = None
    if given["noise"] is not None:
        from circuits.noise import noise_of

        noise = noise_of(given["noise"])
    options = {name: given[name] for name in ("method", "precision", "quiet", "threads")}
    seed = given["seed"] % 2**31  # Aer's seeds are shorter than those of `--seed`
    return backend(given["device"], noise=noise, seed=seed, aer=read_options(given["aer"]), **options)


def _of_model(given: dict[str, Any], progress: LateProgress) -> tuple[RunReport, QuantumCircuit]:
    from circuits.model_run import ModelRun, run_model
    from qunn import load

    model = load(given["file"]).eval()
    ask = ModelRun(
        name=given["file"],
        model=model,
        x=_model_input(given, model),
        synthesis=given["synthesis"] or "subspace",
        terms=given["terms"],
        reps=given["reps"],
        shots=given["shots"],
        backend=_backend(given),
        noise=given["noise"],
        seed=given["seed"],
        picture=given["plot_file"] is not None,
    )
    return run_model(ask, progress)


def _model_input(given: dict[str, Any], model: nn.Module) -> Tensor:
    from circuits.model_run import random_input, read_input

    if given["series"] is not None:
        return read_input(given["series"], model)
    return random_input(model, given["length"], given["seed"])


def _of_machine(given: dict[str, Any], progress: LateProgress) -> tuple[RunReport, QuantumCircuit]:
    from circuits.machine_run import MachineRun, run_machine
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.readers import machine_of

    machine = machine_of(given["file"])
    H = ClockHamiltonian.from_machine(machine, given["space"], input=given["word"], progress=progress)
    ask = MachineRun(
        name=machine.name or given["file"],
        H=H,
        time=given["time"],
        synthesis=given["synthesis"] or "lie",
        terms=given["terms"],
        reps=given["reps"],
        encoding=given["encoding"],
        shots=given["shots"],
        backend=_backend(given),
        noise=given["noise"],
        picture=given["plot_file"] is not None,
    )
    return run_machine(ask, progress)


if __name__ == "__main__":
    run(main, "circuits.run")
