"""`python -m qunn.ground_state --engine slepc` on several ranks: one report, one line an error, no rank left over."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from hamiltonians import ClockHamiltonian, ground_state, load_machine

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
INCREMENT = str(EXAMPLES / "binary_increment.json")
BB2 = "bb:1RB1LB_1LA1RZ"
COMMAND = (sys.executable, "-m", "qunn.ground_state")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
if os.geteuid() == 0:
    ENVIRONMENT |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
TIMEOUT = 120


def said(*call: str, **options: Any) -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = {"env": ENVIRONMENT, "capture_output": True, "text": True, "timeout": TIMEOUT} | options
    return subprocess.run(call, check=False, **given)


def on_ranks(ranks: int, *call: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Under an mpirun that adds no words of its own."""
    return said("mpirun", "--quiet", "--oversubscribe", "-n", str(ranks), *call, **options)


# ------------------------------------------------------------------------------------ one report


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize(
    "arguments", [[INCREMENT], [BB2, "--space", "tape", "--tape-cells", "5"]], ids=["path", "tape"]
)
def test_every_number_of_ranks_prints_one_report_with_the_numbers_of_one_process(ranks, arguments):
    done = on_ranks(ranks, *COMMAND, *arguments, "--engine", "slepc", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)  # one object: the other ranks print nothing
    truth = json.loads(said(*COMMAND, *arguments, "--json").stdout)
    assert set(report) == set(truth)
    assert report["verified"] is True
    assert report["gap"] == pytest.approx(truth["gap"], rel=1e-10)
    assert report["energies"] == pytest.approx(truth["energies"], rel=1e-10, abs=1e-10)
    for key in ("output", "degeneracy", "dimension", "steps", "accepted"):
        assert report[key] == truth[key], key


def test_a_page_is_printed_once_and_plain():
    """mpirun gives every rank a terminal without a width; in a pipe there are neither colours nor folded numbers."""
    done = on_ranks(2, *COMMAND, INCREMENT, "--engine", "slepc")
    assert done.stdout.count("verified in") == 1
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) > 80


def test_ranks_starts_them_itself(tmp_path):
    files = [str(tmp_path / name) for name in ("picture.png", "result.npz")]
    ranks = ("--engine", "slepc", "--ranks", "2", "--json", "--quiet")
    machine = Path(INCREMENT).read_text()
    done = said(*COMMAND, "-", *ranks, "--plot", files[0], "--save", files[1], input=machine)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert "2 ranks" in report["solver_message"]
    assert all(Path(file).stat().st_size > 1000 for file in files)
    again = json.loads(said(*COMMAND, "--load", files[1], *ranks).stdout)
    assert again["verified"] is True
    assert (again["gap"], again["output"]) == (report["gap"], report["output"])


def test_only_rank_0_answers_help():
    assert on_ranks(2, *COMMAND, "--help").stdout.count("Usage:") == 1


# ------------------------------------------------------------------------------------ one line an error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([INCREMENT], "must be slepc on 2 MPI ranks"),
        ([INCREMENT, "--engine", "torch"], "must be slepc on 2 MPI ranks"),
        (["no_such_machine.json", "--engine", "slepc"], "no_such_machine.json"),
        ([INCREMENT, "--engine", "slepc", "--solver", "lobpcg"], "lobpcg"),
        ([INCREMENT, "--engine", "slepc", "--k", "0"], "--k"),
        ([INCREMENT, "--engine", "slepc", "--memory-limit", "10"], "10 bytes may be taken"),
        ([INCREMENT, "--engine", "slepc", "--save", "no_such_folder/result.npz"], "no_such_folder"),
        ([INCREMENT, "--engine", "slepc", "--checkpoint", "no_such_folder/basis"], "no_such_folder"),
        (
            [INCREMENT, "--engine", "slepc", "--save", "a.npz", "--checkpoint", "./a.npz"],
            "`--checkpoint` must name another",
        ),
        ([BB2, "--space", "tape", "--tape-cells", "70", "--engine", "slepc"], "`dimension` must be below 2^63"),
        ([INCREMENT, "--engine", "slepc", "--ranks", "2"], "left out under mpirun"),
        ([INCREMENT, "--engine", "slepc", "--precision", "float32"], "belongs to `--engine torch`"),
    ],
)
def test_an_error_is_told_once(arguments, named):
    done = on_ranks(2, *COMMAND, *arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: [^\n]*\n", done.stderr), done.stderr
    assert named in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--engine", "slepc", "--ranks", "0"], "at least 1"),
        (["--engine", "slepc", "--ranks", "4096"], "slots, here"),
        (["--engine", "slepc", "--ranks", "4096"], "mpirun --oversubscribe -n 4096"),
        (["--ranks", "2"], "belongs to `--engine slepc`"),
        (["--engine", "slepc", "--ranks", "2", "--solver", "dense"], "dense"),
    ],
)
def test_an_error_of_ranks_is_one_line(arguments, named):
    done = said(*COMMAND, INCREMENT, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: [^\n]*\n", done.stderr), done.stderr
    assert named in done.stderr


def test_no_mpirun(tmp_path):
    done = said(*COMMAND, INCREMENT, "--engine", "slepc", "--ranks", "2", env=ENVIRONMENT | {"PATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (
        2,
        "error: `--ranks` needs mpirun, which is not installed: apt install openmpi-bin\n",
    )


# ------------------------------------------------------------------------------------ a rank that fails alone

JOB = """
    import os, signal, sys, time
    from pathlib import Path
    import click
    from hamiltonians.errors import InputError
    from qunn import command, ranks

    @click.command()
    @click.argument("what")
    @click.argument("rank", type=int)
    def main(what, rank):
        from hamiltonians.slepc.libraries import load

        comm = load(float).comm
        Path(f"{comm.rank}.pid").write_text(str(os.getpid()))
        comm.barrier()
        if comm.rank == rank:
            if what == "defect":
                raise ZeroDivisionError("of this rank")
            if what == "input":
                raise InputError("`disk` must be there, but is not")
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)
        if what == "progress":
            command._LINE_EVERY = 0.5
            progress = command.LateProgress(quiet=False)
            for i in range(30):
                progress("sweeping", i, 30)
                time.sleep(0.1)
            return 0
        comm.barrier()  # the others wait here
        time.sleep(60)

    def started():
        sys.exit(ranks.start(2, "job", ["sleep", "0"]))

    if __name__ == "__main__":
        command.run(main, "job")
"""


@pytest.fixture
def job(tmp_path):
    """A command that does what one rank is told to do, and whose ranks write down their process numbers."""
    (tmp_path / "job.py").write_text(dedent(JOB))
    return tmp_path


def rank_pids(folder: Path, ranks: int = 2, seconds: float = 30.0) -> list[int]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = [file.read_text() for file in folder.glob("*.pid")]
        if len(found) == ranks and all(found):
            return [int(text) for text in found]
        time.sleep(0.05)
    raise AssertionError("the ranks did not start")


def all_gone(pids: list[int], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while any(map(psutil.pid_exists, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(psutil.pid_exists, pids))


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("what", "status", "told"),
    [
        ("defect", 1, "ZeroDivisionError: of this rank"),
        ("input", 2, "`disk` must be there, but is not"),
        ("kill", 128 + signal.SIGKILL, ""),
        ("interrupt", 130, "interrupted"),
    ],
)
def test_what_ends_one_rank_ends_all(job, what, status, told, rank):
    done = on_ranks(2, sys.executable, "-m", "job", what, str(rank), cwd=job)
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    if what == "input":
        assert done.stderr == f"error: {'rank 1: ' if rank else ''}{told}\n"
    assert all_gone(rank_pids(job))


def test_progress_is_a_plain_line_now_and_then(job):
    done = on_ranks(2, sys.executable, "-m", "job", "progress", "0", cwd=job)
    lines = [re.fullmatch(r"sweeping (\d+) of 30 \(\d+ s\)", line) for line in done.stderr.splitlines()]
    assert all(lines), done.stderr
    at = [int(line[1]) for line in lines if line]
    assert at == sorted(set(at))  # one rank's
    assert 1 <= len(at) < 30


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_a_signal_ends_the_ranks_that_ranks_started(job, number, status):
    call = "import job, qunn.command as c, click; c.run(click.command()(job.started), 'job')"
    with subprocess.Popen([sys.executable, "-c", call], env=ENVIRONMENT, cwd=job, stderr=subprocess.PIPE) as running:
        pids = rank_pids(job)
        running.send_signal(number)
        _, told = running.communicate(timeout=TIMEOUT)
    assert running.returncode == status
    assert told.decode().count("\n") == (number == signal.SIGINT)
    assert all_gone(pids, 0.0)  # it waits for them


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_a_kill_ends_the_ranks_too(job):
    """SIGKILL cannot be handed on."""
    call = "import job, qunn.command as c, click; c.run(click.command()(job.started), 'job')"
    with subprocess.Popen([sys.executable, "-c", call], env=ENVIRONMENT, cwd=job) as running:
        pids = rank_pids(job)
        launchers = [child.pid for child in psutil.Process(running.pid).children()]
        running.kill()
    assert launchers
    assert all_gone([*launchers, *pids])


def test_a_killed_rank_is_named(job):
    call = "import job, qunn.command as c, click; c.run(click.command()(job.started), 'job')"
    with subprocess.Popen([sys.executable, "-c", call], env=ENVIRONMENT, cwd=job, stderr=subprocess.PIPE) as running:
        pids = rank_pids(job)
        os.kill(pids[1], signal.SIGKILL)
        _, told = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 1
    assert told.decode().startswith("error: a rank was ended by SIGKILL, and the others with it; ")
    assert told.decode().count("\n") == 1
    assert all_gone(pids)


# ------------------------------------------------------------------------------------ in Python


def test_without_mpirun_there_is_one_rank():
    H = ClockHamiltonian.from_machine(load_machine(BB2), "tape")
    assert ground_state(H, engine="slepc").gap == pytest.approx(ground_state(H).gap, rel=1e-10)
