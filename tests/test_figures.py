"""Figures of benchmarks that the documentation quotes are those that the benchmarks wrote.

What a page quotes is made here from `benchmarks/results/`, with the digits that the page has, and looked for on it.
A row of its tables of results that is not made here is an error too, so that nothing is quoted that was not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import floor, log10
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from qunn.clock_engine.plan import plan

ROOT = Path(__file__).parent.parent
Lines = list[dict[str, Any]]


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def pick(lines: Lines, **wanted: Any) -> dict[str, Any]:
    (found,) = (line for line in lines if all(line.get(key) == value for key, value in wanted.items()))
    return found


def digits(x: float, n: int = 2) -> str:
    """x to n significant digits, without an exponent: 0.0325 -> 0.033, 6153 -> 6,200; whole from 10^n on."""
    places = max(n - 1 - floor(log10(x)), 0)
    return f"{x:,.{places}f}"


def ground_states() -> list[str]:
    """Seconds, gigabytes, and the other method's time and memory over ours."""
    lines = results("ground_state")["lines"]
    sigma = "scipy sigma=-1e-6"
    small, middle, large = (pick(lines, series="permutations", rows=10**k, who="ours") for k in (5, 6, 8))
    other, other_middle = (pick(lines, series="permutations", rows=10**k, who=sigma) for k in (5, 6))
    gates, large_gates = (pick(lines, series="gates", rows=10**k, who="ours") for k in (5, 8))
    other_gates = pick(lines, series="gates", rows=10**5, who=sigma)
    over = [pick(lines, series=x, rows=10**5, who="scipy which=SA")["bound"] for x in ("permutations", "gates")]
    five = pick(lines, who="BB(5), configuration")
    gap, closed = five["found"]["gap"], five["found"]["gap_closed_form"]
    assert abs(gap - closed) < 1e-12 * closed
    return [
        f"| random permutations | $10^{{5}}$ | {small['seconds']:.2f} s | {other['time_ratio']:.0f}× | {over[0]} |",
        f"| | $10^{{6}}$ | {middle['seconds']:.2f} s | {other_middle['time_ratio']:.0f}×, "
        f"{other_middle['memory_ratio']:.1f}× the memory | |",
        f"| | $10^{{8}}$ | {large['seconds']:.1f} s, {large['peak_bytes'] / 1e9:.1f} GB | | |",
        f"| random two-qubit gates, complex | $10^{{5}}$ | {gates['seconds']:.2f} s | "
        f"{round(other_gates['time_ratio'], -1):,.0f}×, {other_gates['memory_ratio']:.1f}× the memory | {over[1]} |",
        f"| | $10^{{8}}$ | {large_gates['seconds']:.0f} s, {large_gates['peak_bytes'] / 1e9:.1f} GB | | |",
        f"takes {five['seconds']:.0f} s and {five['peak_bytes'] / 1e9:.1f} GB as a whole command, and its gap of "
        f"${gap * 1e15:.2f}\\cdot 10^{{-15}}$ is right to $10^{{-12}}$",
    ]


def reversal() -> list[str]:
    lines = results("reversible")["lines"]
    rows = []
    for method, words in [
        ("torch.nn.RNN", "torch.nn.RNN"),
        ("leapfrog reversible", "ARNN leapfrog, reversible"),
        ("symplectic reversible", "ARNN symplectic Euler, reversible"),
    ]:
        found = [pick(lines, method=method, steps=10**k) for k in (3, 4, 5)]
        used = " | ".join(f"{_megabytes(line['used_bytes'][0])} MB" for line in found)
        ratio = "" if method == "torch.nn.RNN" else f"{found[-1]['time_ratio'][0]:.2f} "
        rows.append(f"| {words} | {used} | {ratio}|")
    return rows


def _megabytes(size: float) -> str:
    """Two digits, and from a thousand on three."""
    size /= 1e6
    return digits(size) if size < 1000 else f"{round(size, -1):,.0f}"


def networks() -> list[str]:
    """Milliseconds, and the other's time over ours, round by round."""
    lines = [line for line in results("rnn_speed")["lines"] if line["size"] == "small"]
    rows = []
    for method, words, others in [
        ("ARNN forward-euler", "ARNN forward Euler", ["torchrecurrent AntisymmetricRNN", "torch LSTM", "torch GRU"]),
        ("ARNN leapfrog", "ARNN leapfrog", ["torchrecurrent coRNN", "torch LSTM", "torch GRU"]),
        ("ODERNN rk4", "ODERNN, rk4", ["torchdiffeq rk4"]),
    ]:
        found = pick(lines, method=method)
        against = ", ".join(f"{_whose(other)} {median(found['ratios'][other]):.1f}×" for other in others)
        rows.append(f"| {words} | {digits(1e3 * median(found['seconds']))} | {against} |")
    slow = pick(lines, method="ContractiveRNN")
    lstm = median(slow["ratios"]["torch LSTM"])
    return [*rows, f"| ContractiveRNN | {1e3 * median(slow['seconds']):.0f} | torch LSTM {lstm:.2f}× |"]


def _whose(other: str) -> str:
    peer, _, network = other.partition(" ")
    return {"torch LSTM": "torch LSTM", "torch GRU": "GRU"}.get(other, f"{peer}'s {network}")


def qunn() -> list[str]:
    found = results("qunn_speed")
    (outputs,) = (x for x in found["forward"] if (x["size"]["d"], x["size"]["N"]) == (16, 32))
    step = found["steps"]
    memory = step["peak_bytes"]

    def ratio(rounds: Lines, other: str) -> float:
        return median(one[other] / one["compiled"] for one in rounds)

    def milliseconds(rounds: Lines) -> float:
        return 1e3 * median(one["compiled"] for one in rounds)

    matrices, vectors = (ratio(outputs["rounds"], other) for other in ("(D W) K", "D (W K)"))
    large, small = (ratio(step["rounds"], other) for other in ("LSTM, hidden dN", "LSTM, hidden d"))
    return [
        f"| outputs of 4 elements, d = 16, N = 32 | {milliseconds(outputs['rounds']):.2f} | | "
        f"the printed matrices, (D W) K: {matrices:.0f}×; matrices times vectors, D (W K): {vectors:.0f}× |",
        f"| training step, T = 1000, batch 32, d = 16, N = 32 | {milliseconds(step['rounds']):.0f} | "
        f"{memory['compiled'] / 1e6:.0f} | torch LSTM with 512 hidden: {large:.1f}×, "
        f"{memory['LSTM, hidden dN'] / memory['compiled']:.0f}× the memory; with 16 hidden: {small:.2f}× |",
    ]


def circuits() -> list[str]:
    found = results("circuits")
    lines = [line for line in found["synthesis"] if line["what"] == "layer"]

    def cx(qubits: int, synthesis: str, key: str = "cx") -> int:
        return int(pick(lines, qubits=qubits, synthesis=synthesis)[key])

    qiskit, ours = "PauliEvolutionGate", "lie, Pauli strings"
    strings = pick(lines, qubits=10, synthesis=ours)
    assert strings["not_run"]
    assert cx(8, ours, "steps_for_target") == 2 * cx(8, qiskit, "steps_for_target")  # "twice as many steps"
    ring = pick(found["aer"], qubits=22, precision="double")["seconds"]
    return [
        *(
            f"| {n} | {cx(n, 'subspace'):,} | {cx(n, 'UnitaryGate'):,} | {cx(n, 'subspace, isometry'):,} | "
            f"{cx(n, qiskit, 'cx_for_target'):,} |"
            for n in (4, 6, 8)
        ),
        f"| 10 | {cx(10, 'subspace'):,} | not run | {cx(10, 'subspace, isometry'):,} | "
        f"not run ({strings['pauli_terms']:,} strings) |",
        f"takes {cx(8, ours) / cx(8, qiskit):.2f} of the CX of Qiskit's at 8 qubits and twice as many steps",
        f"ring of 22 qubits: Aer {median(ring['Aer CPU']):.1f} s, torch {median(ring['torch CPU']):.0f} s",
    ]


def ranks() -> list[str]:
    """Seconds and gigabytes of both sides, and plain SLEPc over ours."""
    lines = results("scale")["lines"]
    rows = []
    for power, count in [(k, p) for k in (6, 7, 8) for p in (1, 2)]:
        ours = pick(lines, series="permutations", rows=10**power, side="ours", ranks=count)
        first = f"| $10^{power}$ rows | {count} | {_spent(ours)} |" if count == 1 else f"| | {count} | {_spent(ours)} |"
        rows.append(f"{first} {_against(lines, ours, 10**power, count)}")
    return rows


def _against(lines: Lines, ours: dict[str, Any], rows: int, count: int) -> str:
    wanted = ("permutations", rows, "plain", count)
    found = [line for line in lines if (line["series"], line["rows"], line["side"], line["ranks"]) == wanted]
    if not found:
        return "| | |"
    (other,) = found
    if not other["bound"]:
        return f"{_spent(other)} | {median(other['time_ratio']):.0f}× | {median(other['memory_ratio']):.1f}× |"
    # it was stopped; its memory is what it had taken until then
    time = float(re.sub(r"\D", "", other["bound"])) / median(ours["seconds"])
    memory = median(other["peak_bytes"])
    ratio = memory / median(ours["peak_bytes"])
    return f"{other['bound']}, {digits(memory / 1e9)} GB | over {time:.0f}× | {ratio:.1f}× |"


def _spent(line: dict[str, Any]) -> str:
    seconds, memory = median(line["seconds"]), median(line["peak_bytes"]) / 1e9
    return f"{digits(seconds)} s, {digits(memory)} GB"


def model() -> list[str]:
    """Rows of `scale_model.md`, which `benchmarks/scale_model.py` makes from `scale.json`, and what is said of them."""
    text = (ROOT / "benchmarks" / "results" / "scale_model.md").read_text(encoding="utf-8")
    one, two = (
        row.strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| permutations | 10,000,000")
    )
    (a,) = re.findall(r"permutations .* a = (\d+) ns", text)
    lines = results("scale")["lines"]

    def seconds(series: str, power: int, count: int) -> float:
        return median(pick(lines, series=series, rows=10**power, side="ours", ranks=count)["seconds"])

    measured = [seconds("permutations", 7, count) for count in (1, 2)]
    faster = [seconds("permutations", k, 1) / seconds("permutations", k, 2) for k in (6, 7, 8)]
    gates = [seconds("gates", k, 1) / seconds("gates", k, 2) for k in (4, 5, 6, 7)]
    passes = [1e9 * seconds("permutations", k, 1) / (13 * 10**k) for k in (6, 8)]  # A + 3 = 13
    return [
        f"| 1 | {one[4]} | {one[5]} | gives $a$ = {a} ns | {digits(measured[0])} |",
        f"| 2 | {two[4]} | {two[5]} | {float(two[6]):.1f} | {digits(measured[1])} |",
        f"they take {measured[1] / float(two[6]):.1f} times the model",
        f"a pass grows from {passes[0]:.0f} to {passes[1]:.0f} ns",
        f"are {min(faster):.1f} to {max(faster):.1f} times as fast as one on permutations",
        f"were between {min(gates):.1f} and {max(gates):.1f} times as fast",
    ]


def messages() -> list[str]:
    """Rows of `scale_messages.md`."""
    text = (ROOT / "benchmarks" / "results" / "scale_messages.md").read_text(encoding="utf-8")
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if re.match(r"\| (perm|tape)", row)]
    words = {"permutations": "permutations, {} ranks", "tape of BB(4)": "tape of the fourth busy beaver, {} ranks"}
    found = []
    for name, _, count, visits, most, counted, predicted, seen, *_ in rows:
        if count == "1":
            continue
        title = "the same, 4 ranks" if (name, count) == ("tape of BB(4)", "4") else words[name].format(count)
        found.append(f"| {title} | {visits} | {most} | {counted} | {predicted} | {seen} |")
    return found


def forecasts() -> tuple[str, str]:
    """On how many of seven series the QUNNForecaster is ahead one step ahead, also with all options for the LSTM."""
    text = (ROOT / "benchmarks" / "results" / "forecast.md").read_text(encoding="utf-8")
    ahead = dict(re.findall(r"^\| (\w.*?) \| (\d) of 7 \|", text, re.MULTILINE))
    (table,) = re.findall(r"^\| series \| LSTM, 6 trials.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [re.findall(r"\| (\d+\.\d+)", row) for row in table.replace("*", "").splitlines()]
    names = ["none", "one", "two", "three", "four", "five", "six", "seven"]
    searched = names[sum(float(ours) < float(lstm) for _, lstm, ours in rows)]
    lstm, gru, linear = (names[int(ahead[key])] for key in ("LSTM, ten times", "GRU, ten times", "AR(N)"))
    ten = "with ten times its parameters on"
    return (
        f"lower one-step error than an LSTM {ten} {lstm} (on {searched} where the LSTM has four times the trials), "
        f"than a GRU {ten} {gru}, than linear AR(N) on {linear}.",
        f"ahead of an LSTM {ten} {lstm}, and on {searched} where the LSTM has four times the trials",
    )


def limits() -> list[str]:
    found = results("ground_state")["lines"]
    five = pick(found, who="BB(5), configuration")
    fast, slow = (pick(found, series=x, rows=10**8, who="ours") for x in ("permutations", "gates"))
    on_ranks = pick(results("scale")["lines"], series="permutations", rows=10**8, side="ours", ranks=1)
    speed = results("qunn_speed")
    growth = pick(speed["growth"], way="compiled", grows="N")["time_exponent"]
    small = median(one["compiled"] / one["LSTM, hidden d"] for one in speed["steps"]["rounds"])
    twelve = pick(results("circuits")["times"], qubits=12)["microseconds_a_cx"]
    implicit = [x["ratios"]["torch LSTM"] for x in results("rnn_speed")["lines"] if x["method"] == "ContractiveRNN"]
    slower = [1 / median(ratios) for ratios in implicit]
    return [
        f"{five['found']['steps']:,} steps, ${five['found']['dimension'] / 1e15:.1f}\\cdot10^{{15}}$ rows, "
        f"{five['seconds']:.0f} s, {five['peak_bytes'] / 1e9:.1f} GB",
        f"$10^8$ rows in {fast['seconds']:.1f} to {slow['seconds']:.0f} s, "
        f"{fast['peak_bytes'] / 1e9:.1f} to {slow['peak_bytes'] / 1e9:.1f} GB",
        f"{median(on_ranks['peak_bytes']) / 1e8:.0f} bytes a row for the gap",
        f"grows as $N^{{{growth:.1f}}}$ at the sizes measured",
        f"{min(slower):.0f} to {round(max(slower), -2):.0f} times an LSTM's step",
        f"with 16 hidden features about {round(small, -1):.0f} times",
        f"about {twelve:.0f} µs a CX at 12 qubits",
    ]


def planned() -> list[str]:
    """What `--plan` says of a card of 141 GB; computed, not measured."""
    rows = {fit.steps: fit.rows for fit in plan(141 * 10**9, device="cuda", clock_states=1000).largest}
    return [
        f"gives ${rows['permutations'] / 1e10:.1f}\\cdot 10^{{10}}$ rows of permutations, "
        f"${rows['gates'] / 1e9:.0f}\\cdot 10^9$ of gates (a power of two) and "
        f"${rows['matrices'] / 1e10:.1f}\\cdot 10^{{10}}$ of matrices",
        f"${rows['tape cells'] / 1e11:.0f}\\cdot 10^{{11}}$ rows of them fit",
    ]


QUOTED: list[tuple[str, Callable[[], list[str]]]] = [
    ("how-to/speed.md", ground_states),
    ("how-to/speed.md", reversal),
    ("how-to/speed.md", networks),
    ("how-to/speed.md", qunn),
    ("how-to/speed.md", circuits),
    ("scale.md", model),
    ("scale.md", messages),
    ("scale.md", ranks),
    ("scale.md", planned),
    ("limits.md", limits),
]


def page(name: str) -> str:
    """Its text in one line each paragraph, rows of tables as they are."""
    return re.sub(r"\n(?![\n|#-]) *", " ", (ROOT / "docs" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "made"), QUOTED, ids=[made.__name__ for _, made in QUOTED])
def test_quoted_figures_are_those_of_the_benchmarks(name, made):
    text = page(name)
    for words in made():
        assert words in text, words


def test_figures_of_forecasts():
    full, short = forecasts()
    assert full in page("how-to/speed.md")
    assert short in page("limits.md")


@pytest.mark.parametrize(
    ("name", "first"), [("how-to/speed.md", "## Ground states"), ("scale.md", "## The model against")]
)
def test_no_row_is_quoted_that_was_not_kept(name, first):
    last = "## Larger than here"
    text = page(name).split(first)[1].split(last)[0]
    rows = re.findall(r"(?:^\|.*\n)(?:^\|[-|]+\n)((?:^\|.*\n)+)", text, re.MULTILINE)
    made = {row for where, make in QUOTED if where == name for row in make()}
    assert rows
    for row in "".join(rows).splitlines():
        assert row in made, row


def test_figures_of_reversal():
    used = pick(results("reversible")["lines"], method="leapfrog reversible", steps=10**5)["used_bytes"][0]
    torch = pick(results("reversible")["lines"], method="torch.nn.RNN", steps=10**5)["used_bytes"][0]
    assert f"{used / 1e6:.1f} MB where `torch.nn.RNN` takes {torch / 1e9:.2f} GB" in page("how-to/reverse.md")
