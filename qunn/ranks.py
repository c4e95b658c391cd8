"""MPI ranks, as a command line sees them: which one this process is, how it ends them all, and how it starts them.

Nothing here loads MPI: the launcher tells its processes where they stand in their environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import NoReturn

from hamiltonians.errors import InputError

# rank, ranks, ranks on this machine: Open MPI; MPICH, Intel MPI and `srun --mpi=pmi2`; `srun --mpi=pmix`
_PLACES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"),
)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_TO_END = 10.0  # seconds that ranks may take to end after mpirun has
_BLOCK = 2**16  # bytes that are handed on at a time
_RANK_0_FIRST = 5.0  # seconds in which rank 0 tells an error that all ranks have, and ends them


def place(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """This process's rank and how many there are: (0, 1) where no launcher started it.

    Examples
    --------
    >>> from qunn.ranks import place
    >>> place({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}), place({})
    ((2, 4), (0, 1))
    """
    for rank, size, _ in _PLACES:
        if environment.get(rank, "").isdecimal() and environment.get(size, "").isdecimal():
            return int(environment[rank]), int(environment[size])
    return 0, 1


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started this process, also one rank alone."""
    return any(rank in environment and size in environment for rank, size, _ in _PLACES)


def threads_each() -> int:
    """A rank's share of the cores that it may run on."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    here = next((os.environ[name] for *_, name in _PLACES if os.environ.get(name, "").isdecimal()), str(place()[1]))
    return max(1, there // max(1, int(here)))


def end(status: int, message: str | None = None) -> NoReturn:
    """End all ranks with a status; `message` is the line that rank 0 puts on stderr, or else the exception's traceback.

    Most errors come on every rank at once. Rank 0 tells them; another rank waits for its end, and tells its own error
    only if that does not come.
    """
    rank, _ = place()
    if rank > 0:
        time.sleep(_RANK_0_FIRST)
    if message is None:
        traceback.print_exc()
    else:
        print(f"error: {f'rank {rank}: ' if rank else ''}{message}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    MPI = sys.modules.get("mpi4py.MPI")
    if MPI is not None and MPI.Is_initialized() and not MPI.Is_finalized():
        MPI.COMM_WORLD.Abort(status)
    os._exit(status)  # without MPI's own end, which waits for the other ranks; the launcher ends those


def start(ranks: int, module: str, arguments: Sequence[str]) -> int:
    """`mpirun -n RANKS python -m MODULE ARGUMENTS…` on this machine: the exit status, once every rank has ended.

    Raises
    ------
    InputError : under mpirun already, no mpirun, more ranks than slots, or another reason why it starts nothing.
    OSError : what the ranks print cannot be written.
    KeyboardInterrupt : after Ctrl-C, which ends the ranks too.
    """
    if launched():
        raise InputError("`--ranks` must be left out under mpirun, which has started the ranks", "ranks")
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        raise InputError("`--ranks` needs mpirun, which is not installed: apt install openmpi-bin", "ranks")
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    if sys.stdout.isatty():  # ranks write to a terminal of mpirun's own, which has no width
        environment["COLUMNS"] = str(shutil.get_terminal_size().columns)
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # who is root here, in a container say, has decided that already
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    _check_starts(mpirun, ranks, environment)
    call = [mpirun, *_quiet(mpirun), "-n", str(ranks), sys.executable, "-m", module, *arguments]
    return _ended(call, environment, None if "-" in arguments else subprocess.DEVNULL)


def _quiet(mpirun: str) -> list[str]:
    """Open MPI explains an exit status in ten lines, unless it is asked not to."""
    return ["--quiet"] if "Open MPI" in _said([mpirun, "--version"], os.environ).stdout else []


def _check_starts(mpirun: str, ranks: int, environment: Mapping[str, str]) -> None:
    import psutil

    tried = _said([mpirun, "-n", str(ranks), "true"], environment)
    if tried.returncode == 0:
        return
    said = " ".join(line for line in (tried.stderr + tried.stdout).split() if set(line) != {"-"})
    if "not enough slots" in said:
        cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
        raise InputError(
            f"`--ranks` must be at most the number of slots, here {cores}, one a core, but is {ranks}: "
            f"`mpirun --oversubscribe -n {ranks} python -m …` starts more ranks than cores",
            "ranks",
        )
    raise InputError(f"`--ranks` needs an mpirun that starts programs, but it failed: {said[:200]}", "ranks")


def _said(call: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run something that must not take the standard input, which is for the ranks."""
    return subprocess.run(call, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _ended(call: Sequence[str], environment: Mapping[str, str], stdin: int | None) -> int:
    import psutil

    got: list[int] = []
    running: subprocess.Popen[bytes] | None = None
    started: list[psutil.Process] = []  # by mpirun, which may end before they do

    def hand_on(number: int, _: FrameType | None) -> None:
        got.append(number)
        if running is not None and running.poll() is None:
            with contextlib.suppress(psutil.Error):  # it has just ended
                started.extend(psutil.Process(running.pid).children(recursive=True))
            running.terminate()  # mpirun ends its ranks then, by force where they do not end

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        # a session of its own: the terminal's Ctrl-C comes here, and is handed on once
        running = subprocess.Popen(
            call,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_ended_with_parent(),
        )
        if got:  # before there was a process to hand it to
            running.terminate()
        lost = _handed_on(running)
        status = running.wait()
        for left in psutil.wait_procs(started, timeout=_TO_END)[1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in got:
        raise KeyboardInterrupt
    if got:
        return 128 + got[0]
    if lost is not None:
        raise lost
    if status > 128 or status < 0:
        ended_by = abs(status) % 128
        name = signal.Signals(ended_by).name if ended_by in set(signal.Signals) else f"signal {ended_by}"
        ended = (
            f"mpirun was ended by {name}, and the ranks"
            if status < 0
            else f"a rank was ended by {name}, and the others"
        )
        print(f"error: {ended} with it; what a checkpoint had saved remains", file=sys.stderr)
        return 1
    return status


def _ended_with_parent() -> Callable[[], None] | None:
    """What a new process does, on Linux, to get SIGTERM when this one ends: SIGKILL cannot be handed on to it."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before it was asked for
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def _handed_on(running: subprocess.Popen[bytes]) -> OSError | None:
    """Write what the ranks print; mpirun would not tell that nobody reads it, or that a disk is full: this does."""
    lost: OSError | None = None
    assert running.stdout is not None
    while block := os.read(running.stdout.fileno(), _BLOCK):
        if lost is None:
            try:
                sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
            except OSError as error:
                lost = error  # the report is the last that the ranks do: they end by themselves
    running.stdout.close()
    return lost


__all__ = ["end", "launched", "place", "start", "threads_each"]
