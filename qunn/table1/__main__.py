"""`python -m qunn.table1`: Tables 1 and 3 as printed, as proved, and as measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from qunn.command import common_options, limit_torch_threads, run

if TYPE_CHECKING:
    from qunn.table1.comparison import Measured
    from qunn.table1.orders import Row

_NOTHING = "-"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@common_options
def main(**given: Any) -> int:
    """The paper's Tables 1 and 3, and beside them what real modules give.

    \b
    Table 1, a network a row:
      printed   n-t as the table has it, n the order of nonlinearity, t the memory
      proofs    n-t as the proofs of Claims 1-4 give it
      as built  (n, t) of a layer of the embedding by qunn.as_odernn, computed
                from its coefficients, the same for all layers of L = 1 ... 4;
                of the QUNN as a whole, by its gradients
    Table 3 as printed, then a network a row:
      H = ...   real numbers that are trained in a module of hidden size H with
                one input (of a QUNN, N = H, beside the closed form 3N)
      exponent  p of the fitted line: the number grows as H^p
      stability the verdict of qunn.stability on random weights (--seed), and
                the largest factor by which a step moved two orbits apart

    "-" is what does not apply.
    """
    import torch

    limit_torch_threads(given["threads"])
    from qunn.table1.comparison import PRINTED, table3
    from qunn.table1.orders import table1

    torch.manual_seed(given["seed"])
    first, third = table1(), table3(seed=given["seed"])
    if given["as_json"]:
        print(json.dumps(_as_dict(first, PRINTED, third), allow_nan=False))
    else:
        _print(first, PRINTED, third)
    return 0


def _as_dict(first: tuple[Row, ...], printed: dict[str, dict[str, str]], third: tuple[Measured, ...]) -> dict[str, Any]:
    rows = []
    for row in first:
        found = row.measured
        n, t = found.each or (None, None)
        layers = {str(L): pairs for L, pairs in found.layers.items()}
        rows.append(asdict(row) | {"measured": {"n": n, "t": t, "layers": layers}})
    return {"table1": rows, "table3": {"printed": printed, "measured": [asdict(row) for row in third]}}


def _print(first: tuple[Row, ...], printed: dict[str, dict[str, str]], third: tuple[Measured, ...]) -> None:
    from rich.text import Text

    from qunn.page import console
    from qunn.rows import print_rows

    out = console()
    out.print(Text("Table 1: n-t-ODERNN, n the order of nonlinearity, t the memory", style="bold"))
    columns: tuple[str, ...] = ("network", "printed", "proofs", "as built", "remark")
    print_rows(out, columns, [(r.network, r.printed, r.proved, _orders(r), r.remark) for r in first], columns[:-1])
    out.print(Text("\nTable 3 as printed", style="bold"))
    networks = list(next(iter(printed.values())))
    print_rows(out, ("", *networks), [(name, *(row[n] for n in networks)) for name, row in printed.items()])
    out.print(Text("\nTable 3 as measured: trained parameters at hidden size H, one input", style="bold"))
    columns = ("network", *(f"H = {H}" for H in third[0].growth.sizes), "exponent", "stability")
    print_rows(out, columns, [_measured(found) for found in third], columns[:-1])
    for found in third:
        if found.remark:
            out.print(Text(f"{found.network}: {found.remark}", style="dim"))


def _measured(found: Measured) -> tuple[str, ...]:
    closed = "" if found.growth.closed_form is None else f" ({found.growth.closed_form})"
    counts = (f"{count:,}" for count in found.growth.parameters)
    return (found.network + closed, *counts, f"{found.growth.exponent:.3f}", _stability(found))


def _orders(row: Row) -> str:
    if (n_t := row.measured.each) is not None:
        return f"({n_t[0]}, {n_t[1]})"
    if (more := row.measured.beyond_depth) is not None:
        return "(" + ", ".join(f"L{k:+d}" if k else "L" for k in more) + ")"
    return "layers differ"


def _stability(found: Measured) -> str:
    if found.stability is None:
        return _NOTHING
    words = {True: "contractive (proved)", False: "not contractive (refuted)", None: "open"}
    word = words[found.stability.contractive]
    if found.stability.largest_step is not None and found.stability.contractive is not True:
        word += f", step ratio {found.stability.largest_step:.3g}"
    if found.stability.linear is not None:
        word += f", linear: {'stable' if found.stability.linear else 'unstable'}"
    return word


if __name__ == "__main__":
    run(main, "qunn.table1")
