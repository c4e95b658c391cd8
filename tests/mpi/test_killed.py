"""Ranks killed with SIGKILL at random moments, some of them within a write: the checkpoint goes on to the same end.

A script on the ranks finds many energies with a short basis, and saves at every restart. It kills its own rank when it
has passed a given number of the places where it could die: before a restart, between two vectors of a write, before and
after the checksum, the rename, and the removal of what is no longer needed. Other kills come from outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from hamiltonians import ClockHamiltonian, ground_state

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
}
if os.geteuid() == 0:
    ENVIRONMENT |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
TIMEOUT = 120
KILLS = 10
K = 24

PROBLEM = """
import numpy as np
from hamiltonians import ClockHamiltonian
rng = np.random.default_rng(7)
images = np.array([rng.permutation(12) for _ in range(60)], np.int32)
images[rng.random(images.shape) < 0.002] = -1
H = ClockHamiltonian.from_steps(images, np.eye(12)[3])
"""

SCRIPT = (
    PROBLEM
    + """
import json, os, signal, sys, time
from pathlib import Path
from hamiltonians import ground_state
from hamiltonians.slepc import checkpoint, krylov
from hamiltonians.slepc.libraries import load

file, k, victim, place, pace = Path(sys.argv[1]), *map(int, sys.argv[2:5]), float(sys.argv[5])
checkpoint.INTERVAL, checkpoint.WRITING_SHARE, krylov.SPARE_VECTORS = 0.0, 1e9, 2
comm = load().comm
passed = 0

def could_die():
    global passed
    passed += 1
    if passed == place and comm.rank == victim:
        os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name):
    inner = getattr(owner, name)
    def outer(*arguments, **options):
        could_die()
        result = inner(*arguments, **options)
        could_die()
        return result
    setattr(owner, name, outer)

def each(vectors):
    for vector in vectors:
        could_die()
        yield vector

save, monitor = checkpoint.Checkpoint.save, krylov.Search._monitor
checkpoint.Checkpoint.save = lambda self, vectors, *counts: save(self, each(vectors), *counts)
def paced(self, *told):
    time.sleep(pace)
    could_die()
    monitor(self, *told)
krylov.Search._monitor = paced
for owner, name in ((os, "replace"), (os, "fsync"), (checkpoint, "_checksum"), (Path, "unlink")):
    around(owner, name)

file.with_name(f"pid{comm.rank}").write_text(str(os.getpid()))
low = ground_state(H, k, "sweep", "slepc", vectors=1, checkpoint=file)
if comm.rank == 0:
    print(json.dumps({"energies": low.energies.tolist(), "gap": low.gap, "degeneracy": low.degeneracy,
                      "converged": low.converged, "message": low.message, "passed": passed}))
"""
)


_all: list[subprocess.Popen[str]] = []


def _begun(call: list[str]) -> subprocess.Popen[str]:
    """In a process group of its own, which ends with its test."""
    pipe = subprocess.PIPE
    _all.append(subprocess.Popen(call, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True, start_new_session=True))
    return _all[-1]


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    while _all:
        running = _all.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


@dataclass(frozen=True)
class Ranks:
    """The script, in a folder of its own, on some ranks."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "low.json"

    def start(self, ranks: int, victim: int = -1, place: int = 0, pace: float = 0.0) -> subprocess.Popen[str]:
        for old in self.folder.glob("pid*"):
            old.unlink()
        arguments = [str(self.file), str(K), str(victim), str(place), str(pace)]
        call = ["mpirun", "--quiet", "--oversubscribe", "-n", str(ranks), sys.executable, "-c", SCRIPT, *arguments]
        return _begun(call)

    def pids(self, ranks: int) -> list[int]:
        """Of the ranks, as soon as all have begun."""
        until = time.monotonic() + TIMEOUT
        names = [self.folder / f"pid{rank}" for rank in range(ranks)]
        while not all(name.exists() and name.read_text() for name in names):
            assert time.monotonic() < until
            time.sleep(0.01)
        return [int(name.read_text()) for name in names]


def finished(running: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 0, err
    return json.loads(out)


def ended(pids: list[int], victims: list[int]) -> None:
    """The victims are dead, and then the others, at once: the launcher would take its time about that."""
    processes = {pid: psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)}
    _, alive = psutil.wait_procs([processes[pid] for pid in victims if pid in processes], timeout=TIMEOUT)
    assert not alive
    for process in processes.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert not psutil.wait_procs(list(processes.values()), timeout=TIMEOUT)[1]


def assert_whole(file: Path) -> int:
    """What the checkpoint names is there as it was written; the restarts that it saves."""
    document = json.loads(file.read_bytes())
    vectors = file.with_name(document["vectors"]).read_bytes()
    assert (len(vectors), zlib.crc32(vectors)) == (document["bytes"], document["crc32"])
    return document["restarts"]


def _problem() -> ClockHamiltonian:
    names: dict[str, Any] = {}
    exec(PROBLEM, names)
    return names["H"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return finished(Ranks(tmp_path_factory.mktemp("undisturbed")).start(2))


def test_the_undisturbed_run_is_right(undisturbed: dict[str, Any]) -> None:
    truth = ground_state(_problem(), K)
    assert undisturbed["converged"], undisturbed["message"]
    np.testing.assert_allclose(undisturbed["energies"], truth.energies, rtol=1e-10, atol=1e-12)
    assert undisturbed["gap"] == pytest.approx(truth.gap, rel=1e-10)
    assert undisturbed["degeneracy"] == truth.degeneracy


def restarts(message: str) -> tuple[int, int]:
    """In all, and before the checkpoint."""
    found = re.search(r"(\d+) restarts of a basis of \d+ vectors(?:, (\d+) of them before)?", message)
    assert found
    return int(found[1]), int(found[2] or 0)


def test_killed_ten_times_and_the_same_in_the_end(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    rng, ranks, saved = np.random.default_rng(1), Ranks(tmp_path), [0]
    launchers = []
    share = undisturbed["passed"] // KILLS
    for kill in range(KILLS):
        size = int(rng.choice([1, 2, 2, 3]))
        if kill % 3 == 2:  # from outside: one rank, or all at once
            running = ranks.start(size, pace=0.02)
            pids = ranks.pids(size)
            victims = pids if rng.random() < 0.5 else pids[-1:]
            time.sleep(rng.uniform(0.05, 0.6))
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:  # most places where it can die lie within a write; rank 0 passes more of them than the others
            victim = int(rng.integers(size))
            running = ranks.start(size, victim, int(rng.integers(1, share // (1 + (victim > 0)))))
            pids = ranks.pids(size)
            victims = [pids[victim]]
        ended(pids, victims)
        launchers.append(running)
        if ranks.file.exists():
            saved.append(assert_whole(ranks.file))
    for launcher in launchers:
        launcher.communicate(timeout=TIMEOUT)
        assert launcher.returncode != 0
    assert saved == sorted(saved)
    assert saved[-1] > saved[1]
    last = finished(ranks.start(2))
    in_all, before = restarts(last["message"])
    assert before == saved[-1] > 0
    assert in_all - before < restarts(undisturbed["message"])[0]  # what was saved was not done again
    assert last["converged"]
    for key in ("energies", "gap"):
        np.testing.assert_allclose(last[key], undisturbed[key], rtol=1e-10, atol=1e-12)
    assert last["degeneracy"] == undisturbed["degeneracy"]


# one process that starts once and forks a rank for every place at which it is to die, and another that goes on
FORKING = (
    SCRIPT.split("file, k, victim")[0]
    + """
file, k, places, finished_each = Path(sys.argv[1]), *map(int, sys.argv[2:5])
victim, pace = 0, 0.0
"""
    + SCRIPT[SCRIPT.index("checkpoint.INTERVAL") : SCRIPT.index("file.with_name")]
    + """
def child(dies_at):
    global place, passed
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    place, passed = dies_at, 0
    try:
        low = ground_state(H, k, "sweep", "slepc", vectors=1, checkpoint=file)
        file.with_name("energies").write_text(json.dumps(low.energies.tolist()))
    except ValueError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)

place = 0
ground_state(H, k, "sweep", "slepc", vectors=1)  # so that no child has to load what is compiled
for dies_at in range(1, places + 1):
    for old in file.parent.iterdir():
        os.remove(old)
    status = child(dies_at)
    there = sorted(p.name for p in file.parent.iterdir())
    documents, energies = file.read_text() if file.exists() else None, None
    sizes = {p.name: p.stat().st_size for p in file.parent.iterdir()}
    if dies_at % finished_each == 0:
        if child(-1):
            sys.exit(f"not finished after the death at place {dies_at}")
        energies = json.loads(file.with_name("energies").read_text())
    print(json.dumps({"status": status, "sizes": sizes, "document": documents, "energies": energies}), flush=True)
"""
)


def test_killed_at_every_place(tmp_path: Path) -> None:
    """The first writes, place by place: after each death the checkpoint names what is there, or is not there yet."""
    file, k, places = tmp_path / "low.json", 5, 60
    call = [sys.executable, "-c", FORKING, str(file), str(k), str(places), "6"]
    running = _begun(call)
    out, err = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 0, err
    outcomes = [json.loads(line) for line in out.splitlines()]
    assert len(outcomes) == places
    saved, torn = [], 0
    for outcome in outcomes:
        assert outcome["status"] == signal.SIGKILL
        if outcome["document"] is None:
            assert not saved
            continue
        document = json.loads(outcome["document"])
        assert outcome["sizes"][document["vectors"]] == document["bytes"]
        torn += any(
            name.startswith("low.json.vectors") and size < document["bytes"] for name, size in outcome["sizes"].items()
        )
        saved.append(document["restarts"])
    assert saved == sorted(saved)
    assert saved[-1] >= 3
    assert torn  # some died between two vectors, beside a checkpoint that is whole
    truth = ground_state(_problem(), k).energies
    for outcome in outcomes:
        if outcome["energies"]:
            np.testing.assert_allclose(outcome["energies"], truth, rtol=1e-10, atol=1e-12)
