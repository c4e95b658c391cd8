"""Forward and backward pass of this project's networks against torch, torchrecurrent and torchdiffeq at equal sizes.

    pip install '.[bench]'
    python benchmarks/rnn_speed.py                # minutes
    python benchmarks/rnn_speed.py --repeats 3    # a first look

One training step without the optimiser: output, its sum, the gradient of all parameters; float32, CPU. All methods of a
size alternate within one run, and a ratio is the other's time over ours in the same round. Peak memory is that of a
process of its own that takes one step, less what it had before it. Where two sides compute the same thing, the
largest difference of their outputs stands beside the ratio.

Prediction: at these sizes a step is a handful of kernels of some microseconds, so what counts is their number. ARNN:
a product, σ, an addition forward; σ', a product, two additions back. torchrecurrent's cells project the input inside
the loop and leave the graph to autograd: 3 to 5 times as many kernels. torchdiffeq calls the field and autograd as
ODERNN does, and adds its own bookkeeping a step: a ratio of 1.3 to 2. torch.nn.LSTM and GRU run one fused C++ loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from host import in_words, machine, peak_bytes, reset_peak, spread
from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results"
#: time, batch, input features, hidden size
SIZES = {"small": (200, 32, 8, 64), "wide": (200, 32, 8, 256), "long": (1000, 4, 1, 32)}
#: ours -> the peers it is compared with
PAIRS = {
    "ARNN forward-euler": ("torchrecurrent AntisymmetricRNN", "torch LSTM", "torch GRU"),
    "ARNN symplectic-euler": ("torchrecurrent coRNN", "torch LSTM", "torch GRU"),
    "ARNN leapfrog": ("torchrecurrent coRNN", "torch LSTM", "torch GRU"),
    "ARNN symplectic-euler, reversible": ("torchrecurrent coRNN", "torch LSTM", "torch GRU"),
    "ODERNN euler": ("torchdiffeq euler",),
    "ODERNN midpoint": ("torchdiffeq midpoint",),
    "ODERNN rk4": ("torchdiffeq rk4",),
    "ContractiveRNN": ("torch LSTM", "torch GRU"),
    "as_odernn(LSTM)": ("torch LSTM",),
}
STEP = 0.05


class Tanh(nn.Module):
    """The field of AffineField as torchdiffeq wants it."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d, d)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002 - torchdiffeq's signature
        return torch.tanh(self.linear(y))


def make(name: str, size: str) -> tuple[Callable[[], Tensor], nn.Module]:
    """What computes the output, and the module whose parameters get gradients."""
    T, B, m, d = SIZES[size]
    torch.manual_seed(0)
    x, y_0 = torch.randn(T, B, m), torch.randn(B, d)
    library, _, rest = name.partition(" ")
    if library == "torchdiffeq":
        import torchdiffeq

        field, times = Tanh(d), torch.linspace(0, STEP * T, T + 1)
        return lambda: torchdiffeq.odeint(field, y_0, times, method=rest), field
    if library == "ODERNN":
        from qunn import ODERNN
        from qunn.fields import AffineField

        network = ODERNN.from_tableau(rest, AffineField(d), STEP)
        return lambda: network.integrate(y_0, T), network
    module = _recurrent(library, rest, m, d)
    return lambda: module(x)[0], module


def _recurrent(library: str, rest: str, m: int, d: int) -> nn.Module:
    import torchrecurrent

    from qunn import ARNN, ContractiveRNN, as_odernn

    if library == "ARNN":
        scheme, _, reversible = rest.partition(", ")
        return ARNN(m, d, scheme=scheme, h=STEP, reversible=bool(reversible))  # type: ignore[arg-type]
    if library == "torchrecurrent":
        module: nn.Module = getattr(torchrecurrent, rest)(m, d)
        return module
    if library == "torch":
        kinds: dict[str, type[nn.Module]] = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
        return kinds[rest](m, d)
    return ContractiveRNN(m, d, h=STEP) if library == "ContractiveRNN" else as_odernn(nn.LSTM(m, d))


def one_pass(output: Callable[[], Tensor], module: nn.Module) -> float:
    """Seconds of a forward and a backward pass."""
    module.zero_grad()
    begin = time.perf_counter()
    output().sum().backward()
    return time.perf_counter() - begin


def peak(name: str, size: str, threads: int) -> int:
    """Bytes that one pass adds to the most that a process has had resident."""
    command = [sys.executable, __file__, "--peak", name, "--size", size, "--threads", str(threads)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def same_answers() -> dict[str, float]:
    """The largest difference between two sides that should compute the same, in double precision."""
    import torchdiffeq

    from qunn import ODERNN
    from qunn.fields import AffineField

    torch.manual_seed(0)
    d, T = 16, 50
    field, other = AffineField(d, dtype=torch.float64), Tanh(d).double()
    with torch.no_grad():
        other.linear.weight.copy_(field.W)
        assert field.b is not None
        other.linear.bias.copy_(field.b)
        y_0, times = torch.randn(3, d, dtype=torch.float64), torch.linspace(0, STEP * T, T + 1, dtype=torch.float64)
        # torchdiffeq's rk4 is the 3/8 rule: equal in order, not to rounding
        return {
            f"ODERNN {name}": float(
                (
                    ODERNN.from_tableau(name, field, STEP).integrate(y_0, T)
                    - torchdiffeq.odeint(other, y_0, times, method=name)
                )
                .abs()
                .max()
            )
            for name in ("euler", "midpoint", "rk4")
        }


def run(size: str, repeats: int, threads: int) -> list[dict[str, Any]]:
    """All methods of one size, alternating."""
    names = list(dict.fromkeys([*PAIRS, *(peer for peers in PAIRS.values() for peer in peers)]))
    made = {name: make(name, size) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        one_pass(*made[name])  # allocate, and compile what is compiled
    for _ in range(repeats):
        for name in names:
            seconds[name].append(one_pass(*made[name]))
    memory = {name: peak(name, size, threads) for name in names}
    lines = []
    for name in names:
        ratios = {
            peer: [b / a for a, b in zip(seconds[name], seconds[peer], strict=True)] for peer in PAIRS.get(name, ())
        }
        lines.append(
            {"size": size, "method": name, "seconds": seconds[name], "peak_bytes": memory[name], "ratios": ratios}
        )
        shown = "; ".join(f"{peer} {spread(values)}x" for peer, values in ratios.items())
        milliseconds = spread([1e3 * s for s in seconds[name]])
        print(f"{size:6s} {name:36s} {milliseconds:>22s} ms {memory[name] / 1e6:8.1f} MB  {shown}", flush=True)
    return lines


def page(where: dict[str, Any], threads: int, lines: list[dict[str, Any]], same: dict[str, float]) -> str:
    """The results as a table to read."""
    text = [
        "# Recurrent networks: a forward and a backward pass",
        "",
        f"Made by `benchmarks/rnn_speed.py` on {in_words(where)}; {threads} threads, float32.",
        "Milliseconds: medians, and in brackets the least and the most. A ratio is the other's time over ours, round",
        "by round: above 1 we are faster. Memory: what one pass adds to the process's peak.",
        "",
        "| size (T, B, m, d) | method | ms | MB | ratios |",
        "|---|---|---|---|---|",
    ]
    for line in lines:
        ratios = "; ".join(f"{peer}: {spread(values)}" for peer, values in line["ratios"].items())
        milliseconds = spread([1e3 * s for s in line["seconds"]])
        shape = ", ".join(map(str, SIZES[line["size"]]))
        memory = line["peak_bytes"] / 1e6
        text.append(f"| {line['size']} ({shape}) | {line['method']} | {milliseconds} | {memory:.1f} | {ratios} |")
    text += ["", "Largest difference to torchdiffeq on the same field, 50 steps, double precision:", ""]
    text += [f"- {name}: {value:.2g}" + (_RK4 if "rk4" in name else "") for name, value in same.items()]
    return "\n".join(text) + "\n"


_RK4 = " (torchdiffeq's `rk4` is the 3/8 rule: another method of order 4)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.peak:
        output, module = make(given.peak, given.size)
        with torch.no_grad():
            output()  # what the libraries allocate once
        reset_peak()
        before = peak_bytes()
        one_pass(output, module)
        print(peak_bytes() - before)
        return
    where = machine("torch", "torchdiffeq", "torchrecurrent")
    lines = [line for size in given.sizes for line in run(size, given.repeats, given.threads)]
    same = same_answers()
    fastest = {line["method"]: statistics.median(line["seconds"]) for line in lines}
    RESULTS.mkdir(exist_ok=True)
    found = {"machine": where, "threads": given.threads, "lines": lines, "differences": same, "median": fastest}
    (RESULTS / "rnn_speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "rnn_speed.md").write_text(page(where, given.threads, lines, same))


if __name__ == "__main__":
    main()
