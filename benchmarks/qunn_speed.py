"""The QUNN's structured form against the printed matrices, a training step against torch.nn.LSTM, and how both grow.

    python benchmarks/qunn_speed.py                  # about twenty minutes on one core
    python benchmarks/qunn_speed.py --quick          # a first look
    python benchmarks/qunn_speed.py --device cuda    # the general structured path and the peers on a card

Forward: "(D W) K" is the dense backend, which multiplies the matrices as Eq. (33) prints them; "D (W K)" takes two
matrix-vector products a layer with the same matrices. "compiled" is the structured backend as it is on a CPU, "general"
its torch path, which a GPU, complex data and the unitary mode take. All compute the same outputs of the same elements;
the largest difference stands beside the times. Sides alternate round by round, and a ratio is taken within a round.

Predictions. An element of the matrix form takes L products of dN x dN matrices, 2 (dN)³ operations each; of the
structured form about 20 dN L / 2: a ratio that grows like (dN)² against the first, and like dN against the second
(which reads and writes each matrix a few times), until the structured side is overhead alone. A training step is linear
in T, d and the batch and quadratic in N, for L = N. Memory: the general path keeps all layers, about 7 (L + 1) vectors
an element; the compiled one nothing but inputs, outputs and their gradients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import torch
from host import in_words, machine, peak_bytes, reset_peak, spread
from torch import Tensor, nn

from qunn import QUNN
from qunn.quantum import fused

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Size:
    """T times, B sequences, d features, period N = L."""

    T: int
    B: int
    d: int
    N: int


#: forward: few elements, for the matrix form takes up to a second each
FORWARD = [Size(4, 1, 2, 4), Size(4, 1, 4, 8), Size(4, 1, 8, 16), Size(4, 1, 16, 32)]
STEP = Size(1000, 32, 16, 32)
BASE = Size(500, 8, 8, 16)
GROWTH: dict[str, list[Size]] = {
    "T": [Size(T, 8, 8, 16) for T in (250, 500, 1000, 2000)],
    "batch": [Size(500, B, 8, 16) for B in (4, 8, 16, 32)],
    "d": [Size(500, 8, d, 16) for d in (4, 8, 16, 32)],
    "N": [Size(500, 8, 8, N) for N in (8, 16, 32, 64)],
}


def data(size: Size, device: str) -> Tensor:
    """Unit vectors [B, T, d]."""
    torch.manual_seed(0)
    return nn.functional.normalize(torch.randn(size.B, size.T, size.d), dim=-1).to(device)


def model(way: str, size: Size, device: str) -> nn.Module:
    """The network of a way to compute."""
    if way.startswith("LSTM"):
        hidden = size.d * size.N if way == "LSTM, hidden dN" else size.d
        return nn.LSTM(size.d, hidden, batch_first=True).to(device)
    backend = "dense" if way == "(D W) K" else "structured"
    return QUNN(size.d, size.N, backend=backend, recompute=way == "general, recompute", device=device)  # type: ignore[arg-type]


def forward(way: str, network: Any, Y: Tensor) -> Tensor:
    """The outputs."""
    if way == "D (W K)":
        return by_vectors(network, Y)
    with fused.disabled() if way.startswith("general") else nullcontext():
        output: Tensor = network(Y)[0]
    return output


def by_vectors(network: QUNN, Y: Tensor) -> Tensor:
    """Eqs. (32)-(36) with D (W K): the matrices are made, but never multiplied."""
    d, N = network.input_size, network.period
    one, identity = torch.eye(d, device=Y.device), torch.eye(d * N, device=Y.device)
    assert network.skip is not None
    rows = []
    for sequence in Y:
        past = torch.cat([Y.new_zeros(network.num_layers, d), sequence])
        for t in range(len(sequence)):
            l, at = t + 1, t + network.num_layers  # noqa: E741
            y, c = past[at], network.clock.vector(l)
            p1, p2 = network.p1[l % N], network.p2[l % N]
            K, W = torch.tanh(torch.kron(y, c)), torch.zeros_like(identity)
            for k in range(1, network.num_layers + 1):
                before, label = past[at - k], network.clock.vector(l - k)
                hop, back = torch.outer(label, c), torch.outer(c, label)
                D = (1 - p1) * identity + p1 * (torch.kron(one, hop) - torch.kron(one, back))
                new = torch.kron(torch.outer(before, y), hop) - torch.kron(torch.outer(y, before), back)
                W = (1 - p2) * W + p2 * new
                K = network.skip[k - 1] * K + torch.tanh(D @ (W @ K))
            rows.append(K.reshape(d, N) @ network.clock.vector(l + 1, read=True))
    return torch.stack(rows).reshape(len(Y), -1, d)


def seconds(work: Callable[[], Any], device: str) -> float:
    """Of one call, the device's work included."""
    if device == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def step(way: str, network: nn.Module, Y: Tensor) -> Callable[[], None]:
    """Outputs, their sum, and the gradients of all parameters."""

    def work() -> None:
        network.zero_grad()
        forward(way, network, Y).sum().backward()  # type: ignore[no-untyped-call]

    return work


def compared_forward(repeats: int, device: str) -> list[dict[str, Any]]:
    """The same outputs four ways, for growing dN."""
    ways = ["(D W) K", "D (W K)", "general"] + (["compiled"] if device == "cpu" else [])
    lines = []
    for size in FORWARD:
        Y = data(size, device)
        networks = {way: model(way, size, device) for way in ways}
        with torch.no_grad():
            answers = {way: forward(way, networks[way], Y) for way in ways}
            works = {way: partial(forward, way, networks[way], Y) for way in ways}
            rounds = [{way: seconds(work, device) for way, work in works.items()} for _ in range(repeats)]
        off = max(float((answers[way] - answers["(D W) K"]).abs().max()) for way in ways)
        lines.append({"size": asdict(size), "rounds": rounds, "difference": off})
        best = ways[-1]
        shown = ", ".join(f"{way} {spread([r[way] / r[best] for r in rounds])}x" for way in ways[:2])
        print(f"forward {size}: {shown} {best}; off by {off:.1g}", flush=True)
    return lines


def compared_steps(repeats: int, device: str, threads: int) -> dict[str, Any]:
    """A training step of every side, and what it adds to the memory."""
    ours = "compiled" if device == "cpu" else "general, recompute"
    ways = [ours, "LSTM, hidden d", "LSTM, hidden dN"]
    Y, networks = data(STEP, device), {way: model(way, STEP, device) for way in ways}
    works = {way: step(way, networks[way], Y) for way in ways}
    for work in works.values():
        work()  # compiles, and allocates once
    rounds = [{way: seconds(work, device) for way, work in works.items()} for _ in range(repeats)]
    memory = {way: peak(way, STEP, device, threads) for way in ways}
    parameters = {way: sum(p.numel() for p in networks[way].parameters()) for way in ways}
    for way in ways:
        print(f"step {way}: {spread([r[way] for r in rounds])} s, {memory[way] / 1e6:.0f} MB", flush=True)
    return {"size": asdict(STEP), "rounds": rounds, "peak_bytes": memory, "parameters": parameters, "ours": ours}


def compared_memory(device: str, threads: int) -> dict[str, Any]:
    """One step with all layers kept, with recomputation, and compiled."""
    ways = ["general", "general, recompute"] + (["compiled"] if device == "cpu" else [])
    Y, found = data(BASE, device), {}
    for way in ways:
        work = step(way, model(way, BASE, device), Y)
        work()
        times = [seconds(work, device) for _ in range(3)]
        found[way] = {"seconds": times, "peak_bytes": peak(way, BASE, device, threads)}
        print(f"memory {way}: {spread(times)} s, {found[way]['peak_bytes'] / 1e6:.0f} MB", flush=True)
    return {"size": asdict(BASE), "ways": found}


def growth(repeats: int, device: str, threads: int) -> list[dict[str, Any]]:
    """Time and memory of a training step when one size grows, and the fitted exponents."""
    lines = []
    for way in (["compiled"] if device == "cpu" else []) + ["general"]:
        for name, sizes in GROWTH.items():
            times, memory = [], []
            for size in sizes:
                work = step(way, model(way, size, device), data(size, device))
                work()
                count = repeats if way == "compiled" else 1
                times.append(statistics.median(seconds(work, device) for _ in range(count)))
                memory.append(peak(way, size, device, threads))
            x = [getattr(size, "B" if name == "batch" else name) for size in sizes]
            line = {"way": way, "grows": name, "values": x, "seconds": times, "peak_bytes": memory}
            line |= {"time_exponent": exponent(x, times), "memory_exponent": exponent(x, memory)}
            lines.append(line)
            print(
                f"growth {way}, {name}: time {line['time_exponent']:.2f}, memory {line['memory_exponent']:.2f}",
                flush=True,
            )
    return lines


def exponent(x: list[int], y: list[Any]) -> float:
    """p of the least-squares y ≈ x^p."""
    return statistics.linear_regression([log(v) for v in x], [log(max(v, 1e-9)) for v in y]).slope


def peak(way: str, size: Size, device: str, threads: int) -> int:
    """Bytes that one training step adds to the most a process (or the card) has held."""
    sizes = ",".join(str(v) for v in asdict(size).values())
    command = [sys.executable, __file__, "--peak", way, "--size", sizes, "--device", device, "--threads", str(threads)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(way: str, size: Size, device: str) -> None:
    """What `peak` reads."""
    small = Size(2, 1, size.d, size.N)
    network = model(way, size, device)
    step(way, network, data(small, device))()  # what the libraries allocate once
    Y = data(size, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(way, network, Y)()
        print(torch.cuda.max_memory_allocated() - before)
        return
    reset_peak()
    before = peak_bytes()
    step(way, network, Y)()
    print(max(peak_bytes() - before, 1))


def page(found: dict[str, Any]) -> str:
    """The results as tables to read."""
    where = f"{found['threads']} thread(s), float32, device {found['device']}."
    text = [
        "# The QUNN's speed",
        "",
        f"Made by `benchmarks/qunn_speed.py` on {in_words(found['machine'])}; {where}",
        "Medians (one measurement for the growth of the general path), and in brackets the least and the most.",
        "A ratio is the other's time over ours, round by round.",
        *forward_table(found["forward"]),
        *step_table(found["steps"]),
        *memory_table(found["memory"]),
        *growth_table(found["growth"]),
    ]
    return "\n".join(text) + "\n"


def titled(title: str, size: dict[str, int]) -> list[str]:
    """A heading and the size below it."""
    shape = f"T = {size['T']}, batch {size['B']}, d = {size['d']}, N = L = {size['N']}."
    return ["", f"## {title}", "", shape, ""]


def forward_table(lines: list[dict[str, Any]]) -> list[str]:
    """The same outputs, all ways."""
    ways = list(lines[0]["rounds"][0])
    best = ways[-1]
    titles = [f"{way}, ms" for way in ways] + [f"{way} over {best}" for way in ways[:2]] + ["largest difference"]
    text = ["", "## The same outputs", "", f"| d, N, dN | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for line in lines:
        size = line["size"]
        ms = [spread([1e3 * r[w] for r in line["rounds"]]) for w in ways]
        ratios = [spread([r[w] / r[best] for r in line["rounds"]]) for w in ways[:2]]
        shape = f"{size['d']}, {size['N']}, {size['d'] * size['N']}"
        text.append(f"| {shape} | {' | '.join(ms + ratios)} | {line['difference']:.1g} |")
    dN = [line["size"]["d"] * line["size"]["N"] for line in lines]
    text.append("")
    for way in ways[:2]:
        p = exponent(dN, [statistics.median(r[way] / r[best] for r in line["rounds"]) for line in lines])
        text.append(f"The ratio of {way} grows as (dN)^{p:.2f}.")
    return text


def step_table(steps: dict[str, Any]) -> list[str]:
    """A training step beside torch.nn.LSTM's."""
    ours, text = steps["ours"], titled("A training step", steps["size"])
    text += ["| | parameters | s | MB | time over ours |", "|---|---|---|---|---|"]
    for way in steps["rounds"][0]:
        cells = [str(steps["parameters"][way]), spread([r[way] for r in steps["rounds"]])]
        cells += [f"{steps['peak_bytes'][way] / 1e6:.0f}", spread([r[way] / r[ours] for r in steps["rounds"]])]
        text.append(f"| {'QUNN, ' if 'LSTM' not in way else ''}{way} | {' | '.join(cells)} |")
    return text


def memory_table(memory: dict[str, Any]) -> list[str]:
    """A training step that keeps, recomputes, or needs nothing."""
    text = [*titled("Memory of a training step", memory["size"]), "| | s | MB |", "|---|---|---|"]
    rows = memory["ways"].items()
    return text + [f"| {way} | {spread(one['seconds'])} | {one['peak_bytes'] / 1e6:.1f} |" for way, one in rows]


def growth_table(lines: list[dict[str, Any]]) -> list[str]:
    """Time and memory over one size, and the exponents."""
    text = titled("Growth of a training step from", asdict(BASE))
    text += ["| | grows | over | s | MB | time as | memory as |", "|---" * 7 + "|"]
    for line in lines:
        cells = [line["way"], line["grows"], ", ".join(map(str, line["values"]))]
        cells += [", ".join(f"{s:.3g}" for s in line["seconds"])]
        cells += [", ".join(f"{b / 1e6:.3g}" for b in line["peak_bytes"])]
        cells += [f"{line['grows']}^{line['time_exponent']:.2f}", f"{line['grows']}^{line['memory_exponent']:.2f}"]
        text.append(f"| {' | '.join(cells)} |")
    return text


def main() -> None:
    """Everything, and the results in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.peak:
        print_peak(given.peak, Size(*map(int, given.size.split(","))), given.device)
        return
    rounds = 2 if given.quick else 5
    found = {"machine": machine("torch", "numba", "qunn"), "threads": given.threads, "device": given.device}
    if given.device == "cuda":
        found["card"] = torch.cuda.get_device_name()
    found |= {
        "forward": compared_forward(rounds, given.device),
        "steps": compared_steps(2 if given.quick else 3, given.device, given.threads),
        "memory": compared_memory(given.device, given.threads),
        "growth": growth(1 if given.quick else 3, given.device, given.threads),
    }
    name = "qunn_speed" if given.device == "cpu" else "qunn_speed_cuda"
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page(found))


if __name__ == "__main__":
    main()
