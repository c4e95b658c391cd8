"""One point: the command is called in this process, which stays warm for the next."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from qunn.command import BAD_INPUT, CHECK_FAILED, run
from qunn.sweeping.commands import COMMANDS
from qunn.sweeping.points import Point

_LONGEST = 500  # characters of an error that a table keeps
#: streams, arguments and the current folder belong to the process, and a Dask worker may have several threads
_one_at_a_time = threading.Lock()


@final
@dataclass(frozen=True)
class Outcome:
    """What a call left: its exit status, its report, and the line that it said where it failed."""

    status: int
    report: dict[str, Any]
    error: str | None
    seconds: float
    host: str = field(default_factory=socket.gethostname)
    version: str = field(default_factory=lambda: version("qunn"))


def called(point: Point, threads: int = 1) -> Outcome:
    """Call a point's command and take what it reports; whatever goes wrong in it is an outcome too."""
    with _one_at_a_time, tempfile.TemporaryDirectory(prefix="qunn-sweep-") as scratch:
        begin = time.perf_counter()
        try:
            with contextlib.chdir(point.folder):
                status, out, err = _run(point, threads, Path(scratch))
        except OSError as missing:
            status, out, err = BAD_INPUT, "", f"error: {point.folder}: {missing.strerror}"
        seconds = time.perf_counter() - begin
    report, error = _read(out), _said(err)
    if status == 0 and report is None:
        status, error = CHECK_FAILED, "no report was printed"
    for flag in COMMANDS[point.command].writes:  # they are gone, and named after a folder that was drawn at random
        (report or {}).pop(flag, None)
    return Outcome(status, report or {}, None if status == 0 else error, seconds)


def _run(point: Point, threads: int, scratch: Path) -> tuple[int, str, str]:
    """Exit status and both streams."""
    command = COMMANDS[point.command]
    written = [f"--{flag}={scratch / name}" for flag, name in command.writes.items()]
    # files, not memory: their handles can be closed or replaced, as `run` does where a stream fails
    with (
        open(scratch / "stdout", "w+", encoding="utf-8") as out,
        open(scratch / "stderr", "w+", encoding="utf-8") as err,
    ):
        before, status = sys.argv, 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                sys.argv = [point.command, "--json", "--quiet", f"--threads={threads}", *written, *point.words]
                run(command.main, point.command)
            except SystemExit as leaving:
                status = leaving.code if isinstance(leaving.code, int) else CHECK_FAILED
            except Exception as defect:
                status = CHECK_FAILED
                print(f"{type(defect).__name__}: {' '.join(str(defect).split())}", file=err)
            finally:
                sys.argv = before
        texts = []
        for stream in (out, err):
            stream.flush()
            stream.seek(0)
            texts.append(stream.read())
    return status, texts[0], texts[1]


def _read(out: str) -> dict[str, Any] | None:
    try:
        found = json.loads(out)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _said(err: str) -> str | None:
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ")[:_LONGEST] if lines else None


def died(code: int | None) -> Outcome:
    """The outcome of a point whose process died whenever it was tried; the status as a shell tells it.

    `code` is the last process's, negative for a signal; None where it is not known.
    """
    status = CHECK_FAILED if not code else 128 - code if code < 0 else code
    why = "" if code is None else f" (signal {-code})" if code < 0 else f" (status {code})"
    return Outcome(status, {}, f"its worker died whenever it was tried{why}; out of memory?", 0.0)
