"""MPI ranks as the command lines see them, with a stand-in for mpirun; the true one is in tests/mpi."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from hamiltonians.errors import InputError
from qunn import command, page, ranks

OPEN_MPI = "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"


@pytest.fixture
def mpirun(monkeypatch, tmp_path):
    """mpirun is a shell script: `$2` of the trial is the number of ranks, the job itself begins with --quiet."""

    def write(trial: str = "exit 0", job: str = "exit 0", version: str = "mpirun (Open MPI) 4.1.4") -> None:
        script = tmp_path / "mpirun"
        script.write_text(
            f'#!/bin/sh\ncase "$*" in\n--version) echo "{version}";;\n"-n $2 true") {trial};;\n*) {job};;\nesac\n'
        )
        script.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    write()
    return write


@pytest.fixture
def placed(monkeypatch):
    """As if a launcher had started this process."""

    def put(rank: int, size: int) -> None:
        monkeypatch.setenv(OPEN_MPI[0], str(rank))
        monkeypatch.setenv(OPEN_MPI[1], str(size))

    return put


def test_place_is_read_from_what_launchers_tell():
    assert ranks.place({OPEN_MPI[0]: "3", OPEN_MPI[1]: "4"}) == (3, 4)
    assert ranks.place({"PMI_RANK": "1", "PMI_SIZE": "2"}) == (1, 2)
    assert ranks.place({"PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "2"}) == (1, 2)
    assert ranks.place({"PMI_RANK": "1"}) == ranks.place({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}) == (0, 1)
    assert ranks.launched({"PMI_RANK": "0", "PMI_SIZE": "1"})
    assert not ranks.launched({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"})


def test_ranks_share_the_cores(monkeypatch, placed):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert ranks.threads_each() == 8
    placed(0, 2)
    assert ranks.threads_each() == 4
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "3")
    assert ranks.threads_each() == 2
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "16")
    assert ranks.threads_each() == 1


def test_the_status_is_that_of_the_job(mpirun):
    mpirun(job="exit 3")
    assert ranks.start(2, "qunn.ground_state", ["a b"]) == 3


def test_what_the_ranks_print_is_handed_on(mpirun, capfdbinary):
    mpirun(job="printf '{\\377}'; exit 1")
    assert ranks.start(2, "qunn.ground_state", []) == 1
    assert capfdbinary.readouterr().out == b"{\xff}"


@pytest.mark.parametrize(("name", "status"), [("/dev/full", 2), (None, 141)])
def test_what_cannot_be_written_is_told(mpirun, name, status):
    """As without `--ranks`: a full disk, and a pipe that nobody reads."""
    mpirun(job="echo '{}'; sleep 0.2; echo '{}'")
    code = "import click, qunn.command, qunn.ranks\n"
    code += "@click.command\ndef main(): return qunn.ranks.start(2, 'a', [])\nqunn.command.run(main, 'a')"
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer if name is None else name, "wb") as out:
        done = subprocess.run([sys.executable, "-c", code], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if name is not None:
        os.close(writer)
    assert done.returncode == status
    told = "error: the result could not be written: No space left on device\n"
    assert done.stderr == (told if status == 2 else "")


@pytest.mark.parametrize(
    ("version", "begins"), [("mpirun (Open MPI) 4.1.4", "--quiet -n 2"), ("HYDRA build details:", "-n 2")]
)
def test_what_is_started(mpirun, tmp_path, version, begins):
    mpirun(job=f'echo "$*" > {tmp_path}/call', version=version)
    assert ranks.start(2, "qunn.ground_state", ["FILE", "--json"]) == 0
    call = (tmp_path / "call").read_text().strip()
    assert call == f"{begins} {sys.executable} -m qunn.ground_state FILE --json"


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        ("echo There are not enough slots available in the system >&2; exit 1", "must be at most the number of slots"),
        ("echo ---; echo no such network; exit 1", "but it failed: no such network"),
    ],
)
def test_an_mpirun_that_starts_nothing(mpirun, trial, told):
    mpirun(trial=trial)
    with pytest.raises(InputError) as caught:
        ranks.start(1000, "qunn.ground_state", [])
    assert told in str(caught.value)


def test_ranks_within_ranks(mpirun, placed):
    placed(0, 1)
    with pytest.raises(InputError, match="left out under mpirun"):
        ranks.start(2, "qunn.ground_state", [])


def test_no_mpirun(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt install openmpi-bin"):
        ranks.start(2, "qunn.ground_state", [])


@pytest.mark.parametrize(("file", "taken"), [("machine.json", ""), ("-", "the rest of a list")])
def test_the_standard_input_is_left_alone_where_it_is_not_read(mpirun, tmp_path, file, taken):
    """mpirun would take all of it, and `while read … done < list` ended after its first line."""
    mpirun(job=f"cat > {tmp_path}/taken")
    call = "import sys; from qunn import ranks; sys.exit(ranks.start(2, 'qunn.ground_state', sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", call, file], input="the rest of a list", text=True, check=True, timeout=60)
    assert (tmp_path / "taken").read_text() == taken


def test_columns_are_those_of_a_terminal(mpirun, monkeypatch, tmp_path):
    """Else a page that goes into a file would have the colours of the terminal that mpirun makes."""
    monkeypatch.setenv("COLUMNS", "72")
    mpirun(job=f'echo "${{COLUMNS-none}}" > {tmp_path}/columns')
    assert ranks.start(2, "qunn.ground_state", []) == 0
    assert (tmp_path / "columns").read_text() == "none\n"


def test_a_killed_rank_is_named(mpirun, capsys):
    mpirun(job="exit 137")
    assert ranks.start(2, "qunn.ground_state", []) == 1
    told = capsys.readouterr().err
    assert told == "error: a rank was ended by SIGKILL, and the others with it; what a checkpoint had saved remains\n"


def test_a_killed_mpirun_is_no_rank(mpirun, capsys):
    """Open MPI's crashes where nobody reads its output."""
    mpirun(job="kill -SEGV $$")
    assert ranks.start(2, "qunn.ground_state", []) == 1
    assert capsys.readouterr().err.startswith("error: mpirun was ended by SIGSEGV, and the ranks with it")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, None), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_is_handed_on(mpirun, number, status):
    mpirun(job=f"kill -{number.value} $PPID; exec sleep 60")
    before = signal.getsignal(number)
    if status is None:
        with pytest.raises(KeyboardInterrupt):
            ranks.start(2, "qunn.ground_state", [])
    else:
        assert ranks.start(2, "qunn.ground_state", []) == status
    assert signal.getsignal(number) is before


def test_an_error_of_one_rank_ends_all(monkeypatch, placed, capsys):
    """Without MPI the launcher sees the status; with it, MPI is asked to end the others."""
    left: list[int] = []

    def leave(status: int) -> None:
        left.append(status)
        raise SystemExit

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(ranks, "_RANK_0_FIRST", 0.0)
    for rank, told in ((0, "error: so it is\n"), (1, "error: rank 1: so it is\n")):
        placed(rank, 2)
        with pytest.raises(SystemExit):
            command._leave("so  it\nis", 2)
        assert capsys.readouterr().err == told

    class MPI:
        Is_initialized = staticmethod(lambda: True)
        Is_finalized = staticmethod(lambda: False)

        class COMM_WORLD:
            Abort = staticmethod(leave)

    monkeypatch.setitem(sys.modules, "mpi4py.MPI", MPI)
    with pytest.raises(SystemExit):
        ranks.end(1)
    assert left == [2, 2, 1]


def test_progress_under_mpirun_is_lines_of_rank_0(monkeypatch, placed, capsys):
    now = [0.0]
    monkeypatch.setattr(command.time, "monotonic", lambda: now[0])
    for rank, lines in (
        (0, ["sweeping 5 of 20 (5 s)", "sweeping 10 of 20 (10 s)", "sweeping 15 of 20 (15 s)", "checking (20 s)"]),
        (1, []),
    ):
        placed(rank, 2)
        now[0] = 0.0
        progress = command.LateProgress(quiet=False)
        for i in range(16):
            now[0] = float(i)
            progress("sweeping", i, 20)
        now[0] = 20.0
        progress("checking", 0, None)
        progress.close()
        assert capsys.readouterr().err.splitlines() == lines


def test_mpiruns_own_terminal_counts_as_a_pipe(monkeypatch, placed):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.delenv("COLUMNS", raising=False)
    placed(0, 2)
    assert (page.console().width, page.console().is_terminal) == (100, False)
    monkeypatch.setenv("COLUMNS", "72")
    assert page.console().width == 72
