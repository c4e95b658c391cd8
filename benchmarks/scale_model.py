"""What a search on MPI ranks should cost, beside what `benchmarks/scale.py` measured, and what follows for clusters.

    python benchmarks/scale_model.py        # reads results/scale.json, writes results/scale_model.md

The model, for N clock states, item bytes a number, a basis of b vectors and k = 1 (docs/scale.md has the reasons):

    bytes a row = item (b + 4) + tables
    seconds     = rows (passes a + 2 v item A / β) / P,     passes = A + 3 for A inverses

The tables are 4 P + 44 v for permutations, whose images every rank holds, and item + 4 (item + 16), on several ranks
item + 4 (item + 36), for two-qubit gates. v is the part of the rows that strands visit on other ranks, (1 - 1/P) for
random permutations; β what one rank copies a second; a, in ns a row and pass, is taken from one line of the
measurements, ten million rows on one rank, and everything else is predicted from it.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
BASIS, VECTORS = 6, 4  # of a search for the gap; beside the basis: its next vector and the transformation's own
ITEM = {"permutations": 8, "gates": 16}
FITTED = 10**7  # rows of the line that gives a
ONCE = 3  # passes beside the inverses: start, residual and energy


@dataclass(frozen=True)
class Cluster:
    """What a search is planned on: cores of all machines, and bytes a second that a core sends and receives."""

    name: str
    rows: float
    cores: int
    memory: float
    sent_a_second: float
    nanoseconds: float
    inverses: int
    visited: float


def visited(ranks: int) -> float:
    """The part of the rows that strands of random steps visit on other ranks."""
    return 1 - 1 / ranks


def bytes_a_row(series: str, ranks: int) -> float:
    """Of all ranks together."""
    item = ITEM[series]
    if series == "permutations":
        return item * (BASIS + VECTORS) + 4 * ranks + 44 * visited(ranks)
    return item * (BASIS + VECTORS) + item + 4 * (item + (16 if ranks == 1 else 36))


def seconds(series: str, rows: float, ranks: int, inverses: int, a: float, copied: float) -> float:
    """Of a search on so many ranks with a core each."""
    sent = 2 * visited(ranks) * ITEM[series] * inverses / copied
    return rows * ((inverses + ONCE) * a + sent) / ranks


def inverses_of(line: dict[str, Any]) -> int:
    """How many inverses a measured search took, as its message tells."""
    return int(re.search(r"([\d,]+) times", line["found"]["message"]).group(1).replace(",", ""))  # type: ignore[union-attr]


def copy_bandwidth() -> float:
    """Bytes a second that one core writes in a copy of 80 MB."""
    x = np.ones(10**7)
    y = np.empty_like(x)
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        np.copyto(y, x)
        times.append(time.perf_counter() - begin)
    return x.nbytes / statistics.median(times)


def table(lines: list[dict[str, Any]], copied: float) -> list[str]:
    """Every measured line of ours beside its prediction."""
    text = [
        "| series | rows | ranks | inverses | bytes a row: model | measured | seconds: model | measured "
        "| measured over model |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for series in ITEM:
        mine = [r for r in lines if r["series"] == series and r["side"] == "ours" and r["seconds"]]
        fitted = next((r for r in mine if r["rows"] == FITTED and r["ranks"] == 1), None)
        if fitted is None:
            continue
        a = statistics.median(fitted["seconds"]) / (FITTED * (inverses_of(fitted) + ONCE))
        for row in mine:
            measured = statistics.median(row["seconds"])
            size = statistics.median(row["peak_bytes"]) / row["rows"]
            model = seconds(series, row["rows"], row["ranks"], inverses_of(row), a, copied)
            ratio = "gives a" if row is fitted else f"{measured / model:.2f}"
            text.append(
                f"| {series} | {row['rows']:,} | {row['ranks']} | {inverses_of(row)} "
                f"| {bytes_a_row(series, row['ranks']):.0f} | {size:.0f} | {model:.3g} | {measured:.3g} | {ratio} |"
            )
        text.append(f"| {series} | | | | | | a = {a * 1e9:.0f} ns a row and pass | | |")
    return text


def predicted(cluster: Cluster) -> str:
    """One line for a machine that nobody has measured."""
    size = 8 * (BASIS + VECTORS) + 60 * cluster.visited  # 64-bit indices: 60 bytes a visit
    sent = 2 * cluster.visited * 8 * cluster.inverses / cluster.sent_a_second
    took = cluster.rows / cluster.cores * ((cluster.inverses + ONCE) * cluster.nanoseconds * 1e-9 + sent)
    fits = "fits" if size * cluster.rows < cluster.memory else "does not fit"
    return (
        f"| {cluster.name} | {cluster.rows:.0e} | {size:.0f} | {size * cluster.rows / 1e12:.0f} of "
        f"{cluster.memory / 1e12:.0f} TB, {fits} | {took:.0f} s |"
    )


def main() -> None:
    found = json.loads((RESULTS / "scale.json").read_text())
    copied = copy_bandwidth()
    # ns a row and pass of one rank here: of BB(4)'s tape with 14 million rows, and of 10^8 rows of permutations
    clusters = [
        Cluster("256 machines of 64 cores, 512 GB, 25 GB/s between them; a tape", 1e12, 256 * 64, 256 * 512e9,
                25e9 / 64, 60, 21, 0.5),
        Cluster("the same, random permutations", 1e12, 256 * 64, 256 * 512e9, 25e9 / 64, 80, 10, 1.0),
    ]  # fmt: skip
    text = [
        "# The cost of a search on ranks: model and measurements",
        "",
        f"Made by `benchmarks/scale_model.py` from `scale.json`; one core copies {copied / 1e9:.1f} GB/s here.",
        "",
        *table(found["lines"], copied),
        "",
        "What it predicts where nothing was measured (float64, 64-bit row numbers, k = 1):",
        "",
        "| machines and steps | rows | bytes a row | memory | time |",
        "|---|---|---|---|---|",
        *(predicted(cluster) for cluster in clusters),
    ]
    (RESULTS / "scale_model.md").write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
