"""What every command line shares: streams, exit statuses, the common options, a progress bar that comes after a second.

Results go to stdout, everything else to stderr. Status 0: done and verified; 1: a check failed or a method did not
converge; 2: bad input, one line on stderr; 130: Ctrl-C. Under mpirun rank 0 speaks, and an error of one rank ends all.
"""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from hamiltonians.errors import InputError, MemoryEstimateError
from qunn import ranks

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

CHECK_FAILED, BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 1, 2, 130, 141
_NO_MEMORY = "out of memory: what was asked for needs more than is free; see `--memory-limit`"
_PATIENCE = 1.0  # seconds before a progress bar appears
_LINE_EVERY = 5.0  # seconds between lines of progress, where mpirun holds the terminal

F = TypeVar("F", bound=Callable[..., Any])


def common_options(command: F) -> F:
    """`--json`, `--seed`, `--threads`, `--quiet`, `--version`."""
    for decorate in (
        click.version_option(package_name="qunn", message="%(prog)s %(version)s"),
        click.option("--quiet", is_flag=True, help="No progress and no messages on stderr."),
        click.option("--threads", type=click.IntRange(min=1), help="Threads at most; default: all cores."),
        click.option(
            "--seed",
            type=click.IntRange(min=0, max=2**32 - 1),
            default=0,
            show_default=True,
            help="Of whatever is drawn at random.",
        ),
        click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout and nothing else."),
    ):
        command = decorate(command)
    return command


if TYPE_CHECKING:
    _IntegerType = click.ParamType[int]
else:
    _IntegerType = click.ParamType  # takes no argument at run time before click 8.2


class Size(_IntegerType):
    """A number of bytes such as 800M, 4G or 4GiB; powers of 1,024."""

    name = "SIZE"
    _units = "KMGTP"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail with what is allowed."""
        match = re.fullmatch(rf"\s*([0-9]+(?:\.[0-9]+)?)\s*([{self._units}]?)(?:i?B)?\s*", str(value), re.IGNORECASE)
        if match is None:
            self.fail(f"must be a number of bytes such as 800M or 4GiB, but is {value!r}", param, ctx)
        number, unit = match.groups()
        if len(number) > 15:
            self.fail(f"must be a number of bytes that a machine can have, but is {value!r}", param, ctx)
        return int(float(number) * 1024 ** (self._units.index(unit.upper()) + 1 if unit else 0))


def limit_threads(threads: int | None) -> None:
    """Bound the threads of numba and BLAS; more than there are cores is no error."""
    if threads is None:
        return
    from numba import get_num_threads, set_num_threads
    from threadpoolctl import threadpool_limits

    threads = min(threads, get_num_threads())
    set_num_threads(threads)
    threadpool_limits(threads)


def limit_torch_threads(threads: int | None) -> None:
    """Bound torch's threads too, for a command that computes with it."""
    if threads is None:
        return
    import torch

    limit_threads(threads)
    torch.set_num_threads(min(threads, os.cpu_count() or 1))


def run(command: click.Command, module: str) -> NoReturn:
    """Run a command line, `python -m module`, and leave with its exit status.

    No error that a user can make shows a traceback.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this; what is said to it is lost
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="replace"
            )  # a terminal without Greek letters gets question marks, not a traceback
    rank, size = ranks.place()
    if rank > 0:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end
    try:
        # not `command()`: click's own main puts an empty line on stderr when it is interrupted
        with command.make_context(f"python -m {module}", sys.argv[1:]) as context:
            status = command.invoke(context)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as leaving:  # --help, --version
        sys.exit(leaving.exit_code)
    except (InputError, MemoryEstimateError) as error:
        _leave(str(error), BAD_INPUT)
    except click.ClickException as error:
        _leave(error.format_message(), BAD_INPUT)
    except MemoryError:
        _leave(_NO_MEMORY, BAD_INPUT)
    except (KeyboardInterrupt, click.Abort) as stop:
        _leave(str(stop) or "interrupted; nothing was written", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has no reader
        sys.exit(CLOSED_PIPE)
    except OSError as error:  # a full disk behind stdout, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(f"the result could not be written: {error.strerror}", BAD_INPUT)
    except Exception as error:
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):
            _leave(_NO_MEMORY, BAD_INPUT)  # torch's way to say MemoryError
        if size > 1:
            ranks.end(CHECK_FAILED)
        raise  # a defect of ours: its traceback is worth more than a line


def _leave(message: str, status: int) -> NoReturn:
    if ranks.place()[1] > 1:
        ranks.end(status, " ".join(message.split()))
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


class LateProgress:
    """A progress bar on stderr that appears when something has taken a second; none where stderr is no terminal.

    Under mpirun no rank has the terminal: rank 0 writes a plain line every few seconds instead.
    """

    def __init__(self, quiet: bool) -> None:
        self._begin = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._lines = ranks.launched()
        self._next_line = self._begin + _LINE_EVERY
        self._off = quiet or ranks.place()[0] > 0 or not (sys.stderr.isatty() or self._lines)

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show how far something is; `total` is None where it is not known."""
        if self._off or time.monotonic() - self._begin < _PATIENCE:
            return
        if self._lines:
            self._line(what, done, total)
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(what, total=total, count="")
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, description=what, completed=done, total=total, count=f"{done:,}")

    def _line(self, what: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + _LINE_EVERY
            count = f" {done:,}" if done or total else ""
            of = f" of {total:,}" if total is not None else ""
            print(f"{what}{count}{of} ({now - self._begin:.0f} s)", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
