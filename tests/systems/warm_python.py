"""Commands and blocks of Python, each page's in processes of their own that start with the libraries loaded.

Importing torch and qiskit takes longer than most commands of the documents. A server process imports them once and
forks for everything that is run, so that nothing that one of them does is seen by the next.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import runpy
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

PRELOADED = [
    *("torch", "scipy.sparse.linalg", "matplotlib.pyplot", "numba", "qiskit", "qiskit_aer", "rich.table", "pydantic"),
    *("hamiltonians.report", "hamiltonians.solve", "hamiltonians.readers", "qunn.command", "qunn.stability.verdict"),
    *("qunn.quantum.forecaster", "qunn.training", "qunn.tasks", "circuits.network", "circuits.clock.time_evolution"),
]
#: no threads before a fork
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "120", "MPLBACKEND": "agg"}
TIMEOUT = 300  # seconds: a guard against hanging

_context = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Done:
    """What a command left."""

    status: int
    out: str
    err: str


def command(arguments: list[str], folder: Path) -> Done:
    """`python ARGUMENTS` in a folder; arguments begin with -m."""
    assert arguments[0] == "-m", arguments
    out, err = folder / ".stdout", folder / ".stderr"
    process = _started(_run_module, arguments[1:], str(folder), str(out), str(err))
    _join(process)
    done = Done(process.exitcode or 0, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))
    out.unlink()
    err.unlink()
    return done


class Blocks:
    """One process that executes blocks in one namespace, one after the other; every warning is an error."""

    def __init__(self, folder: Path) -> None:
        self._here, there = _context.Pipe()
        self._process = _started(_run_blocks, there, str(folder))
        there.close()

    def run(self, code: str) -> tuple[str, str | None]:
        """What the block printed, and the traceback if it failed."""
        self._here.send(code)
        assert self._here.poll(TIMEOUT), f"over {TIMEOUT} s"
        said, error = self._here.recv()
        return said, error

    def close(self) -> None:
        self._here.close()
        _join(self._process)


def _started(target: Any, *arguments: Any) -> ForkServerProcess:
    # a daemon could have no processes of its own, which some commands start
    process = _context.Process(target=target, args=arguments, daemon=target is _run_blocks)
    with _environment():
        _context.set_forkserver_preload(PRELOADED)
        process.start()
    return process


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The server inherits it when it starts, with the first process."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _join(process: ForkServerProcess) -> None:
    process.join(TIMEOUT)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"over {TIMEOUT} s")


def _run_module(arguments: list[str], folder: str, out: str, err: str) -> None:
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = list(arguments)
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _run_blocks(pipe: Connection, folder: str) -> None:
    os.chdir(folder)
    warnings.simplefilter("error")
    names: dict[str, Any] = {"__name__": "__main__"}
    while True:
        try:
            code = pipe.recv()
        except EOFError:
            return
        said, error = io.StringIO(), None
        try:
            with contextlib.redirect_stdout(said):
                exec(compile(code, "block", "exec"), names)
        except BaseException:
            error = traceback.format_exc()
        pipe.send((said.getvalue(), error))
