"""`python -m qunn.sweep`: what it calls, what it writes, and that no kill loses a point or runs it twice."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from hamiltonians import InputError
from hamiltonians.readers.examples import examples_folder
from qunn.sweep import PICTURES, main
from qunn.sweeping import cluster as dask
from qunn.sweeping.call import called, died
from qunn.sweeping.columns import flat
from qunn.sweeping.commands import COMMANDS
from qunn.sweeping.description import read_description
from qunn.sweeping.fit import Group, power_law
from qunn.sweeping.points import Point, Points
from qunn.sweeping.table import Table
from tests.systems.command_line import Command, called_here, process

GAP = 2 - 2 * math.cos(math.pi / 7)  # of the second busy beaver, T = 6
BB2 = "bb:1RB1LB_1LA1RZ"
TIMEOUT = 120  # seconds: a guard against hanging
SMALL = f"command: qunn.ground_state\nflags: {{file: '{BB2}'}}\ngrid: {{k: [1, 2, 3]}}\nkeep: [steps, gap]\n"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(examples_folder())
    Path("small.yaml").write_text(SMALL)
    return called_here(main, "qunn.sweep", capsys, monkeypatch)


def rows(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def without_clock(path: str | Path) -> list[dict[str, Any]]:
    """What must not depend on who computed it, in any order."""
    kept = [{k: v for k, v in row.items() if k not in ("point.seconds", "point.host")} for row in rows(path)]
    return sorted(kept, key=lambda row: row["point.key"])


def points(text: str) -> list[Point]:
    Path("described.yaml").write_text(text)
    return list(Points(read_description("described.yaml")))


def write_words(path: Path, count: int) -> None:
    """A cheap sweep of `count` points: binary increments."""
    words = ", ".join(f'"{n:b}"' for n in range(1, count // 2 + 1))
    text = "command: qunn.ground_state\nflags: {file: examples/binary_increment.json}\nkeep: [steps, gap, output]\n"
    path.write_text(text + f"grid:\n  k: [1, 2]\n  input: [{words}]\n")


# --- what is called ---


def test_the_table_and_the_report(command: Command) -> None:
    found = command("small.yaml", "--json", "--jobs", "1")
    assert (found.status, found.err) == (0, "")
    counts = {"points": 3, "finished": 3, "ran": 3, "failed": 0, "other_rows": 0, "errors": []}
    assert found.report.items() >= counts.items()
    assert found.report["table"] == "small.jsonl"
    table = rows("small.jsonl")
    assert [row["flag.k"] for row in table] == [1, 2, 3]
    for row in table:
        assert (row["point.status"], row["point.error"]) == (0, None)
        assert (row["flag.file"], row["steps"], row["gap"]) == (BB2, 6, pytest.approx(GAP, rel=1e-12))
        assert not row.keys() & {"energies", "machine"}  # not in `keep`
    assert len({row["point.key"] for row in table}) == 3
    again = command("small.yaml", "--json").report
    assert (again["ran"], again["finished"]) == (0, 3)
    assert rows("small.jsonl") == table


def test_a_row_is_the_report_of_the_command_itself(command: Command) -> None:
    (point,) = points(f"command: qunn.ground_state\ngrid: {{file: ['{BB2}']}}\n")
    there = json.loads(process("qunn.ground_state", BB2, "--json").stdout)
    here = called(point)
    assert here.status == 0
    assert here.report | {"seconds": 0} == there | {"seconds": 0}


def test_points_are_the_product_of_the_grid_for_each_set(command: Command) -> None:
    found = points(
        "command: qunn.ground_state\n"
        "flags: {max-steps: 1000}\n"
        "points:\n"
        f"  - {{file: '{BB2}'}}\n"
        '  - {file: examples/binary_increment.json, input: "011"}\n'
        "grid: {space: [configuration, tape], k: [1, 2]}\n"
    )
    assert [point.settings["space"] for point in found] == ["configuration", "configuration", "tape", "tape"] * 2
    assert [point.settings["k"] for point in found] == [1, 2] * 4
    assert found[-1].settings["input"] == "011"  # text as it is written, no octal number
    assert found[-1].words[-1] == "examples/binary_increment.json"
    assert "--input=011" in found[-1].words
    assert len({point.key for point in found}) == 8


def test_keys_do_not_depend_on_the_order_of_flags(command: Command) -> None:
    (one,) = points(f"command: qunn.ground_state\nflags: {{k: 1, space: tape}}\ngrid: {{file: ['{BB2}']}}\n")
    (other,) = points(f"command: qunn.ground_state\nflags: {{file: '{BB2}'}}\npoints: [{{space: tape, k: 01}}]\n")
    assert one.key == other.key


def test_flags_of_all_kinds(command: Command) -> None:
    text = "command: qunn.train\nflags: {model: qunn, task: sunspots, residual: true, task-option: [length=50]}\n"
    one, two = points(text + "grid: {model-option.step: [.5, 1], lr: [1e-3]}\n")
    assert one.settings["model-option.step"] == 0.5
    assert one.settings["task-option"] == ["length=50"]
    assert (one.settings["residual"], one.settings["lr"]) == (True, 0.001)
    assert set(one.words) >= {"--residual", "--task-option=length=50", "--model-option=step=.5", "--lr=1e-3"}
    assert "--model-option=step=1" in two.words
    (no,) = points("command: qunn.forecast\ngrid: {file: [examples/sunspots.csv], residual: [false]}\n")
    assert "--no-residual" in no.words


def test_a_point_twice_in_the_list_is_run_once(command: Command) -> None:
    Path("twice.yaml").write_text(SMALL.replace("[1, 2, 3]", "[2, 2]"))
    assert command("twice.yaml", "--json", "--jobs", "2").report["points"] == 1
    assert len(rows("twice.jsonl")) == 1


def test_seed_is_a_flag_of_every_point(command: Command) -> None:
    assert command("small.yaml", "--seed", "7", "--json").report["ran"] == 3
    assert {row["flag.seed"] for row in rows("small.jsonl")} == {7}
    assert command("small.yaml", "--json").report["other_rows"] == 3
    Path("seeds.yaml").write_text(SMALL.replace("k:", "seed:"))
    assert "`--seed` must be left out" in command("seeds.yaml", "--seed", "7").err


def test_files_that_a_command_insists_on_are_thrown_away(command: Command) -> None:
    wave = [math.sin(2 * math.pi * t / 6) + 0.1 * math.sin(t * t) for t in range(60)]
    Path("wave.csv").write_text("x\n" + "\n".join(map(repr, wave)))
    (point,) = points(
        "command: qunn.forecast\ngrid: {file: [wave.csv]}\n"
        "flags: {period: 6, epochs: 1, residual: true, causal-window: 0}\n"
    )
    before = sorted(os.listdir())
    found = called(point)
    assert (found.status, found.error) == (0, None)
    assert not found.report.keys() & {"output", "plot"}
    assert sorted(os.listdir()) == before
    assert flat(found.report)["baselines.persistence.mase"] > 0


def test_commands_are_those_with_json() -> None:
    for name, called_one in COMMANDS.items():
        flags = {flag for parameter in called_one.main.params for flag in parameter.opts}
        assert {"--json", "--quiet", "--threads"} <= flags, name
        assert {f"--{flag}" for flag in called_one.writes} <= flags
        assert "json" not in called_one.flags


# --- what fails ---


def test_a_point_that_fails_is_a_row(command: Command) -> None:
    Path("bad.yaml").write_text(SMALL.replace("[1, 2, 3]", "[1, 0]"))
    found = command("bad.yaml", "--json", "--jobs", "1")
    assert found.status == 1
    assert found.report["errors"] == [{"error": "`--k` must be at least 1, but is 0", "points": 1}]
    good, bad = rows("bad.jsonl")
    assert (good["point.status"], bad["point.status"]) == (0, 2)
    assert (bad["steps"], bad["gap"]) == (None, None)
    assert command("bad.yaml", "--json").report["ran"] == 0
    again = command("bad.yaml", "--retry", "--json", "--jobs", "1")
    assert (again.status, again.report["ran"], again.report["failed"]) == (1, 1, 1)
    assert len(rows("bad.jsonl")) == 2


def test_retry_keeps_the_rows_of_others(command: Command) -> None:
    Path("bad.yaml").write_text(SMALL.replace("[1, 2, 3]", "[0]"))
    command("bad.yaml", "--out", "t.jsonl", "--jobs", "1")
    command("small.yaml", "--out", "t.jsonl", "--jobs", "1")
    before = rows("t.jsonl")
    found = command("small.yaml", "--out", "t.jsonl", "--retry", "--json").report
    assert (found["finished"], found["failed"], found["other_rows"]) == (3, 0, 1)
    assert rows("t.jsonl") == before


def test_a_defect_of_a_command_is_a_row(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (point,) = points(f"command: qunn.ground_state\ngrid: {{file: ['{BB2}']}}\n")
    monkeypatch.setattr("qunn.ground_state._certify", lambda _: 1 // 0)
    found = called(point)
    assert (found.status, found.report) == (1, {})
    assert found.error == "ZeroDivisionError: integer division or modulo by zero"


def test_a_folder_that_is_not_there_is_a_row(command: Command) -> None:
    (point,) = points(f"command: qunn.ground_state\ngrid: {{file: ['{BB2}']}}\n")
    missing = Point(point.key, point.command, point.words, point.settings, "/nowhere/at/all")
    found = called(missing)
    assert (found.status, found.error) == (2, "/nowhere/at/all: No such file or directory")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "`document` must be a mapping of keys to values, but is null"),
        ("command: [", "must be YAML"),
        ("command: qunn.nothing\ngrid: {k: [1]}", "`command` must be one of qunn.ground_state, qunn.train"),
        ("grid: {k: [1]}", "`command` must be given"),
        ("command: qunn.train", "`grid` must name a flag"),
        ("command: qunn.train\ngird: {}", "`gird` must be one of the keys command, flags, grid"),
        ("command: qunn.train\ngrid: {lr: []}", "`grid.lr` must have a value at least"),
        ("command: qunn.train\ngrid: {lr: 3}", "`grid.lr` must be a list"),
        ("command: qunn.train\ngrid: {speed: [3]}", "`grid.speed[0]` must be one of the flags of qunn.train"),
        ("command: qunn.train\ngrid: {out: [a]}", "`grid.out[0]` must be one of the flags of qunn.train"),
        ("command: qunn.train\ngrid: {lr: [1, x]}", "`grid.lr[1]` must be a value of --lr: 'x' is not a valid float"),
        ("command: qunn.train\ngrid: {lr: [[1, 2]]}", "`grid.lr[0]` must be one value"),
        ("command: qunn.train\ngrid: {residual: [yes]}", "`grid.residual[0]` must be true or false, but is 'yes'"),
        ("command: qunn.train\ngrid: {lr.a: [1]}", "takes no KEY=VALUE"),
        ("command: qunn.train\ngrid: {lr: [1], lr: [2]}", "`grid.lr` must come once"),
        ("command: qunn.train\nflags: {lr: 1}\ngrid: {lr: [2]}", "`lr` must be in one of `flags`, `grid` and `points`"),
        ("command: qunn.train\ngrid: {lr: [{a: 1}]}", "`grid.lr[0]"),
        ("command: qunn.ground_state\ngrid: {k: [1]}", "`grid.file` must be given: qunn.ground_state reads a file"),
        ("command: qunn.ground_state\npoints: [{k: 1}]", "`points[0].file` must be given"),
        ("command: qunn.ground_state\ngrid: {file: [no.json]}", "`grid.file[0]` must be a file, but there is no"),
        ("command: qunn.ground_state\ngrid: {file: ['-']}", "no standard input"),
        ("command: qunn.ground_state\ngrid: {file: [&a x, *a]}", "YAML alias"),
    ],
)
def test_descriptions_that_are_refused(command: Command, text: str, complaint: str) -> None:
    Path("bad.yaml").write_text(text)
    found = command("bad.yaml", "--json")
    assert (found.status, found.out) == (2, "")
    assert complaint in found.err
    assert found.err.startswith("error: bad.yaml: ") or "grid." in found.err
    assert found.err.count("\n") == 1
    assert not Path("bad.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing.yaml"], "nothing.yaml: `SWEEP` must be a file that can be read"),
        (["small.yaml", "--out", "small.yaml"], "`--out` must be another file"),
        (["small.yaml", "--out", "no/where.jsonl"], "No such file or directory"),
        (["small.yaml", "--x", "k"], "`--y` must be given beside `--x`"),
        (["small.yaml", "--x", "k", "--y", "gap"], "`--x` must be left out without `--plot` or `--fit`"),
        (["small.yaml", "--fit"], "`--fit` must be given with `--x` and `--y`"),
        (["small.yaml", "--plot", "a.png"], "`--plot` must be given with `--x` and `--y`"),
        (["small.yaml", "--plot", "a.txt", "--x", "k", "--y", "k"], "`--plot` must be a name that ends in .png"),
        (["small.yaml", "--jobs", "0"], "--jobs"),
        (["small.yaml", "--jobs", "2", "--dask", "tcp://127.0.0.1:1"], "`--jobs` must be left out beside `--dask`"),
        (["small.yaml", "--dask", "nonsense"], "`--dask` must be the address of a Dask scheduler"),
    ],
)
def test_flags_that_are_refused(command: Command, arguments: list[str], complaint: str) -> None:
    found = command(*arguments)
    assert (found.status, found.out) == (2, "")
    assert complaint in found.err
    assert found.err.count("\n") == 1


# --- the table ---


def test_a_torn_line_is_cut_off_and_its_point_run_again(command: Command) -> None:
    command("small.yaml", "--jobs", "1")
    whole = Path("small.jsonl").read_bytes()
    for cut in (1, 5, 40, 200):
        Path("small.jsonl").write_bytes(whole[:-cut])
        assert command("small.yaml", "--json", "--jobs", "1").report["ran"] == 1
        assert len({row["point.key"] for row in rows("small.jsonl")}) == len(rows("small.jsonl")) == 3


@pytest.mark.parametrize(
    "text", ["my notes", "my notes\n", '{"a": 1}\n', "[]\n", '{"point.key": 1, "point.status": 0}\n']
)
def test_a_file_that_is_no_table_is_left_alone(command: Command, text: str) -> None:
    Path("notes.txt").write_text(text)
    found = command("small.yaml", "--out", "notes.txt")
    assert found.status == 2
    assert found.err == "error: notes.txt: `--out` must be a new file or a sweep's table, but line 1 is no row of one\n"
    assert Path("notes.txt").read_text() == text


def test_a_table_with_a_point_twice_is_refused(command: Command) -> None:
    command("small.yaml", "--jobs", "1")
    whole = Path("small.jsonl").read_text()
    Path("small.jsonl").write_text(whole + whole.splitlines()[0] + "\n")
    assert "`line 4` must be another point" in command("small.yaml").err


def test_two_sweeps_cannot_write_one_table(command: Command) -> None:
    with Table(Path("small.jsonl")):
        found = command("small.yaml")
    assert (found.status, found.out) == (2, "")
    assert found.err == "error: small.jsonl: `--out` must be a table that no other sweep is writing, but one is\n"
    assert command("small.yaml", "--jobs", "1").status == 0


def test_a_table_stays_locked_when_rows_are_removed(tmp_path: Path) -> None:
    row = {"point.key": "a", "point.status": 0}
    with Table(tmp_path / "t.jsonl") as table:
        table.append(row)
        table.append({"point.key": "b", "point.status": 1})
        table.remove(lambda row: row["point.status"] != 0)
        assert table.statuses == {"a": 0}
        with pytest.raises(InputError, match="no other sweep is writing"):
            Table(tmp_path / "t.jsonl")
        table.append({"point.key": "c", "point.status": 0})
    assert [row["point.key"] for row in rows(tmp_path / "t.jsonl")] == ["a", "c"]
    assert os.listdir(tmp_path) == ["t.jsonl"]


def test_a_row_is_on_the_disk_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fsync is called for has been written already, a whole line each time."""
    seen: list[bytes] = []
    with Table(tmp_path / "t.jsonl") as table:
        monkeypatch.setattr(os, "fsync", lambda _: seen.append((tmp_path / "t.jsonl").read_bytes()))
        for key in "abc":
            table.append({"point.key": key, "point.status": 0})
    assert [text.count(b"\n") for text in seen] == [1, 2, 3]
    assert all(text.endswith(b"}\n") for text in seen)


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with Table(tmp_path / "t.jsonl") as table:
        table.append({"point.key": "a", "point.status": 0})
        before = (tmp_path / "t.jsonl").read_bytes()
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="`--out` could not be written: No space left on device"):
            table.append({"point.key": "b", "point.status": 0})
    assert (tmp_path / "t.jsonl").read_bytes() == before


# --- kills ---


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Sweeps as processes in a folder with the examples; what still runs at the end is killed."""
    (tmp_path / "examples").symlink_to(examples_folder())
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "qunn.sweep", *arguments]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        running.append(subprocess.Popen(command, cwd=tmp_path, text=True, start_new_session=True, **streams))
        return running[-1]

    yield start
    for one in running:
        if one.poll() is None:
            one.kill()
        one.communicate()


def workers(sweep: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(sweep.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child] if "spawn_main" in " ".join(child.cmdline()) else []
    return found


def until(true: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.01)
    raise TimeoutError(what)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def until_rows(table: Path, count: int) -> None:
    until(lambda: lines(table) >= count, f"{count} rows")


def test_a_sweep_of_200_points_killed_three_times(started: Callable[..., Any], tmp_path: Path) -> None:
    """Ends with 200 rows, each once, none of them changed by what came later; no process is left behind."""
    write_words(tmp_path / "many.yaml", 200)
    table, draw = tmp_path / "many.jsonl", random.Random(7)
    kept: list[str] = []
    for k in range(3):
        sweep = started("many.yaml", "--jobs", "2")
        until_rows(table, draw.randint(30 * k + 1, 30 * k + 30))  # far from the end, however late it is seen
        time.sleep(draw.uniform(0, 0.02))
        children = workers(sweep)
        assert children
        sweep.kill()
        sweep.wait()
        psutil.wait_procs(children, timeout=TIMEOUT)
        assert not any(child.is_running() for child in children)
        now = table.read_text().splitlines(keepends=True)
        assert now[: len(kept)] == kept
        kept = [line for line in now if line.endswith("\n")]
        assert 0 < len(kept) < 200
    out, err = started("many.yaml", "--jobs", "2", "--json").communicate(timeout=TIMEOUT)
    report = json.loads(out)
    assert (err, report["finished"], report["ran"]) == ("", 200, 200 - len(kept))
    found = rows(table)
    assert len(found) == len({row["point.key"] for row in found}) == 200
    assert {row["point.status"] for row in found} == {0}
    assert sorted(int(row["output"], 2) for row in found) == sorted([*range(2, 102)] * 2)
    assert table.read_text().startswith("".join(kept))


def test_a_worker_that_is_killed_loses_nothing(started: Callable[..., Any], tmp_path: Path) -> None:
    write_words(tmp_path / "many.yaml", 60)
    sweep = started("many.yaml", "--jobs", "2", "--json")
    until_rows(tmp_path / "many.jsonl", 5)
    for worker in workers(sweep):
        worker.kill()
    out, err = sweep.communicate(timeout=TIMEOUT)
    assert (sweep.returncode, err) == (0, "")
    assert json.loads(out)["finished"] == 60
    assert len({row["point.key"] for row in rows(tmp_path / "many.jsonl")}) == lines(tmp_path / "many.jsonl") == 60


def test_a_point_that_kills_two_workers_is_a_row(started: Callable[..., Any], tmp_path: Path) -> None:
    text = "command: qunn.ground_state\nflags: {file: examples/busy_beaver_5.txt}\ngrid: {k: [1]}\n"
    (tmp_path / "long.yaml").write_text(text)
    sweep = started("long.yaml", "--json")
    (first,) = until(lambda: workers(sweep), "a worker")
    first.kill()
    (second,) = until(lambda: [w for w in workers(sweep) if w.pid != first.pid], "another worker")
    second.kill()
    out, err = sweep.communicate(timeout=TIMEOUT)
    assert (sweep.returncode, err, json.loads(out)["failed"]) == (1, "", 1)
    (row,) = rows(tmp_path / "long.jsonl")
    assert row["point.status"] == 128 + signal.SIGKILL
    assert row["point.error"] == "its worker died whenever it was tried (signal 9); out of memory?"


def test_how_a_death_is_told() -> None:
    assert (died(-9).status, died(3).status, died(None).status) == (137, 3, 1)
    assert died(3).error == "its worker died whenever it was tried (status 3); out of memory?"
    assert died(None).error == "its worker died whenever it was tried; out of memory?"


def test_an_interrupted_sweep_says_how_to_go_on(started: Callable[..., Any], tmp_path: Path) -> None:
    write_words(tmp_path / "many.yaml", 200)
    sweep = started("many.yaml", "--jobs", "2")
    until_rows(tmp_path / "many.jsonl", 5)
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = sweep.communicate(timeout=TIMEOUT)
    assert (sweep.returncode, out) == (130, "")
    done = lines(tmp_path / "many.jsonl")
    assert err == f"error: interrupted; {done} of 200 points are in many.jsonl; the same command goes on\n"


# --- a cluster ---


@contextmanager
def cluster(folder: Path, count: int = 2) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers on this machine, each a process with one thread."""
    pytest.importorskip("distributed")
    file = folder / "scheduler.json"
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}

    def start(name: str, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", f"distributed.cli.dask_{name}", *options, *more], **quiet)

    processes = [start("scheduler", "--host", "127.0.0.1", "--port", "0")]
    try:
        until(lambda: file.exists() and file.read_text().endswith("}"), "a scheduler")
        processes += [start("worker", "--nthreads", "1", "--no-nanny", "--name", str(i)) for i in range(count)]
        address = json.loads(file.read_text())["address"]
        _wait_for_workers(address, count)
        yield address, processes[1:]
    finally:
        for one in processes:
            one.kill()
            one.wait()


def _wait_for_workers(address: str, count: int) -> None:
    code = f"from distributed import Client\nwith Client({address!r}) as c: c.wait_for_workers({count}, timeout=60)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT)


def test_two_dask_workers_give_the_same_table_and_one_killed_loses_nothing(
    started: Callable[..., Any], tmp_path: Path
) -> None:
    write_words(tmp_path / "many.yaml", 200)
    here = started("many.yaml", "--jobs", "1", "--out", "here.jsonl")
    with cluster(tmp_path) as (address, processes):
        sweep = started("many.yaml", "--dask", address, "--out", "there.jsonl", "--json")
        out, err = sweep.communicate(timeout=TIMEOUT)
        assert (sweep.returncode, err) == (0, "")
        assert json.loads(out)["ran"] == 200
        here.communicate(timeout=TIMEOUT)
        assert without_clock(tmp_path / "there.jsonl") == without_clock(tmp_path / "here.jsonl")

        sweep = started("many.yaml", "--dask", address, "--out", "killed.jsonl", "--json")
        until_rows(tmp_path / "killed.jsonl", 20)
        processes[0].kill()
        assert lines(tmp_path / "killed.jsonl") < 200
        out, err = sweep.communicate(timeout=TIMEOUT)
        assert (sweep.returncode, err) == (0, "")
        assert without_clock(tmp_path / "killed.jsonl") == without_clock(tmp_path / "here.jsonl")


def test_a_cluster_that_is_lost_keeps_what_is_finished(started: Callable[..., Any], tmp_path: Path) -> None:
    write_words(tmp_path / "many.yaml", 200)
    with cluster(tmp_path, 1) as (address, _):
        sweep = started("many.yaml", "--dask", address)
        until_rows(tmp_path / "many.jsonl", 5)
        (scheduler,) = [p for p in psutil.Process().children() if "distributed.cli.dask_scheduler" in p.cmdline()]
        scheduler.kill()
        out, err = sweep.communicate(timeout=TIMEOUT)
    assert (sweep.returncode, out, err.count("\n")) == (2, "", 1)
    assert f"{address} is lost; finished points are in the table" in err
    assert 5 <= lines(tmp_path / "many.jsonl") < 200


def test_a_connection_that_breaks_while_something_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking:
        def nthreads(self) -> dict[str, int]:
            if not self.asked:
                self.asked = True
                return {"worker": 1}
            raise OSError("Timed out")

        def close(self, **_: object) -> None:
            self.closed = True

        asked = closed = False

    client = Breaking()
    monkeypatch.setattr(dask, "_client", lambda _: client)
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:1 is lost; finished points are in the table"):
        next(dask.DaskWorkers("tcp://127.0.0.1:1", 1).outcomes(iter([])))
    assert client.closed


@pytest.mark.parametrize("answers", [False, True], ids=["nobody", "somebody else"])
def test_a_cluster_that_does_not_answer(command: Command, monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(dask, "_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        if not answers:
            server.close()
        found = command("small.yaml", "--dask", address)
    assert (found.status, found.out) == (2, "")
    asked = "`--dask` must be the address of a Dask scheduler such as tcp://host:8786"
    assert found.err == f"error: {asked}, but nothing answers as one at {address} within 0.5 s\n"
    assert rows("small.jsonl") == []


def test_dask_is_not_needed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    found = command("small.yaml", "--dask", "tcp://127.0.0.1:1")
    assert (found.status, found.err.count("\n")) == (2, 1)
    assert "`--dask` must have the package distributed: pip install distributed" in found.err
    assert command("small.yaml", "--jobs", "1").status == 0


# --- pictures and exponents ---


def test_a_picture_and_an_exponent_from_the_table(command: Command) -> None:
    words = ", ".join(f'"{"1" * n}"' for n in (4, 8, 16, 32, 64))
    text = "command: qunn.ground_state\nflags: {file: examples/binary_increment.json}\n"
    Path("gap.yaml").write_text(text + f"grid:\n  k: [1, 2]\n  input: [{words}]\n")
    command("gap.yaml")
    for name in ("gap.png", "gap.svg", "gap.pdf"):
        found = command("gap.yaml", "--plot", name, "--x", "clock_states", "--y", "gap", "--by", "k", "--fit", "--json")
        assert (found.status, found.report["ran"], found.report["plot"]) == (0, 0, name)
        assert (found.report["x"], found.report["by"], found.report["left_out"]) == ("clock_states", "flag.k", 0)
        assert Path(name).stat().st_size > 1000
    assert [fit["by"] for fit in found.report["fits"]] == [1, 2]  # in order, whatever finished first
    for fit in found.report["fits"]:
        assert fit["points"] == 5
        # 4 sin²(π/2N) is π²/N² up to π²/12N² of itself: 1e-2 at the smallest N here, 10
        assert fit["exponent"] == pytest.approx(-2, abs=1e-2)
        assert fit["factor"] == pytest.approx(math.pi**2, rel=3e-2)
    page = command("gap.yaml", "--x", "clock_states", "--y", "gap", "--fit", "--log-x").out
    assert re.search(r"Power law, gap against clock_states\n +exponent -\d\.\d{4} ± ", page)


def test_columns_that_cannot_be_drawn(command: Command) -> None:
    command("small.yaml", "--jobs", "1")
    found = command("small.yaml", "--fit", "--x", "nothing", "--y", "gap")
    assert found.status == 2
    assert "`--x` must be one of the table's columns (flag.file, flag.k, gap, point.command" in found.err
    found = command("small.yaml", "--fit", "--x", "file", "--y", "gap")
    assert "no row has them in both file and gap" in found.err
    assert command("small.yaml", "--fit", "--x", "k", "--y", "gap", "--json").report["fits"] != []


def test_power_laws_against_numpy() -> None:
    import numpy as np

    draw = np.random.default_rng(5)
    x = draw.uniform(1, 9, 12)
    y = 3 * x**-1.7 * np.exp(0.1 * draw.normal(size=12))
    law = power_law(Group(None, list(x), list(y)))
    (slope, intercept), covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    assert law is not None
    assert law.exponent == pytest.approx(slope, rel=1e-9)
    assert law.factor == pytest.approx(math.exp(intercept), rel=1e-9)
    assert law.standard_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-9)
    assert power_law(Group(None, [2.0, 2.0], [1.0, 3.0])) is None
    assert power_law(Group(None, [-1.0, 2.0], [1.0, 3.0])) is None
    two = power_law(Group(None, [1.0, 2.0, 3.0], [1.0, 4.0, -1.0]))
    assert two is not None
    assert (two.exponent, two.standard_error, two.points) == (pytest.approx(2), None, 2)


def test_endings_of_pictures() -> None:
    from qunn import ground_state

    assert PICTURES == ground_state.PICTURES


# --- the examples ---


@pytest.mark.parametrize("path", sorted((examples_folder() / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_are_sound(command: Command, path: Path) -> None:
    """Every flag and file is there; the how-to runs them."""
    shutil.copy(path, "example.yaml")
    description = read_description("example.yaml")
    assert len(Points(description)) >= 5
    assert description.keep
