"""Circuits of one QUNN layer: CX, depth and time of every synthesis; and Aer against torch on the same gates.

    python benchmarks/circuits.py                     # on this CPU
    python benchmarks/circuits.py --device GPU        # state vectors from 20 qubits to what fits, GPU against CPU

1. exp(hG) of a layer with data and clock of n/2 qubits each, n = 4 … 10, and of one product-state hop: `subspace` (its
   cheapest preparation, and the isometry) beside UnitaryGate, one Lie step over the Pauli strings by this package, and
   Qiskit's own PauliEvolutionGate of SparsePauliOp.from_operator. Counts are of CX and depth in {cx, u} at optimisation
   level 1. A Pauli row says how many steps bring its error to 1e-3 (first order: error of one step over 1e-3, and a run
   with that many steps where it has less than 2·10^5 CX).
2. The time of the synthesis against its CX count.
3. Five Lie steps of a two-local ring, the same gates by Aer and by torch on strided views.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# the folder of this script comes last: it holds a `circuits` too, and the package is meant
sys.path.append(sys.path.pop(0))

import numpy as np
import torch
from host import in_words, machine, peak_bytes, reset_peak, spread
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import PauliEvolutionGate
from qiskit.quantum_info import SparsePauliOp
from qiskit.synthesis import LieTrotter

from circuits import backend
from circuits.bounds import error
from circuits.evolution import evolution
from circuits.exact import subspace, unitary
from circuits.layer import Layer, stacked_layers
from circuits.pauli import generator_terms
from hamiltonians.files import written_atomically

RESULTS = Path(__file__).parent / "results"
TARGET, MOST_CX, H = 1e-3, 2 * 10**5, 0.5


def a_layer(n: int, k: int, p1: float, *, seed: int = 0) -> Layer:
    """Layer k of random unit vectors, data and clock of n/2 qubits each, one-hot."""
    size = 2 ** (n // 2)
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(k + 1, size))
    Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    c = [np.eye(size)[(size - 1 - j) % size] for j in range(k + 1)]
    return stacked_layers(list(Y), c, p1, 0.3)[-1]


def counted(circuit: QuantumCircuit) -> dict[str, int]:
    flat = transpile(circuit, basis_gates=["cx", "u"], optimization_level=1, seed_transpiler=0)
    return {"cx": flat.count_ops().get("cx", 0), "depth": flat.depth()}


def qiskit_lie(layer: Layer) -> QuantumCircuit:
    matrix = 1j * layer.registers.padded_matrix(layer.generator.dense())
    gate = PauliEvolutionGate(SparsePauliOp.from_operator(matrix), time=H)
    return LieTrotter(reps=1).synthesize(gate)


def synthesis_row(name: str, make: Any, layer: Layer, *, formula: bool) -> dict[str, Any]:
    begin = time.perf_counter()
    circuit = make(1)
    took = time.perf_counter() - begin
    row: dict[str, Any] = {"synthesis": name, "seconds": took, "error": error(layer, H, circuit), **counted(circuit)}
    if formula:
        steps = int(np.ceil(row["error"] / TARGET))
        row |= {"steps_for_target": steps, "cx_for_target": steps * row["cx"]}
        if name.startswith("lie") and steps * row["cx"] <= MOST_CX:
            row["error_with_those_steps"] = error(layer, H, make(steps))
    return row


def of_size(n: int) -> list[dict[str, Any]]:
    rows = []
    for what, layer in (("layer", a_layer(n, 2 ** (n // 2) // 2, 0.3)), ("hop", a_layer(n, 1, 0.0))):
        found = [synthesis_row("subspace", lambda _, x=layer: subspace(x.rotation(H), x), layer, formula=False)]

        def isometry(_: int, x: Layer = layer) -> QuantumCircuit:
            return subspace(x.rotation(H), x, preparation="isometry")

        found.append(synthesis_row("subspace, isometry", isometry, layer, formula=False))
        if n <= 8:
            found.append(
                synthesis_row("UnitaryGate", lambda _, x=layer: unitary(x.rotation(H), x), layer, formula=False)
            )
        terms = len(generator_terms(layer))
        if n <= 8:

            def lie(reps: int, x: Layer = layer) -> QuantumCircuit:
                return evolution(x, H, "lie", reps=reps)

            found.append(synthesis_row("lie, Pauli strings", lie, layer, formula=True))
            found.append(synthesis_row("PauliEvolutionGate", lambda _, x=layer: qiskit_lie(x), layer, formula=True))
        else:
            found.append({"synthesis": "lie, Pauli strings", "not_run": True})
        rows += [{"qubits": n, "what": what, "pauli_terms": terms} | row for row in found]
        print(json.dumps(rows[-len(found) :]), file=sys.stderr)
    return rows


def times_of_synthesis() -> list[dict[str, Any]]:
    """Seconds of `subspace` alone, median of five, against its CX."""
    rows = []
    for n in (4, 6, 8, 10, 12):
        layer = a_layer(n, 2 ** (n // 2) // 2, 0.3)
        map = layer.rotation(H)
        taken = []
        for _ in range(5):
            begin = time.perf_counter()
            circuit = subspace(map, layer)
            taken.append(time.perf_counter() - begin)
        cx = counted(circuit)["cx"]
        rows.append({"qubits": n, "cx": cx, "seconds": taken, "microseconds_a_cx": 1e6 * statistics.median(taken) / cx})
    return rows


# --- Aer against torch ---


def ring(n: int, steps: int = 5) -> QuantumCircuit:
    """Lie steps of Σ ZZ + X + Z on a ring, as RZZ, RX and RZ gates with angles that differ."""
    angles = np.random.default_rng(1).uniform(0.1, 0.5, size=(steps, 3, n))
    circuit = QuantumCircuit(n)
    for step in angles:
        for q in range(n):
            circuit.rzz(step[0, q], q, (q + 1) % n)
        for q in range(n):
            circuit.rx(step[1, q], q)
            circuit.rz(step[2, q], q)
    return circuit


def by_torch(circuit: QuantumCircuit, dtype: torch.dtype, device: str) -> torch.Tensor:
    """The same gates, one after the other, on strided views of the state."""
    n = circuit.num_qubits
    state = torch.zeros(2**n, dtype=dtype, device=device)
    state[0] = 1
    for one in circuit.data:
        qubits = [circuit.find_bit(q).index for q in one.qubits]
        U = torch.as_tensor(one.operation.to_matrix(), dtype=dtype, device=device)
        if len(qubits) == 1:
            view = state.view(-1, 2, 2 ** qubits[0])
            state = torch.einsum("ab,ibj->iaj", U, view).reshape(-1)
        else:  # RZZ is diagonal
            low, high = sorted(qubits)
            view = state.view(-1, 2, 2 ** (high - low - 1), 2, 2**low)
            view *= torch.diagonal(U).view(2, 1, 2, 1)[None]
    if device != "cpu":
        torch.cuda.synchronize()
    return state


def against_torch(sizes: list[int], device: str, precisions: list[str], repeats: int) -> list[dict[str, Any]]:
    rows = []
    for n in sizes:
        for precision in precisions:
            dtype = torch.complex128 if precision == "double" else torch.complex64
            circuit = ring(n)
            sides = {
                f"Aer {device}": lambda c=circuit, p=precision: backend(device, precision=p, quiet=True).states([c])[0],
                "torch CPU": lambda c=circuit, d=dtype: by_torch(c, d, "cpu"),
            }
            if device == "GPU":
                sides["Aer CPU"] = lambda c=circuit, p=precision: backend("CPU", precision=p).states([c])[0]
            found: dict[str, list[float]] = {name: [] for name in sides}
            last: dict[str, Any] = {}
            reset_peak()
            for run in range(repeats + 1):
                for name, side in sides.items():
                    begin = time.perf_counter()
                    last[name] = np.asarray(side())
                    if run:  # the first warms up
                        found[name].append(time.perf_counter() - begin)
            names = list(sides)
            differ = max(float(np.abs(last[name] - last[names[0]]).max()) for name in names[1:])
            assert differ < (1e-10 if precision == "double" else 1e-5), (n, precision, differ)
            row = {"qubits": n, "precision": precision, "gates": len(circuit.data), "seconds": found, "differ": differ}
            rows.append(row | {"peak_bytes": peak_bytes()})
            print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


# --- the page ---


def page(found: dict[str, Any]) -> str:
    lines = ["# Circuits of a QUNN layer", "", f"`python benchmarks/circuits.py`, {in_words(found['machine'])}", ""]
    if found["synthesis"]:
        lines += [
            "## CX and depth of exp(hG), h = 0.5",
            "",
            "One layer with n/2 data and n/2 clock qubits, random real data; `hop`: one product-state hop.",
            f"Last columns: Lie steps, and CX, for an error of {TARGET:g} by the error of one step.",
            "",
            "| n | what | strings | synthesis | CX | depth | error | s | to subspace | steps | CX at equal error |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_synthesis_line(row, found["synthesis"]) for row in found["synthesis"]]
        lines += ["", "## Time of the synthesis", "", "| n | CX | s | µs a CX |", "|---|---|---|---|"]
        lines += [
            f"| {r['qubits']} | {r['cx']:,} | {spread(r['seconds'])} | {r['microseconds_a_cx']:.0f} |"
            for r in found["times"]
        ]
    if found["aer"]:
        names = list(found["aer"][0]["seconds"])
        lines += ["", "## Five Lie steps of a ring: Aer, and the same gates by torch", ""]
        lines += ["| n | precision | gates | " + " | ".join(f"{x}, s" for x in names) + " | ratios to the first | MB |"]
        lines += ["|---|---|---|" + "---|" * (len(names) + 2)]
        lines += [_aer_line(row) for row in found["aer"]]
    return "\n".join(lines) + "\n"


def _synthesis_line(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    begin = f"| {row['qubits']} | {row['what']} | {row['pauli_terms']:,} | {row['synthesis']} |"
    if row.get("not_run"):
        return begin + " not run | | | | | | |"
    ours = next(
        r["cx"] for r in rows if (r["qubits"], r["what"], r["synthesis"]) == (row["qubits"], row["what"], "subspace")
    )
    more = f" {row['steps_for_target']} | {row['cx_for_target']:,} |" if "steps_for_target" in row else " | |"
    if "error_with_those_steps" in row:
        more = more[:-2] + f" (measured {row['error_with_those_steps']:.1e}) |"
    cost = f"{row['cx']:,} | {row['depth']:,} | {row['error']:.1e} | {row['seconds']:.2g}"
    return f"{begin} {cost} | {row['cx'] / ours:.3g}× |{more}"


def _aer_line(row: dict[str, Any]) -> str:
    medians = [statistics.median(s) for s in row["seconds"].values()]
    ratios = ", ".join(f"{m / medians[0]:.2f}" for m in medians[1:])
    times = " | ".join(spread(s) for s in row["seconds"].values())
    memory = f"{row['peak_bytes'] / 1e6:.0f}"
    return f"| {row['qubits']} | {row['precision']} | {row['gates']} | {times} | {ratios} | {memory} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["CPU", "GPU"], default="CPU")
    parser.add_argument("--most-qubits", type=int, help="of the state vectors; default: 22, on a GPU 30")
    parser.add_argument("--layers-to", type=int, default=10, help="qubits of the layers; 0: none")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    most = given.most_qubits or (22 if given.device == "CPU" else 30)
    on_gpu = given.device == "GPU"
    sizes = list(range(20, most + 1, 2)) if on_gpu else [n for n in (8, 12, 16, 20, 22) if n <= most]
    found: dict[str, Any] = {
        "machine": machine("qiskit", "qiskit-aer", "torch", "numpy") | {"threads": os.cpu_count()},
        "synthesis": [] if on_gpu else [row for n in (4, 6, 8, 10) if n <= given.layers_to for row in of_size(n)],
        "times": [] if on_gpu or not given.layers_to else times_of_synthesis(),
        "aer": against_torch(sizes, given.device, ["double", "single"], given.repeats),
    }
    if on_gpu:
        found["machine"]["card"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "a card"
    name = "circuits_gpu" if on_gpu else "circuits"
    for suffix, text in ((".json", json.dumps(found, indent=1)), (".md", page(found))):
        with written_atomically(RESULTS / f"{name}{suffix}") as file:
            file.write(text.encode())
    print(page(found))


if __name__ == "__main__":
    main()
