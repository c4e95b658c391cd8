"""What each choice that the paper leaves open does to a QUNNForecaster: one changed at a time.

    python benchmarks/forecast_ablation.py     # some ten minutes on two cores

Protocol and series as in forecast.py, the validation part alone: the lowest one-step MASE on it, mean of the seeds. The
base: 2 heads, affine encoding with 2 dimensions, learned clock with its own read-out, p1 and p2 shared, p1 = .12,
p2 = .27, tanh, h = 1, scalar skip, L = N, the change foretold, no normalisation, rate .03 in one cycle.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from forecast_protocol import Data, train
from forecast_series import SERIES
from host import in_words, machine

from qunn import CausallyNormalised, QUNNForecaster

RESULTS = Path(__file__).parent / "results"
SHOWN, SEEDS, STEPS = ("sunspots", "noisy-periodic"), (1, 2), 300
BASE: dict[str, Any] = {"heads": 2, "size": 2, "share": True, "residual": True, "clock": "learned-read"}
_IDENTITY = ("identity",) * 3
#: label -> what is changed; causal, lr, schedule and depth (L / N) are not the forecaster's own arguments
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "one-hot clock": {"clock": "one-hot"},
    "learned clock, same for the read-out": {"clock": "learned"},
    "angle encoding": {"encoding": "angle"},
    "amplitude encoding (x, 1)": {"encoding": "amplitude"},
    "3 dimensions": {"size": 3},
    "4 dimensions": {"size": 4},
    "1 head": {"heads": 1},
    "3 heads": {"heads": 3},
    "6 heads": {"heads": 6},
    "p1, p2 for each l": {"share": False},
    "p1 = .5": {"p1": 0.5},
    "p1 = .01": {"p1": 0.01},
    "p2 = .05": {"p2": 0.05},
    "p2 = .6": {"p2": 0.6},
    "no activations": {"activations": _IDENTITY},
    "no σ_1": {"activations": ("identity", "tanh", "identity")},
    "sin for σ_2": {"activations": ("tanh", "sin", "identity")},
    "h = 0.3": {"step": 0.3},
    "h = 3": {"step": 3.0},
    "diagonal skip": {"skip": "diagonal"},
    "L = 2N": {"depth": 2},
    "block history": {"history": "block"},
    "value foretold, not the change": {"residual": False},
    "causal normalisation, 2N": {"causal": 2},
    "rate .01": {"lr": 0.01},
    "rate .1": {"lr": 0.1},
    "constant rate .03": {"schedule": False},
}


def performed(name: str, label: str, seed: int) -> dict[str, Any]:
    """One run."""
    torch.set_num_threads(1)
    data = Data.of(SERIES[name]())
    options = BASE | {"causal": 0, "lr": 0.03, "schedule": True, "depth": 1} | VARIANTS[label]
    causal, lr, schedule, depth = (options.pop(key) for key in ("causal", "lr", "schedule", "depth"))
    torch.manual_seed(seed)
    model: Any = QUNNForecaster(1, data.period, depth * data.period, **options)
    model = CausallyNormalised(model, causal * data.period) if causal else model
    begin = time.process_time()
    trained = train(model, data, lr, seed, steps=STEPS, one_cycle=schedule)
    seconds = time.process_time() - begin
    figures = {"validation": trained.validation, "parameters": trained.parameters, "seconds": seconds}
    return {"series": name, "label": label, "seed": seed} | figures


def table(lines: list[dict[str, Any]]) -> list[str]:
    """A row a variant, a column a series."""
    rows = [f"| changed | parameters (N = 12) | {' | '.join(SHOWN)} | s |", "|---" * (len(SHOWN) + 3) + "|"]
    for label in VARIANTS:
        cells = []
        mine = [x for x in lines if x["label"] == label]
        for name in SHOWN:
            found = [x["validation"] for x in mine if x["series"] == name]
            cells.append(f"{statistics.mean(found):.3f} ± {statistics.stdev(found):.2g}")
        count = next(x["parameters"] for x in mine if x["series"] != "sunspots")
        seconds = statistics.median(x["seconds"] for x in mine)
        rows.append(f"| {label} | {count} | {' | '.join(cells)} | {seconds:.1f} |")
    return rows


def main() -> None:
    """All runs, and results/forecast_ablation.md."""
    context = multiprocessing.get_context("spawn")
    jobs = [(name, label, seed) for name in SHOWN for label in VARIANTS for seed in SEEDS]
    lines = []
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for k, future in enumerate(as_completed([pool.submit(performed, *job) for job in jobs]), 1):
            lines.append(future.result())
            print(f"{k}/{len(jobs)} {json.dumps(lines[-1])}", flush=True)
    assert __doc__
    head = ["# One choice at a time", "", in_words(machine("torch", "qunn")) + ".", "", *__doc__.splitlines()[4:], ""]
    head += [
        "Lower is better; ± is the standard deviation over seeds 1 and 2; 300 steps; s: CPU seconds of a run, that"
    ]
    head += ["of the base with loading.", ""]
    (RESULTS / "forecast_ablation.md").write_text("\n".join([*head, *table(lines), ""]))


if __name__ == "__main__":
    main()
