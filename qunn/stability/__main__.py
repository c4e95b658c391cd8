"""`python -m qunn.stability gauss2 --field gradient` or `… MODEL.safetensors`: is it contractive?"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import CHECK_FAILED, common_options, limit_torch_threads, run

if TYPE_CHECKING:
    from qunn.stability.verdict import StabilityReport

FIELDS = ("affine", "antisymmetric", "definite", "gradient", "hamiltonian")  # a test compares them with qunn.fields
_OF_THE_TABLEAU = ("field", "size", "h", "activation")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", metavar="NAME|MODEL.safetensors")
@click.option("--field", type=click.Choice(FIELDS), default="gradient", show_default=True, help="With a tableau.")
@click.option("--size", type=click.IntRange(max=10_000), default=4, show_default=True, help="Of the field.")
@click.option("--h", type=float, default=0.1, show_default=True, help="The step.")
@click.option("--activation", default="tanh", show_default=True, help="Of the field.")
@click.option(
    "--pairs", type=click.IntRange(max=10**6), default=256, show_default=True, help="Of orbits that are compared."
)
@click.option("--steps", type=click.IntRange(max=10**6), default=20, show_default=True, help="They are followed.")
@click.option(
    "--samples",
    type=click.IntRange(max=10**6),
    default=512,
    show_default=True,
    help="Points at which the field is examined.",
)
@common_options
@click.pass_context
def main(context: click.Context, /, **given: Any) -> int:
    """Stability of an ODERNN: each condition proved, refuted with its witness, or sampled.

    NAME is a Butcher tableau such as gauss2 or rk4, joined with a random --field; or a model that `save` wrote, - for
    stdin. "Contractive" is said only when Theorem 1's conditions and those it leaves out (E3) are all proved. Status 1:
    implicit stages were not solved, so that no orbits could be compared.
    """
    import torch

    limit_torch_threads(given["threads"])
    from qunn.stability.verdict import report

    torch.manual_seed(given["seed"])
    spoken = {name for name in given if context.get_parameter_source(name) != click.core.ParameterSource.DEFAULT}
    network, title = _network(given, spoken)
    found = report(network, pairs=given["pairs"], steps=given["steps"], samples=given["samples"], seed=given["seed"])
    if given["as_json"]:
        print(json.dumps({"title": title} | found.as_dict(), allow_nan=False))
    else:
        _print(found, title)
    unsolved = any(layer.contraction is None for layer in found.layers)
    if unsolved and not given["quiet"]:
        print("implicit stages were not solved: see the line contraction", file=sys.stderr)
    return CHECK_FAILED if unsolved else 0


def _network(given: dict[str, Any], spoken: set[str]) -> tuple[Any, str]:
    """The model, and what it is in a line."""
    if given["model"] == "-" or given["model"].endswith(".safetensors"):
        for name in _OF_THE_TABLEAU:
            if name in spoken:
                raise must_be(f"--{name}", "left out beside a saved model, which has its own", given[name])
        return _loaded(given["model"])
    import torch

    from qunn.fields import make_field
    from qunn.odernn import ODERNN
    from qunn.sequence import check_size
    from qunn.tableau import tableaux

    table = tableaux[given["model"]]
    check_size("--size", given["size"])
    field = make_field(given["field"], size=given["size"], activation=given["activation"], dtype=torch.float64)
    title = f"{given['model']} with the field {given['field']}, size {given['size']}, h = {given['h']:g}"
    return ODERNN.from_tableau(table, field, given["h"]), title


def _loaded(model: str) -> tuple[Any, str]:
    from qunn.storage import load

    if model != "-":
        return load(model), model
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(sys.stdin.buffer.read())
        file.flush()
        try:
            return load(file.name), "stdin"
        except InputError as error:
            raise InputError(str(error).replace(file.name, "stdin"), error.field) from error


def _print(found: StabilityReport, title: str) -> None:
    from rich.text import Text

    from qunn.page import console
    from qunn.rows import print_rows

    colours = {"proved": "green", "refuted": "red", "sampled": "yellow", "not applicable": "dim"}
    out = console()
    out.print(Text(title, style="bold"), Text(f"({found.model})", style="dim"))
    for i, layer in enumerate(found.layers, 1):
        out.print(Text(f"\nlayer {i}: (n, t) = ({layer.n}, {layer.t})" + _numbers(layer)))
        rows = [(x.name, x.claim, Text(x.verdict, style=colours[x.verdict]), x.detail) for x in layer.lines]
        print_rows(out, ("condition", "claim", "verdict", "why"), rows, whole=("condition", "verdict"))
    for i, linear in enumerate(found.linear, 1):
        state = "stable" if linear.stable else "unstable"
        out.print(
            f"layer {i}, linear ({linear.scheme}): {linear.quantity} = {linear.value:.6g}, limit {linear.limit:g}: "
            f"{state}; spectral radius of a step {linear.spectral_radius:.12g}"
        )
    norm = ", in the norm of M = -W" if any(layer.metric is not None for layer in found.layers) else ""
    norm = ", in the norm of M = -W" if any(layer.metric is not None for layer in found.layers) else ""
    words: dict[bool | None, str] = {True: f"contractive (proved{norm})", False: "not contractive (refuted)"}
    out.print(Text("\n" + words.get(found.contractive, "open: neither proved nor refuted"), style="bold"))


def _numbers(layer: Any) -> str:
    if layer.Q_eigenvalues is None or len(layer.Q_eigenvalues) > 8:
        return ""
    eigenvalues = ", ".join(f"{x:.4g}" for x in layer.Q_eigenvalues)
    beta = "" if layer.beta is None else f"; β: {', '.join(f'{x:.4g}' for x in layer.beta)}"
    return f"; eigenvalues of Q: {eigenvalues}{beta}"


if __name__ == "__main__":
    run(main, "qunn.stability")
