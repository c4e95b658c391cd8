"""Messages and sums of the SLEPc engine, counted by PETSc itself, on 1, 2 and 4 ranks, beside the prediction.

    .venv-mpi/bin/python benchmarks/scale_messages.py       # a minute; writes results/scale_messages.md

Predicted for strands: at most 2 P (P - 1) messages and 2 v item bytes a row for one product or inverse, v the part of
the rows that strands visit on other ranks. PETSc counts a message where it is sent and where it is received.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ground_state import EXAMPLES, hamiltonian
from host import in_words, machine
from scale import mpirun

RESULTS = Path(__file__).parent / "results"
RANKS = (1, 2, 4)
SUBJECTS = ("permutations", "tape of BB(4)", "gates")
_REPEATS = 5


def subject(name: str) -> Any:
    """H of a subject."""
    if name != "tape of BB(4)":
        return hamiltonian(name, 10**5 if name == "permutations" else 10**4)
    from hamiltonians import ClockHamiltonian, load_machine

    return ClockHamiltonian.from_machine(load_machine(EXAMPLES / "busy_beaver_4.txt"), "tape")


def work(name: str) -> None:
    """On every rank: count, and let rank 0 print one JSON object."""
    from hamiltonians import ground_state
    from hamiltonians.slepc.frame import frame_of
    from hamiltonians.slepc.libraries import load
    from hamiltonians.slepc.strands import Strands
    from hamiltonians.solvers.inverse import shift_for

    H = subject(name)
    libraries = load(H.dtype)
    frame = frame_of(H, libraries, shift_for(H.clock_states))
    log, comm = libraries.PETSc.Log, libraries.comm
    log.begin()
    x, y = frame.vector(), frame.vector()
    frame.apply(x, y)  # the first scatter makes its buffers

    def counted(what: str, call: Any, repeats: int) -> dict[str, float]:
        event = log.Event(what)
        event.begin()
        for _ in range(repeats):
            call()
        event.end()
        found = event.getPerfInfo()
        return {
            "messages": comm.allreduce(found["numMessages"]) / 2 / repeats,
            "bytes_a_row": comm.allreduce(found["messageLength"]) / 2 / repeats / H.dimension,
            "sums": found["numReductions"] / repeats,
        }

    counts = {"product": counted("product", lambda: frame.apply(x, y), _REPEATS)}
    counts["search"] = counted("search", lambda: ground_state(H, 1, "sweep", "slepc"), 1)
    visits = comm.allreduce(int(frame.visits)) / H.dimension if isinstance(frame, Strands) else None
    if comm.rank == 0:
        print(json.dumps({"rows": H.dimension, "item": H.dtype.itemsize, "visits": visits} | counts))


def main() -> None:
    text = [
        "# Messages",
        "",
        f"Made by `benchmarks/scale_messages.py` on {in_words(machine('numpy', 'numba'))}. Of all ranks together.",
        "",
        "| steps | rows | ranks | visits | messages of a product: at most | counted | bytes a row: predicted "
        "| counted | messages of a search | sums of a search |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in SUBJECTS:
        for ranks in RANKS:
            call = [*mpirun(ranks), sys.executable, __file__, "worker", name]
            out = subprocess.run(call, capture_output=True, text=True, check=True).stdout
            seen = json.loads(out.strip().splitlines()[-1])
            product, search, visits = seen["product"], seen["search"], seen["visits"]
            predicted = ("", "") if visits is None else (2 * ranks * (ranks - 1), f"{2 * visits * seen['item']:.3g}")
            cells = [
                *(name, f"{seen['rows']:,}", ranks, "" if visits is None else f"{visits:.3f}"),
                *(predicted[0], f"{product['messages']:g}", predicted[1], f"{product['bytes_a_row']:.3g}"),
                *(f"{search['messages']:g}", f"{search['sums']:g}"),
            ]
            text.append("| " + " | ".join(map(str, cells)) + " |")
            print(text[-1], flush=True)
    (RESULTS / "scale_messages.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    work(sys.argv[2]) if sys.argv[1:2] == ["worker"] else main()
