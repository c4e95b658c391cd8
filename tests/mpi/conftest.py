"""Tests of the slepc engine: skipped, with the reason, where its libraries cannot be imported.

`collective/` is run by pytest on every rank that mpirun starts, `make test-mpi` says how; alone it is one rank. Every
rank runs every test, and none may leave out a collective call that another makes. What fails on a rank above 0 is told
on stderr, and a rank that waits in vain for the others after a test ends the job. `--scalar complex` runs everything
with the complex build of PETSc, real steps too.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hamiltonians.slepc.libraries import Libraries, installed, load
from qunn.ranks import place

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds that a rank waits for the others after a test


def _missing() -> str | None:
    if find_spec("slepc4py") is None and not installed().exists():
        return "the slepc engine is not installed here: make mpi, then make test-mpi"
    return None if shutil.which("mpirun") else "mpirun is not installed"


MISSING = _missing()
collect_ignore_glob = ["collective/*"] if MISSING else []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scalar", choices=("real", "complex"), default="real", help="The build of PETSc.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if MISSING:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if place()[0] > 0:
        config.pluginmanager.register(_OtherRank(config), "other-rank")
        reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        reporter._tw._file = open("/dev/null", "w")  # noqa: SIM115 - open until the end


class _OtherRank:
    """Tells the failures of a rank above 0, whose output goes nowhere."""

    def __init__(self, config: pytest.Config) -> None:
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self._capture.global_and_fixture_disabled():
                print(f"rank {place()[0]}: {report.nodeid}\n{report.longreprtext}", file=sys.stderr, flush=True)


@pytest.fixture(scope="session")
def scalar(request: pytest.FixtureRequest) -> str:
    """The build under test, "real" or "complex"."""
    return request.config.getoption("--scalar", default="real")


@pytest.fixture(scope="session")
def libraries(scalar: str) -> Libraries:
    """PETSc and SLEPc in that build; whatever loads them later finds them loaded."""
    return load(np.complex128 if scalar == "complex" else np.float64)


@pytest.fixture(scope="session")
def _apart(libraries: Libraries) -> Any:
    """A communicator of its own: what a test left unfinished on the common one cannot disturb it."""
    return libraries.comm.Dup()


@pytest.fixture
def together(_apart: Any) -> Iterator[None]:
    """After a test all ranks meet; where one failed alone and the others wait for it, the job ends."""
    yield
    meeting = _apart.Ibarrier()
    until = time.monotonic() + PATIENCE
    while not meeting.Test():
        if time.monotonic() > until:
            print(f"rank {_apart.rank} waited {PATIENCE:.0f} s for the others", file=sys.__stderr__, flush=True)
            _apart.Abort(1)
        time.sleep(0.001)
