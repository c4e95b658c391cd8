"""`python -m qunn.forecast SERIES.csv`: what comes next in a series, from a QUNN with the series' own period."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import CHECK_FAILED, INTERRUPTED, LateProgress, common_options, limit_torch_threads, run
from qunn.options import checked, parsed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qunn.forecasting.backtest import Result
    from qunn.forecasting.reading import Series
    from qunn.tasks.definition import Task
    from qunn.training.loop import Outcome
    from qunn.training.settings import Settings

MODEL = "qunn-forecaster"
DEFAULTS = {"heads": 2, "share": True}
PLAN = "forecast.json"
PICTURES = (".png", ".svg", ".pdf")  # a test compares them with the plot's
WINDOW = 4  # periods that the network reads
WINDOWS = 256  # that it is trained on, about
SHORTEST = 20
SMALLEST = 1e-150  # below it squares vanish


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", metavar="SERIES.csv")
@click.option("--column", metavar="NAME|NUMBER", help="Which; default: the only one with numbers.")
@click.option("--fill", type=click.Choice(["forward"]), help="A gap repeats the value before it; default: an error.")
@click.option("--period", type=int, help="N; default: what the autocorrelation shows.")
@click.option("--steps", type=int, help="How many values; default: N.")
@click.option("--level", type=float, default=0.9, show_default=True, help="Of the interval.")
@click.option("--output", metavar="FILE", help="The CSV; default: SERIES-forecast.csv in this folder.")
@click.option("--plot", "plot_file", metavar="FILE", help="PNG, SVG or PDF; default: SERIES-forecast.png.")
@click.option("--epochs", type=int, default=60, show_default=True, help="At most.")
@click.option("--patience", type=int, default=15, show_default=True, help="Epochs without a better loss; 0: any.")
@click.option("--lr", type=float, default=1e-2, show_default=True, help="Adam's learning rate.")
@click.option("--causal-window", type=int, help="Inputs are normalised by the last so many; 0: not; default: 2N or 0.")
@click.option("--residual/--no-residual", default=None, help="Foretell the change, or the value; default: either.")
@click.option("--model-option", multiple=True, metavar="NAME=VALUE", help="Such as heads=4; see qunn.train --list.")
@click.option("--out", metavar="DIR", help="Keep the training there, to go on after Ctrl-C; default: nowhere.")
@click.option("--resume", is_flag=True, help="Go on with the training in DIR.")
@common_options
def main(**given: Any) -> int:
    """Forecast a series beyond its end, with intervals, and say how well that worked on its last fifth.

    SERIES.csv is comma, semicolon or tab separated, with a header or not, dates in its first column or not; - for
    stdin. The first 60 % train the network, the next 20 % choose its epoch and give the intervals, the last 20 % test.

    What the flags leave open - the change or the value, normalised by the last 2N or not - is trained each way; the
    lowest mean absolute error of the forecasts on the validation part wins.

    Writes step,value,lower,upper and a picture. Beyond the first step outputs are fed back. The interval of step h
    holds the share --level of the h-step errors on the 20 % before the test part, all of them where they are few; what
    it holds of the test part is reported as coverage.

    MAE is the mean absolute error of the steps 1 … --steps over the test part, from every origin, in the series' units.

    MASE is the mean absolute error over the test part, divided by the training part's mean |x(t) - x(t-N)|: of one
    step, and of the steps 1 … N together, from every origin, or 5,000 evenly spread. None where that mean is 0.

    Status 2: no period is found, and none is given. Status 1: the training or the forecast diverged.
    """
    begin = time.perf_counter()
    _check_flags(given)
    targets = _targets(given)
    from qunn.forecasting.reading import read_series

    series = read_series(given["file"], given["column"], given["fill"])
    x = series.values
    _check_values(series)
    period, confidence = _period(given, x)
    limit_torch_threads(given["threads"])
    work = _work(given, series, period)
    progress = LateProgress(given["quiet"])
    try:
        settings, outcome, result = _trained(given, work, progress)
        if result is not None:
            _write(targets, _title(series, period, result), x, result, given["level"], series.labels)
    except KeyboardInterrupt:
        if given["out"] is None or not (Path(given["out"]) / PLAN).exists():
            raise
        progress.close()
        kept = f"the training is kept; go on with --out {given['out']} --resume"
        print(f"error: interrupted; {kept}", file=sys.stderr)
        return INTERRUPTED
    finally:
        progress.close()
    if result is None:
        print(f"error: the forecast diverged: {outcome.reason}; a smaller `--lr` may help", file=sys.stderr)
        return CHECK_FAILED
    report = _report(given, series, work, settings, outcome, result) | {"period_confidence": confidence}
    report |= {"output": targets[0], "plot": targets[1], "seconds": time.perf_counter() - begin}
    if given["as_json"]:
        print(json.dumps(report, allow_nan=False))
        return 0
    from qunn.forecasting.page import print_forecast

    print_forecast(report)
    if not given["quiet"]:
        for name in targets:
            print(f"wrote {name}", file=sys.stderr)
    return 0


# --- what was asked for ---


def _check_flags(given: dict[str, Any]) -> None:
    for name, least in (("period", 2), ("steps", 1), ("epochs", 1), ("patience", 0)):
        if given[name] is not None and given[name] < least:
            raise must_be(f"--{name}", f"an integer of at least {least}", given[name])
    for name, most in (("period", 10_000), ("steps", 100_000)):
        if given[name] is not None and given[name] > most:
            raise must_be(f"--{name}", f"at most {most}", given[name])
    if not 0 < given["level"] < 1:
        raise must_be("--level", "a probability between 0 and 1", given["level"])
    if given["resume"] and given["out"] is None:
        raise must_be("--resume", "beside `--out`, which names the folder", True)


def _targets(given: dict[str, Any]) -> tuple[str, str]:
    """The CSV and the picture, which can be written and are not the input."""
    from hamiltonians.files import check_target

    stem = "stdin" if given["file"] == "-" else Path(given["file"]).stem
    output, picture = given["output"] or f"{stem}-forecast.csv", given["plot_file"] or f"{stem}-forecast.png"
    if Path(picture).suffix.lower() not in PICTURES:
        raise must_be("--plot", f"a name that ends in {', '.join(PICTURES)}", picture)
    for flag, name in (("--output", output), ("--plot", picture)):
        if given["file"] != "-" and os.path.realpath(name) == os.path.realpath(given["file"]):
            raise must_be(flag, "another file than the input", name)
        check_target(name)
    if os.path.realpath(output) == os.path.realpath(picture):
        raise must_be("--plot", "another file than the output", picture)
    return output, picture


def _check_values(series: Series) -> None:
    from qunn.tasks.definition import shares

    x = series.values
    if len(x) < SHORTEST:
        raise must_be("SERIES", f"at least {SHORTEST} values long", len(x))
    if (x[: shares(len(x))[0]] == x[0]).all():
        raise InputError(f"`{series.column}` must not be constant over its training part, the first 60 %", "SERIES")
    if x[: shares(len(x))[0]].std() < SMALLEST:
        raise InputError(f"`{series.column}` must vary by more than {SMALLEST:g}; another unit would do", "SERIES")


def _period(given: dict[str, Any], x: NDArray[np.float64]) -> tuple[int, float | None]:
    """The period and its confidence, None where it is given."""
    from qunn.tasks.definition import shares

    a = shares(len(x))[0]
    period, confidence = given["period"], None
    if period is None:
        from qunn.period import SHORTEST as FEWEST
        from qunn.period import estimate_period

        found = estimate_period(x[:a]) if a >= FEWEST else None
        if found is None or found.value is None:
            raise InputError("no period is found in the training part (the first 60 %); give it with `--period N`")
        period, confidence = found.value, found.confidence
    if period > a // 3:
        raise must_be("--period", f"at most {a // 3}, a third of the {a} values to train on", period)
    return period, confidence


# --- training ---


@dataclass(frozen=True)
class _Work:
    """A task, the settings to choose from, and what must agree when a training goes on."""

    series: Series
    task: Task
    forms: tuple[Settings, ...]
    period: int
    window: int
    plan: dict[str, Any]


def _work(given: dict[str, Any], series: Series, period: int) -> _Work:
    from qunn.tasks.definition import shares
    from qunn.tasks.forecast import Windows, forecast
    from qunn.training.models import model_options
    from qunn.training.room import new_model, require_room
    from qunn.training.settings import Settings

    x = series.values
    a = shares(len(x))[0]
    window = min(WINDOW * period, a - 1)
    windows = Windows(window, min(period, window - 1), max(1, (a - window) // WINDOWS), period)
    chosen = checked(parsed(given["model_option"], "--model-option"), model_options(MODEL), "--model-option")
    if "period" in chosen:
        raise must_be("--model-option", "left without period, which `--period` gives", chosen["period"])
    residuals = (True, False) if given["residual"] is None else (given["residual"],)
    causal = (2 * period, 0) if given["causal_window"] is None else (given["causal_window"],)
    settings = Settings(
        model=MODEL,
        task=series.column,
        batch_size=16,
        lr=given["lr"],
        epochs=given["epochs"],
        patience=given["patience"],
        residual=residuals[0],
        causal_window=causal[0],
        model_options=model_options(MODEL) | DEFAULTS | chosen | {"period": period},
    )
    task = forecast(series.column, "next value", series.file, x[:, None], windows)
    require_room(settings, task, "cpu")
    _require_room_for_errors(given["steps"] or period, len(x))
    new_model(settings, task)  # what it refuses it refuses before anything is written
    forms = tuple(replace(settings, residual=r, causal_window=w) for r, w in product(residuals, causal))
    plan = {"settings": asdict(settings), "seed": given["seed"], "series": hashlib.sha256(x.tobytes()).hexdigest()}
    return _Work(series, task, forms, period, window, plan | {"forms": [[f.residual, f.causal_window] for f in forms]})


def _require_room_for_errors(steps: int, L: int) -> None:
    from hamiltonians.memory import require_memory
    from qunn.forecasting.backtest import ORIGINS
    from qunn.tasks.definition import shares

    part = shares(L)[2]
    rows, columns = min(part, ORIGINS), min(steps, part)
    what = f"forecasts of {columns} steps from {rows} origins"
    require_memory(8 * 8 * rows * columns, what, "fewer `--steps` need less")


def _trained(given: dict[str, Any], work: _Work, progress: LateProgress) -> tuple[Settings, Outcome, Result | None]:
    from qunn.forecasting.backtest import ForecastDivergedError, evaluate

    with _folder(given, work.plan) as root:
        settings, folder, outcome = _fitted(given["seed"], work, root, _steps(given, work), progress)
        if outcome.test is None:
            return settings, outcome, None
        try:
            progress("testing", 0, None)
            model = _loaded(work, settings, folder)
            result = evaluate(model, work.series.values, work.period, _steps(given, work), given["level"])
            return settings, outcome, result
        except ForecastDivergedError as error:
            return settings, replace(outcome, reason=str(error)), None


def _fitted(seed: int, work: _Work, root: Path, steps: int, progress: LateProgress) -> tuple[Settings, Path, Outcome]:
    """Each form trained; that of the lowest mean error of 1 … `steps` steps on the validation part, and where it is."""
    from qunn.training.loop import make_fabric, train

    fabric, forms = make_fabric("cpu"), work.forms
    if len(forms) == 1:
        return forms[0], root, train(fabric, forms[0], work.task, seed, root, progress)
    tried = []
    for k, form in enumerate(forms, 1):
        folder = root / f"form-{k}"
        folder.mkdir(exist_ok=True)
        outcome = train(fabric, form, work.task, seed, folder, partial(_told, progress, f"form {k} of {len(forms)}"))
        tried.append((form, folder, outcome))
    return min(tried, key=lambda one: _validation_error(work, one[0], one[1], one[2], steps))


def _validation_error(work: _Work, settings: Settings, folder: Path, outcome: Outcome, steps: int) -> float:
    """Infinite where the training or the forecasts diverged."""
    from qunn.forecasting.backtest import ForecastDivergedError, validation_errors

    if outcome.test is None:
        return math.inf
    try:
        found = validation_errors(_loaded(work, settings, folder), work.series.values, steps).mae(steps)
    except ForecastDivergedError:
        return math.inf
    return math.inf if found is None else found


def _told(progress: LateProgress, which: str, what: str, done: int, total: int | None) -> None:
    progress(f"{which}: {what}", done, total)


def _steps(given: dict[str, Any], work: _Work) -> int:
    return given["steps"] or work.period


def _loaded(work: _Work, settings: Settings, folder: Path) -> Any:
    """The best epoch's model in the units of the series."""
    from qunn.forecasting.backtest import Forecaster
    from qunn.storage import load
    from qunn.tasks.definition import shares
    from qunn.training.room import torch_dtype

    train = work.series.values[: shares(len(work.series.values))[0]]
    model = load(folder / "best.safetensors")
    return Forecaster(model, float(train.mean()), float(train.std()), work.window, torch_dtype(settings))


@contextmanager
def _folder(given: dict[str, Any], plan: dict[str, Any]) -> Iterator[Path]:
    """Where the training lies; a temporary folder where none is named."""
    if given["out"] is None:
        with tempfile.TemporaryDirectory(prefix="qunn-forecast-") as name:
            yield Path(name)
        return
    out = Path(given["out"])
    _prepare(out, plan, given["resume"])
    yield out


def _prepare(out: Path, plan: dict[str, Any], resume: bool) -> None:
    from hamiltonians.files import written_atomically

    path = out / PLAN
    if resume:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise must_be("--resume", f"for the folder of an earlier forecast, with its {PLAN}", str(out)) from error
        if before != json.loads(json.dumps(plan)):
            raise InputError(f"{path}: `--resume` must have the same series, options and seed as before", "--resume")
        return
    try:
        if out.exists() and not (out.is_dir() and all(p.name[0] == "." for p in out.iterdir())):
            raise must_be("--out", "a new folder, or one of an earlier forecast with --resume", str(out))
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: `--out` must be a folder that can be made, but {error.strerror}", "--out") from error
    with written_atomically(path) as file:
        file.write(json.dumps(plan).encode())


# --- what comes of it ---


def _report(
    given: dict[str, Any], series: Series, work: _Work, settings: Settings, outcome: Outcome, result: Result
) -> dict[str, Any]:
    return {
        "file": series.file,
        "column": series.column,
        "values": len(series.values),
        "filled": series.filled,
        "period": work.period,
        "steps": len(result.forecast),
        "model": MODEL,
        "parameters": outcome.parameters,
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "mae": result.test.mae(len(result.forecast)),
        "mase": result.mase,
        "mase_n_step": result.mase_n_step,
        "baselines": result.baselines,
        "forecast": result.forecast.tolist(),
        "lower": result.lower.tolist(),
        "upper": result.upper.tolist(),
        "level": given["level"],
        "coverage": result.coverage,
        "seed": given["seed"],
        "residual": settings.residual,
        "causal_window": settings.causal_window,
        "forms_tried": len(work.forms),
        "settings": asdict(settings),
        "out": given["out"],
    }


def _write(
    targets: tuple[str, str],
    title: str,
    x: NDArray[np.float64],
    result: Result,
    level: float,
    labels: list[str] | None,
) -> None:
    from hamiltonians.files import written_atomically
    from qunn.forecasting.picture import plot

    rows = enumerate(zip(result.forecast.tolist(), result.lower.tolist(), result.upper.tolist(), strict=True), 1)
    text = "step,value,lower,upper\n" + "".join(f"{k},{v!r},{lo!r},{up!r}\n" for k, (v, lo, up) in rows)
    with written_atomically(targets[0]) as file:  # appears after the picture: both are there, or none
        file.write(text.encode())
        plot(targets[1], title, x, result, level, labels)


def _title(series: Series, period: int, result: Result) -> str:
    mase = "" if result.mase is None else f", MASE {result.mase:.3g} (1 step)"
    return f"{series.column[:60]} of {Path(series.file).name}: period {period}{mase}"


if __name__ == "__main__":
    run(main, "qunn.forecast")
