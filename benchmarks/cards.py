"""The torch engine on a CPU or a card: H times a vector against a copy, whole ground states, a QUNN's training step.

    python benchmarks/cards.py                  # about three minutes on one core
    python benchmarks/cards.py --device cuda    # 10^9 rows in float64; needs a card with 32 GB and a host with 64 GB

H times a vector must read X and write the result: 16 bytes a row in float64, what a copy moves. "by operations" is what
the operations read and write if nothing stays in a cache, which the data vectors of neighbouring clocks do where d is
small. Both are predictions; the copy is of the same tensors, and sides alternate round by round. The fraction of
bandwidth is the copy's time over the product's, for 16 bytes a row each.

Whole ground states (k = 2, one state kept) are measured in a process of their own, with the most memory that it took
beside what it held with H built, or on a card what torch allocated, against the estimate that guards the allocation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from host import in_words, machine, peak_bytes, reset_peak, spread
from qunn_speed import Size, data, model, step

from hamiltonians import ClockHamiltonian, Gate, ground_state, load_machine
from qunn.clock_engine.memory import Problem, bytes_on_cpu, device_parts, steps_stay
from qunn.clock_engine.operator import DeviceHamiltonian

RESULTS = Path(__file__).parent / "results"
BUSY_BEAVER_4 = Path(__file__).parents[1] / "examples" / "busy_beaver_4.txt"


def permutations(log_d: int, N: int) -> ClockHamiltonian:
    """Random permutations of 2^log_d data states."""
    rng = np.random.default_rng(0)
    images = np.empty((N - 1, 2**log_d), np.int32)
    for row in images:
        row[:] = rng.permutation(2**log_d)
    return ClockHamiltonian.from_steps(images)


def gates(log_d: int, N: int) -> ClockHamiltonian:
    """Random orthogonal two-qubit gates on log_d qubits."""
    rng = np.random.default_rng(0)

    def gate() -> Gate:
        qubits = rng.permutation(log_d)[:2]
        return Gate(np.linalg.qr(rng.standard_normal((4, 4)))[0], (int(qubits[0]), int(qubits[1])))

    return ClockHamiltonian.from_steps([gate() for _ in range(N - 1)], n_qubits=log_d)


def tape(log_d: int, N: int) -> ClockHamiltonian:  # noqa: ARG001 - the machine runs as long as it runs
    """The fourth busy beaver, 108 clock states, on a tape of log_d cells."""
    return ClockHamiltonian.from_machine(load_machine(BUSY_BEAVER_4), "tape", tape_cells=log_d)


MAKE: dict[str, Callable[[int, int], ClockHamiltonian]] = {
    "permutations": permutations,
    "gates": gates,
    "tape cells": tape,
}
#: bytes a row of all operations of a product, with nothing in a cache: U_{j-1}X_{j-1}, taken from
#: n_j X_j, less U_j†X_{j+1}, as `steps` does it: scattered and gathered with indices; packed and multiplied; half slabs
BY_OPERATIONS = {"permutations": 36 + 24 + 44, "gates": 48 + 24 + 56, "tape cells": 20 + 12}
PRODUCTS = {
    "cpu": [(14, 256), (20, 16)],
    "cuda": [(20, 954), (25, 30)],
}
SOLVES = {
    "cpu": [("permutations", 16, 101), ("gates", 15, 101), ("tape cells", 16, 108)],
    "cuda": [("permutations", 20, 954), ("gates", 20, 954), ("tape cells", 23, 108)],
}
QUNN = {"cpu": Size(200, 8, 8, 16), "cuda": Size(1000, 32, 16, 32)}


@dataclass(frozen=True)
class Clock:
    """Seconds of a call, the device's work included."""

    device: torch.device

    def __call__(self, work: Callable[[], Any]) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        begin = time.perf_counter()
        work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - begin


def products(device: torch.device, repeats: int) -> list[dict[str, Any]]:
    """H times a vector, and a copy of the same vector."""
    seconds, lines = Clock(device), []
    for name, make in MAKE.items():
        for log_d, N in PRODUCTS[device.type]:
            H = make(log_d, N)
            problem = Problem.of(H, "float64", 1)
            there = DeviceHamiltonian.of(H, device, resident=steps_stay(problem, device))
            X = torch.empty(H.clock_states, H.d, dtype=torch.float64, device=device).uniform_()
            out = torch.empty_like(X)
            works = {
                "product": lambda H=there, X=X, out=out: H.apply_hamiltonian(X, out),
                "copy": lambda X=X, out=out: out.copy_(X),
            }
            for work in works.values():
                work()
            rounds = [{way: seconds(work) for way, work in works.items()} for _ in range(repeats)]
            lines.append({"steps": name, "d": H.d, "N": H.clock_states, "rows": H.dimension, "rounds": rounds})
            fraction = spread([r["copy"] / r["product"] for r in rounds])
            print(f"product {name} {H.dimension:,} rows: {fraction} of the copy's bandwidth", flush=True)
            del X, out, work, works, there  # `work` holds the vectors too
            if device.type == "cuda":
                torch.cuda.empty_cache()  # for the next size, and for processes that come after
    return lines


def solve(name: str, log_d: int, N: int, device: str, precision: Any) -> dict[str, Any]:
    """One ground state and gap, in this process."""
    H = MAKE[name](log_d, N)
    small = MAKE[name](14 if name == "tape cells" else 3, 5)
    ground_state(small, 2, engine="torch", device=device, precision=precision)  # what torch and numba load once
    problem = Problem.of(H, precision, 1)
    estimate = {"device": sum(device_parts(problem).values()), "cpu": bytes_on_cpu(problem)}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    reset_peak()
    before = peak_bytes()
    begin = time.perf_counter()
    result = ground_state(H, 2, engine="torch", device=device, precision=precision, vectors=1)
    return {
        "steps": name,
        "precision": precision,
        "rows": H.dimension,
        "seconds": time.perf_counter() - begin,
        "peak_host": peak_bytes() - before,
        "peak_device": torch.cuda.max_memory_allocated() if device == "cuda" else None,
        "estimate": estimate,
        "gap": result.gap,
        "degeneracy": result.degeneracy,
        "converged": result.converged,
        "gap_residual": result.gap_residual,
        "message": result.message,
    }


def solves(device: str, threads: int) -> list[dict[str, Any]]:
    """Whole ground states, a process each."""
    lines = []
    for name, log_d, N in SOLVES[device]:
        for precision in ("float64", "float32") if name != "tape cells" else ("float64",):
            given = ["--solve", name, "--log-d", str(log_d), "--N", str(N), "--precision", precision]
            command = [sys.executable, __file__, *given, "--device", device, "--threads", str(threads)]
            line = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(f"{name} {precision} {line['rows']:,} rows: {line['seconds']:.3g} s, gap {line['gap']}", flush=True)
            lines.append(line)
    return lines


def engines(repeats: int) -> list[dict[str, Any]]:
    """The same question to the torch engine and to numpy's, on this CPU: one that it wins and one that it loses."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal(2**10)
    bound = gates(10, 61)
    problems = {
        "gates with H_in, k = 4": ClockHamiltonian(bound.steps, "steps", x / np.linalg.norm(x)),
        "tape cells, k = 4": tape(14, 108),
    }
    lines = []
    for name, H in problems.items():
        works = {engine: partial(ground_state, H, 4, engine=engine, vectors=1) for engine in ("torch", "numpy")}
        results = {engine: work() for engine, work in works.items()}
        rounds = [{e: Clock(torch.device("cpu"))(work) for e, work in works.items()} for _ in range(repeats)]
        off = float(np.max(np.abs(results["torch"].energies - results["numpy"].energies)))
        ratio = spread([r["numpy"] / r["torch"] for r in rounds])
        print(f"engines, {name}: numpy's time over torch's {ratio}", flush=True)
        lines.append({"problem": name, "rows": H.dimension, "rounds": rounds, "difference": off})
    return lines


def networks(device: torch.device, repeats: int) -> dict[str, Any]:
    """A training step of the QUNN and of torch.nn.LSTM (cuDNN's on a card)."""
    size, seconds = QUNN[device.type], Clock(device)
    ours = "compiled" if device.type == "cpu" else "general, recompute"
    Y = data(size, device.type)
    works = {way: step(way, model(way, size, device.type), Y) for way in (ours, "LSTM, hidden d", "LSTM, hidden dN")}
    for work in works.values():
        work()
    rounds = [{way: seconds(work) for way, work in works.items()} for _ in range(repeats)]
    for way in works:
        print(f"step {way}: {spread([r[way] for r in rounds])} s", flush=True)
    return {"size": size.__dict__, "ours": ours, "rounds": rounds}


def page(found: dict[str, Any]) -> str:
    """The results as tables to read."""
    where = found.get("card") or f"CPU, {found['threads']} thread(s)"
    text = [
        "# The torch engine",
        "",
        f"Made by `benchmarks/cards.py` on {in_words(found['machine'])}; {where}, float64 where nothing else is said.",
        f"Medians, and in brackets the least and the most. Other work ran beside it where the load, {found['load']} at "
        "the beginning and at the end, is above the number of cores.",
        "",
        "## H times a vector",
        "",
        "Predicted: 16 bytes a row, as long as a copy, where all that a step touches stays in the cache; else the "
        "bytes by operations, and permutations in random order move whole cache lines.",
        "",
        "| steps | d, N | rows | GB/s of a copy | ns a row | copy's time over ours | by operations, bytes a row "
        "| those bytes over ours, GB/s |",
        "|---" * 8 + "|",
    ]
    for line in found["products"]:
        rows, rounds, moved = line["rows"], line["rounds"], BY_OPERATIONS[line["steps"]]
        cells = [line["steps"], f"{line['d']:,}, {line['N']}", f"{rows:,}"]
        cells += [spread([16 * rows / r["copy"] / 1e9 for r in rounds])]
        cells += [spread([1e9 * r["product"] / rows for r in rounds])]
        cells += [spread([r["copy"] / r["product"] for r in rounds])]
        cells += [str(moved), spread([moved * rows / r["product"] / 1e9 for r in rounds])]
        text.append(f"| {' | '.join(cells)} |")
    text += ["", "## Ground state and gap", "", "One run each. The peak is beside H; the estimate is its guard.", ""]
    text += ["| steps | precision | rows | s | peak, MB | estimate, MB | gap | residual of its vector | converged |"]
    text += ["|---" * 9 + "|"]
    for line in found["solves"]:
        card = line["peak_device"] is not None
        peak = line["peak_device"] if card else line["peak_host"]
        estimate = line["estimate"]["device" if card else "cpu"]
        cells = [line["steps"], line["precision"], f"{line['rows']:,}", f"{line['seconds']:.3g}"]
        cells += [f"{peak / 1e6:.1f}", f"{estimate / 1e6:.1f}", f"{line['gap']:.10g}", f"{line['gap_residual']:.1e}"]
        text.append(f"| {' | '.join(cells)} | {'yes' if line['converged'] else 'no'} |")
    if "engines" in found:
        text += ["", "## Beside the engine numpy", ""]
        text += ["| | rows | torch, s | numpy, s | numpy over torch | largest difference |", "|---" * 6 + "|"]
        for line in found["engines"]:
            rounds = line["rounds"]
            cells = [line["problem"], f"{line['rows']:,}"]
            cells += [spread([r[engine] for r in rounds]) for engine in ("torch", "numpy")]
            cells += [spread([r["numpy"] / r["torch"] for r in rounds]), f"{line['difference']:.1g}"]
            text.append(f"| {' | '.join(cells)} |")
    size, ours = found["networks"]["size"], found["networks"]["ours"]
    shape = f"T = {size['T']}, batch {size['B']}, d = {size['d']}, N = L = {size['N']}, float32."
    text += ["", "## A training step of the QUNN", "", shape, "", "| | s | time over ours |", "|---|---|---|"]
    for way in found["networks"]["rounds"][0]:
        rounds = found["networks"]["rounds"]
        cells = [spread([r[way] for r in rounds]), spread([r[way] / r[ours] for r in rounds])]
        text.append(f"| {'' if 'LSTM' in way else 'QUNN, '}{way} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def main() -> None:
    """Everything, and the results in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--solve", choices=MAKE, help=argparse.SUPPRESS)
    parser.add_argument("--log-d", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--N", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float64", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.solve:
        print(json.dumps(solve(given.solve, given.log_d, given.N, given.device, given.precision)))
        return
    device = torch.device(given.device)
    found: dict[str, Any] = {"machine": machine("torch", "numpy", "qunn"), "threads": given.threads}
    found["device"] = given.device
    if given.device == "cuda":
        found["card"] = torch.cuda.get_device_name()
    begin = os.getloadavg()[0]
    found["products"] = products(device, 7)
    found["solves"] = solves(given.device, given.threads)
    if given.device == "cpu":
        found["engines"] = engines(2)
    found["networks"] = networks(device, 5)
    found["load"] = f"{begin:.1f} and {os.getloadavg()[0]:.1f}"
    name = "cards" if given.device == "cpu" else "cards_cuda"
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page(found))


if __name__ == "__main__":
    main()
