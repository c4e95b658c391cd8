"""The leaderboard: does a QUNN foretell series better than the usual models, and with how many parameters?

    pip install '.[bench]'
    python benchmarks/forecast.py                     # the whole table: under two hours on two cores
    python benchmarks/forecast.py --series sunspots   # a part of it; goes on where a run was interrupted

Seven series, three baselines that need no training, five kinds of network (see forecast_models.py), trained and scored
alike (see forecast_protocol.py). Every network and size gets the same number of trials: options drawn with a
fixed seed, trained with seed 0, the lowest one-step error on the validation part wins. The winner is trained with five
other seeds, and each of these reads the test part once. Times are CPU seconds of one thread: two runs go side by side.

Every finished run is a line in `results/forecast.jsonl`, which a later run of this script does not repeat; the tables
are written from it. Delete it after a change of the protocol.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from forecast_models import ROWS, SPACES, baselines, build, trials
from forecast_protocol import ORIGINS, STEPS, Data, mase, train
from forecast_series import SERIES
from forecast_table import write_tables
from host import machine

RESULTS = Path(__file__).parent / "results"
LOG = RESULTS / "forecast.jsonl"
TRIALS, SEEDS = 6, (1, 2, 3, 4, 5)


def key(run: dict[str, Any]) -> str:
    """What a run is, apart from what came of it."""
    return json.dumps([run[name] for name in ("series", "model", "size", "options", "seed", "kind")])


def performed(run: dict[str, Any]) -> dict[str, Any]:
    """The run with its figures. Only a `final` run looks at the test part."""
    torch.set_num_threads(1)
    data = Data.of(SERIES[run["series"]]())
    begin = time.process_time()
    model = build(run["model"], run["options"], data, run["size"], run["seed"])
    trained = train(model, data, run["options"]["lr"], run["seed"])
    figures: dict[str, Any] = {"validation": trained.validation, "parameters": trained.parameters}
    figures["seconds"] = time.process_time() - begin
    return run | figures | (tested(model, data) if run["kind"] == "final" else {})


def tested(model: torch.nn.Module, data: Data) -> dict[str, float]:
    """MASE on the test part, one step and N steps ahead."""
    end = len(data.x)
    model.eval()
    return {
        "one_step": mase(model, data, data.b, end, 1),
        "n_step": mase(model, data, data.b, end, data.period, ORIGINS),
    }


def baseline_runs(name: str) -> list[dict[str, Any]]:
    """The figures of the models without training, as lines like the others."""
    data, lines = Data.of(SERIES[name]()), []
    for model, linear in baselines(data).items():
        validation = mase(linear, data, data.a, data.b, 1, ORIGINS)
        line = {"series": name, "model": model, "size": "own", "options": {}, "seed": 0, "kind": "final"}
        count = data.period + 1 if model == "AR(N)" else 0
        lines.append(line | {"validation": validation, "parameters": count, "seconds": 0.0} | tested(linear, data))
    return lines


def trial_runs(names: list[str], models: list[str]) -> Iterator[dict[str, Any]]:
    """All trials; the slowest series first, so that both workers end together."""
    for name in sorted(names, key=lambda n: -SERIES[n]().period):
        for model, size in (row for row in ROWS if row[0] in models):
            for options in trials(model, TRIALS, seed=0):
                yield {"series": name, "model": model, "size": size, "options": options, "seed": 0, "kind": "trial"}


def final_runs(lines: list[dict[str, Any]], names: list[str], models: list[str]) -> Iterator[dict[str, Any]]:
    """For each row the options of its best trial, with other seeds."""
    for name in names:
        for model, size in (row for row in ROWS if row[0] in models):
            tried = {key(run) for run in trial_runs([name], [model]) if run["size"] == size}
            best = min((line for line in lines if key(line) in tried), key=lambda line: float(line["validation"]))
            for seed in SEEDS:
                yield {k: best[k] for k in ("series", "model", "size", "options")} | {"seed": seed, "kind": "final"}


def work(runs: list[dict[str, Any]], workers: int) -> None:
    """Do what the log does not hold yet, and append it."""
    done = {key(line) for line in logged()}
    runs = [run for run in runs if key(run) not in done]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool, LOG.open("a") as log:
        for k, future in enumerate(as_completed([pool.submit(performed, run) for run in runs]), 1):
            line = future.result()
            log.write(json.dumps(line) + "\n")
            log.flush()
            what = f"{line['series']}, {line['model']} {line['size']}, {line['kind']}: {line['validation']:.4f}"
            print(f"{k}/{len(runs)} {what}, {line['seconds']:.0f} s", flush=True)


def logged() -> list[dict[str, Any]]:
    """The lines of the log; one that a kill cut off is left out, and taken off the file."""
    if not LOG.exists():
        return []
    text = LOG.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        LOG.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def main() -> None:
    """Run the whole comparison and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--models", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    work(list(trial_runs(given.series, given.models)), given.workers)
    work(list(final_runs(logged(), given.series, given.models)), given.workers)
    lines = logged()
    lines += [line for name in dict.fromkeys(line["series"] for line in lines) for line in baseline_runs(name)]
    protocol = {"trials": TRIALS, "seeds": SEEDS, "steps": STEPS}
    write_tables(RESULTS, lines, machine("torch", "qunn"), protocol)


if __name__ == "__main__":
    main()
