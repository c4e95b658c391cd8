"""The ground state and the gap of a clock Hamiltonian: time, peak memory and ratio against SciPy and quimb.

    python benchmarks/ground_state.py                    # everything: more than an hour on two cores
    python benchmarks/ground_state.py --most-rows 1e6    # a first look: minutes

Two series of H with H_in (so that the ground state is unique and every method answers the same question: E0 and the
gap): `permutations`, distinct random ones, real; `gates`, random two-qubit gates on random pairs, complex. Every
measurement is a process of its own, whose peak memory the operating system tells. Ours: from the steps to the
result, `solver="sweep"`. The others: from the assembled CSR matrix, read from a file, to E0 and the gap - assembly is
not charged to them. Both sides alternate within one run. A peer stops at its first size over ten minutes or 16 GB,
which is recorded as a bound; ratios are taken only where both finished. Compilation is not counted (a tiny problem is
solved first), nor is importing. Results are written after every size, so that an interrupted run keeps what it saw.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from host import machine

SEED = 7
TIME_LIMIT, MEMORY_LIMIT = 600, 16 * 10**9
# rows -> (data dimension, clock states); gates: a power of two
PERMUTATIONS = {
    10**4: (100, 100),
    10**5: (250, 400),
    10**6: (1000, 1000),
    10**7: (10_000, 1000),
    10**8: (10_000, 10_000),
}
GATES = {10**4: (64, 157), 10**5: (256, 391), 10**6: (1024, 977), 10**7: (8192, 1221), 10**8: (16_384, 6104)}
SERIES = {"permutations": PERMUTATIONS, "gates": GATES}
PEERS = ("scipy which=SA", "scipy sigma=-1e-6", "quimb which=SA")
EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass(frozen=True)
class Measured:
    """One process: seconds of the work itself, peak memory of the process, what it found; or why it stopped."""

    seconds: float | None
    peak_bytes: int
    found: dict[str, Any]
    bound: str | None = None


# -------------------------------------------------------------------------------- one measurement, in a child process


def random_steps(kind: str, rows: int) -> tuple[Any, int | None]:
    """The steps of one size, and the number of qubits for gates."""
    from hamiltonians import Gate

    d, clock_states = SERIES[kind][rows]
    rng = np.random.default_rng(SEED)
    if kind == "permutations":
        images = np.empty((clock_states - 1, d), np.int32)
        for row in images:
            row[:] = rng.permutation(d)
        return images, None
    n_qubits = d.bit_length() - 1
    gates = []
    for _ in range(clock_states - 1):
        q, r = np.linalg.qr(rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4)))
        pair = rng.permutation(n_qubits)[:2]
        gates.append(Gate(q * (np.diag(r) / np.abs(np.diag(r))), (int(pair[0]), int(pair[1]))))
    return gates, n_qubits


def hamiltonian(kind: str, rows: int) -> Any:
    """H with H_in on the first basis state."""
    from hamiltonians import ClockHamiltonian

    steps, n_qubits = random_steps(kind, rows)
    x = np.zeros(SERIES[kind][rows][0])
    x[0] = 1.0
    return ClockHamiltonian.from_steps(steps, x, n_qubits=n_qubits)


def work_ours(kind: str, rows: int) -> dict[str, Any]:
    from hamiltonians import ClockHamiltonian, ground_state

    ground_state(hamiltonian(kind, 10**4), 1, "sweep")  # compile
    steps, n_qubits = random_steps(kind, rows)
    d, clock_states = SERIES[kind][rows]
    x = np.zeros(d)
    x[0] = 1.0
    begin = time.perf_counter()
    H = ClockHamiltonian.from_steps(steps, x, n_qubits=n_qubits)
    result = ground_state(H, 1, "sweep")
    seconds = time.perf_counter() - begin
    exact = 4 * np.sin(np.pi / (2 * (2 * (clock_states - 1) + 3))) ** 2
    found = {
        "rows": H.dimension,
        "E0": float(result.energies[0]),
        "residual": result.residual,
        "gap": result.gap,
        "gap_error": result.gap / exact - 1,
        "gap_residual": result.gap_residual,
        "converged": result.converged,
        "message": result.message,
    }
    return {"seconds": seconds, "found": found}


def work_matrix(kind: str, rows: int, path: str) -> dict[str, Any]:
    import scipy.sparse as sp

    sp.save_npz(path, hamiltonian(kind, rows).to_sparse(), compressed=False)
    return {"seconds": 0.0, "found": {}}


def work_peer(peer: str, path: str) -> dict[str, Any]:
    import scipy.sparse as sp
    from scipy.sparse.linalg import eigsh

    H = sp.load_npz(path)
    v0 = np.random.default_rng(SEED).standard_normal(H.shape[0]).astype(H.dtype)
    if peer.startswith("quimb"):
        import quimb

        H = sp.csr_matrix(H)
        begin = time.perf_counter()
        energies = quimb.eigh(H, k=2, which="SA", return_vecs=True, v0=v0)[0]
    else:
        begin = time.perf_counter()
        how = {"which": "SA"} if peer.endswith("SA") else {"sigma": -1e-6, "which": "LM"}
        energies = eigsh(H, k=2, v0=v0, **how)[0]
    seconds = time.perf_counter() - begin
    energies = np.sort(energies)
    return {"seconds": seconds, "found": {"E0": float(energies[0]), "gap": float(energies[1])}}


def work(arguments: Sequence[str]) -> None:
    """The child: do one thing and print one JSON object."""
    what, *rest = arguments
    if what == "ours":
        answer = work_ours(rest[0], int(rest[1]))
    elif what == "matrix":
        answer = work_matrix(rest[0], int(rest[1]), rest[2])
    else:
        answer = work_peer(what, rest[0])
    print(json.dumps(answer))


def measure(arguments: Sequence[str], limited: bool = False) -> Measured:
    """Run a child, and read its peak memory from the operating system."""
    command = [sys.executable, __file__, "worker", *arguments]
    return measure_command(command, limited)


def measure_command(command: Sequence[str], limited: bool = False) -> Measured:
    """Run any command; its own JSON answer counts if it gives one, else the wall clock.

    A peer (`limited`) is stopped when its resident memory, looked at every 10 ms, exceeds the limit, or its time does.
    """
    begin = time.perf_counter()
    bound = None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = subprocess.Popen(command, stdout=out, stderr=err)
        watched = psutil.Process(child.pid)
        while True:
            pid, state, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.perf_counter() - begin > TIME_LIMIT + 60:  # a minute for importing and reading the matrix
                bound = f"over {TIME_LIMIT} s"
            elif limited and watched.memory_info().rss > MEMORY_LIMIT:
                bound = f"over {MEMORY_LIMIT // 10**9} GB"
            if bound:
                child.kill()
                _, state, usage = os.wait4(child.pid, 0)
                break
            time.sleep(0.01)
        wall = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(state)
        out.seek(0)
        text = out.read().decode()
        err.seek(0)
        complaint = err.read().decode().strip().splitlines()[-1:]
    peak = usage.ru_maxrss * 1024
    if bound is None and child.returncode != 0:
        bound = f"failed: {' '.join(complaint) or child.returncode}"
    if bound is not None:
        return Measured(None, peak, {}, bound)
    answer = json.loads(text.strip().splitlines()[-1])
    if set(answer) == {"seconds", "found"}:
        late = f"over {TIME_LIMIT} s" if limited and answer["seconds"] > TIME_LIMIT else None
        return Measured(answer["seconds"], peak, answer["found"], late)
    return Measured(wall, peak, answer)


# ------------------------------------------------------------------------------------------------ the series


def run_series(
    kind: str, sizes: Sequence[int], repeats: int, before: list[dict[str, Any]], peers_wanted: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    """Some sizes of one series, ours and the peers in turn; yields the lines of each size.

    A peer that has met its bound at a smaller size, in this run or in the lines from before, is not run again.
    """
    stopped = {r["who"] for r in before if r["series"] == kind and r["bound"] and r["rows"] < min(sizes, default=0)}
    alive = [peer for peer in peers_wanted if peer not in stopped]
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "H.npz")
            if alive and rows <= 10**7:
                made = measure(["matrix", kind, str(rows), path], limited=True)
                if made.bound:
                    print(f"  the matrix itself: {made.bound}", flush=True)
                    alive = []
            peers = alive if rows <= 10**7 else []
            ours: list[Measured] = []
            theirs: dict[str, list[Measured]] = {peer: [] for peer in peers}
            for _ in range(repeats if rows < 10**8 else 1):
                ours.append(measure(["ours", kind, str(rows)]))
                for peer in peers:
                    if not theirs[peer] or (theirs[peer][-1].seconds or TIME_LIMIT) < TIME_LIMIT / 4:
                        theirs[peer].append(measure([peer, path], limited=True))
        lines = [line(kind, rows, "ours", ours, ours)]
        print_line(lines[-1])
        for peer in list(peers):
            lines.append(line(kind, rows, peer, theirs[peer], ours))
            print_line(lines[-1])
            if lines[-1]["bound"]:
                alive.remove(peer)
        yield lines


def line(kind: str, rows: int, who: str, runs: list[Measured], ours: list[Measured]) -> dict[str, Any]:
    """One row of the table: medians, the spread of time, and the ratio pair by pair."""
    done = [run for run in runs if run.seconds is not None]
    bound = next((run.bound for run in runs if run.bound), None)
    pairs = [(t.seconds / o.seconds, t.peak_bytes / o.peak_bytes) for t, o in zip(done, ours, strict=False)]
    return {
        "series": kind,
        "rows": rows,
        "who": who,
        "runs": len(done),
        "seconds": statistics.median(r.seconds for r in done) if done else None,
        "seconds_min_max": [min(r.seconds for r in done), max(r.seconds for r in done)] if done else None,
        "peak_bytes": int(statistics.median(r.peak_bytes for r in runs)) if runs else None,
        "time_ratio": statistics.median(p[0] for p in pairs) if pairs and not bound else None,
        "time_ratio_min_max": [min(p[0] for p in pairs), max(p[0] for p in pairs)] if pairs and not bound else None,
        "memory_ratio": statistics.median(p[1] for p in pairs) if pairs and not bound else None,
        "bound": bound,
        "found": runs[-1].found if runs else {},
    }


def print_line(row: dict[str, Any]) -> None:
    seconds = (
        row["bound"] or f"{row['seconds']:.3g} s ({row['seconds_min_max'][0]:.3g}-{row['seconds_min_max'][1]:.3g})"
    )
    ratio = "" if row["time_ratio"] is None or row["who"] == "ours" else (
        f"  {row['time_ratio']:.3g}x time ({row['time_ratio_min_max'][0]:.3g}-{row['time_ratio_min_max'][1]:.3g}),"
        f" {row['memory_ratio']:.2g}x memory"
    )  # fmt: skip
    gap = row["found"].get("gap")
    print(
        f"  {row['series']:12} {row['rows']:>11,}  {row['who']:18} {seconds:28} {row['peak_bytes'] / 1e9:6.2f} GB"
        f"  gap {gap if gap is None else format(gap, '.10g')}{ratio}",
        flush=True,
    )


def exponent(lines: list[dict[str, Any]], kind: str) -> float | None:
    """Fitted exponent of our time against the rows, from 10^6 rows on: below, starting costs more than sweeping."""
    mine = [r for r in lines if r["who"] == "ours" and r["series"] == kind and r["rows"] >= 10**6]
    if len(mine) < 2:
        return None
    return float(np.polyfit(*np.log([[r["rows"] for r in mine], [r["seconds"] for r in mine]]), 1)[0])


def run_commands(repeats: int) -> list[dict[str, Any]]:
    """Whole commands, cold process to last byte: BB(4) in tape space, BB(5), and --help."""
    base = [sys.executable, "-m", "qunn.ground_state"]
    commands = {
        "BB(4), tape": [*base, str(EXAMPLES / "busy_beaver_4.txt"), "--space", "tape", "--json"],
        "BB(5), configuration": [*base, str(EXAMPLES / "busy_beaver_5.txt"), "--json"],
    }
    lines = []
    for name, command in commands.items():
        measure_command(command)  # compile
        runs = [measure_command(command) for _ in range(repeats)]
        found = {key: runs[-1].found.get(key) for key in ("dimension", "steps", "gap", "gap_closed_form", "verified")}
        row = line("commands", 0, name, runs, runs) | {"found": found}
        lines.append(row)
        error = found["gap"] / found["gap_closed_form"] - 1
        gap = f"gap {found['gap']:.10g} ({error:+.1e})"
        print(f"  {name:22} {row['seconds']:.2f} s, {row['peak_bytes'] / 1e9:.2f} GB, {gap}")
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([*base, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begin)
    lines.append({"series": "commands", "rows": 0, "who": "--help", "seconds": statistics.median(times), "found": {}})
    print(f"  {'--help':22} {statistics.median(times):.3f} s")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most-rows", type=float, default=1e8)
    parser.add_argument("--least-rows", type=float, default=0)
    parser.add_argument("--parts", nargs="*", choices=[*SERIES, "commands"], default=[*SERIES, "commands"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ground_state.json")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    given = parser.parse_args()
    where = machine("numpy", "scipy", "numba", "quimb")
    print(f"{where['cpu']}, {where['cores']} cores, {where['memory_bytes'] / 1e9:.0f} GB, {where['versions']}")
    # what an earlier run saw of other sizes stays in the file; every size is measured whole, in one run
    lines: list[dict[str, Any]] = json.loads(given.out.read_text())["lines"] if given.out.exists() else []
    given.out.parent.mkdir(exist_ok=True)
    for kind in [part for part in SERIES if part in given.parts]:
        print(kind)
        sizes = [r for r in SERIES[kind] if given.least_rows <= r <= given.most_rows]
        for size in run_series(kind, sizes, given.repeats, lines, given.peers):
            lines = merged(lines, size)
            write(given.out, where, lines)
        print(f"  our time grows as rows to the power {exponent(lines, kind)} from 10^6 rows on")
    if "commands" in given.parts:
        print("whole commands")
        lines = merged(lines, run_commands(given.repeats))
    write(given.out, where, lines)
    print(f"wrote {given.out}")


def merged(lines: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """New lines in place of old ones of the same series and size, in order of series, size and method."""
    replaced = {(r["series"], r["rows"]) for r in new}
    kept = [r for r in lines if (r["series"], r["rows"]) not in replaced]
    order = [*SERIES, "commands"]
    return sorted([*kept, *new], key=lambda r: (order.index(r["series"]), r["rows"]))


def write(path: Path, where: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """Everything seen so far."""
    exponents = {kind: exponent(lines, kind) for kind in SERIES}
    path.write_text(json.dumps({"machine": where, "exponents": exponents, "lines": lines}, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(where, exponents, lines))


def page(where: dict[str, Any], exponents: dict[str, float | None], lines: list[dict[str, Any]]) -> str:
    """The results as a Markdown page."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    text = [
        "# Ground state and gap",
        "",
        f"Made by `benchmarks/ground_state.py` on {where['date']}: {where['cpu']}, {where['cores']} cores,",
        f"{where['memory_bytes'] / 1e9:.0f} GB; {versions}.",
        "Medians, and in brackets the least and the most. A ratio is the other method over ours, pair by pair.",
        "",
        "| series | rows | method | runs | seconds | peak GB | gap found | time ratio | memory ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in lines:
        if row["series"] == "commands":
            continue
        theirs = row["who"] != "ours"
        seconds = row["bound"] or _spread(row["seconds"], row["seconds_min_max"])
        gap = row["found"].get("gap")
        cells = [
            row["series"],
            f"{row['rows']:,}",
            row["who"],
            str(row["runs"]),
            seconds,
            f"{row['peak_bytes'] / 1e9:.2f}",
        ]
        cells.append("" if gap is None else f"{gap:.10g}")
        cells.append(_spread(row["time_ratio"], row["time_ratio_min_max"]) if theirs and row["time_ratio"] else "")
        cells.append(f"{row['memory_ratio']:.2g}" if theirs and row["memory_ratio"] else "")
        text.append("| " + " | ".join(cells) + " |")
    text.append("")
    text += [f"Our time grows as rows^{e:.2f} from 10^6 rows on ({kind})." for kind, e in exponents.items() if e]
    text.append("")
    for row in lines:
        if row["series"] == "commands":
            size = f", {row['peak_bytes'] / 1e9:.2f} GB" if "peak_bytes" in row else ""
            text.append(f"- `{row['who']}`: {row['seconds']:.3g} s{size}; {row['found'] or ''}".rstrip("; "))
    return "\n".join(text) + "\n"


def _spread(median: float, ends: Sequence[float]) -> str:
    return f"{median:.3g} ({ends[0]:.3g}-{ends[1]:.3g})"


if __name__ == "__main__":
    work(sys.argv[2:]) if sys.argv[1:2] == ["worker"] else main()
