"""`python -m circuits.cross_validate FILE…`: every backend on the same machine or model, a row a claim."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be, one_of
from qunn.command import CHECK_FAILED, LateProgress, Size, common_options, limit_torch_threads, run

if TYPE_CHECKING:
    from circuits.backends import Backend
    from circuits.validation.claim import Subject
    from circuits.validation.mutations import Tools
    from hamiltonians.clock import ClockHamiltonian

SPACES = ("configuration", "tape", "function")
_OF_MACHINES = ("space", "word", "input_length", "history", "max_steps")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, metavar="FILE…")
@click.option("--space", type=click.Choice(SPACES), default="configuration", show_default=True, help="Of machines.")
@click.option("--input", "word", help="Machines: the word on the tape; in function space, the one that H_in selects.")
@click.option("--input-length", type=int, help="Machines in function space: all words of this length at once.")
@click.option("--history", type=click.Choice(["bennett"]), help="Function space: keep the rules, so that none merge.")
@click.option("--max-steps", type=int, default=10**8, show_default=True, help="Machines: a run may take so many steps.")
@click.option("--shots", type=int, default=4096, show_default=True, help="Shots a circuit, where shots are compared.")
@click.option("--device", type=click.Choice(["auto", "CPU", "GPU"]), default="auto", show_default=True, help="Of Aer.")
@click.option("--row", "only", multiple=True, metavar="KEY", help="This row alone; may be repeated. See --list.")
@click.option("--break", "broken", metavar="NAME", help="Break a backend on purpose and see rows fail. See --list.")
@click.option("--list", "as_list", is_flag=True, help="The rows, and what can be broken.")
@click.option("--html", "html_file", metavar="FILE", help="Also write one self-contained page with the plots.")
@click.option("--memory-limit", type=Size(), help="Bytes that may be taken, such as 4GiB; default: what is free.")
@common_options
@click.pass_context
def main(context: click.Context, /, **given: Any) -> int:
    """Do the eigensolvers, torch and the circuits agree?

    FILE is a machine (a file, bb:TABLE, or - for stdin) or a saved model that holds a QUNN (*.safetensors); several may
    be given. Each gets a table: a row a claim, a column a backend, the difference, its tolerance and where that comes
    from. Status 0: no row fails; 1: one does.
    """
    if given["as_list"]:
        from circuits.validation.catalogue import print_list

        print_list()
        return 0
    spoken = {name for name in given if context.get_parameter_source(name) != click.core.ParameterSource.DEFAULT}
    return _run(given, spoken)


def _run(given: dict[str, Any], spoken: set[str]) -> int:
    begin = time.perf_counter()
    _check_flags(given, spoken)
    limit_torch_threads(given["threads"])
    from circuits.backends import SimulationError
    from circuits.validation.claim import Validation
    from circuits.validation.mutations import broken
    from hamiltonians.memory import memory_limit

    memory_limit.set(given["memory_limit"])
    progress = LateProgress(given["quiet"])
    try:
        tools = broken(given["broken"])
        _check_kinds(given)
        backend = _backend(given)
        # all files are read before anything is computed: a wrong last one costs no waiting
        subjects = [
            _of_model(name) if _is_model(name) else _of_machine(name, given, progress) for name in given["files"]
        ]
        found = [validate(given, tools, backend, progress) for validate in subjects]
        validation = Validation(found, given["broken"], time.perf_counter() - begin)
        if given["html_file"]:
            from importlib.metadata import version

            from circuits.validation.html import write_html

            progress("drawing", 0, None)
            write_html(given["html_file"], validation, version("qunn"), _command())
    except SimulationError as failed:
        print(f"error: {failed}", file=sys.stderr)
        return CHECK_FAILED
    finally:
        progress.close()
    if given["as_json"]:
        print(json.dumps(validation.as_dict(), allow_nan=False))
    else:
        from circuits.validation.page import print_validation

        print_validation(validation)
    if given["html_file"] and not given["quiet"]:
        print(f"wrote {given['html_file']}", file=sys.stderr)
    return 0 if validation.verified else CHECK_FAILED


def _is_model(name: str) -> bool:
    return name.endswith(".safetensors")


def _command() -> str:
    return shlex.join(["python", "-m", "circuits.cross_validate", *sys.argv[1:]])


def _check_flags(given: dict[str, Any], spoken: set[str]) -> None:
    """What click cannot tell."""
    if not given["files"]:
        raise InputError("`FILE` must be given: a machine, or a saved model (see --help)", "FILE")
    if all(_is_model(name) for name in given["files"]):
        for name in _OF_MACHINES:
            if name in spoken:
                flag = "--input" if name == "word" else f"--{name.replace('_', '-')}"
                raise must_be(flag, "left out where no file is a machine", given[name])
    if given["files"].count("-") > 1:
        raise InputError("`FILE` must be - at most once: stdin is read once", "FILE")
    for name, least in (("shots", 1), ("max_steps", 0), ("input_length", 0)):
        if given[name] is not None and given[name] < least:
            raise must_be(f"--{name.replace('_', '-')}", f"at least {least}", given[name])
    if given["html_file"] is not None:
        if not given["html_file"].lower().endswith((".html", ".htm")):
            raise must_be("--html", "a name that ends in .html", given["html_file"])
        from hamiltonians.files import check_target

        check_target(given["html_file"])


def _check_kinds(given: dict[str, Any]) -> None:
    """Rows and a mutation that none of the files has would leave nothing to compare, or nothing broken."""
    from circuits.validation.catalogue import row_keys
    from circuits.validation.mutations import fails

    kinds = sorted({"model" if _is_model(name) else "machine" for name in given["files"]})
    known = list(dict.fromkeys(key for kind in kinds for key in row_keys()[kind]))
    for key in given["only"]:
        if key not in known:
            raise must_be("--row", one_of(known), key)
    if given["broken"] is not None and not any(fails(given["broken"])[kind] for kind in kinds):
        raise must_be("--break", f"what a {kinds[0]} can have wrong (see --list)", given["broken"])


def _backend(given: dict[str, Any]) -> Backend:
    from circuits.backends import backend

    # Aer's seeds are shorter than those of `--seed`
    return backend(given["device"], seed=given["seed"] % 2**31, threads=given["threads"], quiet=given["quiet"])


def _options(given: dict[str, Any]) -> dict[str, Any]:
    only = given["only"] or None
    return {"shots": given["shots"], "seed": given["seed"], "device": given["device"], "only": only}


def _of_model(name: str) -> Any:
    from circuits.validation.model_rows import qunns, validate_model
    from qunn import load

    model = load(name).eval()
    try:
        qunns(model)
    except InputError as wrong:
        raise InputError(f"{name}: {wrong}", wrong.field) from wrong

    def validate(given: dict[str, Any], tools: Tools, backend: Backend, progress: LateProgress) -> Subject:
        return validate_model(name, model, tools=tools.model, backend=backend, progress=progress, **_options(given))

    return validate


def _of_machine(name: str, given: dict[str, Any], progress: LateProgress) -> Any:
    from circuits.validation.machine import validate_machine

    H = _hamiltonian(name, given, progress)
    assert H.readout is not None
    shown = H.readout.machine.name or name

    def validate(given: dict[str, Any], tools: Tools, backend: Backend, progress: LateProgress) -> Subject:
        return validate_machine(shown, H, tools=tools.machine, backend=backend, progress=progress, **_options(given))

    return validate


def _hamiltonian(name: str, given: dict[str, Any], progress: LateProgress) -> ClockHamiltonian:
    from hamiltonians.clock import ClockHamiltonian
    from hamiltonians.readers import machine_of

    return ClockHamiltonian.from_machine(
        machine_of(name),
        given["space"],
        input=given["word"],
        input_length=given["input_length"],
        history=given["history"],
        max_steps=given["max_steps"],
        progress=progress,
    )


if __name__ == "__main__":
    run(main, "circuits.cross_validate")
