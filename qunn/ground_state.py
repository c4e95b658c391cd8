"""`python -m qunn.ground_state FILE`: the ground state of a Turing machine's clock Hamiltonian, certified.

Under mpirun (`--engine slepc`) every rank runs this; rank 0 alone certifies, prints and writes files.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be
from qunn import ranks
from qunn.command import CHECK_FAILED, LateProgress, Size, common_options, limit_threads, limit_torch_threads, run

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
PRECISIONS = ("float64", "float32")
PICTURES = (".png", ".svg", ".pdf")
_OF_AN_ENGINE = {
    "device": "torch",
    "precision": "torch",
    "plan_only": "torch",
    "checkpoint": "slepc",
    "ranks": "slepc",
}
_OF_THE_PROBLEM = (
    *("file", "space", "tape_cells", "input_length", "history", "word", "k", "solver", "max_steps", "file_format"),
)
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
@click.option("--device", help="torch: cpu, cuda or cuda:1; default: cpu.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="torch: of its vectors; default: float64.")
@click.option("--plan", "plan_only", is_flag=True, help="torch: the largest problems that fit; FILE may be left out.")
@click.option("--checkpoint", metavar="FILE", help="slepc: the search goes on from it, and is saved into it.")
@click.option("--ranks", type=int, metavar="P", help="slepc: run on P ranks of this machine, by mpirun.")
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
        return _explain(given["explain"], given["as_json"])
    if given["list_examples"]:
        return _list_examples(given["as_json"])
    _check_flags(given)
    try:
        return _here_or_on_ranks(given)
    except KeyboardInterrupt:
        saved = f"{given['checkpoint']} keeps what was saved" if given["checkpoint"] else "nothing was written"
        raise KeyboardInterrupt(f"interrupted; {saved}") from None


def _here_or_on_ranks(given: dict[str, Any]) -> int:
    if given["ranks"] is not None:
        return ranks.start(given["ranks"], "qunn.ground_state", _without_ranks(sys.argv[1:]))
    shared = given["threads"] is None and ranks.place()[1] > 1
    threads = ranks.threads_each() if shared else given["threads"]
    if given["engine"] == "torch":
        with _installed("torch"):
            limit_torch_threads(threads)
    else:
        limit_threads(threads)
    from hamiltonians.memory import memory_limit

    memory_limit.set(given["memory_limit"])
    return _plan(given) if given["plan_only"] else _certify(given)


def _certify(given: dict[str, Any]) -> int:
    begin = time.perf_counter()
    progress = LateProgress(given["quiet"])
    try:
        problem, result, psi = _loaded(given, progress) if given["load_file"] else _solved(given, progress)
        if ranks.place()[0] > 0:  # its part of the search is done; rank 0 holds the states
            return 0
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
    if given["file"] is None and given["load_file"] is None and not given["plan_only"]:
        raise InputError("`FILE` must be given: a machine, bb:TABLE or - (or `--load FILE.npz` instead; see --help)")
    if given["load_file"] is not None:
        defaults = {p.name: p.default for p in main.params}
        spoken = [n for n in _OF_THE_PROBLEM if given[n] != defaults[n] and given[n] is not None]
        if spoken:
            named = "FILE" if spoken[0] == "file" else "--" + spoken[0].replace("_", "-")
            raise must_be(named, "left out beside `--load`, which takes it from the file", given[spoken[0]])
    for name, engine in _OF_AN_ENGINE.items():
        if given[name] not in (None, False) and given["engine"] != engine:
            flag = "--plan" if name == "plan_only" else f"--{name}"
            raise InputError(f"`{flag}` must be left out: it belongs to `--engine {engine}`", flag)
    if given["plan_only"]:
        for name in ("load_file", "save_file", "plot_file"):
            if given[name] is not None:
                flag = "--" + name.removesuffix("_file")
                raise must_be(flag, "left out beside `--plan`, which solves nothing", given[name])
    if ranks.place()[1] > 1 and given["engine"] != "slepc":
        told = f"slepc on {ranks.place()[1]} MPI ranks: another engine would do the same work on each"
        raise must_be("--engine", told, given["engine"])
    if given["ranks"] is not None and given["ranks"] < 1:
        raise must_be("--ranks", "at least 1", given["ranks"])
    for name in ("tape_cells", "input_length", "max_steps"):
        if given[name] is not None and given[name] < 0:
            raise must_be("--" + name.replace("_", "-"), "at least 0", given[name])
    if given["k"] < 1:
        raise must_be("--k", "at least 1", given["k"])
    plot_file, save_file, checkpoint = given["plot_file"], given["save_file"], given["checkpoint"]
    if plot_file is not None and not plot_file.lower().endswith(PICTURES):
        raise must_be("--plot", f"a name that ends in {', '.join(PICTURES)}", plot_file)
    if save_file is not None and not save_file.endswith(".npz"):
        raise must_be("--save", "a name that ends in .npz", save_file)
    written = {"--plot": plot_file, "--save": save_file, "--checkpoint": checkpoint}
    for (one, file), (other, same) in combinations(written.items(), 2):
        if None not in (file, same) and os.path.realpath(file) == os.path.realpath(same):
            raise InputError(f"`{other}` must name another file than `{one}`, but is {same!r} too", other)
    if ranks.place()[0] == 0 and (plot_file, save_file, checkpoint) != (None, None, None):
        from hamiltonians.files import check_target

        for name in (plot_file, save_file, checkpoint):
            if name is not None:
                check_target(name)


def _without_ranks(arguments: list[str]) -> list[str]:
    """The command line for the ranks themselves."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and not re.match(r"--ranks(=|$)", argument):
            kept.append(argument)
        skip = not skip and argument == "--ranks"
    return kept


def _solved(given: dict[str, Any], progress: LateProgress) -> tuple[Problem, GroundState, SparseState | None]:
    machine = _read(given["file"], given["file_format"])
    problem = _build(machine, _options(given), progress)
    return problem, _ground_state(problem.H, given["k"], given, _states(problem.H, given["k"]), progress), None


def _states(H: ClockHamiltonian, k: int) -> int:
    """How many are kept: the report needs one; more only where they are small."""
    return min(k, H.dimension) if H.dimension * k <= 10**6 else 1


def _ground_state(
    H: ClockHamiltonian, k: int, given: dict[str, Any], vectors: int, progress: LateProgress
) -> GroundState:
    from hamiltonians.solve import ground_state

    own = {name: given[name] for name in ("seed", "device", "precision", "checkpoint")}
    return ground_state(H, k, given["solver"], given["engine"], vectors=vectors, progress=progress, **own)


@contextmanager
def _installed(engine: str) -> Iterator[None]:
    """As `hamiltonians.solve` tells it, where this command itself uses an engine's library."""
    try:
        yield
    except ModuleNotFoundError as error:
        why = f"{engine} needs {error.name}, which is not"
        raise InputError(f"`engine` must be installed, but {why}", "engine") from error


def _options(given: dict[str, Any]) -> dict[str, Any]:
    return {
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


def _build(machine: TuringMachine, options: dict[str, Any], progress: LateProgress) -> Problem:
    from hamiltonians.clock import ClockHamiltonian

    return Problem(machine, options, ClockHamiltonian.from_machine(machine, **options, progress=progress))


def _read(file: str, file_format: str | None) -> TuringMachine:
    from hamiltonians.readers import machine_of, read_machine_text, standard_input

    if file != "-" or ranks.place()[1] == 1:
        return machine_of(file, file_format)
    text = standard_input()  # mpirun hands its own to rank 0
    with _installed("slepc"):
        text = importlib.import_module("mpi4py.MPI").COMM_WORLD.bcast(text)
    return read_machine_text(text, "stdin", file_format)


def _loaded(given: dict[str, Any], progress: LateProgress) -> tuple[Problem, GroundState, SparseState | None]:
    """Rebuild H from the machine in the file, compare it with the H in the file, and take the state from there."""
    import numpy as np

    from hamiltonians.readers import read_machine_text
    from hamiltonians.storage import check_block, load

    path = given["load_file"]
    saved = load(path)
    machine = read_machine_text(json.dumps(saved.machine), path, "native")
    problem = _build(machine, saved.options, progress)
    check_block(path, problem.H, saved)
    again = _ground_state(problem.H, len(saved.energies), given, 1, progress)
    # the file's solver may have been another than this one: 1e-9 is the rounding that all of them allow
    numbers = np.array([*saved.energies, saved.gap or 0.0]), np.array([*again.energies, again.gap or 0.0])
    agree = len(numbers[0]) == len(numbers[1]) and np.allclose(*numbers, rtol=1e-9, atol=1e-12 * (again.gap or 1.0))
    agree &= (saved.gap is None, saved.degeneracy) == (again.gap is None, again.degeneracy)
    told = "H rebuilt from the machine in the file and equal to the H in it; its energies, gap and degeneracy "
    told += "found again" if agree else "are NOT those found again"
    result = replace(
        again,
        energies=saved.energies,
        states=saved.psi.values[:, None],
        indices=saved.psi.indices,
        degeneracy=saved.degeneracy,
        gap=saved.gap,
        converged=bool(agree),
        solver=f"{saved.solver}, read from a file",
        message=told,
    )
    return problem, result, saved.psi


def _plan(given: dict[str, Any]) -> int:
    """What a device holds, from the formulas that guard the allocation; nothing is solved."""
    with _installed("torch"):
        from qunn.clock_engine.plan import plan
        from qunn.clock_engine.search import card_number

    device = "cpu" if given["device"] is None else given["device"]
    card_number(device)  # refuses what is no device
    asked: dict[str, Any] = {"device": device}
    if given["file"] is not None:
        machine = _read(given["file"], given["file_format"])
        H = _build(machine, _options(given), LateProgress(given["quiet"])).H
        asked |= {"H": H, "clock_states": H.clock_states, "vectors": _states(H, given["k"])}
    memory = _free_on(device) if given["memory_limit"] is None else given["memory_limit"]
    found = plan(memory, given["precision"] or "float64", **asked)
    print(json.dumps(found.as_dict()) if given["as_json"] else found.as_text())
    return 0


def _free_on(device: str) -> int:
    from qunn.clock_engine.memory import free_on
    from qunn.clock_engine.search import device_of

    try:
        return free_on(device_of(device))
    except InputError as error:
        raise InputError(f"{error}; for a card elsewhere `--memory-limit` tells its memory", "device") from error


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


def _explain(key: str, as_json: bool) -> int:
    from hamiltonians.explain import EXPLANATIONS
    from qunn.page import print_explanation

    if key not in EXPLANATIONS:
        raise must_be("--explain", one_of_all(EXPLANATIONS), key)
    if as_json:
        print(json.dumps({"key": key, **asdict(EXPLANATIONS[key])}))
    else:
        print_explanation(key, EXPLANATIONS[key])
    return 0


def one_of_all(names: Any) -> str:
    """All names, however many: the reader is looking for one of them."""
    return "one of " + ", ".join(names)


def _list_examples(as_json: bool) -> int:
    from hamiltonians.readers.examples import examples
    from qunn.page import print_examples

    found = examples()
    if as_json:
        print(
            json.dumps({"examples": [{"file": str(e.path), "name": e.machine.name, "format": e.format} for e in found]})
        )
    else:
        print_examples(found)
    return 0


if __name__ == "__main__":
    run(main, "qunn.ground_state")
