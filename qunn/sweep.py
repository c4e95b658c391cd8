"""`python -m qunn.sweep SWEEP.yaml`: one command over a grid of its flags, into one table that a kill does not harm."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from hamiltonians.errors import InputError, must_be
from qunn.command import CHECK_FAILED, INTERRUPTED, LateProgress, common_options, run

if TYPE_CHECKING:
    from qunn.sweeping.call import Outcome
    from qunn.sweeping.description import Description
    from qunn.sweeping.fit import PowerLaw
    from qunn.sweeping.points import Point, Points
    from qunn.sweeping.table import Table

PICTURES = (".png", ".svg", ".pdf")
_OF_A_PICTURE = ("by", "log_x", "log_y", "fit")
_ERRORS = 5  # that are named


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("sweep", metavar="SWEEP.yaml")
@click.option("--out", metavar="FILE.jsonl", help="The table; default: SWEEP.jsonl in this folder.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes on this machine; default: all cores.")
@click.option("--dask", metavar="ADDRESS", help="Use a Dask cluster instead, such as tcp://host:8786.")
@click.option("--retry", is_flag=True, help="Run the points again that failed.")
@click.option("--plot", "plot_file", metavar="FILE", help="Draw --y against --x: PNG, SVG or PDF.")
@click.option("--x", metavar="COLUMN", help="A key of the reports, or a flag of the sweep.")
@click.option("--y", metavar="COLUMN", help="As --x.")
@click.option("--by", metavar="COLUMN", help="A curve for each of its values.")
@click.option("--log-x", is_flag=True, help="Logarithmic axis.")
@click.option("--log-y", is_flag=True, help="Logarithmic axis.")
@click.option("--fit", is_flag=True, help="Fit y = c x^p and print p.")
@common_options
@click.pass_context
def main(context: click.Context, /, **given: Any) -> int:
    """Call one of this program's commands at every point of a grid, and keep what it reports in one table.

    SWEEP.yaml names the command, its flags, and lists of values for those that vary; - reads it from stdin. Files in it
    are found from this folder. Its keys: command, flags, grid, points, keep.

    The table has a line a point (JSON Lines). A line is on the disk before the next begins, so that a sweep that was
    killed or interrupted goes on where it stopped when the same command is given again. A point is known by its command
    line: what has changed in a file that it reads, or in this program, needs a new table.

    A point whose command fails has a row too, with its status and its error. --threads is for each process; default: 1.
    With --seed every point has that seed. Status 1: a point failed.
    """
    begin = time.perf_counter()
    _check_flags(given)
    from qunn.sweeping.description import read_description
    from qunn.sweeping.points import Points
    from qunn.sweeping.table import Table

    description = read_description(given["sweep"])
    if context.get_parameter_source("seed") != click.core.ParameterSource.DEFAULT:
        description = _with_seed(description, given["seed"])
    points = Points(description)
    with Table(_table(given)) as table:
        keys = {point.key for point in points}
        if given["retry"]:
            _forget_failures(table, keys)
        before = len(keys & table.statuses.keys())
        progress = LateProgress(given["quiet"])
        try:
            _run_points(given, description, points, table, Counts(before, len(keys)), progress)
        except KeyboardInterrupt:
            progress.close()
            table.read_again()
            done = f"{len(keys & table.statuses.keys()):,} of {len(keys):,} points are in {table.path}"
            print(f"error: interrupted; {done}; the same command goes on", file=sys.stderr)
            return INTERRUPTED
        finally:
            progress.close()
        laws = _shown(given, description, table, keys) if given["x"] is not None else ({}, [])
        report = _report(given, description, table, keys, before) | laws[0]
        report["seconds"] = time.perf_counter() - begin
    if given["as_json"]:
        print(json.dumps(report, allow_nan=False))
    else:
        from qunn.sweeping.page import print_sweep

        print_sweep(report, laws[1])
        if given["plot_file"] is not None and not given["quiet"]:
            print(f"wrote {given['plot_file']}", file=sys.stderr)
    return CHECK_FAILED if report["failed"] else 0


# --- what was asked for ---


def _check_flags(given: dict[str, Any]) -> None:
    if (given["x"] is None) != (given["y"] is None):
        missing, there = ("x", "y") if given["x"] is None else ("y", "x")
        raise InputError(f"`--{missing}` must be given beside `--{there}`: a picture has two axes", f"--{missing}")
    if given["x"] is not None and given["plot_file"] is None and not given["fit"]:
        raise must_be("--x", "left out without `--plot` or `--fit`", given["x"])
    if given["x"] is None:
        if given["plot_file"] is not None:
            raise must_be("--plot", "given with `--x` and `--y`, which name columns", given["plot_file"])
        for name in _OF_A_PICTURE:
            if given[name]:
                raise must_be("--" + name.replace("_", "-"), "given with `--x` and `--y`", given[name])
    if given["dask"] is not None and given["jobs"] is not None:
        raise must_be("--jobs", "left out beside `--dask`, whose workers are its own", given["jobs"])
    if given["plot_file"] is not None:
        if not given["plot_file"].lower().endswith(PICTURES):
            raise must_be("--plot", f"a name that ends in {', '.join(PICTURES)}", given["plot_file"])
        from hamiltonians.files import check_target

        check_target(given["plot_file"])


def _table(given: dict[str, Any]) -> Path:
    stem = "sweep" if given["sweep"] == "-" else Path(given["sweep"]).stem
    path = Path(given["out"] or f"{stem}.jsonl")
    for flag in ("sweep", "plot_file"):
        if given[flag] is not None and os.path.realpath(given[flag]) == os.path.realpath(path):
            raise must_be("--out", "another file than the sweep and the picture", str(path))
    return path


def _with_seed(description: Description, seed: int) -> Description:
    if "seed" in {*description.flags, *description.grid, *(flag for one in description.points for flag in one)}:
        raise must_be("--seed", "left out: the sweep sets it itself", seed)
    return description.model_copy(update={"flags": description.flags | {"seed": str(seed)}})


# --- running ---


@dataclass(frozen=True)
class Counts:
    """Points that were finished when the sweep began, and all of them."""

    before: int
    total: int


class _Workers(Protocol):
    def outcomes(self, points: Iterator[Point]) -> Iterator[tuple[Point, Outcome]]: ...


def _run_points(
    given: dict[str, Any],
    description: Description,
    points: Points,
    table: Table,
    counts: Counts,
    progress: LateProgress,
) -> None:
    from qunn.sweeping.columns import row

    left = _unfinished(points, table)
    first = next(left, None)
    if first is None:
        return
    workers = _workers(given)
    for done, (point, outcome) in enumerate(workers.outcomes(chain([first], left)), counts.before + 1):
        table.append(row(point, outcome, description.keep))
        progress(description.command, done, counts.total)


def _workers(given: dict[str, Any]) -> _Workers:
    threads = given["threads"] or 1
    if given["dask"] is not None:
        from qunn.sweeping.cluster import DaskWorkers

        return DaskWorkers(given["dask"], threads)
    from qunn.sweeping.local import LocalWorkers

    return LocalWorkers(given["jobs"] or len(os.sched_getaffinity(0)), threads)


def _unfinished(points: Points, table: Table) -> Iterator[Point]:
    """Each once, also where it is listed twice."""
    begun: set[str] = set()
    for point in points:
        if point.key not in table.statuses and point.key not in begun:
            begun.add(point.key)
            yield point


def _forget_failures(table: Table, keys: set[str]) -> None:
    from qunn.sweeping.columns import KEY, STATUS

    if any(table.statuses.get(key) for key in keys):
        table.remove(lambda row: row[KEY] in keys and row[STATUS] != 0)


# --- what came of it ---


def _report(
    given: dict[str, Any], description: Description, table: Table, keys: set[str], before: int
) -> dict[str, Any]:
    finished = keys & table.statuses.keys()
    return {
        "sweep": given["sweep"],
        "command": description.command,
        "points": len(keys),
        "finished": len(finished),
        "ran": len(finished) - before,
        "failed": sum(table.statuses[key] != 0 for key in finished),
        "other_rows": len(table.statuses) - len(finished),
        "errors": _errors(table, keys),
        "table": str(table.path),
        **dict.fromkeys(("plot", "x", "y", "by", "left_out", "fits")),
    }


def _errors(table: Table, keys: set[str]) -> list[dict[str, Any]]:
    """The errors that came most often, and how often."""
    from qunn.sweeping.columns import ERROR, KEY, STATUS

    if not any(table.statuses[key] for key in keys & table.statuses.keys()):
        return []
    found = Counter(row[ERROR] for row in table.rows() if row[KEY] in keys and row[STATUS] != 0)
    return [{"error": error, "points": count} for error, count in found.most_common(_ERRORS)]


def _shown(
    given: dict[str, Any], description: Description, table: Table, keys: set[str]
) -> tuple[dict[str, Any], list[PowerLaw]]:
    from qunn.sweeping.columns import KEY
    from qunn.sweeping.fit import power_law, select

    rows = (row for row in table.rows() if row[KEY] in keys)
    shown = select(rows, given["x"], given["y"], given["by"])
    laws = [power_law(group) if given["fit"] else None for group in shown.groups]
    fitted = [law for law in laws if law is not None]
    if given["plot_file"] is not None:
        from qunn.sweeping.picture import plot

        plot(given["plot_file"], description.command, shown, (given["log_x"], given["log_y"]), laws)
    told = {"plot": given["plot_file"], "x": shown.x, "y": shown.y, "by": shown.by, "left_out": shown.left_out}
    return told | {"fits": [asdict(law) for law in fitted] if given["fit"] else None}, fitted


if __name__ == "__main__":
    run(main, "qunn.sweep")
