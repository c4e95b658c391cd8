"""Peak memory and time of training by the reversible ARNN, against the ARNN that stores its states and torch.nn.RNN.

    python benchmarks/reversible.py                    # everything: a quarter of an hour on two cores
    python benchmarks/reversible.py --most-steps 1e3   # a first look: a minute

One forward and one backward pass over T = 10^3, 10^4, 10^5 steps, batch 16, 64 hidden features, 4 inputs, float32, the
loss on the last output, h = 0.01 (at h = 0.1 the gradient of these chaotic networks overflows before 3·10^4 steps). One
thread: the matrices are small, and two threads on two busy cores wait for each other. Every measurement is a process of
its own: it imports, warms up on a few steps, makes the input, resets the high-water mark of its resident memory and
reads it before and after the work. Methods alternate within a repeat, so that a ratio compares neighbours in time.

Predicted, B·H = 1024 numbers of 4 bytes a state: torch.nn.RNN keeps at least a state a step, 4 kB. The ARNN that stores
keeps a state and σ of it for each coupling, 8 kB a step for leapfrog and 16 kB for symplectic Euler. The reversible one
keeps two states, whatever T; its buffers hold one stretch of 128 steps, a few MB. In time a recovered coupling costs a
second product and a second σ: leapfrog takes 6 kernels there and 8 back, where storing takes 3 and 2.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from host import in_words, machine, peak_bytes, reset_peak

BATCH, HIDDEN, INPUTS, STEP, SEED = 16, 64, 4, 0.01, 7
SIZES = (10**3, 10**4, 10**5)
METHODS = ("torch.nn.RNN", "leapfrog stored", "leapfrog reversible", "symplectic stored", "symplectic reversible")


def model(method: str) -> Any:
    import torch

    from qunn import ARNN

    torch.manual_seed(SEED)
    if method == "torch.nn.RNN":
        return torch.nn.RNN(INPUTS, HIDDEN)
    scheme, mode = method.split()
    name = "leapfrog" if scheme == "leapfrog" else "symplectic-euler"
    return ARNN(INPUTS, HIDDEN, scheme=name, h=STEP, reversible=mode == "reversible", return_sequence=False)


def work(method: str, T: int) -> None:
    """The child: one forward and one backward pass, and one JSON object."""
    import torch

    net = model(method)
    warm = torch.randn(4, BATCH, INPUTS)  # so few that the memory it frees serves nothing later
    net(warm)[0][-1].square().mean().backward()
    net.zero_grad()
    imported = psutil.Process().memory_info().rss
    x = torch.randn(T, BATCH, INPUTS)
    reset_peak()
    baseline = peak_bytes()
    begin = time.perf_counter()
    loss = net(x)[0][-1].square().mean()
    loss.backward()
    seconds = time.perf_counter() - begin
    peak = peak_bytes()
    norm = max(float(p.grad.abs().max()) for p in net.parameters())
    answer = {"seconds": seconds, "imported_bytes": imported, "baseline_bytes": baseline, "peak_bytes": peak}
    print(
        json.dumps(
            answer | {"loss": float(loss.detach()), "largest_gradient": norm, "threads": torch.get_num_threads()}
        )
    )


def measure(method: str, T: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "worker", method, str(T)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{method}, T = {T}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_size(T: int, repeats: int) -> list[dict[str, Any]]:
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for _ in range(repeats):
        for method in METHODS:
            runs[method].append(measure(method, T))
    return [line(method, T, runs[method], runs[METHODS[0]]) for method in METHODS]


def line(method: str, T: int, mine: list[dict[str, Any]], base: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of the table: medians and spreads; ratios pair by pair against torch.nn.RNN."""

    def spread(values: Sequence[float]) -> list[float]:
        return [statistics.median(values), min(values), max(values)]

    used = [r["peak_bytes"] - r["baseline_bytes"] for r in mine]
    theirs = [r["peak_bytes"] - r["baseline_bytes"] for r in base]
    return {
        "method": method,
        "steps": T,
        "runs": len(mine),
        "seconds": spread([r["seconds"] for r in mine]),
        "microseconds_a_step": spread([r["seconds"] / T * 1e6 for r in mine]),
        "input_bytes": 4 * T * BATCH * INPUTS,
        "imported_bytes": int(statistics.median(r["imported_bytes"] for r in mine)),
        "baseline_bytes": int(statistics.median(r["baseline_bytes"] for r in mine)),
        "peak_bytes": int(statistics.median(r["peak_bytes"] for r in mine)),
        "used_bytes": spread(used),
        "time_ratio": spread([a["seconds"] / b["seconds"] for a, b in zip(mine, base, strict=True)]),
        "memory_ratio": statistics.median(b / max(a, 1) for a, b in zip(used, theirs, strict=True)),
        "loss": mine[-1]["loss"],
        "largest_gradient": mine[-1]["largest_gradient"],
        "threads": mine[-1]["threads"],
    }


def slopes(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Bytes a step between the two longest sequences of each method."""
    found = {}
    for method in METHODS:
        mine = sorted((r for r in lines if r["method"] == method), key=lambda r: r["steps"])[-2:]
        if len(mine) == 2:
            steps = mine[1]["steps"] - mine[0]["steps"]
            found[method] = (mine[1]["used_bytes"][0] - mine[0]["used_bytes"][0]) / steps
    return found


def page(where: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """The results as a Markdown page."""
    text = [
        "# Training with memory that does not depend on the length",
        "",
        f"Made by `benchmarks/reversible.py` on {in_words(where)}; {lines[0]['threads']} threads.",
        f"One forward and backward pass, batch {BATCH}, {HIDDEN} hidden features, {INPUTS} inputs, h = {STEP},",
        "float32, loss on the last output. Medians, and in brackets the least and the most. *Used*: the high-water",
        "mark of resident memory over the baseline, which holds the imported packages and the input. Ratios are pair",
        "by pair: time over that of torch.nn.RNN, torch.nn.RNN's used memory over ours.",
        "",
        "| T | method | runs | seconds | µs a step | baseline MB | input MB | peak MB | used MB | time ratio "
        "| memory ratio |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in lines:
        mb = {key: r[key] / 1e6 for key in ("baseline_bytes", "input_bytes", "peak_bytes")}
        cells = [
            f"{r['steps']:,}",
            r["method"],
            str(r["runs"]),
            _spread(r["seconds"]),
            f"{r['microseconds_a_step'][0]:.1f}",
        ]
        cells += [f"{mb['baseline_bytes']:.0f}", f"{mb['input_bytes']:.1f}", f"{mb['peak_bytes']:.0f}"]
        cells += [_spread([b / 1e6 for b in r["used_bytes"]])]
        ours = r["method"] != METHODS[0]
        cells += [_spread(r["time_ratio"]) if ours else "", f"{r['memory_ratio']:.2g}" if ours else ""]
        text.append("| " + " | ".join(cells) + " |")
    text += ["", "Memory a step between the two longest sequences: "]
    text[-1] += ", ".join(f"{method} {slope / 1e3:.2g} kB" for method, slope in slopes(lines).items()) + "."
    return "\n".join(text) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{values[0]:.3g} ({values[1]:.3g}-{values[2]:.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most-steps", type=float, default=1e5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "reversible.json")
    given = parser.parse_args()
    where = machine("torch")
    lines: list[dict[str, Any]] = []
    given.out.parent.mkdir(exist_ok=True)
    for T in [size for size in SIZES if size <= given.most_steps]:
        for row in run_size(T, given.repeats):
            lines.append(row)
            used = _spread([b / 1e6 for b in row["used_bytes"]])
            print(f"  {T:>7,}  {row['method']:22} {_spread(row['seconds'])} s, {used} MB used", flush=True)
        given.out.write_text(
            json.dumps({"machine": where, "bytes_a_step": slopes(lines), "lines": lines}, indent=1) + "\n"
        )
        given.out.with_suffix(".md").write_text(page(where, lines))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    work(sys.argv[2], int(sys.argv[3])) if sys.argv[1:2] == ["worker"] else main()
