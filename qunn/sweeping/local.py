"""Worker processes on this machine, each with one point at a time.

A worker that dies is replaced, and its point is tried once more. Workers leave when the sweep does, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import final

from qunn.sweeping.call import Outcome, called, died
from qunn.sweeping.points import Point

_TRIES = 2
_context = get_context("spawn")  # forking a process that has threads is not safe
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@final
class LocalWorkers:
    """At most `jobs` processes, started as they are needed, each with `threads` threads."""

    def __init__(self, jobs: int, threads: int) -> None:
        self._jobs, self._threads = jobs, threads
        self._workers: list[_Worker] = []

    def outcomes(self, points: Iterator[Point]) -> Iterator[tuple[Point, Outcome]]:
        """What comes of the points, in the order in which they are finished."""
        try:
            while self._fill(points):
                # a worker that has died can be read too: what it sent before, or the end of its pipe
                for ready in wait([worker.pipe for worker in self._workers if worker.point is not None]):
                    (worker,) = (w for w in self._workers if w.pipe is ready)
                    found = self._taken(worker)
                    if found is not None:
                        yield found
        finally:
            for worker in self._workers:
                worker.stop()
            self._workers.clear()

    def _fill(self, points: Iterator[Point]) -> bool:
        """Give every idle worker a point; False when no point is left, neither here nor with a worker."""
        idle = [worker for worker in self._workers if worker.point is None]
        while idle or len(self._workers) < self._jobs:
            point = next(points, None)
            if point is None:
                break
            if idle:
                worker = idle.pop()
            else:
                worker = _Worker.started(self._threads)
                self._workers.append(worker)
            worker.give(point)
        return any(worker.point is not None for worker in self._workers)

    def _taken(self, worker: _Worker) -> tuple[Point, Outcome] | None:
        point = worker.point
        assert point is not None
        try:
            outcome = worker.pipe.recv()
            worker.point, worker.tries = None, 0
            return point, outcome
        except (EOFError, OSError):  # it died
            worker.stop()
            self._workers.remove(worker)
        if worker.tries >= _TRIES:
            return point, died(worker.process.exitcode)
        again = _Worker.started(self._threads)
        self._workers.append(again)
        again.give(point, worker.tries)
        return None


@final
@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    point: Point | None = None
    tries: int = 0

    @classmethod
    def started(cls, threads: int) -> _Worker:
        here, there = _context.Pipe()
        process = _context.Process(target=_work, args=(there, threads), daemon=True)
        with _environment(threads), _no_interrupt():
            process.start()
        there.close()  # so that the end of the worker is the end of the pipe
        return cls(process, here)

    def give(self, point: Point, tries: int = 0) -> None:
        self.point, self.tries = point, tries + 1
        with contextlib.suppress(OSError):  # it is dead, which `outcomes` sees
            self.pipe.send(point)

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def _work(pipe: Connection, threads: int) -> None:
    """A worker: points in, outcomes out, until nobody asks."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # what libraries write past Python would stand between the sweep's own lines
        os.dup2(nothing, stream)
    with contextlib.suppress(EOFError, OSError):  # the sweep is over
        while True:
            pipe.send(called(pipe.recv(), threads))


def _leave_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Libraries take their number of threads from it when they are loaded."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal; one that is started here leaves it to the sweep."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
