"""The SLEPc engine on MPI ranks: time, peak memory and efficiency, against plain SLEPc with MUMPS on the same matrix.

    .venv-mpi/bin/python benchmarks/scale.py                    # everything that fits: half an hour on two cores
    .venv-mpi/bin/python benchmarks/scale.py --most-rows 1e6    # a first look: two minutes

The two series of benchmarks/ground_state.py (H with H_in, so that E0 and the gap are what both sides look for):
`permutations`, real, and `gates`, complex. Ours: `ground_state(H, 1, "sweep", engine="slepc")`, from the steps to the
result. Plain: the assembled AIJ matrix, Krylov-Schur with shift-invert at the same shift, MUMPS' Cholesky (LU where H
is complex), nev = 2, every other setting SLEPc's own; assembly is not charged to it. Every measurement is an `mpirun`
of its own; seconds are those of the slowest rank, memory is that of all ranks together above what a rank holds once
everything is imported and compiled. The sides alternate. Efficiency is T(1 rank) / (P T(P ranks)). A side stops at its
first size over ten minutes or 16 GB, which is kept as a bound.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ground_state import MEMORY_LIMIT, SERIES, TIME_LIMIT, hamiltonian
from host import in_words, machine, peak_bytes, reset_peak, spread

SIDES = ("ours", "plain")
_STARTING = 120  # seconds that importing, making the steps and assembling may take beside the work itself


# ----------------------------------------------------------------------------- one measurement: what every rank runs


def work(side: str, kind: str, rows: int) -> None:
    """Do it, and let rank 0 print one JSON object."""
    from hamiltonians.slepc.libraries import load

    solve = {"ours": _ours, "plain": _plain}[side]
    small = hamiltonian(kind, 10**4)
    libraries = load(small.dtype)
    comm = libraries.comm
    solve(libraries, _prepared(side, libraries, small))  # compile, and let PETSc allocate what it keeps
    before = psutil.Process().memory_info().rss
    H = hamiltonian(kind, rows)
    clock_states = H.clock_states
    given = _prepared(side, libraries, H)
    if side == "plain":
        del H  # the peer has its matrix and nothing else; what assembly left behind is not charged to it
        before = psutil.Process().memory_info().rss - _matrix_bytes(given)
    reset_peak()
    comm.barrier()
    begin = time.perf_counter()
    found = solve(libraries, given)
    seconds = comm.allreduce(time.perf_counter() - begin, op=_max())
    peaks = comm.gather(peak_bytes() - before)
    if comm.rank == 0:
        exact = 4 * np.sin(np.pi / (2 * (2 * (clock_states - 1) + 3))) ** 2
        found["gap_error"] = found["gap"] / exact - 1
        answer = {"seconds": seconds, "peak_bytes": sum(peaks), "peak_bytes_of_a_rank": max(peaks), "found": found}
        print(json.dumps(answer))


def _prepared(side: str, libraries: Any, H: Any) -> Any:
    if side == "ours":
        return H
    from hamiltonians.slepc.matrix import assembled

    return assembled(H, libraries), H.clock_states


def _matrix_bytes(given: Any) -> int:
    """What the assembled matrix takes on this rank: it is the peer's, also where it was made before."""
    used = given[0].getInfo()["nz_used"]
    return int(used * (given[0].getValuesCSR()[2].itemsize + 4))


def _ours(_: Any, H: Any) -> dict[str, Any]:
    from hamiltonians import ground_state

    low = ground_state(H, 1, "sweep", "slepc")
    return {
        "E0": float(low.energies[0]),
        "gap": low.gap,
        "residual": low.residual,
        "gap_residual": low.gap_residual,
        "converged": low.converged,
        "message": low.message,
    }


def _plain(libraries: Any, given: Any) -> dict[str, Any]:
    from hamiltonians.solvers.inverse import shift_for

    matrix, clock_states = given
    SLEPc, PETSc = libraries.SLEPc, libraries.PETSc
    eps = SLEPc.EPS().create(matrix.comm)
    eps.setOperators(matrix)
    eps.setProblemType(SLEPc.EPS.ProblemType.HEP)
    eps.setDimensions(2)
    eps.setTarget(-shift_for(clock_states))
    eps.setWhichEigenpairs(SLEPc.EPS.Which.TARGET_MAGNITUDE)
    transformation = eps.getST()
    transformation.setType(SLEPc.ST.Type.SINVERT)
    pc = transformation.getKSP().getPC()
    transformation.getKSP().setType(PETSc.KSP.Type.PREONLY)
    pc.setType(PETSc.PC.Type.LU if np.dtype(PETSc.ScalarType).kind == "c" else PETSc.PC.Type.CHOLESKY)
    pc.setFactorSolverType(PETSc.Mat.SolverType.MUMPS)
    eps.solve()
    energies = sorted(eps.getEigenvalue(i).real for i in range(eps.getConverged()))
    found = {"E0": energies[0], "gap": energies[1], "converged": eps.getConverged() >= 2}
    eps.destroy()
    return found


def _max() -> Any:
    from mpi4py import MPI

    return MPI.MAX


# --------------------------------------------------------------------------------------- one measurement, from outside


def measure(side: str, kind: str, rows: int, ranks: int) -> dict[str, Any]:
    """One mpirun; `bound` says why it was stopped, if so."""
    command = [*mpirun(ranks), sys.executable, __file__, "worker"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    begin = time.monotonic()
    child = subprocess.Popen(
        [*command, side, kind, str(rows)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    bound, most = None, 0
    while child.poll() is None:
        most = max(most, _resident_below(child.pid))
        if time.monotonic() - begin > TIME_LIMIT + _STARTING:
            bound = f"over {TIME_LIMIT} s"
        elif most > MEMORY_LIMIT:
            bound = f"over {MEMORY_LIMIT // 10**9} GB"
        if bound:
            _end(child.pid)
            break
        time.sleep(0.05)
    out, err = child.communicate()
    if bound is None and child.returncode:
        told = [line for line in err.splitlines() if line.strip() and "---" not in line]
        bound = f"failed: {told[-1] if told else child.returncode}"
    if bound:
        return {"seconds": None, "peak_bytes": most, "found": {}, "bound": bound}
    answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return answer | {"bound": f"over {TIME_LIMIT} s" if answer["seconds"] > TIME_LIMIT else None}


def mpirun(ranks: int) -> list[str]:
    """The beginning of a command line that runs on so many ranks, also where there are fewer cores."""
    found = shutil.which("mpirun")
    if found is None:
        sys.exit("mpirun must be installed: apt install openmpi-bin")
    root = ["--allow-run-as-root"] if os.getuid() == 0 else []
    return [found, *root, "--oversubscribe", "-n", str(ranks)]


def _resident_below(pid: int) -> int:
    total = 0
    for process in _family(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(pid: int) -> None:
    for process in [*_family(pid), psutil.Process(pid)]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


# ------------------------------------------------------------------------------------------------------- the series


def run(
    kind: str, rows: int, ranks: Sequence[int], repeats: int, stopped: set[tuple[str, int]]
) -> list[dict[str, Any]]:
    """All sides and numbers of ranks at one size, in turn; `stopped` are those that met their bound before."""
    wanted = [(side, p) for side in SIDES for p in ranks if (side, p) not in stopped]
    seen: dict[tuple[str, int], list[dict[str, Any]]] = {key: [] for key in wanted}
    for _ in range(repeats):
        for key in wanted:
            if not seen[key] or (not seen[key][-1]["bound"] and seen[key][-1]["seconds"] < TIME_LIMIT / 4):
                seen[key].append(measure(key[0], kind, rows, key[1]))
    lines = []
    for side, p in wanted:
        runs = seen[side, p]
        lines.append(_line(kind, rows, side, p, runs, seen.get(("ours", p), [])))
        if lines[-1]["bound"]:
            stopped.add((side, p))
    _add_efficiency(lines)
    return lines


def _line(
    kind: str, rows: int, side: str, ranks: int, runs: list[dict[str, Any]], ours: list[dict[str, Any]]
) -> dict[str, Any]:
    done = [r for r in runs if not r["bound"]]
    pairs = [(r["seconds"] / o["seconds"], r["peak_bytes"] / o["peak_bytes"]) for r, o in zip(done, ours, strict=False)]
    if side == "ours":
        pairs = []
    return {
        "series": kind,
        "rows": rows,
        "side": side,
        "ranks": ranks,
        "seconds": [r["seconds"] for r in done],
        "peak_bytes": [r["peak_bytes"] for r in runs],
        "time_ratio": [p[0] for p in pairs],
        "memory_ratio": [p[1] for p in pairs],
        "efficiency": None,
        "bound": next((r["bound"] for r in runs if r["bound"]), None),
        "found": runs[-1]["found"],
    }


def _add_efficiency(lines: list[dict[str, Any]]) -> None:
    alone = {row["side"]: row["seconds"] for row in lines if row["ranks"] == 1 and row["seconds"]}
    for row in lines:
        if row["ranks"] > 1 and row["seconds"] and row["side"] in alone:
            row["efficiency"] = statistics.median(alone[row["side"]]) / (
                row["ranks"] * statistics.median(row["seconds"])
            )


def page(where: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """The results as a Markdown page."""
    text = [
        "# Ground state and gap on MPI ranks",
        "",
        f"Made by `benchmarks/scale.py` on {in_words(where)}.",
        "Medians, and in brackets the least and the most. A ratio is plain SLEPc over ours, pair by pair, with as many",
        "ranks. Memory is that of all ranks together, beyond what they hold once everything is imported.",
        "",
        "| series | rows | side | ranks | seconds | GB | bytes a row | error of the gap | efficiency | time ratio "
        "| memory ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in lines:
        peak = statistics.median(row["peak_bytes"])
        error = row["found"].get("gap_error")
        cells = [
            row["series"],
            f"{row['rows']:,}",
            row["side"],
            str(row["ranks"]),
            row["bound"] or spread(row["seconds"]),
            f"{peak / 1e9:.2f}",
            f"{peak / row['rows']:.0f}",
            "" if error is None else f"{error:.1e}",
            "" if row["efficiency"] is None else f"{row['efficiency']:.2f}",
            spread(row["time_ratio"]) if row["time_ratio"] else "",
            spread(row["memory_ratio"]) if row["memory_ratio"] else "",
        ]
        text.append("| " + " | ".join(cells) + " |")
    messages = [(r["series"], r["rows"], r["ranks"], r["found"].get("message")) for r in lines if r["side"] == "ours"]
    text += ["", *(f"- {kind}, {rows:,} rows, {ranks} ranks: {told}" for kind, rows, ranks, told in messages if told)]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--least-rows", type=float, default=1e6)
    parser.add_argument("--most-rows", type=float, default=1e8)
    parser.add_argument("--most-plain", type=float, default=1e7, help="rows up to which plain SLEPc is run")
    parser.add_argument("--series", nargs="*", choices=list(SERIES), default=list(SERIES))
    parser.add_argument("--ranks", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scale.json")
    given = parser.parse_args()
    where = machine("numpy", "numba")
    print(in_words(where))
    # what an earlier run saw of other sizes stays in the file; every size is measured whole, in one run
    lines: list[dict[str, Any]] = json.loads(given.out.read_text())["lines"] if given.out.exists() else []
    for kind in given.series:
        stopped: set[tuple[str, int]] = set()
        for rows in [r for r in SERIES[kind] if given.least_rows <= r <= given.most_rows]:
            stopped |= {("plain", p) for p in given.ranks if rows > given.most_plain}
            found = run(kind, rows, given.ranks, given.repeats if rows < 10**8 else 1, stopped)
            for row in found:
                print(
                    f"  {kind} {rows:,} {row['side']} {row['ranks']}: {row['bound'] or spread(row['seconds'])}",
                    flush=True,
                )
            lines = [row for row in lines if (row["series"], row["rows"]) != (kind, rows)] + found
            lines.sort(key=lambda row: (list(SERIES).index(row["series"]), row["rows"]))
            given.out.write_text(json.dumps({"machine": where, "lines": lines}, indent=1) + "\n")
            given.out.with_suffix(".md").write_text(page(where, lines))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    work(sys.argv[2], sys.argv[3], int(sys.argv[4])) if sys.argv[1:2] == ["worker"] else main()
